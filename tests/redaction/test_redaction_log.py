"""What is left of a whole log."""

from __future__ import annotations

import time

from infraval.redaction import REDACTED, WITHHELD, Redactor

KNOWN = "I tensorflow_serving/core/basic_manager.cc:280] Unload all remaining servables in the manager."
SHOWN = "I Unload all remaining servables in the manager."


def test_unknown_lines_collapse_into_one_count(redactor: Redactor) -> None:
    """Whatever is not known, wherever it stands, leaves nothing but its number."""
    text = f"name: John Smith\n{KNOWN}\nAge 47\n\nraw \x1b[31mbytes\n{KNOWN}\n"
    assert redactor.log(text) == f"<3 lines withheld>\n{SHOWN}\n{SHOWN}"


def test_only_the_last_lines_stay(redactor: Redactor) -> None:
    """A log is bounded, and says how much of it is not shown; the bound itself survives a second pass."""
    text = "\n".join(f"Servable not found for request: Specific(sink, {number})" for number in range(100))
    shown = redactor.log(text, last_lines=2)
    assert shown == (
        "<98 lines withheld>\nServable not found for request: Specific(sink, 98)\n"
        "Servable not found for request: Specific(sink, 99)"
    )
    assert redactor.log(shown, last_lines=2) == shown
    assert redactor.log(text, last_lines=0) == "<100 lines withheld>"


def test_empty_log(redactor: Redactor) -> None:
    """A server that said nothing has an empty log, not a mark."""
    assert redactor.log("\n \n") == ""


def test_python_traceback(redactor: Redactor) -> None:
    """Frames shrink to file names and an exception to its type, unless what it says is a known message."""
    text = """Traceback (most recent call last):
  File "/home/jsmith/venv/lib/grpc/_server.py", line 552, in _call_behavior
    return behavior(argument, context)
tensorflow.python.framework.errors_impl.InvalidArgumentError: Table not initialized.
Traceback (most recent call last):
  File "main.py", line 3, in <module>
ValueError: could not convert string to float: 'John'
/home/jsmith/venv/lib/keras/layers.py:246: FutureWarning: John
JohnError: John"""
    assert (
        redactor.log(text)
        == f"""<2 lines withheld>
Traceback (most recent call last):
  File "_server.py", line 552, in _call_behavior
InvalidArgumentError: Table not initialized.
Traceback (most recent call last):
  File "main.py", line 3, in <module>
ValueError: {WITHHELD}
layers.py:246: FutureWarning: {REDACTED}"""
    )


def test_message_over_several_lines(redactor: Redactor) -> None:
    """The node that TensorFlow prints below a message stays; a value that runs over lines does not."""
    text = (
        "W tensorflow/core/framework/op_kernel.cc:1839] OP_REQUIRES failed at example_parsing_ops.cc:98 : "
        "INVALID_ARGUMENT: Could not parse example input, value: '\nJohn\n Smith'\n"
        "\t [[{{node ParseExample/ParseExampleV2}}]]"
    )
    assert redactor.log(text) == (
        f"<2 lines withheld>\nW OP_REQUIRES failed at {REDACTED} : "
        f"INVALID_ARGUMENT: Could not parse example input, value: {REDACTED}\n"
        " [[{{node ParseExample/ParseExampleV2}}]]"
    )


def test_a_long_log_takes_little_time(redactor: Redactor) -> None:
    """36,000 lines, as a failing model was seen to print, with requests in them, take a second or two at most."""
    lines = [
        KNOWN,
        "E tensorflow_serving/util/retrier.cc:39] Loading servable: {name: sink version: 1} failed: "
        "INVALID_ARGUMENT: Could not parse example input, value: " + "John Smith " * 20,
        "float_list { value: 1.5 } " * 40,
        "{{{[[[" * 100,
    ]
    text = "\n".join(lines * 9000)
    start = time.process_time()
    redactor.log(text)
    assert time.process_time() - start < 2


def test_hostile_texts_take_linear_time(redactor: Redactor) -> None:
    """Megabytes of what templates are made of do not make the matching explode."""
    texts = (
        "input size does not match signature: " + "len({" * 200_000,
        "Loading servable: {name: x version: 1} failed: " * 20_000,
        "x\n\t [[{{node a}}]]" * 50_000,
        "Graph execution error:\n\n" + "Detected at node \nNode: 'x" * 50_000,
        '  File "' + "/" * 1_000_000,
        "a/" * 500_000,
        " " * 1_000_000,
    )
    start = time.process_time()
    for text in texts:
        redactor.message(text)
        redactor.log(text)
    assert time.process_time() - start < 5
