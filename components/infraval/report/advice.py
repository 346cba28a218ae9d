"""What to do about a gate that the model did not pass; a hint knows more, but only of a few symptoms."""

from __future__ import annotations

ADVICE = {
    "load": "Load the model with tf.saved_model.load in the server's TensorFlow version. If that works, look for an op "
    "or a flag that the server lacks.",
    "responses": "Run a request that failed on the model in Python. If that works, compare what feeds the inputs, "
    "below, with what the signature wants.",
    "warmup": "Make a new warmup file (--existing-warmup replace) if the records came with the model.",
    "unchanged": "Find out what writes to the model's directory while it is served: an op of the model, most often.",
    "outputs": "If values are NaN, look at the weights and at the loss of the training, or allow them (--gate "
    "outputs.nan=allow). If a shape or dtype differs, export the signature again.",
    "warm": "Cover the cold cells with the warmup file (--batch-size), or find out what such a request does first.",
    "determinism": "Look for dropout, random ops or state in the serving signature, and for what depends on a batch.",
    "expected": "Compare the outputs that differ, below, and allow rounding (--gate expected.tolerance) if it is that.",
    "baseline": "Compare latencies and answers with the baseline's, below; set the bar to what you can accept.",
    "latency": "See where the time goes, below. Make the model or its batches smaller, or lower the load.",
    "load_time": "Compare with the load without the warmup file, below: fewer records and a smaller model load sooner.",
    "memory": "See if it grows with the requests, below. If so, look for state that the model keeps.",
    "robust": "Check the shape and the values of the inputs in the signature, so that a wrong request gets an error.",
    "swap": "See when it failed, below. Stalls: a smaller model or fewer warmup records load with less work. Memory: "
    "give the server room for two models.",
    "size": "Leave out what is not served, such as optimizer state and unused assets.",
}
"""A sentence or two by the name of the gate."""
