"""The manifests: what Kubernetes' own models make of them, and what they allow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

MANIFESTS = Path(__file__).parents[2] / "kubeflow" / "manifests"

KUBERNETES = ("1.27", "1.37")
"""As in tests/kit/test_kit.py."""

TASKS = {"matchLabels": {"pipelines.kubeflow.org/v2_component": "true"}}
"""What KFP labels every pod of a run with."""


def _objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _resources(folder: Path) -> Iterator[dict[str, Any]]:
    """What kustomize would gather, with the components; without its changes."""
    (kustomization,) = _objects(folder / "kustomization.yaml")
    for entry in kustomization["resources"] + kustomization.get("components", []):
        target = folder / entry
        assert target.exists(), f"{folder} names {entry}"
        if target.is_dir():
            yield from _resources(target)
        else:
            yield from _objects(target)


ALL = sorted(path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(MANIFESTS).as_posix())
def test_every_manifest_is_what_kubernetes_takes(path: Path, version: str) -> None:
    """By its own schemas, in which a field that they do not know is an error."""
    for given in _objects(path):
        assert kubernetes_validate.validate(given, version, strict=True) == version


def test_no_file_is_forgotten() -> None:
    """Every manifest is in a kustomization, every kustomization can be read, and no object is there twice."""
    gathered = [
        resource
        for folder in ("overlays/standalone", "overlays/multi-user", "components/google-cloud")
        for resource in _resources(MANIFESTS / folder)
    ]

    written = {(given["kind"], given["metadata"]["name"]) for path in ALL for given in _objects(path)}
    assert {(given["kind"], given["metadata"]["name"]) for given in gathered} == written
    for overlay in ("standalone", "multi-user"):
        names = [(given["kind"], given["metadata"]["name"]) for given in _resources(MANIFESTS / "overlays" / overlay)]
        assert len(names) == len(set(names))


def test_kfps_own_namespace_is_not_locked_down() -> None:
    """A standalone KFP runs its tasks among its own pods: no label, no limit and no policy may meet those."""
    resources = list(_resources(MANIFESTS / "overlays" / "standalone"))

    assert {resource["kind"] for resource in resources} == {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}
    assert all(
        resource["spec"]["podSelector"] == TASKS for resource in resources if resource["kind"] == "NetworkPolicy"
    )


def test_a_profiles_namespace_is_restricted() -> None:
    """Pod Security's strictest level, in the namespace that everything else goes to."""
    (kustomization,) = _objects(MANIFESTS / "overlays" / "multi-user" / "kustomization.yaml")
    (namespace,) = _objects(MANIFESTS / "overlays" / "multi-user" / "namespace.yaml")

    assert namespace["metadata"]["name"] == kustomization["namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_task_reaches_what_kfp_needs_and_nothing_else() -> None:
    """DNS, the cache, ML Metadata and the object store by their pods; the API server by an address; no rule is open."""
    kfp = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubeflow"}}}
    policies = _objects(MANIFESTS / "base" / "network-policy.yaml")
    tasks, api_server = policies

    for policy in policies + _objects(MANIFESTS / "components" / "google-cloud" / "network-policy.yaml"):
        assert policy["spec"]["podSelector"] == TASKS
        for rule in policy["spec"]["egress"]:
            assert rule["to"]
            assert rule["ports"]
            assert all("0.0.0.0/0" not in str(peer) and "::/0" not in str(peer) for peer in rule["to"])
    assert tasks["spec"]["policyTypes"] == ["Ingress", "Egress"]
    # Denied as a whole. The API server drops an empty list, which would show as a difference at every apply.
    assert "ingress" not in tasks["spec"]
    reached = {port["port"]: peer for rule in tasks["spec"]["egress"] for peer in rule["to"] for port in rule["ports"]}
    assert set(reached) == {53, 8887, 8080, 9000, 8333}
    assert reached[8887] == kfp | {"podSelector": {"matchLabels": {"app": "ml-pipeline"}}}
    assert reached[8080] == kfp | {"podSelector": {"matchLabels": {"component": "metadata-grpc-server"}}}
    stores = [{"key": "app", "operator": "In", "values": ["minio", "seaweedfs"]}]
    assert reached[9000] == reached[8333] == kfp | {"podSelector": {"matchExpressions": stores}}
    assert [peer["ipBlock"]["cidr"] for rule in api_server["spec"]["egress"] for peer in rule["to"]] == ["192.0.2.1/32"]


def test_the_service_account_may_not_start_a_pod() -> None:
    """A served model that finds the account's token can read the launcher's settings and key, and no other Secret."""
    account, role, binding = _objects(MANIFESTS / "base" / "service-account.yaml")

    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"]}]
    allowed = {
        (resource, verb): rule.get("resourceNames")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == {
        ("configmaps", "get"): ["kfp-launcher"],
        ("secrets", "get"): ["mlpipeline-minio-artifact"],
        ("pods", "get"): None,
        ("workflows", "get"): None,
        ("workflowtaskresults", "create"): None,
        ("workflowtaskresults", "patch"): None,
    }
