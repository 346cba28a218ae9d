"""Which names count as the model's own."""

from __future__ import annotations

import pytest

from infraval.redaction import REDACTED, Redactor


def field(value: bytes, tag: int = 0x0A) -> bytes:
    """A string field as protobuf serializes it."""
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 0x7F | 0x80, len(value) >> 7])
    return bytes([tag]) + length + value


def shows(redactor: Redactor, name: str) -> bool:
    """Whether the redactor shows the name of a variable."""
    shown = redactor.message(f"Attempting to use uninitialized value {name}")
    assert shown in {f"Attempting to use uninitialized value {part}" for part in (name, REDACTED)}
    return name in shown


@pytest.mark.parametrize(
    "name",
    ["v", "trip_miles", "Culmen Length (mm)", "1st_floor", "serving_default_x:0", "a" * 127, "b" * 128, "c" * 255],
)
def test_whole_string_fields_count(name: str) -> None:
    """A name of any length up to 255 that the SavedModel holds as one string is shown."""
    assert shows(Redactor(b"\x08\x01" + field(name.encode(), 0x42) + b"\x10\x02"), name)


@pytest.mark.parametrize("name", ["John", "Smith", "JohnSmit", "ohnSmith", "John Smith", "trip_mile", "J", "nS"])
def test_parts_of_strings_do_not_count(name: str) -> None:
    """A request value that merely occurs within a longer string of the model is not shown."""
    model = field(b"JohnSmith") + field(b"trip_miles") + field(b"Dear John, dear Smith!")
    assert not shows(Redactor(model), name)


@pytest.mark.parametrize("name", ["4711", "1234567890", "\x1b[31mred", "J\u00f6rg", "a\nb", "", "a;b", "d" * 256])
def test_what_is_not_like_a_name_does_not_count(name: str) -> None:
    """Numbers, control characters, other scripts and over-long strings are not shown even if the model holds them."""
    model = b"".join(field(name.encode()[:200]) for _ in range(2))
    assert Redactor(model, [name]).message(f'Serving signature key "{name}" not found.') == (
        f'Serving signature key "{REDACTED if name else ""}" not found.'
    )


def test_node_names_that_inlining_makes() -> None:
    """A path of the model's names is a name, as inlining functions makes them; one foreign component spoils it."""
    redactor = Redactor(field(b"StatefulPartitionedCall_2") + field(b"while/body") + field(b"matmul"))
    assert shows(redactor, "StatefulPartitionedCall_2/while/body/_1/matmul")
    assert shows(redactor, "StatefulPartitionedCall_2/matmul:0")
    assert not shows(redactor, "StatefulPartitionedCall_2/John/matmul")


def test_unknown_nodes_leave_no_trace() -> None:
    """A node whose name is not the model's is left out; the function's name alone is dropped the same way."""
    text = "Table not initialized.\n\t [[{{function_node John}}{{node a/b}}]]\n\t [[{{node John}}]]\n\t [[John]]"
    assert Redactor(field(b"a/b")).message(text) == "Table not initialized. [[{{node a/b}}]]"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/srv/models/m/1/assets.extra/tf_serving_warmup_requests", "<base>/1/assets.extra/tf_serving_warmup_requests"),
        ("/srv/models/m/1584391735/assets/vocab.txt", "<base>/1584391735/assets/vocab.txt"),
        ("/srv/models/m/1/variables/variables.data-00000-of-00001", "<base>/1/variables/variables.data-00000-of-00001"),
        ("/srv/models/m", "<base>"),
        ("/srv/models/m/1/assets/john.txt", REDACTED),
        ("/srv/models/mine/1/assets/vocab.txt", REDACTED),
        ("/srv/models/m/../../../home/john", REDACTED),
        ("/home/john/vocab.txt", REDACTED),
        ("vocab.txt", REDACTED),
    ],
)
def test_paths_are_shown_below_the_base_path_only(path: str, shown: str) -> None:
    """A file of the served model is shown relative to the base path; any other may be named by a request."""
    redactor = Redactor(field(b"vocab.txt"), ["m", "/srv/models/m/"])
    assert redactor.message(f"{path}; No such file or directory") == f"{shown}; No such file or directory"


def test_long_lists_of_names_are_cut() -> None:
    """A model with hundreds of inputs does not push the end of the message out."""
    names = [f"feature_{number}" for number in range(300)]
    shown = Redactor(names=names).message(
        f"input size does not match signature: 0!=300 len({{}}) != len({{{','.join(names)}}}). Sent extra: {{}}. "
        f"Missing but required: {{{','.join(names)}}}."
    )
    assert shown.endswith(f"Missing but required: {{{','.join(names[:10])},...}}.")
