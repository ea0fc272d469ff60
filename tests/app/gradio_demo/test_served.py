"""The demo over HTTP: the endpoint, many clients at once, and what is not served."""

import asyncio
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from app.demo import build_demo, main
from app.gradio_demo.api import answer_in_words
from iisan_core.errors import RefusedError

from .conftest import served

pytestmark = [
    pytest.mark.network,
    # Gradio's own statistics of its queue, with pandas 3.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated", "ignore:The copy keyword is dep"),
]

CLIENTS, CLICKS = 20, 4
SECONDS = 60
"""The most that twenty clients may take; alone on two cores it is a few."""


@pytest.fixture
def client(address, tmp_path):
    with_client = Client(address, verbose=False, download_files=tmp_path, analytics_enabled=False)
    yield with_client
    with_client.close()


def test_the_endpoint_recommends_as_the_recommender_does(client, recommender):
    history = recommender.item_ids[:3]
    answer = client.predict(history, 7, api_name="/recommend")
    (expected,) = recommender.recommend(histories=[history], k=7)
    assert answer["run"] == "both"
    assert [item["item_id"] for item in answer["recommended"]] == [item.item_id for item in expected]
    for found, item in zip(answer["recommended"], expected, strict=True):
        assert found["score"] == pytest.approx(item.score, abs=1e-4)
        assert set(found["parts"]) == {"image", "text", "inter", "bias"}


def test_the_endpoint_is_documented(client):
    info = client.view_api(return_format="dict")
    assert set(info["named_endpoints"]) == {"/recommend"}
    endpoint = info["named_endpoints"]["/recommend"]
    assert [parameter["parameter_name"] for parameter in endpoint["parameters"]] == ["history", "k", "run"]
    assert "Recommend items that follow a history" in endpoint["description"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [(([], 5), "says nothing"), ((["nothing"], 5), "no item 'nothing'"), ((["P0001"], 1000), "k is 1000; choose 1 to")],
)
def test_the_endpoint_answers_bad_questions_with_a_sentence(client, asked, message):
    with pytest.raises(AppError, match=message):
        client.predict(*asked, api_name="/recommend")


MALFORMED = (
    [], ["x"], [["x"]], [["x"], 3], [["x"], 3, "both", 4], [{"path": "/etc/passwd"}, 3, "both"], ["x", 3, "both"],
    [[1, 2], 3, "both"], [["x"], 2.5, "both"], [["x"], None, "both"], [["x"], {}, "both"], [["x"], 3, ["both"]],
    [["x"], 3, {}], [["x"], 3, "../both"], [None, None, None], [[["x"]], 3, "both"], [["../../etc/passwd"], 3, "both"],
)  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED, ids=json.dumps)
def test_a_malformed_call_is_answered_by_a_sentence(address, data):
    with httpx.Client(base_url=address, timeout=SECONDS) as http:
        asked = http.post("gradio_api/call/recommend", json={"data": data}).json()
        answer = http.get(f"gradio_api/call/recommend/{asked['event_id']}").text
    assert answer.startswith("event: error")
    said = json.loads(answer.partition("data: ")[2])["error"]
    assert said
    assert "Traceback" not in said


def test_what_nobody_foresaw_in_a_call_is_answered_by_a_sentence():
    async def fails(*_, **__):
        raise ZeroDivisionError("of the inside")

    with gr.Blocks() as demo:
        demo.process_api = fails
        answer_in_words(demo)
    with pytest.raises(gr.Error, match="cannot be answered"):
        asyncio.run(demo.process_api())


