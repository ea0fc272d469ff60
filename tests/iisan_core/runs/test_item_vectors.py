import pytest
import torch
from safetensors.torch import load_file, save_file

from iisan_core.errors import RefusedError
from iisan_core.model.inference import Contributions, item_contributions, item_table
from iisan_core.model.saving import load_model
from iisan_core.runs.results import load_parts, save_parts
from iisan_core.training.inputs import RunInputs

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = ["a", "b"]
TABLE = torch.arange(6.0).view(3, 2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_parts_and_bias_sum_to_the_vectors(finished, precision):
    bank = RunInputs.open(finished.config()).states()
    model = load_model(finished.best)
    table = item_table(model, bank, precision=precision)
    parts = item_contributions(model, bank, table, precision=precision)
    assert list(parts.towers) == ["image", "text", "inter"]
    assert torch.equal(parts.bias, model.items.fusion.bias)
    torch.testing.assert_close(sum(parts.towers.values())[1:] + parts.bias, table[1:], rtol=1e-6, atol=1e-6)
    assert not torch.stack(list(parts.towers.values()))[:, 0].any()


def test_a_finished_run_keeps_the_parts_of_its_vectors(finished):
    table = load_file(finished.item_vectors)["items"]
    kept = load_file(finished.item_parts)
    bias = kept.pop("bias")
    torch.testing.assert_close(sum(kept.values())[1:] + bias, table[1:], rtol=1e-6, atol=1e-6)


def test_what_is_saved_is_loaded(tmp_path):
    parts = Contributions({"text": TABLE - 1, "inter": TABLE + 1}, torch.ones(2))
    save_parts(parts, tmp_path / "parts", item_ids=IDS)
    loaded = load_parts(tmp_path / "parts", table=TABLE, item_ids=IDS)
    assert torch.equal(loaded.bias, parts.bias)
    assert {name: t.tolist() for name, t in loaded.towers.items()} == {n: t.tolist() for n, t in parts.towers.items()}


def test_absent_or_broken_parts_are_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"no parts of the item vectors at .*before these were kept; train it again"):
        load_parts(tmp_path / "parts", table=TABLE, item_ids=IDS)
    (tmp_path / "parts").write_bytes(b"x")
    with pytest.raises(RefusedError, match="holds no parts of item vectors"):
        load_parts(tmp_path / "parts", table=TABLE, item_ids=IDS)


@pytest.mark.parametrize(
    ("parts", "item_ids"),
    [
        (Contributions({"text": TABLE}, torch.ones(2)), ["a", "c"]),
        (Contributions({"text": TABLE[:2]}, torch.ones(2)), IDS),
        (Contributions({"text": TABLE}, torch.ones(3)), IDS),
        (Contributions({}, torch.ones(2)), IDS),
    ],
)
def test_parts_of_other_vectors_are_refused(tmp_path, parts, item_ids):
    save_parts(parts, tmp_path / "parts", item_ids=item_ids)
    with pytest.raises(RefusedError, match="holds parts of other item vectors than"):
        load_parts(tmp_path / "parts", table=TABLE, item_ids=IDS)


def test_parts_without_a_bias_are_refused(tmp_path):
    save_file({"text": TABLE.clone()}, tmp_path / "parts")
    with pytest.raises(RefusedError, match="holds parts of other item vectors"):
        load_parts(tmp_path / "parts", table=TABLE, item_ids=IDS)
