"""Says radiology facts in words: short forms for training, one canonical prompt for display."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from data.radiology.facts import RadiologyFacts

_MODALITY_WORDS: Final = {
    "X-ray": ("radiograph", "X-ray", "X-ray image"),
    "CT": ("CT scan", "CT", "CT image", "computed tomography"),
    "MRI": ("MRI", "MR image", "MRI scan"),
    "ultrasound": ("ultrasound image", "ultrasound", "sonogram"),
    "mammography": ("mammography", "mammography image"),
    "angiography": ("angiography", "angiogram"),
    "PET": ("PET", "PET scan", "PET image"),
    "scintigraphy": ("scintigraphy", "scintigraphy image"),
    "fluoroscopy": ("fluoroscopy", "fluoroscopy image"),
}
_VIEW_WORDS: Final = {
    "posteroanterior": ("posteroanterior", "PA"),
    "anteroposterior": ("anteroposterior", "AP"),
    "lateral": ("lateral view",),
    "oblique": ("oblique view",),
    "panoramic": ("panoramic",),
}
_SIDE_WORDS: Final = {
    "left": "on the left", "right": "on the right", "bilateral": "on both sides",
}  # fmt: skip
_COUNTABLE: Final = frozenset({
    "nodule", "mass", "benign mass", "malignant mass", "hernia", "fracture", "haemorrhage",
    "infarct", "tumour", "cyst", "calcification", "stone", "abscess", "aneurysm", "stenosis",
    "pneumothorax", "effusion", "metastasis", "consolidation",
})  # fmt: skip
_PATIENTS: Final = {"female": "woman", "male": "man", None: "patient"}


def canonical_prompt(facts: RadiologyFacts) -> str:
    """Return one prompt that says all of the facts, as the captions of radiographs are worded."""
    return _sentence(facts, None)


def say(facts: RadiologyFacts, rng: random.Random) -> str:
    """Return a prompt that says all of the facts, in random words."""
    return _keywords(facts, rng) if rng.random() < 0.5 else _sentence(facts, rng)


def short_form(facts: RadiologyFacts, rng: random.Random) -> str:
    """Return a prompt that says a random part of the facts and adds nothing to them.

    What the picture is mostly stays in. A side is said only where no more than one finding could
    be meant, so that nothing moves to where it is not.
    """
    return say(choose_facts(facts, rng), rng)


def choose_facts(facts: RadiologyFacts, rng: random.Random) -> RadiologyFacts:
    """Return a random part of the facts; all of them in one draw of three."""
    chosen = facts
    if rng.random() >= 1 / 3:
        kept = rng.sample(
            facts.findings, rng.randint(min(1, len(facts.findings)), len(facts.findings))
        )
        is_known = {name: rng.random() < share for name, share in (
            ("modalities", 0.9), ("regions", 0.9), ("views", 0.5), ("planes", 0.5),
            ("sides", 0.5), ("has_contrast", 0.5), ("absent", 0.5), ("sex", 0.4),
            ("age_years", 0.3),
        )}  # fmt: skip
        nothing = RadiologyFacts()
        chosen = replace(
            facts, findings=tuple(kept),
            **{name: getattr(nothing, name) for name, keep in is_known.items() if not keep},
        )  # fmt: skip
    if len(facts.findings) + len(facts.absent) > 1 or len(facts.regions) > 1:
        chosen = replace(chosen, sides=())
    return facts if chosen == RadiologyFacts() else chosen


def _pick(options: Sequence[str], rng: random.Random | None) -> str:
    return options[0] if rng is None else rng.choice(options)


def _noun(facts: RadiologyFacts, rng: random.Random | None) -> str:
    """Return "anteroposterior chest radiograph", "axial CT scan of the head and neck", ..."""
    words = [_pick(_VIEW_WORDS[view], rng) for view in facts.views]
    if facts.has_contrast is not None:
        words.append("contrast-enhanced" if facts.has_contrast else "non-contrast")
    words += facts.planes
    modalities = [_pick(_MODALITY_WORDS[name], rng) for name in facts.modalities] or ["image"]
    noun = _joined((*facts.modalities[:-1], modalities[-1]))
    is_short = len(facts.regions) == 1 and (rng is None or rng.random() < 0.6)
    if is_short:
        return " ".join([*words, facts.regions[0], noun])
    where = f" of the {_joined(facts.regions)}" if facts.regions else ""
    return " ".join([*words, noun]) + where


def _patient(facts: RadiologyFacts) -> str:
    if facts.sex is None and facts.age_years is None:
        return ""
    age = "" if facts.age_years is None else f"{facts.age_years}-year-old "
    return f"{age}{_PATIENTS[facts.sex]}"


def _sentence(facts: RadiologyFacts, rng: random.Random | None) -> str:
    text = _noun(facts, rng)
    if patient := _patient(facts):
        text += f" of {_article(patient)} {patient}"
    verb = _pick(("showing", "with", "demonstrating"), rng)
    if facts.is_normal:
        text += f" {verb} {_pick(('no finding', 'no abnormality', 'normal anatomy'), rng)}"
    elif facts.findings:
        text += f" {verb} {_joined(tuple(_with_article(name, rng) for name in facts.findings))}"
    if facts.absent and not facts.is_normal:
        text += f", no {_joined(facts.absent, 'or')}"
    for side in facts.sides:
        text += f", {_SIDE_WORDS[side]}"
    return f"{text[0].upper()}{text[1:]}."


def _keywords(facts: RadiologyFacts, rng: random.Random) -> str:
    parts = [_noun(replace(facts, views=(), planes=(), has_contrast=None), rng)]
    details = [_pick(_VIEW_WORDS[view], rng) for view in facts.views]
    details += facts.planes
    if facts.has_contrast is not None:
        details.append("contrast-enhanced" if facts.has_contrast else "non-contrast")
    if patient := _patient(facts):
        details.append(patient)
    details += facts.findings
    if facts.is_normal:
        details.append(rng.choice(("normal", "no finding")))
    rng.shuffle(details)
    if not facts.is_normal:
        details += [f"no {name}" for name in facts.absent]
    details += [_SIDE_WORDS[side] for side in facts.sides]
    return ", ".join([*parts, *details])


def _with_article(finding: str, rng: random.Random | None) -> str:
    is_plain = finding not in _COUNTABLE or rng is None or rng.random() < 0.5
    return finding if is_plain else f"{_article(finding)} {finding}"


def _article(noun: str) -> str:
    starts_with_vowel = noun[0] in "aeiou" or noun.startswith(("8", "11-", "18-"))
    return "an" if starts_with_vowel else "a"


def _joined(names: Sequence[str], word: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
