"""Where records say that things lie: relative within their workspace, absolute outside of it, never with `..`."""

from pathlib import Path

import pytest

from iisan_core.config.places import (
    backbone_read,
    backbone_written,
    counterpart,
    read,
    require,
    workspace_of,
    written,
)
from iisan_core.errors import RefusedError


@pytest.fixture
def root(tmp_path):
    """A workspace with a dataset, a cache's folder, a backbone and a run."""
    made = tmp_path / "workspace"
    for inside in ("datasets/shop", "caches/shop/text-a", "backbones/own", "runs/first"):
        (made / inside).mkdir(parents=True)
    return made.resolve()


@pytest.fixture
def record(root):
    return root / "runs" / "first" / "config.yaml"


def test_a_workspace_is_known_by_two_of_its_shelves(root, record, tmp_path):
    assert workspace_of(record) == root
    assert workspace_of(root / "studies" / "ablation" / "one" / "config.yaml") == root
    assert workspace_of(tmp_path / "alone" / "config.yaml") is None


def test_what_lies_in_the_workspace_is_named_relative_to_it(root, record, tmp_path):
    assert written(root / "datasets" / "shop", record=record) == "datasets/shop"
    assert written(tmp_path / "elsewhere", record=record) == str(tmp_path / "elsewhere")
    assert written(Path("data/shop"), record=record) == "data/shop"
    assert written(root / "datasets" / "shop", record=tmp_path / "alone" / "config.yaml") == str(root / "datasets/shop")


def test_it_is_found_wherever_the_workspace_lies_now(root, record, tmp_path):
    named = Path(written(root / "datasets" / "shop", record=record))
    root.rename(tmp_path / "moved")
    assert read(named, record=tmp_path / "moved" / "runs" / "first" / "config.yaml") == tmp_path / "moved/datasets/shop"


def test_an_older_place_that_is_gone_is_looked_for_in_the_workspace(root, record):
    assert read(Path("/gone/workspace/datasets/shop"), record=record) == root / "datasets" / "shop"
    assert read(Path("/gone/runs/x/datasets/shop"), record=record) == root / "datasets" / "shop"
    assert read(Path("/gone/workspace/datasets/other"), record=record) == Path("/gone/workspace/datasets/other")
    assert read(Path("/gone/shop"), record=record) == Path("/gone/shop")


def test_a_place_outside_that_is_there_stays_what_it_is(record, tmp_path):
    (tmp_path / "other" / "datasets" / "shop").mkdir(parents=True)
    assert read(tmp_path / "other" / "datasets" / "shop", record=record) == tmp_path / "other" / "datasets" / "shop"


def test_a_record_that_was_copied_away_alone_means_the_default_workspace(root, tmp_path, monkeypatch):
    monkeypatch.setenv("IISAN_WORKSPACE", str(root))
    assert read(Path("datasets/shop"), record=tmp_path / "alone" / "config.yaml") == root / "datasets" / "shop"


def test_a_workspace_within_what_looks_like_one(root, record, tmp_path):
    """The nearest is meant, unless nothing lies there: it may have got its second shelf only later."""
    for shelf in ("datasets/outer", "runs"):
        (tmp_path / shelf).mkdir(parents=True)
    assert read(Path("datasets/shop"), record=record) == root / "datasets" / "shop"
    assert read(Path("datasets/outer"), record=record) == tmp_path.resolve() / "datasets" / "outer"
    assert read(Path("datasets/nowhere"), record=record) == root / "datasets" / "nowhere"


@pytest.mark.parametrize("place", ["../secret", "datasets/../../secret", "/tmp/../secret"])
def test_no_record_leads_out_of_its_workspace(record, place):
    with pytest.raises(RefusedError, match=r"names .*secret; paths are absolute there, or relative to its"):
        read(Path(place), record=record)


def test_the_counterpart_is_the_longest_that_is_there(root):
    assert counterpart(Path("/old/caches/shop/text-a"), root=root) == root / "caches" / "shop" / "text-a"
    assert counterpart(Path("/old/datasets"), root=root) is None


def test_a_backbone_of_the_workspace_is_told_from_one_of_the_hub(root, record, tmp_path):
    assert backbone_written(str(root / "backbones" / "own"), record=record) == "./backbones/own"
    assert backbone_written("google/vit-base-patch16-224", record=record) == "google/vit-base-patch16-224"
    assert backbone_read("./backbones/own", record=record) == str(root / "backbones" / "own")
    assert backbone_read("google/vit-base-patch16-224", record=record) == "google/vit-base-patch16-224"
    assert backbone_read("/gone/backbones/own", record=record) == str(root / "backbones" / "own")
    assert backbone_read("/gone/own", record=record) == "/gone/own"
    with pytest.raises(RefusedError, match=r"without `\.\.`"):
        backbone_read("./../own", record=record)


def test_what_is_gone_is_said_with_both_places_and_what_to_do(root, record):
    require(root / "datasets" / "shop", named="datasets/shop", record=record, remedy="or train again")
    old = Path("/gone/workspace/datasets/other")
    with pytest.raises(RefusedError) as refused:
        require(read(old, record=record), named=str(old), record=record, remedy="or train again")
    said = f"{record} names {old}, and nothing is at {old} nor at {root / 'datasets' / 'other'}; bring it back"
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith("or train again")
