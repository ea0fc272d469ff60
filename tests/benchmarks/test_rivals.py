"""Rivals are measured as we measure: the same ranks from the same scores, on the split that a run has."""

import json

import numpy as np
import pytest
import torch

from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranking import rank_scores
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.inputs import RunInputs
from tests.benchmarks import rivals


@pytest.fixture
def exported(world, tmp_path):
    config = world.config(protocol={"max_history": 3})
    RunFolder.create(tmp_path / "run", config=config, command="")
    rivals.main(["export", str(tmp_path / "run"), str(tmp_path / "split.npz")])
    return tmp_path / "split.npz", RunInputs.open(config)


def test_what_is_exported_is_the_split(exported):
    file, inputs = exported
    task, split = rivals.load(file), inputs.split
    assert (task.items, task.max_history) == (len(split.item_ids), 3)
    pairs = [(task.train, split.train), *((task.history[s], split.history(s)) for s in rivals.SUBSETS)]
    for rows, expected in pairs:
        assert [len(row) for row in rows] == expected.lengths.tolist()
        assert np.concatenate(rows).tolist() == expected.flat()[1].tolist()
    for subset in rivals.SUBSETS:
        assert task.targets[subset].tolist() == split.targets(subset).tolist()
        for row, history in zip(task.users[subset], task.history[subset], strict=True):
            assert history[: len(task.train[row])].tolist() == task.train[row].tolist()
    cache = inputs.caches["text"]
    last = cache.gather(cache.rows(split.item_ids))[:, -cache.manifest.widths[-1] :].float()
    assert torch.equal(torch.from_numpy(task.texts[1:]), last) and not task.texts[0].any()


def test_windows_are_those_that_we_train_on(exported):
    file, inputs = exported
    task, ours = rivals.load(file), inputs.split.windows
    theirs = rivals.padded([w for row in task.train for w in rivals.windows_of(row, 3)], 4)
    assert sorted(theirs.tolist()) == sorted(ours.take(np.arange(len(ours))).tolist())


def test_ranks_and_metrics_are_ours():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, size=(30, 25)).astype(np.float32)  # ties are common
    history = [rng.choice(np.arange(1, 25), 5, replace=False) for _ in range(30)]
    targets = rng.integers(1, 25, size=30)
    seen = torch.from_numpy(np.stack(history))
    ours = rank_scores(torch.from_numpy(scores.copy()), seen=seen, targets=torch.from_numpy(targets)).numpy()
    theirs = rivals.ranks_of_scores(scores.copy(), history, targets)
    assert theirs.tolist() == np.minimum(ours, rivals.K + 1).tolist()
    found, expected = rivals.figures(theirs), summary(ours)
    assert found == {name: pytest.approx(expected[name]) for name in found}


def test_places_in_lists():
    lists = [np.array([4, 7, 9]), np.array([1]), np.empty(0)]
    assert rivals.ranks_of_lists(lists, np.array([9, 2, 3])).tolist() == [3, 11, 11]


@pytest.mark.parametrize("rival", rivals.RIVALS)
def test_rivals_learn_the_pattern(exported, tmp_path, rival, capsys, one_thread):
    if rival.startswith("RecTools"):
        pytest.importorskip("rectools", reason="RecTools lives in an environment of its own")
    file, _ = exported
    rivals.main(["run", str(file), "--rival", rival, "--epochs", "12", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())[rival]
    guessing = 100 * 10 / 57
    # Without texts, eighty users are too few to learn sixty items well.
    assert found["valid_HR@10"] > (2 if rival == "UniSRec" else 1) * guessing
    assert capsys.readouterr().out.splitlines()[2].startswith(f"| {rival} |")
