"""A standby as the primary sees one: it uses a replication slot and says what it still reads."""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from psycopg import pq
from psycopg.conninfo import make_conninfo

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


@contextmanager
def standby(owner_url: str, slot: str, *, horizon: int) -> Iterator[None]:
    """
    Feedback that holds back the removal of what this transaction might see.

    Args:
        slot: A physical one that exists; it remembers the feedback.
    """
    link = pq.PGconn.connect(make_conninfo(owner_url, replication="true").encode())
    try:
        here = link.exec_(b"IDENTIFY_SYSTEM").get_value(0, 2)
        assert here, link.get_error_message()
        begun = link.exec_(b"START_REPLICATION SLOT %s PHYSICAL %s" % (slot.encode(), here))
        assert begun.status == pq.ExecStatus.COPY_BOTH, link.get_error_message()
        microseconds = int((time.time() - _EPOCH) * 1_000_000)
        # A hot standby's feedback: its time, and two transaction ids with their epochs.
        link.put_copy_data(b"h" + struct.pack("!qIIII", microseconds, horizon, 0, 0, 0))
        link.flush()
        yield
    finally:
        link.finish()
