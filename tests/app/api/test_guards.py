"""What cannot be answered gets a sentence and a status of the 400s, whatever it is; who may not ask gets nothing."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from app.api.guards import MOST_BODY, same
from app.api.lanes import BusyError
from app.api.routes import make_app
from app.api.service import Service

from .conftest import LOCAL
from .malformed import MALFORMED, VALID, Malformed

TOKEN = "a-token-of-this-test"
CASES = 300


def is_a_sentence(text: str) -> bool:
    return bool(text) and "\n" not in text and len(text) < 2000 and not re.search(r"/(tmp|home|root|work)/", text)


@given(asked=MALFORMED)
@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_malformed_gets_a_sentence(lasting_client: TestClient, asked: Malformed) -> None:
    said = lasting_client.request(asked.method, asked.path, content=asked.content, headers=asked.headers)
    assert 400 <= said.status_code < 500, (asked, said.status_code, said.text[:300])
    assert set(said.json()) == {"error"} and is_a_sentence(said.json()["error"]), said.text[:300]


def test_what_is_well_formed_is_answered_after_all_that(lasting_client: TestClient) -> None:
    for path in ("/recommend", "/similar", "/explain"):
        assert lasting_client.post(path, json=VALID[path]).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/recommend", {}, 422, "give either users or histories, exactly one of them"),
        ("/recommend", {"users": ["u00"], "k": 0}, 422, "k: Input should be greater than or equal to 1"),
        ("/recommend", {"users": ["u00"], "k": "5"}, 422, "k: Input should be a valid integer"),
        ("/recommend", {"users": ["u00"], "k": 61}, 422, "k is 61; there are 60 items, choose 1 to that many"),
        ("/recommend", {"users": ["u00"] * 1025}, 422, "users: List should have at most 1024 items"),
        ("/recommend", {"histories": [["i00"] * 1001]}, 422, "histories → 0: List should have at most 1000 items"),
        ("/recommend", {"histories": [["i00", 3]]}, 422, "histories → 0 → 1: Input should be a valid string"),
        ("/recommend", {"histories": [["what"]]}, 422, "no item 'what' in dataset; check its spelling"),
        ("/recommend", {"users": ["u00"], "run": "third"}, 404, "no run 'third' is served; there is first, second"),
        ("/recommend", {"users": ["me"]}, 422, "no user 'me' in dataset; users look like u00, u01, u02"),
        ("/similar", {"item_id": "i00", "k": 60}, 422, "k is 60; there are 59 other items, choose 1 to that many"),
        ("/explain", {"item_id": "i00"}, 422, "give either a user or a history, exactly one of them"),
        ("/items", {"items": []}, 422, "items: List should have at least 1 item"),
    ],
)
def test_sentences_say_what_is_wrong(
    lasting_client: TestClient, path: str, body: dict, status: int, sentence: str
) -> None:
    said = lasting_client.post(path, json=body)
    assert said.status_code == status
    assert said.json()["error"].startswith(sentence)


def test_a_stranger_is_not_found(lasting_client: TestClient) -> None:
    assert lasting_client.get("/users/me").status_code == 404


def test_a_body_that_is_too_large_is_not_read(lasting_client: TestClient) -> None:
    said = lasting_client.post("/recommend", content=b" " * (MOST_BODY + 1))
    assert (said.status_code, said.json()["error"]) == (413, "the body is larger than 16 MB; ask in smaller pieces")

    def pieces():
        for _ in range(MOST_BODY // 2**20 + 2):
            yield b" " * 2**20

    assert lasting_client.post("/recommend", content=pieces()).status_code == 413, "also where its length is not said"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}x"},
                                    {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}])  # fmt: skip
@pytest.mark.parametrize("path", ["/recommend", "/metrics", "/openapi.json", "/runs", "/nowhere", "/admin/reload"])
def test_without_the_token_nothing_is_said(service: Service, header: dict[str, str], path: str) -> None:
    with TestClient(make_app(service, token=TOKEN), base_url="http://shop.example") as client:
        said = client.post(path, json=VALID["/recommend"], headers=header)
    assert said.status_code == 401
    assert said.json() == {"error": "show the service's token: Authorization: Bearer …"}
    assert said.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_token_all_is_answered_and_whether_it_lives_without(service: Service) -> None:
    with TestClient(make_app(service, token=TOKEN), base_url="http://shop.example") as client:
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/recommend", json=VALID["/recommend"], headers=shown).status_code == 200
        assert client.get("/healthz").json() == {"status": "ok"}


def test_tokens_are_compared_by_their_digests() -> None:
    assert same("Bearer x", "Bearer x")
    assert not same("Bearer ", "Bearer x") and not same("\udcff", "Bearer x")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "localhost.evil.example", "10.0.0.1"])
def test_without_a_token_a_page_of_the_web_cannot_ask_in_a_visitors_name(lasting_client: TestClient, host: str) -> None:
    assert lasting_client.get("/runs", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "[::1]"])
def test_this_machines_own_names_are_answered(lasting_client: TestClient, host: str) -> None:
    assert lasting_client.get("/runs", headers={"Host": host}).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.service.many_answers", lambda run, body: time.sleep(1))
    with TestClient(make_app(service, seconds=0.1), base_url=LOCAL) as client:
        said = client.post("/recommend", json={"users": ["u00", "u01"]})
    assert said.status_code == 503
    assert said.json()["error"] == "no answer within 0.1 seconds; ask for less at once, or again later"


def test_a_body_that_does_not_come_is_given_up(service: Service) -> None:
    guard = make_app(service, seconds=0.05)
    sent = []

    async def never() -> dict:
        await asyncio.sleep(60)
        return {}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/similar", "query_string": b"",
             "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"20")]}  # fmt: skip
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 408


def test_more_than_can_be_answered_is_told_to_come_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.service.MOST_AT_WORK", 1)
    monkeypatch.setattr("app.api.service.many_answers", lambda run, body: time.sleep(0.5) or b"{}")
    with TestClient(make_app(service), base_url=LOCAL) as client, ThreadPoolExecutor(4) as pool:
        ask = {"users": ["u00", "u01"]}
        said = list(pool.map(lambda _: client.post("/recommend", json=ask), range(4)))
    assert sorted({one.status_code for one in said}) == [200, 503]
    turned_away = next(one for one in said if one.status_code == 503)
    assert turned_away.headers["Retry-After"] == "1"
    assert service.at_work == 0


def test_a_fault_of_our_own_is_a_sentence_too_and_tells_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise KeyError("/home/somebody/secret")

    monkeypatch.setattr("app.api.service.many_answers", broken)
    with TestClient(make_app(service), base_url=LOCAL, raise_server_exceptions=False) as client:
        said = client.post("/recommend", json={"users": ["u00", "u01"]})
    assert (said.status_code, said.json()) == (500, {"error": "the service has failed at this; its log says why"})
    assert "secret" in caplog.text


def test_a_second_reload_at_once_is_told_to_come_back(service: Service) -> None:
    async def twice() -> list:
        return await asyncio.gather(service.reload(), service.reload(), return_exceptions=True)

    first, second = asyncio.run(twice())
    assert isinstance(first, bytes) and isinstance(second, BusyError)
