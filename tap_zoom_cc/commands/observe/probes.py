"""Which ranges and pages of a log are asked for, each for the question that it settles.

The order matters: the first answer shows how many engagements there are, the next ones what a range
selects. With that known, the others can be asked for so that their answers mean something.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.asking import Asked
from tap_zoom_cc.commands.observe.ranges import Witnesses, left_over, near, next_range
from tap_zoom_cc.sync.windows import DAY, LONGEST_REQUEST, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tap_zoom_cc.commands.observe.asking import Purpose, Seen
    from tap_zoom_cc.commands.observe.ranges import Reading

SETTLED = timedelta(hours=1)
"""How long after its end an engagement is surely listed (own choice).

What ended later may be missing in one answer and there in the next one.
"""

HISTORY_DAYS = (90, 365, 730)
"""How far back history is asked for, as long as there is something."""

LONG_MONTHS, SHORT_MONTHS = (1, 3, 5, 7, 8, 10, 12), (4, 6, 9, 11)

RANGE_REQUESTS = 8
"""The most requests about what ranges select, to the busiest log."""

OTHER_RANGE_REQUESTS = 4
"""The same, to each other log."""


@dataclass
class Log:
    """One log of one account: how it is asked, and what has been seen of it.

    ``ask_for`` returns None when no request is left; ``present`` is the end of all ranges.
    """

    name: str
    ask_for: Callable[[Asked], Seen | None]
    present: datetime
    seen: list[Seen] = field(default_factory=list)

    def ask(self, asked: Asked) -> Seen | None:
        """Ask, and keep what was seen; nothing if no request is left."""
        answer = self.ask_for(asked)
        if answer is not None:
            self.seen.append(answer)
        return answer

    def ask_for_newest(self) -> None:
        """Ask for what is asked first: the newest engagements, in as long a range as is sure."""
        self.ask(Asked("base", Window(self.present - LONGEST_REQUEST, self.present)))

    def of(self, *purposes: Purpose) -> list[Seen]:
        """Return the pages that were asked for these purposes, in order."""
        return [each for each in self.seen if each.is_page and each.asked.purpose in purposes]

    @property
    def size(self) -> int:
        """How many engagements its first range has; -1 if it could not be read."""
        return max((max(page.total or 0, len(page.rows)) for page in self.of("base")), default=-1)

    @property
    def is_readable(self) -> bool:
        """Whether its first range could be read."""
        return self.size >= 0

    @property
    def refusal(self) -> str:
        """The HTTP status, and Zoom's code, that its first range was answered with."""
        if not self.seen or not self.seen[0].status:
            return "nothing"
        code = self.seen[0].code
        return f"HTTP {self.seen[0].status}{'' if code is None else f', code {code}'}"

    @property
    def witnesses(self) -> Witnesses:
        """The engagements that are known to exist, and that every answer could have held."""
        last_end = self.present - SETTLED
        return Witnesses(
            row for each in self.seen for row in each.rows if row.start <= row.end <= last_end
        )

    @property
    def readings(self) -> list[Reading]:
        """What the answers leave of all readings of ranges."""
        return left_over(self.of("range"), self.witnesses)


def busiest(accounts: Sequence[Sequence[Log]]) -> Sequence[Log]:
    """Return the logs of the account with the most engagements in one of them."""
    return max(accounts, key=lambda logs: max(log.size for log in logs), default=())


def look(logs: Sequence[Log]) -> None:
    """Ask an account's logs for more, the busiest first; the newest engagements have been seen."""
    readable = sorted((log for log in logs if log.is_readable), key=lambda log: -log.size)
    for number, log in enumerate(readable):
        _ask_about_ranges(log, OTHER_RANGE_REQUESTS if number else RANGE_REQUESTS)
    for log in readable[:1]:
        _ask_about_width(log)
        first = log.seen[0]
        if first.token:
            # The newest engagements again, and then the second page by the first token.
            log.ask(replace(first.asked, purpose="living"))
            log.ask(replace(first.asked, purpose="living", page_token=first.token))
        for days in HISTORY_DAYS:
            end = log.present - days * DAY
            answer = log.ask(Asked("history", Window(end - LONGEST_REQUEST, end)))
            if answer is None or not answer.in_range:
                break


def _ask_about_ranges(log: Log, most: int) -> None:
    # A day that is a week old shows whether the range matters at all.
    log.ask(Asked("range", Window(log.present - 8 * DAY, log.present - 7 * DAY)))
    is_confirmed = False
    for _ in range(most - 1):
        left, witnesses = log.readings, log.witnesses
        before = {each.asked for each in log.seen}
        asked = next_range(left, witnesses, log.present, before)
        if asked is None and left and not is_confirmed:
            # A reading that is wrong, and has come through by chance, would hardly do so again.
            is_confirmed = True
            asked = next_range(near(left[0]), witnesses, log.present, before)
        if asked is None or log.ask(asked) is None:
            return


def _ask_about_width(log: Log) -> None:
    """Ask for ranges about as long as months are, from days on which months differ in length.

    A refusal means the length only where a shorter range from the same day is accepted.
    """

    def is_accepted(months: tuple[int, ...], days: float) -> bool:
        # From the last 15th of one of these months from which more than a month has passed.
        begin = (log.present - 33 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        while begin.day != 15 or begin.month not in months:  # noqa: PLR2004 (the fifteenth)
            begin -= DAY
        answer = log.ask(Asked("width", Window(begin, begin + days * DAY)))
        return answer is not None and answer.is_page

    if is_accepted(LONG_MONTHS, 30.5):
        if is_accepted(SHORT_MONTHS, 30.5):
            is_accepted(LONG_MONTHS, 31.5)
        else:
            is_accepted(SHORT_MONTHS, 29.5)
    elif not is_accepted(LONG_MONTHS, 29.5):
        is_accepted(LONG_MONTHS, 28)
