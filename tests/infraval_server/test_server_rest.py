"""The REST API beyond the recorded cases: HTTP itself, paths, and what a body may hold."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import socket
import subprocess
import sys
from typing import Any

import pytest

PREDICT = "/v1/models/sink:predict"
ROW = '{"instances": [[1, 2, 3]]}'


def connect(server: Any) -> Any:
    """A connection that is closed when left; it stays open from request to request."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60.0))


def post(server: Any, body: bytes | str, path: str = PREDICT) -> tuple[int, Any]:
    """Sends a body; returns the status and the answer, of an error its text."""
    response = server.http("POST", path, body)
    answer = json.loads(response.text)
    return response.status, answer.get("error", answer)


def test_connection_is_kept_open(rest_server: Any) -> None:
    """Several requests go over one connection."""
    with connect(rest_server) as connection:
        connection.connect()
        opened = connection.sock
        for _ in range(3):
            connection.request("POST", PREDICT, ROW)
            assert json.load(connection.getresponse()) == {"predictions": [3.5]}
            assert connection.sock is opened


def test_body_may_come_in_chunks(rest_server: Any) -> None:
    """A body without a Content-Length is read to its end."""
    with connect(rest_server) as connection:
        connection.request("POST", PREDICT, iter([ROW[:5].encode(), ROW[5:].encode()]), encode_chunked=True)
        assert json.load(connection.getresponse()) == {"predictions": [3.5]}


def test_body_may_be_compressed(rest_server: Any) -> None:
    """A gzipped body is answered like a plain one, in plain text."""
    response = rest_server.http("POST", PREDICT, gzip.compress(ROW.encode()), {"Content-Encoding": "gzip"})
    assert json.loads(response.text) == {"predictions": [3.5]}


@pytest.mark.parametrize("body", [ROW.encode(), gzip.compress(ROW.encode())[:-9]], ids=["no gzip", "cut off"])
def test_compressed_body_that_is_broken_is_an_empty_one(body: bytes, rest_server: Any) -> None:
    """What does not decompress is answered as TensorFlow Serving's source does, and leaves no trace in the log."""
    response = rest_server.http("POST", PREDICT, body, {"Content-Encoding": "gzip"})
    assert (response.status, json.loads(response.text)) == (400, {"error": "JSON Parse error: The document is empty"})
    assert "Traceback" not in rest_server.log()


def test_content_type_of_a_request_does_not_matter(rest_server: Any) -> None:
    """Curl's default, a form, is no form."""
    response = rest_server.http("POST", PREDICT, ROW, {"Content-Type": "application/x-www-form-urlencoded"})
    assert json.loads(response.text) == {"predictions": [3.5]}


def test_idle_connections_take_no_thread(start: Any) -> None:
    """More open connections than threads do not keep a request from being answered."""
    server = start("--rest_api_num_threads=1", rest=True)
    server.wait_until_serving()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(connect(server))
            connection.request("GET", "/v1/models/sink")
            assert connection.getresponse().read()
        assert post(server, ROW) == (200, {"predictions": [3.5]})


def test_concurrent_requests_get_their_own_answers(rest_server: Any) -> None:
    """Many clients at once each get the answer to what they sent."""

    def ask(number: int) -> bool:
        body = json.dumps({"signature_name": "dynamic", "instances": [[number, number]]})
        return post(rest_server, body) == (200, {"predictions": [float(number)]})

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(100)))


@pytest.mark.parametrize(
    "sent",
    [
        b"this is not HTTP\r\n\r\n",
        b"POST /v1/models/sink:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n",
        b"POST /v1/models/sink:predict HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    ],
    ids=["no HTTP", "a terabyte", "no length"],
)
def test_bad_http_is_refused(sent: bytes, rest_server: Any) -> None:
    """What is no request, or too large a one, is answered with 400 and the connection is closed."""
    with socket.create_connection(("127.0.0.1", rest_server.rest_port), timeout=60.0) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 400 ")
    assert post(rest_server, ROW)[0] == 200


def test_client_may_leave_before_the_answer(rest_server: Any) -> None:
    """A connection that is closed right after the request hurts nobody and leaves no trace in the log."""
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", rest_server.rest_port)) as connection:
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ROW)}\r\n\r\n"
            connection.sendall(f"{head}{ROW}".encode())
    assert post(rest_server, ROW)[0] == 200
    assert "Traceback" not in rest_server.log()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_malformed_requests(method: str, rest_server: Any) -> None:
    """Only GET and POST are answered."""
    response = rest_server.http(method, "/v1/models/sink")
    assert response.status == 400
    assert json.loads(response.text) == {"error": f"Malformed request: {method} /v1/models/sink"}


