"""The page: one file that shows everything, reaches nothing, and takes nothing in a report for markup."""

from __future__ import annotations

import html.parser
import itertools
import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraval import errors, evidence, gates, options, percentile_bars, verdict
from infraval.report import advice, axes, charts, data, page

MAX_BYTES = 260_000
Make = Callable[..., data.Report]
Skeleton = list[tuple[str, tuple[str, ...]]]

VOID = {"meta", "br", "input", "link", "img", "hr"}

HOSTILE_PARTS = (
    *("<script>", "</script>", "<!--", "-->", "]]>", "</pre>", "<img src=x onerror=a>", "&lt;", "&#60;", "{{ 1 }}"),
    *('"', "'", "`", "|", "\\", "\n", "\r", "\t", "\x00", "\x1b[31m", "\x7f", "\u2028", "\u202e", "\u200b", "\ufeff"),
    *("https://evil.example/", "javascript:a", "@import url(//e)", "@team", "#1", "[a](//e)", "<http://e>", "_a_", "*"),
)
HOSTILE = st.lists(st.sampled_from(HOSTILE_PARTS) | st.text(max_size=5), max_size=8).map("".join)


class Parsed(html.parser.HTMLParser):
    """A page's elements, checked to be closed in order.

    Attributes:
      elements: tags with their attributes, in order.
      paths: of each element, the tags that it is in.
      text: what is read, with the titles of pictures.
      carried: the content of the script element.
      titles: of the pictures.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.paths: list[tuple[str, ...]] = []
        self.text: list[str] = []
        self.carried = ""
        self.titles: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens an element."""
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        self.paths.append(tuple(self._open))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only in a picture does the slash close an element."""
        assert "svg" in self._open
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Closes the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keeps what is read and what is carried apart."""
        if self._open and self._open[-1] == "script":
            self.carried += data
        elif self._open and self._open[-1] != "style":
            self.text.append(data)
            if self._open[-2:] == ["svg", "title"]:
                self.titles.append(data)

    def handle_comment(self, data: str) -> None:
        """The template has none."""
        raise AssertionError(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements with that tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def skeleton(self) -> Skeleton:
        """Tags and the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]


@pytest.fixture(scope="module")
def harmless(make_report: Make) -> Skeleton:
    """Of a page of one server whose report holds no string to worry about."""
    return Parsed(page.render(make_report(servers=1))).skeleton


@pytest.fixture
def parsed(report: data.Report) -> Parsed:
    """The page of a report in which everything was measured."""
    return Parsed(page.render(report))


def test_it_is_built_as_a_page_must_be(parsed: Parsed) -> None:
    """Language, one top heading without leaps below it, cells with headers, pictures and regions with names."""
    assert parsed.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(each["scope"] in {"row", "col"} for each in parsed.all("th"))
    pictures = [number for number, (tag, _) in enumerate(parsed.elements) if tag == "svg"]
    assert len(pictures) == 6
    assert all(parsed.elements[number + 1][0] == "title" for number in pictures)
    assert all(each["aria-label"] for each in parsed.all("div") if each.get("role") == "region")


def test_what_refers_to_something_finds_it(parsed: Parsed) -> None:
    """Labels, links within the page, and the filter's rules; no name is given twice."""
    ids = [each["id"] for _, each in parsed.elements if "id" in each]
    assert len(ids) == len(set(ids))
    wanted = [each.get("aria-labelledby") or each.get("for") for _, each in parsed.elements]
    wanted += [(each["href"] or "").removeprefix("#") for each in parsed.all("a")]
    assert {each for each in wanted if each} <= set(ids)
    assert {f"show-{status.value}" for status in verdict.Status} <= set(ids)


def test_each_status_can_be_filtered_without_a_script(report: data.Report, parsed: Parsed) -> None:
    """A rule for each hides the rows of the others; no script runs."""
    content = page.render(report)
    rows = [each["class"] for each in parsed.all("tr") if "class" in each]
    for status in verdict.Status:
        assert f"#show-{status.value}:checked~.scroll tbody tr:not(.is-{status.value}){{display:none}}" in content
        assert rows.count(f"is-{status.value}") == len(report.servers)
    assert [each["type"] for each in parsed.all("script")] == ["application/json"]


def test_a_status_is_a_word_and_a_symbol(report: data.Report, parsed: Parsed) -> None:
    """Not a color alone."""
    text = "".join(parsed.text)
    for status, symbol in (("passed", "✓"), ("failed", "✗"), ("undecided", "?"), ("skipped", "—")):
        assert text.count(f"{symbol} {status}") >= len(report.servers)
    assert text.index("✗ Not blessed") < text.index("What is wrong") < text.index("What to do") < text.rindex("Cells")


def _luminance(color: str) -> float:
    """WCAG's relative luminance of `#rgb` or `#rrggbb`."""
    digits = color.removeprefix("#")
    pairs = [digit * 2 for digit in digits] if len(digits) == 3 else [digits[:2], digits[2:4], digits[4:]]
    parts = [int(pair, 16) / 255 for pair in pairs]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out(scheme: int, report: data.Report) -> None:
    """As WCAG asks for (AA): 4.5 for text, 3 for lines."""
    schemes = re.findall(r":root\{([^}]*)\}", page.render(report))
    assert len(schemes) == 2
    colors = {name: _luminance(color) for name, color in re.findall(r"--(\w+):(#\w+)", schemes[scheme])}

    def contrast(one: str, other: str) -> float:
        darker, lighter = sorted((colors[one], colors[other]))
        return (lighter + 0.05) / (darker + 0.05)

    behind = ("bg", "panel", "h0", "h1", "h2", "h3")
    read = {(text, ground) for text in ("muted", "ok", "bad", "unsure", "c0") for ground in ("bg", "panel")}
    read |= {("text", ground) for ground in behind}
    assert {pair for pair in read if contrast(*pair) < 4.5} == set()
    assert {line for line in ("c0", "c1", "c2", "bad") if contrast(line, "bg") < 3} == set()


def test_nothing_is_fetched(report: data.Report, parsed: Parsed) -> None:
    """Its policy allows nothing, and nothing in it asks."""
    policy = next(each["content"] for each in parsed.all("meta") if "http-equiv" in each)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for _, attributes in parsed.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & attributes.keys()
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:|//", page.render(report))


@settings(deadline=None, max_examples=30)
@given(text=HOSTILE)
def test_no_string_of_a_report_is_markup(make_report: Make, harmless: Skeleton, text: str) -> None:
    """The elements are those of a harmless report, every character can be seen, and the JSON is as it was."""
    hostile = make_report(text=f"x{text}", servers=1)
    content = page.render(hostile)
    found = Parsed(content)
    assert found.skeleton == harmless
    assert content.replace("\n", "").isprintable()
    assert data.Report.model_validate_json(found.carried) == hostile


def test_it_carries_the_report(report: data.Report) -> None:
    """What reads the page needs no other file."""
    assert data.Report.model_validate_json(Parsed(page.render(report)).carried) == report


@pytest.mark.parametrize("text", ["OK", "a" * 5000])
def test_it_is_small(text: str, make_report: Make) -> None:
    """For 50 cells and 10,000 requests, also if half of them fail with a long message; failures are all counted."""
    found = make_report(text=text, servers=1, cells=50, requests=10_000)
    content = page.render(found)
    assert len(content.encode()) < MAX_BYTES
    carried = data.Report.model_validate_json(Parsed(content).carried)
    assert len(carried.servers[0].cells) == 50
    assert len(carried.servers[0].requests) < 100
    assert ("Every request was answered." in content) == (text == "OK")


def test_of_a_long_log_the_end_is_shown(make_report: Make) -> None:
    """That is where a server says why it died."""
    found = make_report(servers=1)
    found.servers[0].server_log = "start\n" + "line\n" * 100_000 + "the cause"
    content = page.render(found)
    assert "the cause" in content
    assert "start" not in Parsed(content).text
    assert len(content.encode()) < MAX_BYTES


def test_a_report_with_hardly_anything_is_shown(bare: data.Report) -> None:
    """As of a version that measured less; what there is not leaves no empty table or picture."""
    found = Parsed(page.render(bare))
    assert "Late." in found.text
    assert len(found.all("table")) == 1
    assert found.all("svg") == []


def test_memory_is_shown_if_it_was_measured(report: data.Report, bare: data.Report) -> None:
    """In units that people read."""
    text = Parsed(page.render(report)).text
    assert {"Memory", "11 MiB", "12 MiB", "13 MiB", "14 MiB", "1,500", "1.5 KiB", "2.5 KiB"} <= set(text)
    assert "Memory" not in Parsed(page.render(bare)).text


def test_a_report_of_an_unknown_version_is_refused(bare: data.Report) -> None:
    """What it holds besides would be missing from the page."""
    for version in (0, data.SCHEMA_VERSION + 1):
        with pytest.raises(errors.InputError) as caught:
            page.render(bare.model_copy(update={"schema_version": version}))
        assert caught.value.code == "report/unknown-version"


NUMBERS = st.floats() | st.sampled_from([0.0, -1.0, 1e-9, 1e308, math.inf])


@settings(deadline=None, max_examples=30)
@given(numbers=st.lists(NUMBERS, min_size=5, max_size=5), count=st.integers(-1, 10**20))
def test_any_number_can_be_shown(make_report: Make, numbers: list[float], count: int) -> None:
    """A file says what it likes; charts stay in their picture."""
    found = make_report(servers=1)
    server = found.servers[0]
    latencies = evidence.Latencies(None, count, *numbers[:4])
    points = tuple(evidence.LoadPoint(time_s, count, *numbers[:3]) for time_s in numbers)
    server.load = evidence.Load(latencies, (latencies,), points=points, seconds=numbers[0])
    cell = options.Cell("x", options.Method.PREDICT, count)
    server.requests = [evidence.Outcome(cell, "OK", "", number) for number in numbers]
    server.cells = [
        each.model_copy(update={"steady_s": numbers[0], "warm_first_s": numbers[1]}) for each in server.cells
    ]
    server.findings = [verdict.Finding("latency", verdict.Status.FAILED, ("x",), numbers[0], numbers[1], "ms")]
    server.load_time_s = numbers[0]
    server.timeline = evidence.Timeline(
        tuple(evidence.Phase("x", *numbers[first : first + 2]) for first in range(4)),
        tuple(evidence.MemorySample(time_s, count, count) for time_s in numbers),
    )
    drawn = [path["d"] or "" for path in Parsed(page.render(found)).all("path")]
    lines = [path for path in drawn if path.startswith("m")]
    assert all(-1e-6 <= place <= charts.WIDTH for path in lines for point in _points(path) for place in point)
    assert all(-8 <= place <= charts.WIDTH for path in drawn if path not in lines for place in _numbers(path))


def _numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", path)]


def _points(path: str) -> list[tuple[float, float]]:
    """The points of a path as `charts.path` writes it."""
    numbers = _numbers(path.replace("h0", ""))
    steps = zip(numbers[::2], numbers[1::2], strict=True)
    return list(itertools.accumulate(steps, lambda at, step: (at[0] + step[0], at[1] + step[1])))


@given(points=st.lists(st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)), max_size=9), dots=st.booleans())
def test_a_path_goes_through_its_points(points: list[tuple[float, float]], dots: bool) -> None:
    """To a tenth; no error adds up."""
    rounded = [(round(x * 10) / 10, round(y * 10) / 10) for x, y in points]
    expected = [pytest.approx(point, abs=1e-6) for point, _ in itertools.groupby(rounded)]
    assert _points(charts.path(points, dots=dots)) == expected


