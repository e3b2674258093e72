"""What pages refuse, beside what the API does."""

from __future__ import annotations

from orchestrator.errors import Forbidden


class FormRefused(Forbidden):
    """The form was not accepted, and nothing was done."""

    code = "form-refused"
