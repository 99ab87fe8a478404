"""Which terms of a prompt the chosen models know, hardly know and ignore."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from data.trained_terms import RARE_BELOW, images_of, read_trained_terms
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.panel import TermGroup, render_terms


def show_terms(prompt: str, entries: Sequence[ModelEntry]) -> str:
    """Returns, as HTML, which terms of a prompt models know, hardly know and ignore.

    Models that make the same of the prompt are shown together; where all do, without their names.
    Where models of several domains are chosen, it is said to which one the prompt belongs.
    """
    groups: dict[TermGroup, list[str]] = {}
    for entry in entries:
        groups.setdefault(_terms_of(prompt, entry), []).append(entry.label)
    note = domain_note(entries)
    if len(groups) == 1:
        return render_terms(list(groups), note)
    return render_terms(
        [replace(group, label=", ".join(labels)) for group, labels in groups.items()], note
    )


def domain_note(entries: Sequence[ModelEntry]) -> str:
    """Returns what to know where models of several domains are chosen; empty where they are not."""
    labels: dict[str, list[str]] = {}
    for entry in entries:
        labels.setdefault(entry.language.label, []).append(entry.label)
    if len(labels) < 2:
        return ""
    said = "; ".join(f"{', '.join(names)}: {label}" for label, names in labels.items())
    return (
        f"The chosen models are of {len(labels)} domains ({said}). A prompt belongs to one of "
        "them; models of another cannot draw it, and a comparison with them says nothing."
    )


def _terms_of(prompt: str, entry: ModelEntry) -> TermGroup:
    counts = _trained_terms(entry)
    trained = None if counts is None else [name for name, images in counts.items() if images]
    report = entry.language.find_terms(prompt or "", trained)
    known: list[tuple[str, str]] = []
    rare: list[tuple[str, str]] = []
    for term in report.known:
        images = None if counts is None else images_of(term, counts)
        title = f"understood as {term.concept}"
        if images is not None:
            title += f"; stated of {images} training images"
        is_rare = images is not None and images < RARE_BELOW
        (rare if is_rare else known).append((term.text, title))
    ignored = tuple(span.text for span in report.ignored)
    return TermGroup("", tuple(known), ignored, tuple(rare))


def _trained_terms(entry: ModelEntry) -> Mapping[str, int] | None:
    """Returns in how many training images each concept is stated; None where nobody counted."""
    for source in entry.sources().values():  # of Kandinsky the prior is what reads the prompt
        if source.place and (counts := read_trained_terms(source.place)) is not None:
            return counts
    return None
