"""The files of a kit: each is what its reader takes, and says what was asked for."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import hypothesis
import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from hypothesis import strategies

from infraval import cli, errors, evidence, options, verdict
from infraval.kit import files, source, writing
from infraval.report import data
from infraval.requests import batch_sizes, signatures
from infraval.tensorflow_protos import model_server_config_pb2

Run = Callable[..., click.testing.Result]

GOLDEN_METRICS = (
    ":tensorflow:serving:request_latency_bucket",
    ":tensorflow:serving:request_count",
    ":tensorflow:serving:model_warmup_latency_sum",
    ":tensorflow:cc:saved_model:load_latency",
    ":tensorflow:cc:saved_model:load_attempt_count",
    ":tensorflow:core:graph_build_calls",
)
"""What TF Serving 2.16.1 calls them (golden/config.json, case monitoring)."""

KUBERNETES = ("1.27", "1.37")
"""Versions whose API the manifests are for: an old one that is still about, and the newest one of the schemas."""


@pytest.fixture
def base_path(write_version: Callable[..., Path], tmp_path: Path) -> Path:
    """A model with versions 7, 50 and 101, and what else lies about there."""
    for version in (7, 50, 101):
        write_version(tmp_path / "digits" / str(version))
    (tmp_path / "digits" / "tmp").mkdir()
    return tmp_path / "digits"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `infraval kit`, with the output in `kit`."""

    def invoke(*arguments: object) -> click.testing.Result:
        command = ["kit", "--output", str(tmp_path / "kit"), *map(str, arguments)]
        return click.testing.CliRunner().invoke(cli.commands, command, prog_name="infraval")

    return invoke


@pytest.fixture
def kit(run: Run, base_path: Path, tmp_path: Path) -> Path:
    """A kit of versions 50 and 101."""
    finished = run(base_path, "--label", "stable=50", "--label", "canary=101", "--image", "tensorflow/serving:2.16.1")
    assert finished.exit_code == 0, finished.output
    return tmp_path / "kit"


