"""What is blamed if no connection to a Docker engine can even be tried; no engine is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from infraval import errors, options
from infraval.sandbox.docker import engine as docker_engine


def refusal(**docker: str) -> str:
    """What is said of an engine that these options name."""
    with pytest.raises(errors.SandboxError) as caught, docker_engine.connect(options.DockerServer(**docker)):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        ({"base_url": "tcp://engine:port"}, "at tcp://engine:port: Port could not be cast"),
        ({"base_url": "tcp://engine:99999"}, "at tcp://engine:99999: Port out of range"),
        ({"base_url": "http://[::1"}, "Invalid IPv6 URL"),
        ({"base_url": "unix:///nowhere", "api_version": "new"}, "API version new (server.api_version)"),
    ],
)
def test_an_address_that_cannot_be_read_is_not_the_configurations_fault(
    docker: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is named with what is wrong with it, and the option as it is written."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    told = refusal(**docker)
    assert said in told
    assert "--docker-host (server.base_url)" in told
    assert "config.json" not in told


@pytest.mark.parametrize("content", ["[]", '{"auths": {"registry.example": "secret"}}', '{"proxies": 1}'])
def test_a_configuration_that_cannot_be_read_is_named(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the address cannot be read either; and nothing of it is told, as it may hold passwords."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(content)
    for address in ("tcp://engine:port", f"unix://{tmp_path}/no-engine"):
        told = refusal(base_url=address)
        assert "config.json" in told
        assert "secret" not in told
