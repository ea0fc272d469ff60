"""Runs at work: loaded, answering, enlarged by new items, and replaced by newer ones while they answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from pydantic_core import to_json

from app.api.bodies import ExplainBody, ItemsBody, RecommendBody, SimilarBody
from app.api.lanes import BusyError, Lane, grouped
from app.api.runs import Run, as_kept, enlarged, with_kept
from iisan_core.errors import IisanError, RefusedError
from iisan_core.serving.recommender import Recommended, Recommender
from iisan_core.serving.retrieval import Similar
from iisan_core.serving.scan import LEAST_ITEMS

MOST_KEPT = 1000
"""New items that are kept; each costs a row of everything, and its picture is kept for a reload."""
MOST_AT_WORK = 64
"""Larger questions that may wait or be computed."""
LONGEST_SHOWN = 1000
"""Items of a user's history that are shown."""

Result = TypeVar("Result")


class NoSuchError(RefusedError):
    """What was asked for by name is not there."""


@dataclass(frozen=True)
class Question:
    """One user or history of a request."""

    run: Run
    user: str | None
    history: Sequence[str]
    k: int
    seen: bool
    titles: bool


@dataclass
class Service:
    """Answers of the runs of some folders, for one event loop.

    What one user waits for is computed by one thread, what takes longer by another, what needs backbones or files by a
    third: the first never waits for the others.
    """

    paths: dict[str, Path]
    runs: dict[str, Run] = field(default_factory=dict)
    threads: int | None = None
    """That torch computes with; None: as many as it is set to. Small work, a user's of a few items, always with one:
    two would spend their time waiting for each other."""
    at_work: int = 0

    def __post_init__(self) -> None:
        threads = self.threads or torch.get_num_threads()
        self.quick, self.heavy, self.rare = (
            ThreadPoolExecutor(1, name, initializer=self._begin, initargs=(most,))
            for name, most in (("quick", None), ("heavy", threads), ("rare", threads))
        )
        self.lane: Lane[Question, bytes] = Lane(answers, executor=self.quick)
        self.reloading = False

    @classmethod
    def of_folders(cls, folders: Sequence[Path], *, threads: int | None = None) -> Service:
        """The runs under their folders' names; raises `RefusedError` if one cannot be loaded, or two have one name."""
        paths = {folder.absolute().name: folder for folder in folders}
        if len(paths) < len(folders):
            raise RefusedError(f"two runs are called {next(iter(paths))!r}; serve folders of different names")
        service = cls(paths, threads=threads)
        service.runs = service.loaded()
        return service

    def _begin(self, threads: int | None) -> None:
        """Say with how many threads the products of this one are computed."""
        large = any(len(run.recommender.item_ids) >= LEAST_ITEMS for run in self.runs.values())
        most = self.threads or torch.get_num_threads()
        torch.set_num_threads(threads or (most if large else 1))

    def close(self) -> None:
        """End the threads."""
        for executor in (self.quick, self.heavy, self.rare):
            executor.shutdown(wait=False, cancel_futures=True)

    def run(self, name: str | None) -> Run:
        """The run of a name, the first for none; raises `NoSuchError` where there is none."""
        if name is None:
            return next(iter(self.runs.values()))
        if name not in self.runs:
            raise NoSuchError(f"no run {name!r} is served; there is {', '.join(self.runs)}")
        return self.runs[name]

    async def recommend(self, body: RecommendBody) -> bytes:
        """Answers as JSON; one user's or history's as soon as may be."""
        run = self.run(body.run)
        asked = askers(body)
        if body.candidates is None and len(asked) == 1:
            ((user, history),) = asked
            return await self.lane.ask(Question(run, user, history, body.k, body.seen, body.titles))
        return await self._heavily(partial(many_answers, run, body))

    async def similar(self, body: SimilarBody) -> bytes:
        """The items most like one, as JSON."""
        run = self.run(body.run)

        def found() -> bytes:
            items = run.recommender.similar_items(body.item_id, k=body.k)
            return to_json({"run": run.name, "item_id": body.item_id, "items": _shown(run, items, body.titles)})

        return await self._heavily(found)

    async def explain(self, body: ExplainBody) -> bytes:
        """A score and its reasons, as JSON."""
        run = self.run(body.run)

        def found() -> bytes:
            why = run.recommender.explain(body.item_id, user=body.user, history=body.history)
            parts = [{"name": p.name, "score": p.score, "above_mean": p.above_mean} for p in why.parts]
            reasons = {"score": why.score, "parts": parts, "influences": why.influences}
            return to_json({"run": run.name, "item_id": body.item_id, **reasons})

        return await self._heavily(found)

    async def user(self, user_id: str, *, newest: int, run: str | None) -> bytes:
        """A user's history, as JSON; raises `NoSuchError` for a stranger."""
        asked = self.run(run)
        try:
            history = asked.recommender.history(user_id)
        except RefusedError as error:
            raise NoSuchError(str(error)) from None
        unknown = set(asked.recommender.passed_over(history))
        shown = [
            {"item_id": item, "title": asked.titles.get(item), "ranked": item not in unknown}
            for item in history[-newest:]
        ]
        return to_json({"run": asked.name, "user_id": user_id, "interactions": len(history), "history": shown})

    async def add(self, body: ItemsBody) -> bytes:
        """What is like new items, as JSON; they are recommended from now on where they are kept."""
        self.run(body.run)
        return await self._off_loop(self.rare, partial(self._add, body))

    def _add(self, body: ItemsBody) -> bytes:
        run = self.run(body.run)  # as it is when its turn has come
        if body.keep and len(run.kept) + len(body.items) > MOST_KEPT:
            raise RefusedError(f"{len(run.kept):,} new items are kept, {MOST_KEPT:,} are the most; train with them")
        new = [as_kept(item, run.recommender) for item in body.items]
        larger = enlarged(run, new)
        if body.keep:
            self.runs = self.runs | {run.name: larger}
        found = [
            {
                "item_id": item.item_id,
                "similar": _shown(larger, larger.recommender.similar_items(item.item_id, k=body.k), body.titles),
            }
            for item in body.items
        ]
        return to_json({"run": run.name, "kept": body.keep, "items": found})

    async def reload(self) -> bytes:
        """Load the folders anew while the old runs go on answering; raises `BusyError` while that is being done.

        Raises what loading raises; the old runs stay then.
        """
        if self.reloading:
            raise BusyError
        self.reloading = True
        started = time.monotonic()
        try:
            await asyncio.get_running_loop().run_in_executor(self.rare, self._reload)
        finally:
            self.reloading = False
        facts = [run.facts() for run in self.runs.values()]
        return to_json({"runs": facts, "seconds": round(time.monotonic() - started, 3)})

    def _reload(self) -> None:
        self.runs = {name: with_kept(run, self.runs[name].kept) for name, run in self.loaded().items()}

    def loaded(self) -> dict[str, Run]:
        """The runs as their folders have them now, warm."""
        runs = {name: Run(name, Recommender.load(path)) for name, path in self.paths.items()}
        for run in runs.values():
            known = run.recommender.item_ids[:1]
            run.recommender.recommend(histories=[known, known], k=1, exclude_seen=False)
            run.recommender.recommend(histories=[known], k=1, exclude_seen=False)
        return runs

    async def _heavily(self, work: Callable[[], Result]) -> Result:
        return await self._off_loop(self.heavy, work)

    async def _off_loop(self, executor: Executor, work: Callable[[], Result]) -> Result:
        if self.at_work >= MOST_AT_WORK:
            raise BusyError
        self.at_work += 1
        future = asyncio.get_running_loop().run_in_executor(executor, work)
        future.add_done_callback(self._done)  # also where nobody waits for it any more
        return await future

    def _done(self, future: asyncio.Future[Result]) -> None:
        self.at_work -= 1
        if not future.cancelled():
            future.exception()  # so that nobody is told of an error that nobody waited for


