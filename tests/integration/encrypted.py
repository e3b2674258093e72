"""TLS in front of a Postgres that has none: the client's side of it is the real one."""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from orchestrator.dev.ports import LOOPBACK
from tests.integration.certificates import Certificate
from tests.integration.door import CHUNK_BYTES, NO, SSL_REQUEST

YES = b"S"


@contextmanager
def encrypted(url: str, certificate: Certificate) -> Iterator[str]:
    """The way to the same database for those who ask for TLS; others are not let in."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="encrypted", daemon=True)
    thread.start()
    front = _Front(url, context)
    port = asyncio.run_coroutine_threadsafe(front.open(), loop).result()
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    try:
        yield parts._replace(netloc=f"{login}@{LOOPBACK}:{port}").geturl()
    finally:
        asyncio.run_coroutine_threadsafe(front.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Front:
    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        to = conninfo_to_dict(url)
        self._upstream = (str(to["host"]), int(to["port"]))
        self._context = context
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while struct.unpack("!ii", await reader.readexactly(8))[1] != SSL_REQUEST:
            writer.write(NO)
        writer.write(YES)
        await writer.drain()
        await writer.start_tls(self._context)
        host_reader, host_writer = await asyncio.open_connection(*self._upstream)
        try:
            await asyncio.gather(_pump(reader, host_writer), _pump(host_reader, writer))
        finally:
            host_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while said := await reader.read(CHUNK_BYTES):
        writer.write(said)
        await writer.drain()
    writer.close()
