"""Who may have which page: stands before everything that the server serves.

Nothing is served that is not listed here: of what Gradio would serve of its own accord, pages need
a part, uploads and files are for coordinators, and the rest (proxies, monitoring, recordings) is
for nobody. A rater whose study is open gets the rater's page alone. The roles of our own routes
and of every handler are checked there again.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from fastapi.responses import JSONResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rating.access import NOBODY, Access, Visitor
from rating.errors import AccessError
from rating.guarded_route import error_answer, require_same_site

MOST_BYTES: Final = 1024 * 1024
MOST_UPLOAD_BYTES: Final = 1024 * 1024 * 1024
UPLOAD: Final = "/gradio_api/upload"

Rule = Literal["all", "own", "page", "coordinator", "none"]

# Checked by the routes themselves.
_OWN: Final = re.compile(r"/(rate|rate/api/.*|rate/image/.*|join/.*|coordinator/.*|sign-out"
                         r"|generate-access/.*|study/.*|results/.*)")  # fmt: skip
# Files of a page, the same for everybody.
_FILES: Final = (
    r"(config|static/.*|assets/.*|svelte/.*|theme\.css|gradio_api/theme\.css|robots\.txt|"
    r"favicon\.ico|manifest\.json|pwa_icon(/.*)?|gradio_api/startup-events|"
    r"gradio_api/heartbeat/[^/]*)?/?"
)
_HANDLERS: Final = (
    r"(gradio_api/(info|queue/join|queue/data|cancel|reset|(run|api|call|call/v2)/.*))/?"
)
_COORDINATOR: Final = re.compile(
    r"/gradio_api/(upload|upload_progress|file=.*|file/.*|component_server)/?"
)
_RATER_PAGE: Final = re.compile(rf"/rate/{_FILES}")
_MAIN_PAGE: Final = re.compile(rf"/({_FILES}|{_HANDLERS}|generated/.*)")


def rule_of(path: str) -> Rule:
    """Return who may have a path.

    Returns:
        "all": everybody; "own": whoever the route itself lets in; "page": everybody but raters of
        an open study; "coordinator": coordinators; "none": nobody.
    """
    if _OWN.fullmatch(path):
        return "own"
    if _RATER_PAGE.fullmatch(path):
        return "all"
    if _MAIN_PAGE.fullmatch(path):
        return "page"
    # The rater's page has no handlers and takes no files.
    return "coordinator" if _COORDINATOR.fullmatch(path) else "none"


class PageGuard:
    """ASGI middleware that applies the rules, and limits how large a request may be."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Wrap `app`."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "websocket":  # nothing here uses them
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            require_same_site(scope["method"], request.headers)
            refusal = await self._refusal(request)
            if refusal is None:
                receive = _limited(request, receive)
        except Exception as error:
            refusal = error_answer(error)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> JSONResponse | RedirectResponse | None:
        path = request.scope["path"]
        rule = rule_of(path)
        if rule in {"all", "own"}:
            return None
        if rule == "none":
            raise AccessError("There is nothing at this address.", 404)
        visitor = await self._visitor(request)
        if visitor.is_rating:
            if path == "/" and request.method in {"GET", "HEAD"}:
                return RedirectResponse("/rate/", 303, headers={"Cache-Control": "no-store"})
            raise AccessError("Raters of an open study have their own page: /rate/.", 403)
        if rule == "coordinator" and not visitor.is_coordinator:
            status = 401 if visitor.role == "none" else 403
            raise AccessError("This is for coordinators.", status)
        return None

    async def _visitor(self, request: Request) -> Visitor:
        cookies = request.cookies
        if not cookies:
            return NOBODY
        return await run_in_threadpool(self._access.who, cookies)


def _limited(request: Request, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Return a `receive` that stops where a body is larger than its path may have.

    Raises:
        AccessError: 413, at once where the length is told.
    """
    limit = MOST_UPLOAD_BYTES if request.scope["path"].rstrip("/") == UPLOAD else MOST_BYTES
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > limit:
        raise AccessError(f"The request is larger than {limit} bytes.", 413)
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            # The length was not told, or was wrong: the connection is of no more use.
            return {"type": "http.disconnect"}
        return message

    return counted
