"""An S3 server in memory, on a port of the loopback that the kernel chooses: prints it, then waits to be killed."""

from __future__ import annotations

import threading

from moto import server

if __name__ == "__main__":
    started = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    print(started.get_host_and_port()[1], flush=True)
    threading.Event().wait()
