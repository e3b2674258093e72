"""A proxy between the orchestrator and whoever speaks to it, which things go wrong in.

Run as a program of its own: `python -m tests.chaos.proxy OPTIONS`, where OPTIONS is
the JSON of `Options`. It listens on a free port, says which in its first line, and
writes every exchange into the history.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

from orchestrator.dev.ports import LOOPBACK
from tests.chaos.fates import Fate, Fates, Rates, route_of
from tests.chaos.history import Exchange, History, now, result_of, sender_of
from tests.chaos.http1 import LONGEST_HEAD_BYTES, Message, read_message

STARTED = "proxy-started"
LONGEST_OVERTAKING_SECONDS = 0.5
"""A request is held back no longer than this when nothing comes to overtake it."""


@dataclass(frozen=True)
class Options:
    """What the proxy is told: whom it stands before, what goes wrong, where it writes."""

    upstream: tuple[str, int]
    history: Path
    seed: int
    rates: dict[str, Rates]

    def to_json(self) -> str:
        return orjson.dumps(vars(self), default=str).decode()

    @staticmethod
    def from_json(text: str) -> "Options":
        read = orjson.loads(text)
        rates = {route: Rates(**each) for route, each in read["rates"].items()}
        return Options(tuple(read["upstream"]), Path(read["history"]), read["seed"], rates)


@dataclass(frozen=True)
class Connection:
    """One connection, of either side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """End it as a machine does that has forgotten about it: RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Proxy:
    """Passes requests on, each to the fate that the seed has for it."""

    def __init__(self, options: Options) -> None:
        self._upstream = options.upstream
        self._fates = Fates(options.seed, options.rates)
        self._history = History(options.history)
        self._passed = 0
        self._has_passed = asyncio.Condition()
        self._finishing: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, until either side has enough or an answer gets lost."""
        client = Connection(reader, writer)
        try:
            while request := await read_message(reader):
                answer = await self._pass_on(request, client)
                if answer is None:
                    break
                writer.write(answer.data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # Somebody hung up.
        finally:
            writer.close()

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection(*self._upstream, limit=LONGEST_HEAD_BYTES))

    async def _pass_on(self, request: Message, client: Connection) -> Message | None:
        """Let one request meet its fate; the answer that shall be heard, if any."""
        sent = now()
        method, path, _ = request.first_line
        fate = self._fates.draw(route_of(method, path))
        await self._hold_back(fate)
        if fate.cut:
            await self._cut(request, client)
            self._note(request, sent, None, [])
            return None
        copies = [asyncio.create_task(self._ask(request)) for _ in range(1 + fate.doubled)]
        heard, lost = None, None
        await asyncio.wait([copies[fate.answered_by]], timeout=fate.patience_seconds)
        if copies[fate.answered_by].done():
            answer = copies.pop(fate.answered_by).result()
            heard, lost = (None, answer) if fate.lost else (answer, None)
        else:
            client.reset()
        finishing = asyncio.create_task(self._finish(request, sent, heard, lost, copies))
        self._finishing.add(finishing)
        finishing.add_done_callback(self._finishing.discard)
        return heard

    async def _hold_back(self, fate: Fate) -> None:
        await asyncio.sleep(fate.delay_seconds)
        async with self._has_passed:
            until = self._passed + fate.overtaken_by
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_OVERTAKING_SECONDS):
                    await self._has_passed.wait_for(lambda: self._passed >= until)
            self._passed += 1
            self._has_passed.notify_all()

    async def _cut(self, request: Message, client: Connection) -> None:
        upstream = await self._connect()
        upstream.writer.write(request.data[: len(request.head) + len(request.body) // 2])
        await upstream.writer.drain()
        upstream.reset()
        client.reset()

    async def _ask(self, request: Message) -> Message | None:
        """
        Ask upstream, on a connection of the request's own: none waits behind another.

        Returns:
            The answer; None when the connection ended before there was one.
        """
        try:
            upstream = await self._connect()
        except OSError:
            return None
        try:
            upstream.writer.write(request.data)
            await upstream.writer.drain()
            return await read_message(upstream.reader)
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            upstream.writer.close()

    async def _finish(
        self,
        request: Message,
        sent: str,
        heard: Message | None,
        lost: Message | None,
        copies: list[asyncio.Task[Message | None]],
    ) -> None:
        """Wait for the copies that nobody waits for, then note the exchange."""
        returned = now()
        unheard = [lost, *[await copy for copy in copies]]
        self._note(request, sent, heard, [one for one in unheard if one], returned)

    def _note(
        self,
        request: Message,
        sent: str,
        heard: Message | None,
        unheard: list[Message],
        returned: str | None = None,
    ) -> None:
        body = request.json()
        status = None if heard is None else heard.status
        result = result_of(status)
        self._history.write(
            Exchange(
                proc=sender_of(body),
                op=" ".join(request.first_line[:2]),
                args=body,
                sent=sent,
                returned=None if heard is None else returned,
                result=result,
                answer=None if heard is None or result == "unknown" else heard.json(),
                status=status,
                unheard=[one.json() for one in unheard],
            )
        )


async def run(options: Options) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(
        Proxy(options).serve, LOOPBACK, 0, limit=LONGEST_HEAD_BYTES, backlog=1024
    )
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(
        orjson.dumps({"event": STARTED, "url": f"http://{host}:{port}"}).decode() + "\n"
    )
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(run(Options.from_json(sys.argv[1])))
