"""What every route of studies shares: errors as JSON, the same site only, small bodies."""

import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rating.errors import (
    AccessError,
    AnswerError,
    CrossSiteError,
    RaterError,
    RatingError,
    StaleError,
    StimulusError,
    StudyNotFoundError,
)

MOST_BODY_BYTES: Final = 64 * 1024
NEVER_KEPT: Final = {"Cache-Control": "no-store"}
_SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}
_ACCESS_CODES: Final = {
    401: "signed_out", 403: "forbidden", 404: "not_found", 413: "too_large", 415: "not_json",
    429: "slow_down",
}  # fmt: skip
_log = logging.getLogger(__name__)


class GuardedRoute(APIRoute):
    """A route whose errors become JSON, and which other sites cannot use."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with both put around it."""
        handler = super().get_route_handler()

        async def run(request: Request) -> Response:
            try:
                require_same_site(request.method, request.headers)
                return await handler(request)
            except HTTPException:
                raise
            except RequestValidationError:
                return error_answer(AccessError("There is nothing at this address.", 404))
            except Exception as error:
                return error_answer(error)

        return run


def error_answer(error: Exception, **more: object) -> JSONResponse:
    """Return an error as JSON; one that nobody expected is logged under a short reference."""
    status, code, headers = status_of(error)
    told: dict[str, object] = {"code": code, "message": _sendable(str(error))}
    if status >= 500:
        told["message"] = logged_message(error)
    if isinstance(error, AnswerError) and error.fields:
        told["fields"] = {
            _sendable(name): _sendable(fault) for name, fault in error.fields.items()
        }
    return JSONResponse({"error": told, **more}, status, {**NEVER_KEPT, **headers})


def _sendable(text: str) -> str:
    # What was sent may be repeated here, and half a character cannot be sent back.
    return text.encode("utf-8", "replace").decode("utf-8")


def status_of(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return the HTTP status, the code and the extra headers that an error is told with."""
    match error:
        case CrossSiteError():
            return error.status, "cross_site", {}
        case AccessError():
            wait_s = str(round(error.retry_after_s))
            headers = {"Retry-After": wait_s} if error.status == 429 else {}
            return error.status, _ACCESS_CODES.get(error.status, "forbidden"), headers
        case AnswerError():
            return 422, "invalid", {}
        case StaleError():
            return 409, error.code, {}
        case StudyNotFoundError() | StimulusError():
            return 404, "not_found", {}
        case RaterError():
            return 409, "not_now", {}
        case OperationalError() | PoolTimeoutError():
            return 503, "server", {"Retry-After": "1"}
        case RatingError():
            return 409, "not_now", {}
    return 500, "server", {}


def logged_message(error: Exception) -> str:
    """Log an unexpected error and return what its reader is told instead."""
    reference = secrets.token_hex(3).upper()
    _log.error("Reference %s", reference, exc_info=error)
    return (
        "Something went wrong on the server; nothing was lost. Please try again in a moment. If "
        f"it happens again, tell your contact the reference {reference}."
    )


def require_same_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what another web site makes a browser send.

    Browsers say where a request comes from in Sec-Fetch-Site, or, over plain HTTP, in Origin.
    Programs that are no browsers send neither and are let through.

    Raises:
        CrossSiteError: status 403.
    """
    fetch_site = headers.get("sec-fetch-site", "")
    if method in _SAFE_METHODS:
        # Following a link from an e-mail is a navigation; embedding a picture is none.
        is_navigation = headers.get("sec-fetch-mode", "navigate") == "navigate"
        is_foreign = fetch_site == "cross-site" and not is_navigation
    elif fetch_site:
        is_foreign = fetch_site not in {"same-origin", "none"}
    else:
        origin = headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    if is_foreign:
        raise CrossSiteError


async def json_body(request: Request) -> object:
    """Return the JSON value in the body of a request.

    Raises:
        AccessError: 415 for another type, 413 for more than 64 KiB.
        AnswerError: It is no JSON.
    """
    kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if kind != "application/json":
        raise AccessError("Send JSON with the header Content-Type: application/json.", 415)
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BODY_BYTES:
            raise AccessError(f"The request is larger than {MOST_BODY_BYTES} bytes.", 413)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise AnswerError("The request is no JSON.") from None


def client_address(request: Request) -> str:
    """Return the address that a request came from; behind a proxy the server resolves it."""
    return request.client.host if request.client else ""
