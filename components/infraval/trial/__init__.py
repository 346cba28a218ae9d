"""Stage 3: PredictionLogs in, outcomes out."""
