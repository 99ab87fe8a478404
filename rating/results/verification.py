"""Verifying a study capsule: every hash, what its files prove of each other, the tables again.

A capsule is somebody's file: its scripts are compared with those of this version and never run.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rating.errors import CapsuleError
from rating.results.capsule_checks import (
    check_events,
    check_images,
    check_locked_rows,
    check_protocols,
)
from rating.results.capsule_contents import EVENTS, IMAGES, LOCKED_ROWS, VERSIONS
from rating.results.capsule_hashes import checked_manifest
from rating.results.capsule_reading import LIMITS, Capsule, CapsuleLimits, opened_capsule
from rating.results.capsule_results import (
    ALL_TABLES,
    ASSIGNMENTS,
    MAIN_TABLE,
    RATINGS,
    SETTINGS,
    all_text,
    main_text,
    script_files,
)
from rating.results.manifest import Manifest

_NEEDED: Final[Mapping[str, Callable[[Capsule, Manifest], None]]] = {
    VERSIONS: check_protocols,
    IMAGES: check_images,
    EVENTS: check_events,
    LOCKED_ROWS: check_locked_rows,
}
_MOST_POINTS: Final = 1000  # what a forged scale could make the statistics count


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Args:
        faults:        What is wrong, each beginning with the name of a file; () when nothing is.
        notes:         What could not be verified and why, and what else is to be known.
        checked_files: How many files were compared with their hash.
        manifest:      What the capsule says of itself; None where that cannot be read.
        main_table:    Text computed again from its answers; "" where that was not possible.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    checked_files: int
    manifest: Manifest | None
    main_table: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify_capsule(path: Path, *, limits: CapsuleLimits = LIMITS) -> Verification:
    """Verify a capsule and return all that was found; nothing in it is executed.

    Args:
        path:   The ZIP file.
        limits: What it may hold at most.

    Raises:
        CapsuleError: There is no such file.
        NewerCapsuleError: A newer version of this software wrote it.
    """
    if not path.is_file():
        raise CapsuleError(f"There is no file {path}; name a capsule, a ZIP file.")
    try:
        with opened_capsule(path, limits) as capsule:
            manifest = checked_manifest(capsule)
            main_table = "" if manifest is None else _deep_checks(capsule, manifest)
            return Verification(
                tuple(dict.fromkeys(capsule.faults)), tuple(capsule.notes), len(capsule.intact),
                manifest, main_table,
            )  # fmt: skip
    except CapsuleError as error:
        if type(error) is not CapsuleError:
            raise
        return Verification((str(error),), (), 0, None, "")


def _deep_checks(capsule: Capsule, manifest: Manifest) -> str:
    """Run the checks of one file against another on those that are whole."""
    for name, check in _NEEDED.items():
        if name in capsule.intact:
            capsule.check(name, lambda check=check: check(capsule, manifest))  # type: ignore[misc]
        elif name == LOCKED_ROWS and (manifest.is_public or not manifest.root_hash):
            continue
        elif name not in manifest.files:
            capsule.faults.append(f"{name}: is missing, and the manifest does not name it either.")
    if manifest.is_public:
        capsule.notes.append(
            "A public capsule: the chain of events and the root hash can be verified from the full "
            "one alone."
        )
    elif not manifest.root_hash:
        capsule.notes.append("The study is not locked: there is no root hash to verify.")
    _compare_scripts(capsule)
    return _recomputed(capsule)


def _compare_scripts(capsule: Capsule) -> None:
    """Say where the scripts are not those of this version; they may be older and right."""
    differing = []
    for name, content in script_files().items():
        if name in capsule.intact and capsule.text_bytes(name) != content:
            differing.append(name)
        elif name not in capsule.names:
            differing.append(f"{name} (missing)")
    ours = set(script_files())
    strays = {name for name in capsule.names if name.startswith("scripts/")} - ours
    differing += [f"{name} (only there)" for name in sorted(strays)]
    if differing:
        capsule.notes.append(
            "Scripts differ from those of this version, so look at them before you run them: "
            f"{', '.join(differing)}."
        )


def _recomputed(capsule: Capsule) -> str:
    """Return the main table computed again by our own statistics, all compared with the texts."""
    needed = (RATINGS, ASSIGNMENTS, SETTINGS, MAIN_TABLE, ALL_TABLES)
    if lacking := [name for name in needed if name not in capsule.intact]:
        capsule.notes.append(
            f"The tables were not computed again: {', '.join(lacking)} cannot be relied on."
        )
        return ""
    found: list[str] = []
    capsule.check(RATINGS, lambda: found.extend(_texts(capsule)))
    if not found:
        return ""
    for name, text in zip((MAIN_TABLE, ALL_TABLES), found, strict=True):
        if capsule.text_bytes(name) != text.encode("utf-8"):
            capsule.faults.append(f"{name}: does not follow from {RATINGS}; computed, it differs.")
    return found[0]


def _texts(capsule: Capsule) -> tuple[str, str]:
    """Return main table and all tables as our own statistics compute them."""
    from rating.results.statistics.analysis import analyse
    from rating.results.statistics.finding import Settings
    from rating.results.statistics.tables import read_assignments, read_ratings

    settings = Settings.from_dict(json.loads(capsule.text_bytes(SETTINGS)))
    if any(not 0 <= each.maximum - each.minimum < _MOST_POINTS for each in settings.scales):
        raise CapsuleError(f"{SETTINGS}: a scale has more than {_MOST_POINTS} points, or none.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        capsule.copy(RATINGS, folder / "ratings_long.csv")
        capsule.copy(ASSIGNMENTS, folder / "assignments.csv")
        ratings = read_ratings(folder / "ratings_long.csv")
        assignments = read_assignments(folder / "assignments.csv")
    analysis = analyse(ratings, assignments, settings)
    return main_text(analysis), all_text(analysis)
