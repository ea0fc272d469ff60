"""A run's recommender and its answers, kept while they are asked for; torch is imported only here, when needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import streamlit as st
from safetensors.numpy import load_file

from app.charts.items import project
from app.ui.readers import RunFacts, Stamp, dataset_stamp, stamp
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from iisan_core.model.recommender import Gates
    from iisan_core.serving.explanation import Explanation
    from iisan_core.serving.recommender import Recommender


@dataclass(frozen=True)
class Answer:
    """A recommended item, and what each part of its vector adds to its score above the catalogue's mean."""

    item_id: str
    score: float
    parts: dict[str, float]


def recommender_of(run: RunFacts) -> Recommender:
    """The run's recommender."""
    return _recommender(str(run.run.path), _changed(run))


def answers(run: RunFacts, history: tuple[str, ...], *, k: int) -> list[Answer]:
    """The best `k` items after a history, best first."""
    return _answers(str(run.run.path), _changed(run), history, k, recommender_of(run))


def explanation(run: RunFacts, item_id: str, history: tuple[str, ...]) -> Explanation:
    """Why an item scores what it scores after a history."""
    return recommender_of(run).explain(item_id, history=history)


def gates(run: RunFacts) -> list[Gates]:
    """The learned gates of the run's best model."""
    return _gates(str(run.run.path), stamp(run.run.best / "model.safetensors"))


def item_points(run: RunFacts) -> tuple[pl.DataFrame, float]:
    """Every ranked item on a plane: `item_id`, `x`, `y`; and the share of the variance that the plane holds."""
    return _points(str(run.run.path), _changed(run), recommender_of(run).item_ids)


def _changed(run: RunFacts) -> Stamp:
    assert run.config is not None, "only finished runs come here"
    vectors = stamp(run.run.item_vectors, run.run.best / "model.safetensors")
    return vectors + dataset_stamp(run.config.dataset)


@st.cache_resource(max_entries=4, show_spinner="Loading the run …")
def _recommender(path: str, changed: Stamp) -> Recommender:
    import torch

    from iisan_core.serving.recommender import Recommender

    torch.set_num_threads(1)  # answers are small; beside a training, threads that wait for one another take longer
    return Recommender.load(path)


@st.cache_resource(max_entries=200, show_spinner=False)
def _answers(path: str, changed: Stamp, history: tuple[str, ...], k: int, _recommender: Recommender) -> list[Answer]:
    (found,) = _recommender.recommend(histories=[history], k=min(k, len(_recommender.item_ids)))
    return [Answer(item.item_id, item.score, _parts(_recommender, item.item_id, history)) for item in found]


def _parts(recommender: Recommender, item_id: str, history: tuple[str, ...]) -> dict[str, float]:
    """None for a run that keeps no parts of its vectors."""
    try:
        found = recommender.explain(item_id, history=history).parts
    except IisanError:
        return {}
    return {part.name: part.above_mean for part in found if part.score != part.catalogue_mean}


@st.cache_resource(max_entries=16, show_spinner=False)
def _gates(path: str, changed: Stamp) -> list[Gates]:
    from iisan_core.model.recommender import gates_of
    from iisan_core.model.saving import load_model

    return gates_of(load_model(RunFolder.open(path).best))


@st.cache_resource(max_entries=8, show_spinner="Drawing the map …")
def _points(path: str, changed: Stamp, _item_ids: list[str]) -> tuple[pl.DataFrame, float]:
    vectors = load_file(RunFolder.open(path).item_vectors)["items"][1:]
    plane, held = project(vectors)
    return pl.DataFrame({"item_id": _item_ids, "x": plane[:, 0], "y": plane[:, 1]}), held
