"""Makes a workspace again and again, prints the last one's path, and blocks in it until it is killed.

python workspace_owner.py PARENT TIMES
"""

import signal
import sys
from pathlib import Path

from infraval import workspace


def main() -> None:
    """Fails if a workspace is gone while it is owned."""
    parent, times = Path(sys.argv[1]), int(sys.argv[2])
    for _ in range(times):
        with workspace.workspace(parent) as directory:
            (directory / "file").write_text("kept")
            if (directory / "file").read_text() != "kept":
                sys.exit(1)
    with workspace.workspace(parent) as directory:
        sys.stdout.write(f"{directory}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
