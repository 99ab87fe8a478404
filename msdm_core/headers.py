"""What every answer of the server carries: security headers and a random name for the browser.

The name tells one browser's jobs from another's. It is no login and says nothing about a person.
"""

import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BROWSER_COOKIE = "msdm_browser"
_NAME = re.compile(r"[0-9a-f]{32}")
_YEAR_S = 365 * 24 * 3600

# Gradio compiles its templates in the page, which needs unsafe-eval; everything else is own files.
_POLICY = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)


def browser_name(cookies: Mapping[str, str]) -> str:
    """Returns the browser's random name, empty when it has none (yet)."""
    name = cookies.get(BROWSER_COOKIE, "")
    return name if _NAME.fullmatch(name) else ""


class SecurityHeaders:
    """ASGI middleware that adds the headers and the cookie; bodies pass untouched."""

    def __init__(self, app: ASGIApp, is_space: bool = False) -> None:
        """Wraps `app`; on a Space the page may be framed, because that is how Spaces show it."""
        self._app = app
        self._is_space = is_space
        policy = _POLICY if is_space else (*_POLICY, "frame-ancestors 'none'")
        self._headers = {
            "Content-Security-Policy": "; ".join(policy),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "unsafe-none" if is_space else "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        }
        if not is_space:
            self._headers["X-Frame-Options"] = "DENY"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope["path"] == "/" and not browser_name(_cookies(scope)):
                    headers.append("Set-Cookie", self._cookie())
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _cookie(self) -> str:
        # In the frame of a Space the cookie belongs to a third party, which browsers partition.
        site = "SameSite=None; Secure; Partitioned" if self._is_space else "SameSite=Lax"
        return (
            f"{BROWSER_COOKIE}={secrets.token_hex(16)}; Path=/; HttpOnly; Max-Age={_YEAR_S}; {site}"
        )


def _cookies(scope: Scope) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    for name, value in scope["headers"]:
        if name == b"cookie":
            jar.load(value.decode("latin-1"))
    return {key: morsel.value for key, morsel in jar.items()}
