"""SQL as text, parsed once.

A statement is written in the function that runs it. To find its parameters costs
SQLAlchemy a tenth of a millisecond for the larger ones, which is felt at every
claim; the text of a statement never changes, so what was found is kept.
"""

from __future__ import annotations

from functools import cache

import sqlalchemy
from sqlalchemy import TextClause


@cache
def text(statement: str) -> TextClause:
    """`sqlalchemy.text`, for statements that are made of constants only."""
    return sqlalchemy.text(statement)
