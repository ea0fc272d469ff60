"""The demo shop as files to import."""

from pathlib import Path

from data_tools.demo.export import write_export
from data_tools.demo.world import make_demo_world
from data_tools.importers import IMPORTERS
from data_tools.importers.options import ImportOptions


def test_an_export_comes_back_as_the_same_shop(tmp_path: Path) -> None:
    shop = make_demo_world(tmp_path / "shop", items=64, users=20)
    raw = write_export(shop, tmp_path / "export")
    options = ImportOptions(
        item_id="sku", title="name", image="photo", user_id="customer", log_item_id="sku", timestamp="bought_at"
    )
    back = IMPORTERS["table"](
        items=raw / "products.csv",
        interactions=raw / "orders.csv",
        images=raw / "photos",
        out=tmp_path / "back",
        options=options,
    )
    assert back.items.select("item_id", "title").equals(shop.items.select("item_id", "title"))
    assert back.items["image"].is_null().to_list() == shop.items["image"].is_null().to_list()
    assert back.interactions.equals(shop.interactions)
    before = (raw / "orders.csv").stat().st_mtime_ns
    assert (write_export(shop, raw) / "orders.csv").stat().st_mtime_ns == before
