"""The lease book: finds a lease id that was granted twice, in a history of any length.

Ids are spread over buckets by their first byte. A bucket that grows goes to a temporary
file, and at the end one bucket at a time is looked at: memory stays at a few megabytes,
and the work is linear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO
from uuid import UUID

from orchestrator.audit.finding import Finding, Rule, short

_BUCKETS = 256
_SPILL_BYTES = 64 * 1024
_ID_BYTES = 16
_SEQ_BYTES = 8
_ENTRY_BYTES = 2 * _ID_BYTES + _SEQ_BYTES


class LeaseBook:
    """Every lease that was granted; a context, whose temporary files go with it."""

    def __init__(self, *, spill_bytes: int = _SPILL_BYTES) -> None:
        """
        Args:
            spill_bytes: A bucket of this size goes to its file.
        """
        self._spill_bytes = spill_bytes
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._files: dict[int, IO[bytes]] = {}
        self._open = ExitStack()

    def __enter__(self) -> LeaseBook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def note(self, lease_id: UUID, run_id: UUID, seq: int) -> None:
        """Enter one claim."""
        number = lease_id.bytes[0]
        bucket = self._buckets[number]
        bucket += lease_id.bytes + run_id.bytes + seq.to_bytes(_SEQ_BYTES)
        if len(bucket) >= self._spill_bytes:
            if number not in self._files:
                file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the book
                self._files[number] = self._open.enter_context(file)
            self._files[number].write(bucket)
            bucket.clear()

    def granted_twice(self) -> Iterator[Finding]:
        """One finding for each claim whose lease id an earlier entry has."""
        for number, bucket in enumerate(self._buckets):
            first: dict[bytes, tuple[UUID, int]] = {}
            for entry in _entries(self._whole(number) + bucket):
                lease_id, run_id, seq = entry
                earlier = first.setdefault(lease_id, (run_id, seq))
                if earlier != (run_id, seq):
                    what = (
                        f"{short(UUID(bytes=lease_id))} was granted before, "
                        f"to run {earlier[0]} in event {earlier[1]}"
                    )
                    yield Finding(run_id, Rule.LEASE_USED_AGAIN, what, seq)

    def _whole(self, number: int) -> bytes:
        file = self._files.get(number)
        if file is None:
            return b""
        file.seek(0)
        return file.read()


def _entries(written: bytes) -> Iterator[tuple[bytes, UUID, int]]:
    for start in range(0, len(written), _ENTRY_BYTES):
        entry = written[start : start + _ENTRY_BYTES]
        run_id = UUID(bytes=entry[_ID_BYTES : 2 * _ID_BYTES])
        yield entry[:_ID_BYTES], run_id, int.from_bytes(entry[2 * _ID_BYTES :])
