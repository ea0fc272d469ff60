"""Questions of single users, answered together: while some are computed, those that come meanwhile are collected.

A product for eight users costs little more than one for one, so many clients wait no longer than few do.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")

MOST_WAITING = 1024
"""Questions that may wait; more are told to come back."""
MOST_TOGETHER = 64
"""Questions that are answered at once: few enough that nobody waits long for the others."""


class BusyError(Exception):
    """More is asked than can be answered in time."""


@dataclass(eq=False)
class Waiting(Generic[Question, Reply]):
    """A question and who waits for its answer."""

    question: Question
    reply: asyncio.Future[Reply] = field(repr=False)


class Lane(Generic[Question, Reply]):
    """Answers questions in the order of their coming, as many at once as there are; used from one event loop.

    answer_all  questions → for each its reply, or the exception that its asker gets; called in `executor`
    """

    def __init__(
        self, answer_all: Callable[[Sequence[Question]], Sequence[Reply | Exception]], *, executor: Executor
    ) -> None:
        self._answer_all = answer_all
        self._executor = executor
        self._waiting: list[Waiting[Question, Reply]] = []
        self._at_work: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, question: Question) -> Reply:
        """The reply to a question; raises `BusyError` where too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            raise BusyError
        loop = asyncio.get_running_loop()
        waiting: Waiting[Question, Reply] = Waiting(question, loop.create_future())
        self._waiting.append(waiting)
        if self._at_work is None or self._at_work.done():
            self._at_work = loop.create_task(self._work())
        return await waiting.reply

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            now, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            now = [waiting for waiting in now if not waiting.reply.done()]  # some have given up
            questions = [waiting.question for waiting in now]
            try:
                replies = await loop.run_in_executor(self._executor, self._answer_all, questions)
            except Exception as error:
                replies = [error] * len(now)
            for waiting, reply in zip(now, replies, strict=True):
                _give(waiting.reply, reply)


def _give(future: asyncio.Future[Reply], reply: Reply | Exception) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def grouped(questions: Sequence[Question], *, by: Callable[[Question], object]) -> list[list[int]]:
    """Places of questions that can be answered together."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        groups[by(question)].append(place)
    return list(groups.values())
