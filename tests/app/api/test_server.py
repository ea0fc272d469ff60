"""`iisan serve` as a process: where it listens, signals, several processes, and that nothing sent to it harms it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from app.api.routes import make_app
from app.api.server import SHORTEST_TOKEN, VARIABLE, Options, is_loopback, read_token
from app.api.service import Service
from iisan_core.errors import RefusedError
from iisan_core.serving.recommender import Recommender

from .malformed import MALFORMED, VALID, Malformed

TOKEN = "0123456789abcdef"
ASK = {"users": ["u03"], "k": 5}
SECONDS = 120
MANY = 10_000


@contextlib.contextmanager
def serving(*arguments: Any, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of `iisan serve` with arguments, on a port of its own, and the process."""
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
    )
    assert process.stderr is not None
    lines: list[str] = []
    reader: threading.Thread | None = None
    try:
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://\S+:\d+", line):
                break
        else:
            raise AssertionError("".join(lines))
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        process.lines = lines  # type: ignore[attr-defined]
        yield found[0], process
        process.terminate()
        assert process.wait(timeout=SECONDS) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    finally:
        process.kill()  # those that it has started end when it has
        process.wait()
        if reader is not None:
            reader.join(timeout=SECONDS)
        process.stderr.close()


def until(found: Callable[[], bool]) -> None:
    """Wait for something that will be true."""
    end = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.1)


def expected(run: Path) -> list[str]:
    (items,) = Recommender.load(run).recommend(users=["u03"], k=5)
    return [item.item_id for item in items]


def asked(http: httpx.Client) -> list[str]:
    return [
        item["item_id"] for item in http.post("/recommend", json=ASK).raise_for_status().json()["answers"][0]["items"]
    ]


@pytest.mark.network
@pytest.mark.long
def test_a_process_serves_and_takes_up_a_newer_run_at_a_signal(runs, tmp_path):
    shutil.copytree(runs.first, tmp_path / "run")
    with serving(tmp_path / "run") as (address, process), httpx.Client(base_url=address, timeout=SECONDS) as http:
        assert asked(http) == expected(runs.first)
        (tmp_path / "run").rename(tmp_path / "old")
        shutil.copytree(runs.second, tmp_path / "run")
        process.send_signal(signal.SIGHUP)
        until(lambda: asked(http) == expected(runs.second))


@pytest.mark.network
@pytest.mark.long
def test_several_processes_share_a_socket_and_their_counts_and_are_replaced(runs, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    shown = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--workers", 2, "--token-file", tmp_path / "token", "--host", "0.0.0.0")
    with serving(runs.first, *options) as (address, process):
        address = address.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=address, timeout=SECONDS, headers=shown) as http:
            until(lambda: _answers(http))
            assert asked(http) == expected(runs.first)
            assert (
                "serve with one to keep them"
                in http.post("/items", json=VALID["/items"] | {"keep": True}).json()["error"]
            )
            assert 'iisan_requests_total{path="/recommend",status="200"} 1.0' in http.get("/metrics").text
            before = workers(process)
            assert http.post("/admin/reload").status_code == 202
            until(lambda: len(workers(process)) == 2 and not workers(process) & before)
            until(lambda: _answers(http))
            assert asked(http) == expected(runs.first)
        family = [process.pid, *workers(process)]
        assert not any(TOKEN in word for pid in family for word in command_of(psutil.Process(pid)))


@pytest.mark.network
@pytest.mark.long
def test_processes_do_not_outlive_the_one_that_started_them(runs):
    with serving(runs.first, "--workers", 2) as (address, process):
        with httpx.Client(base_url=address, timeout=SECONDS) as http:
            until(lambda: len(workers(process)) == 2 and _answers(http))  # the other one may not have begun yet
        family = [psutil.Process(pid) for pid in workers(process)]
        process.kill()
        gone, alive = psutil.wait_procs(family, timeout=SECONDS)
        assert (len(gone), alive) == (2, [])
        process.terminate = lambda: None  # type: ignore[method-assign] - it is gone already
        process.wait = lambda timeout=None: 0  # type: ignore[method-assign,assignment]


