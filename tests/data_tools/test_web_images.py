"""Pictures fetched from a server on this machine that misbehaves on demand."""

import base64
import gzip
import io
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
from PIL import Image

from data_tools.downloads import USER_AGENT, DownloadLimits, host_of, retry_after
from data_tools.images import shrunk
from data_tools.web_images import FAILURES, fetch_images
from data_tools.writing import write_dataset
from iisan_core.data import pictures as reading
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

network = pytest.mark.network
QUICK = DownloadLimits(backoff=0.01, timeout=1.0, deadline=1.0, max_bytes=20_000)


def encoded(size=(300, 100), *, format="PNG", mode="RGB", colour="red"):
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, format=format)
    return stream.getvalue()


class Server:
    """Answers `/<behaviour>/<anything>`; counts requests by path and how many ran at the same time."""

    def __init__(self):
        self.requests, self.agents, self.secrets, self.times = Counter(), set(), set(), []
        self.running = self.most = 0
        self.lock = threading.Lock()

    def answer(self, handler):
        with self.lock:
            self.requests[handler.path] += 1
            self.agents.add(handler.headers["User-Agent"])
            sent = (handler.headers.get(name) for name in ("Authorization", "Proxy-Authorization"))
            self.secrets.update(filter(None, sent))
            self.times.append(time.monotonic())
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.behave(handler, handler.path.split("/")[-2], self.requests[handler.path])
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.running -= 1

    def behave(self, handler, behaviour, nth):
        status, headers, body = 200, {}, encoded()
        match behaviour:
            case "slowly":
                time.sleep(0.05)
            case "crowded" if nth == 1:
                status, headers = 429, {"Retry-After": "0"}
            case "waits" if nth == 1:
                status, headers = 503, {"Retry-After": "1"}
            case "later":
                status, headers = 503, {"Retry-After": "86400"}
            case "flaky" if nth < 3:
                status = 500
            case "late":
                time.sleep(0.3)
                status = 500
            case "broken":
                status = 502
            case "gone":
                status = 404
            case "text":
                body = b"<html>not here</html>"
            case "cut":
                body = encoded(size=(200, 200), format="JPEG")[:400]
            case "huge":
                body = bytes(QUICK.max_bytes + 1)
            case "moved":
                status, headers = 302, {"Location": "/plain/target"}
            case "circle":
                status, headers = 302, {"Location": handler.path}
            case "file":
                status, headers = 302, {"Location": "file:///etc/hostname"}
            case "hangs":
                time.sleep(1.5)
            case "endless":
                body = b""
            case "endless-move":
                status, headers, body = 302, {"Location": "/plain/target"}, b""
            case "packed":
                headers, body = {"Content-Encoding": "gzip"}, gzip.compress(encoded())
            case "bomb":
                headers, body = {"Content-Encoding": "gzip"}, gzip.compress(bytes(100 * QUICK.max_bytes))
            case "damaged":
                headers, body = {"Content-Encoding": "gzip"}, encoded()
            case "drips":
                body = b""
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if behaviour not in ("endless", "endless-move", "drips"):
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        while behaviour in ("endless", "endless-move"):
            handler.wfile.write(bytes(1000))
        while behaviour == "drips":
            handler.wfile.write(b"x")
            time.sleep(0.05)


