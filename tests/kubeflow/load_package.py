"""Loads a compiled pipeline with the kfp of the Python that runs this, and prints what kfp has understood, as JSON."""

from __future__ import annotations

import json
import sys

import kfp
from kfp import components

loaded = components.load_component_from_file(sys.argv[1])
print(
    json.dumps(
        {
            "kfp": kfp.__version__,
            "name": loaded.name,
            "schema": loaded.pipeline_spec.schema_version,
            "tasks": sorted(loaded.pipeline_spec.root.dag.tasks),
            "optional": {name: given.default for name, given in loaded.component_spec.inputs.items() if given.optional},
            "required": [name for name, given in loaded.component_spec.inputs.items() if not given.optional],
        }
    )
)
