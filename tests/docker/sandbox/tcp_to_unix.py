"""Hands TCP connections on to a unix socket; prints the port. SIGUSR1 ends the connections that there are.

python tcp_to_unix.py SOCKET
"""

import asyncio
import signal
import ssl
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hands on what comes until it ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def main(path: str, certificates: str = "") -> None:
    """Serves until it is killed."""
    tls = None
    if certificates:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{certificates}/ca.pem")
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(f"{certificates}/cert.pem", f"{certificates}/key.pem")
    connections: set[asyncio.StreamWriter] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(path)
        connections.add(writer)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)
        connections.discard(writer)

    def end_connections() -> None:
        for writer in connections:
            writer.transport.abort()

    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=tls)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, end_connections)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
