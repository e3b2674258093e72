"""The command `dibs-executor`, which is `python -m executor` too."""

import sys

UNAVAILABLE = 69


def main() -> None:
    """Run the command line, or say what it lacks where only the orchestrator is installed."""
    try:
        from executor.command import main as run
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "executor":
            raise
        sys.stderr.write(
            f"dibs-executor: {missing.name} is not installed, which this command needs:"
            " pip install 'dibs[executor]'\n"
        )
        sys.exit(UNAVAILABLE)
    run()


if __name__ == "__main__":
    main()
