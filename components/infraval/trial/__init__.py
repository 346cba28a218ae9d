"""Stage 3: the staged model and PredictionLogs in, evidence out."""
