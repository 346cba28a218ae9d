"""Which sandbox stands for which platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infraval import errors, options
from infraval.sandbox import base
from infraval.sandbox import registry as factory
from infraval.sandbox.process import sandbox as process

OPTIONS = base.Launch(model_name="m", model_base_path=Path("/models"))


def test_an_unset_platform_is_a_process() -> None:
    """Nothing is said about the platform: the server is a process of this machine."""
    assert isinstance(factory.create(options.ServingSpec(), OPTIONS, Path("/run/r")), process.ProcessSandbox)


def test_a_platform_that_is_not_built_says_so() -> None:
    """The error names the platform and what there is instead."""
    with pytest.raises(errors.PlatformNotBuiltError, match=r"kubernetes .*leave the platform unset"):
        factory.check(options.ServingSpec(platform=options.Platform.KUBERNETES), print)


WITHOUT_DOCKER = """
import sys
sys.modules["docker"] = None
from infraval import errors, options
from infraval.sandbox import registry as factory
try:
    factory.check(options.ServingSpec(options.Platform.DOCKER, images=("tensorflow/serving",)), print)
except errors.SandboxError as error:
    print(error)
"""


def test_docker_without_its_package_says_what_to_install() -> None:
    """The extra is optional, so that it is missing is no bug; an interpreter of its own has nothing imported yet."""
    told = subprocess.run([sys.executable, "-c", WITHOUT_DOCKER], check=True, capture_output=True, text=True).stdout

    assert "pip install 'tfx-infraval[docker]'" in told
