"""What counts as the server's own words: names of the model, names vouched for, words that every server uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infraval.redaction import REDACTED, Redactor


def field(value: bytes, tag: int = 0x0A) -> bytes:
    """A string field as protobuf serializes it."""
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 0x7F | 0x80, len(value) >> 7])
    return bytes([tag]) + length + value


def shows(redactor: Redactor, name: str, request: Any) -> bool:
    """Whether the redactor shows the name of a variable that is a value too."""
    return name in redactor.message(f"Attempting to use uninitialized value {name} in graph", request)


@pytest.mark.parametrize(
    "name",
    ["trip_miles", "Culmen Length (mm)", "1st_floor", "serving_default_x:0", "qux" * 42, "quxb" * 32, "qux" * 85],
)
def test_names_of_the_model(name: str, make_request: Callable[..., Any]) -> None:
    """A name of any length up to 255 that the SavedModel holds as one string is shown."""
    model = b"\x08\x01" + field(name.encode(), 0x42) + b"\x10\x02"
    assert shows(Redactor(model), name, make_request(name))
    assert shows(Redactor(names=[name]), name, make_request(name))
    assert not shows(Redactor(), name, make_request(name))


@pytest.mark.parametrize("name", ["John", "Smith", "JohnSmit", "ohnSmith", "John Smith", "trip_mile"])
def test_parts_of_names_do_not_count(name: str, make_request: Callable[..., Any]) -> None:
    """A value that merely occurs within a longer string of the model is removed."""
    model = field(b"JohnSmith") + field(b"trip_miles") + field(b"Dear John, dear Smith!")
    assert not shows(Redactor(model), name, make_request(name))


def test_node_names_that_inlining_makes(make_request: Callable[..., Any]) -> None:
    """A path of the model's names is a name, as inlining functions makes them; one foreign component spoils it."""
    redactor = Redactor(field(b"StatefulPartitionedCall_2") + field(b"while/Qux") + field(b"frobmul"))
    request = make_request("StatefulPartitionedCall_2", "Qux", "frobmul", "John")
    assert shows(redactor, "StatefulPartitionedCall_2/while/Qux/_1/frobmul", request)
    assert shows(redactor, "StatefulPartitionedCall_2/frobmul:0", request)
    assert not shows(redactor, "StatefulPartitionedCall_2/John/frobmul", request)


def test_words_that_every_server_uses(make_request: Callable[..., Any]) -> None:
    """A sentence in a request does not take the same words out of a reason; a name next to them goes."""
    request = make_request("Expected the input of John Quxley to be a string, but the value is not valid", "for", "arg")
    text = "Expected the input to be float for argument 0, but the value is not valid"
    assert Redactor().message(text, request) == text
    assert Redactor().message("is not valid: Quxley", request) == f"is not valid: {REDACTED}"
    assert Redactor().message("got 'input of John' here", request) == f"got '{REDACTED}' here"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/srv/models/m/1/assets.extra/tf_serving_warmup_requests", "<base>/1/assets.extra/tf_serving_warmup_requests"),
        ("/srv/models/m", "<base>"),
        ("/srv/models/mine/1/assets/vocab.txt", "/srv/models/mine/1/assets/vocab.txt"),
        ("file:///srv/models/m/1", "file://<base>/1"),
    ],
)
def test_base_paths(path: str, shown: str) -> None:
    """Files are shown relative to the model base path."""
    redactor = Redactor(names=["m", "/srv/models/m/"])
    assert redactor.message(f"{path}; No such file or directory") == f"{shown}; No such file or directory"
