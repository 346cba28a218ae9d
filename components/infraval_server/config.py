"""The ModelServerConfig: which models are served, from where, which of their versions, and their labels.

Source: model_servers/server_core.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from infraval_server import log, status, text_proto

_PLATFORM = "tensorflow"


def read(path: str) -> Any:
    """The ModelServerConfig in a file.

    Raises:
      StatusError: the file cannot be read, or is not the text of one.
    """
    config = model_server_config_pb2.ModelServerConfig()
    text_proto.read(path, config)
    return config


def of_one_model(name: str, base_path: str) -> Any:
    """The ModelServerConfig for `--model_name` and `--model_base_path`."""
    log.info(f"Building single TensorFlow model file config:  model_name: {name} model_base_path: {base_path}")
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=_PLATFORM)
    return config


def check(models: Sequence[Any], current: Sequence[Any]) -> None:
    """Checks ModelConfigs before anything is changed.

    Args:
      models: those to serve from now on.
      current: those served up to now.

    Raises:
      StatusError: a name is there twice, a base path is not absolute, or a model's platform changes.
    """
    names = set()
    for model in models:
        if model.name in names:
            raise status.invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        if not Path(model.base_path).is_absolute():
            raise status.invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
    current_by_name = {model.name: model for model in current}
    for model in models:
        if model.name not in current_by_name:
            continue
        old, new = _platform(current_by_name[model.name]), _platform(model)
        if old != new:
            raise status.invalid_argument(
                f"Illegal to change a model's platform. For model {model.name} platform was {old} and new platform "
                f"requested is {new}"
            )


def check_platforms(models: Sequence[Any]) -> None:
    """Checks that each ModelConfig asks for TensorFlow.

    Raises:
      StatusError: one asks for nothing or for something else.
    """
    for model in models:
        platform = _platform(model)
        if platform != _PLATFORM:
            raise status.invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: Any) -> str:
    if model.model_type != model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
        log.warning("Deprecated ModelServerConfig::model_type field used. Prefer ModelServerConfig::model_platform.")
        if model.model_platform:
            raise status.invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise status.invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return _PLATFORM
    if not model.model_platform:
        raise status.invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    return str(model.model_platform)
