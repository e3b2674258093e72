"""Try a workflow in a test: its definition against an app's handlers, in this process.

No network, no database, no waiting.

    from executor.testing import play
    from my_package.refunds import app

    def test_a_large_refund_is_paid_once_it_is_approved():
        played = play(
            app,
            Path("refund.json"),
            {"orderId": 7, "amount": 90_000},
            answers={"approve": [{"approved": True}]},
        )

        assert played.state == "finished"
        assert played.names == ("check", "approve", "approve", "pay", "mail")
        assert played.step("pay").output == {"receipt": "R-7"}
"""

from executor.testing.played import Played, PlayedStep
from executor.testing.playing import TIMED_OUT, play

__all__ = ["TIMED_OUT", "Played", "PlayedStep", "play"]
