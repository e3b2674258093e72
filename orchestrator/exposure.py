"""Development tokens stay on the machine that they were made for."""

from __future__ import annotations

from orchestrator.errors import DibsError
from orchestrator.settings import Settings
from orchestrator.store import tokens
from orchestrator.store.engine import open_engine
from orchestrator.store.transaction import transact


class DevelopmentTokensExposed(Exception):
    """Others could reach an orchestrator for which development tokens are active."""


def require_no_development_tokens(settings: Settings) -> None:
    """
    Refuse to listen where others may ask while a development token is active.

    A database that cannot be asked now refuses nothing: one that has such a token is no
    danger either, because an orchestrator on such an address accepts none (`app.py`).

    Raises:
        DevelopmentTokensExposed: It names the tokens, and the commands that revoke them.
    """
    if settings.on_loopback:
        return
    engine = open_engine(settings.postgres_url, connections=1, name="dibs-start")
    try:
        names = transact(engine, tokens.active_development_names)
    except DibsError:
        return
    finally:
        engine.dispose()
    if names:
        revoke = "; ".join(f"dibs token revoke --name {name}" for name in names)
        raise DevelopmentTokensExposed(
            f"{settings.host} is no loopback address, and development tokens are active:"
            f" {', '.join(names)}. Revoke them ({revoke}), or listen on 127.0.0.1."
        )
