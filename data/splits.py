"""Train, validation and test parts that never share a group, and the file that keeps them."""

import csv
import dataclasses
import hashlib
import itertools
import pathlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

from data.errors import DataValueError, SplitError
from data.records import SPLITS, ImageRecord, Split, image_id_of, parse_split
from data.tables import read_table

SPLIT_FILE: Final = "split.csv"
SPLIT_COLUMNS: Final = ("Filename", "Split")
SPLIT_OPTIONAL: Final = ("Group",)
DEFAULT_FRACTIONS: Final[dict[Split, float]] = {"train": 0.9, "val": 0.05, "test": 0.05}


@dataclasses.dataclass(frozen=True, slots=True)
class Leak:
    """A group whose images lie in more than one split."""

    group: str
    image_ids: tuple[str, ...]
    splits: tuple[Split, ...]


class DisjointSets:
    """Union-find over hashable members."""

    def __init__(self) -> None:
        """Start without members; `find` and `join` add what they meet."""
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, member: Hashable) -> Hashable:
        """Return the representative of the set that the member is in."""
        parent = self._parent.setdefault(member, member)
        root = member
        while parent != root:
            root, parent = parent, self._parent[parent]
        while member != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def join(self, one: Hashable, other: Hashable) -> None:
        """Make the sets of two members one set."""
        self._parent[self.find(one)] = self.find(other)


def make_splits(
    records: Sequence[ImageRecord],
    *,
    fractions: Mapping[Split, float] | None = None,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
    keep: bool = False,
) -> list[ImageRecord]:
    """Return the records with splits such that images that belong together stay together.

    Images belong together when they share record.group or an entry of groups; this is
    transitive. Each such unit gets its split from a hash of the seed and of its smallest
    name, so the order of the records is irrelevant and adding records moves no unit except
    one that they join. The parts therefore meet the fractions only on average. A part that
    would stay empty gets the unit whose hash lies nearest, if units suffice.

    Args:
        records:   With unique image_id.
        fractions: Share of each split, each >= 0, together 1; DEFAULT_FRACTIONS if None.
        seed:      Any integer; another one makes another split.
        groups:    Further group of an image by image_id, e.g. from `find_duplicates`.
        keep:      Whether a unit with an already split image keeps that split; where its images
                   disagree it goes to train, as what was trained on can measure nothing.

    Raises:
        DataValueError: If the fractions are not allowed.
        SplitError:     If an image_id appears twice.
    """
    bounds = _bounds(DEFAULT_FRACTIONS if fractions is None else fractions)
    units = _units(records, groups or {})
    place: dict[str, float] = {}
    chosen: dict[str, Split] = {}
    for name, members in units.items():
        earlier = {record.split for record in members if record.split is not None}
        if keep and earlier:
            chosen[name] = min(earlier, key=SPLITS.index) if len(earlier) == 1 else "train"
            continue
        place[name] = _unit_hash(seed, name)
        chosen[name] = next(
            split for split, (low, high) in bounds.items() if low <= place[name] < high
        )
    _fill_empty(chosen, place, bounds)
    split_of = {record.image_id: chosen[name] for name, unit in units.items() for record in unit}
    return [dataclasses.replace(record, split=split_of[record.image_id]) for record in records]


def check_leakage(
    records: Iterable[ImageRecord], groups: Mapping[str, str] | None = None
) -> list[Leak]:
    """Return every group with images in more than one split; empty means no leakage.

    Args:
        records: Those without a split are passed over.
        groups:  Further group of an image by image_id, e.g. from `find_duplicates`.
    """
    members: dict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.split is None:
            continue
        members[f"image {record.image_id}"].append(record)
        if record.group is not None:
            members[f"group {record.group}"].append(record)
        if groups and record.image_id in groups:
            members[f"duplicates {groups[record.image_id]}"].append(record)
    leaks = []
    for group, found in members.items():
        splits = tuple(split for split in SPLITS if any(r.split == split for r in found))
        if len(splits) > 1:
            leaks.append(Leak(group, tuple(record.image_id for record in found), splits))
    return leaks


