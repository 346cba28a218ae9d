"""The files of a kit, from what was asked for: pure, so nothing here touches a disk."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infraval import errors, escape
from infraval.kit import dashboard
from infraval.report import data
from infraval.requests import signatures

if TYPE_CHECKING:
    import jinja2

DEFAULT_IMAGE = "tensorflow/serving:2.19.1"
"""If no image judged. The newest one that is sure to exist."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

# https://github.com/distribution/reference: a name without upper case, and a tag or a digest.
_PATH = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?/)?{_PATH}(?:/{_PATH})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_MAX_IMAGE = 512

TEMPLATES = {
    "README.md": "README.md",
    "config/batching.config": "batching.config",
    "config/models.config": "models.config",
    "config/monitoring.config": "monitoring.config",
    "docker-compose.yaml": "docker-compose.yaml",
    "grafana/provisioning/dashboards/dashboards.yaml": "grafana-dashboards.yaml",
    "grafana/provisioning/datasources/prometheus.yaml": "grafana-datasource.yaml",
    "kubernetes/deployment.yaml": "deployment.yaml",
    "kubernetes/horizontal-pod-autoscaler.yaml": "horizontal-pod-autoscaler.yaml",
    "kubernetes/pod-disruption-budget.yaml": "pod-disruption-budget.yaml",
    "kubernetes/service.yaml": "service.yaml",
    "kustomization.yaml": "kustomization.yaml",
    "predict.py": "predict.py.jinja",
    "prometheus/prometheus.yml": "prometheus.yml",
}
"""The files that are made from a template, and the names of the templates."""

_DASHBOARD = "grafana/dashboards/model.json"
REQUEST = "request.json"
BATCHING = "config/batching.config"

_MAX_VALUES = 100_000
"""In the request of zeros; a signature may declare any shape."""

_MEMORY_FACTOR = 1.5
"""How much more than the measured peak a pod may take: load differs, and so does the machine."""

_MEMORY_STEP = 64 << 20

_MIN_START_S, _MAX_START_S, _START_FACTOR, _START_PERIOD_S = 300.0, 86400.0, 10.0, 5
"""How long a pod may take until every version is warm, at least, at most and as a multiple of what was measured."""

_MAX_K8S_NAME = 50
"""What Kubernetes appends must fit into 63 characters."""

