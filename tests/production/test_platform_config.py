"""What infraval reads of a platform config file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors
from infraval.production import platform_config

FILE = """# batching_parameters { }
platform_configs {
  key: "tensorflow"
  value { source_adapter_config {
    [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
      legacy_config {
        session_config { gpu_options < allow_growth: true > }
        saved_model_tags: ["serve", "} batching_parameters {"]
        batching_parameters: {
          max_batch_size { value: 4 } allowed_batch_sizes: [2, 4]
        }
        enable_model_warmup: true
        model_warmup_options { num_model_warmup_threads { value: 4 } }
      }
    }
  } }
}
"""


def read(text: str) -> platform_config.PlatformConfig:
    """What is read of a file with this text."""
    return platform_config.read(text.encode(), Path("platforms.config"), "--platform-config-file")


def test_batching_parameters_are_found_wherever_they_are() -> None:
    """Neither in a comment nor in a string; each line keeps its number, for messages about it."""
    found = read(FILE)
    assert found.batching is not None
    assert found.batching.decode().splitlines()[9].split() == FILE.splitlines()[9].split()
    assert found.batching.decode().split() == FILE.splitlines()[9].split()


def test_without_them_there_are_none() -> None:
    """The server then does not batch."""
    assert read('platform_configs { key: "tensorflow" }').batching is None


@pytest.mark.parametrize(
    ("text", "warms_up"),
    [
        (FILE, True),
        (FILE.replace("warmup: true", "warmup:true"), True),
        (FILE.replace("warmup: true", "warmup: false"), False),
        (FILE.replace("enable_model_warmup: true", ""), False),
        (FILE.replace("enable_model_warmup: true", "# enable_model_warmup: true"), False),
    ],
)
def test_models_are_warmed_only_if_the_file_says_so(text: str, *, warms_up: bool) -> None:
    """The flag that is on by default does not count."""
    assert read(text).warms_up is warms_up


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a {\n  b {\n}", "1:3"),
        ("a {\n}\n }", "3:2"),
        ("a {\n  b < }\n}", "2:7"),
        ('a {\n  key: "x\n}', "2:8"),
    ],
)
def test_a_brace_or_quote_without_its_counterpart_has_its_place(text: str, position: str) -> None:
    """The message has the option, the file, line and column."""
    with pytest.raises(errors.OptionError, match=rf"--platform-config-file platforms.config .* {position} "):
        read(text)


@given(st.one_of(st.binary(), st.text(alphabet="batching_pre{}<>#\"' :\n[]").map(str.encode)))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    """Never another error."""
    try:
        found = platform_config.read(content, Path("f"), "x")
    except errors.OptionError:
        return
    assert found.batching is None or b"batching_parameters" in content
