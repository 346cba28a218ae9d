"""Everything about one validation."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

from pydantic import AfterValidator, SerializeAsAny, model_validator

from infraval.options import base
from infraval.options.docker import DockerServer, ModelTransfer
from infraval.options.gates import GateOptions
from infraval.options.limits import Limits
from infraval.options.process import ProcessServer
from infraval.options.requests import RequestOptions
from infraval.options.server import ServerOptions
from infraval.options.warmup import WarmupOptions

ServerMessages = Literal["full", "redacted", "codes"]

_WITHOUT_REQUESTS = {
    "requests.expected",
    "requests.max_expected",
    "requests.splits",
    "requests.tag_set",
    "warmup.batching_parameters_file",
    "warmup.compare_cold",
}
"""Options of these groups that also matter to a model that is only loaded."""

_ON_WARMUP_FILE = {"warmup.existing", "warmup.max_records"}


class Job(base.Options):
    """What to validate, and how."""

    model: Annotated[pathlib.Path, base.Lax, base.Flag("--model", metavar="PATH")]
    """SavedModel directory; on the command line also a URI, such as gs://BUCKET/DIRECTORY."""
    allow_links_to: Annotated[base.Strings, base.Flag("--allow-links-to", metavar="DIR")] = ()
    """Directories that links in the model may lead to, such as a content store; others must not leave the model."""
    examples: Annotated[base.Strings, base.Flag("--examples", metavar="GLOB")] = ()
    """TFRecord files (.gz: gzip) of serialized examples to build requests from; with none, the model is only loaded.
    Also URIs, such as s3://BUCKET/DIRECTORY/*, read where they are."""
    baseline: Annotated[pathlib.Path | None, base.Lax, base.Flag("--baseline", metavar="PATH")] = None
    """SavedModel directory of the model in production, to compare with; on the command line also a URI."""
    requests: Annotated[RequestOptions, base.Lax] = RequestOptions()
    make_warmup: Annotated[bool, base.Flag("--no-warmup")] = True
    """Whether the model gets new warmup records; without them (--no-warmup), it is only validated."""
    warmup: Annotated[WarmupOptions, base.Lax] = WarmupOptions()
    server: Annotated[SerializeAsAny[ServerOptions], AfterValidator(lambda server: server.complete())] = ProcessServer()
    limits: Annotated[Limits, base.Lax] = Limits()
    gates: Annotated[GateOptions, base.Lax, base.Flag("--gate", metavar="NAME.FIELD=VALUE")] = GateOptions()
    """Sets an option of a gate to JSON or a string, such as warm.ratio=5 or outputs.range={"probabilities": [0, 1]}."""
    output: Annotated[pathlib.Path | None, base.Lax, base.Flag("--output", metavar="PATH")] = None
    """New or empty directory for the results; on the command line also a URI."""
    server_messages: Annotated[ServerMessages, base.Flag("--server-messages")] = "redacted"
    """How much of a server's messages is shown: all, all but what occurs in the requests, or only status codes."""

    def on(self, gate: str) -> bool:
        """Whether a gate with options judges; some do by default if other options of the job say what to judge by."""
        by_default = {
            "determinism": self.batched,
            "expected": bool(self.requests.expected),
            "baseline": self.baseline is not None,
        }
        own = getattr(self.gates, gate)
        return self.gates.on(gate) or (by_default.get(gate, False) and "enabled" not in own.model_fields_set)

    @property
    def compares(self) -> bool:
        """Whether the model is compared with the baseline beside it."""
        compares = self.on("baseline") or (self.on("latency") and bool(self.gates.latency.ratios))
        return self.baseline is not None and compares

    @property
    def batched(self) -> bool:
        """Whether the server may join requests into batches, as far as the options say."""
        return bool(self.warmup.batching_parameters_file) or self.server.turns_on("enable_batching")

    @model_validator(mode="after")
    def _check_effect(self) -> Job:
        """Refuses options that have no effect because of others, even if they only repeat the default."""
        given = {
            f"{group}.{name}" for group in ("requests", "warmup") for name in getattr(self, group).model_fields_set
        }
        mistakes = []
        if self.requests.splits:
            mistakes.append(
                "{requests.splits} is for the component, whose Examples have splits; name files with {examples}."
            )
        if not self.requests.expected:
            about = {"requests.max_expected": "max_expected" in self.requests.model_fields_set}
            about["gates.expected"] = self.gates.on("expected")
            mistakes += [
                f"{{{name}}} is about expected responses, and there are none; give {{requests.expected}} or drop it."
                for name, is_given in about.items()
                if is_given
            ]
        if self.baseline is None and self.gates.on("baseline"):
            mistakes.append("{gates.baseline} is about a baseline, and there is none; give {baseline} or drop it.")
        if self.baseline is None and self.gates.on("latency"):
            mistakes += [
                f"{{gates.latency.p{percentile}_ratio}} is about a baseline, and there is none; give {{baseline}} or "
                "drop it."
                for percentile, _ in self.gates.latency.ratios
            ]
        mistakes += self._swap_mistakes()
        if self.server.platform_config_file and self.batched:
            mistakes.append(
                "{server.platform_config_file} takes the place of the server's flags about batching, so "
                "{warmup.batching_parameters_file} and --enable_batching have no effect; drop one or the other."
            )
        if not self.examples:
            mistakes += [
                f"{{{name}}} is about the requests, and there are no {{examples}} to build them from; drop one or "
                "give the other."
                for name in sorted(given - _WITHOUT_REQUESTS)
            ]
        if not self.make_warmup:
            mistakes += [
                f"{{{name}}} is about the warmup file, and {{make_warmup}} says to write none; drop one or the other."
                for name in sorted(given & _ON_WARMUP_FILE)
            ]
        if mistakes:
            raise base.Mistake("\n".join(mistakes))
        return self

    def _swap_mistakes(self) -> list[str]:
        if not self.gates.on("swap"):
            return []
        mistakes = [
            f"{{gates.swap}} needs {what}; give {{{name}}} or drop it."
            for name, what, is_given in (
                ("baseline", "a baseline to be swapped for the model", self.baseline is not None),
                ("examples", "requests to send meanwhile", bool(self.examples)),
            )
            if not is_given
        ]
        if isinstance(self.server, DockerServer) and self.server.model_transfer is not ModelTransfer.MOUNT:
            mistakes.append(
                "{gates.swap} with Docker needs {server.model_transfer} mount: a model that is copied into a volume "
                "cannot get another version beside it. Set that, or drop the gate."
            )
        return mistakes
