"""What a study asks of its raters and what it will conclude: the protocol and its analysis plan.

A protocol is data: it is read from a form or a TOML file, checked as a whole, and from the opening
of the study on kept as canonical JSON with its SHA-256.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from rating.errors import ProtocolError
from rating.study.protocol_rules import problems as problems  # told with the protocol
from rating.study.typed_values import read_values

Display = Literal["single", "side_by_side"]
QuestionKind = Literal["scale", "preference"]

REAL_OR_SYNTHETIC: Final = "origin"
REALISM: Final = "realism"
ALIGNMENT: Final = "alignment"
PREFERENCE: Final = "preference"
DEFECT_TAGS: Final = ("anatomy", "instrument", "colour", "texture", "text", "artefact")
SIDE_BY_SIDE_INSTRUCTIONS: Final = (
    "Each screen shows one text and several images made from it, in an order that changes. Compare "
    "the images and say which one shows the text best."
)
SPECIALTIES: Final = (
    "Gastroenterology", "Endoscopy nursing", "Gastrointestinal surgery", "Radiology", "Pathology",
    "Internal medicine", "Other medical specialty", "Student of medicine", "Not a clinician",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class QuestionText:
    """A question: a labelled scale, or which of the pictures side by side is preferred.

    Args:
        code:    Column of the exports: letters, digits and underscores.
        text:    As the rater reads it.
        labels:  One for each point, from value 1 up. Empty for a preference, whose points are the
                 slots, and "no preference" where `has_cannot_judge`.
        step:    1: the pictures alone; 2: after step 1 is frozen, with the prompt.
        kind:    "scale" or "preference".
        has_cannot_judge: Whether *cannot judge* may be answered.
    """

    code: str
    text: str
    labels: tuple[str, ...]
    step: int = 1
    kind: QuestionKind = "scale"
    has_cannot_judge: bool = True


DEFAULT_QUESTIONS: Final = (
    QuestionText(
        REAL_OR_SYNTHETIC,
        "Is this image real or synthetic?",
        ("certainly real", "probably real", "rather real",
         "rather synthetic", "probably synthetic", "certainly synthetic"),
    ),
    QuestionText(
        REALISM,
        "How realistic does it look?",
        ("not at all", "slightly", "moderately", "very", "completely"),
    ),
    QuestionText(
        ALIGNMENT,
        "How well does the image show what the text says?",
        ("not at all", "slightly", "moderately", "well", "completely"),
        step=2,
    ),
)  # fmt: skip
PREFERENCE_QUESTIONS: Final = (
    QuestionText(
        PREFERENCE, "Which image shows the text best and most realistically?", (),
        step=1, kind="preference",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Consent:
    """What raters agree to; the SHA-256 of `text` is kept with each consent."""

    text: str = (
        "You will look at medical images, some of them real and some of them made by a computer, "
        "and say how they look to you. Your answers are kept under a code, without your name. "
        "Taking part is voluntary: you may stop at any time, and ask for your answers to be erased "
        "until the study is locked."
    )
    ethics_approval: str = ""
    contact: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What the study will conclude from, fixed before it opens.

    Args:
        primary_question:   Code of the question that decides.
        reference_arm:      Code of the arm that the others are compared with.
        contrast_arms:      Codes of the arms compared with it; empty means all others.
        estimand:           In words: of which difference, over which raters and prompts.
        equivalence_margin: In points of the primary question's scale; None where equivalence is
                            no aim.
        holm_family:        Codes of the questions whose contrasts share one Holm correction.
        exclusions:         Whose answers are left out and why, in words.
        cannot_judge:       "exclude" (leave the answer out) or "worst" (count the lowest value).
        extension_rule:     When raters may be added after opening, in words.
    """

    primary_question: str = REALISM
    reference_arm: str = ""
    contrast_arms: tuple[str, ...] = ()
    estimand: str = (
        "Difference of mean scores between arms, for raters and prompts such as these."
    )
    equivalence_margin: float | None = None
    holm_family: tuple[str, ...] = (REALISM,)
    exclusions: str = "Raters who answered fewer than half of their items."
    cannot_judge: Literal["exclude", "worst"] = "exclude"
    extension_rule: str = "Raters may be added while their answers are unseen; arms may not."


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that raters are asked and how; every field has a default.

    Args:
        display:             "single", or "side_by_side": one slot for each arm, no real images
                             needed, not on phones.
        questions:           In the order asked.
        instructions:        Shown before the first item.
        consent:             See `Consent`.
        items_per_rater:     Main items of one rater; None: all of them. Whole prompt sets are
                             drawn, so that it is met as nearly as sets allow and never exceeded.
        repeat_share:        Hidden repeats as a share of the main items, 0 to 0.5.
        washout_items:       Least number of other items between an item and its repeat.
        practice_items:      At most this many practice images are shown first.
        check_items:         Attention checks for each rater, 0 to 10.
        session_items:       After so many items a pause is offered.
        can_revise:          Whether answers of the last step may be changed until the end; the
                             first step of a two-step item is always frozen.
        smallest_display_px: Narrower windows are asked to be widened before rating.
        specialties:         Offered to raters.
        defect_tags:         Offered to raters; empty: none.
        planned_raters:      How many raters are meant to complete.
        plan:                The analysis plan; a main study cannot open without.
    """

    display: Display = "single"
    questions: tuple[QuestionText, ...] = DEFAULT_QUESTIONS
    instructions: str = (
        "Judge each image as you would one from your own practice. First look at the image alone; "
        "the text it belongs to is shown after your first answers, which are then final."
    )
    consent: Consent = dataclasses.field(default_factory=Consent)
    items_per_rater: int | None = None
    repeat_share: float = 0.1
    washout_items: int = 10
    practice_items: int = 3
    check_items: int = 0
    session_items: int = 14
    can_revise: bool = True
    smallest_display_px: int = 320
    specialties: tuple[str, ...] = SPECIALTIES
    defect_tags: tuple[str, ...] = DEFECT_TAGS
    planned_raters: int = 3
    plan: AnalysisPlan | None = None

    @property
    def step_count(self) -> int:
        """Number of steps of an item."""
        return max(question.step for question in self.questions)

    def questions_of(self, step: int) -> tuple[QuestionText, ...]:
        """Return the questions of a step, 1 or 2."""
        return tuple(question for question in self.questions if question.step == step)

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as JSON values; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    def canonical(self) -> str:
        """Return the JSON text whose bytes are hashed: sorted keys, no spaces, UTF-8."""
        return json.dumps(
            self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )

    def sha256(self) -> str:
        """Return the SHA-256 of `canonical`, in hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode("utf-8")).hexdigest()

    @classmethod
    def of(cls, display: Display) -> "Protocol":
        """Return the default protocol of a display."""
        if display == "single":
            return cls()
        return cls(
            display=display, questions=PREFERENCE_QUESTIONS, instructions=SIDE_BY_SIDE_INSTRUCTIONS
        )

    @classmethod
    def from_dict(cls, values: object) -> "Protocol":
        """Return the protocol that `to_dict` or a TOML file gave; missing fields take defaults.

        Where the display is "side_by_side", the defaults are those of that display. Whether the
        plan's arms are there is asked later, by `problems`.

        Raises:
            ProtocolError: with every unknown field, wrong type and impossible value.
        """
        faults: list[str] = []
        protocol = read_values(cls, _with_defaults(values), faults)
        if protocol is None or faults:
            raise ProtocolError(_report(faults))
        return checked_protocol(protocol)


def checked_protocol(protocol: Protocol) -> Protocol:
    """Return the protocol, or raise ProtocolError with all its problems."""
    if faults := problems(protocol):
        raise ProtocolError(_report(faults))
    return protocol


def _report(faults: Sequence[str]) -> str:
    return "\n".join(("The protocol cannot be used:", *(f"  {fault}" for fault in faults)))


def _with_defaults(values: object) -> object:
    """Put in what a protocol side by side asks by default."""
    if not isinstance(values, dict) or values.get("display") != "side_by_side":
        return values
    default = Protocol.of("side_by_side")
    full = {"questions": default.to_dict()["questions"], "instructions": default.instructions}
    full |= values
    if isinstance(full.get("plan"), dict):
        plan = {"primary_question": PREFERENCE, "holm_family": [PREFERENCE]}
        full["plan"] = plan | full["plan"]
    return full
