"""Matches server texts against the known messages and renders what of them may be shown."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable

from infraval import errors
from infraval.redaction import serving_messages, tensorflow_messages
from infraval.redaction.slots import PATTERNS, REDACTED, STATUS_CODES
from infraval.redaction.vocabulary import Vocabulary

WITHHELD = "message withheld: it matches no known message of TensorFlow and may hold request data"

MAX_MESSAGE_LENGTH = 2000
"""Characters of a redacted message; a longer one is withheld as a whole."""

_MAX_LIST = 10  # names shown of a list, such as a wide model's inputs
_MAX_NODES = 4  # nodes shown of a trail
_MAX_NESTING = 6  # a start-up failure quotes a load failure, which quotes a warmup failure, which quotes a kernel's

_SLOT = re.compile(r"\$([a-z]+)")
_INDEX_LENGTH = 4
_MULTI_LINE = frozenset({"message", "messages", "value"})

_STATUS = re.compile(rf"(?:{'|'.join(spelling for code in STATUS_CODES for spelling in code)}): ")

# What TensorFlow's Python session puts before a message, and its allocator after one.
_FRAMING = re.compile(
    r"\AGraph execution error:\n\n(?:Detected at node .*?\nNode: '[^'\n]*'\n)?"
    r"|\A(?:\{\{function_node [^{}\n]*\}\} ?)+(?!\{)"
    r"|\nHint: If you want to see a list of allocated tensors when OOM happens, add "
    r"report_tensor_allocations_upon_oom to RunOptions for current allocation info\."
    r"(?: This isn't available when running in Eager mode\.)?\n?",
    re.DOTALL,
)
_NODE = re.compile(r"(?:\{\{function_node ([^{}]*)\}\})?\{\{node ([^{}]*)\}\}(?: = .*)?", re.DOTALL)

_LOG_PREFIX = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: )?([IWEF] )(?:[\w./-]+:\d+\] )?", re.ASCII)
_WITHHELD_LINES = re.compile(r"<(\d{1,12}) lines withheld>", re.ASCII)
_FRAME = re.compile(r'  File "(?:.*/)?([\w.-]{1,64}\.py)", line (\d{1,6}), in (<?\w{1,64}>?)', re.ASCII)
_WARNING = re.compile(r"(?:.*/)?([\w.-]{1,64}\.py):(\d{1,6}): (\w{1,64}Warning): .*", re.ASCII)
_EXCEPTION = re.compile(r"(?:[\w.]{1,128}\.)?(\w{1,64})(?:: (.*))?", re.ASCII)
_EXCEPTION_NAMES = frozenset(
    name
    for module in (builtins, errors)
    for name, item in vars(module).items()
    if isinstance(item, type) and issubclass(item, BaseException)
) | {f"{code.title().replace(' ', '')}Error" for _, code in STATUS_CODES}  # tf.errors.InvalidArgumentError


class _Template:
    """A known message: literals, with a slot between each two."""

    def __init__(self, text: str) -> None:
        pieces = _SLOT.split(text)
        self.literals = pieces[::2]
        self.slots = pieces[1::2]

    def literal_length(self) -> int:
        """How much of the message is literal text, in characters."""
        return sum(map(len, self.literals))

    def match(self, text: str) -> list[str] | None:
        """What the slots hold, or None if the text is another message. Linear in the text: nothing is tried twice."""
        if not self.slots:
            return [] if text == self.literals[0] else None
        head, *inner, tail = self.literals
        if not text.startswith(head) or not text.endswith(tail):
            return None
        captures = []
        start = len(head)
        for literal in inner:
            end = text.find(literal, start)
            if end < 0:
                return None
            captures.append(text[start:end])
            start = end + len(literal)
        if start > len(text) - len(tail):
            return None
        captures.append(text[start : len(text) - len(tail)])
        # Else a template that begins with a slot would take the lines before its own for a part of itself.
        takes_lines_before = not head and "\n" in captures[0] and self.slots[0] not in _MULTI_LINE
        return None if takes_lines_before else captures


class _Table:
    """Templates, found by how a text begins."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._by_beginning: dict[str, list[_Template]] = {}
        # Most literal text first, so that a specific message comes before the general one that also fits it.
        for template in sorted(map(_Template, texts), key=_Template.literal_length, reverse=True):
            head = template.literals[0]
            key = head[:_INDEX_LENGTH] if len(head) >= _INDEX_LENGTH else ""
            self._by_beginning.setdefault(key, []).append(template)

    def find(self, text: str) -> tuple[_Template, list[str]] | None:
        for key in (text[:_INDEX_LENGTH], ""):
            for template in self._by_beginning.get(key, ()):
                captures = template.match(text)
                if captures is not None:
                    return template, captures
        return None


_MESSAGES = _Table((*serving_messages.MESSAGES, *tensorflow_messages.MESSAGES, WITHHELD))
_LOG_LINES = _Table(serving_messages.LOG_LINES)


