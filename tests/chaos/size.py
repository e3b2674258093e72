"""How much is done to prove something: a little each time, or as much as the list says."""

import os
from typing import Final, TypeVar

SIZE: Final = "DIBS_CHAOS"
LONG: Final = "long"
IS_LONG: Final = os.environ.get(SIZE) == LONG

Amount = TypeVar("Amount")


def sized(short: Amount, long: Amount) -> Amount:
    """What this session does of two amounts: `DIBS_CHAOS=long` asks for the second."""
    return long if IS_LONG else short
