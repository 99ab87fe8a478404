"""Wordings for paraphrases: noun phrases for what is there and nouns for what is not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from data.facts import Attributes
from data.grid import CELLS, band

PROCEDURE_WORDS: Final = {
    "colonoscopy": ("colonoscopy", "colonoscopy", "lower endoscopy"),
    "gastroscopy": ("gastroscopy", "gastroscopy", "upper endoscopy", "upper GI endoscopy", "EGD"),
}
FINDING_WORDS: Final = {
    "polyp": ("polyp",),
    "ulcerative colitis": ("ulcerative colitis", "ulcerative colitis", "UC"),
    "oesophagitis": ("oesophagitis", "oesophagitis", "reflux oesophagitis"),
    "Barrett's oesophagus": ("Barrett's oesophagus", "Barrett's mucosa"),
}
INSTRUMENT_WORDS: Final = {
    "polyp snare": ("a polyp snare", "a snare", "a polypectomy snare"),
    "tube": ("a tube", "a tube", "an endoscope tube"),
    "biopsy forceps": ("biopsy forceps", "forceps"),
    "metal clip": ("a metal clip", "a clip", "a haemoclip"),
    "injection needle": ("an injection needle", "a needle"),
}
LANDMARK_WORDS: Final = {
    "z-line": ("the z-line", "the Z-line", "the Z line"),
    "cecum": ("the caecum",),
    "ileum": ("the ileum", "the terminal ileum"),
    "pylorus": ("the pylorus",),
}
TEXT_WORDS: Final = ("text", "text", "on-screen text", "burned-in text")
BOX_WORDS: Final = (
    "a green/black box artefact",
    "a green/black box artefact",
    "a green box",
    "a black box artefact",
    "a picture-in-picture box",
)
ABNORMALITY_WORDS: Final = ("abnormality", "abnormality", "lesion")
PARIS_WORDS: Final = {
    "Is": "sessile",
    "Ip": "pedunculated",
    "IIa": "flat elevated",
    "Isp": "semi-pedunculated",
    "IIb": "completely flat",
    "IIc": "depressed",
    "III": "excavated",
}
NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
AMERICAN: Final = (
    ("colour", "color"),
    ("centre", "center"),
    ("oesoph", "esoph"),
    ("grey", "gray"),
    ("artefact", "artifact"),
    ("caec", "cec"),
    ("haem", "hem"),
)
"""British wordings used here, and their American spellings."""

_BANDS: Final = {
    band("left"): "left side",
    band("right"): "right side",
    band("upper"): "upper third",
    band("lower"): "lower third",
}


class Part(NamedTuple):
    """One statement: a noun phrase for sentences, the same as keywords, and what it denies."""

    phrase: str
    keywords: tuple[str, ...] = ()
    is_negative: bool = False


def american(text: str) -> str:
    """Return the text in American spelling."""
    for british, spelling in AMERICAN:
        if british in text:
            text = text.replace(british, spelling)
    return text


def joined(words: Sequence[str], last: str = "and") -> str:
    """Return "a, b and c"."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def with_article(noun: str) -> str:
    """Return the noun phrase with "a" or "an" in front, by its sound."""
    first = noun[0].lower()
    is_vowel = first in "aeiou" or noun.startswith(("8", "11-", "18"))
    return f"{'an' if is_vowel else 'a'} {noun}"


