"""Stage 2: a SavedModel and PredictionLogs in, the staged model out."""
