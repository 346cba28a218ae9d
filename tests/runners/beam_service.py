"""Beam's job service, or its pool of workers, on a port of the loopback that the kernel chooses, until it is killed.

Beam's own command lines bind all interfaces, and the pool's needs a port that somebody else has chosen.

    python beam_service.py job|pool    # prints the port
"""

from __future__ import annotations

import sys
import threading

import grpc
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.worker import worker_pool_main
from grpc import _server

_bind = _server._Server.add_insecure_port  # noqa: SLF001 - no option of Beam's reaches it


def bind_loopback(server: grpc.Server, address: str) -> int:
    """Binds 127.0.0.1 whatever the address."""
    port: int = _bind(server, f"127.0.0.1:{address.rpartition(':')[2]}")
    return port


def main(kind: str) -> None:
    """Starts the service, and waits to be killed."""
    _server._Server.add_insecure_port = bind_loopback  # noqa: SLF001 - the same
    if kind == "job":
        port = str(local_job_service.LocalJobServicer().start_grpc_server())
    else:
        address, _pool = worker_pool_main.BeamFnExternalWorkerPoolServicer.start(use_process=True)
        port = address.rpartition(":")[2]
    print(port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