class Wording:
    """Draws wordings; one instance keeps one style throughout a prompt."""

    def __init__(self, rng: random.Random | None) -> None:
        """Keep the source of chance; None always takes the first wording."""
        self._rng = rng
        self.separator = "-" if rng is None else self.pick(("-", " ", " "))
        self.rows = ("upper", "lower")
        if rng is not None and rng.random() < 0.3:
            self.rows = ("top", "bottom")
        self.uses_quadrants = rng is not None and rng.random() < 0.2
        self.is_normal = rng is not None and rng.random() < 0.3
        self.has_number_words = rng is not None and rng.random() < 0.5

    def pick(self, words: Sequence[str]) -> str:
        """Return one of the words."""
        return words[0] if self._rng is None else words[int(self._rng.random() * len(words))]

    def chance(self, share: float) -> bool:
        """Return True with this probability; without a source of chance, never."""
        return self._rng is not None and self._rng.random() < share

    def number(self, count: int) -> str:
        """Return the count in figures or as a word."""
        return NUMBERS[count] if self.has_number_words and count < len(NUMBERS) else str(count)

    def cell(self, cell: str) -> str:
        """Return one cell in this prompt's style: "lower right", "bottom-right", ..."""
        if cell == "center":
            return "centre"
        row, column = cell.split("-")
        if self.uses_quadrants and row != "center" and column != "center":
            return f"{column} {row} quadrant"
        row = {"upper": self.rows[0], "lower": self.rows[1], "center": "centre"}[row]
        column = "centre" if column == "center" else column
        return f"{row}{self.separator}{column}"

    def place(self, cells: Sequence[str]) -> str:
        """Return where the cells are, as what follows a noun: "in the lower right"."""
        if len(cells) == len(CELLS) and self.chance(0.5):
            return self.pick(("throughout the image", "covering the whole image"))
        side = _BANDS.get(tuple(cells))
        if side is not None and self.chance(0.5):
            return f"{'on' if 'side' in side else 'in'} the {side}"
        where = joined([self.cell(cell) for cell in cells])
        return f"{self.pick(('located in the', 'in the', 'in the'))} {where}"

    def place_keywords(self, cells: Sequence[str]) -> str:
        """Return where the cells are, in keywords: "lower right and centre"."""
        if len(cells) == len(CELLS) and self.chance(0.5):
            return self.pick(("diffuse", "throughout the image"))
        return joined([self.cell(cell) for cell in cells])


def positive_parts(said: Attributes, words: Wording) -> list[Part]:
    """Return the statements about what is there."""
    parts = _finding_parts(said, words)
    parts += _instrument_parts(said, words)
    parts += _landmark_parts(said, words)
    if said.finding_count == 0 and words.is_normal:
        parts.append(Part("normal mucosa", ("normal mucosa",)))
    if said.has_text:
        text = words.pick(TEXT_WORDS)
        parts.append(Part(text, (text,)))
    if said.has_box:
        box = words.pick(BOX_WORDS)
        parts.append(Part(box, (box.removeprefix("a "),)))
    return parts


def negative_parts(said: Attributes, words: Wording) -> list[Part]:
    """Return the statements about what is not there, as nouns without an article."""
    nouns = []
    if said.finding_count == 0 and not words.is_normal:
        nouns.append(words.pick(("findings", "findings", "abnormalities", "lesions")))
    if said.polyp_count == 0:
        nouns.append(words.pick(("polyps",)))
    if said.instrument_count == 0:
        nouns.append(words.pick(("instruments",)))
    if said.has_text is False:
        nouns.append(words.pick(TEXT_WORDS))
    if said.has_box is False:
        nouns.append(words.pick(BOX_WORDS[:-1]).removeprefix("a "))
    nouns += [_absent_noun(name, words) for name in said.absent]
    return [Part(noun, (f"no {noun}",), is_negative=True) for noun in nouns]


def _absent_noun(name: str, words: Wording) -> str:
    head, _, value = name.partition(":")
    if not value:
        return "anatomical landmark"
    table = {"finding": FINDING_WORDS, "instrument": INSTRUMENT_WORDS, "landmark": LANDMARK_WORDS}
    noun = words.pick(table[head][value])
    for article in ("a ", "an ", "the "):
        noun = noun.removeprefix(article)
    return noun


def _finding_parts(said: Attributes, words: Wording) -> list[Part]:
    others = [name for name in said.findings if name != "polyp"]
    has_polyp = "polyp" in said.findings
    cells, colours = said.finding_cells, said.colours
    parts = []
    is_single = int(has_polyp) + len(others) == 1 and not words.chance(0.25)
    on_one = (cells, colours) if is_single else ((), ())
    if has_polyp:
        parts.append(_polyp_part(said, words, *on_one))
    for name in others:
        noun = words.pick(FINDING_WORDS[name])
        parts.append(_described(noun, words, *on_one))
    is_counted = bool(said.finding_count)
    if is_counted or "finding" in said.several:
        parts.append(_count_part(said, words))
    needs_noun = said.has_finding and not parts
    if not is_single and (cells or colours or needs_noun):
        noun = with_article(words.pick(ABNORMALITY_WORDS))
        parts.append(_described(noun, words, cells, colours))
    return parts


