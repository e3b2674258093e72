"""Requests that schemathesis makes from the served document, and checks of their answers."""

from collections.abc import Callable
from dataclasses import dataclass

import schemathesis
from schemathesis import Case
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

from tests.acceptance.client import Json

AT_BOUNDARIES = HypothesisTestMode.COVERAGE
AT_RANDOM = HypothesisTestMode.FUZZING
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@dataclass(frozen=True)
class Generator:
    """
    Makes the requests of one caller, the same in every run.

    Attributes:
        token: Whose, or None for somebody without one.
    """

    document: Json
    url: str
    token: str | None

    def try_operation(
        self,
        method: str,
        route: str,
        *modes: HypothesisTestMode,
        examples: int,
        prepare: Callable[[Case], None],
    ) -> None:
        """
        Send what the document allows here, and what it forbids.

        Args:
            modes: At every boundary of every member, at random places, or both.
            examples: How many of the random ones.
            prepare: Changes a request before it is sent.

        Raises:
            Exception: An answer is not as the document says; it names the request.
        """
        schema = schemathesis.openapi.from_dict(self.document, config=self._config(examples))
        operation = schema[route][method]

        def ask(case: Case) -> None:
            prepare(case)
            case.call_and_validate()

        create_test(
            operation=operation,
            test_func=ask,
            config=HypothesisTestConfig(
                project=schema.config,
                modes=list(modes),
                settings=schema.config.get_hypothesis_settings(operation=operation),
            ),
        )()

    def _config(self, examples: int) -> schemathesis.Config:
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return schemathesis.Config.from_dict(
            {
                "base-url": self.url,
                "headers": headers,
                "suppress-health-check": ["all"],
                "generation": {
                    "max-examples": examples,
                    "deterministic": True,
                    "database": "none",
                    "with-security-parameters": False,
                },
                "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
                # Methods that a path does not know are test_roles.py's.
                "phases": {"coverage": {"unexpected-methods": []}},
            }
        )
