"""The proxy does to requests what it is told, and the same again by the same seed."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from orchestrator.dev.ports import LOOPBACK
from tests.acceptance.client import Client
from tests.acceptance.waiting import eventually
from tests.chaos.fates import EVERY_ROUTE, Fates, Rates, route_of
from tests.chaos.history import Exchange
from tests.chaos.network import Network, network_to

SEED = 7
ALWAYS = 1.0
BODY = {"executor": "one", "text": "x" * 100_000}


class Upstream:
    """A server that notes the bodies it gets, in order, and answers each with its number."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        lock = threading.Lock()
        upstream = self

        class Note(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return
                with lock:
                    upstream.got.append(body)
                    answer = b'{"number": %d}' % len(upstream.got)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # Cut off.

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Note)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with closing(Upstream()) as upstream:
        yield upstream


def network_with(upstream: Upstream, rates: Rates, directory: Path):
    return network_to(upstream.url, seed=SEED, rates={EVERY_ROUTE: rates}, directory=directory)


def only_exchange(network: Network) -> Exchange:
    """What the history has once there is something in it."""
    (exchange,) = eventually(network.history.exchanges)
    return exchange


def test_fates_are_the_same_by_the_same_seed_and_independent_of_other_routes() -> None:
    rates = {EVERY_ROUTE: Rates(lost=0.3, doubled=0.1, delayed=0.5, overtaken=0.2)}
    first, second, other = Fates(SEED, rates), Fates(SEED, rates), Fates(SEED + 1, rates)

    drawn = [first.draw("POST /v1/claims") for _ in range(1000)]
    again = [(second.draw("GET /"), second.draw("POST /v1/claims"))[1] for _ in range(1000)]

    assert drawn == again
    assert drawn != [other.draw("POST /v1/claims") for _ in range(1000)]
    assert sum(fate.lost for fate in drawn) == pytest.approx(300, abs=60)
    assert sum(fate.doubled for fate in drawn) == pytest.approx(100, abs=40)


def test_a_route_has_the_same_name_whatever_run_it_is_about() -> None:
    run_id = "0195d5a0-0000-7000-8000-000000000001"

    assert route_of("POST", f"/v1/runs/{run_id}/claim?x=1") == "POST /v1/runs/{id}/claim"


def test_a_lost_answer_was_given(upstream: Upstream, tmp_path: Path) -> None:
    with (
        network_with(upstream, Rates(lost=ALWAYS), tmp_path) as network,
        closing(Client(network.url)) as client,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):
            client.send("POST", "/v1/claims", BODY)

        exchange = only_exchange(network)
    assert len(upstream.got) == 1
    assert (exchange.proc, exchange.op) == ("one", "POST /v1/claims")
    assert (exchange.args, exchange.result, exchange.answer) == (BODY, "unknown", None)
    assert exchange.unheard == [{"number": 1}]


def test_a_doubled_request_arrives_twice_and_is_answered_once(
    upstream: Upstream, tmp_path: Path
) -> None:
    with (
        network_with(upstream, Rates(doubled=ALWAYS), tmp_path) as network,
        closing(Client(network.url)) as client,
    ):
        heard = client.ask("POST", "/v1/reports", BODY)

        exchange = only_exchange(network)
    assert len(upstream.got) == 2
    assert len(set(upstream.got)) == 1
    assert (exchange.result, exchange.answer) == ("ok", heard)
    assert sorted(each["number"] for each in (heard, *exchange.unheard)) == [1, 2]


def test_a_request_that_is_cut_never_arrives_whole(upstream: Upstream, tmp_path: Path) -> None:
    with (
        network_with(upstream, Rates(cut=ALWAYS), tmp_path) as network,
        closing(Client(network.url)) as client,
    ):
        with pytest.raises(httpx2.TransportError):
            client.send("POST", "/v1/reports", BODY)

        exchange = only_exchange(network)
    assert upstream.got == []
    assert (exchange.result, exchange.unheard) == ("unknown", [])


def test_a_request_is_abandoned_while_upstream_is_at_work_on_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    with (
        network_with(
            upstream, Rates(abandoned=ALWAYS, longest_wait_seconds=0.0), tmp_path
        ) as network,
        closing(Client(network.url)) as client,
    ):
        with pytest.raises(httpx2.TransportError):
            client.send("POST", "/v1/claims", BODY)

        exchange = only_exchange(network)
    assert len(upstream.got) == 1
    assert (exchange.result, exchange.unheard) == ("unknown", [{"number": 1}])


def test_a_request_that_is_overtaken_arrives_after_later_ones(
    upstream: Upstream, tmp_path: Path
) -> None:
    requests = 40
    with (
        network_with(upstream, Rates(overtaken=0.5), tmp_path) as network,
        closing(Client(network.url)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        sent = [pool.submit(client.ask, "POST", "/v1/claims", number) for number in range(requests)]
        for each in sent:
            each.result()

    arrived = [int(body) for body in upstream.got]
    assert sorted(arrived) == list(range(requests))
    assert arrived != sorted(arrived)
