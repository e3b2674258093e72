"""The sample workflows, as their handlers' package brings them: definitions and schedules."""

from pathlib import Path

import httpx2
import orjson

# By its place, not by an import: the two programs know each other by the wire only.
FOLDER = Path(__file__).parents[2] / "executor" / "samples"
TIMEOUT_SECONDS = 30.0


def apply_samples(url: str, token: str) -> list[str]:
    """
    Make the samples' definitions the current ones, and put schedules that are not there yet.

    Returns:
        The names of the workflows.

    Raises:
        httpx2.HTTPError: The orchestrator refused or did not answer.
    """
    names: list[str] = []
    with httpx2.Client(
        base_url=f"{url}/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    ) as client:
        for file in sorted(FOLDER.glob("*.json")):
            definition = orjson.loads(file.read_bytes())
            name = definition.pop("name", file.stem)
            client.put(f"/workflows/{name}", json=definition).raise_for_status()
            names.append(name)
        for file in sorted(FOLDER.glob("schedules/*.json")):
            # One that is there may have been paused or changed.
            if client.get(f"/schedules/{file.stem}").status_code == httpx2.codes.NOT_FOUND:
                schedule = orjson.loads(file.read_bytes())
                client.put(f"/schedules/{file.stem}", json=schedule).raise_for_status()
    return names
