"""The scenario of the demo: a small master account, and seven weeks of contact centers at work."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from simulator.profile import Lengths, Profile, Queue, Rhythm
from simulator.scenario import Account, Clock, Scenario

_HISTORY = timedelta(weeks=7)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_NOTHING = "000000000000000000000000"
# Each digit says how busy an hour of the day is, from midnight on, UTC.
_PROFILE = Profile(
    queues=(
        # In office hours, with a dip at lunch; text messages until late.
        Queue(
            name="Sales",
            voice_calls=Rhythm(
                share=5,
                week=(*["000000002698347985200000"] * 5, "000000000233200000000000", _NOTHING),
            ),
            sms=Rhythm(
                share=5,
                week=(*["000000001234324567874100"] * 5, "000000000133322233210000", _NOTHING),
            ),
        ),
        # Long days, and Monday morning for all that broke at the weekend.
        Queue(
            name="Support",
            voice_calls=Rhythm(
                share=7,
                week=(
                    "000000037998656765432100",
                    *["000000024554334443321000"] * 4,
                    "000000001222221110000000",
                    _NOTHING,
                ),
            ),
            sms=Rhythm(
                share=5,
                week=(
                    "000000025776554445677410",
                    *["000000013443223334566310"] * 4,
                    "000000001222222223333210",
                    "000000000111111112222110",
                ),
            ),
        ),
        # Short days, closed at lunch, busy at the beginning of the week.
        Queue(
            name="Billing",
            voice_calls=Rhythm(
                share=3,
                week=(
                    *["000000000799057830000000"] * 2,
                    *["000000000344023410000000"] * 3,
                    _NOTHING,
                    _NOTHING,
                ),
            ),
            sms=Rhythm(
                share=2,
                week=(
                    *["000000000688356742000000"] * 2,
                    *["000000000344233421000000"] * 3,
                    _NOTHING,
                    _NOTHING,
                ),
            ),
        ),
        # From Monday to Saturday, before the vans leave and when they have not come.
        Queue(
            name="Deliveries",
            voice_calls=Rhythm(
                share=4,
                week=(*["000000489631112358996200"] * 5, "000000377421123452100000", _NOTHING),
            ),
            sms=Rhythm(
                share=4,
                week=(*["000000246532223468998400"] * 5, "000000235432233443100000", _NOTHING),
            ),
        ),
        # When the others are closed; it has no number for text messages.
        Queue(
            name="After hours",
            voice_calls=Rhythm(
                share=3,
                week=(
                    *["532223600000000000000798"] * 4,
                    "532223600000000000000899",
                    "643222233333344566678999",
                    "754322234566666666666787",
                ),
            ),
        ),
    ),
    agents=tuple(f"Agent {number}" for number in range(1, 25)),
    teams=("Day team", "Field team", "Night team"),
    flows=("Main menu", "Call back", "Announcement"),
    regions=("East", "West"),
    # Calls take minutes, and a few some hours. A conversation by SMS may stay open for days.
    voice_calls_lengths=Lengths(mean=6 * _MINUTE, longest_usual=_HOUR, longest=3 * _HOUR),
    sms_lengths=Lengths(mean=2 * _HOUR, longest_usual=12 * _HOUR, longest=5 * _DAY, long_every=13),
)


def demo_scenario(today: datetime | None = None) -> Scenario:
    """Give the demo's scenario.

    Four sub accounts of different size, one of them idle, hold about 5,000 engagements. The history
    is one of whole weeks, up to the last Monday. So it is the same on every day of the week, and in
    another week only its dates are others. The clock stands still, so that what was loaded can be
    compared to what there is; engagements that are still going on become visible when somebody sets
    it forward.

    Args:
        today: an instant of the present week in UTC; by default now.
    """
    midnight = (today or datetime.now(timezone.utc)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    monday = midnight - timedelta(days=midnight.weekday())
    return Scenario(
        seed=21,
        accounts=(
            Account(id="dEmOLaRgEaCcOuNt000001", name="Large", sms=1100, voice_calls=2400),
            Account(id="dEmOmEdIuMaCcOuNt00002", name="Medium", sms=350, voice_calls=800),
            Account(id="dEmOsMaLlAcCoUnT000003", name="Small", sms=60, voice_calls=150),
            Account(id="dEmOiDlEaCcOuNt0000004", name="Idle"),
        ),
        history_begin=monday - _HISTORY,
        history_end=monday,
        clock=Clock(now=monday),
        profile=_PROFILE,
    )