def test_latency_and_memory_have_one_time_axis(report: data.Report) -> None:
    """Of the boot: each phase has its place, wide enough to be seen, and what happened in it is drawn there."""
    (server, _) = report.servers
    times = axes.Times.of(server.timeline)
    assert times is not None
    latency = charts.latency_over_time(server, times, server.requests, charts.Bar(0.015, "bar"))
    memory = charts.memory_over_time(server.timeline, times, charts.Bar())
    assert latency is not None
    assert memory is not None
    assert latency.zones == memory.zones
    assert [each.split()[0] for each in latency.phases[:4]] == ["load", "warmup", "first", "requests"]
    assert min(zone.end - zone.start for zone in latency.zones) > (charts.RIGHT - charts.LEFT) / 11
    lines = dict(zip(("firsts", "requests", "p50", "p99", "slowest"), latency.lines, strict=True))
    for name, zone in {"firsts": 2, "requests": 3, "p50": 4, "p99": 4, "slowest": 4}.items():
        assert all(latency.zones[zone].start <= x <= latency.zones[zone].end for x, _ in lines[name].points)
    assert [each.label for each in latency.x_ticks] == ["0", "1.5", "2", "4", "15", "85"]
    resident, anonymous = memory.lines
    assert resident.points[-1][1] < anonymous.points[-1][1]
    assert memory.y_ticks[0].label == "0 bytes"


