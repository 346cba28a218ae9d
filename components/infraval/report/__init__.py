"""A verdict as data, and how it is shown."""
