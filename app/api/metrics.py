"""What the service counts, as Prometheus reads it."""

from __future__ import annotations

import os

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Where several workers keep their counts, so that any of them can say all."""


class Metrics:
    """Requests and seconds by path, users recommended to, and what the service holds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "iisan_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "iisan_request_seconds", "Seconds to an answer.", ("path",), buckets=SECONDS, registry=self._registry
        )
        self._users = Counter("iisan_users", "Users and histories recommended to.", registry=self._registry)
        self._items = Gauge(
            "iisan_items", "Items that are recommended.", ("run",), registry=self._registry, multiprocess_mode="max"
        )
        self._kept = Gauge(
            "iisan_kept_items", "New items that are kept.", ("run",), registry=self._registry, multiprocess_mode="max"
        )
        self._waiting = Gauge(
            "iisan_waiting", "Questions that wait.", registry=self._registry, multiprocess_mode="livesum"
        )
        self._resident = Gauge(
            "iisan_resident_bytes", "Memory of the processes.", registry=self._registry, multiprocess_mode="livesum"
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def users(self, count: int) -> None:
        """Count users who were recommended to."""
        self._users.inc(count)

    def text(self, *, items: dict[str, int], kept: dict[str, int], waiting: int) -> bytes:
        """All of it, in Prometheus' text format."""
        for run, count in items.items():
            self._items.labels(run).set(count)
            self._kept.labels(run).set(kept[run])
        self._waiting.set(waiting)
        self._resident.set(psutil.Process().memory_info().rss)
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)
