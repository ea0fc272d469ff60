"""The Runs page: all runs in a table, one in full, and what can be done with them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from app.jobs.machine_log import FILE
from app.keeping.labels import label, labels_of
from app.keeping.trash import discard, trashed
from app.ui.readers import RunFacts, best_first, runs
from app.ui.run_files import lines_of
from app.ui.run_table import COLUMNS, SCHEMA, matching, table_of_runs
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, shown


def test_the_table_holds_every_run_whatever_its_state(troubled: Workspace, open_page: OpenPage) -> None:
    label(troubled.runs / "both", tags=("mine",), note="the first")
    page = open_page("runs")
    table = page.dataframe[0].value
    states = dict(zip(table["run"], table["state"], strict=True))
    assert states == {
        "both": "finished", "titles": "finished", "running": "running", "queued": "queued", "failed": "failed",
        "vanished": "interrupted", "no-yaml": "broken", "other-version": "broken", "old-results": "broken",
    }  # fmt: skip
    row = table[table["run"] == "both"].iloc[0]
    assert (row["dataset"], list(row["tags"]), row["note"], row["reads"]) == (
        "demo",
        ["mine"],
        "the first",
        "image, text",
    )
    results = RunFolder.open(troubled.runs / "both").results()
    assert row["test HR@10"] == results["quality"]["test"]["HR@10"]
    assert "9 of 9 runs" in shown(page)


def test_columns_and_their_types_are_the_same() -> None:
    assert list(COLUMNS) == list(SCHEMA)
    assert table_of_runs([]).columns == list(COLUMNS)


def test_a_search_and_filters(troubled: Workspace, open_page: OpenPage) -> None:
    label(troubled.runs / "both", tags=("paper",), note="beats item-kNN")
    label(troubled.runs / "titles", archived=True)
    found = runs(troubled)

    def names(**chosen: object) -> set[str]:
        return {run.name for run in matching(found, **chosen)}  # type: ignore[arg-type]

    assert names(words="ITEM-knn paper") == {"both"}
    assert names(words="the reason") == {"failed"}
    assert names(states=["queued", "running"]) == {"queued", "running"}
    assert names(tags=["paper", "other"]) == {"both"}
    assert names(datasets=["demo"], words="titles") == set()
    assert names(datasets=["demo"], words="titles", archived=True) == {"titles"}
    page = open_page("runs", find="kNN")
    assert list(page.dataframe[0].value["run"]) == ["both"]
    page = open_page("runs", find="no such thing")
    assert "No run meets this" in shown(page)


def test_best_first_goes_by_validation(shop: Workspace) -> None:
    found = best_first(runs(shop))
    reached = [run.reached() for run in found]
    assert reached == sorted(reached, reverse=True) and None not in reached
    broken = RunFacts(RunFolder(shop.runs / "x"), None, "broken")
    assert best_first([broken, *found]) == [*found, broken]


@pytest.mark.parametrize("part", ["Curves", "Machine", "Log", "Settings", "Files"])
def test_every_part_of_a_run_s_page(own_shop: Workspace, open_page: OpenPage, part: str) -> None:
    run = own_shop.runs / "both"
    samples = [{"at": 100.0 + n, "load": 90.0, "machine_load": 50.0, "memory_bytes": 1e8 * n} for n in range(4)]
    (run / FILE).write_text("".join(json.dumps(sample) + "\n" for sample in samples) + '{"at": 1')
    label(run, tags=("mine",), note="a *note*")
    page = open_page("runs", run="both", part=part)
    said = shown(page)
    assert not page.error
    assert "a \\*note\\*" in said and "finished" in said
    links = [(link.proto.page, link.proto.query_string) for link in page.get("page_link")]
    assert ("data", "dataset=demo") in links and ("recommendations", "run=both") in links
    expected = {
        "Curves": "Test HR@10", "Machine": "", "Log": "epoch 2", "Settings": "iisan train", "Files": "Tick a file",
    }  # fmt: skip
    assert expected[part] in said + " ".join(metric.label for metric in page.metric)
    assert len(page.get("plotly_chart")) == (2 if part in ("Curves", "Machine") else 0)


def test_a_run_without_notes_of_the_machine_says_so(shop: Workspace, open_page: OpenPage) -> None:
    assert "Nothing was noted of the machine" in shown(open_page("runs", run="both", part="Machine"))


def test_a_run_that_was_thrown_away_is_offered_from_the_trash(own_shop: Workspace, open_page: OpenPage) -> None:
    discard(own_shop, [own_shop.runs / "both"], kind="run")
    page = open_page("runs", run="both")
    assert "There is no run called both" in shown(page) and "trash" in shown(page)
    page = open_page("runs", view="Trash")
    next(button for button in page.button if button.label == "Put back").click().run()
    assert (own_shop.runs / "both").is_dir() and trashed(own_shop) == []
    assert "The trash is empty" in shown(page)


def test_a_run_is_archived_from_its_menu_and_leaves_the_list(own_shop: Workspace, open_page: OpenPage) -> None:
    label(own_shop.runs / "both", archived=True)
    assert list(open_page("runs").dataframe[0].value["run"]) == ["titles"]
    assert "archived" in shown(open_page("runs", run="both"))
    assert labels_of(own_shop.runs / "both").archived


def test_a_log_is_searched_and_only_its_end_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(f"epoch {n}: loss {n}.5\n" for n in range(100)) + "bar 1\rbar 2\rbar 3\n")
    lines, held = lines_of(path, "EPOCH loss 7.5")
    assert lines == [f"epoch {tens}7: loss {tens}7.5" for tens in ("", *range(1, 10))] and held == 10
    lines, held = lines_of(path, most=2)
    assert (lines, held) == (["epoch 99: loss 99.5", "bar 3"], 101)


def test_the_dataset_table_says_what_comes_next(own_shop: Workspace, open_page: OpenPage) -> None:
    label(own_shop.datasets / "demo", tags=("toy",))
    page = open_page("data", view="All datasets")
    (row,) = page.dataframe[0].value.to_dict("records")
    assert (row["dataset"], row["items"], row["caches"], row["next"]) == ("demo", 240, 2, "Pick backbones") or row[
        "runs"
    ]
    assert list(row["tags"]) == ["toy"]


def test_looking_at_five_hundred_statuses_reads_each_once(own_shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.jobs import listing

    read: list[Path] = []
    monkeypatch.setattr(listing, "read_json", lambda path, what: read.append(path) or json.loads(path.read_text()))
    assert {job.folder.name for job in listing.glance(own_shop)} == {"both", "titles"}
    first = len(read)
    listing.glance(own_shop)
    assert len(read) == first <= 2
    status = own_shop.runs / "both" / "status.json"
    status.write_text(status.read_text().replace("finished", "stopped"))
    time.sleep(0.01)
    states = {job.folder.name: job.status.state for job in listing.glance(own_shop) if job.status}
    assert states == {"both": "stopped", "titles": "finished"}