def answers(questions: Sequence[Question]) -> list[bytes | Exception]:
    """What each of several questions gets; those of one run and one `k` are computed together."""
    found: list[bytes | Exception] = [BusyError()] * len(questions)
    for places in grouped(questions, by=lambda asked: (id(asked.run), asked.k, asked.seen)):
        for place, reply in zip(places, _together([questions[place] for place in places]), strict=True):
            found[place] = reply
    return found


def _together(questions: list[Question]) -> list[bytes | Exception]:
    run = questions[0].run
    try:
        histories = [_history(run, asked.user, asked.history) for asked in questions]
        lists = run.recommender.recommend(histories=histories, k=questions[0].k, exclude_seen=not questions[0].seen)
    except IisanError as error:
        if len(questions) == 1:
            return [error]
        return [reply for asked in questions for reply in _together([asked])]  # one's fault is no other's
    return [
        to_json({"run": run.name, "answers": [_answer(run, asked.user, history, items, titles=asked.titles)]})
        for asked, history, items in zip(questions, histories, lists, strict=True)
    ]


def askers(body: RecommendBody) -> list[tuple[str | None, Sequence[str]]]:
    """Users without a history, or histories without a user."""
    if body.users is not None:
        return [(user, ()) for user in body.users]
    return [(None, history) for history in body.histories or ()]


def many_answers(run: Run, body: RecommendBody) -> bytes:
    """The answers to a whole body, as JSON."""
    asked = askers(body)
    histories = [_history(run, user, history) for user, history in asked]
    lists = run.recommender.recommend(
        histories=histories, k=body.k, exclude_seen=not body.seen, candidates=body.candidates
    )
    found = [
        _answer(run, user, history, items, titles=body.titles)
        for (user, _), history, items in zip(asked, histories, lists, strict=True)
    ]
    return to_json({"run": run.name, "answers": found})


def _history(run: Run, user: str | None, history: Sequence[str]) -> list[str]:
    return list(history) if user is None else run.recommender.history(user)


def _answer(
    run: Run, user: str | None, history: list[str], items: list[Recommended], *, titles: bool
) -> dict[str, object]:
    passed_over = len(run.recommender.passed_over(history))
    return {"user": user, "items": _shown(run, items, titles), "passed_over": passed_over}


def _shown(run: Run, items: Sequence[Recommended] | Sequence[Similar], titles: bool) -> Sequence[object]:
    """Items as JSON takes them, with their titles where these were asked for."""
    if not titles:
        return items
    return [
        {name: getattr(item, name) for name in item.__slots__} | {"title": run.titles.get(item.item_id)}
        for item in items
    ]
