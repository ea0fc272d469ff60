"""Recommenders of other libraries under our protocol: the same split, the same masks, the same ranks; one table.

Two steps, as RecTools asks for an older numpy than ours and so for an environment of its own:

    python -m tests.benchmarks.rivals export workspace/runs/RUN split.npz
    python -m venv rivals && rivals/bin/pip install "rectools[torch]>=0.17"
    rivals/bin/python tests/benchmarks/rivals.py run split.npz --epochs 30

`export` writes the split of a finished run and, where it reads texts, the last layer of their cache. `run` needs torch,
numpy and, for its SASRec and HSTU, RecTools. UniSRec is written out here after its paper (Hou et al., 2022: whitening
experts over text vectors, a transformer, cosine over a temperature, full softmax); it learns from this log alone, as
its pretraining on other shops is not to be had offline.

Every rival is trained with seed 0 for up to `--epochs`, measured on validation after each, stopped after `--patience`
without a gain, and tested at its best epoch; item vectors have 128 numbers, all else is its own default.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

K = 10
WIDTH = 128
SUBSETS = ("valid", "test")
Measure = Callable[[str], np.ndarray]
"""Subset → rank of each measured user's target, K + 1 for any beyond K."""


@dataclass(frozen=True)
class Task:
    """What `export` wrote: item numbers count from 1, histories are whole and oldest first."""

    items: int
    max_history: int
    train: list[np.ndarray]
    history: dict[str, list[np.ndarray]]
    """What is known of each measured user before the target."""
    users: dict[str, np.ndarray]
    """Row of `train` of each measured user."""
    targets: dict[str, np.ndarray]
    texts: np.ndarray | None
    """[N + 1, D]; row 0 is padding."""


def export(run: Path, out: Path) -> None:
    """Write the split of a run, and the last cached layer of its texts."""
    from iisan_core.runs.run_folder import RunFolder
    from iisan_core.training.inputs import RunInputs

    inputs = RunInputs.open(RunFolder.open(run).config())
    split = inputs.split
    arrays = {"items": np.array(len(split.item_ids)), "max_history": np.array(split.max_history)}
    arrays |= _flat("train", split.train)
    for subset in SUBSETS:
        arrays |= _flat(f"history_{subset}", split.history(subset))
        arrays |= {f"targets_{subset}": split.targets(subset), f"users_{subset}": split.measured[subset]}
    if "text" in inputs.caches:
        cache = inputs.caches["text"]
        states = cache.gather(cache.rows(split.item_ids)).float().numpy()[:, -cache.manifest.widths[-1] :]
        arrays["texts"] = np.concatenate([np.zeros_like(states[:1]), states])
    np.savez(out, **arrays)


def _flat(name: str, rows) -> dict[str, np.ndarray]:
    return {name: rows.flat()[1], f"{name}_lengths": rows.lengths}


def load(path: Path) -> Task:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    rows = {n: np.split(arrays[n], arrays[f"{n}_lengths"].cumsum()[:-1]) for n in arrays if f"{n}_lengths" in arrays}
    by_subset = {kind: {s: arrays[f"{kind}_{s}"] for s in SUBSETS} for kind in ("users", "targets")}
    return Task(
        items=int(arrays["items"]),
        max_history=int(arrays["max_history"]),
        train=rows["train"],
        history={subset: rows[f"history_{subset}"] for subset in SUBSETS},
        texts=arrays.get("texts"),
        **by_subset,
    )


def figures(ranks: np.ndarray) -> dict[str, float]:
    """HR@10 and NDCG@10, × 100, as `iisan_core.evaluation.metrics` has them."""
    hits = ranks <= K
    return {"HR@10": 100 * hits.mean(), "NDCG@10": 100 * (hits / np.log2(ranks + 1.0)).mean()}


