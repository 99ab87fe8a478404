"""A simulated rater: what it answers to an item, drawn from a planted truth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rating.study.planted import NORMAL, PlantedOrigin, PlantedPreference, PlantedScale, Truth
from rating.study.seeded import Draws
from rating.study.unblinding import ShownItem

SPECIALTY: Final = "Simulated"  # by which everybody knows them, in every export
_REMARKS: Final = (
    "The vessel pattern stops in the middle of the fold.",
    "Looks \"airbrushed\" to me, like a painting; too smooth.",
    "Reflections, but no light source that fits them.",
    "Nothing to add",
    "= could be either, honestly",
    "Good image.\nI would have believed it in clinic.",
    "Überstrahlung oben links, sonst gut 👍",
)  # fmt: skip
_CLOSING: Final = (
    "", "", "Some images were very convincing.", "Too many polyps for one morning!",
    "I was unsure about the first ones; later I got used to it.",
)  # fmt: skip
_WINDOWS: Final = ((1440, 900, 1.0), (1280, 720, 2.0), (1920, 1080, 1.0), (1180, 820, 2.0))
_MEDIAN_FIRST_MS: Final = 7_000
_MEDIAN_SECOND_MS: Final = 4_000
_TIME_SPREAD: Final = 0.45  # of the logarithm of a time
_ROUTINE: Final = 0.35  # share of the time that practice saves in the end
_ITEMS_TO_ROUTINE: Final = 15


class SimulatedRater:
    """Answers as one person does: the same leanings all the time, chance on top."""

    def __init__(self, truth: Truth, code: str) -> None:
        """Become the rater of a code, for example "R01"."""
        self._truth, self._code = truth, code
        self._centres = {
            (scale.code, arm): scale.centre(arm) for scale in truth.scales for arm in scale.means
        }
        draws = self._draws("person")
        self.years_experience = 1 + int(draws.share() * 30)
        self.is_independent = draws.share() < 0.85
        self.closing_remark = draws.one_of(_CLOSING)
        self._window = draws.one_of(_WINDOWS)
        self._pace = math.exp(0.25 * _normal(draws))

    def request(self, item: Mapping[str, Any], shown: ShownItem) -> dict[str, Any]:
        """Return what a browser would send for the present step of an item.

        Args:
            item:  As `RatingDesk` tells it.
            shown: What it shows.
        """
        step = item["step"]
        habits = self._truth.habits
        draws = self._draws("step", shown.kind, shown.prompt, _names(shown), step)
        answers, unable = {}, []
        for question in item["questions"]:
            if question["has_cannot_judge"] and draws.share() < habits.cannot_judge:
                unable.append(question["code"])
            else:
                answers[question["code"]] = self._value(question, shown)
        width, height, ratio = self._window
        tags, marks = self._defects(item["tags"], shown)
        remarks = self._draws("remark", shown.kind, shown.prompt, _names(shown))
        remark = remarks.one_of(_REMARKS) if remarks.share() < habits.remarked else ""
        return {
            "item": item["token"], "step": step, "key": f"rehearsal-{shown.position}-{step}",
            "answers": answers, "cannot_judge": unable,
            "is_seen_before": shown.kind == "repeat" and remarks.share() < 0.3,
            "tags": tags, "marks": marks, "remark": remark,
            "visible_ms": self._visible_ms(step, shown.position, draws),
            "viewport": [width, height], "device_pixel_ratio": ratio,
        }  # fmt: skip

    def slip(self, item: Mapping[str, Any], request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request with one answer a point beside, or None where this one is no slip."""
        draws = self._draws("slip", request["key"])
        scales = [
            question for question in item["questions"]
            if question["kind"] == "scale" and question["code"] in request["answers"]
        ]  # fmt: skip
        if draws.share() >= self._truth.habits.revised or not scales:
            return None
        question = draws.one_of(scales)
        value, points = request["answers"][question["code"]], len(question["points"])
        beside = value + 1 if value < points else value - 1
        answers = {**request["answers"], question["code"]: beside}
        return {**request, "key": f"{request['key']}-slip", "answers": answers}

    def _value(self, question: Mapping[str, Any], shown: ShownItem) -> int:
        code, points = question["code"], len(question["points"])
        if shown.kind == "check":
            return self._check_value(code, points, shown)
        if shown.kind == "practice":
            return 1 + int(points * self._draws("practice", code, shown.prompt).share())
        for choice in self._truth.choices:
            if choice.code == code:
                return 1 + self._preferred(choice, shown)
        origin = self._truth.origin
        if origin is not None and origin.code == code:
            return self._origin_value(origin, shown)
        return self._scale_value(self._truth.scale(code), shown)

    def _check_value(self, code: str, points: int, shown: ShownItem) -> int:
        draws = self._draws("check", code, shown.prompt, _names(shown))
        accepted = shown.expected.get(code)
        is_attentive = self._draws("attention", shown.prompt).share() < (
            self._truth.habits.attentive
        )
        if accepted and is_attentive:
            return draws.one_of(accepted)
        return 1 + int(points * draws.share())

    def _scale_value(self, scale: PlantedScale, shown: ShownItem) -> int:
        parts, code = scale.components, scale.code
        # A question about several pictures at once is about no arm.
        picture = shown.pictures[0] if len(shown.pictures) == 1 else None
        arm = picture.arm if picture is not None and picture.arm is not None else ""
        centre = self._centres[code, arm] if arm else (1 + scale.points) / 2
        score = centre + math.fsum((
            self._effect(parts.rater, "rater", code, self._code),
            self._effect(parts.prompt, "prompt", code, shown.prompt),
            self._effect(parts.rater_arm, "rater arm", code, self._code, arm),
            self._effect(parts.prompt_arm, "prompt arm", code, shown.prompt, arm),
            self._effect(parts.rater_prompt, "rater prompt", code, self._code, shown.prompt),
            self._effect(
                parts.residual, "residual", code, self._code, shown.kind, shown.prompt,
                _names(shown),
            ),
        ))  # fmt: skip
        return min(scale.points, max(1, math.floor(score + 0.5)))

    def _origin_value(self, origin: PlantedOrigin, shown: ShownItem) -> int:
        picture, code = shown.pictures[0], origin.code
        arm = picture.arm or ""
        evidence = self._effect(origin.image_share, "image", code, picture.name)
        evidence += self._effect(
            1 - origin.image_share, "glance", code, self._code, shown.kind, picture.name
        )
        evidence += self._effect(origin.bias_sd**2, "bias", code, self._code)
        if not picture.is_real:
            evidence += origin.dprimes[arm]
            evidence += self._effect(
                origin.sensitivity_sd**2, "sensitivity", code, self._code, arm
            )
        return 1 + sum(evidence > cut for cut in origin.criteria)

    def _preferred(self, choice: PlantedPreference, shown: ShownItem) -> int:
        """Return the slot of the greatest strength plus Gumbel noise, as Luce's rule asks."""
        code, best, slot = choice.code, -math.inf, 0
        for picture in shown.pictures:
            arm = picture.arm or ""
            draws = self._draws("choice", code, self._code, shown.kind, shown.prompt, arm)
            strength = choice.strengths[arm] - math.log(-math.log(_inside(draws.share())))
            strength += self._effect(
                choice.rater_arm_sd**2, "rater arm", code, self._code, arm
            )
            strength += self._effect(
                choice.prompt_arm_sd**2, "prompt arm", code, shown.prompt, arm
            )
            if strength > best:
                best, slot = strength, picture.slot
        return slot

    def _defects(
        self, offered: Sequence[str], shown: ShownItem
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        tags: list[dict[str, Any]] = []
        marks: list[dict[str, Any]] = []
        for picture in shown.pictures:
            draws = self._draws("defect", shown.kind, shown.prompt, picture.name)
            is_seen = draws.share() < self._truth.habits.tagged and not picture.is_real
            if not offered or not is_seen:
                continue
            tag = draws.one_of(offered)
            tags.append({"slot": picture.slot, "tag": tag})
            if draws.share() < 0.5:
                x, y = round(draws.share(), 4), round(draws.share(), 4)
                marks.append({"slot": picture.slot, "x": x, "y": y, "tag": tag})
        return tags, marks

    def _visible_ms(self, step: int, position: int, draws: Draws) -> int:
        median = _MEDIAN_FIRST_MS if step == 1 else _MEDIAN_SECOND_MS
        learnt = 1 - _ROUTINE * (1 - math.exp(-position / _ITEMS_TO_ROUTINE))
        return int(median * self._pace * learnt * math.exp(_TIME_SPREAD * _normal(draws)))

    def _effect(self, variance: float, *names: str) -> float:
        """Return a random effect, the same whenever it is asked for by the same names."""
        if not variance:
            return 0.0
        return math.sqrt(variance) * _normal(Draws("effect", self._truth.seed, *names))

    def _draws(self, *names: str | int) -> Draws:
        return Draws("rehearsal", self._truth.seed, self._code, *names)


def _names(shown: ShownItem) -> str:
    """Name what is shown whatever the slots: a repeat shows the same in another order."""
    return ",".join(sorted(picture.name for picture in shown.pictures))


def _normal(draws: Draws) -> float:
    return NORMAL.inv_cdf(_inside(draws.share()))


def _inside(share: float) -> float:
    return min(max(share, 1e-12), 1 - 1e-12)
