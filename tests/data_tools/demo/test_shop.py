"""The demo world, made once and found again."""

import time
from functools import partial
from pathlib import Path

import pytest

from data_tools.demo import shop
from data_tools.demo.backbones.training import EncoderSize
from data_tools.demo.shop import demo_backbone, demo_dataset, demo_shop, write_export
from data_tools.demo.world import make_demo_world
from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import Modality
from iisan_core.errors import RefusedError
from iisan_core.runs.workspace import Workspace

SMALL = {shop.USERS: {"items": 64, "users": 20}}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps on a world, and with trainings, of seconds."""
    make, text, image = shop.make_demo_world, shop.build_text_backbone, shop.build_image_backbone
    monkeypatch.setattr(shop, "make_demo_world", lambda folder, **size: make(folder, **SMALL.get(size["users"], size)))
    monkeypatch.setattr(shop, "build_text_backbone", partial(text, steps=2))
    monkeypatch.setattr(shop, "build_image_backbone", partial(image, steps=2))


@pytest.mark.usefixtures("small")
def test_the_shop_is_made_once_and_found_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = demo_shop(workspace)
    assert list(first.caches) == ["image", "text"]
    caches = {name: HiddenStateCache.open(folder) for name, folder in first.caches.items()}
    assert {name: len(cache.item_ids) for name, cache in caches.items()} == {"image": 64, "text": 64}
    made = time.time()
    again = demo_shop(workspace)
    assert again.caches == first.caches
    assert all(path.stat().st_mtime < made for path in tmp_path.rglob("*.safetensors"))


@pytest.mark.usefixtures("small")
def test_whoever_waits_for_a_backbone_is_told_how_far_it_is(tmp_path: Path) -> None:
    workspace, steps = Workspace(tmp_path), []
    demo_backbone(workspace, demo_dataset(workspace), "text", on_step=lambda step, of, loss: steps.append((step, of)))
    assert steps == [(1, 2), (2, 2)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("modality", shop.MODALITIES)
def test_a_backbone_of_another_size_has_a_folder_of_its_own(tmp_path: Path, modality: Modality) -> None:
    workspace = Workspace(tmp_path)
    folder = demo_backbone(workspace, demo_dataset(workspace), modality, size=EncoderSize(layers=9, width=32))
    assert folder.name == f"demo-{modality}-9x32"
    backbone = load_backbone(str(folder), modality)
    assert list(backbone.widths) == [32] * (1 + 9)


@pytest.mark.parametrize(("layers", "width"), [(0, 64), (2, 0), (2, 40)])
def test_a_size_that_no_heads_fit_is_refused(layers: int, width: int) -> None:
    with pytest.raises(RefusedError, match="a multiple of 16"):
        EncoderSize(layers=layers, width=width)


@pytest.mark.usefixtures("small")
def test_a_shop_of_another_size_shares_the_backbones(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    other = demo_shop(workspace, items=70, users=10)
    assert other.dataset.folder.name == "demo-70x10"
    assert other.dataset.card.counts["items"] == 70
    whole = demo_shop(workspace)
    assert other.backbones == whole.backbones
    assert not set(other.caches.values()) & set(whole.caches.values())


def test_an_export_comes_back_as_the_same_shop(tmp_path: Path) -> None:
    shop = make_demo_world(tmp_path / "shop", items=64, users=20)
    raw = write_export(shop, tmp_path / "export")
    request = ImportRequest(
        items=raw / "products.csv",
        interactions=raw / "orders.csv",
        images=raw / "photos",
        out=tmp_path / "back",
        options=ImportOptions(
            item_id="sku", title="name", image="photo", user_id="customer", log_item_id="sku", timestamp="bought_at"
        ),
    )
    back = IMPORTERS["table"](request)
    assert back.items.select("item_id", "title").equals(shop.items.select("item_id", "title"))
    assert back.items["image"].is_null().to_list() == shop.items["image"].is_null().to_list()
    assert back.interactions.equals(shop.interactions)
    before = (raw / "orders.csv").stat().st_mtime_ns
    assert (write_export(shop, raw) / "orders.csv").stat().st_mtime_ns == before
