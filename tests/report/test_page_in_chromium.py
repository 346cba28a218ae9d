"""The page in a real browser: Debian's Chromium without a window, told what to do by its DevTools protocol."""

from __future__ import annotations

import base64
import collections
import fcntl
import io
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from infraval import verdict
from infraval.report import comparison, data, page

pytestmark = pytest.mark.pages

AXE = Path(__file__).parents[2] / "build" / "axe" / "axe_playwright_python" / "axe.min.js"
TIMEOUT_S = 120.0

PHONE, DESKTOP = 360, 1280

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
VIOLATIONS = "axe.run({preload: false}).then(found => found.violations.map(each => [each.impact, each.id, each.nodes]))"
VISIBLE_ROWS = (
    "[...document.querySelectorAll('[class^=is-]')].filter(row => row.offsetParent).map(row => row.className)"
)
CENTER = """(() => {
  const label = document.querySelector('label[for=show-%s]');
  label.scrollIntoView({block: 'center'});
  const box = label.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""


class Browser:
    """A Chromium of its own, from which nothing remote can be reached.

    Attributes:
      events: what it has said since the last `open`: the parameters of each event, by its name.
    """

    def __init__(self, profile: Path) -> None:
        chromium = shutil.which("chromium")
        assert chromium is not None, "make test-pages installs Chromium"
        theirs, ours = os.pipe()
        reading, answers = os.pipe()
        # Chromium reads from 3 and writes to 4; the shell must not overwrite one with the other.
        passed = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs, answers)]
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{passed[0]} 4>&{passed[1]}', "bash", chromium),
                *("--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--hide-scrollbars"),
                *("--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
                *("--host-resolver-rules=MAP * ~NOTFOUND", *(["--no-sandbox"] if os.geteuid() == 0 else [])),
            ],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for each in (theirs, answers, *passed):
            os.close(each)
        self._ours, self._reading, self._unread, self._sent, self._session = ours, reading, b"", 0, ""
        self.events: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Ends it with all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)
        os.close(self._reading)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method, of the page once there is one."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._ours, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._sent:
            pass
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, width: int, scheme: str = "light") -> None:
        """Loads a file in a window of that width, in pixels, for somebody who prefers that scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not self.events["Page.loadEventFired"]:
            self._read()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it resolves to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self) -> Image.Image:
        """A picture of what is in the window."""
        taken = self.call("Page.captureScreenshot")["data"]
        return Image.open(io.BytesIO(base64.b64decode(taken))).convert("RGB")

    def _read(self) -> dict[str, Any]:
        """The next message; an event is kept, too."""
        deadline = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium says nothing"
            content = os.read(self._reading, 1 << 20)
            assert content, "Chromium has ended"
            self._unread += content
        first, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        if "method" in message:
            self.events[message["method"]].append(message["params"])
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests; each opens a page of its own."""
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(params=["measured", "bare", "comparison", "frame"])
def path(request: pytest.FixtureRequest, report: data.Report, bare: data.Report, tmp_path: Path) -> Path:
    """Pages: one with everything, one of a model that never loaded, two reports side by side, and one in a notebook."""
    changes = comparison.compare(bare, report)
    content = {
        "measured": lambda: page.render(report),
        "bare": lambda: page.render(bare),
        "comparison": lambda: page.render_comparison(bare, report, changes, comparison.regressed(changes)),
        "frame": lambda: (
            f'<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width"><title>A</title>'
            f"<main><h1>A</h1>{page.frame(page.render(report))}</main></html>"
        ),
    }[request.param]()
    file = tmp_path / f"{request.param}.html"
    file.write_text(content, encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_is_readable_in_both_schemes_and_needs_nothing_else(browser: Browser, path: Path, width: int) -> None:
    """It fits the window, is not blank, follows the scheme, logs no error, and asks for nothing but the file."""
    backgrounds = []
    for scheme in ("light", "dark"):
        browser.open(path, width, scheme)
        picture = browser.screenshot()
        assert browser.run(OVERFLOW) == 0
        assert picture.size == (width, 800)
        assert len(picture.getcolors(1 << 20) or ()) > 20
        backgrounds.append(sum(picture.getpixel((1, 1))))
        assert [event for name in ("Log.entryAdded", "Runtime.exceptionThrown") for event in browser.events[name]] == []
        assert browser.events["Runtime.consoleAPICalled"] == []
        requested = {each["request"]["url"] for each in browser.events["Network.requestWillBeSent"]}
        assert requested - {"about:srcdoc"} == {path.as_uri()}
    light, dark = backgrounds
    assert light > dark or path.stem == "frame"  # the page around it is not ours


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, path: Path, width: int, scheme: str) -> None:
    """Contrast, names, headings, tables, regions that can be scrolled with a keyboard."""
    browser.open(path, width, scheme)
    browser.run(AXE.read_text(encoding="utf-8"))
    found = browser.run(VIOLATIONS)
    assert [each for each in found if each[0] in {"serious", "critical"}] == []


def test_the_filter_shows_gates_of_one_status(browser: Browser, report: data.Report, tmp_path: Path) -> None:
    """With a click on its name, and all of them again."""
    file = tmp_path / "report.html"
    file.write_text(page.render(report), encoding="utf-8")
    browser.open(file, DESKTOP)
    everything = browser.run(VISIBLE_ROWS)
    assert len(everything) == sum(len(server.findings) for server in report.servers)
    for shown in (*(status.value for status in verdict.Status), "all"):
        x, y = browser.run(CENTER % shown)
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        expected = [row for row in everything if shown in {"all", row.removeprefix("is-")}]
        assert browser.run(VISIBLE_ROWS) == expected


def test_it_can_be_printed(browser: Browser, make_report: Callable[..., data.Report], tmp_path: Path) -> None:
    """Also a long one."""
    file = tmp_path / "report.html"
    file.write_text(page.render(make_report(cells=50, requests=1000)), encoding="utf-8")
    browser.open(file, DESKTOP)
    printed = base64.b64decode(browser.call("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") > 2