class Redactor:
    """Makes texts of a model server safe to show; text that passed once passes again unchanged.

    Args:
      saved_model: the bytes of the model's saved_model.pb; names found in it may be shown.
      names: further names that may be shown: model name, requested signatures; a name that starts with `/` is a model
        base path, below which SavedModel files may be shown as `<base>/…`.
    """

    def __init__(self, saved_model: bytes = b"", names: Iterable[str] = ()) -> None:
        self._vocabulary = Vocabulary(saved_model, names)

    def message(self, text: str) -> str:
        """An error message without request data: ASCII, at most `MAX_MESSAGE_LENGTH` characters.

        Keeps the status code it begins with, the text if it is a known one, and the nodes it ends with.
        """
        return self._message(text, 0)

    def log(self, text: str, last_lines: int = 20) -> str:
        """The last known lines of a server's log, after one line that counts the lines left out.

        Keeps a line's time and severity, a traceback's frames (by file name) and exception types.

        Args:
          text: a whole log.
          last_lines: how many lines to keep at most.
        """
        shown = []
        total = 0
        for line in filter(str.strip, text.splitlines()):
            withheld = _WITHHELD_LINES.fullmatch(line)
            total += int(withheld[1]) if withheld else 1
            redacted = None if withheld else self._line(line)
            if redacted is not None and len(redacted) <= MAX_MESSAGE_LENGTH:
                shown.append(redacted)
        tail = shown[-last_lines:] if last_lines > 0 else []
        left_out = total - len(tail)
        return "\n".join([f"<{left_out} lines withheld>", *tail] if left_out else tail)

    def _message(self, text: str, nesting: int) -> str:
        body, nodes = self._split_nodes(_FRAMING.sub("", text))
        status = _STATUS.match(body)
        code = status[0] if status else ""
        known = self._render(_MESSAGES, body[len(code) :], nesting)
        if known is None:
            known = WITHHELD if body else ""
        shown = code + known + nodes
        return shown if len(shown) <= MAX_MESSAGE_LENGTH else code + WITHHELD

    def _split_nodes(self, text: str) -> tuple[str, str]:
        """A message, and the trail `[[{{node a/b}}]]` that it ends with, one or more parts, as far as it is known."""
        end = len(text)
        parts: list[str] = []
        while text.endswith("]]", 0, end):
            start = text.rfind("[[", 0, end)
            content = text[start + 2 : end - 2]
            on_its_own_line = text.endswith("\n\t ", 0, max(start, 0))
            if start < 0 or not (on_its_own_line or content.startswith("{{")):
                break
            node = _NODE.fullmatch(content)
            if node and self._vocabulary.name(node[2]):
                function = node[1] and self._vocabulary.name(node[1])
                parts.append((f"{{{{function_node {function}}}}}" if function else "") + f"{{{{node {node[2]}}}}}")
            end = start - 3 if on_its_own_line else start - text.endswith(" ", 0, start)
        return text[:end], "".join(f" [[{part}]]" for part in parts[::-1][-_MAX_NODES:])

    def _render(self, table: _Table, text: str, nesting: int) -> str | None:
        found = table.find(text) if nesting <= _MAX_NESTING else None
        if found is None:
            return None
        template, captures = found
        shown = [self._fill(slot, capture, nesting) for slot, capture in zip(template.slots, captures, strict=True)]
        return template.literals[0] + "".join(map("".join, zip(shown, template.literals[1:], strict=True)))

    def _fill(self, slot: str, text: str, nesting: int) -> str:
        if not text:
            return ""
        if slot == "message":
            return self._message(text, nesting + 1)
        if slot == "messages":
            lines = (self._message(line.lstrip(), nesting + 1) for line in text.splitlines())
            return "\n".join(line for line in lines if line and not line.startswith(WITHHELD))
        if slot == "names":
            names = text.split(",", _MAX_LIST)
            shown = [self._fill("name", name, nesting) for name in names[:_MAX_LIST]]
            return ",".join([*shown, "..."] if len(names) > _MAX_LIST else shown)
        safe = None
        if slot == "name":
            safe = self._vocabulary.name(text)
        elif slot == "path":
            safe = self._vocabulary.path(text)
        elif slot in PATTERNS and PATTERNS[slot].fullmatch(text):
            safe = text
        return safe or REDACTED

    def _line(self, line: str) -> str | None:
        """A line of a log as it may be shown, or None if it is not a known one."""
        if frame := _FRAME.fullmatch(line):
            return f'  File "{frame[1]}", line {frame[2]}, in {frame[3]}'
        if (warning := _WARNING.fullmatch(line)) and warning[3] in _EXCEPTION_NAMES:
            return f"{warning[1]}:{warning[2]}: {warning[3]}: {REDACTED}"
        prefix = _LOG_PREFIX.match(line)
        start = (prefix[1] or "") + prefix[2] if prefix else ""
        body, nodes = self._split_nodes((line[prefix.end() :] if prefix else line).lstrip())
        known = self._render(_LOG_LINES, body, 0)
        if known is None:
            known = self._render(_MESSAGES, body, 0)
        if known is not None or (not body and nodes):
            return start + (known or "") + nodes
        exception = _EXCEPTION.fullmatch(line)
        if exception and exception[1] in _EXCEPTION_NAMES:
            return exception[1] if exception[2] is None else f"{exception[1]}: {self._message(exception[2], 0)}"
        return None
