"""What a libpq URL says of a connection, and what is added to it."""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict


def unless_given(url: str, **defaults: Any) -> dict[str, Any]:
    """
    Those of these parameters that the URL does not say itself.

    Whoever wrote the URL knows the network and the server: `sslmode`, time-outs,
    keepalives and names in it reach libpq as they are.
    """
    given = conninfo_to_dict(url)
    return {name: value for name, value in defaults.items() if name not in given}
