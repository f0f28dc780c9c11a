"""Bodies of answers, read with a bound: one that never ends must not fill the memory.

The bound is on the decoded bytes, since a few kilobytes of gzip can stand for gigabytes. urllib3
decodes no more at a time than it is asked for (since version 2.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

if TYPE_CHECKING:
    from requests import Response

LARGEST_BODY_BYTES = 32 << 20
"""Bytes of an answer that is read whole (own choice).

A page of 100 rows has some 350 kB. That leaves room for rows a hundred times as large, such as long
conversations, and ten threads that all read the largest body still fit a small machine.
"""

LARGEST_ERROR_BYTES = 256 << 10
"""Bytes of an error's answer that are read; what follows is left out (own choice).

Zoom's errors have a few hundred, and only a line of them is shown.
"""

READ_BYTES = 384 << 10
"""Bytes that are read at once: most pages in one piece.

With fewer, threads wake up for each small part of a page. With more, what the libraries hold while
they put very small chunks together would be larger than the largest body.
"""


class BodyTooLargeError(requests.RequestException):
    """An answer's body is larger than any that is expected, or does not end."""


def read_body(response: Response, limit: int = LARGEST_BODY_BYTES) -> bytes:
    """Return a streamed response's whole body, decoded.

    Raises:
        BodyTooLargeError: if it has more than ``limit`` bytes; no more than that are kept.
        requests.ReadTimeout: if nothing more came for too long.
        requests.exceptions.ChunkedEncodingError: if it broke off, or cannot be decoded.
    """
    pieces = _read_pieces(response, limit + 1)
    if sum(map(len, pieces)) > limit:
        message = f"the answer is larger than {limit:,} bytes, the most that is read of one"
        raise BodyTooLargeError(message, response=response)
    return b"".join(pieces)


def read_beginning(response: Response, limit: int = LARGEST_ERROR_BYTES) -> bytes:
    """Return the first bytes of a streamed response's body, decoded: ``limit`` of them at most.

    Raises:
        requests.ReadTimeout: if nothing more came for too long.
        requests.exceptions.ChunkedEncodingError: if it broke off, or cannot be decoded.
    """
    return b"".join(_read_pieces(response, limit))


def _read_pieces(response: Response, limit: int) -> list[bytes]:
    # Not streamed chunk by chunk: a body of very small chunks would be a very long list.
    pieces: list[bytes] = []
    missing = limit
    try:
        while missing and (
            piece := response.raw.read(min(missing, READ_BYTES), decode_content=True)
        ):
            pieces.append(piece)
            missing -= len(piece)
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error, response=response) from error
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error, response=response) from error
    return pieces
