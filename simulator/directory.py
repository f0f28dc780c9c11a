"""The users, queues, flows, regions and teams of one simulated account.

Without a profile, names are words for "example" in many scripts. Numbers come from ranges reserved
for fiction and documentation. Nothing here can be taken for a real person or address.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.profile import Profile

WORDS = (
    "Example",
    "Beispiel für Übung",
    "例え",
    "测试",
    "Пример",
    "اختبار",
    "Παράδειγμα",
    "ตัวอย่าง",
    "naïve café ☕",
    "👩🏽‍🚀 emoji 🌵",
    'quoted "so" and \\so\\',
    "100 % of a tab\tand a line\nbreak",
    "<b>&amp;</b> 'single'; --",
    "e\u0301 combined, \u202eright to left\u202c, \u2028 separator",
)
COUNTRIES = {
    "US": "United States",
    "DE": "Germany",
    "CI": "Côte d'Ivoire",
    "JP": "日本",
    "BR": "Brasil",
    "CN": "China",
}
"""Country names by their ISO codes: rows carry the name, the filter takes the code."""

_REGIONS = ("Main Region", "Región Sur", "北")
_TEAMS = ("My team", "Équipe de nuit", "チーム 3")


@dataclass(frozen=True)
class Named:
    """Anything that has an id and a name."""

    id: str
    name: str


@dataclass(frozen=True)
class Directory:
    """What an account has besides engagements."""

    users: tuple[Named, ...]
    queues: tuple[Named, ...]
    flows: tuple[Named, ...]
    regions: tuple[Named, ...]
    teams: tuple[Named, ...]


def random_id(random: Random) -> str:
    """Draw an id of the shape that Zoom gives: 16 bytes as 22 characters of URL-safe base64."""
    return base64.urlsafe_b64encode(random.randbytes(16))[:22].decode()


def make_directory(seed: int, account_id: str, profile: Profile | None = None) -> Directory:
    """Make the directory of an account, always the same for the same seed."""
    random = Random(f"{seed}/{account_id}/directory")

    def named(names: tuple[str, ...]) -> tuple[Named, ...]:
        return tuple(Named(random_id(random), name) for name in names)

    if profile is not None:
        return Directory(
            users=named(profile.agents),
            queues=named(tuple(queue.name for queue in profile.queues)),
            flows=named(profile.flows),
            regions=named(profile.regions),
            teams=named(profile.teams),
        )
    return Directory(
        users=named(tuple(f"{WORDS[n % len(WORDS)]} agent {n + 1}" for n in range(24))),
        queues=named(tuple(f"{WORDS[n]} queue" for n in range(8))),
        flows=named(tuple(f"{WORDS[n]} flow" for n in range(4))),
        regions=named(_REGIONS),
        teams=named(_TEAMS),
    )