def test_without_times_requests_and_load_have_charts_of_their_own(report: data.Report) -> None:
    """As in reports of versions that did not note them."""
    for server in report.servers:
        server.timeline = None
    titles = [each.split(" ")[0] for each in Parsed(page.render(report)).titles]
    assert titles == ["Latency", "Percentiles", "Latency"] * 2


def test_percentiles_have_the_band_of_their_confidence() -> None:
    """Up to the top of the picture if the requests are too few for an upper bound."""
    intervals = (percentile_bars.Interval(50, 0.002, 0.004), percentile_bars.Interval(99, 0.005))
    load = evidence.Load(evidence.Latencies(None, 150, 0.003, 0.004, 0.01, 0.02, intervals=intervals))
    drawn = charts.percentiles(load, charts.Bar(0.05, "bar of p99"))
    assert drawn is not None
    (line,) = drawn.lines
    low50, low99, high99, high50 = line.band
    assert low50[0] == high50[0] == line.points[0][0]
    assert high50[1] < line.points[0][1] < low50[1]
    assert high99[1] == charts.TOP < line.points[2][1] < low99[1]
    assert drawn.bar is not None
    assert drawn.bar.label == "bar of p99 50 ms"


def test_charts_keep_the_slowest_of_many_requests() -> None:
    """Down to a few points; a failed request in a stretch is marked."""
    cell = options.Cell("x", options.Method.PREDICT, 1)
    outcomes = [evidence.Outcome(cell, "OK", "", 0.001) for _ in range(10_000)]
    outcomes[5000] = evidence.Outcome(cell, "INTERNAL", "", 1.0)
    drawn = charts.replay(outcomes)
    assert drawn is not None
    (line,) = drawn.lines
    assert len(line.points) == charts.MAX_POINTS
    assert min(y for _, y in line.points) == charts.TOP
    assert [abs(x - (charts.LEFT + charts.RIGHT) / 2) < 5 for x in drawn.marks] == [True]


