"""`python -m infraval_server`."""

from __future__ import annotations

import sys

from infraval_server.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
