"""What a domain is: the one object through which its prompts are read, said and asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from data.vocabulary import TermReport

DomainName = Literal["endoscopy", "radiology"]
PROMPTS: Final = Path(__file__).parents[1] / "prompts"


class Facts(Protocol):
    """What captions state of one image."""

    def targets(self, closed_world: bool = False) -> dict[str, bool | None]:
        """Return for each target name of the domain whether it holds; None is not known."""


@dataclass(frozen=True, slots=True)
class PromptField:
    """One control of a form that builds prompts.

    Attributes:
        name: Argument of `Domain.build_prompt`.
        label: What a person reads.
        values: What to offer; (True, False) or (True,) is a yes/no question.
        is_list: Whether several values may be chosen.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    is_list: bool

    @property
    def is_flag(self) -> bool:
        """Whether the values are yes and no."""
        return isinstance(self.values[0], bool)


@dataclass(frozen=True, slots=True)
class Domain:
    """A field of medicine with the language of its prompts.

    Attributes:
        name: What catalogues and commands call it.
        label: What a person reads.
        target_names: The yes/no concepts, in a fixed order.
        read: Facts that a text, or all texts of one image together, state.
        find_terms: Which terms of a prompt are known to a model of the given target names (None:
            of all) and which words it ignores.
        say: A text that says all of some facts, in random words.
        restate: A text for training that says a random part of some facts and adds nothing.
        caption_share: Share of training texts that are the captions themselves.
        may_mirror: Whether facts and a text allow to flip the picture left to right; facts are
            None where the captions state none.
        full_prompt: One text that says all that the captions of an image do.
        correct: A caption in correct spelling.
        fields: The controls of the prompt builder.
        build_prompt: The prompt of values for the fields; raises AttributeValueError for values
            that are not allowed or exclude each other.
        examples: File with example prompts, one a line.
    """

    name: DomainName
    label: str
    target_names: tuple[str, ...]
    read: Callable[[str | Iterable[str]], Any]
    find_terms: Callable[[str, Collection[str] | None], TermReport]
    say: Callable[[Any, random.Random], str]
    restate: Callable[[Any, random.Random], str]
    caption_share: float
    may_mirror: Callable[[Any, str], bool]
    full_prompt: Callable[[Sequence[str]], str]
    correct: Callable[[str], str]
    fields: tuple[PromptField, ...]
    build_prompt: Callable[..., str]
    examples: Path

    @property
    def nothing(self) -> Facts:
        """The facts of a text that states none."""
        facts: Facts = self.read("")
        return facts
