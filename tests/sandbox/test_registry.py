"""Which sandbox stands for which platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infraval import errors, options
from infraval.sandbox import base, registry
from infraval.sandbox.process import sandbox as process

LAUNCH = base.Launch(model_name="m", model_base_path=Path("/models"))


def test_a_process_is_what_serves_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    """Nothing is said about the platform: the server is a process of this machine."""
    server = options.Job(model=tmp_path).server
    platform = registry.platform(server)

    assert list(platform.each(server).values()) == [server]
    assert isinstance(platform.create(server, LAUNCH, Path("/run/r")), process.ProcessSandbox)


def test_a_platform_that_is_not_built_says_so() -> None:
    """The error names the platform and what there is instead."""
    with pytest.raises(errors.PlatformNotBuiltError, match=r"kubernetes .*server\.platform") as caught:
        registry.platform(options.KubernetesServer())
    assert caught.value.code == "platform/not-built"


def test_each_image_judges_on_its_own() -> None:
    """The options once per image, all else the same; as many at a time as asked for."""
    server = options.DockerServer(images=["a:1", "a:2"], cpus=1, parallel_images=3)
    platform = registry.platform(server)

    each = platform.each(server)
    assert list(each) == ["a:1", "a:2"]
    assert [one.images for one in each.values()] == [("a:1",), ("a:2",)]  # type: ignore[attr-defined]
    assert {one.cpus for one in each.values()} == {1}  # type: ignore[attr-defined]
    assert platform.side_by_side(server) == 3


WITHOUT_DOCKER = """
import sys
sys.modules["docker"] = None
from infraval import errors, options
from infraval.sandbox import registry
try:
    registry.platform(options.DockerServer(images="tensorflow/serving"))
except errors.SandboxError as error:
    print(error)
"""


def test_docker_without_its_package_says_what_to_install() -> None:
    """The extra is optional, so that it is missing is no bug; an interpreter of its own has nothing imported yet."""
    told = subprocess.run([sys.executable, "-c", WITHOUT_DOCKER], check=True, capture_output=True, text=True).stdout

    assert "pip install '.[docker]'" in told
