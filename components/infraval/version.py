"""infraval's version; setup.py and `infraval_server.version` have the same."""

VERSION = "0.1.0"
