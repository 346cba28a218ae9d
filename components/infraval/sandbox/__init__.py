"""Stage 2: a model server under test, and nothing left of it afterwards."""