def test_options_has_an_empty_answer(rest_server: Any) -> None:
    """As recorded from TensorFlow Serving: refused, without a message."""
    response = rest_server.http("OPTIONS", "/v1/models/sink")
    assert (response.status, response.headers["Content-Type"], response.text) == (
        400,
        "text/html; charset=ISO-8859-1",
        "",
    )


def test_head_has_no_body(rest_server: Any) -> None:
    """HEAD is refused too, and its answer can be read: headers alone."""
    with connect(rest_server) as connection:
        for _ in range(2):
            connection.request("HEAD", "/v1/models/sink")
            response = connection.getresponse()
            assert (response.status, response.read()) == (400, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/V1/Models/sink", 200, None),
        ("GET", "/v1/models/%73ink", 200, None),
        ("GET", "/v1/models/sink/labels/any", 200, None),
        ("GET", "/v1/models/sink?x=1", 404, "Could not find any versions of model sink?x=1"),
        ("GET", "/v1/models/sink/versions/2", 404, "Could not find version 2 of model sink"),
        ("GET", "/v1/models/sink/versions/2/metadata", 404, "Servable not found for request: Specific(sink, 2)"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("POST", "/v1/models/sink/metadata", 400, "Malformed request: POST /v1/models/sink/metadata"),
        ("POST", "/v1/models/sink:PREDICT", 400, "Malformed request: POST /v1/models/sink:PREDICT"),
        (
            "POST",
            f"/v1/models/sink/versions/{2**63}:predict",
            400,
            f"Failed to convert version: {2**63} to numeric.",
        ),
        (
            "GET",
            f"/v1/models/sink/versions/{'9' * 5000}",
            400,
            f"Failed to convert version: {'9' * 5000} to numeric.",
        ),
        ("GET", f"/v1/models/sink/versions/{'0' * 5000}1", 200, None),
        ("POST", "/v1/models/sink/labels/a%20b:predict", 400, "Unrecognized servable version label: a b"),
    ],
)
def test_paths(method: str, path: str, status: int, error: str | None, rest_server: Any) -> None:
    """Paths are read as TensorFlow Serving's source reads them."""
    response = rest_server.http(method, path, ROW if method == "POST" else None)
    assert (response.status, json.loads(response.text).get("error")) == (status, error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("instances = [1]", "JSON Parse error: Invalid value. at offset: 0"),
        ('{"instances" [1]}', "JSON Parse error: Missing a colon after a name of object member. at offset: 13"),
        (
            '{"instances": [1 2]}',
            "JSON Parse error: Missing a comma or ']' after an array element. at offset: 17",
        ),
        ('{"a": ["}"] "b"}', "JSON Parse error: Missing a comma or '}' after an object member. at offset: 12"),
        ('{"instances": ["\\ud800"]}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 16"),
        ('{"instances": [1e999]}', "JSON Parse error: Number too big to be stored in double. at offset: 15"),
        (f"{ROW}{{}}", "JSON Parse error: The document root must not be followed by other values. at offset: 26"),
        (
            '{"instances": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "JSON Parse error: The document is nested too deeply.",
        ),
        ("[1]", "JSON Value: [\n    1\n] Is not object"),
        (
            '{"signature_name": 1}',
            (
                'JSON Value: {\n    "signature_name": 1\n} not formatted correctly. '
                "'signature_name' key must be a string value."
            ),
        ),
        ('{"instances": 1}', "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
        (
            '{"signature_name": "two_inputs", "instances": [1]}',
            (
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                "tensorinfo_map"
            ),
        ),
        (
            '{"signature_name": "two_inputs", "inputs": [1]}',
            (
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            ),
        ),
        ('{"inputs": {"z": [1]}}', "Missing named input: x in 'inputs' object."),
        (
            '{"instances": [{"z": [1]}]}',
            (
                "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does "
                "not have named input: z"
            ),
        ),
        ('{"instances": [{"x": [1, 2, 3]}, [1]]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [[1, 2, 3], {"x": [1]}]}', "Expecting value/list but got object at item 1 of input list"),
        (
            '{"instances": [[1, 2], [[1], [2]]]}',
            (
                "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but "
                "got: [2,1]"
            ),
        ),
        ('{"inputs": [[1, 2], [3]]}', "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        (
            '{"inputs": [[1], 2]}',
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [null]}', "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs": [true]}', "JSON Value: true Type: True is not of expected type: float"),
        (
            '{"signature_name": "strings", "inputs": [0.1]}',
            "JSON Value: 0.1 Type: Number is not of expected type: string",
        ),
        (
            '{"signature_name": "strings", "inputs": [{"b64": 1}]}',
            'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
        ),
        ('{"signature_name": "strings", "inputs": {"b64": "@"}}', "Unable to base64 decode"),
    ],
)
def test_body_that_does_not_fit(body: str, error: str, rest_server: Any) -> None:
    """Each is 400 with the message that TensorFlow Serving's source has for it."""
    assert post(rest_server, body) == (400, error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"context": [], "examples": [{}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"v": [null]}]}', "Feature: v has element with unexpected JSON type: Null"),
        ('{"examples": [{"v": [[1]]}]}', "Feature: v has element with unexpected JSON type: Array"),
        ('{"examples": [{"v": {"x": 1}}]}', "Feature: v has element with unexpected JSON type: Object"),
        ('{"examples": [{"v": [1, 1.5]}]}', "Unexpected element type in feature: v expecting type: int64"),
        ('{"examples": [{"v": ["a", 1]}]}', "Unexpected element type in feature: v expecting type: bytes"),
        ('{"examples": [{"v": [1.0, true]}]}', "Unexpected element type in feature: v expecting type: float"),
        (f'{{"examples": [{{"v": {2**63}}}]}}', "Feature: v has uint64_t element. Only int64_t is supported."),
        (
            '{"signature_name": "s", "examples": [{}]}',
            "No signature was found with the name: s",
        ),
    ],
)
@pytest.mark.parametrize("method", ["classify", "regress"])
def test_examples_that_do_not_fit(method: str, body: str, error: str, rest_server: Any) -> None:
    """Classify and Regress refuse the same with the same words."""
    assert post(rest_server, body, f"/v1/models/sink:{method}") == (400, error)


