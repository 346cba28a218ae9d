"""Stage 4: outcomes in, reasons against the model out; one module a gate."""
