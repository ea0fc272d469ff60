"""Recommendations for everybody: the answers of `recommend`, as a table and as files that outlast their writer."""

from collections import deque
from itertools import islice

import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from iisan_core import BulkRequest, Recommender, RefusedError
from iisan_core.serving import bulk_files
from iisan_core.serving.item_ids import condition_of

pytestmark = pytest.mark.usefixtures("one_thread")

READERS = {
    "parquet": pl.read_parquet,
    "csv": lambda path: pl.read_csv(path, schema_overrides={"rank": pl.Int32, "score": pl.Float32}),
    "jsonl": lambda path: pl.read_ndjson(path, schema_overrides={"rank": pl.Int32, "score": pl.Float32}),
}


def as_rows(users, answers):
    rows = [
        (u, n, item.item_id, item.score)
        for u, answer in zip(users, answers, strict=True)
        for n, item in enumerate(answer, 1)
    ]
    schema = {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_everybody_gets_what_recommend_answers(recommender):
    users = recommender.dataset.interactions["user_id"].unique(maintain_order=True).to_list()
    found = recommender.recommend_frame(BulkRequest(k=7))
    assert_frame_equal(found, as_rows(users, recommender.recommend(users=users, k=7)), rel_tol=1e-5)
    assert found.schema == {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32}
    some = ["u05", "u01", "u05"]
    found = recommender.recommend_frame(BulkRequest(users=some, k=3, exclude_seen=False))
    wanted = as_rows(some[:2], recommender.recommend(users=some[:2], k=3, exclude_seen=False))
    assert_frame_equal(found, wanted, rel_tol=1e-5)


def test_before_the_tests_item(recommender):
    users = ["u03", "u04"]
    found = recommender.recommend_frame(BulkRequest(users=users, view="evaluation", k=4))
    histories = [recommender.held_back(user).history for user in users]
    assert_frame_equal(found, as_rows(users, recommender.recommend(histories=histories, k=4)), rel_tol=1e-5)
    everybody = recommender.recommend_frame(BulkRequest(view="evaluation", k=4))
    assert_frame_equal(everybody.filter(pl.col("user_id").is_in(users)), found, rel_tol=1e-5)


def test_parts_sum_to_the_score_and_are_the_explanations(recommender, several):
    found = recommender.recommend_frame(BulkRequest(users=["u00", "u01"], k=60, parts=True))
    parts = [name for name in found.columns if name.startswith("part_")]
    assert_frame_equal(found.select(pl.sum_horizontal(parts).alias("score")), found.select("score"), abs_tol=1e-4)
    if set(parts) & {"part_member_1"}:
        assert parts[:2] == ["part_member_1", "part_member_2"]
        return
    row = found.row(1, named=True)
    why = recommender.explain(row["item_id"], user=row["user_id"])
    assert parts == ["part_" + part.name.replace(" ", "_") for part in why.parts]
    assert [row[name] for name in parts] == pytest.approx([part.score for part in why.parts], abs=1e-4)
    if "part_together" in parts:
        assert found["part_together"].n_unique() > 2


def test_only_some_items_and_none_that_are_excluded(recommender):
    only = [f"i{n:02}" for n in range(30)]
    own = pl.DataFrame({"user_id": ["u01", "u99", "u01"], "item_id": ["i02", "i03", "i04"]})
    condition = condition_of("title LIKE '%2%' OR title LIKE '%4%'")
    found = recommender.recommend_frame(
        BulkRequest(users=["u00", "u01"], k=60, exclude_seen=False, candidates=only, filter=condition, exclude=own)
    )
    left = [item for item in only if set(item) & {"2", "4"} and item not in ("i02", "i04")]
    assert sorted(found.filter(user_id="u01")["item_id"]) == left
    assert sorted(found.filter(user_id="u00")["item_id"]) == sorted([*left, "i02", "i04"])
    for_all = recommender.recommend_frame(
        BulkRequest(k=60, exclude_seen=False, candidates=only, exclude=own.select("item_id"))
    )
    assert set(for_all["item_id"]) == set(only) - {"i02", "i03", "i04"}


def test_histories_as_rows_and_as_lists(recommender):
    rows = pl.DataFrame({"user_id": ["b", "a", "b"], "item_id": ["i03", "i01", "i09"]})
    lists = pl.DataFrame({"user_id": ["b", "a"], "item_id": [["i03", "i09"], ["i01"]]})
    timed = rows.with_columns(timestamp=pl.Series([5, 1, 3]), item_id=pl.Series(["i09", "i01", "i03"]))
    wanted = as_rows(["b", "a"], recommender.recommend(histories=[["i03", "i09"], ["i01"]], k=3))
    for histories in (rows, lists, timed):
        found = recommender.recommend_frame(BulkRequest(histories=histories, k=3))
        assert_frame_equal(found, wanted, rel_tol=1e-5)


def test_who_has_no_known_item_has_no_row(recommender):
    lists = pl.DataFrame(
        {"user_id": ["nobody", "a"], "item_id": [[], ["i01"]]}, schema_overrides={"item_id": pl.List(pl.String)}
    )
    assert recommender.recommend_frame(BulkRequest(histories=lists, k=3))["user_id"].to_list() == ["a"] * 3


REFUSED = [
    ({"users": ["nobody"]}, "no user 'nobody' in"),
    ({"k": 0}, "k is 0; there are 60 items"),
    ({"histories": pl.DataFrame({"user_id": ["a"]})}, "a table with the columns user_id and item_id"),
    (
        {"histories": pl.DataFrame({"user_id": ["a"], "item_id": ["lamp"]})},
        "1 of the 1 item ids in the histories .* 'lamp'",
    ),
    ({"histories": pl.DataFrame({"user_id": ["a", "a"], "item_id": [["i01"], ["i02"]]})}, "'a' has several lists"),
    ({"histories": pl.DataFrame({"user_id": ["a"], "item_id": ["i01"]}), "users": ["u00"]}, "give no users"),
    ({"exclude": pl.DataFrame({"user_id": ["u00"], "item_id": ["lamp"]})}, "in the exclusions .* the first is 'lamp'"),
    ({"exclude": pl.DataFrame({"item_id": ["lamp"]})}, "no item 'lamp'"),
    ({"candidates": ["i01"], "exclude": pl.DataFrame({"item_id": ["i01"]})}, "nothing to choose from"),
]


@pytest.mark.parametrize(("asked", "sentence"), REFUSED)
def test_what_cannot_be_answered_is_refused(finished, asked, sentence):
    with pytest.raises(RefusedError, match=sentence):
        Recommender.load(finished.path).recommend_frame(BulkRequest(**asked))


def test_exclusions_need_a_column_of_items():
    with pytest.raises(RefusedError, match="a column item_id; this one has items"):
        BulkRequest(exclude=pl.DataFrame({"items": ["i01"]}))


@pytest.mark.parametrize(
    "text", ["", "title <", "__import__('os').mkdir('x')", "price; DROP TABLE x", "SELECT 1", "(" * 300, "1 " * 9000]
)
def test_a_filter_that_is_no_condition_is_refused(text):
    with pytest.raises(RefusedError, match="the filter"):
        condition_of(text)


@pytest.mark.parametrize("text", ["title", "price < 3", "title IN (SELECT x FROM read_csv('{}'))", "1"])
def test_a_filter_on_what_is_not_there_is_refused_and_reads_no_file(finished, text, tmp_path):
    (tmp_path / "other.csv").write_text("x\nthing 1\n")
    condition = condition_of(text.format(tmp_path / "other.csv"))
    with pytest.raises(RefusedError, match="the filter is no condition on the columns item_id, title, image"):
        Recommender.load(finished.path).recommend_frame(BulkRequest(filter=condition))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk_files, "MOST_USERS", 16)
    monkeypatch.setattr(bulk_files, "LEAST_USERS", 1)


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.usefixtures("small_parts")
def test_a_file_has_what_the_table_has(recommender, ending, parts, tmp_path):
    request, out = BulkRequest(k=60, parts=parts), tmp_path / "new" / f"out.{ending}"
    steps = list(recommender.write_recommendations(request, out))
    assert [(step.done, step.path) for step in steps] == [(16 * n, None) for n in range(6)] + [(80, out)]
    found, wanted = READERS[ending](out), recommender.recommend_frame(request)
    assert found["rank"].max() < 60, "whoever knows items gets fewer"
    assert_frame_equal(found.cast(wanted.schema), wanted, rel_tol=1e-5)
    assert [path.name for path in out.parent.iterdir()] == [out.name], "nothing is left beside it"