def _count_part(said: Attributes, words: Wording) -> Part:
    if said.finding_count:
        many = "" if said.finding_count == 1 else "s"
        text = f"{words.number(said.finding_count)} finding{many}"
    else:
        text = words.pick(("several findings", "multiple findings"))
    return Part(text, (text,))


def _described(
    noun: str, words: Wording, cells: Sequence[str], colours: Sequence[str], extra: str = ""
) -> Part:
    phrase = f"{noun} {extra}" if extra else noun
    keywords = [noun.removeprefix("an ").removeprefix("a ")]
    if extra:
        keywords.append(extra)
    if colours:
        many = "s" if len(colours) > 1 else ""
        shades = joined(colours)
        phrase += f" {words.pick((f'with the colour{many}', f'of colour{many}'))} {shades}"
        keywords.append(shades)
    if cells:
        phrase += f" {words.place(cells)}"
        keywords.insert(1, words.place_keywords(cells))
    return Part(phrase, tuple(keywords))


def _polyp_part(
    said: Attributes, words: Wording, cells: Sequence[str], colours: Sequence[str]
) -> Part:
    count, sizes, types = said.polyp_count, said.polyp_sizes, said.paris_types
    is_many = (count or 0) > 1 or "polyp" in said.several
    before, after = [], []
    if len(types) == 1 and words.chance(0.5):
        before.append(PARIS_WORDS[types[0]])
        if words.chance(0.3):
            after.append(f"(Paris {types[0]})")
    elif types:
        style = words.pick(("of type", "of type", ","))
        names = joined([f"Paris {name}" for name in types])
        after.append(f"of type {names}" if style == "of type" or is_many else f"({names})")
    if len(sizes) == 1 and words.chance(0.5):
        before.insert(0, sizes[0])
    elif sizes:
        after.append(f"{words.pick(('of size', 'measuring', 'sized'))} {joined(sizes)}")
    if colours and words.chance(0.4):
        before.append(joined(colours))
        colours = ()
    noun = " ".join([*before, "polyps" if is_many else "polyp"])
    if count:
        is_clear = noun[0].isalpha() or count >= len(NUMBERS)
        noun = f"{words.number(count) if is_clear else NUMBERS[count]} {noun}"
        if count == 1 and words.chance(0.3):
            noun = "a single" + noun[noun.index(" ") :]
    elif is_many and len(sizes) < 2 and len(types) < 2:
        noun = f"{words.pick(('several', 'multiple'))} {noun}"
    elif not is_many:
        noun = with_article(noun)
    return _described(noun, words, cells, colours, " ".join(after))


def _instrument_parts(said: Attributes, words: Wording) -> list[Part]:
    count, cells = said.instrument_count, said.instrument_cells
    is_counted = bool(count) or "instrument" in said.several
    parts = []
    is_single = len(said.instruments) == 1 and not is_counted
    for name in said.instruments:
        noun = words.pick(INSTRUMENT_WORDS[name])
        parts.append(_described(noun, words, cells if is_single else (), ()))
    if is_counted:
        noun = f"{words.pick(('several', 'multiple'))} instruments"
        if count:
            noun = f"{words.number(count)} instrument{'s' if count > 1 else ''}"
        parts.append(_described(noun, words, cells, ()))
    elif (cells and not is_single) or (said.has_instrument and not parts):
        parts.append(_described("an instrument", words, cells, ()))
    return parts


def _landmark_parts(said: Attributes, words: Wording) -> list[Part]:
    cells = said.landmark_cells
    is_single = len(said.landmarks) == 1
    parts = []
    for name in said.landmarks:
        noun = words.pick(LANDMARK_WORDS[name])
        part = _described(noun, words, cells if is_single else (), ())
        first, *rest = part.keywords
        parts.append(Part(part.phrase, (first.removeprefix("the "), *rest)))
    if (cells and not is_single) or (said.has_landmark and not parts):
        parts.append(_described("an anatomical landmark", words, cells, ()))
    return parts
