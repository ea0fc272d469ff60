"""`iisan data import` and `iisan data images` as a user calls them."""

import functools
import io
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
from PIL import Image

from iisan_core.cache.digests import DIGESTS, fingerprints_of
from iisan_core.data.dataset import Dataset


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """A folder with one picture, served on localhost."""
    stream = io.BytesIO()
    Image.new("RGB", (500, 250)).save(stream, format="PNG")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.png").write_bytes(stream.getvalue())
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "site")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.network
def test_a_table_comes_in_and_its_pictures_after_it(shell, tmp_path, site):
    items, log, out = tmp_path / "items.csv", tmp_path / "log.csv", tmp_path / "out"
    items.write_text(f"sku;name;plot;link\n1;One;long;{site}/a.png\n2;Two;;{site}/b.png\n")
    log.write_text("who;sku;day;stars\nu;1;2024-01-31;5\nu;2;2024-02-01;1\n")
    columns = ("--item-id", "sku", "--title", "name", "--text", "plot", "--image-url", "link")
    columns += ("--user-id", "who", "--timestamp", "day", "--rating", "stars", "--min-rating", "2", "--separator", ";")
    done = shell("data", "import", "table", "--items", items, "--interactions", log, "--out", out, *columns)
    assert (done.code, done.err.splitlines()[-1]) == (0, f"wrote {out}")
    dataset = Dataset.load(out)
    assert dataset.text_columns == ["title", "plot"]
    assert dataset.card.dropped["interactions_below_min_rating"] == 1

    done = shell("data", "images", out, "--longest-side", "100", "--json")
    assert done.code == 0
    assert json.loads(done.out) == {"wanted": 2, "found": 0, "fetched": 1, "failed": 1, "reasons": {"HTTP 404": 1}}
    with Image.open(out / "images" / "1.jpg") as image:
        assert image.size == (100, 50)
    assert Dataset.load(out).items["image"].to_list() == ["images/1.jpg", None]

    again = shell("data", "images", out)
    assert again.code == 1
    assert "none of 1 pictures could be fetched; see" in again.err


def test_options_of_other_kinds_are_refused(shell, tmp_path):
    files = ("--items", tmp_path / "a", "--interactions", tmp_path / "b", "--out", tmp_path / "c")
    done = shell("data", "import", "movielens", *files, "--user-id", "who", "--split", "test")
    assert done.code == 2
    assert "importing movielens does not take the options --user-id, --split; it takes --min-rating" in done.err


def test_filter_and_stats_page(shell, tmp_path):
    items, users = tmp_path / "items.tsv", tmp_path / "users.tsv"
    items.write_text("a\tA\nb\tB\nc\tC\n")
    users.write_text("u\ta b\nv\ta b\nw\ta c\n")
    whole, core = tmp_path / "whole", tmp_path / "core"
    files = ("--items", items, "--interactions", users)
    imported = json.loads(shell("data", "import", "iisan-tsv", *files, "--out", whole, "--json").out)
    assert (imported["folder"], imported["name"]) == (str(whole), tmp_path.name)
    assert imported["counts"] == {"items": 3, "users": 3, "interactions": 6, "images": 0}
    outcome = shell("data", "filter", whole, "--core", "2", "--out", core)
    assert outcome.code == 0, outcome.err
    assert "interactions outside the 2 core" in outcome.out
    facts = json.loads(shell("data", "stats", core, "--html", tmp_path / "page.html", "--json").out)
    assert (facts["users"], facts["items"], facts["interactions"]) == (2, 2, 4)
    assert "Plotly.newPlot" in (tmp_path / "page.html").read_text()
    assert shell("data", "filter", whole, "--out", tmp_path / "same").code == 2


def test_a_deep_check_fails_where_a_file_is_not_as_recorded(shell, tmp_path, monkeypatch):
    monkeypatch.setattr("iisan_core.cache.digests.SETTLED_NS", -(10**12))
    out = tmp_path / "out"
    for name, text in (("items", "item_id,title,image\n1,One,a.png\n"), ("log", "user_id,item_id,timestamp\nu,1,1\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (50, 25)).save(tmp_path / "pictures" / "a.png")
    files = (
        "--items",
        tmp_path / "items.csv",
        "--interactions",
        tmp_path / "log.csv",
        "--images",
        tmp_path / "pictures",
    )
    assert shell("data", "import", "table", *files, "--image", "image", "--out", out).code == 0
    assert not (out / DIGESTS).exists(), "an import reads no file for it"
    fingerprints_of(out, Dataset.load(out).image_paths())
    assert shell("data", "check", out, "--deep").code == 0
    record = pl.read_parquet(out / DIGESTS)
    record.with_columns(sha256=pl.lit("0" * 64)).write_parquet(out / DIGESTS)
    assert shell("data", "check", out).code == 0
    outcome = shell("data", "check", out, "--deep", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)[0]["what"] == f"files with other bytes than {DIGESTS} says: {record['path'][0]}"
