"""`make screenshots`: the pictures in the README, of a service that is really at work.

    python -m tests.browser.screenshots --minutes 10

Starts everything by `dibs dev` with data of its own, lets it work for some minutes, looks at
Overview, Runs and a run, and ends all of it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from orchestrator.dev.ports import LOOPBACK
from tests.acceptance.client import Client, Json
from tests.browser import chromium
from tests.browser.signing_in import sign_in
from tests.ports import OwnPort

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
READY_SECONDS = 120.0


def main() -> int:
    """Take them; 69 when there is no browser."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--minutes", type=float, default=10.0, help="how long it works before")
    minutes = options.parse_args().minutes
    path = chromium.program()
    if path is None:
        print(f"screenshots: {chromium.LACKING}", file=sys.stderr)  # noqa: T201
        return 69
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, served(Path(data)) as (url, token):
        client = Client(url, token)
        run_id = work(client, minutes * 60)
        with chromium.running(path) as browser:
            page = browser.new_context(base_url=url, viewport=SIZE, color_scheme="dark").new_page()
            sign_in(page, token)
            for name, address in {
                "overview": "/ui",
                "runs": "/ui/runs",
                "run": f"/ui/runs/{run_id}",
            }.items():
                take(page, address, FOLDER / f"{name}.png")
        client.close()
    return 0


@contextmanager
def served(data: Path) -> Iterator[tuple[str, str]]:
    """`dibs dev`, and what it prints: its address and its token."""
    port = OwnPort()
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "dev",
        "--port",
        str(port.number),
        "--data",
        str(data),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        said = {}
        for line in process.stdout:
            name, _, value = line.strip().partition(" ")
            said[name] = value.strip()
            if name == "stop":
                break
        yield f"http://{LOOPBACK}:{port.number}", said["token"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(READY_SECONDS)


def work(client: Client, seconds: float) -> str:
    """Let people and programs use it for so long; a run that has seen much."""
    chance = random.Random(7)
    until = time.monotonic() + seconds
    shown = client.create("default", "refund", input={"orderId": 1, "amount": 90_000})
    client.create("reports", "nightly-report", input={})
    while (left := until - time.monotonic()) > 0:
        busy = 1.5 + (left % 120) / 40
        for _ in range(int(chance.expovariate(1 / busy))):
            create_one(client, chance)
        for waiting in client.runs("default", "waiting")[:3]:
            if chance.random() < 0.2:
                answer(client, waiting, approved=chance.random() < 0.8)
        time.sleep(1)
    if client.run(shown)["runState"] == "waiting":
        answer(client, client.run(shown), approved=True)
    client.wait_for(shown, "finished")
    return shown


def create_one(client: Client, chance: random.Random) -> None:
    """One run, as they come."""
    kind = chance.random()
    if kind < 0.15:
        rows = chance.randint(20, 200)
        client.create("default", "import-orders", input={"file": "orders.csv", "rows": rows})
        return
    # Some orders are refunded by nothing, and fail.
    amount = 0 if kind < 0.2 else chance.choice([900, 1250, 4_200, 9_900, 25_000])
    refund = {"orderId": chance.randint(1, 9999), "amount": amount}
    client.create("default", "refund", input=refund)


def answer(client: Client, run: Json, *, approved: bool) -> None:
    """What somebody says to a refund that waits."""
    body = {"input": {"approved": approved, "reason": "" if approved else "Not within 30 days."}}
    client.send("POST", f"/v1/runs/{run['id']}/resume", body)


def take(page: Page, address: str, path: Path) -> None:
    """A picture of a page that has been looked at for a moment."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok, f"{address}: {answer.status}"
    page.wait_for_timeout(2_500)
    page.screenshot(path=path)


if __name__ == "__main__":
    sys.exit(main())
