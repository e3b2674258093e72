"""What of the list needs more than a request: a sick database, a clock, a terminal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Elsewhere:
    """
    A test that holds a row, or what the table cannot show of it.

    Attributes:
        file: From the repository's root.
    """

    row: str
    file: str
    test: str

    @property
    def is_there(self) -> bool:
        file = ROOT / self.file
        return file.exists() and f"def {self.test}(" in file.read_text(encoding="utf-8")


ELSEWHERE: Final = (
    Elsewhere(
        "B4",
        "tests/acceptance/test_outages.py",
        "test_a_revoked_token_is_let_in_nowhere_within_a_second",
    ),
    Elsewhere(
        "B4",
        "tests/contract/test_credentials.py",
        "test_a_token_that_is_over_is_bad_within_a_second_on_every_orchestrator",
    ),
    Elsewhere(
        "B25",
        "tests/contract/test_slow_clients.py",
        "test_a_body_that_trickles_is_cut_off_at_the_same_time",
    ),
    Elsewhere(
        "B25",
        "tests/contract/test_slow_clients.py",
        "test_hundreds_of_stalled_bodies_leave_nothing_behind",
    ),
    Elsewhere(
        "B26",
        "tests/contract/test_smuggling.py",
        "test_a_body_whose_end_is_said_in_two_ways_or_in_none_is_malformed",
    ),
    Elsewhere(
        "B37",
        "tests/integration/test_second_copies.py",
        "test_a_second_copy_that_waits_too_long_is_told_to_come_again",
    ),
    Elsewhere(
        "B37",
        "tests/integration/test_second_copies.py",
        "test_a_second_copy_that_waits_gets_what_the_first_one_got",
    ),
    Elsewhere(
        "B40",
        "tests/acceptance/test_crashes.py",
        "test_a_late_report_under_a_lease_that_was_lost_is_refused_and_changes_nothing",
    ),
    Elsewhere(
        "B64",
        "tests/contract/test_rate_limits.py",
        "test_a_token_that_asks_too_often_is_told_when_to_come_back",
    ),
    Elsewhere(
        "B65",
        "tests/contract/test_rate_limits.py",
        "test_bad_credentials_of_one_address_are_refused_and_those_of_others_are_not",
    ),
    Elsewhere(
        "B66",
        "tests/integration/test_database_trouble.py",
        "test_what_a_statement_ends_with_every_time_is_no_effect_and_a_503",
    ),
    Elsewhere(
        "B66",
        "tests/integration/test_transaction.py",
        "test_no_request_waits_for_a_connection_for_ever",
    ),
    Elsewhere(
        "B66",
        "tests/acceptance/test_outages.py",
        "test_an_orchestrator_that_is_told_to_end_answers_what_it_has_and_exits_with_0",
    ),
    Elsewhere(
        "B66",
        "tests/integration/test_database_trouble.py",
        "test_whom_nobody_answers_is_told_to_come_again",
    ),
    Elsewhere(
        "B67",
        "tests/integration/test_unanswered_commits.py",
        "test_a_commit_that_cannot_be_looked_up_is_told_as_unknown",
    ),
    Elsewhere(
        "B67",
        "tests/integration/test_database_trouble.py",
        "test_what_a_commit_ends_with_every_time_is_a_503",
    ),
    Elsewhere(
        "B70",
        "tests/unit/cli/test_values.py",
        "test_no_control_character_of_a_run_reaches_the_terminal",
    ),
)
