"""The service's paths: what is asked where, as OpenAPI says it, and which failure has which status."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api import bodies
from app.api.guards import Guard, failure, log
from app.api.lanes import BusyError
from app.api.metrics import Metrics
from app.api.service import LONGEST_SHOWN, NoSuchError, Service
from app.formats import discreet
from iisan_core.errors import IisanError, RefusedError

SECONDS = 10.0
"""For a body to come, and for an answer to be given."""
LONGEST_FAULT = 200

UserId = Annotated[str, Path(max_length=200)]
Newest = Annotated[int, Query(ge=1, le=LONGEST_SHOWN, description="How many of the newest items are shown.")]
OfRun = Annotated[str | None, Query(max_length=200)]
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": bodies.Failure, "description": says}
    for status, says in {
        401: "No token, or another one.",
        404: "There is no such run or user.",
        422: "What was asked cannot be answered.",
        503: "Too much is asked at once.",
    }.items()
}


def make_app(
    service: Service, *, token: str | None = None, seconds: float = SECONDS, starter: int | None = None
) -> Guard:
    """The service as an ASGI program.

    token    what every request must show; None: requests of this machine alone
    seconds  for a body to come, and for an answer to be given
    starter  the process that started this one among several that serve the same runs; None: it is alone, and only then
             keeps new items and reloads by itself
    """
    metrics = Metrics()
    app = FastAPI(
        title="IISAN recommendations",
        description="Recommendations, similar items and reasons of trained runs.",
        version="1",
        lifespan=_lifespan(service, starter),
        docs_url=None,  # its page would fetch its programs from elsewhere
        redoc_url=None,
        responses=REFUSALS,
    )
    _add_failures(app)
    _add_questions(app, service, metrics)
    _add_care(app, service, metrics, starter=starter)
    return Guard(app, token=token, seconds=seconds, count=metrics.request)


def _lifespan(service: Service, starter: int | None) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks: set[asyncio.Task[None]] = set()

        async def reload() -> None:
            try:
                await service.reload()
                log.warning("loaded anew")
            except (IisanError, BusyError) as error:
                log.warning("not loaded anew, the runs of before go on: %s", error)

        def asked() -> None:
            task = asyncio.get_running_loop().create_task(reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        if starter is None and hasattr(signal, "SIGHUP"):
            with suppress(ValueError, RuntimeError):  # not the main thread, which alone gets signals
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked)
        loop = asyncio.get_running_loop()
        watching = None if starter is None else loop.create_task(_end_with(starter))
        yield
        if watching is not None:
            watching.cancel()
        service.close()

    return lifespan


async def _end_with(parent: int) -> None:
    """End when the process that started this one has: else it would hold the socket for nobody."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _says(model: type[BaseModel]) -> dict[str, Any]:
    """What a path answers; it is written as JSON already, so nothing need look at it again."""
    return {"response_class": Response, "responses": {200: {"model": model}}}


def _add_questions(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.post("/recommend", **_says(bodies.Recommendations))
    async def recommend(body: bodies.RecommendBody) -> Response:
        """Recommend items to users of the log or to made-up histories, one or up to 1,024 at once."""
        answer = await service.recommend(body)
        metrics.users(len(body.users or body.histories or ()))
        return _json(answer)

    @app.post("/similar", **_says(bodies.SimilarItems))
    async def similar(body: bodies.SimilarBody) -> Response:
        """Items whose vectors point most nearly where one item's does."""
        return _json(await service.similar(body))

    @app.post("/explain", **_says(bodies.Reasons))
    async def explain(body: bodies.ExplainBody) -> Response:
        """Why an item scores what it scores: by part of the score, and by item of the history."""
        return _json(await service.explain(body))

    @app.get("/users/{user_id}", **_says(bodies.KnownUser))
    async def user(user_id: UserId, newest: Newest = 50, run: OfRun = None) -> Response:
        """What is known of a user of the log."""
        return _json(await service.user(user_id, newest=newest, run=run))


def _add_care(app: FastAPI, service: Service, metrics: Metrics, *, starter: int | None) -> None:
    @app.post("/items", **_says(bodies.BroughtItems))
    async def items(body: bodies.ItemsBody) -> Response:
        """Bring new items with picture and text: what is like them; kept, they are recommended from now on."""
        if body.keep and starter is not None:
            raise RefusedError("several processes serve these runs and share no new items; serve with one to keep them")
        return _json(await service.add(body))

    @app.get("/runs", response_model=list[bodies.ServedRun])
    async def runs() -> list[dict[str, object]]:
        """Which runs answer."""
        return [run.facts() for run in service.runs.values()]

    @app.post("/admin/reload", **_says(bodies.Reloaded))
    async def reload(body: bodies.ReloadBody | None = None) -> Response:
        """Load the run folders anew while the old ones go on answering."""
        if starter is not None:
            os.kill(starter, signal.SIGHUP)
            said = b'{"status":"all processes are being replaced, one after the other"}'
            return Response(said, status_code=202, media_type="application/json")
        return _json(await service.reload())

    @app.get("/healthz", response_model=bodies.Health)
    async def healthz() -> Response:
        """Whether the service answers; needs no token."""
        return _json(b'{"status":"ok"}')

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """Counts for Prometheus."""
        runs = service.runs.values()
        text = metrics.text(
            items={run.name: len(run.recommender.item_ids) for run in runs},
            kept={run.name: len(run.kept) for run in runs},
            waiting=len(service.lane) + service.at_work,
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _add_failures(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return failure(422, sentence_of(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        says = {404: "there is no such path; /openapi.json lists those there are", 405: "not with this method"}
        return failure(error.status_code, says.get(error.status_code, str(error.detail)))

    @app.exception_handler(NoSuchError)
    async def unknown(request: Request, error: NoSuchError) -> Response:
        return failure(404, discreet(error))

    @app.exception_handler(RefusedError)
    async def impossible(request: Request, error: RefusedError) -> Response:
        return failure(422, discreet(error))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        return failure(503, "too much is asked at once; ask again in a second", **{"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s failed", request.url.path, exc_info=error)
        return failure(500, "the service has failed at this; its log says why")


def sentence_of(error: RequestValidationError) -> str:
    """The first of the faults of a body, and how many there are."""
    faults = error.errors()
    first, more = faults[0], len(faults) - 1
    where = " → ".join(str(part) for part in first["loc"][1:])[:LONGEST_FAULT]
    what = str(first["msg"]).removeprefix("Value error, ")
    message = f"{where}: {what}" if where and first["type"] != "json_invalid" else what
    return message + (f"; and {more:,} further fault{'s' if more > 1 else ''}" if more else "")
