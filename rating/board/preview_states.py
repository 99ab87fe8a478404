"""What a rater's browser would be told of a draft, step by step: for looking at it beforehand."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rating.coordinator_routes import stimulus_url
from rating.study.opening import question_labels
from rating.study.protocol import Protocol
from rating.study.summaries import StimulusView

PRACTICE_ITEMS: Final = 1
MAIN_ITEMS: Final = 3


def preview_states(
    code: str, title: str, protocol: Protocol, views: Sequence[StimulusView]
) -> list[dict[str, Any]]:
    """Return the states of a short session: consent, profile, a few items, the end.

    Args:
        code:     Of the draft.
        title:    Of the draft.
        protocol: Of the draft.
        views:    Its pictures; the first items are made of them.
    """
    practice = _items(protocol, views, "practice")[: min(PRACTICE_ITEMS, protocol.practice_items)]
    main = _items(protocol, views, "main")[:MAIN_ITEMS]
    states = [_state("consent", title, protocol), _state("profile", title, protocol)]
    states[0]["consent"] = {
        "text": protocol.consent.text,
        "sha256": "",
        "ethics_approval": protocol.consent.ethics_approval,
        "contact": protocol.consent.contact,
    }
    states[1]["profile"] = {"specialties": list(protocol.specialties)}
    numbered = [(item, True, number) for number, item in enumerate(practice)]
    numbered += [(item, False, number) for number, item in enumerate(main)]
    for item, is_practice, number in numbered:
        progress = {
            "done": 0 if is_practice else number,
            "total": len(main),
            "left_min": 1,
            "practice_done": number if is_practice else len(practice),
            "practice_total": len(practice),
            "is_pause_offered": False,
        }
        for step in range(1, protocol.step_count + 1):
            state = _state("practice" if is_practice else "rating", title, protocol)
            state["progress"] = progress
            state["item"] = _item(code, protocol, item, is_practice, number, step)
            state["next_images"] = []
            states.append(state)
    return [*states, _state("closing", title, protocol), _state("done", title, protocol)]


def _state(phase: str, title: str, protocol: Protocol) -> dict[str, Any]:
    return {
        "phase": phase,
        "study": {
            "title": title,
            "instructions": protocol.instructions,
            "contact": protocol.consent.contact,
            "ethics_approval": protocol.consent.ethics_approval,
        },
        "rater": "R00",
        "progress": {
            "done": 0, "total": 0, "left_min": 0, "practice_done": 0, "practice_total": 0,
            "is_pause_offered": False,
        },
        "protocol": {
            "session_items": protocol.session_items,
            "smallest_display_px": protocol.smallest_display_px,
            "step_count": protocol.step_count,
            "display": protocol.display,
        },
    }  # fmt: skip


def _items(
    protocol: Protocol, views: Sequence[StimulusView], role: str
) -> list[list[StimulusView]]:
    """Return the pictures of each item; of main ones every arm has a turn."""
    of_role = [view for view in views if view.role == role]
    if protocol.display == "side_by_side":
        synthetic = [view for view in of_role if not view.is_real]
        by_prompt: dict[str, list[StimulusView]] = {}
        for view in synthetic:
            by_prompt.setdefault(view.prompt_code, []).append(view)
        return list(by_prompt.values())
    by_arm: dict[str, list[StimulusView]] = {}
    for view in of_role:
        by_arm.setdefault(view.arm, []).append(view)
    return [[view] for view in _in_turn(list(by_arm.values()))]


def _in_turn(groups: Sequence[Sequence[StimulusView]]) -> Iterator[StimulusView]:
    # Another prompt for each, as raters would have it.
    shifted = [group[number % len(group) :] for number, group in enumerate(groups)]
    for row in itertools.zip_longest(*shifted):
        yield from (view for view in row if view is not None)


def _item(
    code: str,
    protocol: Protocol,
    views: Sequence[StimulusView],
    is_practice: bool,
    number: int,
    step: int,
) -> dict[str, Any]:
    token = f"preview{'p' if is_practice else 'm'}{number}"
    is_told = step > 1 or protocol.step_count == 1
    return {
        "token": token,
        "number": number + 1,
        "is_practice": is_practice,
        "display": protocol.display,
        "step": step,
        "step_count": protocol.step_count,
        "images": [
            {"slot": slot, "url": stimulus_url(code, view.id), "width_px": view.width_px,
             "height_px": view.height_px}
            for slot, view in enumerate(views)
        ],
        "prompt": views[0].prompt if is_told else None,
        "questions": [
            {
                "code": question.code, "text": question.text, "kind": question.kind,
                "points": [
                    {"value": value, "label": label}
                    for value, label in enumerate(question_labels(question, len(views)), start=1)
                ],
                "has_cannot_judge": question.has_cannot_judge,
            }
            for question in protocol.questions_of(step)
        ],
        "answered": [
            {"code": question.code, "text": question.text, "label": "as answered before"}
            for question in protocol.questions
            if question.step < step
        ],
        "tags": list(protocol.defect_tags),
        "previous": None,
        "can_revise": protocol.can_revise,
        "saved": {
            "answers": {}, "cannot_judge": [], "is_seen_before": False, "tags": [], "marks": [],
            "remark": "",
        },
    }  # fmt: skip
