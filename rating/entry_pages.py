"""The pages through which browsers are let in: a link is opened, and a button signs in.

Links in e-mails are opened by scanners before anybody reads them; opening one changes nothing.
"""

import functools
import html
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from rating.access import COOKIE, SIGN_IN_DAYS, Access
from rating.errors import AccessError
from rating.guarded_route import (
    NEVER_KEPT,
    GuardedRoute,
    client_address,
    logged_message,
    require_same_site,
    status_of,
)

WEB: Final = Path(__file__).with_name("web")
_DAY_S: Final = 24 * 3600
_RATER_COOKIE_S: Final = 400 * _DAY_S  # the longest that browsers keep one
# "no-referrer" would make browsers hide where the button's request comes from.
_HEADERS: Final = {
    **NEVER_KEPT, "Referrer-Policy": "strict-origin", "X-Robots-Tag": "noindex, nofollow",
}  # fmt: skip


def make_entry_router(access: Access, *, is_space: bool = False) -> APIRouter:
    """Return the entry pages: `/join`, `/coordinator`, `/generate-access`, and `/sign-out`."""
    router = APIRouter(route_class=GuardedRoute)

    def signed_in(request: Request, sign_in: Callable[[], str], to: str, age_s: int) -> Response:
        require_same_site(request.method, request.headers)
        value = sign_in()
        access.sign_out(request.cookies)
        answer = RedirectResponse(to, 303, headers=_HEADERS)
        _set_cookie(answer, request, value, age_s, is_space)
        return answer

    @router.api_route("/join/{token}", methods=["GET", "HEAD"])
    def join_page(request: Request, token: str) -> Response:
        def page() -> Response:
            title = access.title_of_link(token, client_address(request))
            note = _other_role_note(access, request)
            return _page("join.html", {"title": title, "note": note})

        return _or_refusal(page)

    @router.post("/join/{token}")
    def join(request: Request, token: str) -> Response:
        address = client_address(request)
        return _or_refusal(
            lambda: signed_in(
                request, lambda: access.sign_in_rater(token, address), "/rate/", _RATER_COOKIE_S
            )
        )

    def add_token_pages(
        path: str, words: Mapping[str, str], sign_in: Callable[[str, str], str]
    ) -> None:
        @router.api_route(f"{path}/{{token}}", methods=["GET", "HEAD"])
        def token_page(token: str) -> Response:
            # Whether the token is right is told to the button alone.
            return _page("coordinator.html", words)

        @router.post(f"{path}/{{token}}")
        def enter(request: Request, token: str) -> Response:
            address, age_s = client_address(request), SIGN_IN_DAYS * _DAY_S
            return _or_refusal(
                lambda: signed_in(request, lambda: sign_in(token, address), "/", age_s)
            )

    add_token_pages("/coordinator", _COORDINATOR_WORDS, access.sign_in_coordinator)
    add_token_pages("/generate-access", _GENERATE_WORDS, access.sign_in_generator)

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        access.sign_out(request.cookies)
        answer = RedirectResponse("/", 303, headers=_HEADERS)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    return router


_COORDINATOR_WORDS: Final = {
    "title": "Sign in as coordinator",
    "text": "Coordinators build studies, invite raters and see every image of a study, so a "
    "coordinator cannot be a rater of the same study.",
}
_GENERATE_WORDS: Final = {
    "title": "Sign in to Generate",
    "text": "This lets this browser generate images and see those generated before.",
}


def _other_role_note(access: Access, request: Request) -> str:
    role = access.who(request.cookies).role
    if role in {"coordinator", "generator"}:
        return (
            f"This browser is signed in as {role}; continuing signs it out of that. "
            "Use another browser to look at both."
        )
    return ""


def _or_refusal(page: Callable[[], Response]) -> Response:
    """Return a page, or the page that says why there is none."""
    try:
        return page()
    except Exception as error:
        status, _code, headers = status_of(error)
        said = str(error) if isinstance(error, AccessError) else logged_message(error)
        return _page("refusal.html", {"message": said}, status, headers)


def _page(
    name: str,
    values: Mapping[str, str],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    escaped = {key: html.escape(value) for key, value in values.items()}
    filled = _template(name).substitute(escaped, style=_text_of("entry.css"))
    return HTMLResponse(filled, status, {**_HEADERS, **(headers or {})})


@functools.cache
def _template(name: str) -> string.Template:
    return string.Template(_text_of(name))


@functools.cache
def _text_of(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _set_cookie(
    answer: Response, request: Request, value: str, age_s: int, is_space: bool
) -> None:
    """Set the cookie; in the frame of a Space it is a third party's, which browsers partition."""
    if is_space:
        answer.headers.append(
            "Set-Cookie",
            f"{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; Secure; SameSite=None; "
            "Partitioned",
        )
        return
    answer.set_cookie(
        COOKIE, value, max_age=age_s, path="/", httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
