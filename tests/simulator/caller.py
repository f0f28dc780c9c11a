"""A caller of the simulator, and the scenarios that its tests ask about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import requests

from simulator.scenario import Account, Scenario

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

SUB = "sUbAcCoUnT000000000001"

Parameters = Mapping[str, str | int | list[str]]
Span = tuple[str, str]
"""The values of ``from`` and ``to``."""
Row = dict[str, Any]

JANUARY: Span = ("2024-01-02T00:00:00+00:00", "2024-01-30T00:00:00+00:00")
MANY = Scenario(accounts=(Account(id=SUB, sms=230, voice_calls=230),))


class Client:
    """A caller with an access token."""

    def __init__(self, simulator: SimulatorProcess, scenario: Scenario) -> None:
        """Let the simulator serve a scenario, and ask it for a token."""
        simulator.replace(scenario)
        self._api_url = simulator.api_url
        self.headers = {"Authorization": f"Bearer {simulator.access_token()}"}
        simulator.reset_stats()

    def get(self, path: str, parameters: Parameters | None = None) -> requests.Response:
        """Ask for a path below the API's address."""
        url = self._api_url + path
        return requests.get(url, params=parameters, headers=self.headers, timeout=30)

    def engagements(
        self, stream: Stream = "sms", span: Span | None = None, /, **parameters: str | int
    ) -> requests.Response:
        """Ask for a page of the sub account's engagements."""
        times = {} if span is None else {"from": span[0], "to": span[1]}
        return self.get(f"/accounts/{SUB}/contact_center/{stream}", {**times, **parameters})

    def page(self, span: Span | None = None, /, **parameters: str | int) -> dict[str, Any]:
        """Give a page of text messages, by default as large as it can be."""
        answer = self.engagements("sms", span, **{"page_size": 100, **parameters})
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def pages(self, span: Span, /, **parameters: str | int) -> list[dict[str, Any]]:
        """Follow the pages of text messages to their end."""
        pages = [self.page(span, **parameters)]
        while token := pages[-1]["next_page_token"]:
            pages.append(self.page(span, next_page_token=token, **parameters))
        return pages

    def ids(self, span: Span | None = None) -> list[str]:
        """Give the ids on the first page of text messages."""
        return ids_of(self.page(span)["sms"])


def ids_of(rows: list[Row]) -> list[str]:
    return [row["engagement_id"] for row in rows]


def engagement(name: str, start: str, end: str, **fields: object) -> Row:
    """Give an explicit engagement; a time without a day is on 10 January 2024, in UTC."""
    times = [time if "T" in time else f"2024-01-10T{time}Z" for time in (start, end)]
    return {"engagement_id": name, "start_time": times[0], "end_time": times[1], **fields}


def with_engagements(
    *rows: Row,
    account: Mapping[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401 (the scenario's)
) -> Scenario:
    """Give a scenario whose sub account has these text messages; ``account`` says what else."""
    return Scenario(accounts=(Account(id=SUB, explicit_sms=rows, **(account or {})),), **changes)


def at(text: str) -> datetime:
    """Give an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
