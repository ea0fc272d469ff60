"""`iisan extract` takes turns on a device with trainings and other extractions, and waits for none of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.commands import console
from app.jobs import devices, queue
from app.jobs.queue import RUNTIME, DeviceQueue, turn
from data_tools.writing import write_dataset
from iisan_core.computing.processes import ProcessGroup
from tests.iisan_core.backbones.tiny_joint import save_tiny_joint


@pytest.fixture
def extracting(
    shell: Callable[..., Any], workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Call `iisan extract` on three titles, in queues of this test's own."""
    monkeypatch.setenv(RUNTIME, str(tmp_path / "runtime"))
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["red mug", "lamp", "scarf"]})
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [0]})
    folder = workspace / "datasets" / "small"
    items = items.with_columns(image=pl.lit(None, dtype=pl.String))
    write_dataset(folder, name="small", source="made by a test", items=items, interactions=log)
    return lambda *options: shell("extract", folder, "--text", "minilm", "--device", "cpu", *options)


def test_picture_and_text_are_read_together(
    extracting: Callable[..., Any], workspace: Path, tmp_path: Path, one_thread: None
) -> None:
    folder = save_tiny_joint("llava", tmp_path / "llava")
    outcome = extracting("--joint", str(folder), "--prompt", "one word:", "--json")
    assert outcome.code == 0, outcome.err
    text, joint = json.loads(outcome.out)
    assert (text["modality"], joint["modality"], joint["kind"]) == ("text", "joint", "joint")
    assert (joint["prompt"], joint["reading"]) == ("one word:", "in the model's chat template")
    assert (joint["items"], joint["items_without"]) == (3, 0)


@contextmanager
def at_work_elsewhere(who: str) -> Iterator[None]:
    """Somebody else has the processor."""
    with DeviceQueue("cpu").ticket(who):
        yield


def test_it_waits_until_the_device_is_free(extracting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []
    with ExitStack() as training:
        training.enter_context(at_work_elsewhere("mine"))

        def tell(ahead: list[str]) -> None:
            told.append(ahead)
            training.close()

        monkeypatch.setattr(console, "told_that_it_waits", tell)
        outcome = extracting()
    assert outcome.code == 0, outcome.err
    assert [who.split(" (")[0] for (who,) in told] == ["mine"]
    assert DeviceQueue("cpu").waiting() == []


def test_it_refuses_to_wait_if_told_so(extracting: Callable[..., Any], workspace: Path) -> None:
    with at_work_elsewhere("mine"):
        outcome = extracting("--no-wait")
    assert outcome.code == 2
    assert "device cpu is taken by mine" in outcome.err
    assert not (workspace / "caches").exists()


def test_others_wait_for_it(extracting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    load = "app.commands.extract.cache_states"
    monkeypatch.setattr(load, lambda *_, **__: seen.append(DeviceQueue("cpu").waiting()))
    extracting()
    assert [who.split(" (")[0] for (who,) in seen] == ["extract small"]


def test_within_a_turn_of_its_own_it_does_not_wait(extracting: Callable[..., Any]) -> None:
    with turn("cpu", who="job"):  # a detached job, a study
        outcome = extracting("--no-wait")
    assert outcome.code == 0, outcome.err


class FakeGroup:
    """The middle one of three processes; notes when it waits for the others."""

    rank, count = 1, 3

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def wait(self) -> None:
        self.notes.append("wait")


@pytest.mark.parametrize(
    ("key", "notes"), [("cuda:1", ["wait", "take cuda:1", "wait", "wait"]), ("cpu", ["wait", "wait", "wait"])]
)
def test_processes_take_their_devices_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, key: str, notes: list[str]
) -> None:
    found: list[str] = []

    @contextmanager
    def taken(device: str, **_: object) -> Iterator[None]:
        found.append(f"take {device}")
        yield

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(devices, "device_key", lambda _: key)
    monkeypatch.setattr(queue, "turn", taken)
    monkeypatch.setattr(ProcessGroup, "here", lambda: FakeGroup(found))
    with console.on_turn("auto", who="extract"):
        assert found == notes
