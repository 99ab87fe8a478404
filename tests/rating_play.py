"""Playing a rater through the raters' desk, for tests."""

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from rating.study.desk import RatingDesk, Saved
from rating.study.submission import StepSubmission, read_submission

ANSWERING = ("practice", "rating")


def request_for(item: dict[str, Any], value: int | None = None, **changes: Any) -> dict[str, Any]:
    """Returns the request that answers the present step of an item, with a new key."""
    chosen = {
        question["code"]: value
        if value is not None
        else random.choice(question["points"])["value"]
        for question in item["questions"]
    }
    request = {
        "item": item["token"], "step": item["step"], "key": str(uuid.uuid4()), "answers": chosen,
        "cannot_judge": [], "is_seen_before": False, "tags": [], "marks": [], "remark": "",
        "visible_ms": 1200, "viewport": [1280, 800], "device_pixel_ratio": 2,
    }  # fmt: skip
    return {**request, **changes}


def sent(item: dict[str, Any], value: int | None = None, **changes: Any) -> StepSubmission:
    """Returns that request as it is read."""
    return read_submission(request_for(item, value, **changes))


def play(
    desk: RatingDesk, rater_id: int, answer: Callable[[dict[str, Any]], int | None] | None = None
) -> Iterator[tuple[dict[str, Any], Saved]]:
    """Answers step after step to the end; yields each item with what came back."""
    state = desk.state(rater_id)
    while state["phase"] in ANSWERING:
        item = state["item"]
        saved = desk.answer(rater_id, sent(item, answer(item) if answer else None))
        yield item, saved
        state = saved.state


def play_items(desk: RatingDesk, rater_id: int, count: int) -> dict[str, Any]:
    """Answers `count` whole items and returns the state after them."""
    state = desk.state(rater_id)
    for _ in range(count):
        token = state["item"]["token"]
        while state.get("item", {}).get("token") == token:
            state = desk.answer(rater_id, sent(state["item"])).state
    return state