def ranks_of_scores(scores: np.ndarray, history: Sequence[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Rank among all items but those of the history, ties against the target; scores [B, N + 1]."""
    positive = scores[np.arange(len(targets)), targets].copy()
    for row, seen in zip(scores, history, strict=True):
        row[seen] = -np.inf
    scores[:, 0] = -np.inf
    again = np.array([target in seen for target, seen in zip(targets, history, strict=True)])
    scores[np.arange(len(targets)), targets] = -np.inf
    ranks = 1 + (scores >= positive[:, None]).sum(axis=1)
    return np.where(again, K + 1, np.minimum(ranks, K + 1))


def ranks_of_lists(found: Sequence[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Place of the target in each user's list of at most K items, best first."""
    places = [np.flatnonzero(row == target) for row, target in zip(found, targets, strict=True)]
    return np.array([place[0] + 1 if len(place) else K + 1 for place in places])


def of_rectools(name: str, task: Task) -> Iterator[Measure]:
    """Trains one epoch of RecTools' SASRec or HSTU per step, with its own defaults."""
    import pandas as pd
    from pytorch_lightning import Trainer, seed_everything
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import HSTUModel, SASRecModel

    def dataset(rows: Sequence[np.ndarray], users: np.ndarray) -> Dataset:
        lengths = [len(row) for row in rows]
        frame = pd.DataFrame({Columns.User: np.repeat(users, lengths), Columns.Item: np.concatenate(rows)})
        order = np.concatenate([np.arange(n) for n in lengths])
        frame[Columns.Datetime] = pd.Timestamp("2020-01-01") + pd.to_timedelta(
            order, unit="D"
        )  # only the order is known
        return Dataset.construct(frame.assign(**{Columns.Weight: 1.0}))

    def trainer(**_: object) -> Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return Trainer(max_epochs=1, enable_model_summary=False, accelerator="auto", devices=1, **quiet)

    seed_everything(0)
    shape = {"n_factors": WIDTH, "session_max_len": task.max_history, "get_trainer_func": trainer}
    model = {
        "SASRec": lambda: SASRecModel(**shape),
        "HSTU": lambda: HSTUModel(**shape, relative_time_attention=False),  # the split has no times
    }[name]()
    everybody = np.arange(len(task.train))
    training = dataset(task.train, everybody)
    known = {subset: dataset(task.history[subset], task.users[subset]) for subset in SUBSETS}

    def measure(subset: str) -> np.ndarray:
        users = task.users[subset]
        asked = {"k": K, "filter_viewed": True, "on_unsupported_targets": "ignore"}
        table = model.recommend(users, known[subset], **asked)
        lists = {user: rows[Columns.Item].to_numpy() for user, rows in table.groupby(Columns.User, sort=False)}
        return ranks_of_lists([lists.get(user, np.empty(0)) for user in users], task.targets[subset])

    while True:
        model.fit_partial(training, min_epochs=1, max_epochs=1)
        yield measure


class UniSRec(nn.Module):
    """Text vectors through a mixture of whitening experts, and a transformer over them."""

    TEMPERATURE, EXPERTS = 0.07, 8

    def __init__(self, texts: Tensor, *, positions: int) -> None:
        super().__init__()
        self.register_buffer("texts", texts)
        self.shift = nn.Parameter(torch.zeros(self.EXPERTS, texts.shape[1]))
        self.expert = nn.Parameter(torch.randn(self.EXPERTS, texts.shape[1], WIDTH) * 0.02)
        self.gate = nn.Linear(texts.shape[1], self.EXPERTS, bias=False)
        self.position = nn.Embedding(positions, WIDTH)
        self.norm, self.dropout = nn.LayerNorm(WIDTH), nn.Dropout(0.5)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 256, 0.5, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def vectors(self) -> Tensor:
        """All items, unit length, [N + 1, E]."""
        texts = F.dropout(self.texts, 0.2, self.training)
        shares = self.gate(texts).softmax(dim=1)  # [N + 1, experts]
        parts = [shares[:, [e]] * ((texts - self.shift[e]) @ self.expert[e]) for e in range(self.EXPERTS)]
        return torch.stack(parts).sum(dim=0)

    def forward(self, vectors: Tensor, sequences: Tensor) -> Tensor:
        """Left-padded item numbers [B, S] → states of unit length [B, S, E]."""
        S = sequences.shape[1]
        causal = torch.ones(S, S, dtype=torch.bool, device=sequences.device).triu(1)
        padded = (sequences == 0)[:, None] & ~torch.eye(S, dtype=torch.bool, device=sequences.device)
        x = self.dropout(self.norm(vectors[sequences] + self.position.weight[-S:]))
        mask = (causal | padded).repeat_interleave(2, dim=0)  # a head each
        return F.normalize(self.encoder(x, mask=mask), dim=2)


def of_unisrec(task: Task) -> Iterator[Measure]:
    """One epoch per step: every target of every user once, in windows of S + 1."""
    assert task.texts is not None, "UniSRec reads texts; export a run that does"
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    S = task.max_history
    model = UniSRec(torch.from_numpy(task.texts), positions=S).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    windows = torch.from_numpy(padded([w for row in task.train for w in windows_of(row, S)], S + 1))
    order = np.random.default_rng(0)

    @torch.no_grad()
    def measure(subset: str) -> np.ndarray:
        model.eval()
        vectors, ranks = model.vectors(), []
        table, history = F.normalize(vectors, dim=1), task.history[subset]
        for start in range(0, len(history), 512):
            rows = history[start : start + 512]
            states = model(vectors, torch.from_numpy(padded(rows, S)).to(device))[:, -1]
            scores = (states @ table.T).cpu().numpy()
            ranks.append(ranks_of_scores(scores, rows, task.targets[subset][start : start + 512]))
        return np.concatenate(ranks)

    while True:
        model.train()
        for chosen in torch.from_numpy(order.permutation(len(windows))).split(128):
            batch = windows[chosen].to(device)
            vectors = model.vectors()
            states, targets = model(vectors, batch[:, :-1]), batch[:, 1:]
            real = batch[:, :-1] > 0
            logits = states[real] @ F.normalize(vectors[1:], dim=1).T / model.TEMPERATURE
            F.cross_entropy(logits, targets[real] - 1).backward()
            optimizer.step()
            optimizer.zero_grad()
        yield measure


def windows_of(row: np.ndarray, max_history: int) -> list[np.ndarray]:
    """Windows of S + 1 from the newest on, overlapping in one item."""
    ends = range(len(row), 1, -max_history)
    return [row[max(0, end - max_history - 1) : end] for end in ends]


def padded(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """The newest `length` of each row, left-padded."""
    out = np.zeros((len(rows), length), dtype=np.int64)
    for line, row in zip(out, rows, strict=True):
        newest = row[-length:]
        line[length - len(newest) :] = newest
    return out


RIVALS: dict[str, Callable[[Task], Iterator[Measure]]] = {
    "RecTools SASRec": lambda task: of_rectools("SASRec", task),
    "RecTools HSTU": lambda task: of_rectools("HSTU", task),
    "UniSRec": of_unisrec,
}


def train(steps: Iterator[Measure], *, epochs: int, patience: int) -> dict[str, float]:
    """Train until patience or epochs run out: figures of validation and test at the best epoch, and seconds."""
    best: dict[str, float] = {"valid_HR@10": -1.0}
    seconds: list[float] = []
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        measure = next(steps)
        seconds.append(time.perf_counter() - started)
        valid = figures(measure("valid"))
        if valid["HR@10"] > best["valid_HR@10"]:
            test = figures(measure("test"))
            best = {f"valid_{n}": v for n, v in valid.items()} | {f"test_{n}": v for n, v in test.items()}
            best["best_epoch"] = epoch
        if epoch - best["best_epoch"] >= patience:
            break
    return best | {"epochs": epoch, "seconds_per_epoch": float(np.median(seconds))}


def as_markdown(rows: dict[str, dict[str, float]]) -> str:
    """The rivals' figures as a table."""
    columns = ("test_HR@10", "test_NDCG@10", "valid_HR@10", "best_epoch", "seconds_per_epoch")
    head = " | ".join(column.replace("_", " ") for column in columns)
    lines = [f"| rival | {head} |", "| --- |" + " ---: |" * len(columns)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[column]:.2f}" for column in columns) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    writing = verbs.add_parser("export")
    writing.add_argument("run", type=Path)
    writing.add_argument("out", type=Path)
    running = verbs.add_parser("run")
    running.add_argument("task", type=Path)
    running.add_argument("--rival", action="append", choices=RIVALS, help="unset: all")
    running.add_argument("--epochs", type=int, default=30)
    running.add_argument("--patience", type=int, default=5)
    running.add_argument("--json", type=Path, help="write all figures there")
    asked = parser.parse_args(arguments)
    if asked.verb == "export":
        export(asked.run, asked.out)
        return
    warnings.simplefilter("ignore")  # of the rivals' libraries
    task, rows = load(asked.task), {}
    for name in asked.rival or RIVALS:
        rows[name] = train(RIVALS[name](task), epochs=asked.epochs, patience=asked.patience)
        sys.stderr.write(f"{name} {json.dumps(rows[name])}\n")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(as_markdown(rows))


if __name__ == "__main__":
    main()
