"""An answer that is not the page asked for: its status, code, message, and when to come back.

A gateway may answer HTML, and a message may quote what was sent: any body is read, and nothing of
the credentials is kept. Here texts of Zoom's are masked and shortened, for every error.
"""

from __future__ import annotations

import base64
import html
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

import msgspec
import requests
from typing_extensions import override

from tap_zoom_cc.run.log import printable
from tap_zoom_cc.zoom.instants import EARLIEST_TIME, parse_http_date, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_DIGITS = 9
"""Digits of a code; Zoom's have up to eight."""

LONGEST_MESSAGE = 200
"""Characters of Zoom's own message that are shown: an answer may hold personal data."""

MOST_LAYERS = 4
"""How often a secret in a message may have been encoded and still be found (own choice)."""

LONGEST_QUOTED = 1_000
"""Characters of a message that are looked through; no more of it can be shown (own choice)."""

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_BASE64 = re.compile(r"[A-Za-z0-9_-]{8,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the decision needs of an answer that is not the page asked for.

    ``status`` is 0 where nothing came, or what came broke off; ``message`` then names the fault.
    ``retry_after`` is when to ask again, by ``Retry-After`` or, in a refusal for the rate, by
    ``X-RateLimit-Reset``. ``wait`` is how many seconds ahead of the answer that lies.
    """

    status: int
    code: int | None = None
    message: str = ""
    limit_type: str = ""
    retry_after: datetime | None = None
    wait: float | None = None

    @override
    def __str__(self) -> str:
        """Return status, code and message in the form in which errors quote them."""
        if not self.status:
            return f"no answer ({self.message})"
        code = f", code {self.code}" if self.code is not None else ""
        return f"HTTP {self.status}{code}: {self.message or 'no message'}"


def read_answer(response: requests.Response, now: datetime) -> Answer:
    """Read what matters out of an error answer; any body is fine, HTML too.

    Args:
        response: the HTTP response.
        now: the present by this machine's clock, for an answer that does not tell Zoom's.
    """
    # An instant to come back at is meant by the clock of whoever wrote it.
    now = parse_http_date(response.headers.get("Date")) or now
    try:
        body = msgspec.json.decode(response.content.removeprefix(BOM_UTF8))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = {}
    if not isinstance(body, dict):
        body = {}
    errors = body.get("errors")
    details = [
        error["message"]
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict) and isinstance(error.get("message"), str)
    ]
    texts = [body.get(name) for name in ("message", "errorMessage", "reason")]
    message: str = next((text for text in texts if isinstance(text, str) and text), "")
    codes = [_code(body.get(name)) for name in ("code", "errorCode")]
    retry_after = parse_retry_after(response.headers.get("Retry-After"), now)
    # Other answers may have the header, too: it says when the limit's count begins anew.
    if retry_after is None and response.status_code == requests.codes.too_many_requests:
        retry_after = parse_unix_time(response.headers.get("X-RateLimit-Reset"))
    return Answer(
        status=response.status_code,
        code=next((code for code in codes if code is not None), None),
        message=shorten(
            without_credentials(" ".join([message or response.reason or "", *details]), response)
        ),
        limit_type=response.headers.get("X-RateLimit-Type", ""),
        retry_after=retry_after,
        wait=max(0.0, (retry_after - now).total_seconds()) if retry_after else None,
    )


def without_credentials(text: str, response: requests.Response) -> str:
    """Return an answer's text without the token, or the ID and secret, that were sent for it.

    A text that holds one of them in another form (percent-encoded, say, or in base64) is left out.
    """
    sent = response.request.headers.get("Authorization", "")
    scheme, _, credentials = sent.partition(" ")
    secrets = [credentials]
    if scheme == "Basic":
        secrets += base64.b64decode(credentials).decode(errors="replace").split(":", 1)
    secrets = [secret for secret in secrets if secret]
    text = printable(text)[:LONGEST_QUOTED]
    for secret in secrets:
        text = text.replace(secret, "***")
    return "(a message that quotes the credentials)" if _is_told(secrets, text) else text


def _is_told(secrets: Iterable[str], text: str) -> bool:
    """Say whether a text gives one of the secrets away, in any form that a server may give it."""
    hidden = [_squeezed(secret) for secret in secrets]
    forms = {text}
    for _ in range(MOST_LAYERS):
        if any(secret in _squeezed(form) for form in forms for secret in hidden):
            return True
        forms = {decoded for form in forms for decoded in _decoded(form) if decoded != form}
    return False


def _squeezed(text: str) -> str:
    """Return a text without what a reader would overlook."""
    return "".join(char for char in text if char.isprintable() and not char.isspace()).casefold()


def _decoded(text: str) -> set[str]:
    """Return what a text may be an encoded form of."""
    return {
        unquote(text),
        unquote_plus(text),
        html.unescape(text),
        _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text).replace("\\", ""),
        *(
            _from_base64(run[begin:])
            for run in _BASE64.findall(text.replace("+", "-").replace("/", "_"))
            for begin in range(4)
        ),
    }


def _from_base64(run: str) -> str:
    whole = run[: len(run) - (len(run) % 4 == 1)]
    return base64.urlsafe_b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="ignore")


def _code(value: object) -> int | None:
    """Return a code that came as a number or as its digits."""
    is_code = isinstance(value, (int, str)) and not isinstance(value, bool)
    digits = str(value) if is_code else ""
    return int(digits) if digits.isdecimal() and len(digits) <= MOST_DIGITS else None


def shorten(text: str) -> str:
    """Return a text on one line and cut short, fit to stand in an error."""
    line = printable(text)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"


def parse_retry_after(text: str | None, now: datetime) -> datetime | None:
    """Return the instant that ``Retry-After`` names: ISO 8601 (seen), seconds, or an HTTP date."""
    if not text:
        return None
    text = text.strip()
    try:
        if text.replace(".", "", 1).isdigit():
            return now + timedelta(seconds=float(text))
        return parse_instant(text)
    except (ValueError, OverflowError):
        return parse_http_date(text)


def parse_unix_time(text: str | None) -> datetime | None:
    """Return the instant of ``X-RateLimit-Reset``, seconds since 1970 (document); None if none."""
    try:
        instant = datetime.fromtimestamp(float(text or ""), tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return instant if instant >= EARLIEST_TIME else None


def missing_scopes(message: str) -> str:
    """Return the scopes that Zoom's message names, or an empty text."""
    found = re.search(r"scopes?\s*:?\s*\[([^\]]*)\]", message, re.IGNORECASE)
    return found.group(1).strip() if found else ""
