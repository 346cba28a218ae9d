"""How production serves the model: its files, read and checked before any work, and rewritten for the staged model."""