@pytest.mark.parametrize("sent", ["plain", 'ü \\ " \n \x7f', "𝄞", "\x00"])
def test_text_comes_back(sent: str, rest_server: Any) -> None:
    """Text in any script is fed as UTF-8 and comes back as text, escaped or not."""
    for ensure_ascii in (True, False):
        body = json.dumps({"signature_name": "strings", "inputs": [sent]}, ensure_ascii=ensure_ascii)
        _, answer = post(rest_server, body.encode())
        assert answer["outputs"]["raw_bytes"] == [{"b64": base64.b64encode(sent.encode()).decode()}]
        assert answer["outputs"]["upper"] == [sent.encode().upper().decode()]  # ASCII's letters only


def test_bytes_that_are_no_text_pass_through(rest_server: Any) -> None:
    """Bytes that are not UTF-8 in a JSON string are fed as they are, and come back so."""
    body = b'{"signature_name": "strings", "inputs": ["\xff\xfe"]}'
    response = rest_server.http("POST", PREDICT, body)
    assert '"b64": "//4="' in response.text
    assert '"\udcff\udcfe"' in response.text


def test_bytes_in_an_error_pass_through(rest_server: Any) -> None:
    """An error that quotes such bytes is answered with them."""
    response = rest_server.http("POST", PREDICT, b'{"inputs": ["\xff"]}')
    assert response.status == 400
    assert '\\"\udcff\\" Type: String is not of expected type: float' in response.text


def test_name_of_an_input_may_be_no_text(rest_server: Any) -> None:
    """A name that is not UTF-8 is an unknown one."""
    response = rest_server.http("POST", PREDICT, b'{"instances": [{"\xff": 1}]}')
    assert response.status == 400
    assert "does not have named input: \udcff" in response.text


def test_scalar_string_is_answered(rest_server: Any) -> None:
    """A tensor without dimensions is one value, in and out."""
    status, answer = post(rest_server, '{"signature_name": "strings", "inputs": "Ab"}')
    assert (status, answer["outputs"]["upper"], answer["outputs"]["length"]) == (200, "AB", 2)


def test_long_error_is_not_cut(rest_server: Any) -> None:
    """Unlike gRPC, REST hands on a whole message."""
    name = "s" * 5000
    expected = f'Serving signature name: "{name}" not found in signature def'
    assert post(rest_server, json.dumps({"signature_name": name, "inputs": [1]})) == (400, expected)


def test_bug_of_the_server_ends_it(free_port: int) -> None:
    """What nobody foresaw ends it with a code of its own; the log says where it was, without a word of the request."""
    source = f"""
import http.client
from infraval_server import flags, rest_server

def respond(method, target, body):
    raise KeyError(body)

rest_server.start(flags.Options(rest_api_port={free_port}), respond)
connection = http.client.HTTPConnection("127.0.0.1", {free_port})
connection.request("POST", "/v1/models/m:predict", "secret")
print(connection.getresponse().status)
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (70, "")
    assert "E A bug of the embedded server: KeyError\n" in ended.stderr
    assert "in respond" in ended.stderr
    assert "secret" not in ended.stderr
