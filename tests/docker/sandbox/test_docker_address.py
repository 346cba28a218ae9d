"""Which engine is used, and what is said if it does not answer. Docker's own configuration is the test's own."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infraval import errors, options
from infraval.sandbox.docker import engine as docker_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("_no_configuration")]

TcpEngine = tuple[str, "subprocess.Popen[str]"]

ABSENT = "unix:///nonexistent/docker.sock"


@pytest.fixture
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
    for name in (*variables, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")


@pytest.fixture
def make_context() -> Callable[[str, str], None]:
    """Makes a Docker context for an address, with the docker command."""

    def make(name: str, host: str) -> None:
        command = ["/usr/bin/docker", "context", "create", name, "--docker", f"host={host}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return make


def url(**given: str) -> str:
    """Where the engine is that these options lead to; it has answered."""
    with docker_engine.connect(options.DockerServer(**given)) as engine:
        assert engine.info["OSType"] == "linux"
        return engine.url


def test_base_url_comes_before_the_environment(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for counts."""
    monkeypatch.setenv("DOCKER_HOST", ABSENT)
    assert url(base_url=base_url) == base_url


def test_a_context_that_is_named_comes_before_the_environment(
    base_url: str, make_context: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `docker --context` does."""
    make_context("build", base_url)
    monkeypatch.setenv("DOCKER_HOST", ABSENT)
    assert url(context="build") == base_url


def test_docker_host_comes_before_the_current_context(
    base_url: str, make_context: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the docker command has it."""
    make_context("elsewhere", ABSENT)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "elsewhere"}))
    monkeypatch.setenv("DOCKER_HOST", base_url)
    assert url() == base_url


def test_the_current_context_is_used(
    base_url: str, make_context: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of `docker context use`, unless DOCKER_CONTEXT names another."""
    make_context("build", base_url)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "build"}))
    assert url() == base_url
    make_context("elsewhere", ABSENT)
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(errors.SandboxError, match=f"No Docker engine answers at {ABSENT}"):
        url()


@pytest.mark.parametrize("where", ["option", "DOCKER_CONTEXT", "currentContext"])
def test_a_context_that_is_none_is_an_error(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not passed over for the default engine."""
    if where == "DOCKER_CONTEXT":
        monkeypatch.setenv(where, "absent")
    if where == "currentContext":
        (tmp_path / "config.json").write_text(json.dumps({where: "absent"}))
    given = {"context": "absent"} if where == "option" else {}
    with pytest.raises(errors.SandboxError, match="There is no Docker context absent; `docker context ls` lists"):
        url(**given)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"auths": {"registry.example": {"auth": ""}}}',
        '{"auths": {"registry.example": "secret"}}',
        '{"proxies": 1}',
    ],
)
def test_a_configuration_that_is_none_is_named(content: str, base_url: str, tmp_path: Path) -> None:
    """It is neither the engine's fault nor a bug; and nothing of it is told, as it may hold passwords."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(errors.SandboxError, match=r"^Docker's configuration \(config\.json in DOCKER_CONFIG") as raised:
        url(base_url=base_url)
    assert "secret" not in str(raised.value)


def test_an_engine_over_tcp_is_used_and_shares_the_socket_all_the_same(tcp_engine: TcpEngine) -> None:
    """What is shared is found out, not guessed from the address."""
    address, _ = tcp_engine
    with docker_engine.connect(options.DockerServer(base_url=address)) as engine:
        assert engine.url == address
        assert engine.shares_kernel()


def test_an_engine_that_is_down_is_an_error(tmp_path: Path) -> None:
    """With the reason, and what to do."""
    with pytest.raises(errors.SandboxError, match=r"answers at unix:.*: No such file or directory\. Start it, or name"):
        url(base_url=f"unix://{tmp_path}/docker.sock")


def test_an_engine_that_refuses_connections_is_an_error(tmp_path: Path) -> None:
    """A socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with pytest.raises(errors.SandboxError, match=r"Connection refused\. Start it, or name another one"):
        url(base_url=f"unix://{tmp_path}/s")


def test_an_engine_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    """Connected, and then silence: the deadline of a call ends it."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(errors.SandboxError, match="No Docker engine answers"):
            url(base_url=f"unix://{tmp_path}/s", client_timeout_s=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "ftp://host:1", "ssh://"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    """Docker's library's own words."""
    with pytest.raises(errors.SandboxError, match=re.escape(address)):
        url(base_url=address)


def test_a_version_of_the_api_can_be_asked_for(base_url: str) -> None:
    """One that the engine does not have is an error in its own words."""
    with docker_engine.connect(options.DockerServer(base_url=base_url, api_version="1.40")) as engine:
        assert engine.api.api_version == "1.40"
    with pytest.raises(errors.SandboxError, match=r"client version 9.99 is too new"):
        url(base_url=base_url, api_version="9.99")


def test_a_context_brings_its_certificates(tls_engine: tuple[str, Path]) -> None:
    """The engine asks for one, and so does this side; without the context there is no way in."""
    address, folder = tls_engine
    files = ",".join(f"{name}={folder}/{name}.pem" for name in ("ca", "cert", "key"))
    command = ["/usr/bin/docker", "context", "create", "secure", "--docker", f"host={address},{files}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert url(context="secure").endswith(address.removeprefix("tcp://"))
    with pytest.raises(errors.SandboxError, match="No Docker engine answers"):
        url(base_url=address)


def test_certificates_of_the_environment_count_for_base_url_too(
    tls_engine: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for the docker command's --host."""
    address, folder = tls_engine
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    assert url(base_url=address) == address


def test_a_bundle_of_requests_that_takes_the_place_of_the_ca_is_named(
    tls_engine: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library under docker-py prefers it to the engine's own CA."""
    address, folder = tls_engine
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "cert.pem"))
    with pytest.raises(errors.SandboxError, match="REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE do not override"):
        url(base_url=address)


def test_certificates_that_are_missing_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH count for base_url too."""
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(errors.SandboxError, match=r"Docker engine's address could not be read: .*cert"):
        url(base_url="tcp://127.0.0.1:9")