def test_a_rare_percentile_is_far_to_the_right() -> None:
    """The axis is logarithmic in what is above: p50, p90 and p99 are about evenly spaced."""
    load = evidence.Load(evidence.Latencies(None, 10_000, 0.001, 0.01, 0.1, 1.0))
    drawn = charts.percentiles(load, charts.Bar(0.05))
    assert drawn is not None
    assert [tick.label for tick in drawn.x_ticks] == ["p50", "p90", "p99", "p99.9", "p99.99"]
    places = [tick.at for tick in drawn.x_ticks[1:]]
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert max(steps) - min(steps) < 1
    assert drawn.bar is not None
    p90, p99 = (y for _, y in drawn.lines[0].points[1:3])
    assert p99 < drawn.bar.at < p90


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    """Nothing in it runs, and its styles do not reach the notebook."""
    server = evidence.Server("s", "1", "process", embedded=False)
    shown = evidence.Evidence(evidence.Boot(server), tries=1, requests=0, warmup=evidence.Warmup())
    finding = verdict.Finding("load", verdict.Status.FAILED, ('"><script>',))
    judged = verdict.Verdict((verdict.ServerVerdict(shown, (finding,)),), "ab" * 32, evidence.Warmup())
    ((tag, attributes),) = Parsed(judged._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["sandbox"] is None
    assert attributes["srcdoc"] == page.render(data.report(judged))
    assert json.loads(Parsed(attributes["srcdoc"]).carried)["servers"][0]["findings"][0]["gate"] == "load"


def test_a_failed_gate_says_what_to_do(bare: data.Report) -> None:
    """At once below the verdict, and for each gate that there is."""
    assert set(advice.ADVICE) == {gate.name for gate in gates.choose(options.GateOptions(), {}, lambda _: True)}
    text = "".join(Parsed(page.render(bare)).text)
    assert text.index("Not blessed") < text.index(advice.ADVICE["load"]) < text.index("Gates", text.index("Late."))
