"""The demo over HTTP: the endpoint, many clients at once, and what is not served."""

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from app.demo import main

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


class Visitor:
    """A session of the page, as a browser holds it: events go into the queue, answers come as a stream."""

    def __init__(self, address: str) -> None:
        self.session = uuid.uuid4().hex
        self.http = httpx.Client(base_url=address, timeout=SECONDS)
        config = self.http.get("config").json()
        place = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self.picks = {name: self._event(config, place[name]) for name in ("found", "history")}

    @staticmethod
    def _event(config, component):
        return next(d["id"] for d in config["dependencies"] if [component, "pick"] in d["targets"])

    def pick(self, where: str, item: str, action: str) -> list:
        event = {"item": item, "action": action}
        body = {"data": [None], "fn_index": self.picks[where], "session_hash": self.session, "event_data": event}
        self.http.post("gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    assert message["success"], message
                    return message["output"]["data"]
        raise AssertionError("the stream ended before the answer")


def items_of(html: str) -> list[str]:
    return [piece.split('"')[0] for piece in html.split('data-item="')[1:]]


def test_twenty_visitors_at_once_each_have_their_own_history(address, recommender):
    """Each clears what it starts with, adds items of its own, and gets what follows from these and nothing else."""
    together = threading.Barrier(CLIENTS)

    def visit(number: int) -> None:
        visitor = Visitor(address)
        together.wait(timeout=SECONDS)
        own = recommender.item_ids[number * CLICKS : (number + 1) * CLICKS]
        history = items_of(visitor.pick("found", own[0], "add")[2])
        for item in history[1:]:
            history = items_of(visitor.pick("history", item, "remove")[2])
        for item in own[1:]:
            _, _, shown, recommended, _ = visitor.pick("found", item, "add")
        assert items_of(shown) == list(reversed(own))
        (expected,) = recommender.recommend(histories=[own], k=12)
        assert items_of(recommended) == [item.item_id for item in expected]

    start = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for visit_done in [pool.submit(visit, number) for number in range(CLIENTS)]:
            visit_done.result(timeout=2 * SECONDS)
    assert time.monotonic() - start < SECONDS


def test_an_item_that_does_not_exist_is_not_believed(address):
    visitor = Visitor(address)
    with pytest.raises(AssertionError, match="There is no such item"):
        visitor.pick("found", "../../etc/passwd", "add")


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


def test_an_upload_of_too_many_bytes_is_refused(address):
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("x.png", b"\0" * (6 * 2**20))}, timeout=SECONDS)
    assert answer.status_code == 413
