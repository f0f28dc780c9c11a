"""The errors that Zoom answers, with status, code and message as Zoom words them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApiError(Exception):
    """An answer that is an error: HTTP status, headers, and what the body's JSON holds."""

    def __init__(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = msgspec.json.encode(body)
        self.headers = dict(headers or {})


def coded(
    status: int, code: int, message: str, headers: Mapping[str, str] | None = None
) -> ApiError:
    """Give an error in Zoom's usual form, a code and a message."""
    return ApiError(status, {"code": code, "message": message}, headers)


def bad_date() -> ApiError:
    """Give the answer to a date or time in another form than Zoom's."""
    return coded(
        400,
        300,
        "The time and date must be in `yyyy-mm-dd` or ISO 8601 format, either "
        "`yyyy-MM-dd'T'HH:mm:ss'Z'` or `yyyy-MM-dd'T'HH:mm:ss'TZD'`.",
    )


def range_too_long() -> ApiError:
    """Give the answer to a range of more than a month."""
    return coded(400, 300, "The requested report exceeds the 1-month limit.")


def invalid_field(name: str) -> ApiError:
    """Give the answer to a parameter that is unknown or has a value it cannot have."""
    return ApiError(
        400,
        {
            "code": 300,
            "message": "Invalid field.",
            "errors": [{"field": name, "message": "Invalid field."}],
        },
    )


def page_token_expired(*, other_wording: bool = False) -> ApiError:
    """Give the answer to a page token that is unknown, old, or of another query."""
    if other_wording:
        return coded(400, 300, "The next page token is either invalid or has expired.")
    return coded(400, 300, "The next page token is invalid or expired.")


def unknown_account(account_id: str) -> ApiError:
    """Give the answer about an account that does not exist or belongs to somebody else."""
    return coded(404, 2001, f"Account does not exist: {account_id}.")


def unknown_user(user_id: str) -> ApiError:
    """Give the answer to a filter by a user that the account does not have."""
    return coded(404, 1001, f"User does not exist: {user_id}.")


def unknown_queue(queue_id: str) -> ApiError:
    """Give the answer to a filter by a queue that the account does not have."""
    return coded(404, 1201, f"Queue does not exist: {queue_id}.")


def unknown_engagement(engagement_id: str) -> ApiError:
    """Give the answer to a filter by an engagement that the account does not have."""
    return coded(404, 2901, f"Engagement does not exist: {engagement_id}.")


def unknown_endpoint() -> ApiError:
    """Give the answer to a path that is no endpoint."""
    return coded(400, 2300, "This API endpoint is not recognized.")


def access_token_refused(message: str = "Invalid access token.") -> ApiError:
    """Give the usual answer to an access token that does not hold."""
    return coded(401, 124, message)


def missing_scopes(scopes: str) -> ApiError:
    """Give the answer to an access token without the scope that the endpoint needs."""
    return coded(400, 4711, f"Invalid access token, does not contain scopes:[{scopes}].")
