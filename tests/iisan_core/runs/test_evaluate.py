"""Evaluation against a plain-Python count over lists and dictionaries, and what it refuses."""

import math
import shutil
from collections import Counter

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import rank_table, read_rank_table
from iisan_core.model.inference import user_table
from iisan_core.model.saving import load_model
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.results import rank_anew
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train

KS = (1, 5, 10)


def plain_users(world, protocol):
    """user → item ids, oldest first, from the log alone."""
    log = {}
    for user, item, _ in world.dataset.interactions.iter_rows():
        log.setdefault(user, []).append(item)
    return {user: items for user, items in log.items() if len(items) >= protocol.min_interactions}


def plain_ranks(run, users, item_ids, *, subset, masked):
    """user → rank of its target, one score at a time."""
    model, table = load_model(run.best), load_file(run.item_vectors)["items"]
    number = {item: n for n, item in enumerate(item_ids, start=1)}
    ranks = {}
    for user, items in users.items():
        history, target = (items[:-1], items[-1]) if subset == "test" else (items[:-2], items[-2])
        inputs = torch.tensor([[number[i] for i in history[-model.shape.max_history :]]])
        (state,) = user_table(model.users, table, inputs)
        scores = {item: float(state @ table[number[item]]) for item in item_ids}
        allowed = [i for i in item_ids if not masked or i not in history]
        others = sum(scores[i] >= scores[target] - 1e-6 for i in allowed if i != target)
        ranks[user] = 1 + others if target in allowed else len(item_ids) + 1
    return ranks


def plain_metrics(ranks):
    found = {}
    for k in KS:
        found[f"HR@{k}"] = 100 * sum(r <= k for r in ranks) / len(ranks)
        found[f"NDCG@{k}"] = 100 * sum(1 / math.log2(r + 1) for r in ranks if r <= k) / len(ranks)
        found[f"MRR@{k}"] = 100 * sum(1 / r for r in ranks if r <= k) / len(ranks)
    return found


@pytest.mark.parametrize("subset", ["valid", "test"])
@pytest.mark.parametrize("repeats", [False, True])
def test_all_users_agree_with_the_plain_count(world, finished, subset, repeats):
    config = finished.config()
    users, item_ids = plain_users(world, config.protocol), split(world.dataset, config.protocol).item_ids
    ranks = plain_ranks(finished, users, item_ids, subset=subset, masked=not repeats)
    found = evaluate(finished, ks=KS, subset=subset, repeats=repeats).row(0, named=True)
    assert {name: found[name] for name in plain_metrics([1])} == pytest.approx(plain_metrics(list(ranks.values())))
    assert (found["group"], found["users"]) == ("all", len(users))


def test_popularity_groups_agree_with_the_plain_count(world, finished):
    users = plain_users(world, finished.config().protocol)
    ranks = dict(read_rank_table(finished.ranks).select("user_id", "test").iter_rows())
    trained = Counter(item for items in users.values() for item in items[:-2])
    found = evaluate(finished, ks=KS, by="popularity", groups=3)
    for row in found.rows(named=True)[1:]:
        low, _, high = row["group"].split()[0].partition("–")
        bounds = (0, 0) if low == "cold:" else (int(low), int(high or low))
        members = [u for u, items in users.items() if bounds[0] <= trained[items[-1]] <= bounds[1]]
        assert row["users"] == len(members)
        assert {name: row[name] for name in plain_metrics([1])} == pytest.approx(
            plain_metrics([ranks[u] for u in members])
        )
    assert found["users"][0] == found["users"][1:].sum()
    assert found.height >= 3


def test_length_groups_agree_with_the_plain_count(world, finished):
    users = plain_users(world, finished.config().protocol)
    ranks = dict(read_rank_table(finished.ranks).select("user_id", "valid").iter_rows())
    found = evaluate(finished, ks=KS, by="length", groups=2, subset="valid")
    for row in found.rows(named=True)[1:]:
        low, _, high = row["group"].split()[0].partition("–")
        members = [u for u, items in users.items() if int(low) <= len(items) - 2 <= int(high or low)]
        assert row["users"] == len(members)
        assert row["HR@5"] == pytest.approx(plain_metrics([ranks[u] for u in members])["HR@5"])


def test_a_repeated_target_can_be_hit_only_without_the_mask(finished):
    ranks = pl.DataFrame(
        {
            "user_id": ["a", "b"], "valid": [1, 1], "test": [101, 3], "test_unmasked": [1, 4],
            "test_repeated": [True, False],
        }
    )  # fmt: skip
    masked = evaluate(finished, ks=(10,), by="repeat", ranks=ranks)
    assert masked["HR@10"].to_list() == [50, 100, 0]
    assert masked["group"].to_list() == ["all", "target new to the user", "target in the history"]
    assert evaluate(finished, ks=(10,), by="repeat", ranks=ranks, repeats=True)["HR@10"].to_list() == [100, 100, 100]


