"""The tokens of one machine: made once, kept in the data directory."""

from orchestrator.dev.data_directory import DataDirectory
from orchestrator.lifecycle import Role
from orchestrator.minting import is_active, key_id_of, mint
from orchestrator.store import tokens
from orchestrator.store.engine import open_engine


def keep_token(owner_url: str, data: DataDirectory, name: str, role: Role) -> str:
    """
    The token of this name, the same at every start, in the file `<name>-token`.

    A new one is made when there is none, or when it is not good for this
    database (which is another one than last time, or it was revoked). It is a
    development token, also when a version that knew of none has made it.
    """
    kept = data.path / f"{name}-token"
    token = kept.read_text(encoding="ascii").strip() if kept.exists() else ""
    engine = open_engine(owner_url, connections=1, name="dibs-tokens")
    try:
        with engine.begin() as connection:
            if not is_active(connection, token):
                token = mint(connection, name=name, role=role, development=True)
            tokens.mark_development(connection, key_id_of(token))
    finally:
        engine.dispose()
    data.keep(kept.name, token)
    return token
