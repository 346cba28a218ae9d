"""Stage 1: a SavedModel and examples in, PredictionLogs out."""