def write_split_csv(
    records: Iterable[ImageRecord],
    path: str | pathlib.Path,
    groups: Mapping[str, str] | None = None,
) -> None:
    """Write `Filename,Split,Group`, sorted by file name, so that `read_folder` takes it up.

    The column Group holds record.group, or else the entry of groups, or nothing.

    Raises:
        SplitError: If a record has no split.
    """
    rows = []
    for record in records:
        if record.split is None:
            raise SplitError(f"Cannot write {path}: {record.image_id} has no split yet.")
        group = record.group or (groups or {}).get(record.image_id, "")
        rows.append((record.path.name, record.split, group))
    with pathlib.Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*SPLIT_COLUMNS, *SPLIT_OPTIONAL))
        writer.writerows(sorted(rows))


def read_split_csv(path: str | pathlib.Path) -> dict[str, tuple[Split | None, str | None]]:
    """Return split and group by image_id of a file with `Filename,Split` and maybe `Group`.

    Raises:
        DatasetTableError: If the file cannot be read.
        SplitError:        If a split is unknown, or an image has two different ones.
    """
    path = pathlib.Path(path)
    assigned: dict[str, tuple[Split | None, str | None]] = {}
    for row in read_table(path, SPLIT_COLUMNS, optional=SPLIT_OPTIONAL):
        image_id = image_id_of(row.values["Filename"])
        try:
            entry = (parse_split(row.values["Split"]), row.values.get("Group", "").strip() or None)
        except DataValueError as error:
            raise SplitError(f"{path}, line {row.line}: {error}") from error
        if assigned.setdefault(image_id, entry) != entry:
            raise SplitError(
                f"{path}, line {row.line}: {image_id!r} appeared before with another split or "
                f"group. Keep one of the lines."
            )
    return assigned


def _bounds(fractions: Mapping[Split, float]) -> dict[Split, tuple[float, float]]:
    unknown = set(fractions) - set(SPLITS)
    shares = [float(fractions.get(split, 0.0)) for split in SPLITS]
    if unknown or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise DataValueError(
            f"Cannot split by {dict(fractions)}; allowed are shares of train, val and test, "
            f"each between 0 and 1 and together 1."
        )
    edges = [0.0, *itertools.accumulate(shares)]
    last = max(at for at, share in enumerate(shares) if share > 0)
    edges[last + 1 :] = [1.0] * (len(edges) - last - 1)  # rounding must leave no gap below 1
    return {split: (edges[at], edges[at + 1]) for at, split in enumerate(SPLITS)}


def _units(
    records: Sequence[ImageRecord], groups: Mapping[str, str]
) -> dict[str, list[ImageRecord]]:
    sets = DisjointSets()
    seen: set[str] = set()
    for record in records:
        if record.image_id in seen:
            raise SplitError(f"Cannot split: the image_id {record.image_id!r} appears twice.")
        seen.add(record.image_id)
        image = ("image", record.image_id)
        sets.find(image)
        if record.group is not None:
            sets.join(image, ("group", record.group))
        if record.image_id in groups:
            sets.join(image, ("duplicates", groups[record.image_id]))
    members: dict[Hashable, list[ImageRecord]] = defaultdict(list)
    for record in records:
        members[sets.find(("image", record.image_id))].append(record)
    return {min(map(_key, unit)): unit for unit in members.values()}


def _key(record: ImageRecord) -> str:
    # The prefix keeps a group apart from an image of the same name.
    return f"image {record.image_id}" if record.group is None else f"group {record.group}"


def _unit_hash(seed: int, name: str) -> float:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _fill_empty(
    chosen: dict[str, Split],
    place: Mapping[str, float],
    bounds: Mapping[Split, tuple[float, float]],
) -> None:
    wanted = [split for split, (low, high) in bounds.items() if high > low]
    if len(chosen) < len(wanted):
        return
    for split in wanted:
        if split in chosen.values():
            continue
        middle = sum(bounds[split]) / 2
        counts = {other: list(chosen.values()).count(other) for other in SPLITS}
        movable = [name for name in place if counts[chosen[name]] > 1]
        if movable:
            chosen[min(movable, key=lambda name: (abs(place[name] - middle), name))] = split
