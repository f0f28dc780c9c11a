"""The simulator as a process of its own, started and steered from Python.

Tests, benchmark and demo measure the tap as users run it, so its opposite must not share their
interpreter: `SimulatorProcess` starts ``python -m simulator``, and speaks to its control
endpoints.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from simulator.scenario import Scenario, dump
from simulator.statistics import Statistics
from simulator.world import Count

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

    from simulator.scenario import Stream

_ROOT = Path(__file__).parent.parent
_ANSWER_SECONDS = 120


class SimulatorProcess:
    """A running simulator. Use it as a context manager, or call `close`.

    Making one starts the simulator and waits until it listens.

    Args:
        scenario: what to serve; the default has no engagements.
        port: on the loopback address; 0 takes a free one.

    Raises:
        RuntimeError: the simulator did not start; its own words are on stderr.
    """

    def __init__(self, scenario: Scenario | None = None, *, port: int = 0) -> None:
        self.scenario = scenario or Scenario()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scenario.json"
            path.write_bytes(dump(self.scenario))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simulator", f"--port={port}", f"--scenario={path}"],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            self.close()
            message = "the simulator did not start"
            raise RuntimeError(message)
        where = msgspec.json.decode(line, type=dict[str, str])
        self.url = where["url"]
        self.api_url = where["api_url"]
        self.token_url = where["token_url"]
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        """Give the running simulator."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.close()

    def close(self) -> None:
        """Stop the simulator, which has nothing to keep, and wait until it has gone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def tap_config(self) -> dict[str, Any]:
        """Give the settings with which the tap reads this simulator."""
        return {
            "account_id": self.scenario.account_id,
            "client_id": self.scenario.client_id,
            "client_secret": self.scenario.client_secret,
            "api_url": self.api_url,
            "token_url": self.token_url,
        }

    def access_token(self) -> str:
        """Ask for an access token as a client does, and give it."""
        answer = self._session.post(
            self.token_url,
            data={
                "grant_type": "account_credentials",
                "account_id": self.scenario.account_id,
            },
            auth=(self.scenario.client_id, self.scenario.client_secret),
            timeout=_ANSWER_SECONDS,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def truth(self, stream: Stream, account_id: str | None = None) -> list[dict[str, Any]]:
        """Give the engagements that a perfect client would have read by now.

        Args:
            stream: of which stream.
            account_id: of which account, or None for all.

        Returns:
            Rows as the API gives them with all details, times in UTC as ``+00:00``, and with
            ``account_id``; by account and start time.
        """
        parameters: dict[str, str] = {"stream": stream}
        if account_id is not None:
            parameters["account_id"] = account_id
        lines = self._control("GET", "truth", parameters=parameters).splitlines()
        decoder = msgspec.json.Decoder(dict[str, Any])
        return [decoder.decode(line) for line in lines]

    def counts(self) -> list[Count]:
        """Count the visible engagements by stream and account, with first and last start."""
        return msgspec.json.decode(self._control("GET", "counts"), type=list[Count])

    def stats(self) -> Statistics:
        """Give what the simulator has seen since the start or `reset_stats`."""
        return msgspec.json.decode(self._control("GET", "stats"), type=Statistics)

    def reset_stats(self) -> None:
        """Let the simulator forget what it has seen."""
        self._control("POST", "reset-stats")

    def warm_up(self) -> None:
        """Let all engagements be made up now: the first request for them will not wait for that."""
        self._control("POST", "warm-up")

    def set_clock(self, now: datetime | None) -> None:
        """Let the simulated clock stand still at an aware datetime; None lets it run."""
        clock = replace(self.scenario.clock, now=now)
        self._control("PATCH", "clock", body=msgspec.json.encode(clock))

    def replace(self, scenario: Scenario) -> None:
        """Serve another scenario: all tokens, counts and limits begin anew."""
        self._control("PUT", "scenario", body=dump(scenario))
        self.scenario = scenario

    def _control(
        self,
        method: str,
        name: str,
        *,
        parameters: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        answer = self._session.request(
            method,
            f"{self.url}/_simulator/{name}",
            params=parameters,
            data=body,
            timeout=_ANSWER_SECONDS,
        )
        if answer.status_code == requests.codes.bad_request:
            raise ValueError(answer.text)
        answer.raise_for_status()
        return answer.content