def _config(kit: Path) -> Any:
    text = (kit / "config" / "models.config").read_text()
    (entry,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    return entry


def test_the_config_serves_the_labelled_versions_and_no_others(kit: Path) -> None:
    """By number, below the path that the compose file mounts them at."""
    entry = _config(kit)

    assert (entry.name, entry.base_path, entry.model_platform) == ("digits", "/models/digits", "tensorflow")
    assert list(entry.model_version_policy.specific.versions) == [50, 101]
    assert entry.version_labels == {"stable": 50, "canary": 101}


def test_the_newest_version_is_stable_unless_labels_are_given(run: Run, base_path: Path, tmp_path: Path) -> None:
    """As a number, not as a string."""
    assert run(base_path).exit_code == 0
    assert _config(tmp_path / "kit").version_labels == {"stable": 101}


def test_the_monitoring_config_is_where_prometheus_looks(kit: Path) -> None:
    """No wheel has its message, of which these are all the fields: monitoring_config.proto."""
    found = re.sub("#.*", "", (kit / "config" / "monitoring.config").read_text())
    (scraped,) = yaml.safe_load((kit / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]

    assert found.split() == ["prometheus_config", "{", "enable:", "true", "path:", f'"{scraped["metrics_path"]}"', "}"]
    assert scraped["static_configs"] == [{"targets": ["serving:8501"]}]


def test_batches_have_sizes_that_every_version_has_warmed(
    run: Run, write_version: Callable[..., Path], tmp_path: Path
) -> None:
    """For every signature that is warmed at all; infraval reads the file as the server does."""
    base = tmp_path / "base"
    write_version(base / "1", [("a", 1), ("a", 4), ("a", 8), ("b", 4), ("b", 1), ("b", 2)])
    write_version(base / "2", [("a", 4), ("a", 1), ("a", 32)])
    assert run(base, "--label", "x=1", "--label", "y=2").exit_code == 0

    path = tmp_path / "kit" / "config" / "batching.config"
    job = options.Job(model=base / "1", warmup={"batching_parameters_file": str(path)})
    assert batch_sizes.batch_sizes(job) == (1, 4)
    # TF Serving refuses another maximum than the last size, also if it splits large requests.
    assert re.findall(r"^(\w*batch\w*size\w*).*?(\d+)", path.read_text(), re.MULTILINE) == [
        ("allowed_batch_sizes", "1"),
        ("allowed_batch_sizes", "4"),
        ("max_batch_size", "4"),
    ]
    assert "--batching_parameters_file=/config/batching.config" in _compose(tmp_path / "kit")["serving"]["command"]


@pytest.mark.parametrize("warmup", [None, [], [("a", 1)], [("a", 1), ("a", 4), ("b", 1)]])
def test_without_a_warmed_batch_size_there_is_no_batching(
    warmup: list[tuple[str, int]] | None, run: Run, write_version: Callable[..., Path], tmp_path: Path
) -> None:
    """No file, no flag, no key in the kustomization, and a note that says why."""
    write_version(tmp_path / "base" / "1", warmup)
    finished = run(tmp_path / "base")
    assert "note    without batching" in finished.stdout
    _assert_no_batching(tmp_path / "kit")


def test_batching_can_be_left_out(run: Run, base_path: Path, tmp_path: Path) -> None:
    """The same without the note."""
    assert "--batching-parameters-file" in run(base_path).stdout
    finished = run(base_path, "--no-batching")
    assert "batching" not in finished.stdout.replace(str(tmp_path), "")
    _assert_no_batching(tmp_path / "kit")


def _assert_no_batching(kit: Path) -> None:
    assert not (kit / "config" / "batching.config").exists()
    for path in ("docker-compose.yaml", "kubernetes/deployment.yaml", "kustomization.yaml", "README.md"):
        text = (kit / path).read_text()
        assert "batching.config" not in text
        assert "enable_batching" not in text


def _compose(kit: Path) -> dict[str, Any]:
    composed = yaml.safe_load((kit / "docker-compose.yaml").read_text())
    # `name` and `version` are unknown to docker-compose 1, or warned of by 2.
    assert composed.keys() == {"services", "volumes"}
    services: dict[str, Any] = composed["services"]
    return services


SERVICE_KEYS = {
    *("cap_drop", "command", "entrypoint", "environment", "image", "init", "ports", "read_only", "restart"),
    *("security_opt", "tmpfs", "user", "volumes"),
}
"""What the Compose Specification and docker-compose 1.29 both know."""


def test_the_compose_file_is_well_formed_and_closed(kit: Path, base_path: Path) -> None:
    """No schema is at hand, so: known keys, ports of this machine alone, mounts that exist and cannot be written."""
    services = _compose(kit)

    assert services.keys() == {"serving", "prometheus", "grafana"}
    for service in services.values():
        assert service.keys() <= SERVICE_KEYS
        assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-[0-9]+\}:[0-9]+", port) for port in service["ports"])
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            if volume["type"] == "bind":
                assert volume["read_only"] is True
                assert (kit / volume["source"]).is_dir()  # an absolute source stays what it is
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(rf"\$\{{{name.upper()}_IMAGE:-[a-z/]+:v?[0-9.]+\}}", services[name]["image"])
    serving = services["serving"]
    assert serving["image"] == "tensorflow/serving:2.16.1"
    assert "--allow_version_labels_for_unavailable_models=true" in serving["command"]
    mounts = {volume["target"]: volume["source"] for volume in serving["volumes"]}
    assert mounts == {"/models/digits": str(base_path), "/config": "./config"}
    assert serving["user"] == f"{base_path.stat().st_uid}:{base_path.stat().st_gid}"
    named = {flag.partition("=")[2] for flag in serving["command"] if flag.partition("=")[2].startswith("/config/")}
    assert all((kit / path.lstrip("/")).is_file() for path in named)
    assert len(named) == 3


def test_grafana_is_provisioned_with_what_prometheus_has(kit: Path) -> None:
    """The dashboard is where the provider looks, its source is provisioned, and its metrics are TF Serving's."""
    (source_,) = yaml.safe_load((kit / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((kit / "grafana/provisioning/dashboards/dashboards.yaml").read_text())["providers"]
    dashboard = json.loads((kit / "grafana" / "dashboards" / "model.json").read_text())
    mounts = {volume["target"]: volume["source"] for volume in _compose(kit)["grafana"]["volumes"]}

    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert {target["datasource"]["uid"] for target in targets} == {source_["uid"]}
    asked = {metric for target in targets for metric in re.findall(r"(?<![\w:]):[\w:]+", target["expr"])}
    assert asked == {*GOLDEN_METRICS}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def _objects(kit: Path) -> dict[str, Any]:
    """The manifests, by kind."""
    found = [yaml.safe_load(path.read_text()) for path in (kit / "kubernetes").iterdir()]
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_what_kubernetes_takes(version: str, run: Run, base_path: Path, tmp_path: Path) -> None:
    """By its own schemas, in which a field that they do not know is an error; with a measured memory and without."""
    (tmp_path / "report.json").write_text(data.as_json(_report("tensorflow/serving:2.16.1")))
    for given in ((), ("--report", tmp_path / "report.json", "--no-batching")):
        assert run(base_path, *given).exit_code == 0
        found = _objects(tmp_path / "kit")
        assert found.keys() == {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"}
        for each in found.values():
            assert kubernetes_validate.validate(each, version, strict=True) == version

    found["Deployment"]["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found["Deployment"], version, strict=True)


def test_the_kustomization_gathers_every_file(kit: Path) -> None:
    """Below its own directory, as kustomize wants it."""
    found = yaml.safe_load((kit / "kustomization.yaml").read_text())
    (config,) = found["configMapGenerator"]

    assert set(found["resources"]) == {f"kubernetes/{path.name}" for path in (kit / "kubernetes").iterdir()}
    assert set(config["files"]) == {f"config/{path.name}" for path in (kit / "config").iterdir()}
    deployment = _objects(kit)["Deployment"]
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["name"]


def test_the_manifests_fit_each_other_and_know_of_warmup(kit: Path) -> None:
    """One name and one selector; a pod that warms up is neither called nor ended; nobody in it is root."""
    objects = _objects(kit)
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]

    labels = pod["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "digits"
    startup = container["startupProbe"]
    assert startup["httpGet"]["path"] == "/v1/models/digits"
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/digits/metadata"
    assert container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"] >= 60
    assert "--allow_version_labels_for_unavailable_models=true" in container["args"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "tmp")
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }


def test_the_readme_has_the_commands(kit: Path, base_path: Path) -> None:
    """The seed's `docker-compose up -d`, and curl for the newest version, a version, a label, status and metadata."""
    text = (kit / "README.md").read_text()
    commands = [
        shlex.split(line, comments=True) for line in text.replace("\\\n", "").splitlines() if line[:4] == "curl"
    ]

    assert "docker-compose up -d" in text
    root = "http://127.0.0.1:8501/v1/models/digits"
    paths = ("", "/versions/50", "/versions/101", "/labels/stable", "/labels/canary")
    called = [["curl", "-d", "@request.json", f"{root}{path}:predict"] for path in paths]
    assert commands == [*called, ["curl", root], ["curl", f"{root}/metadata"]]
    assert f"--base-path {base_path} " in text
    assert json.loads((kit / "request.json").read_text()) == {"instances": [{"x": [0.0] * 4}]}
    ast.parse((kit / "predict.py").read_text())


def _report(image: str = "", digest: str = "", *, embedded: bool = False, version: str = "2.16.1") -> data.Report:
    server = evidence.Server("tensorflow_model_server", version, "docker", embedded, image, image_digest=digest)
    boot = evidence.Boot(server, load_time_s=100.0, memory=evidence.Memory(200 << 20, None, 300 << 20))
    shown = evidence.Evidence(boot, 1, 0, evidence.Warmup())
    return data.report(verdict.Verdict((verdict.ServerVerdict(shown, ()),), "00" * 32, evidence.Warmup()))


DIGEST = f"registry:5000/tensorflow/serving@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("report", "image"),
    [
        (_report("registry:5000/tensorflow/serving:2.16.1", DIGEST), DIGEST),
        (_report("infraval/model-server", embedded=True), "infraval/model-server:latest"),
        (_report(version="2.17.0"), "tensorflow/serving:2.17.0"),
        (_report(embedded=True), files.DEFAULT_IMAGE),
    ],
)
def test_a_blessing_is_served_by_who_judged_it(
    report: data.Report, image: str, run: Run, write_version: Callable[..., Path], tmp_path: Path
) -> None:
    """As version 1, with memory and time from its report; the stand-in of a process has no image."""
    blessing = tmp_path / "out"
    write_version(blessing / "stamped_model")
    (blessing / "report.json").write_text(data.as_json(report))
    finished = run(blessing, "--name", "mine")
    assert finished.exit_code == 0, finished.output

    serving = _compose(tmp_path / "kit")["serving"]
    assert serving["image"] == image
    assert {volume["target"] for volume in serving["volumes"]} == {"/models/mine/1", "/config"}
    (container,) = _objects(tmp_path / "kit")["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "512Mi"}  # 300 MiB and a half, in steps of 64
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 1000
    assert ("judge it with" in finished.stdout) == (image == files.DEFAULT_IMAGE)
    assert ("did not judge" in (tmp_path / "kit" / "README.md").read_text()) == (image == files.DEFAULT_IMAGE)


def test_the_memory_is_for_all_versions(run: Run, base_path: Path, tmp_path: Path) -> None:
    """A pod holds each of them; a report can be named by hand."""
    (tmp_path / "report.json").write_text(data.as_json(_report("tensorflow/serving:2.16.1")))
    assert run(base_path, "--report", tmp_path / "report.json", "--label", "a=7", "--label", "b=50").exit_code == 0
    (container,) = _objects(tmp_path / "kit")["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "960Mi"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--label", "stable=2"],
        ["--label", "stable"],
        ["--label", "stable=50", "--label", "stable=7"],
        ["--label", '"=50'],
        ["--name", "a b"],
        ["--name", "../a"],
        ["--name", ""],
        ["--image", "tensorflow/serving"],
        ["--image", "registry:5000/serving"],
        ["--image", "a:b\nc"],
        ["--report", "none.json"],
        ["--output", "gs://bucket/kit"],
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    arguments: list[str], run: Run, base_path: Path, tmp_path: Path
) -> None:
    """Each with exit code 2 and a sentence."""
    finished = run(base_path, *arguments)
    assert finished.exit_code == 2
    assert finished.stderr.startswith("infraval: ")
    assert not (tmp_path / "kit").exists()


def test_what_no_server_would_start_with_is_refused(
    run: Run, base_path: Path, write_version: Callable[..., Path], tmp_path: Path
) -> None:
    """A file in place of a version, a link that leaves the mount, a version in place of a base path, nothing at all."""
    elsewhere = write_version(tmp_path / "elsewhere")
    (base_path / "200").symlink_to(elsewhere)
    assert run(base_path).exit_code == 2
    (base_path / "200").unlink()
    (base_path / "8").touch()
    assert run(base_path).exit_code == 2
    assert run(elsewhere).exit_code == 2
    assert run(tmp_path / "none").exit_code == 2
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "INFRA_NOT_BLESSED").touch()
    assert run(tmp_path / "refused").exit_code == 2
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize(
    ("load_time_s", "start_s"), [(None, 300), (31.0, 310), (float("inf"), 86400), (float("nan"), 300)]
)
def test_a_pod_may_take_a_multiple_of_the_measured_time_to_start(load_time_s: float | None, start_s: int) -> None:
    """Whatever a report says, between five minutes and a day."""
    judged = files.Judged(load_time_s=load_time_s)
    made = files.make(files.Kit("a", Path("/a"), True, "0:0", {"stable": 1}, files.DEFAULT_IMAGE, judged=judged))
    (container,) = yaml.safe_load(made["kubernetes/deployment.yaml"])["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == start_s


NAMES = strategies.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
LABELS = strategies.from_regex("[A-Za-z][A-Za-z0-9._-]{0,62}", fullmatch=True)
SHAPES = strategies.none() | strategies.lists(strategies.none() | strategies.integers(0, 9), max_size=3).map(tuple)
TENSORS = strategies.builds(
    signatures.TensorSpec, strategies.sampled_from(["float", "int64", "string", "bool", "half", "type 99"]), SHAPES
)


@hypothesis.settings(max_examples=40)  # each makes every file
@hypothesis.given(
    name=NAMES,
    labels=strategies.dictionaries(LABELS, strategies.integers(1, source.MAX_VERSION), min_size=1, max_size=3),
    directory=strategies.text().filter(lambda text: text.isprintable() and "/" not in text),
    inputs=strategies.dictionaries(strategies.text(), TENSORS, max_size=3),
    key=strategies.text(),
)
def test_no_name_breaks_a_file(
    name: str, labels: dict[str, int], directory: str, inputs: dict[str, signatures.TensorSpec], key: str
) -> None:
    """Of a model, a label, a directory, a signature or an input: each file still says it."""
    mounted = Path("/") / f"a{directory}"
    signature = signatures.Signature(key, options.Method.PREDICT, inputs, {})
    made = files.make(files.Kit(name, mounted, True, "0:0", labels, files.DEFAULT_IMAGE, (1, 2), signature=signature))

    config = text_format.Parse(made["config/models.config"], model_server_config_pb2.ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.version_labels) == (name, labels)
    read = {path: yaml.safe_load(content) for path, content in made.items() if path.endswith((".yaml", ".yml"))}
    sources = [volume["source"] for volume in read["docker-compose.yaml"]["services"]["serving"]["volumes"]]
    assert sources[0].replace("$$", "$") == str(mounted)
    assert "$" not in sources[0].replace("$$", "")
    assert re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", read["kubernetes/service.yaml"]["metadata"]["name"])
    assert json.loads(made["grafana/dashboards/model.json"])["title"] == f"Serving {name}"
    assigned = next(node for node in ast.parse(made["predict.py"]).body if isinstance(node, ast.Assign))
    assert isinstance(assigned.value, ast.Dict)
    assert [ast.literal_eval(alias) for alias in assigned.value.keys if alias is not None] == list(inputs)
    if files.REQUEST in made:
        body = json.loads(made[files.REQUEST])
        assert (body.get("inputs") or body["instances"][0]).keys() == inputs.keys()


def test_a_kit_is_replaced_but_not_what_was_edited(run: Run, kit: Path, base_path: Path) -> None:
    """The same again is no edit; an edit is kept unless --force; other files stay in any case."""
    edited = kit / "config" / "models.config"
    (kit / "mine").touch()
    assert run(base_path, "--label", "stable=7", "--no-batching").exit_code == 0
    _assert_no_batching(kit)
    assert _config(kit).version_labels == {"stable": 7}

    edited.write_text(edited.read_text() + "# mine\n")
    before = {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()}
    refused = run(base_path, "--label", "stable=101")
    assert refused.exit_code == 2
    assert "config/models.config" in refused.stderr
    assert {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()} == before

    assert run(base_path, "--label", "stable=101", "--force").exit_code == 0
    assert _config(kit).version_labels == {"stable": 101}
    assert (kit / "mine").exists()


def test_the_users_in_the_containers_can_read_the_files(run: Run, base_path: Path, tmp_path: Path) -> None:
    """Prometheus and Grafana run as others than who wrote the kit, who may be careful."""
    mask = os.umask(0o077)
    try:
        assert run(base_path).exit_code == 0
    finally:
        os.umask(mask)
    written = list((tmp_path / "kit").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in written if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in written if path.is_dir()} == {0o755}


def test_files_of_somebody_else_are_not_replaced(run: Run, base_path: Path, tmp_path: Path) -> None:
    """A README that no kit wrote is like an edited one."""
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "README.md").write_text("mine")
    assert run(base_path).exit_code == 2
    assert [path.name for path in (tmp_path / "kit").iterdir()] == ["README.md"]


def test_a_kit_is_whole_or_unchanged(kit: Path) -> None:
    """If one file cannot be put in its place, those before it are put back."""
    before = {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()}
    (kit / "z").mkdir()

    with pytest.raises(errors.OutputError):
        writing.write({"README.md": "new", "fresh": "new", "z": "new"}, kit, force=True)

    assert {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()} == before
    assert {path.name for path in kit.iterdir()} >= {"README.md", "z"}
    assert not list(kit.glob("infraval-*"))


def test_a_run_that_was_killed_half_way_is_finished_by_the_next(kit: Path) -> None:
    """Files that are new already are not taken for edited ones."""
    contents = {"README.md": "new", "predict.py": "new"}
    (kit / "README.md").write_text("new")
    writing.write(contents, kit, force=False)
    assert {(kit / path).read_text() for path in contents} == {"new"}
