"""What the database has of a run, to see whether anything changes it."""

from typing import Any

import psycopg


def stored(owner: psycopg.Connection[Any], run_id: str) -> tuple[Any, ...]:
    """Everything the database has of a run, its steps and its events, byte for byte."""
    row = owner.execute(
        """
        SELECT r::text,
               (SELECT string_agg(s::text, ',' ORDER BY s) FROM "workflowSteps" s
                 WHERE s."runId" = r.id),
               (SELECT string_agg(e::text, ',' ORDER BY e) FROM "runEvents" e
                 WHERE e."runId" = r.id)
          FROM "workflowRuns" r WHERE id = %s
        """,
        [run_id],
    ).fetchone()
    assert row is not None
    return tuple(row)
