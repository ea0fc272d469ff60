"""The service as processes: who may reach it, one of them or several, and how they end and begin anew."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.api.metrics import SHARED
from app.api.routes import SECONDS, make_app
from app.api.service import Service
from iisan_core.errors import IisanError, RefusedError

VARIABLE = "IISAN_TOKEN"
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 4096
CONNECTIONS = 512
"""At once; more are told to come back."""
LONGEST_HEAD = 64 * 2**10
"""Bytes of a request's first line and headers."""
START_SECONDS = 300
"""For a process to load its runs, before it is taken for dead."""
LAST_SECONDS = 15
"""For what is being answered when the service is to end."""


@dataclass(frozen=True)
class Options:
    """Where and how the runs are served."""

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    workers: int = 1
    threads: int | None = None
    """Of each process, for a product; None: all processors, shared among the processes."""
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise RefusedError(
                f"{self.host} can be reached from other machines, so the service wants a token there: put one of at "
                f"least {SHORTEST_TOKEN} characters into a file and give --token-file, or into ${VARIABLE}"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(file: Path | None) -> str | None:
    """The token in a file, else in the environment; None where there is none. Raises `RefusedError` for a bad one.

    Never an argument of the command: every user of the machine could read it in the list of processes.
    """
    source = f"${VARIABLE}" if file is None else str(file)
    if file is None:
        token = os.environ.get(VARIABLE, "")
        if not token:
            return None
    else:
        try:
            with file.open(encoding="ascii") as stream:
                token = stream.read(LONGEST_TOKEN + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(
                f"no token can be read from {file}: {error}; put one line of plain letters there"
            ) from None
    token = token.strip()
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        raise RefusedError(
            f"the token in {source} has {len(token):,} characters, or other than plain ones; use {SHORTEST_TOKEN} to "
            f"{LONGEST_TOKEN:,}, such as `openssl rand -hex 32` prints"
        )
    return token


def serve(options: Options, *, said: Callable[[str], None]) -> None:
    """Serve until interrupted; raises `RefusedError` before anything listens if a run cannot be loaded.

    said  is told where the service is
    """
    if options.workers > 1:
        _serve_by_many(options, said)
        return
    service = Service.of_folders(options.runs, threads=threads_of(options))
    with listening(options) as place:
        said(f"{', '.join(service.runs)} at {address_of(place)}; SIGHUP loads newer runs, Ctrl-C ends it")
        uvicorn.Server(uvicorn_config(options, make_app(service, token=options.token, seconds=options.seconds))).run(
            [place]
        )


def _serve_by_many(options: Options, said: Callable[[str], None]) -> None:
    """Several processes on one socket. What they map of the runs' files lies in memory once."""
    Service.of_folders(options.runs).close()  # a fault is said once, here
    with listening(options) as place, tempfile.TemporaryDirectory(prefix="iisan-metrics-") as counts:
        os.environ[SHARED] = counts
        said(f"{options.workers} processes at {address_of(place)}; SIGHUP replaces them, Ctrl-C ends them")
        config = uvicorn_config(
            options, partial(worker_app, options, os.getpid()), factory=True, workers=options.workers
        )
        Multiprocess(config, sockets=[place]).run()


def worker_app(options: Options, starter: int) -> Any:
    """The service of one of several processes, which end when the one that started them has."""
    try:
        service = Service.of_folders(options.runs, threads=threads_of(options))
    except IisanError as error:
        raise SystemExit(f"iisan: {error}") from None
    return make_app(service, token=options.token, seconds=options.seconds, starter=starter)


def threads_of(options: Options) -> int:
    """This process's share of the processors, where nothing was asked for."""
    everybody = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return options.threads or max(1, everybody // options.workers)


def uvicorn_config(options: Options, app: Any, **more: Any) -> uvicorn.Config:
    """How uvicorn serves it: nothing but HTTP, within limits."""
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=LAST_SECONDS,
        timeout_worker_healthcheck=START_SECONDS,
        **more,
    )


def listening(options: Options) -> socket.socket:
    """A socket that listens; raises `RefusedError` where the port is taken, or the host is not this machine's."""
    try:
        family, *_, where = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise RefusedError(f"there is no host {options.host}: {error}; give an address of this machine") from None
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(where)
        place.listen(2048)
        place.set_inheritable(True)
    except OSError as error:
        place.close()
        raise RefusedError(
            f"{options.host}:{options.port} cannot be listened on: {error.strerror}; choose another --port or --host"
        ) from None
    return place


def address_of(place: socket.socket) -> str:
    """The address of a socket that listens."""
    host, port = place.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
