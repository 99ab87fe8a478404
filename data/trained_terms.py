"""How often a model met each concept in training: kept beside its weights, shown beside prompts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from data.domains import ENDOSCOPY, Domain, Facts
from data.errors import DataError
from data.vocabulary import Term

FILE_NAME: Final = "trained_terms.json"
RARE_BELOW: Final = 20  # images; fewer examples than this a small model will hardly have learnt


class TrainedTermsError(DataError):
    """The record of trained terms cannot be read."""


def count_terms(images: Iterable[Facts], domain: Domain = ENDOSCOPY) -> dict[str, int]:
    """Return, for each target name of the domain, in how many images it is stated to be present."""
    counts = dict.fromkeys(domain.target_names, 0)
    for facts in images:
        for name, is_present in facts.targets().items():
            counts[name] += is_present is True
    return counts


def write_trained_terms(
    folder: Path, counts: Mapping[str, int], domain: Domain = ENDOSCOPY
) -> None:
    """Write the record into a checkpoint folder; a domain other than endoscopy is named in it."""
    record: dict[str, Any] = {} if domain is ENDOSCOPY else {"domain": domain.name}
    record["images_stating"] = dict(counts)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_trained_terms(folder: Path) -> dict[str, int] | None:
    """Return the record of a checkpoint folder, None where it has none.

    Raises:
        TrainedTermsError: The file is there and is no such record.
    """
    record = _read(folder / FILE_NAME)
    return None if record is None else record[1]


def trained_domain(folder: Path) -> str | None:
    """Return the name of the domain that a checkpoint's record is of, None where it has none.

    Raises:
        TrainedTermsError: The file is there and is no such record.
    """
    record = _read(folder / FILE_NAME)
    return None if record is None else record[0]


def _read(path: Path) -> tuple[str, dict[str, int]] | None:
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        counts = {str(name): int(count) for name, count in record["images_stating"].items()}
        return str(record.get("domain", ENDOSCOPY.name)), counts
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainedTermsError(f"{path} is no record of trained terms: {error!r}.") from error


def images_of(term: Term, counts: Mapping[str, int]) -> int | None:
    """Return how many training images state a term, None where terms of its kind are not counted.

    A place counts for whatever lies there: a finding, an instrument or a landmark.
    """
    if term.concept.startswith("cell:"):
        place = term.concept.removeprefix("cell:")
        return max((n for name, n in counts.items() if name.endswith(f" cell:{place}")), default=0)
    return counts.get(term.concept)