@pytest.mark.usefixtures("small_parts")
def test_what_was_made_before_is_used_and_the_file_is_the_same(finished, tmp_path):
    recommender, request = Recommender.load(finished.path), BulkRequest(k=5)
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    deque(recommender.write_recommendations(request, whole), maxlen=0)
    broken = recommender.write_recommendations(request, out)
    assert [step.done for step in islice(broken, 3)] == [0, 16, 32]
    broken.close()
    parts = sorted((tmp_path / ".out.parquet.parts").glob("*.safetensors"))
    assert len(parts) == 2 and not out.exists()
    parts[0].write_bytes(parts[0].read_bytes()[:-1])
    steps = recommender.write_recommendations(request, out)
    assert next(steps).done == 16, "a damaged one is made anew"
    deque(steps, maxlen=0)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "whole.parquet"]


@pytest.mark.parametrize(
    "other", [{"k": 6}, {"exclude_seen": False}, {"parts": True}, {"view": "evaluation"}, {"candidates": ["i01"]},
              {"exclude": pl.DataFrame({"user_id": ["u01"], "item_id": ["i01"]})}]
)  # fmt: skip
@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_order_are_not_used(finished, other, tmp_path):
    recommender, out = Recommender.load(finished.path), tmp_path / "out.parquet"
    broken = recommender.write_recommendations(BulkRequest(**({"k": 5} | other)), out)
    deque(islice(broken, 3), maxlen=0)
    broken.close()
    steps = list(recommender.write_recommendations(BulkRequest(k=5), out))
    assert steps[0].done == 0
    assert_frame_equal(pl.read_parquet(out), recommender.recommend_frame(BulkRequest(k=5)), rel_tol=1e-5)


def test_parts_of_another_model_are_not_used(finished, everything):
    orders = [Recommender.load(run).order(BulkRequest()) for run in (finished.path, everything, finished.path)]
    first, second, same = (order.digest() for order in orders)
    assert first == same != second


def test_one_writes_to_a_file_at_a_time(finished, tmp_path):
    recommender, out = Recommender.load(finished.path), tmp_path / "out.csv"
    with (
        FileLock(tmp_path / ".out.csv.parts.lock"),
        pytest.raises(RefusedError, match=r"another process writes recommendations to .*out.csv.parts; wait until"),
    ):
        next(recommender.write_recommendations(BulkRequest(), out))


def test_files_of_other_kinds_and_links_are_refused(finished, tmp_path):
    recommender = Recommender.load(finished.path)
    with pytest.raises(RefusedError, match=r"write to a file that ends in \.parquet, \.csv, \.jsonl"):
        next(recommender.write_recommendations(BulkRequest(), tmp_path / "out.xlsx"))
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(RefusedError, match="it is a folder"):
        next(recommender.write_recommendations(BulkRequest(), tmp_path / "dir.csv"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".out.csv.parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="is a link; remove it"):
        next(recommender.write_recommendations(BulkRequest(), tmp_path / "out.csv"))
