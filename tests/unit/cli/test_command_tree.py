"""Each command explains itself, and none makes the others slow to start."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs._build.command_tree import commands, context_of, examples, paragraphs
from orchestrator.cli import dibs
from orchestrator.cli.audit import audit
from orchestrator.cli.later import Later
from tests.command_line import CommandLine

HEAVY = ("sqlalchemy", "psycopg", "alembic", "pydantic", "flask", "httpx2")
NAMED_IN_EXAMPLES = ("refund.json", "order.json", "executor-1.jsonl", "web.jsonl")


@pytest.fixture
def example_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that examples name, in the folder where the test works."""
    for name in NAMED_IN_EXAMPLES:
        (tmp_path / name).write_text("{}")
    (tmp_path / "workflows").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_the_help_of_a_command_has_an_example_of_it_that_is_understood(
    path: tuple[str, ...], example_files: None
) -> None:
    shown = examples(commands()[path])

    assert any(tuple(words[: len(path)]) == path for words in shown), "no example"
    for words in shown:
        understand(words)


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    options = [one for one in commands()[path].params if isinstance(one, click.Option)]

    assert [option.name for option in options if not option.help and not option.is_eager] == []


@pytest.mark.parametrize("group", [dibs, audit], ids=["dibs", "audit"])
def test_what_a_list_says_of_a_command_is_how_its_help_begins(group: click.Group) -> None:
    later = [command for command in group.commands.values() if isinstance(command, Later)]

    assert later
    for command in later:
        assert command.help == paragraphs(command.load())[0].replace("\n", " ")
        assert command.name == command.load().name


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["completion", "bash"]])
def test_to_ask_for_help_imports_nothing_of_the_service(words: list[str]) -> None:
    code = (
        "import sys, atexit, orchestrator.cli\n"
        f"sys.argv = ['dibs', *{words!r}]\n"
        f"atexit.register(lambda: sys.stderr.write(','.join(set({HEAVY!r}) & set(sys.modules))))\n"
        "orchestrator.cli.main()\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stderr == ""


def test_the_list_of_all_commands_explains_the_exit_codes(command_line: CommandLine) -> None:
    shown = command_line.run("--help").out

    for line in ("0  done", "77  not allowed", "130  interrupted by Ctrl-C, or the answer was no"):
        assert line in shown


@pytest.mark.parametrize("word", ["runs", "queues"])
def test_an_unknown_command_is_one_sentence(command_line: CommandLine, word: str) -> None:
    ended = command_line.run(word, "dance")

    assert (ended.code, ended.out) == (2, "")
    assert "No such command 'dance'" in ended.err
    assert ended.err.count("\n") == 1


def understand(words: list[str]) -> None:
    """Let click read what follows `dibs`, without doing it."""
    context = context_of(())
    while isinstance(context.command, click.Group):
        _, command, words = context.command.resolve_command(context, words)
        assert command is not None
        context = command.make_context(command.name, list(words), parent=context)
        words = [*context._protected_args, *context.args]
        if not words:
            return