class Visitor:
    """A session of the page, as a browser holds it: events go into the queue, answers come as a stream."""

    def __init__(self, address: str) -> None:
        self.session = uuid.uuid4().hex
        self.http = httpx.Client(base_url=address, timeout=SECONDS)
        config = self.http.get("config").json()
        names = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        targets = {d["id"]: d["targets"] for d in config["dependencies"]}
        self.events = {(names.get(place), what): n for n, found in targets.items() for place, what in found}

    def pick(self, where: str, item: str, action: str) -> list:
        return self.send((where, "pick"), [None], {"item": item, "action": action})

    def bring(self, path: str, title: str) -> str:
        picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
        (answer,) = self.send(("ask", "click"), [picture, title])
        return answer

    def send(self, event: tuple[str, str], data: list, event_data: dict | None = None) -> list:
        body = {"data": data, "fn_index": self.events[event], "session_hash": self.session, "event_data": event_data}
        self.http.post("gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    assert message["success"], message
                    return message["output"]["data"]
        raise AssertionError("the stream ended before the answer")


@pytest.fixture
def visitor() -> Iterator[Callable[[str], Visitor]]:
    """Makes visitors of an address, who leave when the test ends."""
    came: list[Visitor] = []

    def come(address: str) -> Visitor:
        came.append(Visitor(address))
        return came[-1]

    yield come
    for each in came:
        each.http.close()


def items_of(html: str) -> list[str]:
    return [piece.split('"')[0] for piece in html.split('data-item="')[1:]]


def test_twenty_visitors_at_once_each_have_their_own_history(address, recommender, visitor):
    """Each clears what it starts with, adds items of its own, and gets what follows from these and nothing else."""
    together = threading.Barrier(CLIENTS)

    def visit(number: int) -> None:
        guest = visitor(address)
        together.wait(timeout=SECONDS)
        own = recommender.item_ids[number * CLICKS : (number + 1) * CLICKS]
        history = items_of(guest.pick("found", own[0], "add")[2])
        for item in history[1:]:
            history = items_of(guest.pick("history", item, "remove")[2])
        for item in own[1:]:
            _, _, shown, recommended, _ = guest.pick("found", item, "add")
        assert items_of(shown) == list(reversed(own))
        (expected,) = recommender.recommend(histories=[own], k=12)
        assert items_of(recommended) == [item.item_id for item in expected]

    start = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for visit_done in [pool.submit(visit, number) for number in range(CLIENTS)]:
            visit_done.result(timeout=2 * SECONDS)
    assert time.monotonic() - start < SECONDS


def test_an_item_that_does_not_exist_is_not_believed(address, visitor):
    with pytest.raises(AssertionError, match="There is no such item"):
        visitor(address).pick("found", "../../etc/passwd", "add")


def test_a_picture_is_answered_from_what_was_uploaded(address, png, visitor):
    content = Path(png).read_bytes()
    (path,) = httpx.post(f"{address}gradio_api/upload", files={"files": ("teal.png", content)}).json()
    assert "Whom it suits" in visitor(address).bring(path, "Round oak mug")


def test_a_picture_that_was_not_uploaded_is_not_looked_at(address, recommender, visitor):
    inside = next(path for path in recommender.dataset.image_paths() if path)
    with pytest.raises(AssertionError, match="'success': False"):
        visitor(address).bring(str(inside), "mug")


def test_nothing_is_fetched_at_a_visitors_word(address, monkeypatch, visitor):
    fetched = []
    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_get", fetched.append)
    elsewhere = "http://192.0.2.1/mug.png"  # an address that documentation may use
    with pytest.raises(AssertionError, match="Nothing is fetched from an address; upload the picture itself"):
        visitor(address).bring(elsewhere, "mug")
    picture = {"path": elsewhere, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AssertionError, match="Nothing is fetched from an address"):
        visitor(address).send(("query", "change"), [[{"deep": picture}]])
    assert fetched == []


@pytest.mark.parametrize("path", ["/etc/passwd", "{folder}/items.parquet", "{folder}/images"])
def test_no_file_of_the_machine_is_served(address, recommender, path):
    wanted = path.format(folder=recommender.dataset.folder)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}gradio_api/file={wanted}")
    assert refused.value.code in (403, 404)
    refused.value.close()


def test_only_this_machine_is_answered(address):
    assert address.startswith("http://127.0.0.1:")


def test_whoever_starts_the_demo_is_told_where_it_is_and_how_to_end_it(shop, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(gr.Blocks, "block_thread", lambda demo: ended.append(demo))  # as if interrupted at once
    monkeypatch.setattr(sys, "argv", ["demo.py", "--run", str(shop.titles)])
    main()
    ended[0].close(verbose=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"the demo is at http://127\.0\.0\.1:\d+/; Ctrl-C ends it\n", said.err)


def test_no_call_passes_the_queue(address):
    direct = httpx.post(f"{address}gradio_api/run/recommend", json={"data": [["P0001"], 5, "both"]})
    assert direct.status_code == 404
    assert "join the queue" in direct.text


def test_a_full_queue_says_so(recommender, monkeypatch, visitor):
    monkeypatch.setattr("app.demo.QUEUE", 1)
    busy, go_on = threading.Event(), threading.Event()

    def slow(*asked, **options):
        busy.set()
        assert go_on.wait(timeout=SECONDS)
        raise RefusedError("too late")

    monkeypatch.setattr("app.gradio_demo.new_item_tab.with_new_item", slow)  # one call at a time, and this one lasts
    with served(build_demo(recommender, names=("both", ""))) as url, ThreadPoolExecutor(2) as pool:
        first = pool.submit(visitor(url).send, ("ask", "click"), [None, "mug"])
        assert busy.wait(timeout=SECONDS)
        second = pool.submit(visitor(url).send, ("ask", "click"), [None, "mug"])
        third = visitor(url)
        while time.sleep(0.05) or _waiting(url) < 1:
            pass
        with pytest.raises(httpx.HTTPStatusError, match="503"):
            third.send(("ask", "click"), [None, "mug"])
        go_on.set()
        assert all("Too late." in call.result(timeout=SECONDS)[0] for call in (first, second))


def _waiting(url: str) -> int:
    return httpx.get(f"{url}gradio_api/queue/status").json()["queue_size"]


def test_an_upload_of_too_many_bytes_is_refused(address):
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("x.png", b"\0" * (6 * 2**20))}, timeout=SECONDS)
    assert answer.status_code == 413
