"""Request runs together with a change in one's own database: an outbox and its relay.

Write the run into `outbox` in the transaction that makes the change; then both are there,
or neither. This program sends what stands there to Dibs, and takes it out when Dibs has it. The
row's id is the Idempotency-Key, so a run that is sent twice is created once.

    psql "$DATABASE_URL" -f outbox.sql
    DATABASE_URL=postgresql://… DIBS_URL=http://127.0.0.1:8420 DIBS_TOKEN=dibs_… python outbox.py

Any number of relays may run. DIBS_TOKEN is one token with the role client: keys count per token.
"""

import os
import time

import httpx2
import psycopg

BATCH = 100
PAUSE_SECONDS = 0.5
# What is said of the run itself. Any other answer speaks of the token, the address or the moment.
REFUSALS = (400, 403, 409, 413, 422)


def relay(database: psycopg.Connection, dibs: httpx2.Client) -> int:
    """Send what is there, at most a batch; returns how many rows are dealt with."""
    with database.transaction():
        rows = database.execute(
            "SELECT id, run FROM outbox WHERE refused IS NULL ORDER BY at LIMIT %s"
            " FOR UPDATE SKIP LOCKED",
            [BATCH],
        ).fetchall()
        if not rows:
            return 0
        runs = [{**run, "idempotencyKey": str(row_id)} for row_id, run in rows]
        answer = dibs.post("/v1/runs/batch", json={"runs": runs})
        if answer.is_success:
            done = [row_id for row_id, _ in rows]
            database.execute("DELETE FROM outbox WHERE id = ANY (%s)", [done])
            return len(rows)
        if answer.status_code not in REFUSALS:
            print(f"Dibs takes nothing now: {answer.text}")  # noqa: T201
            return 0
        # All or nothing, and one of them is refused: one by one it is known which.
        return sum(_send(database, dibs, row_id, run) for row_id, run in rows)


def _send(database: psycopg.Connection, dibs: httpx2.Client, row_id: int, run: dict) -> int:
    answer = dibs.post("/v1/runs", json=run, headers={"Idempotency-Key": str(row_id)})
    if answer.is_success:
        database.execute("DELETE FROM outbox WHERE id = %s", [row_id])
    elif answer.status_code in REFUSALS:
        # It will never be taken as it is: somebody has to look.
        database.execute("UPDATE outbox SET refused = %s WHERE id = %s", [answer.text, row_id])
    else:
        return 0
    return 1


def main() -> None:
    """Relay until the end of the process."""
    headers = {"Authorization": f"Bearer {os.environ['DIBS_TOKEN']}"}
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database,
        httpx2.Client(base_url=os.environ["DIBS_URL"], headers=headers, timeout=30) as dibs,
    ):
        while True:
            try:
                sent = relay(database, dibs)
            except httpx2.TransportError as error:
                print(f"no answer from Dibs: {error}")  # noqa: T201
                sent = 0
            if not sent:
                time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
