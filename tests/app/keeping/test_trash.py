"""What is thrown away can be put back as it was; labels stay with their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.keeping.labels import LABELS, Labels, dismiss, label, labels_of
from app.keeping.trash import destroy, discard, restore, trash_of, trashed
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.workspace import Workspace

from .conftest import MakeRun


def test_thrown_away_and_put_back(shop: Workspace, make_run: MakeRun) -> None:
    run, cache = make_run("first"), shop.root / "caches" / "shop" / "text-one"
    label(shop.datasets / "shop", tags=("mine",))
    thrown = discard(shop, [shop.datasets / "shop", cache], kind="dataset")
    assert not (shop.datasets / "shop").exists() and not cache.exists()
    assert run.config().dataset.name == "shop", "the run still says what it was trained on"
    (found,) = trashed(shop)
    assert found == thrown
    assert (found.card.kind, found.card.name, found.card.places) == (
        "dataset", "shop", ("datasets/shop", "caches/shop/text-one"),
    )  # fmt: skip
    assert found.disk_bytes > 0
    places = restore(shop, found)
    assert places == [(shop.datasets / "shop").resolve(), cache.resolve()]
    assert labels_of(shop.datasets / "shop").tags == ("mine",)
    assert run.usable_config().caches["text"].is_dir()
    assert trashed(shop) == [] and list(trash_of(shop).iterdir()) == []


def test_nothing_is_put_back_over_another(shop: Workspace, make_run: MakeRun) -> None:
    thrown = discard(shop, [make_run("first").path], kind="run")
    make_run("first")
    with pytest.raises(RefusedError, match=r"there is another run at .*first by now; rename it first"):
        restore(shop, thrown)
    again = discard(shop, [shop.runs / "first"], kind="run")
    assert again.folder != thrown.folder
    destroy(again)
    assert [each.folder for each in trashed(shop)] == [thrown.folder]


def test_a_crash_while_putting_back_is_made_good(shop: Workspace, make_run: MakeRun) -> None:
    thrown = discard(shop, [make_run("first").path, make_run("second").path], kind="run")
    (thrown.folder / "0").rename(shop.runs / "first")
    assert restore(shop, thrown) == [(shop.runs / "second").resolve()]


@pytest.mark.parametrize("place", ["../elsewhere", "/etc/x", "runs/../../x", "."])
def test_a_card_that_leads_out_of_the_workspace_is_refused(shop: Workspace, make_run: MakeRun, place: str) -> None:
    thrown = discard(shop, [make_run("first").path], kind="run")
    card = thrown.folder / "trash.json"
    write_json(card, read_json(card, what="card") | {"places": [place]})
    (found,) = trashed(shop)
    with pytest.raises(RefusedError, match="move it back by hand"):
        restore(shop, found)
    assert (thrown.folder / "0").is_dir()


def test_only_the_workspace_s_own_is_thrown_away(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RefusedError, match="does not lie in the workspace"):
        discard(shop, [tmp_path / "mine"], kind="dataset")
    assert (tmp_path / "mine").is_dir()


def test_what_lies_in_the_trash_and_cannot_be_read_hides_nothing(shop: Workspace, make_run: MakeRun) -> None:
    thrown = discard(shop, [make_run("first").path], kind="run")
    (trash_of(shop) / "odd").mkdir()
    (trash_of(shop) / "odd" / "trash.json").write_text("{")
    assert [each.folder for each in trashed(shop)] == [thrown.folder]


def test_labels_are_changed_one_by_one(tmp_path: Path) -> None:
    assert labels_of(tmp_path) == Labels()
    label(tmp_path, tags=("a ", "b", "a", " "))
    label(tmp_path, note="why")
    label(tmp_path, archived=True)
    dismiss(tmp_path)
    found = labels_of(tmp_path)
    assert (found.tags, found.note, found.archived) == (("a", "b"), "why", True)
    assert found.dismissed > 0


def test_labels_that_are_too_long_are_refused_and_broken_ones_cost_nothing(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="longer than 40 letters"):
        label(tmp_path, tags=("x" * 41,))
    with pytest.raises(RefusedError, match="note"):
        label(tmp_path, note="x" * 4001)
    (tmp_path / LABELS).write_text("{")
    assert labels_of(tmp_path) == Labels()
    assert label(tmp_path, note="anew").note == "anew"
