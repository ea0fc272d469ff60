"""Files from the web, politely: few at a time from one host, backing off when asked to, trying again, giving up.

The addresses of a host wait in one queue. Up to `per_host` workers stand in line for it in a pool of threads; each
takes one address and goes to the end of the line, so that hosts take turns and one that rests holds nobody up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, make_headers
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader
from urllib3.util import parse_url

from iisan_core.errors import RefusedError

USER_AGENT = f"iisan-workbench/{version('iisan-workbench')} (dataset pictures for research)"
HEADERS = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
WEB = ("http", "https")
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which trying again may help."""
CROWDED = frozenset({429, 503})
"""Answers that ask everybody to come later."""
REDIRECTS = 5
"""Redirects that are followed on the way to one file."""
NAP = 0.02
"""Seconds that a worker sleeps while its host rests, before it lets others go first."""


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """How hard to try, and how gently."""

    concurrent: int = 16
    """Downloads at the same time."""
    per_host: int = 4
    """Downloads at the same time from one host."""
    attempts: int = 4
    """Attempts for one address, the first included."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubled for each further failure in a row of the host."""
    longest_wait: float = 120.0
    """Seconds; a host that asks for more is left alone in this run."""
    failures_in_a_row: int = 20
    """After so many failures of a host in a row, without a success, it is left alone in this run."""
    timeout: float = 20.0
    """Seconds without a byte after which an attempt has failed."""
    deadline: float = 60.0
    """Seconds that one attempt may last."""
    max_bytes: int = 16 * 2**20
    """A longer file is refused."""


@dataclass(frozen=True)
class Outcome:
    """How one download ended."""

    key: str
    failure: str | None
    """None if the file was fetched and accepted, else why not."""


@dataclass(eq=False)
class FetchError(Exception):
    """A file that was not fetched, or cannot be used."""

    reason: str
    """Why, without the address."""
    transient: bool = False
    """Whether trying again may help."""
    crowded: bool = False
    """Whether the host asks for fewer requests."""
    wait: float | None = None
    """Seconds to wait that the host asked for."""

    def __str__(self) -> str:
        return self.reason


def download(
    addresses: Mapping[str, str], *, accept: Callable[[str, bytes], None], limits: DownloadLimits | None = None
) -> Generator[Outcome]:
    """Fetch every address (key → URL), hand the bytes to `accept`, and yield how each ended, as they end.

    `accept(key, data)` runs in a worker thread; it raises `FetchError` for a file that cannot be used.
    Closing the iterator starts no further download and waits for those that run.
    """
    run = _Run(limits or DownloadLimits(), accept)
    hosts: dict[str, _Host] = {}
    for key, address in addresses.items():
        hosts.setdefault(host_of(address), _Host()).queue.append((key, address, 1))
    workers = [host for n in range(run.limits.per_host) for host in hosts.values() if n < len(host.queue)]
    try:
        for host in workers:
            run.pool.submit(run.work, host)
        for _ in addresses:
            ended = run.ended.get()
            if isinstance(ended, BaseException):
                raise ended
            yield ended
    finally:
        run.stop()


@dataclass(eq=False)
class _Host:
    """Addresses of one host that wait, and how the host behaves."""

    queue: deque[tuple[str, str, int]] = field(default_factory=deque)
    """Key, address, and which attempt is due."""
    lock: Lock = field(default_factory=Lock)
    failures: int = 0
    """Transient failures since the last success."""
    resume_at: float = 0.0
    """Not before this moment of the monotonic clock."""
    left_alone: bool = False
    """Given up for this run."""


