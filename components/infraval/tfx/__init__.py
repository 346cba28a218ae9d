"""Everything that imports tfx: the component, its executor, and what Kubeflow Pipelines starts."""
