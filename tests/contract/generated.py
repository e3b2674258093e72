"""Requests that schemathesis makes from the served document, and checks of their answers."""

from collections.abc import Callable, Iterable
from typing import Any

import requests
import schemathesis
from requests.adapters import HTTPAdapter
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

from tests.acceptance.client import Json

# At each boundary of each member, one at a time; and wherever chance leads.
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


# What is sent without a good token counts against this address, not the other tests'.
ADDRESS = "127.0.0.2"


class _FromAnAddressOfItsOwn(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(ADDRESS, 0), **kwargs)


class Generator:
    """Makes requests of a server, the same in every run."""

    def __init__(self, document: Json, url: str, *, examples: int) -> None:
        """
        Args:
            examples: How many requests for each operation are made at random.
        """
        self._schema = schemathesis.openapi.from_dict(document, config=_config(url, examples))

    def try_operation(
        self,
        method: str,
        route: str,
        *modes: HypothesisTestMode,
        tokens: Iterable[str | None],
        prepare: Callable[[Case], None],
    ) -> None:
        """
        Send what the document allows here, and what it forbids.

        Args:
            tokens: Each request is sent with each of them; None for somebody without one.
            prepare: Changes a request before it is sent.

        Raises:
            Exception: An answer is not as the document says; it names the request.
        """
        operation, project = self._schema[route][method], self._schema.config
        callers = [{"Authorization": f"Bearer {token}"} if token else {} for token in tokens]

        settings = project.get_hypothesis_settings(operation=operation)
        config = HypothesisTestConfig(project=project, modes=list(modes), settings=settings)
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", _FromAnAddressOfItsOwn())

            def ask(case: Case) -> None:
                prepare(case)
                for headers in callers:
                    case.call_and_validate(headers=headers, session=session)

            create_test(operation=operation, test_func=ask, config=config)()


def is_forbidden(case: Case, location: ParameterLocation) -> bool:
    """Whether this part of a request was made against the document."""
    return case.meta is not None and case.meta.is_negative_at(location)


def _config(url: str, examples: int) -> schemathesis.Config:
    config: dict[str, Any] = {
        "base-url": url,
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
    return schemathesis.Config.from_dict(config)
