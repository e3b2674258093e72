"""The pace: how fast runs get done here, and so how many may be claimed ahead."""

AHEAD_SECONDS = 0.5
"""A few times what a claim takes under load. What waits here for longer gains
nothing by it, and might be executed by somebody else meanwhile."""

REMEMBERED_SECONDS = 2.0
SHORTEST_SECONDS = 0.001


class Pace:
    """
    The longest that a run has kept its slot lately.

    The longest, not the mean: one slow run among quick ones may be the next one
    too, and whatever is claimed ahead waits behind it. Nothing is known before
    the first run is done, and again when none was done for a while: then none is
    claimed ahead.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        # Of this time and of the one before: what is known does not vanish when one begins.
        self._longest: float | None = None
        self._longest_before: float | None = None
        self._since = 0.0

    def note(self, seconds: float, now: float) -> None:
        """Note for how long a run kept its slot."""
        self._forget(now)
        self._longest = max(seconds, self._longest or 0.0)

    def ahead(self, slots: int, *, longest_running_seconds: float, now: float) -> int:
        """
        How many runs may be held beyond those that are executed.

        As many as the slots get done in `AHEAD_SECONDS`, but no more than one for
        each slot, so that none waits for more than one other; and none when a third
        of a lease might not do for both.

        Args:
            longest_running_seconds: For how long the oldest run has kept its slot so far.
        """
        self._forget(now)
        known = [one for one in (self._longest, self._longest_before) if one is not None]
        if not known:
            return 0
        longest = max(*known, longest_running_seconds, SHORTEST_SECONDS)
        if 2 * longest > self._lease_seconds / 3:
            return 0
        return min(slots, int(slots * AHEAD_SECONDS / longest))

    def _forget(self, now: float) -> None:
        if now < self._since + REMEMBERED_SECONDS:
            return
        is_the_next = now < self._since + 2 * REMEMBERED_SECONDS
        self._longest_before = self._longest if is_the_next else None
        self._longest = None
        self._since = now
