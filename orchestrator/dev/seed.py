"""Sample runs, to have something to look at."""

from collections.abc import Callable

import httpx2

BATCH = 1_000
TIMEOUT_SECONDS = 30.0


def create_runs(
    url: str,
    token: str,
    runs: list[dict[str, object]],
    *,
    on_created: Callable[[int], None] = lambda _created: None,
) -> list[str]:
    """
    Create runs over the API, in batches.

    Args:
        on_created: Is told of each batch how many runs it was.

    Returns:
        Their ids, in the order given.

    Raises:
        httpx2.HTTPError: The orchestrator refused or did not answer.
    """
    ids: list[str] = []
    with httpx2.Client(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    ) as client:
        for start in range(0, len(runs), BATCH):
            answer = client.post("/v1/runs/batch", json={"runs": runs[start : start + BATCH]})
            answer.raise_for_status()
            created = [run["id"] for run in answer.json()["runs"]]
            ids += created
            on_created(len(created))
    return ids
