"""A model server under test, which leaves nothing behind."""
