"""The HTTP service under bounded load on this machine: single users by several clients, batches, and a long stretch.

`python -m tests.benchmarks.serving_http` prints JSON. The service is one process of its own that serves random vectors
of a trained run's size; the clients are another, so both share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch

from app.bench.measure import machine
from app.bench.random_work import Size

ITEMS, USERS = 20_314, 12_076
SECONDS = 10.0
BATCH = 1024
MOST_SECONDS = 600.0
WARM = 200


@dataclass
class Tally:
    """What came of a stretch of requests."""

    seconds: list[float] = field(default_factory=list)
    failures: int = 0

    def figures(self, *, wall: float) -> dict[str, Any]:
        """Rate and percentiles, milliseconds."""
        p50, p95, p99 = (1000 * np.percentile(self.seconds, [50, 95, 99])).tolist()
        count = len(self.seconds)
        return {
            "requests": count,
            "failures": self.failures,
            "requests_per_second": count / wall,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "largest_ms": 1000 * max(self.seconds),
        }


class Connection:
    """One client's connection, which is kept; as little as may be of the machine is the client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Connection]:
        """A connection to the service within the block."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and content."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(answer[9:12]), await self._reader.readexactly(length)


async def ask(port: int, *, clients: int, seconds: float, body: Any, path: str = "/recommend") -> tuple[Tally, float]:
    """Have so many clients ask one question after the other; `body(n)` makes the n-th."""
    tally = Tally()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        async with Connection.to(port) as connection:
            asked = number
            while (started := time.perf_counter()) < end:
                status, _ = await connection.post(path, body(asked))
                tally.seconds.append(time.perf_counter() - started)
                tally.failures += status != 200
                asked += clients

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return tally, time.perf_counter() - started


def one_user(number: int) -> bytes:
    """A question for one user."""
    return json.dumps({"users": [user_of(number)], "k": 10}).encode()


def many_users(number: int) -> bytes:
    """A question for a batch."""
    return json.dumps({"users": [user_of(number * BATCH + n) for n in range(BATCH)], "k": 10}).encode()


def user_of(number: int) -> str:
    """The name of one of the users."""
    return NAMES[number % len(NAMES)]


NAMES: list[str] = []


async def measure(port: int, process: psutil.Process, *, clients: int, seconds: float, soak: float) -> dict[str, Any]:
    """All stretches, one after the other."""
    await ask(port, clients=clients, seconds=1.0, body=one_user)
    await ask(port, clients=1, seconds=1.0, body=many_users)
    single = await stretch(port, process, clients=clients, seconds=seconds, body=one_user)
    alone = await stretch(port, process, clients=1, seconds=seconds / 2, body=one_user)
    batches = await stretch(port, process, clients=2, seconds=seconds, body=many_users)
    found = {
        "one_user": {"clients": clients, **single},
        "one_user_one_client": alone,
        "batch": batches | {"clients": 2, "users": BATCH, "users_per_second": BATCH * batches["requests_per_second"]},
    }
    return found | {"long": await long_stretch(port, process, clients=clients, seconds=soak)} if soak else found


async def stretch(port: int, process: psutil.Process, *, clients: int, seconds: float, body: Any) -> dict[str, Any]:
    """Figures of a stretch, and what a request costs the service's process, which others' work changes less."""
    before = sum(process.cpu_times()[:2])
    tally, wall = await ask(port, clients=clients, seconds=seconds, body=body)
    spent = sum(process.cpu_times()[:2]) - before
    return tally.figures(wall=wall) | {"processor_ms_per_request": 1000 * spent / len(tally.seconds)}


async def long_stretch(port: int, process: psutil.Process, *, clients: int, seconds: float) -> dict[str, Any]:
    """Single users and now and then a batch or a fault, while the service's memory is looked at."""
    batch, fault = many_users(0), b'{"users": "nobody"}'

    def mixed(number: int) -> bytes:
        return batch if number % 200 == 0 else fault if number % 50 == 0 else one_user(random.randrange(10**6))

    memory, requests, failures, started = [process.memory_info().rss], 0, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        piece = min(10.0, seconds - (time.perf_counter() - started))
        tally, _ = await ask(port, clients=clients, seconds=piece, body=mixed)
        requests, failures = requests + len(tally.seconds), failures + tally.failures
        memory.append(process.memory_info().rss)
    third = max(1, len(memory) // 3)
    growth = (np.mean(memory[-third:]) - np.mean(memory[third : 2 * third])) / 1e6
    return {
        "seconds": time.perf_counter() - started,
        "requests": requests,
        "refused_as_they_should": failures,
        "resident_mb": [round(rss / 1e6) for rss in memory],
        "growth_mb_from_second_to_last_third": round(float(growth), 1),
    }


def serve_random(port: int, threads: int | None) -> None:
    """Serve random vectors; the parent process ends it."""
    import uvicorn

    from app.api.routes import make_app
    from app.api.runs import Run
    from app.api.server import Options, threads_of, uvicorn_config
    from app.api.service import Service
    from app.bench.serving import random_recommender

    options = Options(runs=(), port=port, threads=threads)
    runs = {"random": Run("random", random_recommender(Size(items=ITEMS, users=USERS)))}
    service = Service(paths={}, runs=runs, threads=threads_of(options))
    uvicorn.Server(uvicorn_config(options, make_app(service))).run()


@contextlib.contextmanager
def served(port: int, *, threads: int | None) -> Iterator[psutil.Process]:
    """The service in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.serving_http", "--serve", "--port", str(port)]
    process = subprocess.Popen([*command, *(["--threads", str(threads)] if threads else [])])
    try:
        asyncio.run(_ready(port))
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _ready(port: int) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit("the service did not begin to listen within a minute")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each stretch")
    parser.add_argument("--long", type=float, default=60.0, help="seconds of the long stretch; 600 at most, 0: none")
    parser.add_argument("--port", type=int, help="unset: one that is free")
    parser.add_argument("--threads", type=int, help="of the service for one product")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    port = asked.port or _free_port()
    if asked.serve:
        serve_random(asked.port, asked.threads)
        return
    NAMES.extend(str(n) for n in range(USERS))
    soak = min(asked.long, MOST_SECONDS)
    with served(port, threads=asked.threads) as process:
        found = asyncio.run(
            measure(port, process, clients=asked.clients, seconds=min(asked.seconds, MOST_SECONDS), soak=soak)
        )
    load = [round(value, 2) for value in psutil.getloadavg()]
    size = {"items": ITEMS, "users": USERS, "k": 10, "threads": asked.threads, "load_average": load}
    print(json.dumps({"bench": "serving_http", **found, **size, **machine(torch.device("cpu"))}, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
