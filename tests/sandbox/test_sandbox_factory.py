"""Which sandbox stands for which platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from infraval import errors, spec
from infraval.sandbox import base, factory, process

OPTIONS = base.ServerOptions(model_name="m", model_base_path=Path("/models"))


def test_an_unset_platform_is_a_process() -> None:
    """Nothing is said about the platform: the server is a process of this machine."""
    assert isinstance(factory.create(spec.ServingSpec(), OPTIONS, Path("/run/r")), process.ProcessSandbox)


@pytest.mark.parametrize("platform", [spec.Platform.DOCKER, spec.Platform.KUBERNETES])
def test_a_platform_that_is_not_built_says_so(platform: spec.Platform) -> None:
    """The error names the platform and what there is instead."""
    with pytest.raises(errors.PlatformNotBuiltError, match=f"{platform.value} .*leave the platform unset"):
        factory.create(spec.ServingSpec(platform=platform), OPTIONS, Path("/run/r"))
