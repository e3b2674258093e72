"""What the shell is told to offer after Tab."""

import shutil
import subprocess

import pytest

from tests.command_line import CommandLine

SHELLS = ("bash", "zsh", "fish")


def offered(command_line: CommandLine, line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    ended = command_line.run(_DIBS_COMPLETE="bash_complete", **words)
    assert ended.code == 0
    return [each.removeprefix("plain,") for each in ended.out.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dibs q", ["queues"]),
        ("dibs queues p", ["pause"]),
        ("dibs audit v", ["verify"]),
        ("dibs runs list --state fi", ["finished"]),
        ("dibs runs list --state failed,a", ["failed,aborted"]),
        ("dibs runs retry --state pending,pen", []),
        ("dibs runs retry --dry", ["--dry-run"]),
        ("dibs completion z", ["zsh"]),
    ],
)
def test_commands_options_and_states_are_offered(
    command_line: CommandLine, line: str, expected: list[str]
) -> None:
    assert offered(command_line, line) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script_and_understands_it(
    command_line: CommandLine, shell: str
) -> None:
    script = command_line.run("completion", shell)

    assert script.code == 0
    assert f"_DIBS_COMPLETE={shell}_complete" in script.out
    if shutil.which(shell):
        read = subprocess.run(
            [shell, "-n"], input=script.out, capture_output=True, text=True, check=False
        )
        assert (read.returncode, read.stderr) == (0, "")


def test_bash_completes_with_it(command_line: CommandLine) -> None:
    script = command_line.run("completion", "bash").out
    asked = f"{script}\ncomplete -p dibs"
    known = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)

    assert known.stdout.strip().endswith("-F _dibs_completion dibs")
