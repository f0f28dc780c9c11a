"""The scenario of the demo: a small master account, six weeks of history that end now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from simulator.scenario import Account, Clock, Scenario

_HISTORY = timedelta(weeks=6)


def demo_scenario() -> Scenario:
    """Give the demo's scenario.

    Four sub accounts of different size, one of them idle, hold about 3,000 engagements. The clock
    stands still, so that what was loaded can be compared to what there is; engagements that are
    still going on become visible when somebody sets it forward.
    """
    now = datetime.now(timezone.utc).replace(microsecond=0)
    return Scenario(
        seed=20,
        accounts=(
            Account(id="dEmOLaRgEaCcOuNt000001", name="Large ☎", sms=600, voice_calls=1500),
            Account(id="dEmOmEdIuMaCcOuNt00002", name="Medium é", sms=250, voice_calls=500),
            Account(id="dEmOsMaLlAcCoUnT000003", name="Small 小", sms=40, voice_calls=90),
            Account(id="dEmOiDlEaCcOuNt0000004", name="Idle"),
        ),
        history_begin=now - _HISTORY,
        history_end=now,
        clock=Clock(now=now),
    )
