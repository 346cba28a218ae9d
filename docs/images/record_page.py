"""Records the picture of a page, as README and docs show it: page.png is that with which `make demo` ends.

    record_page.py REPORT.HTML PAGE.PNG [HEIGHT]

failed.png, 670 pixels high, is of its model with one weight that is NaN, judged with `--signature all`. Needs Debian's
Chromium (`tests/report/browser.sh` installs it). `make demo` prints where the page is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1000, 1970
COLORS = 64


def main(page: Path, png: Path, height: int = HEIGHT) -> None:
    """Writes the picture: the top of the page, with few colors, so that it is small."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "page.png"
        command = ["chromium", "--headless", "--disable-gpu", "--hide-scrollbars", *as_root]
        command += [f"--user-data-dir={folder}", f"--window-size={WIDTH},{height}", f"--screenshot={taken}"]
        subprocess.run([*command, page.absolute().as_uri()], capture_output=True, check=True)
        Image.open(taken).convert("RGB").quantize(COLORS).save(png, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
