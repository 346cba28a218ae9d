"""The embedded model server: a stand-in for TensorFlow Serving 2.16.1 if there is no `tensorflow_model_server`.

It is started by its arguments only: `python -m infraval_server --port=0 --grpc_socket_path=… --model_base_path=…`. It
takes TensorFlow Serving's flags, loads the versions that its flags or its `--model_config_file` ask for the way
TensorFlow Serving does (a TF1 session on the MetaGraphDef tagged `serve`, without XLA and soft placement), replays
their warmup files by the same rules, and looks for new versions while it runs. It answers PredictionService and
ModelService over gRPC, and over REST if `--rest_api_port` is given, with the same responses, codes, messages, log
lines and metrics. If a request would abort TensorFlow Serving, it aborts this server.

Exit codes:
    0    ended by SIGTERM or SIGINT, or after --help or --version (TensorFlow Serving dies of the signal)
    64   an op is not registered in this TensorFlow: a limit of the stand-in, which says nothing about the model
    70   a bug of the stand-in, which says nothing about the model either; the log says where it is
    255  a bad flag value, a start-up error, or a model that does not load, as in TensorFlow Serving

What it does not do, compared with TensorFlow Serving:
  - serve an op that is not registered in the TensorFlow for Python: the process ends (exit code 64), also if only one
    function of the model needs the op, which TensorFlow Serving would load;
  - take variants and resources as inputs: TensorFlow's Python API cannot feed them, and the answer is UNIMPLEMENTED;
  - CORS, TLS, request logging, TensorFlow Lite;
  - read models from other than local files;
  - count what a ReloadConfigRequest asks for: these metrics are always 0;
  - limit the batches that run or wait: num_batch_threads and max_enqueued_batches have no effect beyond being
    checked;
  - count batches, examples and requests that were logged, or, if XLA may compile, what it compiles: these metrics are
    empty or missing. model_warmup_records_read, which TensorFlow Serving has since 2.20, is there;
  - interrupt a REST request that takes longer than --rest_api_timeout_in_ms, or take one of over 256 MiB;
  - turn requests away when all threads are busy: they queue (TensorFlow Serving answers RESOURCE_EXHAUSTED);
  - report the code of an error whose message is not UTF-8: TensorFlow's Python API loses it. INVALID_ARGUMENT is
    assumed, because ops that quote input values in their messages use that code;
  - use the same words for a node whose attributes do not fit its op: the model is refused, but TensorFlow's importer
    for Python describes the fault differently.

It listens on 127.0.0.1 unless --host says otherwise; TensorFlow Serving always listens on all addresses.
"""

from __future__ import annotations

from infraval_server import version
from infraval_server.ending import EXIT_BUG, EXIT_UNREGISTERED_OP
from infraval_server.process import EXIT_FAILURE, EXIT_OK, main

__version__ = version.VERSION

__all__ = ["EXIT_BUG", "EXIT_FAILURE", "EXIT_OK", "EXIT_UNREGISTERED_OP", "main"]
