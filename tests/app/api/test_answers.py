"""What the service answers is what the recommender says; new items, other runs, newer runs, counts."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.api.lanes import MOST_TOGETHER, BusyError, Lane
from app.api.routes import make_app
from app.api.service import Service, answers
from iisan_core.errors import RefusedError
from iisan_core.serving.recommender import Recommender

from .conftest import LOCAL


def picture(colour: str = "teal", *, size: tuple[int, int] = (16, 12)) -> str:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def ids(answer: dict) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize("seen", [False, True])
def test_one_user_is_recommended_what_the_recommender_recommends(client, recommender, seen):
    said = client.post("/recommend", json={"users": ["u03"], "k": 4, "seen": seen}).json()
    (expected,) = recommender.recommend(users=["u03"], k=4, exclude_seen=not seen)
    (answer,) = said["answers"]
    assert (said["run"], answer["user"], answer["passed_over"]) == ("first", "u03", 0)
    assert ids(answer) == [item.item_id for item in expected]
    assert [item["score"] for item in answer["items"]] == pytest.approx([item.score for item in expected], abs=1e-5)


def test_many_histories_get_an_answer_each_in_their_order(client, recommender):
    histories = [[f"i{n:02}", f"i{n + 6:02}"] for n in range(20)]
    said = client.post("/recommend", json={"histories": histories, "k": 3}).json()
    expected = recommender.recommend(histories=histories, k=3)
    assert [ids(answer) for answer in said["answers"]] == [[item.item_id for item in one] for one in expected]
    assert {answer["user"] for answer in said["answers"]} == {None}


def test_candidates_titles_and_the_other_run(client, runs):
    asked = {"users": ["u03"], "k": 3, "candidates": ["i01", "i02", "i07"], "titles": True, "run": "second"}
    said = client.post("/recommend", json=asked).json()
    (expected,) = Recommender.load(runs.second).recommend(users=["u03"], k=3, candidates=["i01", "i02", "i07"])
    assert said["run"] == "second"
    assert ids(said["answers"][0]) == [item.item_id for item in expected]
    titles = {item["item_id"]: item["title"] for item in said["answers"][0]["items"]}
    assert titles["i07"] is None, "this item has none"
    assert titles["i01"].startswith("green green")


def test_clients_that_ask_at_once_get_their_own_answers(client, recommender):
    users = [f"u{n:02}" for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda user: client.post("/recommend", json={"users": [user], "k": 5}).json(), users))
    expected = recommender.recommend(users=users, k=5)
    assert [ids(one["answers"][0]) for one in said] == [[item.item_id for item in one] for one in expected]


def test_similar_items(client, recommender):
    said = client.post("/similar", json={"item_id": "i03", "k": 4}).json()
    expected = recommender.similar_items("i03", k=4)
    assert [(item["item_id"], item["cosine"]) for item in said["items"]] == [
        (item.item_id, pytest.approx(item.cosine, abs=1e-6)) for item in expected
    ]


@pytest.mark.parametrize("whom", [{"user": "u05"}, {"history": ["i05", "i11", "i17"]}])
def test_reasons_sum_to_the_score(client, recommender, whom):
    said = client.post("/explain", json={"item_id": "i23", **whom}).json()
    expected = recommender.explain("i23", **whom)
    assert said["score"] == pytest.approx(expected.score, abs=1e-6)
    assert sum(part["score"] for part in said["parts"]) == pytest.approx(said["score"], abs=1e-4)
    assert [influence["item_id"] for influence in said["influences"]] == [i.item_id for i in expected.influences]


def test_a_user_is_shown_with_the_newest_items(client, recommender):
    said = client.get("/users/u05", params={"newest": 2}).json()
    history = recommender.history("u05")
    assert said["interactions"] == len(history)
    assert [item["item_id"] for item in said["history"]] == history[-2:]
    assert all(item["ranked"] for item in said["history"])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # transformers leaves one open
def test_a_new_item_is_recommended_only_where_it_is_kept(client, runs):
    item = {"item_id": "N1", "title": "red red mug", "image": picture("#005a5a")}
    said = client.post("/items", json={"items": [item], "k": 3}).json()
    assert (said["kept"], len(said["items"][0]["similar"])) == (False, 3)
    only = {"histories": [["i00", "i06"]], "k": 1, "candidates": ["N1"]}
    assert "no item 'N1'" in client.post("/recommend", json=only).json()["error"]

    assert client.post("/items", json={"items": [item], "keep": True}).json()["kept"]
    assert ids(client.post("/recommend", json=only).json()["answers"][0]) == ["N1"]
    assert "are there already" in client.post("/items", json={"items": [item], "keep": True}).json()["error"]
    assert [run["kept_items"] for run in client.get("/runs").json()] == [1, 0]

    assert client.post("/admin/reload").json()["runs"][0]["kept_items"] == 1
    assert ids(client.post("/recommend", json=only).json()["answers"][0]) == ["N1"], "over a reload, too"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"title": "mug", "image": "no base64!"},
            "not in base64; send the bytes of its file so, no path and no address",
        ),
        ({"title": "mug", "image": "/etc/passwd"}, "not in base64|cannot be read as a picture"),
        ({"title": "mug", "image": "http://192.0.2.1/mug.png"}, "not in base64"),
        ({"title": "mug", "image": base64.b64encode(b"GIF89a").decode()}, "cannot be read as a picture"),
        ({"title": "mug", "image": picture(size=(5000, 4000))}, "5,000 × 4,000 pixels; 16 million are the most"),
        ({"title": "mug", "image": base64.b64encode(b"\0" * (5 * 2**20 + 9)).decode()}, "5 MB"),
        ({"title": "mug", "texts": {"plot": "none"}}, "has a text 'plot'; the catalogue has title"),
        ({"title": "mug", "vectors": {"text": [1.0]}}, "this run's states all come from backbones"),
        ({}, "there is nothing to know it by"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_new_item_that_cannot_be_taken_is_answered_with_a_sentence(lasting_client, item, message):
    said = lasting_client.post("/items", json={"items": [{"item_id": "N1", **item}]})
    assert said.status_code == 422
    assert any(part in said.json()["error"] for part in message.split("|"))


def test_a_newer_run_is_taken_up_while_the_old_one_answers(runs, tmp_path):
    shutil.copytree(runs.first, tmp_path / "run")
    service = Service.of_folders([tmp_path / "run"])
    with TestClient(make_app(service), base_url=LOCAL) as client:
        ask = {"users": ["u03"], "k": 5}
        before = client.post("/recommend", json=ask).json()
        (tmp_path / "run").rename(tmp_path / "old")
        shutil.copytree(runs.second, tmp_path / "run")
        assert client.post("/recommend", json=ask).json() == before
        assert client.post("/admin/reload").status_code == 200
        after = client.post("/recommend", json=ask).json()
        (expected,) = Recommender.load(runs.second).recommend(users=["u03"], k=5)
        assert ids(after["answers"][0]) == [item.item_id for item in expected]
        assert after["answers"] != before["answers"]


def test_a_run_that_cannot_be_loaded_leaves_the_old_one_in_its_place(runs, tmp_path):
    shutil.copytree(runs.first, tmp_path / "run")
    service = Service.of_folders([tmp_path / "run"])
    with TestClient(make_app(service), base_url=LOCAL) as client:
        ask = {"users": ["u03"], "k": 5}
        before = client.post("/recommend", json=ask).json()
        (tmp_path / "run" / "items.safetensors").unlink()
        said = client.post("/admin/reload")
        assert said.status_code == 422
        assert "no item vectors at items.safetensors" in said.json()["error"], "and not where it lies"
        assert client.post("/recommend", json=ask).json() == before


def test_two_runs_of_one_name_are_refused(runs, tmp_path):
    shutil.copytree(runs.first, tmp_path / "first")
    with pytest.raises(RefusedError, match="two runs are called 'first'"):
        Service.of_folders([runs.first, tmp_path / "first"])


def test_prometheus_reads_what_was_counted(client):
    client.post("/recommend", json={"histories": [["i00"], ["i01"]], "k": 2})
    client.post("/recommend", json={"users": ["nobody"]})
    client.get("/nowhere/at/all")
    said = client.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    lines = said.text.splitlines()
    assert 'iisan_requests_total{path="/recommend",status="200"} 1.0' in lines
    assert 'iisan_requests_total{path="/recommend",status="422"} 1.0' in lines
    assert 'iisan_requests_total{path="other",status="404"} 1.0' in lines
    assert "iisan_users_total 2.0" in lines
    assert 'iisan_items{run="first"} 60.0' in lines
    assert 'iisan_request_seconds_count{path="/recommend"} 2.0' in lines


def test_the_examples_of_openapi_are_answered(client):
    said = client.get("/openapi.json").json()
    schemas = said["components"]["schemas"]
    asked = {path: how["post"] for path, how in said["paths"].items() if "post" in how}
    assert set(said["paths"]) == {
        "/recommend", "/similar", "/explain", "/users/{user_id}", "/items", "/runs", "/admin/reload", "/healthz",
        "/metrics",
    }  # fmt: skip
    for path in ("/recommend", "/similar", "/explain"):
        name = asked[path]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        (example,) = schemas[name]["examples"]
        as_here = {"P0003": "i03", "P0040": "i40", "P0041": "i41"}
        text = str(example).replace("'", '"')
        for theirs, ours in as_here.items():
            text = text.replace(theirs, ours)
        answer = client.post(path, content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        named = asked[path]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert set(schemas[named]["required"]) <= set(answer.json())


def test_questions_of_one_k_are_computed_together_and_ones_fault_is_no_others(service, monkeypatch):
    from app.api.service import Question

    calls = []
    real = Recommender.recommend

    def counted(self, **asked):
        calls.append(len(asked["histories"]))
        return real(self, **asked)

    monkeypatch.setattr(Recommender, "recommend", counted)
    run = service.run(None)
    asked = [Question(run, None, [f"i{n:02}"], 3, False, False) for n in range(5)]
    assert all(isinstance(reply, bytes) for reply in answers(asked))
    assert calls == [5]
    spoilt = [*asked[:2], Question(run, None, ["nothing"], 3, False, False), *asked[2:]]
    replies = answers(spoilt)
    assert [isinstance(reply, bytes) for reply in replies] == [True, True, False, True, True, True]
    assert isinstance(replies[2], RefusedError)


def test_a_lane_collects_what_comes_while_it_works_and_turns_away_what_is_too_much(monkeypatch):
    monkeypatch.setattr("app.api.lanes.MOST_WAITING", MOST_TOGETHER + 5)
    sizes, go_on = [], threading.Event()

    def answer_all(questions):
        sizes.append(len(questions))
        assert go_on.wait(timeout=30)
        return [question * 2 for question in questions]

    async def all_of_it() -> list:
        with ThreadPoolExecutor(1) as executor:
            lane = Lane(answer_all, executor=executor)
            first = asyncio.create_task(lane.ask(0))
            while not sizes:
                await asyncio.sleep(0.001)
            asked = [asyncio.create_task(lane.ask(n)) for n in range(1, MOST_TOGETHER + 10)]
            await asyncio.sleep(0.01)
            given_up = asked[2]
            given_up.cancel()
            go_on.set()
            return await asyncio.gather(first, *asked, return_exceptions=True)

    replies = asyncio.run(all_of_it())
    assert sizes[0] == 1 and max(sizes) <= MOST_TOGETHER and len(sizes) == 3
    assert replies[:3] == [0, 2, 4]
    assert isinstance(replies[3], asyncio.CancelledError)
    assert sum(isinstance(reply, BusyError) for reply in replies) == 4
