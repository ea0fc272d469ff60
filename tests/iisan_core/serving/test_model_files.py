"""Encoders as files: the run's own vectors and states to 1e-4, and a program beside them that needs nothing of ours."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from iisan_core import Recommender, RefusedError
from iisan_core.config.schema import ModelConfig
from iisan_core.model.recommender import USER_ENCODERS, ModelShape, RecommenderModel
from iisan_core.serving import model_files
from iisan_core.serving.model_files import export_model
from iisan_core.training.inputs import RunInputs

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.long]

WIDTHS = {"image": (16, 16), "text": (16, 12)}


@pytest.fixture(scope="module")
def exported(everything, tmp_path_factory):
    """A run with all parts of a score, as ONNX."""
    folder = tmp_path_factory.mktemp("onnx") / "out"
    return export_model(Recommender.load(everything), folder, "onnx"), folder


def random_histories(users, length, width, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    real = torch.arange(length) >= torch.randint(0, length, (users, 1), generator=draw)
    return torch.randn(users, length, width, generator=draw), real


def states_by_onnx(path, vectors, real):
    session = onnxruntime.InferenceSession(path)
    assert [given.name for given in session.get_inputs()] == ["vectors", "real"]
    assert [made.name for made in session.get_outputs()] == ["state"]
    return session.run(None, {"vectors": vectors.numpy(), "real": real.numpy()})[0]


@pytest.mark.parametrize("encoder", USER_ENCODERS)
def test_states_of_any_number_of_users_and_any_length(encoder, tmp_path):
    torch.manual_seed(0)
    config = ModelConfig(bottleneck=4, embedding=8, blocks=2, user_encoder=encoder)
    model = RecommenderModel(ModelShape(widths=WIDTHS, max_history=5, config=config)).eval()
    program = model_files._user_encoder(model)
    model_files._write_onnx(program, tmp_path / "users.onnx", "state")
    for users, length in ((3, 2), (1, 1), (7, 5), (40, 4)):
        vectors, real = random_histories(users, length, model.width)
        with torch.no_grad():
            wanted = model.newest(vectors, real)
            np.testing.assert_allclose(program.module()(vectors, real), wanted, atol=1e-4)
        np.testing.assert_allclose(states_by_onnx(tmp_path / "users.onnx", vectors, real), wanted, atol=1e-4)


def test_item_vectors_are_the_runs_own(exported, everything, world):
    _, folder = exported
    inputs = RunInputs.open(world.config()).states()
    states, present = inputs.gather(torch.arange(1, 61))
    session = onnxruntime.InferenceSession(folder / "item_encoder.onnx")
    named = {f"states_{name}": tensor.float().numpy() for name, tensor in states.items()}
    named |= {f"present_{name}": tensor.numpy() for name, tensor in present.items()}
    assert {given.name for given in session.get_inputs()} <= set(named)
    given = {name.name: named[name.name] for name in session.get_inputs()}
    (made,) = session.run(["vector"], given)
    np.testing.assert_allclose(made, np.load(folder / "items.npy")[1:], atol=1e-4)
    few = {name: rows[:7] for name, rows in given.items()}
    np.testing.assert_allclose(session.run(["vector"], few)[0], made[:7], atol=1e-4)


def test_states_are_the_runs_own(exported, everything):
    _, folder = exported
    recommender = Recommender.load(everything)
    table, ids = np.load(folder / "items.npy"), json.loads((folder / "item_ids.json").read_text())
    assert ids == recommender.item_ids
    history = recommender.history("u03")[-4:]
    vectors = torch.from_numpy(table[[ids.index(item) + 1 for item in history]]).unsqueeze(0)
    made = states_by_onnx(folder / "user_encoder.onnx", vectors, torch.ones(1, len(history), dtype=torch.bool))
    np.testing.assert_allclose(made, recommender.user_vectors(["u03"])["vector"].to_numpy(), atol=1e-4)


def test_the_version_of_the_operators_is_named(exported):
    says, folder = exported
    for name in says["encoders"]:
        model = onnx.load(folder / name)
        onnx.checker.check_model(model)
        assert {s.domain: s.version for s in model.opset_import}[""] == says["opset"] == model_files.OPSET


def served(folder, history):
    """What the program in the folder answers, in a process that cannot import this package."""
    program = (
        "import runpy, sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('iisan_core', 'data_tools', 'app'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program, str(folder / "serve.py"), *history]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def same_answers(recommender, folder):
    history = recommender.history("u05")
    (wanted,) = recommender.recommend(histories=[history], k=10)
    found = served(folder, history)
    assert [item for item, _ in found] == [item.item_id for item in wanted]
    np.testing.assert_allclose([score for _, score in found], [item.score for item in wanted], rtol=1e-4)


def test_the_program_serves_without_this_package(exported, everything):
    _, folder = exported
    assert "together.npz" in (folder / "serve.py").read_text()
    same_answers(Recommender.load(everything), folder)


def test_a_blend_of_runs_has_an_encoder_a_member_and_is_served_by_torch_export(several, tmp_path):
    recommender = Recommender.load(several)
    says = export_model(recommender, tmp_path / "out", "torch-export")
    assert says["encoders"] == ["user_encoder.pt2", "item_encoder_1.pt2", "item_encoder_2.pt2"]
    assert says["opset"] is None
    same_answers(recommender, tmp_path / "out")


def test_other_forms_and_a_missing_package_are_refused(finished, tmp_path, monkeypatch):
    recommender = Recommender.load(finished.path)
    with pytest.raises(RefusedError, match="written as onnx, torch-export; 'pickle' is none of them"):
        export_model(recommender, tmp_path / "out", "pickle")
    monkeypatch.setattr(model_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[onnx\]"'):
        export_model(recommender, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()
