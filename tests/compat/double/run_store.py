"""What a double keeps of the steps that it has begun, by run and step index."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

EXECUTING = "executing"
DONE = "done"
Kept = dict[str, Any]


@dataclass
class RunStore:
    """
    In memory, or in a directory that outlives the process and may be shared.

    The real one knows both, too: memory, and a Postgres for several executors.
    """

    directory: Path | None = None
    _kept: dict[str, Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, run_id: int, step_index: int) -> Kept | None:
        key = _key(run_id, step_index)
        if self.directory is None:
            with self._lock:
                return self._kept.get(key)
        try:
            kept: Kept = orjson.loads((self.directory / key).read_bytes())
        except FileNotFoundError:
            return None
        return kept

    def put(self, run_id: int, step_index: int, **members: Any) -> None:
        """Add to what is kept of a step."""
        key = _key(run_id, step_index)
        kept = {"stepIndex": step_index, **(self.get(run_id, step_index) or {}), **members}
        if self.directory is None:
            with self._lock:
                self._kept[key] = kept
            return
        draft = self.directory / f".{key}.{os.getpid()}.{threading.get_ident()}"
        draft.write_bytes(orjson.dumps(kept))
        draft.replace(self.directory / key)

    def steps(self, run_id: int) -> list[Kept]:
        """All of a run, in order."""
        prefix = f"{run_id}-"
        if self.directory is None:
            with self._lock:
                found = [{**kept} for key, kept in self._kept.items() if key.startswith(prefix)]
        else:
            files = self.directory.glob(f"{prefix}*")
            found = [orjson.loads(file.read_bytes()) for file in files]
        return sorted(found, key=lambda kept: kept["stepIndex"])


def _key(run_id: int, step_index: int) -> str:
    return f"{run_id}-{step_index}"
