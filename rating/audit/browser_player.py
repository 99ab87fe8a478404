"""A rater played in a real Chromium, from whose every answer, storage and page is read."""

import json
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rating.audit.trace import Exchange, Kept, Trace
from rating.errors import RatingError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Response, Route

ARGUMENTS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE_MS: Final = 60_000
_MOST_SCREENS: Final = 40
_STORED: Final = "() => JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])"


class ChromiumRater:
    """Plays the first `most_screens` screens through `base_url`, then withdraws and erases."""

    def __init__(
        self,
        base_url: str,
        link_token: str,
        prompt_of: Callable[[str], str],
        trace: Trace,
        chromium: str,
        most_screens: int = _MOST_SCREENS,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            base_url:     Of the running application.
            link_token:   Of a rater invited for the audit.
            prompt_of:    Tells the code of the prompt of an item's token.
            trace:        Where everything received goes.
            chromium:     Path of the browser.
            most_screens: Screens to go through; enough for a look at every kind.
        """
        self._base_url, self._link_token = base_url.rstrip("/"), link_token
        self._prompt_of, self._trace, self._chromium = prompt_of, trace, chromium
        self._most_screens = most_screens
        self._waiting: list[Response] = []
        self._pictures: dict[str, bytes] = {}
        self._told: set[str] = set()

    def play(self) -> None:
        """Play in a browser with a fresh profile.

        Raises:
            RatingError: playwright or the browser is not there, or the page does not go on.
        """
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError as error:
            raise RatingError(
                "The browser part of the audit needs playwright: pip install playwright, or run "
                "the audit without it."
            ) from error
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=self._chromium, args=list(ARGUMENTS)
                )
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                context.set_default_timeout(_PATIENCE_MS)
                page = context.new_page()
                page.route("**/rate/image/**", self._pass_picture)
                page.on("response", lambda response: self._waiting.append(response))
                self._play(page, context)
                browser.close()
        except Error as error:
            raise RatingError(f"The browser part of the audit failed: {error}") from error

    def _play(self, page: "Page", context: "BrowserContext") -> None:
        page.goto(f"{self._base_url}/join/{urllib.parse.quote(self._link_token)}")
        self._drain(page, context)
        page.locator("form button").first.click()
        page.wait_for_selector(".r-app h1, .r-app .r-commit")
        for _ in range(self._most_screens):
            self._drain(page, context)
            if not self._go_on(page):
                break
        self._drain(page, context)
        answer = page.request.post(
            f"{self._base_url}/rate/api/withdraw", data={"is_erasing": True},
            headers={"Origin": self._base_url},
        )  # fmt: skip
        if not answer.ok:
            raise RatingError(f"The rater of the audit could not withdraw: {answer.status}.")

    def _go_on(self, page: "Page") -> bool:
        """Do what the present screen asks; return whether there is another."""
        shell = page.locator(".r-app")
        before = self._screen(page)
        if shell.get_attribute("data-screen") == "item":
            page.wait_for_function("() => document.querySelector('.r-item img')?.naturalWidth > 0")
            for _ in range(12):
                if page.locator(".r-panel .r-commit").get_attribute("aria-disabled") == "false":
                    break
                page.keyboard.press("1")
            page.locator(".r-panel .r-commit").click()
        else:
            if page.locator("input[name=agreed]").count():
                page.check("input[name=agreed]")
                page.check("input[name=independent][value=yes]")
            if page.locator("select[name=specialty]").count():
                page.select_option("select[name=specialty]", index=1)
                page.fill("input[name=years]", "5")
            if page.locator("textarea[name=remark]").count() or not page.locator(
                ".r-article .r-commit"
            ).count():
                return False
            page.locator(".r-article .r-commit").first.click()
        deadline_s = time.monotonic() + _PATIENCE_MS / 1000
        while self._screen(page) == before:
            if time.monotonic() > deadline_s:
                raise RatingError(f"The rating page does not go on from: {before}")
            page.wait_for_timeout(50)
        return True

    def _screen(self, page: "Page") -> str:
        """Return what tells one screen from the next."""
        parts = [
            page.locator(".r-app").get_attribute("data-screen"),
            page.locator(".r-app").get_attribute("data-step"),
            page.locator(".r-count").inner_text(),
            *page.locator(".r-article h1").all_inner_texts(),
        ]
        return " | ".join(str(part) for part in parts)

    def _drain(self, page: "Page", context: "BrowserContext") -> None:
        """Take over the answers received so far, and what the browser holds now."""
        page.wait_for_timeout(50)
        responses, self._waiting[:] = list(self._waiting), []
        for response in responses:
            self._take(response)
        told = frozenset(self._told)
        for where, text in (
            ("the page as drawn", page.content()),
            ("the page's title and address", f"{page.title()} {page.url}"),
            ("the browser's storage", str(page.evaluate(_STORED))),
            ("the cookies", json.dumps([dict(each) for each in context.cookies()])),
        ):
            text = text.replace(self._link_token, "LINK")
            self._trace.kept.append(Kept(f"chromium: {where}", text, told))

    def _take(self, response: "Response") -> None:
        from playwright.sync_api import Error

        headers = tuple((e["name"].lower(), e["value"]) for e in response.headers_array())
        is_stream = "event-stream" in dict(headers).get("content-type", "")
        is_redirect = 300 <= response.status < 400
        try:
            body = self._pictures.pop(response.url, b"")
            if not (body or is_stream or is_redirect):
                body = response.body()
        except Error:  # the page was left before the whole answer came
            body = b""
        self._tell(response, body)
        url = response.url.removeprefix(self._base_url).replace(self._link_token, "LINK")
        self._trace.exchanges.append(
            Exchange(
                client="chromium",
                method=response.request.method,
                url=url,
                status=response.status,
                headers=headers,
                body=body,
                duration_s=0.0,
                told=frozenset(self._told),
            )
        )

    def _pass_picture(self, route: "Route") -> None:
        """Read a picture on its way: the browser drops what must not be stored once it is shown."""
        response = route.fetch()
        self._pictures[route.request.url] = response.body()
        route.fulfill(response=response)

    def _tell(self, response: "Response", body: bytes) -> None:
        """Note which prompt may be known from this answer on."""
        if "/rate/api/" not in response.url:
            return
        sent: Any = response.request.post_data_json if response.request.post_data else None
        is_committed = response.url.endswith("/answers") and response.ok
        if is_committed and isinstance(sent, dict):
            self._told.add(self._prompt_of(sent["item"]))
        try:
            values = json.loads(body)
        except ValueError:
            return
        state = values.get("state", values) if isinstance(values, dict) else {}
        item = state.get("item") if isinstance(state, dict) else None
        if isinstance(item, dict) and item.get("step_count") == 1:
            self._told.add(self._prompt_of(item["token"]))
