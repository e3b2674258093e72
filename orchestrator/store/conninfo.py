"""What a libpq URL says of a connection, what is added to it, and which servers it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Of these libpq takes lists.
_PER_SERVER = ("host", "hostaddr", "port")
_DEFAULT_PORT = 5432


def unless_given(url: str, **defaults: Any) -> dict[str, Any]:
    """
    Those of these parameters that the URL does not say itself.

    Whoever wrote the URL knows the network and the server: `sslmode`, time-outs,
    keepalives and names in it reach libpq as they are.
    """
    given = conninfo_to_dict(url)
    return {name: value for name, value in defaults.items() if name not in given}


def each_server(url: str) -> list[str]:
    """For each server that a URL names what leads to that one alone, in their order."""
    parameters = conninfo_to_dict(url)
    return [make_conninfo("", **{**parameters, **server}) for server in _servers(parameters)]


def beginning_with(url: str, server: tuple[str, int] | None) -> str:
    """
    The same servers, this one before the others.

    Whoever wrote that they share the load gets no other order, nor does a URL that does
    not name this server.

    Args:
        server: Host and port.
    """
    parameters = conninfo_to_dict(url)
    servers = _servers(parameters)
    if server is None or len(servers) == 1 or "load_balance_hosts" in parameters:
        return url
    first = [one for one in servers if _place(one) == server]
    others = [one for one in servers if _place(one) != server]
    return make_conninfo(
        "",
        **{
            **parameters,
            **{name: ",".join(one[name] for one in first + others) for name in servers[0]},
        },
    )


def _servers(parameters: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a URL says of each of its servers."""
    lists = {name: str(parameters[name]).split(",") for name in _PER_SERVER if name in parameters}
    count = max((len(values) for values in lists.values()), default=1)
    return [
        # One port may stand for all.
        {
            name: values[number] if number < len(values) else values[0]
            for name, values in lists.items()
        }
        for number in range(count)
    ]


def _place(server: Mapping[str, str]) -> tuple[str, int]:
    host = server.get("host") or server.get("hostaddr") or ""
    return host, int(server.get("port") or _DEFAULT_PORT)
