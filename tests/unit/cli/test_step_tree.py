"""How a workflow's steps are drawn."""

from typing import Any

from orchestrator.cli.step_tree import draw


def step(name: str, *following: str, **members: Any) -> dict[str, Any]:
    plain = {
        "name": name,
        "type": f"do-{name}",
        "next": list(following),
        "uses": [],
        "mutating": False,
        "waits": False,
        "queue": None,
        "timeoutSeconds": None,
        "retry": {"maxFailures": None},
    }
    return plain | members


def test_steps_stand_below_each_other_and_branches_are_indented() -> None:
    drawn = draw(
        [
            step("check", "pay", "refuse"),
            step("pay", "book"),
            step("book", "mail"),
            step("refuse", "mail"),
            step("mail"),
        ]
    )

    assert [line for line, _ in drawn] == [
        "check",
        "├─ pay",
        "│  book",
        "│  mail",
        "└─ refuse",
        "   ↑ mail",
    ]


def test_a_cycle_is_drawn_once() -> None:
    drawn = draw([step("ask", "check"), step("check", "ask", "done"), step("done")])

    assert [line for line, _ in drawn] == ["ask", "check", "├─ ↑ ask", "└─ done"]


def test_beside_a_step_stands_what_is_special_about_it() -> None:
    special = step(
        "pay",
        mutating=True,
        waits=True,
        queue="payments",
        timeoutSeconds=1.5,
        retry={"maxFailures": 2},
        uses=["check", "book"],
    )

    assert draw([special], unserved=["do-pay"]) == [
        (
            "pay",
            "do-pay (nobody serves it), mutating, waits for input, queue payments, "
            "at most 1.5 s, at most 2 failures, uses check book",
        )
    ]
    assert draw([step("pay")]) == [("pay", "do-pay")]
