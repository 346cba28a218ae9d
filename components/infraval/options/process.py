"""A model server as a process on this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infraval.options import base, server


class ProcessServer(server.ServerOptions):
    """A model server as a process on this machine."""

    platform: Literal["process"] = "process"
    server: Annotated[str, base.Flag("--server"), Field(min_length=1)] = "auto"
    """auto (tensorflow_model_server from PATH, else the embedded server), embedded, or the path of a
    tensorflow_model_server."""
    import_ops: Annotated[base.Strings, base.Flag("--import-ops", metavar="MODULE")] = ()
    """Python modules whose custom ops the embedded server registers."""

    @model_validator(mode="after")
    def _check_server(self) -> ProcessServer:
        if self.import_ops and self.server not in {"auto", "embedded"}:
            raise base.Mistake(
                "{server.import_ops} is for the embedded server, and {server.server} is {value}; drop one or the "
                "other.",
                value=self.server,
            )
        return self
