"""A search for a better configuration: trials by validation alone, finalists with several seeds, only then the test.

Its folder holds `base.yaml` (where the search starts), `space.json`, `trials.log` (Optuna's journal, in JSON),
`trials.csv`, and – as any study's – the finalists' runs with their table. What was broken off goes on where it was.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from filelock import FileLock, Timeout

from iisan_core.config.schema import RunConfig, load_config, refuse_another, save_config
from iisan_core.errors import IisanError, RefusedError
from iisan_core.experiments.run_study import StudyProgress, run_study
from iisan_core.experiments.search_space import Space, applied
from iisan_core.experiments.study import Row, Study
from iisan_core.experiments.tables import read_table
from iisan_core.files import begin_list, checked, read_json, replacing, write_json
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device
from iisan_core.training.events import EpochEnded, Event, TrainingEnded
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs
from iisan_core.training.out_of_memory import is_out_of_memory
from iisan_core.training.states import ItemStates

if TYPE_CHECKING:
    import optuna

START = "starting point"
"""The row of the configuration that the search began with."""

BASE, SPACE, JOURNAL, TRIALS, LOCK = "base.yaml", "space.json", "trials.log", "trials.csv", ".lock"

RANDOM_TRIALS = 10
"""Drawn at random before the search goes by what it has seen."""

UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 4, 3
"""Before trials are given up that are, after some epochs, worse than half of the others were by then."""

MISSING = 'a search is run by Optuna, which is not installed: pip install "iisan-workbench[search]"'


@dataclass(frozen=True)
class Budget:
    """Where a search ends: the first limit that is reached."""

    trials: int = 30
    minutes: float | None = None
    """Of all trials together, those before a break included; a trial that has begun is finished."""
    finalists: int = 2
    """Best trials that are trained with all seeds."""


def run_search(
    base: RunConfig, space: Space, folder: Path, *, budget: Budget, seeds: Sequence[int] = (0, 1, 2)
) -> Iterator[StudyProgress]:
    """Search for a better configuration than `base`, train what is best with all seeds, and write its table.

    Trials see the validation users only and keep no runs. The best of them and the starting point are then trained
    with every seed, as a study in the same folder. Raises `RefusedError` where the space does not fit the
    configuration, the folder holds another search, or one that is at work, or Optuna is not installed.
    """
    _require_optuna()
    _refuse_unsearchable(base)
    space.check(base)
    with _alone_in(folder):
        _remember(base, space, folder)
        search = _opened(folder)
        yield from _trials(search, base, space, folder, budget)
        trials = _table(search)
        with replacing(folder / TRIALS) as path:
            trials.write_csv(path)
        final, done = final_study(search, base, budget.finalists), budget.trials
        for record in run_study(final, folder, seeds=seeds):
            yield replace(record, number=record.number + done, total=record.total + done)


def final_study(search: optuna.Study, base: RunConfig, finalists: int) -> Study:
    """The starting point and the best trials, as the rows of a study."""
    whole = [t for t in search.trials if t.state.name == "COMPLETE"]
    best: dict[str, optuna.trial.FrozenTrial] = {}
    for trial in sorted(whole, key=lambda t: (-(t.value or 0), -t.user_attrs["valid_NDCG@10"], t.number)):
        best.setdefault(str(sorted(trial.params.items())), trial)
    rows = [Row(START, base, {"trial": None})]
    for trial in list(best.values())[:finalists]:
        config = applied(base, trial.params)
        if config != base:
            rows.append(Row(f"trial {trial.number}", config, {"trial": float(trial.number)}))
    return Study("search", "What did the search find, and is it better?", tuple(rows))


def winner(folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration of a finished search with the best mean validation HR@10, and its row of the table.

    The starting point stands before what is not better. Raises `RefusedError` where the search has not finished.
    """
    table = read_table(folder)
    row = table.sort("valid_HR@10", descending=True, maintain_order=True).row(0, named=True)
    base = load_config(checked(folder / BASE))
    if row["row"] == START:
        return base, row
    trial = next(t for t in _opened(folder).trials if t.number == row["trial"])
    return applied(base, trial.params), row


def trials_table(folder: Path) -> pl.DataFrame:
    """One row per trial: number, how it ended, validation figures, epochs, seconds, and its values."""
    return _table(_opened(folder))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    begin_list(folder)
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise RefusedError(f"a search is at work in {folder}; wait for it, or choose another folder") from None


def _remember(base: RunConfig, space: Space, folder: Path) -> None:
    """Write down what is searched; raises `RefusedError` where something else was."""
    base, values = base.with_absolute_paths(), space.model_dump(mode="json")
    if not (folder / BASE).exists():
        write_json(folder / SPACE, values)
        save_config(base, folder / BASE)
        return
    refuse_another(load_config(checked(folder / BASE)), base, where=folder, remedy="choose another folder")
    if read_json(checked(folder / SPACE), what="space") != values:
        raise RefusedError(f"{folder} holds a search with another space; choose another folder, or remove that one")


