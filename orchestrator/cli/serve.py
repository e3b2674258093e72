"""`dibs serve`: one orchestrator."""

import click
import rich_click

from orchestrator import settings
from orchestrator.cli.failure import MISCONFIGURED, UNAVAILABLE, Failure
from orchestrator.exposure import DevelopmentTokensExposed, require_no_development_tokens
from orchestrator.server import ListenError
from orchestrator.server import serve as serve_until_told


@click.command(cls=rich_click.RichCommand)
@click.option("--host", help="Address to listen on (DIBS_HOST, 127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (DIBS_PORT, 8420).")
@click.option("--workers", type=click.IntRange(1, 64), help="Server processes (DIBS_WORKERS, 1).")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """
    Serve until SIGTERM; needs DATABASE_URL and DIBS_SECRET_KEY.

    \b
    dibs serve --host 0.0.0.0 --workers 2
    """
    wanted = settings.load(host=host, port=port, workers=workers)
    try:
        require_no_development_tokens(wanted)
        serve_until_told(wanted)
    except DevelopmentTokensExposed as error:
        raise Failure(str(error), MISCONFIGURED) from error
    except ListenError as error:
        raise Failure(str(error), UNAVAILABLE) from error