@contextmanager
def serving():
    """A server on a free port of localhost, and the beginning of its addresses."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture
def web():
    with serving() as served:
        yield served


def catalogue(folder, addresses, *, ids=None):
    ids = ids or [f"i{n}" for n in range(len(addresses))]
    return write_dataset(
        folder,
        name="test",
        source="a test",
        items=pl.DataFrame(
            {"item_id": ids, "title": ids, "image_url": addresses}, schema_overrides={"image_url": pl.String}
        ),
        interactions=pl.DataFrame({"user_id": ["u"], "item_id": [ids[0]], "timestamp": [0]}),
    )


def fetched(dataset, **options):
    """Run to the end; the last record, and the dataset as it is then."""
    *_, last = fetch_images(dataset.folder, limits=options.pop("limits", QUICK), **options)
    return last, Dataset.load(dataset.folder)


@network
def test_pictures_are_fetched_shrunk_and_named(tmp_path, web):
    server, base = web
    dataset = catalogue(tmp_path / "d", [f"{base}/plain/a", None, f"{base}/moved/c"], ids=["a", "b", "c/../d"])
    last, after = fetched(dataset, longest_side=60)
    assert (last.total, last.found, last.fetched, last.failed) == (2, 0, 2, 0)
    first, second, third = after.image_paths()
    assert first == dataset.folder / "images" / "a.jpg"
    assert second is None
    for path in (first, third):
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (60, 20))
    assert after.card.counts["images"] == 2
    assert after.card.reported["items_without_image"] == 1
    assert server.agents == {USER_AGENT}
    assert {path.name for path in (dataset.folder / "images").iterdir()} == {first.name, third.name}


@network
@pytest.mark.parametrize(
    ("behaviour", "reason", "requests"),
    [
        ("gone", "HTTP 404", 1),
        ("text", "unreadable", 1),
        ("cut", "unreadable", 1),
        ("huge", f"larger than {QUICK.max_bytes} bytes", 1),
        ("endless", f"larger than {QUICK.max_bytes} bytes", 1),
        ("circle", "no usable web address (more than 5 redirects)", 6),
        ("file", "no web address", 1),
        ("broken", "HTTP 502", QUICK.attempts),
        ("later", "HTTP 503", 1),
        ("hangs", "no answer (ReadTimeoutError)", 2),
        ("drips", "too slow", 2),
    ],
)
def test_what_cannot_be_had_is_counted_by_reason(tmp_path, web, behaviour, reason, requests):
    server, base = web
    address = f"{base}/{behaviour}/x"
    dataset = catalogue(tmp_path / "d", [address])
    attempts = 2 if behaviour in ("hangs", "drips") else QUICK.attempts
    limits = DownloadLimits(backoff=0.01, timeout=0.3, deadline=0.5, max_bytes=QUICK.max_bytes, attempts=attempts)
    last, after = fetched(dataset, limits=limits)
    assert (last.fetched, last.failed, dict(last.reasons)) == (0, 1, {reason: 1})
    assert server.requests[f"/{behaviour}/x"] == requests
    assert after.image_paths() == [None]
    assert list((dataset.folder / "images").iterdir()) == []
    assert json.loads((dataset.folder / FAILURES).read_text())["i0"].startswith(reason)


@network
def test_of_a_redirect_nothing_but_its_goal_is_read(tmp_path, web):
    _, base = web
    last, _ = fetched(catalogue(tmp_path / "d", [f"{base}/endless-move/x"]))
    assert (last.fetched, last.failed) == (1, 0)


@network
def test_names_passwords_and_proxies_are_heeded(tmp_path, web, monkeypatch):
    server, base = web
    monkeypatch.setenv("http_proxy", base.replace("http://", "who:pass@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    addresses = [base.replace("//", "//me:s%40cret@") + "/plain/a", "http://pictures.example/plain/b"]
    last, _ = fetched(catalogue(tmp_path / "d", addresses))
    assert last.fetched == 2
    assert server.requests["http://pictures.example/plain/b"] == 1, "asked through the proxy"
    secrets = {base64.b64encode(secret).decode() for secret in (b"me:s@cret", b"who:pass")}
    assert server.secrets == {f"Basic {secret}" for secret in secrets}


def test_a_proxy_of_another_kind_is_refused_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("all_proxy", "socks5://who:pass@proxy.example:1080")
    with pytest.raises(RefusedError, match=r"names socks5://proxy.example:1080 as proxy; only http and https"):
        fetched(catalogue(tmp_path / "d", ["http://pictures.example/x"]))


@network
def test_bodies_packed_all_the_same_are_unpacked_up_to_the_limit(tmp_path, web):
    _, base = web
    last, _ = fetched(catalogue(tmp_path / "d", [f"{base}/{how}/x" for how in ("packed", "bomb", "damaged")]))
    reasons = {f"larger than {QUICK.max_bytes} bytes": 1, "the body is damaged": 1}
    assert (last.fetched, dict(last.reasons)) == (1, reasons)


@network
def test_what_goes_wrong_on_this_side_is_raised(tmp_path, web):
    _, base = web
    dataset = catalogue(tmp_path / "d", [f"{base}/plain/{n}" for n in range(20)])
    (dataset.folder / "images").rmdir()
    (dataset.folder / "images").write_text("in the way")
    with pytest.raises(RefusedError, match="a file is in its way"):
        fetched(dataset)


@network
def test_a_decompression_bomb_is_refused(tmp_path, web, monkeypatch):
    _, base = web
    monkeypatch.setattr(reading, "MAX_PIXELS", 300 * 100 - 1)
    last, _ = fetched(catalogue(tmp_path / "d", [f"{base}/plain/x"]))
    assert dict(last.reasons) == {"unreadable": 1}


@network
@pytest.mark.parametrize(("behaviour", "requests"), [("crowded", 2), ("flaky", 3)])
def test_passing_trouble_is_tried_again(tmp_path, web, behaviour, requests):
    server, base = web
    last, _ = fetched(catalogue(tmp_path / "d", [f"{base}/{behaviour}/{n}" for n in range(6)]))
    assert (last.fetched, last.failed) == (6, 0)
    assert set(server.requests.values()) == {requests}


@network
def test_a_host_that_asks_for_time_gets_it(tmp_path, web):
    server, base = web
    addresses = [f"{base}/waits/x", *(f"{base}/plain/{n}" for n in range(3))]
    last, _ = fetched(catalogue(tmp_path / "d", addresses), limits=DownloadLimits(per_host=1))
    assert (last.fetched, last.failed) == (4, 0)
    pauses = [later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)]
    assert 1.0 <= pauses[0] < 3.0, "not only this address waits, the whole host does"
    assert max(pauses[1:]) < 0.9


@network
def test_at_most_so_many_at_a_time_and_from_one_host(tmp_path):
    with serving() as (one, base), serving() as (other, second):
        addresses = [f"{start}/slowly/{n}" for start in (base, second) for n in range(12)]
        limits = DownloadLimits(concurrent=4, per_host=3)
        last, _ = fetched(catalogue(tmp_path / "d", addresses), limits=limits)
    assert last.fetched == 24
    assert 1 < one.most <= 3
    assert 1 <= other.most <= 3


@network
def test_a_host_that_only_fails_is_left_alone(tmp_path, web):
    server, base = web
    dataset = catalogue(tmp_path / "d", [f"{base}/broken/{n}" for n in range(50)])
    last, _ = fetched(dataset, limits=DownloadLimits(backoff=0.001, per_host=1, failures_in_a_row=7))
    assert last.failed == 50
    assert sum(server.requests.values()) == 7
    assert sum(count for reason, count in last.reasons.items() if "its host fails" in reason) == 50 - 1


@network
def test_a_host_left_alone_is_not_asked_again_for_what_was_running(tmp_path, web):
    server, base = web
    addresses = [f"{base}/late/x", f"{base}/later/y"]
    last, _ = fetched(catalogue(tmp_path / "d", addresses), limits=DownloadLimits(backoff=0.001, per_host=2))
    assert last.failed == 2
    assert max(server.requests.values()) == 1


@network
def test_an_interrupted_run_is_taken_up_where_it_stopped(tmp_path, web):
    server, base = web
    dataset = catalogue(tmp_path / "d", [f"{base}/slowly/{n}" for n in range(20)])
    run = fetch_images(dataset.folder, limits=DownloadLimits(per_host=2))
    for record in run:
        if record.fetched == 5:
            break
    run.close()
    named = Dataset.load(dataset.folder).card.counts["images"]
    assert 5 <= named < 20
    last, after = fetched(dataset)
    assert (last.total, last.fetched) == (20 - named, 20 - named)
    assert after.card.counts["images"] == 20
    assert set(server.requests.values()) == {1}
    last, _ = fetched(dataset)
    assert last.total == 0


@network
def test_after_a_crash_what_was_stored_is_found(tmp_path, web):
    server, base = web
    dataset = catalogue(tmp_path / "d", [f"{base}/plain/a", f"{base}/plain/b"], ids=["a", "b"])
    (dataset.folder / "images" / "a.jpg").write_bytes(encoded(format="JPEG"))
    last, after = fetched(dataset)
    assert (last.total, last.found, last.fetched) == (2, 1, 1)
    assert after.card.counts["images"] == 2
    assert list(server.requests) == ["/plain/b"]


@network
def test_a_host_that_is_not_there_fails(tmp_path):
    with serving() as (_, base):
        pass
    last, _ = fetched(catalogue(tmp_path / "d", [f"{base}/x", "ftp://example/x", "nonsense", "http://[x/y"]))
    assert dict(last.reasons) == {"no answer (NewConnectionError)": 1, "no web address": 3}


@network
def test_a_host_that_cannot_be_looked_up_fails_alone(tmp_path, web):
    _, base = web
    addresses = ["http://a..b/x", "http://" + "a" * 70 + ".example/x", base.replace("http", "HTTP") + "/plain/x"]
    last, _ = fetched(catalogue(tmp_path / "d", addresses))
    assert last.fetched == 1
    assert dict(last.reasons) == {"no usable web address (LocationParseError)": 2}


def test_what_cannot_be_fetched_into_is_refused(tmp_path):
    dataset = write_dataset(
        tmp_path / "d",
        name="test",
        source="a test",
        items=pl.DataFrame({"item_id": ["a"], "title": ["A"]}),
        interactions=pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [0]}),
    )
    with pytest.raises(RefusedError, match="no column `image_url`; import it with one"):
        next(fetch_images(dataset.folder))
    with pytest.raises(RefusedError, match="longest side 8: pictures need at least 16 pixels"):
        next(fetch_images(dataset.folder, longest_side=8))


def test_what_a_server_may_say_about_waiting():
    assert retry_after(None) is None
    assert retry_after("7") == 7
    assert retry_after("soon") is None
    assert retry_after("Mon, 01 Jan 2024 00:00:00 +99999999999999999999") == 0
    assert retry_after(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=3)
    assert retry_after(formatdate(0, usegmt=True)) == 0


def test_hosts_are_told_apart_by_name_and_port():
    assert host_of("https://user@Pictures.example:8080/a?b") == "pictures.example:8080"
    assert host_of("nonsense") == host_of("http://[x/y") == ""


def test_shrinking_keeps_what_is_small_and_puts_the_transparent_on_white():
    with Image.open(io.BytesIO(shrunk(encoded((40, 30)), longest_side=50))) as small:
        assert small.size == (40, 30)
    clear = encoded((30, 60), mode="RGBA", colour=(0, 0, 0, 0))
    with Image.open(io.BytesIO(shrunk(clear, longest_side=20))) as white:
        assert (white.size, white.mode) == ((10, 20), "RGB")
        assert white.getextrema() == ((255, 255),) * 3
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (40, 20)).save(turned, format="JPEG", exif=exif)
    with Image.open(io.BytesIO(shrunk(turned.getvalue(), longest_side=40))) as upright:
        assert upright.size == (20, 40)