def _refuse_unsearchable(base: RunConfig) -> None:
    if base.baseline is not None:
        raise RefusedError(f"the baseline {base.baseline.kind} is counted, not trained; search from another preset")
    if base.start_from is not None:
        raise RefusedError(
            f"trials start from random weights, and start_from is {base.start_from}; leave it out, and train what "
            "wins from that run"
        )


def _require_optuna() -> None:
    try:
        importlib.import_module("optuna")
    except ImportError:
        raise RefusedError(MISSING) from None


def _opened(folder: Path) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=UNPRUNED_EPOCHS),
    )


def _trials(
    search: optuna.Study, base: RunConfig, space: Space, folder: Path, budget: Budget
) -> Iterator[StudyProgress]:
    """Trials until the budget is spent; what each has come to is in the journal by then."""
    from optuna.samplers import TPESampler

    _begin_or_go_on(search, base, space)
    if _spent(search, budget):
        return
    inputs = RunInputs.open(base)
    device = choose_device(base.training.device)
    where = inputs.placement(device, base.training.states).where
    states = corrupted(inputs.states(device, where=where), base.corruption)
    while not _spent(search, budget):
        done = len(_ended(search))
        # Each trial has a seed of its own, so that a search broken off draws as one that was not.
        search.sampler = TPESampler(seed=base.training.seed * 10_007 + done, n_startup_trials=RANDOM_TRIALS)
        trial = search.ask(space.distributions())
        for event in _trained(search, trial, base, inputs, states):
            yield StudyProgress(f"trial {done + 1}", done + 1, budget.trials, event)


def _begin_or_go_on(search: optuna.Study, base: RunConfig, space: Space) -> None:
    """Ask first for what was broken off, or at the very beginning for the starting point."""
    from optuna.trial import TrialState

    for broken in search.get_trials(states=(TrialState.RUNNING,)):
        search.tell(broken.number, state=TrialState.FAIL)
        search.enqueue_trial(broken.params)
    if not search.trials:
        values = base.model_dump(mode="json")
        own = {key: values[group][name] for key in space.keys for group, _, name in [key.partition(".")]}
        if all(_holds(distribution, own[key]) for key, distribution in space.distributions().items()):
            search.enqueue_trial(own)


def _holds(distribution: optuna.distributions.BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


def _ended(search: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return search.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _spent(search: optuna.Study, budget: Budget) -> bool:
    ended = _ended(search)
    seconds = sum(trial.user_attrs.get("seconds", 0.0) for trial in ended)
    return len(ended) >= budget.trials or (budget.minutes is not None and seconds >= 60 * budget.minutes)


def _trained(
    search: optuna.Study, trial: optuna.Trial, base: RunConfig, inputs: RunInputs, states: ItemStates
) -> Iterator[Event]:
    """One trial: trained, watched and told; what cannot be trained is given up with its reason."""
    from optuna.trial import TrialState

    started, last = time.perf_counter(), None
    try:
        for event in _events(applied(base, trial.params), inputs, states):
            yield event
            if isinstance(event, EpochEnded):
                last = event if last is None or event.waited == 0 else replace(last, epoch=event.epoch)
                trial.report(event.best_hr10, event.epoch)
                if trial.should_prune():
                    trial.set_user_attr("ended", "given up")
                    break
    except Exception as error:
        if not (isinstance(error, IisanError) or is_out_of_memory(error)):
            raise
        trial.set_user_attr("ended", str(error).splitlines()[-1].strip())
    trial.set_user_attr("seconds", time.perf_counter() - started)
    if last is not None:
        facts = {"best_epoch": last.best_epoch, "epochs": last.epoch, "valid_NDCG@10": last.valid["NDCG@10"]}
        for name, value in facts.items():
            trial.set_user_attr(name, value)
    if "ended" in trial.user_attrs or last is None:
        search.tell(trial, state=TrialState.PRUNED)
    else:
        search.tell(trial, last.best_hr10)
    if last is not None:
        yield TrainingEnded("epochs", last.best_epoch, last.epoch)


def _events(config: RunConfig, inputs: RunInputs, states: ItemStates) -> Iterator[Event]:
    """Training in memory, without a run folder: nothing is tested."""
    torch.manual_seed(config.training.seed)
    model = RecommenderModel(inputs.shape(config, states)).to(states.numbers.device)
    model.items.fit_scale(states.states, states.present)
    for event in fit(model, states, inputs.split, config.training, on_best=lambda model: None):
        if not isinstance(event, TrainingEnded):
            yield event


def _table(search: optuna.Study) -> pl.DataFrame:
    from optuna.trial import TrialState

    lines = []
    for trial in search.trials:
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            known = trial.user_attrs
            best = max(trial.intermediate_values.values(), default=None)
            figures = {"valid_HR@10": best, "valid_NDCG@10": known.get("valid_NDCG@10")}
            costs = {name: known.get(name) for name in ("best_epoch", "epochs", "seconds")}
            lines.append(
                {"trial": trial.number, "ended": known.get("ended", "whole"), **figures, **costs, **trial.params}
            )
    shown = [{name: str(v) if isinstance(v, bool) else v for name, v in line.items()} for line in lines]
    return pl.DataFrame(shown, infer_schema_length=None, strict=False)
