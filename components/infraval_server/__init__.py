"""The embedded model server: a stand-in for TensorFlow Serving 2.16.1 where no `tensorflow_model_server` is at hand.

Started by argv only: `python -m infraval_server --port=0 --grpc_socket_path=… --model_base_path=…`. It takes
TensorFlow Serving's flags, loads the newest version the way TensorFlow Serving does (a TF1 session on the
MetaGraphDef tagged `serve`), replays the warmup file by the same rules, then answers PredictionService and
GetModelStatus over gRPC, and over REST if `--rest_api_port` is given, with the same responses, codes, messages and log
lines.

Exit codes:
    0    ended by SIGTERM or SIGINT, or after --help or --version
    64   an op is not registered in this TensorFlow: a limit of the stand-in, which says nothing about the model
    70   a bug of the stand-in, which says nothing about the model either; the log says where it is
    255  a bad flag value, a start-up error, or a model that does not load (as TensorFlow Serving)

What it does not do, compared with TensorFlow Serving:
  - monitoring, CORS, TLS, request logging, ReloadConfig, labels, several models or versions, TensorFlow Lite;
  - look for new versions while it runs: without a version at the start it waits for ever, as logged;
  - limit the batches that run or wait: num_batch_threads and max_enqueued_batches have no effect beyond being
    checked;
  - interrupt a REST request that takes longer than --rest_api_timeout_in_ms, or take one of over 256 MiB;
  - turn requests away when all threads are busy: they queue (TensorFlow Serving answers RESOURCE_EXHAUSTED);
  - tell the code of an error whose message is not UTF-8: TensorFlow's Python API loses it, INVALID_ARGUMENT is
    assumed, which is what ops say of the input values that such messages quote.

It listens on 127.0.0.1 unless --host says otherwise; TensorFlow Serving always listens on all addresses.
"""

from __future__ import annotations

from infraval_server import version
from infraval_server.ending import EXIT_BUG, EXIT_UNREGISTERED_OP
from infraval_server.process import EXIT_FAILURE, EXIT_OK, main

__version__ = version.VERSION

__all__ = ["EXIT_BUG", "EXIT_FAILURE", "EXIT_OK", "EXIT_UNREGISTERED_OP", "main"]
