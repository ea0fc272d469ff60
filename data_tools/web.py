"""One file from the web, bounded in size and time; what went wrong, and whether trying again may help."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which trying again may help."""
CROWDED = frozenset({429, 503})
"""Answers that ask everybody to come later."""


class FetchError(Exception):
    """A file that was not fetched, or cannot be used; the message says why, without the address."""

    def __init__(
        self, reason: str, *, transient: bool = False, crowded: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(reason)
        self.transient = transient
        """Whether trying again may help."""
        self.crowded = crowded
        """Whether the host asks for fewer requests."""
        self.wait = wait
        """Seconds to wait that the host asked for."""


def host_of(address: str) -> str:
    """Host and port of an address, in lower case; empty if it has none."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def fetch(client: httpx2.Client, address: str, *, deadline: float, max_bytes: int) -> bytes:
    """The body at `address`, at most `max_bytes`, before the moment `deadline` of the monotonic clock.

    Raises `FetchError` for everything that goes wrong.
    """
    if not address.lower().startswith(("http://", "https://")) or not host_of(address):
        raise FetchError("no web address")
    try:
        with client.stream("GET", address) as response:
            _refuse_status(response)
            return _body(response, deadline=deadline, max_bytes=max_bytes)
    # UnicodeError: a host that no name server could be asked for, such as `a..b`.
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, UnicodeError) as error:
        raise FetchError(f"no usable web address ({type(error).__name__})") from None
    except httpx2.DecodingError:
        raise FetchError("the body is damaged") from None
    except httpx2.HTTPError as error:
        raise FetchError(f"no answer ({type(error).__name__})", transient=True) from None


def _refuse_status(response: httpx2.Response) -> None:
    status = response.status_code
    if status in TRANSIENT:
        wait = retry_after(response.headers.get("Retry-After"))
        raise FetchError(f"HTTP {status}", transient=True, crowded=status in CROWDED, wait=wait)
    if status != 200:
        raise FetchError(f"HTTP {status}")


def _body(response: httpx2.Response, *, deadline: float, max_bytes: int) -> bytes:
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise FetchError(f"larger than {max_bytes} bytes")
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(f"larger than {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise FetchError("too slow", transient=True)
    return bytes(body)


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None without a usable one."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
