import shutil
from dataclasses import replace

import polars as pl
import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.training.inputs import CPU, RunInputs
from iisan_core.training.states import HostStates


def test_the_bank_holds_the_ranked_items_rows(world):
    config = world.config()
    inputs = RunInputs.open(config)
    bank = inputs.states()
    cache = inputs.caches["image"]
    item = len(inputs.split.item_ids)
    states, present = bank.gather(torch.tensor([item]))
    row = cache.item_ids.index(inputs.split.item_ids[-1])
    assert torch.equal(states["image"], cache.gather([row]))
    assert present["image"].tolist() == [bool(cache.present[row])]
    assert list(bank.states) == ["image", "text"]
    assert bank.missing == ["image"]
    shape = inputs.shape(config, bank)
    assert (shape.missing, shape.max_history, shape.config) == (("image",), config.protocol.max_history, config.model)
    assert shape.widths == {"image": (16, 16, 16), "text": (16, 16, 16)}


def test_the_same_rows_wherever_they_lie(world):
    """As on a GPU: gathered from RAM and from the file, though here the device is the CPU all the same."""
    inputs = RunInputs.open(world.config())
    whole = inputs.states(where="device")
    mapped = inputs.states(where="mapped")
    caches = {name: HostStates(CPU, states) for name, states in whole.states.items()}
    in_memory = replace(whole, states=caches)
    assert [bank.where for bank in (whole, in_memory, mapped)] == ["memory", "memory", "mapped"]
    assert whole.nbytes == in_memory.nbytes == mapped.nbytes == inputs.placement(CPU).nbytes
    batches = [torch.tensor([3, 1]), torch.tensor([2]), *whole.blocks(7)]
    for bank in (in_memory, mapped):
        assert {name: tuple(s.shape) for name, s in bank.states.items()} == {
            name: tuple(s.shape) for name, s in whole.states.items()
        }
        for items, (states, present) in zip(batches, bank.gathered(batches), strict=True):
            for found, expected in zip((states, present), whole.gather(items), strict=True):
                assert found.keys() == expected.keys()
                assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_whole_states_are_read_block_by_block(world, monkeypatch):
    inputs = RunInputs.open(world.config())
    at_once = inputs.states().states
    monkeypatch.setattr("iisan_core.training.states.BLOCK_BYTES", 700)
    assert all(torch.equal(states, at_once[name]) for name, states in inputs.states().states.items())


def test_without_room_they_stay_in_the_file(world, monkeypatch):
    monkeypatch.setattr("iisan_core.training.states.free_ram", lambda: 1000)
    assert RunInputs.open(world.config()).states().where == "mapped"


def test_counts_of_the_data(world):
    inputs = RunInputs.open(world.config())
    facts = inputs.describe()
    assert facts["dataset"] == "tiny world"
    assert facts["users"] == world.dataset.interactions["user_id"].n_unique()
    log = world.dataset.interactions
    assert facts["interactions"] == log.height
    assert facts["training_interactions"] == log.height - 2 * facts["users"]
    assert facts["items"] == world.dataset.items.height
    paper = {"training": "last", "catalogue": "interacted", "masked": "kept"}
    kept = log.group_by("user_id").len()["len"].clip(upper_bound=4 + 3).sum()
    assert RunInputs.open(world.config(protocol=paper)).describe()["interactions"] == kept
    assert facts["backbones"]["image"]["items_without"] == world.dataset.items["image"].null_count()
    assert facts["backbones"]["text"]["items_without"] == 0


def opened(world, **changes):
    return RunInputs.open(world.config().model_copy(update=changes))


def test_a_missing_dataset_or_cache_is_refused(world, tmp_path):
    with pytest.raises(RefusedError, match=r"no dataset folder at .*absent; make one with"):
        opened(world, dataset=tmp_path / "absent")
    with pytest.raises(RefusedError, match=r"no hidden-state cache at .*absent"):
        opened(world, caches={"text": tmp_path / "absent"})


def test_a_cache_under_another_modalitys_name_is_refused(world):
    with pytest.raises(RefusedError, match=r"caches.image: .* holds states of modality 'text'; name it caches.text"):
        opened(world, caches={"image": world.caches["text"]})


def test_an_unfinished_cache_is_refused(world, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(world.caches["text"], folder)
    manifest = read_json(folder / "manifest.json", what="manifest")
    write_json(folder / "manifest.json", manifest | {"complete": False})
    with pytest.raises(RefusedError, match="is unfinished; run the same `iisan extract` again"):
        opened(world, caches={"text": folder})


def changed_dataset(world, tmp_path, **columns):
    folder = tmp_path / "dataset"
    shutil.copytree(world.dataset.folder, folder)
    world.dataset.items.with_columns(**columns).write_parquet(folder / "items.parquet")
    return folder


@pytest.mark.usefixtures("by_hand")
def test_a_title_changed_after_the_extraction_is_refused(world, tmp_path):
    folder = changed_dataset(world, tmp_path, title=pl.col("title").replace("thing 7", "thing seven"))
    with pytest.raises(
        RefusedError, match=r"1 items are new .* another text than .*the first is 'i07'; run `iisan ext"
    ):
        opened(world, dataset=folder)
    opened(world, dataset=folder, caches={"image": world.caches["image"]})


def test_a_picture_changed_after_the_extraction_is_refused(world, tmp_path):
    folder = changed_dataset(world, tmp_path)
    (folder / world.dataset.items["image"][7]).write_bytes(b"another")
    with pytest.raises(RefusedError, match="another picture than at extraction, the first is 'i07'"):
        opened(world, dataset=folder)


@pytest.mark.usefixtures("by_hand")
def test_a_cache_of_another_catalogue_is_refused(world, tmp_path):
    folder = changed_dataset(world, tmp_path, item_id=pl.col("item_id").str.replace("i", "x"))
    log = world.dataset.interactions.with_columns(item_id=pl.col("item_id").str.replace("i", "x"))
    log.write_parquet(folder / "interactions.parquet")
    with pytest.raises(RefusedError, match="60 items are new there"):
        opened(world, dataset=folder)


def test_the_model_reads_the_layers_that_it_is_told(world):
    config = world.config(model={"layers": {"text": "0,-1"}})
    inputs = RunInputs.open(config)
    shape = inputs.shape(config, inputs.states())
    assert (shape.widths["text"], shape.kept) == ((16, 16, 16), {"text": (0, 2)})
    with pytest.raises(RefusedError, match=r"layer 3 does not exist: the encoder has layers 0 to 2"):
        inputs.shape(world.config(model={"layers": {"text": "3"}}), inputs.states())


def test_whoever_asks_for_modality_dropout_gets_stand_ins(world):
    config = world.config(model={"modality_dropout": 0.2})
    inputs = RunInputs.open(config)
    assert inputs.shape(config, inputs.states()).missing == ("image", "text")
