"""A rater played over HTTP: enters by the link, consents, rates every item, and looks around."""

import random
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2

from rating.audit.trace import Exchange, Trace
from rating.errors import RatingError

# Where a curious rater would look; all of it is searched, whatever the status.
_AROUND: Final = (
    "/", "/config", "/gradio_api/info", "/rate/config", "/rate/gradio_api/info", "/rate/theme.css",
    "/generated/jobs/0/state", "/study/", "/docs", "/openapi.json", "/robots.txt",
)  # fmt: skip
_IMAGE_READS: Final = 3  # of each picture, so that a latency is more than one accident
_MOST_STEPS: Final = 20_000


class HttpRater:
    """Plays through `base_url`; `prompt_of` tells the code of the prompt of an item's token."""

    def __init__(
        self, base_url: str, link_token: str, prompt_of: Callable[[str], str], trace: Trace
    ) -> None:
        """Prepare; nothing is sent yet."""
        self._client = httpx2.Client(base_url=base_url, timeout=60, follow_redirects=False)
        self._link_token, self._prompt_of, self._trace = link_token, prompt_of, trace
        self._random = random.Random(0)
        self._told: set[str] = set()

    def play(self) -> None:
        """Play to the end; the last request withdraws and erases what was answered.

        Raises:
            RatingError: the application does not let this rater in or does not go on.
        """
        try:
            self._play()
        except httpx2.TransportError as error:
            raise RatingError(
                f"The application at {self._client.base_url} cannot be reached: {error}. Start it, "
                "and give its address with --url."
            ) from error

    def _play(self) -> None:
        with self._client:
            join = f"/join/{urllib.parse.quote(self._link_token)}"
            self._ask("GET", join)
            entered = self._ask("POST", join, form={})
            if entered.status not in {302, 303}:
                raise RatingError(f"The link was not accepted: status {entered.status}.")
            for address in ("/rate/", *_AROUND):
                self._ask("GET", address)
            self._rate(self._state(self._ask("GET", "/rate/api/state")))
            self._ask("POST", "/rate/api/withdraw", json={"is_erasing": True})
            self._ask("POST", "/rate/api/sign-out", json={})

    def _rate(self, state: dict[str, Any]) -> None:
        for _ in range(_MOST_STEPS):
            phase = state["phase"]
            if phase == "consent":
                state = self._post("consent", {
                    "consent_sha256": state["consent"]["sha256"], "is_agreed": True,
                    "is_independent": True,
                })  # fmt: skip
            elif phase == "profile":
                state = self._post("profile", {
                    "specialty": state["profile"]["specialties"][0], "years_experience": 5,
                })  # fmt: skip
            elif phase in {"practice", "rating"}:
                state = self._rate_step(state)
            elif phase in {"closing", "done"}:
                return
            else:
                raise RatingError(f"The study is {phase}; the audit needs it open and not paused.")
        raise RatingError(f"The rating did not end within {_MOST_STEPS} steps.")

    def _rate_step(self, state: Mapping[str, Any]) -> dict[str, Any]:
        item = state["item"]
        if item["step"] == 1:
            for image in item["images"]:
                for _ in range(_IMAGE_READS):
                    self._ask("GET", image["url"])
            for url in state["next_images"]:
                self._ask("GET", url)
        if item["step"] < item["step_count"]:
            self._told.add(self._prompt_of(item["token"]))
        answers = {
            question["code"]: self._random.choice(question["points"])["value"]
            for question in item["questions"]
        }
        return self._post("answers", {
            "item": item["token"], "step": item["step"], "key": str(uuid.uuid4()),
            "answers": answers, "cannot_judge": [], "is_seen_before": False, "tags": [],
            "marks": [], "remark": "", "visible_ms": 1000, "viewport": [1440, 900],
            "device_pixel_ratio": 1,
        })  # fmt: skip

    def _post(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        return self._state(self._ask("POST", f"/rate/api/{name}", json=values))

    def _state(self, exchange: Exchange) -> dict[str, Any]:
        values = exchange.json()
        if exchange.status != 200 or not isinstance(values, dict):
            raise RatingError(
                f"{exchange.where} answered with status {exchange.status}: "
                f"{exchange.body[:200].decode(errors='replace')}"
            )
        state: dict[str, Any] = values.get("state", values)
        item = state.get("item")
        if item and item["step_count"] == 1:
            self._told.add(self._prompt_of(item["token"]))  # of the answer that is read next
        return state

    def _ask(
        self,
        method: str,
        url: str,
        json: object = None,
        form: dict[str, str] | None = None,
    ) -> Exchange:
        start = time.perf_counter()
        response = self._client.request(method, url, json=json, data=form)
        body = response.read()
        duration_s = time.perf_counter() - start
        told = frozenset(self._told)
        if url.startswith("/rate/api/") and (item := _single_step_item(response)):
            told |= {self._prompt_of(item)}
        exchange = Exchange(
            client="http",
            method=method,
            url=url.replace(self._link_token, "LINK"),
            status=response.status_code,
            headers=tuple((name.lower(), value) for name, value in response.headers.multi_items()),
            body=body,
            duration_s=duration_s,
            told=told,
        )
        self._trace.exchanges.append(exchange)
        return exchange


def _single_step_item(response: httpx2.Response) -> str | None:
    """Return the token of an item whose prompt comes at once, because it has one step only."""
    if "json" not in response.headers.get("content-type", ""):
        return None
    values = response.json()
    state = values.get("state", values) if isinstance(values, dict) else {}
    item = state.get("item") if isinstance(state, dict) else None
    return item["token"] if isinstance(item, dict) and item.get("step_count") == 1 else None