# dtype of an input -> what is zero for it in JSON; REST takes no other dtypes.
_ZEROS: dict[str, Any] = {
    **dict.fromkeys(("float", "double"), 0.0),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"), 0),
    "bool": False,
    "string": "",
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What the report of a blessing says about serving.

    Attributes:
      image: that judged, with its digest if it has one; empty if none did.
      server: name and version of the server that judged.
      embedded: whether that is infraval's stand-in.
      peak_bytes: the most memory that a server of one version took; None if unknown.
      load_time_s: from the start of the server until AVAILABLE; None if unknown.
    """

    image: str = ""
    server: str = ""
    embedded: bool = False
    peak_bytes: int | None = None
    load_time_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Kit:
    """What a kit is made from.

    Attributes:
      name: of the model.
      mounted: the directory on this machine that the server needs.
      is_base_path: whether that is a model base path, and not one version.
      owner: UID:GID of who can read that directory.
      labels: the version of each label.
      image: of the server, with a tag or a digest.
      batch_sizes: that the warmup of every version covers; none to serve without batching.
      judged: what the report says; None without one.
      signature: an example of what to call; None if the model has no signature.
    """

    name: str
    mounted: Path
    is_base_path: bool
    owner: str
    labels: Mapping[str, int]
    image: str
    batch_sizes: tuple[int, ...] = ()
    judged: Judged | None = None
    signature: signatures.Signature | None = None

    @property
    def versions(self) -> list[int]:
        """What is served."""
        return sorted(set(self.labels.values()))

    @property
    def batches(self) -> bool:
        """Whether the server joins requests."""
        return max(self.batch_sizes, default=1) > 1

    @property
    def resource_name(self) -> str:
        """A name that Kubernetes takes for a Service: lower case, and it begins with a letter."""
        name = re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return (name if name[:1].isalpha() else f"model-{name}")[:_MAX_K8S_NAME].strip("-")


def check_name(name: str) -> None:
    """Checks the name of a model.

    Raises:
      OptionError: it cannot be part of a URL, a path and a label of Kubernetes.
    """
    if not _NAME.fullmatch(name):
        raise errors.OptionError(
            f"--name {escape.name(name)}: the name of the model is in URLs and in paths, so it must be letters, digits "
            "and . _ - within, 63 characters at most."
        )


def check_image(image: str, option: str) -> None:
    """Checks the reference of an image, which an option names.

    Raises:
      OptionError: it is none, or has neither tag nor digest.
    """
    if len(image) > _MAX_IMAGE or not _IMAGE.fullmatch(image) or not _is_pinned(image):
        raise errors.OptionError(
            f"{option} {escape.name(image)}: it must be the reference of an image with a tag or a digest, such as "
            f"{DEFAULT_IMAGE}."
        )


def _is_pinned(image: str) -> bool:
    """Whether a reference has a tag or a digest; a colon before the last slash is a registry's port."""
    return bool(re.search("[:@]", image.rpartition("/")[2]))


def check_path(path: Path) -> None:
    """Checks that a path can be in a YAML file.

    Raises:
      OptionError: it is not UTF-8, or holds control characters.
    """
    if not str(path).isprintable():
        raise errors.OptionError(f"{path}: its name holds characters that are not printable, which a kit cannot name.")


def judged(report: data.Report) -> Judged:
    """What the first server of a report found; with several images, the first one that was named."""
    if not report.servers:
        return Judged()
    first = report.servers[0]
    after_load, use = first.memory_after_load, first.memory
    peaks = [
        *([] if after_load is None else [after_load.resident_bytes, after_load.peak_bytes or 0]),
        *([] if use is None else [use.peak_bytes]),
    ]
    server = first.server
    image = server.image_digest or server.image
    if image and not _is_pinned(image):
        image += ":latest"  # what an engine makes of it
    if not image and not server.embedded and re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", server.version):
        image = f"tensorflow/serving:{server.version}"
    return Judged(
        image=image,
        server=escape.name(f"{server.name} {server.version}"),
        embedded=server.embedded,
        peak_bytes=max(peaks, default=None),
        load_time_s=first.load_time_s,
    )


def make(kit: Kit) -> dict[str, str]:
    """The content of each file, by its path in the kit."""
    request = _request(kit.signature)
    values = {
        "kit": kit,
        "judged": kit.judged or Judged(),
        "memory": _memory(kit),
        "max_starts": math.ceil(_start_s(kit) / _START_PERIOD_S),
        "start_period_s": _START_PERIOD_S,
        "target": f"/models/{kit.name}" if kit.is_base_path else f"/models/{kit.name}/{kit.versions[0]}",
        "has_request": request is not None,
        "inputs": _inputs(kit.signature),
    }
    contents = {
        path: _environment().get_template(name).render(values)
        for path, name in TEMPLATES.items()
        if kit.batches or path != BATCHING
    }
    contents[_DASHBOARD] = json.dumps(dashboard.make(kit.name), indent=2) + "\n"
    if request is not None:
        contents[REQUEST] = request
    return dict(sorted(contents.items()))


def _memory(kit: Kit) -> int | None:
    """MiB for a pod, which holds all versions; None if nothing was measured."""
    if kit.judged is None or kit.judged.peak_bytes is None:
        return None
    wanted = kit.judged.peak_bytes * len(kit.versions) * _MEMORY_FACTOR
    return math.ceil(wanted / _MEMORY_STEP) * _MEMORY_STEP >> 20


def _start_s(kit: Kit) -> float:
    measured = kit.judged.load_time_s if kit.judged is not None else None
    return min(_MAX_START_S, max(_MIN_START_S, _START_FACTOR * (measured or 0.0) * len(kit.versions)))


def _shape(tensor: signatures.TensorSpec) -> list[int]:
    """A shape that fits, with one of everything whose size is not fixed."""
    return [1 if size is None else size for size in ((None,) if tensor.shape is None else tensor.shape)]


def _inputs(signature: signatures.Signature | None) -> dict[str, tuple[str, list[int]]]:
    given = {} if signature is None else signature.inputs
    return {alias: (tensor.dtype, _shape(tensor)) for alias, tensor in given.items()}


def _request(signature: signatures.Signature | None) -> str | None:
    """The body of a REST request of zeros; None if REST cannot ask this signature, or it would be too long."""
    inputs = _inputs(signature)
    if signature is None or not inputs or any(dtype not in _ZEROS for dtype, _ in inputs.values()):
        return None
    if sum(math.prod(shape) for _, shape in inputs.values()) > _MAX_VALUES:
        return None
    body: dict[str, Any] = {} if signature.key == "serving_default" else {"signature_name": signature.key}
    if all(tensor.shape is not None and tensor.shape[:1] == (None,) for tensor in signature.inputs.values()):
        body["instances"] = [{alias: _zeros(_ZEROS[dtype], shape[1:]) for alias, (dtype, shape) in inputs.items()}]
    else:
        body["inputs"] = {alias: _zeros(_ZEROS[dtype], shape) for alias, (dtype, shape) in inputs.items()}
    return json.dumps(body) + "\n"


def _zeros(zero: Any, shape: list[int]) -> Any:
    for size in reversed(shape):
        zero = [zero] * size
    return zero


def _yaml(value: object) -> str:
    """A string of YAML, which is one of JSON; `check_path` leaves no characters that YAML does not take as they are."""
    return json.dumps(str(value), ensure_ascii=False)


def _compose(value: object) -> str:
    """A YAML string in a compose file, where a dollar sign begins the name of a variable."""
    return _yaml(value).replace("$", "$$")


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - takes a moment, and the help text does not need it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("infraval.kit"),
        autoescape=False,  # noqa: S701 - nothing here is HTML; each value has the filter of its file
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "compose": _compose,
        "markdown": lambda value: re.sub(r"([!-/:-@[-`{-~])", r"\\\1", value),
        "python": ascii,
        "shell": lambda value: shlex.quote(os.fspath(value)),
        "yaml": _yaml,
    }
    return environment
