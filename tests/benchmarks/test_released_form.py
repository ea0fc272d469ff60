"""The slow form is the same method: its loss and its metrics are ours, so that a ratio of times means something."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from app.bench.random_work import Size, random_split
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import make_batch
from iisan_core.training.states import ItemStates
from iisan_core.training.step import Stepper
from tests.benchmarks.released_evaluation import evaluate
from tests.benchmarks.released_items import TrainingSequences, write_item
from tests.benchmarks.released_model import ReleasedModel
from tests.benchmarks.released_users import ReleasedUsers

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS, WIDTH = [0, 2, 4], 12
ALL_LAYERS = 5
SIZE = Size(items=40, users=30, layers=len(LAYERS), text_width=WIDTH, image_width=WIDTH, max_history=6)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["gelu", "relu"])
def work(tmp_path, request):
    """Files of all layers, the bank of the kept ones, the split, and our model with wide weights."""
    torch.manual_seed(0)
    states = {name: torch.randn(SIZE.items, ALL_LAYERS, WIDTH) for name in ("image", "text")}
    for item in range(SIZE.items):
        write_item(tmp_path, item + 1, {name: s[item] for name, s in states.items()})
    bank = ItemStates(
        {name: s[:, LAYERS].flatten(1) for name, s in states.items()},
        {name: torch.ones(SIZE.items, dtype=torch.bool) for name in states},
        {name: [WIDTH] * len(LAYERS) for name in states},
        numbers=torch.arange(1, SIZE.items + 1),
    )
    config = ModelConfig(bottleneck=4, embedding=8, head="stacked", dropout=0.0, activation=request.param)
    model = RecommenderModel(SIZE.shape(config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return tmp_path, bank, random_split(SIZE), model.eval()


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_the_loss_is_ours(work, batch_size):
    folder, bank, split, model = work
    released = ReleasedModel(model, layers=LAYERS)
    log_q = torch.from_numpy(split.popularity()).log().float()
    train = split.windows.take(np.arange(SIZE.users))
    sequences = TrainingSequences(train, folder)
    stepper = Stepper(model, bank, split, TrainingConfig(batch_size=batch_size, device="cpu"))
    for number, batch in enumerate(DataLoader(sequences, batch_size=batch_size)):
        start = number * batch_size
        ours = stepper.loss(make_batch(train[start : start + batch_size]))
        assert_close(released(*batch, log_q), ours, rtol=1e-5, atol=1e-6)


def test_the_gradients_are_ours(work):
    folder, bank, split, model = work
    released = ReleasedModel(model, layers=LAYERS)
    log_q = torch.from_numpy(split.popularity()).log().float()
    train = split.windows.take(np.arange(9))
    released(*next(iter(DataLoader(TrainingSequences(train, folder), batch_size=9))), log_q).backward()
    Stepper(model, bank, split, TrainingConfig(device="cpu")).loss(make_batch(train)).backward()
    theirs = {name: parameter.grad for name, parameter in released.named_parameters()}
    for name, gradient in _gradients(model).items():
        assert_close(gradient, theirs.pop(name), rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    assert not theirs


def _gradients(model):
    """Ours under the slow form's names."""
    found = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        part, _, rest = name.removeprefix("items.").partition(".")
        if name.endswith(".gate"):
            found[f"gates.{rest.removesuffix('.gate')}"] = gradient.flatten()
        elif part == "towers":
            found[f"blocks.{rest.replace('.block.', '.')}"] = gradient
        elif part == "heads":
            found[f"heads.{rest.replace('inner', '0').replace('outer', '1')}"] = gradient
        elif name.endswith("qkv.weight"):
            for which, share in zip(("query", "key", "value"), gradient.chunk(3), strict=True):
                found[name.replace("qkv", which)] = share
        else:
            found[name.removeprefix("items.")] = gradient
    return found


def test_the_metrics_are_ours_where_no_target_is_repeated(work):
    *_, split, model = work
    table = torch.randn(SIZE.items + 1, 8)
    table[0] = 0
    history, targets = split.history("test").newest(SIZE.max_history + 2), split.targets("test")
    fresh = ~(history == targets[:, None]).any(axis=1)
    hits, gains = evaluate(
        ReleasedUsers(model.users), table, history[fresh], targets[fresh], inputs=SIZE.max_history, batch_size=8
    )
    ours = summary(np.asarray(ranks_of(model, table, split, "test"))[fresh])
    assert hits == pytest.approx(ours["HR@10"], abs=1e-4)
    assert gains == pytest.approx(ours["NDCG@10"], abs=1e-4)
