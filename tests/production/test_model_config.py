"""Production's model config file: which entry is taken, what becomes of it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from infraval import errors, options
from infraval.production import model_config

TWO_VERSIONS = """
model_version_policy { specific { versions: 41 versions: 42 } }
version_labels { key: "stable" value: 41 }
version_labels { key: "canary" value: 42 }
version_labels { key: "next" value: 42 }
"""
NO_VERSION = 'version_labels { key: "stable" }'
NAMES = st.text(min_size=1, max_size=5)


def entry(name: str = "taxi", more: str = "", base_path: str = "/models/taxi") -> str:
    """An entry of a file."""
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {more} }}'


def read(*entries: str, **server: Any) -> model_config.ModelConfig:
    """What becomes of a file with these entries, for a server with these options."""
    text = f"model_config_list {{ {' '.join(entries)} }}"
    return model_config.read(text.encode(), options.ProcessServer(model_config_file="models.config", **server))


def served(found: model_config.ModelConfig, base_path: str = "/staged") -> Any:
    """The one entry that a server gets."""
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(model_config.with_base_path(found.text, base_path), config)
    (only,) = config.model_config_list.config
    return only


def test_the_only_entry_is_the_model_whatever_its_name() -> None:
    """Unless the options name another one."""
    found = read(entry())
    assert (found.model_name, found.model_version, found.labels, found.notes) == ("taxi", None, (), ())
    assert served(found).name == "taxi"
    with pytest.raises(errors.OptionError, match=r"no model 'bus'; it has taxi\. .*--model-name"):
        read(entry(), model_name="bus")


def test_of_several_the_model_is_the_one_that_is_named() -> None:
    """The others are left out, with a note."""
    found = read(entry("bus"), entry(), entry("tram"), model_name="taxi")
    assert served(found).name == "taxi"
    (note,) = found.notes
    assert "bus, tram" in note
    with pytest.raises(errors.OptionError, match="it has bus, taxi"):
        read(entry("bus"), entry())


def test_the_server_gets_the_staged_copy_as_the_only_version() -> None:
    """The base path is the sandbox's, the policy could name versions that are not there, the rest stays."""
    only = served(read(entry(more=TWO_VERSIONS)), '/run/a b\\c"d')
    assert only.base_path == '/run/a b\\c"d'
    assert only.model_platform == "tensorflow"
    assert not only.HasField("model_version_policy")


@pytest.mark.parametrize(
    ("server", "version", "labels"),
    [
        ({}, 42, {"canary", "next"}),
        ({"version_label": "stable"}, 41, {"stable"}),
        ({"version_label": "canary"}, 42, {"canary", "next"}),
        ({"model_version": 41}, 41, {"stable"}),
        ({"model_version": 43}, 43, set()),
        ({"model_version": 43, "version_label": "canary"}, 43, {"canary"}),
        ({"model_version": 43, "version_label": "new"}, 43, {"new"}),
        ({"model_version": 41, "version_label": "canary"}, 41, {"canary", "stable"}),
    ],
)
def test_labels_name_the_staged_version(server: dict[str, Any], version: int, labels: set[str]) -> None:
    """Those of its number, and the one that is asked for; the others are left out, with a note."""
    found = read(entry(more=TWO_VERSIONS), **server)
    assert found.model_version == version
    assert found.labels == tuple(sorted(labels))
    assert dict(served(found).version_labels) == dict.fromkeys(labels, version)
    gone = {"stable", "canary", "next"} - labels
    assert all(label in " ".join(found.notes) for label in gone)


def test_a_label_that_the_file_does_not_have_is_refused() -> None:
    """The message lists those that it has."""
    with pytest.raises(errors.OptionError, match=r"--version-label .*canary, next, stable"):
        read(entry(more=TWO_VERSIONS), version_label="blue")


