"""`python -m infraval`: the console script, for environments whose scripts are not on PATH."""

from __future__ import annotations

from infraval.cli import main

if __name__ == "__main__":
    main()
