"""The table: all cases, in the order of the list."""

from typing import Final

from tests.hostile import (
    bodies,
    claims,
    credentials,
    framing,
    http_requests,
    leases,
    paths,
    payloads,
    reports,
    run_ids,
)
from tests.hostile.case import Case
from tests.hostile.rows import ROWS

_ORDER: Final = {row: place for place, row in enumerate(ROWS)}

CASES: Final[tuple[Case, ...]] = tuple(
    sorted(
        (
            *credentials.CASES,
            *run_ids.CASES,
            *bodies.CASES,
            *framing.CASES,
            *claims.CASES,
            *reports.CASES,
            *leases.CASES,
            *paths.CASES,
            *http_requests.CASES,
            *payloads.CASES,
        ),
        key=lambda case: _ORDER[case.row],
    )
)
