"""What stands before every request: who may ask, how much, how long; and that every failure is a sentence in JSON.

Written as plain ASGI: it reads the body itself, whole, before anything looks at it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 16 * 2**20
"""Bytes: sixteen pictures of a megabyte, or a thousand histories of a thousand items."""
LONGEST_SENTENCE = 1000
OPEN = ("/healthz",)
"""Answered without a token: whoever watches the service need not know it."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

log = logging.getLogger("iisan.api")


def failure(status: int, sentence: str, **headers: str) -> Response:
    """An answer that says in a sentence why there is none."""
    line = " ".join(sentence.split())[:LONGEST_SENTENCE]
    content = json.dumps({"error": line})  # ASCII alone: whatever was asked, it can be written
    return Response(content, status_code=status, media_type="application/json", headers=headers)


class _RefusalError(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


@dataclass(frozen=True)
class Guard:
    """Lets a request through to the service, or says why not.

    token    what must be shown as `Authorization: Bearer …`; None: nothing, but then the request must have been meant
             for this machine, so that no page of the web can ask in a visitor's name
    seconds  for the body to come, and again for the answer
    count    called with path, status and seconds of every answer
    """

    app: ASGIApp
    token: str | None
    seconds: float
    count: Callable[[str, int, float], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, noted)
        finally:
            self.count(route_of(scope), status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = Headers(scope=scope)
            self._check_asker(scope["path"], headers)
            body = await self._body(headers, receive)
            async with asyncio.timeout(self.seconds):
                await self.app(scope, _once(body, receive), send)
        except _RefusalError as refusal:
            await refusal.response(scope, receive, send)
        except TimeoutError:
            sentence = f"no answer within {self.seconds:g} seconds; ask for less at once, or again later"
            await failure(503, sentence, **{"Retry-After": "1"})(scope, receive, send)

    def _check_asker(self, path: str, headers: Headers) -> None:
        if path in OPEN:
            return
        if self.token is None:
            name = headers.get("host", "").rsplit(":", 1)[0] if "]" not in headers.get("host", "") else "::1"
            if name not in LOCAL_NAMES:
                raise _RefusalError(
                    failure(403, "this service answers to this machine's own names alone: 127.0.0.1, localhost")
                )
        elif not same(headers.get("authorization", ""), f"Bearer {self.token}"):
            sentence = "show the service's token: Authorization: Bearer …"
            raise _RefusalError(failure(401, sentence, **{"WWW-Authenticate": "Bearer"}))

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MOST_BODY:
            raise _RefusalError(_too_large())
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _RefusalError(failure(400, "the connection ended before the body did"))
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > MOST_BODY:
                        raise _RefusalError(_too_large())
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            raise _RefusalError(failure(408, f"the body did not come within {self.seconds:g} seconds")) from None


def same(shown: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that tells nothing of them."""
    first, second = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (shown, wanted))
    return hmac.compare_digest(first, second)


def route_of(scope: Scope) -> str:
    """The path as the service declares it; what it does not declare is one thing, however many there are."""
    route: Any = scope.get("route")
    return getattr(route, "path", "other")


def _too_large() -> Response:
    return failure(413, f"the body is larger than {MOST_BODY // 2**20} MB; ask in smaller pieces")


def _once(body: bytes, receive: Receive) -> Receive:
    """A body that has been read, handed on."""
    given = False

    async def handed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return handed