def test_every_row_names_run_part_and_protocol(finished):
    items = finished.results()["data"]["items"]
    (row,) = evaluate(finished).rows(named=True)
    assert (row["run"], row["part"]) == ("finished", "test")
    assert row["protocol"] == (
        f"leave-one-out: last of ≥ 5 interactions, up to 4 inputs, {items} items ranked, whole history masked, "
        "all trained"
    )
    assert row["protocol"] == finished.results()["protocol"]["name"]
    (row,) = evaluate(finished, subset="valid", repeats=True).rows(named=True)
    assert row["protocol"].startswith("leave-one-out: second last of")
    assert row["protocol"].endswith("history not masked (repeats count), all trained")


def test_the_figures_are_those_of_the_results(finished):
    (row,) = evaluate(finished).rows(named=True)
    quality = finished.results()["quality"]["test"]
    assert {name: row[name] for name in quality} == quality


def test_intervals_hold_the_mean(finished):
    (row,) = evaluate(finished, intervals=True, ks=(5, 10)).rows(named=True)
    for name in ("HR@5", "NDCG@10"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_ranking_anew_gives_the_same_ranks(finished):
    assert rank_anew(finished).equals(read_rank_table(finished.ranks))


def test_the_rank_table_tells_of_target_and_history(world, finished):
    config = finished.config()
    users = plain_users(world, config.protocol)
    parted = split(world.dataset, config.protocol)
    table = rank_table(parted, {})
    trained = Counter(item for items in users.values() for item in items[:-2])
    for row in table.rows(named=True):
        items = users[row["user_id"]]
        assert (row["test_target"], row["valid_target"]) == (items[-1], items[-2])
        assert (row["test_interactions"], row["valid_interactions"]) == (trained[items[-1]], trained[items[-2]])
        assert (row["test_history"], row["valid_history"]) == (len(items) - 1, len(items) - 2)
        assert row["test_repeated"] == (items[-1] in items[:-1])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ks": (0, 10)}, r"cut-offs k = \[0, 10\]: give whole numbers from 1 up"),
        ({"ks": ()}, r"cut-offs k = \[\]"),
        ({"by": "age"}, "groups by 'age': there are popularity, length, repeat"),
        ({"groups": 1}, "1 groups: give at least 2"),
        ({"subset": "train"}, "subset 'train': there are valid, test"),
    ],
)
def test_nonsense_is_refused(finished, options, match):
    with pytest.raises(RefusedError, match=match):
        evaluate(finished, **options)


@pytest.mark.usefixtures("by_hand")
def test_ranks_of_an_older_run_answer_what_they_can(finished, tmp_path):
    old = RunFolder(shutil.copytree(finished.path, tmp_path / "old"))
    read_rank_table(old.ranks).select("user_id", "valid", "test").write_parquet(old.ranks)
    assert evaluate(old)["users"].item() == evaluate(finished)["users"].item()
    for options in ({"repeats": True}, {"by": "popularity"}, {"by": "length"}):
        with pytest.raises(RefusedError, match=r"ranks.parquet lacks .* rank its users anew with `iisan evaluate"):
            evaluate(old, **options)
        assert evaluate(old, ranks=rank_anew(old), **options).height


def test_absent_or_broken_ranks_are_refused(finished, tmp_path):
    broken = RunFolder(shutil.copytree(finished.path, tmp_path / "broken"))
    broken.ranks.write_text("none")
    with pytest.raises(RefusedError, match="no readable Parquet file"):
        evaluate(broken)
    pl.DataFrame({"user_id": ["a"]}).write_parquet(broken.ranks)
    with pytest.raises(RefusedError, match=r"\['valid', 'test'\] not among them"):
        evaluate(broken)
    broken.ranks.unlink()
    with pytest.raises(RefusedError, match="the run has not finished"):
        evaluate(broken)


def test_ranking_a_corrupted_run_anew_corrupts_it_again(world, tmp_path):
    config = world.config(training={"epochs": 1})
    corrupted = config.model_validate(
        config.model_dump() | {"corruption": {"text": {"kind": "shuffled", "share": 1.0}}}
    )
    for _ in train(corrupted, tmp_path / "corrupted"):
        pass
    run = RunFolder.open(tmp_path / "corrupted")
    assert rank_anew(run).equals(read_rank_table(run.ranks))
