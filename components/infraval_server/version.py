"""The embedded server's version; setup.py and `infraval.version` have the same."""

VERSION = "0.1.0"