class _Run:
    """The state of one call of `download`."""

    def __init__(self, limits: DownloadLimits, accept: Callable[[str, bytes], None]) -> None:
        self.limits, self.accept = limits, accept
        self.pool = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="download")
        self.ended: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self.stopped = Event()
        options: dict[str, Any] = {"timeout": limits.timeout, "maxsize": limits.concurrent}
        self.direct, self.proxies = PoolManager(**options), _proxies(options)

    def stop(self) -> None:
        """Wait for what runs; start nothing more."""
        self.stopped.set()
        self.pool.shutdown(cancel_futures=True)
        for pools in (self.direct, *self.proxies.values()):
            pools.clear()

    def work(self, host: _Host) -> None:
        """Take one address of the host, unless it rests; then stand in line again, as long as some are left."""
        with host.lock:
            rest = host.resume_at - time.monotonic()
            job = host.queue.popleft() if host.queue and rest <= 0 else None
            if job is None and not host.queue:
                return
        if job is None:
            self.stopped.wait(min(rest, NAP))
        else:
            try:
                self._attempt(host, *job)
            except BaseException as error:
                self.ended.put(error)  # to be raised where the outcomes are read
        if not self.stopped.is_set():
            self.pool.submit(self.work, host)

    def _attempt(self, host: _Host, key: str, address: str, attempt: int) -> None:
        failure: FetchError | None = None
        try:
            self.accept(key, self._fetch(address))
        except FetchError as error:
            failure = error
        with host.lock:
            if failure is not None and failure.transient:
                self._failed(host, (key, address, attempt), failure)
            else:
                host.failures = 0  # it answered
                self.ended.put(Outcome(key, None if failure is None else str(failure)))

    def _failed(self, host: _Host, job: tuple[str, str, int], error: FetchError) -> None:
        """Queue an address again or give it up, and its host with it if that does nothing but fail."""
        key, address, attempt = job
        host.failures += 1
        backoff = min(self.limits.backoff * 2.0 ** min(host.failures - 1, 30), self.limits.longest_wait)
        pause = backoff if error.wait is None else error.wait
        host.left_alone |= host.failures >= self.limits.failures_in_a_row or pause > self.limits.longest_wait
        if attempt >= self.limits.attempts or host.left_alone:
            self.ended.put(Outcome(key, str(error)))
        else:
            host.queue.append((key, address, attempt + 1))
        if host.left_alone:
            while host.queue:
                self.ended.put(Outcome(host.queue.popleft()[0], f"not tried again, its host fails ({error})"))
        elif error.crowded or len(host.queue) <= 1:
            # A single failure holds up one address only, unless the host says that it has too much to do.
            host.resume_at = max(host.resume_at, time.monotonic() + pause)

    def _fetch(self, address: str) -> bytes:
        """The body at `address`; raises `FetchError` for everything that goes wrong.

        Redirects are followed here, for urllib3 would read their bodies to the end, however long.
        """
        deadline = time.monotonic() + self.limits.deadline
        try:
            for _ in range(1 + REDIRECTS):
                with closing(self._ask(address)) as response:
                    location = response.get_redirect_location()
                    if not location:
                        return self._body(response, deadline)
                address = urljoin(address, location)
        except ValueError as error:  # also for a host that no name server can be asked for, such as `a..b`
            raise FetchError(f"no usable web address ({type(error).__name__})") from None
        except DecodeError:
            raise FetchError("the body is damaged") from None
        except HTTPError as error:
            raise FetchError(f"no answer ({type(error).__name__})", transient=True) from None
        raise FetchError(f"no usable web address (more than {REDIRECTS} redirects)")

    def _ask(self, address: str) -> BaseHTTPResponse:
        """The answer, its body unread, of the host or of the proxy that the environment names for it."""
        host = host_of(address)
        scheme = urlsplit(address).scheme if host else ""
        if scheme not in WEB:
            raise FetchError("no web address")
        pools = self.direct if proxy_bypass(host) else self.proxies.get(scheme, self.direct)
        headers = HEADERS | make_headers(basic_auth=_auth(address))
        return pools.urlopen("GET", address, headers=headers, retries=False, redirect=False, preload_content=False)

    def _body(self, response: BaseHTTPResponse, deadline: float) -> bytes:
        status, announced = response.status, response.headers.get("Content-Length", "")
        if status in TRANSIENT:
            wait = retry_after(response.headers.get("Retry-After"))
            raise FetchError(f"HTTP {status}", transient=True, crowded=status in CROWDED, wait=wait)
        if status != 200:
            raise FetchError(f"HTTP {status}")
        if announced.isdecimal() and int(announced) > self.limits.max_bytes:
            raise FetchError(f"larger than {self.limits.max_bytes} bytes")
        body = bytearray()
        while chunk := response.read1(2**16):  # what has come, however little, so that the deadline is seen
            body += chunk
            if len(body) > self.limits.max_bytes:
                raise FetchError(f"larger than {self.limits.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise FetchError("too slow", transient=True)
        return bytes(body)


def _proxies(options: Mapping[str, Any]) -> dict[str, ProxyManager]:
    """Scheme → the proxy that the environment names for it; raises `RefusedError` if that is no HTTP proxy."""
    found, named = {}, getproxies()
    for scheme in WEB:
        if proxy := named.get(scheme, named.get("all")):
            address = proxy if "://" in proxy else f"http://{proxy}"
            headers = make_headers(proxy_basic_auth=_auth(address))
            try:
                found[scheme] = ProxyManager(address, proxy_headers=headers, **options)
            except ValueError:
                raise RefusedError(
                    f"the environment names {urlsplit(address).scheme}://{host_of(address)} as proxy; only http and "
                    "https proxies can be used, so name such a one in http_proxy and https_proxy, or none"
                ) from None
    return found


def _auth(address: str) -> str | None:
    """Name and password in an address."""
    auth = parse_url(address).auth
    return unquote(auth) if auth else None


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None without a usable one."""
    try:
        return None if header is None else Retry().parse_retry_after(header)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def host_of(address: str) -> str:
    """Host and port of an address, in lower case; empty if it has none."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""