def test_the_latest_version_of_the_policy_counts_without_labels() -> None:
    """As it is the one that TF Serving answers with."""
    assert read(entry(more="model_version_policy { specific { versions: 7 versions: 9 } }")).model_version == 9
    assert read(entry(more="model_version_policy { latest { num_versions: 2 } }")).model_version is None


def test_requests_of_a_trial_are_not_logged_where_production_logs() -> None:
    """The entry's logging_config is left out, with a note."""
    found = read(entry(more="logging_config { sampling_config { sampling_rate: 1 } }"))
    assert not served(found).HasField("logging_config")
    assert "logging_config" in " ".join(found.notes)


REFUSED = {
    "malformed": "model_config_list { config {",
    "unknown_field": f"model_config_list {{\n{entry(more='nmae: 1')} }}",
    "json": '{"model_config_list": {}}',
    "no_models": "model_config_list { }",
    "comment_only": "# nothing",
    "custom": "custom_model_config { }",
    "twice": f"model_config_list {{ {entry()} {entry()} }}",
    "relative": f"model_config_list {{ {entry(base_path='taxi')} }}",
    "no_base": f"model_config_list {{ {entry(base_path='')} }}",
    "no_platform": 'model_config_list { config { name: "taxi" base_path: "/m" } }',
    "other_platform": 'model_config_list { config { name: "taxi" base_path: "/m" model_platform: "pytorch" } }',
    "other_type": 'model_config_list { config { name: "taxi" base_path: "/m" model_type: OTHER } }',
    "platform_and_type": f"model_config_list {{ {entry(more='model_type: TENSORFLOW')} }}",
    "version_zero": f"model_config_list {{ {entry(more=NO_VERSION)} }}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_tf_serving_does_not_start_with_is_refused(text: str) -> None:
    """See the cases `config_…` of a real server's recorded starts; the message has the option and the file."""
    server = options.ProcessServer(model_config_file="models.config")
    with pytest.raises(errors.OptionError, match=r"--model-config-file .*models\.config"):
        model_config.read(text.encode(), server)


def test_a_mistake_in_the_text_has_its_line() -> None:
    """And the field, if it is unknown."""
    text = f"model_config_list {{\n{entry(more='nmae: 1')} }}"
    with pytest.raises(errors.OptionError, match=r" 2:\d+ .*nmae"):
        model_config.read(text.encode(), options.ProcessServer(model_config_file="models.config"))


def test_the_deprecated_type_is_taken() -> None:
    """A real server takes it, too."""
    text = 'model_config_list { config { name: "taxi" base_path: "s3://b/m" model_type: TENSORFLOW } }'
    found = model_config.read(text.encode(), options.ProcessServer(model_config_file="models.config"))
    assert served(found).model_type == model_server_config_pb2.ModelType.Value("TENSORFLOW")


@given(name=NAMES, label=NAMES, version=st.integers(1, 2**63 - 1), base_path=st.text())
def test_any_names_and_paths_survive(name: str, label: str, version: int, base_path: str) -> None:
    """What was read is what the server gets, whatever must be escaped."""
    config = model_server_config_pb2.ModelServerConfig()
    given_entry = config.model_config_list.config.add(name=name, base_path="/m", model_platform="tensorflow")
    given_entry.version_labels[label] = version
    text = text_format.MessageToString(config)
    found = model_config.read(text.encode(), options.ProcessServer(model_config_file="f", version_label=label))
    only = served(found, base_path)
    assert (only.name, only.base_path, dict(only.version_labels)) == (name, base_path, {label: version})
    assert (found.model_name, found.model_version, found.labels) == (name, version, (label,))


@given(st.one_of(st.binary(), st.text(alphabet='model_config_list{}: 01"\\\n[]/.').map(str.encode)))
def test_no_content_raises_anything_but_an_option_error(content: bytes) -> None:
    """Whatever is in the file."""
    with pytest.raises(errors.OptionError):
        model_config.read(content, options.ProcessServer(model_config_file="models.config"))
