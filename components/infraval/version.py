"""infraval's version, where the embedded server may read it too; setup.py has the same."""

VERSION = "0.1.0"
