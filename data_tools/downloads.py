"""Files from the web, politely: few at a time from one host, backing off when asked to, trying again, giving up.

One thread decides, others fetch. The thread that iterates over `download` holds all state, so there are no locks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version

import httpx2

from data_tools.web import FetchError, fetch, host_of

USER_AGENT = f"iisan-workbench/{version('iisan-workbench')} (dataset pictures for research)"


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
class _Host:
    """Addresses of one host that wait, and how the host behaves."""

    queue: deque[tuple[str, str, int]] = field(default_factory=deque)
    """Key, address, attempts so far."""
    running: int = 0
    failures: int = 0
    """Transient failures since the last success."""
    resume_at: float = 0.0
    """Not before this moment of the monotonic clock."""
    left_alone: bool = False
    """Given up for this run."""


def download(
    addresses: Mapping[str, str], *, accept: Callable[[str, bytes], None], limits: DownloadLimits | None = None
) -> Generator[Outcome]:
    """Fetch every address (key → URL), hand the bytes to `accept`, and yield how each ended, as they end.

    `accept(key, data)` runs in a worker thread; it raises `FetchError` for a file that cannot be used.
    Closing the iterator starts no further download and waits for those that run.
    """
    run = _Run(limits or DownloadLimits(), accept)
    for key, address in addresses.items():
        run.host(address).queue.append((key, address, 0))
    with run.client, run.pool:
        try:
            yield from run.outcomes()
        finally:
            run.pool.shutdown(cancel_futures=True)


class _Run:
    """The state of one call of `download`."""

    def __init__(self, limits: DownloadLimits, accept: Callable[[str, bytes], None]) -> None:
        self.limits, self.accept = limits, accept
        self.pool = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="download")
        self.client = httpx2.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
            follow_redirects=True,
            max_redirects=5,
            timeout=limits.timeout,
        )
        self.hosts: dict[str, _Host] = {}
        self.turn: deque[_Host] = deque()
        """Hosts with something queued; the first is served next."""
        self.running: dict[Future[None], tuple[_Host, str, str, int]] = {}

    def host(self, address: str) -> _Host:
        name = host_of(address)
        if name not in self.hosts:
            self.hosts[name] = _Host()
            self.turn.append(self.hosts[name])
        return self.hosts[name]

    def outcomes(self) -> Iterator[Outcome]:
        while self.turn or self.running:
            self._start()
            if not self.running:
                time.sleep(max(0.0, min(host.resume_at for host in self.turn) - time.monotonic()))
                continue
            done, _ = wait(self.running, timeout=self._patience(), return_when=FIRST_COMPLETED)
            for future in done:
                yield from self._ended(future)

    def _start(self) -> None:
        """Start what may start, one host after the other."""
        now = time.monotonic()
        for _ in range(len(self.turn)):
            if len(self.running) >= self.limits.concurrent:
                return
            host = self.turn.popleft()
            while host.queue and host.running < self.limits.per_host and host.resume_at <= now:
                if len(self.running) >= self.limits.concurrent:
                    break
                self._submit(host, *host.queue.popleft())
            if host.queue:
                self.turn.append(host)

    def _submit(self, host: _Host, key: str, address: str, attempts: int) -> None:
        future = self.pool.submit(self._work, key, address)
        self.running[future] = (host, key, address, attempts + 1)
        host.running += 1

    def _work(self, key: str, address: str) -> None:
        data = fetch(
            self.client, address, deadline=time.monotonic() + self.limits.deadline, max_bytes=self.limits.max_bytes
        )
        self.accept(key, data)

    def _patience(self) -> float | None:
        """Seconds until a host that was left alone for a while may be asked again; None if there is none."""
        now = time.monotonic()
        waiting = [host.resume_at - now for host in self.turn if host.resume_at > now]
        return min(waiting, default=None)

    def _ended(self, future: Future[None]) -> Iterator[Outcome]:
        host, key, address, attempts = self.running.pop(future)
        host.running -= 1
        try:
            future.result()
        except FetchError as error:
            yield from self._failed(host, (key, address, attempts), error)
        else:
            host.failures = 0
            yield Outcome(key, None)

    def _failed(self, host: _Host, job: tuple[str, str, int], error: FetchError) -> Iterator[Outcome]:
        key, _, attempts = job
        if not error.transient:
            host.failures = 0  # it answered
            yield Outcome(key, str(error))
            return
        host.failures += 1
        pause = error.wait if error.wait is not None else self._backoff(host)
        host.left_alone |= host.failures >= self.limits.failures_in_a_row or pause > self.limits.longest_wait
        if attempts >= self.limits.attempts or host.left_alone:
            yield Outcome(key, str(error))
        else:
            self._queue_again(host, job)
        if host.left_alone:
            yield from self._give_up(host, error)
        elif error.crowded or len(host.queue) <= 1:
            # A single failure holds up one address only, unless the host says that it has too much to do.
            host.resume_at = max(host.resume_at, time.monotonic() + pause)

    def _backoff(self, host: _Host) -> float:
        return min(self.limits.backoff * 2.0 ** min(host.failures - 1, 30), self.limits.longest_wait)

    def _queue_again(self, host: _Host, job: tuple[str, str, int]) -> None:
        if not host.queue:
            self.turn.append(host)
        host.queue.append(job)

    def _give_up(self, host: _Host, error: FetchError) -> Iterator[Outcome]:
        if host in self.turn:
            self.turn.remove(host)
        while host.queue:
            yield Outcome(host.queue.popleft()[0], f"not tried again, its host fails ({error})")
