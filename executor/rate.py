"""A rate for each of many, with something to begin with."""

from collections import OrderedDict

MOST_KEYS = 4096


class Rate:
    """
    So many in a second for each key, and some at first; bounded in memory.

    Of a key one number is kept: when all that it has taken is earned again.
    Whoever took nothing for the longest time is forgotten first.
    """

    def __init__(self, per_second: float, at_first: int) -> None:
        self._seconds_of_one = 1.0 / per_second
        self._seconds_at_first = at_first / per_second
        self._earned_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._earned_at)

    def take(self, key: str, now: float) -> float:
        """
        Take one.

        Returns:
            0.0; or, if there is none, in how many seconds there will be.
        """
        earned_at = max(self._earned_at.get(key, now), now) + self._seconds_of_one
        missing = earned_at - now - self._seconds_at_first
        # What is added up may be a rounding error above what was multiplied.
        if missing > self._seconds_of_one / 1000:
            return missing
        self._earned_at[key] = earned_at
        self._earned_at.move_to_end(key)
        if len(self._earned_at) > MOST_KEYS:
            self._earned_at.popitem(last=False)
        return 0.0

    def put_back(self, key: str) -> None:
        """Take back what was taken last."""
        if key in self._earned_at:
            self._earned_at[key] -= self._seconds_of_one