def workers(process: subprocess.Popen[str]) -> set[int]:
    """The processes that answer; not the one that multiprocessing keeps for itself."""
    return {
        child.pid
        for child in psutil.Process(process.pid).children()
        if any("spawn_main" in word for word in command_of(child))
    }


def command_of(process: psutil.Process) -> list[str]:
    """Nothing for one that is ending."""
    with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none, either
        return process.cmdline()
    return []


def _answers(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return http.get("/healthz").status_code == 200
    return False


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_malformed_requests_do_no_harm(runs):
    """Over the network: 400s with a sentence, never 500; the service answers afterwards and has not grown."""
    with serving(runs.first) as (address, process), httpx.Client(base_url=address, timeout=SECONDS) as http:
        resident = []

        @given(request=MALFORMED)
        @settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def malformed(request: Malformed) -> None:
            said = http.request(request.method, request.path, content=request.content, headers=_sane(request))
            assert 400 <= said.status_code < 500, (request, said.status_code, said.text[:300])
            if said.headers["content-type"] == "application/json":
                assert set(said.json()) == {"error"}
            resident.append(psutil.Process(process.pid).memory_info().rss)

        malformed()
        assert asked(http) == expected(runs.first)
        assert len(resident) > MANY / 2
        assert resident[-1] - resident[len(resident) // 3] < 50 * 2**20
    assert "failed" not in "".join(process.lines)  # type: ignore[attr-defined]


def _sane(request: Malformed) -> dict[str, str]:
    """Without a length that the client itself would wait for."""
    return {name: value for name, value in request.headers.items() if name != "Content-Length"}


NO_HTTP = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "nothing": b"\r\n\r\n\r\n",
    "lengths": b"POST /similar HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "header": b"GET /runs HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.network
@pytest.mark.parametrize("raw", NO_HTTP.values(), ids=NO_HTTP)
def test_bytes_that_are_no_http_do_no_harm(at, raw):
    host, port = at.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=SECONDS)
    with connection, contextlib.suppress(OSError):  # it may be closed before all is sent
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        assert b" 500 " not in connection.recv(4096)
    assert httpx.get(f"{at}/healthz").json() == {"status": "ok"}


@pytest.fixture(scope="module")
def at(runs) -> Iterator[str]:
    """A service in a thread of this process."""
    import uvicorn

    from app.api.server import address_of, listening, uvicorn_config

    options = Options(runs=(runs.first,), port=0)
    with listening(options) as place:
        service = Service.of_folders(options.runs)
        server = uvicorn.Server(uvicorn_config(options, make_app(service)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        until(lambda: server.started)
        yield address_of(place)
        server.should_exit = True
        thread.join(timeout=SECONDS)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "shop.example"])
def test_other_machines_are_not_answered_without_a_token(host, tmp_path):
    with pytest.raises(RefusedError, match=f"wants a token there: put one of at least {SHORTEST_TOKEN} characters"):
        Options(runs=(tmp_path,), host=host)
    assert Options(runs=(tmp_path,), host=host, token=TOKEN).host == host
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_this_machine_is_answered_without(host, tmp_path):
    assert Options(runs=(tmp_path,), host=host).token is None


def test_the_shell_refuses_before_it_loads_anything(shell, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    refused = shell("serve", tmp_path / "nowhere", "--host", "0.0.0.0")
    assert refused.code == 2 and "can be reached from other machines" in refused.err
    refused = shell("serve", tmp_path / "nowhere")
    assert refused.code == 2 and "is no run folder" in refused.err


def test_a_token_comes_from_a_file_or_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN * 2}\n")
    assert read_token(file) == TOKEN * 2, "a file goes before"


@pytest.mark.parametrize(
    "content", [b"short", b"", b"two\nlines and so on", "löng enough but not plain".encode(), b"x" * 5000]
)
def test_a_bad_token_is_refused_without_being_said(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(RefusedError, match=r"token") as refused:
        read_token(file)
    assert not content or content.decode() not in str(refused.value)
    with pytest.raises(RefusedError, match="no token can be read from"):
        read_token(tmp_path / "absent")


def test_a_port_that_is_taken_is_named(runs):
    from app.api.server import listening

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            RefusedError, match=rf"127\.0\.0\.1:{port} cannot be listened on: .*; choose another --port"
        ):
            listening(Options(runs=(runs.first,), port=port))
