"""The command `dibs`, which is `python -m orchestrator` too."""

import sys

UNAVAILABLE = 69
INTERRUPTED = 130


def main() -> None:
    """Run the command line, or say what it lacks where only the executor is installed."""
    try:
        from orchestrator.cli import main as run

        run()
    except KeyboardInterrupt:
        # Before the commands were there to say it.
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "orchestrator":
            raise
        sys.stderr.write(
            f"dibs: {missing.name} is not installed, which this command needs:"
            " pip install 'dibs[orchestrator]'\n"
        )
        sys.exit(UNAVAILABLE)


if __name__ == "__main__":
    main()
