"""What infraval reads of a platform config file: the braces, the batching parameters, and whether models are warmed.

Its messages hold others that are in no wheel, and the server knows more of them than any copy would. So this looks for
fields by name, and leaves the rest to the server.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from infraval import errors

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<comment>\#[^\n]*)|(?P<brace>[{}<>])|"""
    r"""(?P<word>[^\s{}<>\#"']+)|(?P<stray>["'])""",
    re.VERBOSE,
)
_CLOSES = {"}": "{", ">": "<"}
_BATCHING = "batching_parameters"
_WARMUP = "enable_model_warmup"


@dataclasses.dataclass(frozen=True)
class PlatformConfig:
    """What a file says.

    Attributes:
      batching: a text-format BatchingParameters whose lines have the numbers that they have in the file; None if there
        is none.
      warms_up: whether the server replays warmup files, which it does not by default.
    """

    batching: bytes | None
    warms_up: bool


def read(content: bytes, path: Path, what: str) -> PlatformConfig:
    """Reads the file.

    Raises:
      OptionError: it is not a text proto: it is not UTF-8, or its braces do not match.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise errors.OptionError(f"{what} {path} is not UTF-8: {error}") from None
    opened: list[tuple[str, int, str]] = []  # brace, where its content starts, the name of the field
    name, words, batching = "", [], None
    for token in _TOKEN.finditer(text):
        if token["stray"]:
            raise _malformed(f"{what} {path}", text, token.start(), "a string that is not closed on its line")
        if token["word"]:
            words.append(token["word"])
            name = token["word"].rstrip(":") or name
        if token["brace"] in _CLOSES.values():
            opened.append((token["brace"], token.end(), name))
        elif token["brace"]:
            if not opened or opened[-1][0] != _CLOSES[token["brace"]]:
                raise _malformed(f"{what} {path}", text, token.start(), f"{token['brace']} without its counterpart")
            _, start, field = opened.pop()
            if field == _BATCHING:
                batching = "\n" * text.count("\n", 0, start) + text[start : token.start()]
    if opened:
        raise _malformed(f"{what} {path}", text, opened[-1][1] - 1, f"{opened[-1][0]} without its counterpart")
    warms_up = re.search(rf"{_WARMUP}\s*:\s*(true|True|t|1)\b", " ".join(words)) is not None
    return PlatformConfig(None if batching is None else batching.encode(), warms_up)


def _malformed(what: str, text: str, position: int, found: str) -> errors.OptionError:
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    return errors.OptionError(f"{what} is not a text-format PlatformConfigMap: {line}:{column} : {found}.")
