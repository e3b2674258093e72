"""Being told to end, once."""

import os
import signal

import pytest

from orchestrator.dev.ending import ENDINGS, interrupted_once


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_first_signal_interrupts_and_the_next_do_nothing(ending: signal.Signals) -> None:
    before = signal.getsignal(ending)
    with interrupted_once():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), ending)
        os.kill(os.getpid(), ending)

    assert signal.getsignal(ending) is before
