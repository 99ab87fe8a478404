"""Validation of a dataset folder: one report of everything wrong, from tables to pixels."""

import dataclasses
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from data import medvqa_gi, rocov2
from data.duplicates import Fingerprint, find_pairs
from data.errors import DatasetLayoutError, DataValueError
from data.finding_boxes import BOX_COLUMNS, BOX_FILE, parse_finding_box
from data.folders import Layout, detect_layout
from data.inspection import inspect_image
from data.records import IMAGE_SUFFIXES, Split, find_image, image_id_of, parse_split
from data.report import Problem, ProblemCode, Severity, ValidationReport
from data.splits import SPLIT_COLUMNS, SPLIT_FILE, SPLIT_OPTIONAL
from data.tables import TableRow, scan_table

MAX_CAPTION_CHARS: Final = 1000

# UTF-8 read as Windows-1252 and saved again, lost characters, and control characters.
_GARBLED = re.compile(
    "\u00c3[\u0080-\u00bf]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]|\ufffd|[\x01-\x08\x0e-\x1f]"
)
_CONCEPT = re.compile(r"C\d{7}")


@dataclasses.dataclass(slots=True)
class _Entry:
    """What the tables say about one image."""

    filename: str
    folders: tuple[pathlib.Path, ...]
    table: str
    line: int
    captions: list[str]
    split: Split | None
    group: str | None = None
    path: pathlib.Path | None = None


def validate_folder(
    path: str | pathlib.Path,
    *,
    check_images: bool = True,
    on_image: Callable[[int, int], None] | None = None,
) -> ValidationReport:
    """Return every problem of a dataset folder; it never stops at the first one.

    Args:
        path:         A folder in one of the layouts of `read_folder`.
        check_images: Whether image files are opened and compared, not only looked for.
        on_image:     Called after each opened image with the number done and the total.
    """
    return _Validation(pathlib.Path(path)).run(check_images, on_image)


class _Validation:
    """One run over one folder; the methods fill `problems` and `entries`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.entries: dict[str, _Entry] = {}
        self.caption_count = 0
        self.undecoded: set[tuple[str, int | None]] = set()

    def run(
        self, check_images: bool, on_image: Callable[[int, int], None] | None
    ) -> ValidationReport:
        layout: Layout | None = None
        try:
            layout = detect_layout(self.folder)
        except DatasetLayoutError as error:
            self.add("error", "layout", ".", None, str(error))
        if layout == "medvqa_gi":
            self.read_prompts()
        elif layout == "rocov2":
            self.read_captions()
        if layout is not None:
            self.read_splits()
            self.read_boxes()
            self.find_images()
            self.check_groups()
        if check_images:
            self.open_images(on_image)
        order = {"error": 0, "warning": 1}
        found = sorted(
            self.problems, key=lambda p: (order[p.severity], p.code, p.path, p.line or 0, p.message)
        )
        count = self.caption_count
        return ValidationReport(self.folder, layout, len(self.entries), count, tuple(found))

    def add(
        self, severity: Severity, code: ProblemCode, path: str, line: int | None, message: str
    ) -> None:
        self.problems.append(Problem(severity, code, path, line, message))

    def scan(
        self,
        name: str,
        columns: Sequence[str],
        separator: str = ",",
        optional: Sequence[str] = (),
    ) -> tuple[TableRow, ...]:
        table = scan_table(self.folder / name, columns, separator=separator, optional=optional)
        for fault in table.faults:
            self.add("error", fault.code, name, fault.line, fault.message)
            if fault.code == "encoding":
                self.undecoded.add((name, fault.line))
        return table.rows

    def read_prompts(self) -> None:
        name = medvqa_gi.PROMPT_FILE
        folders = medvqa_gi.image_folders(self.folder)
        for row in self.scan(name, medvqa_gi.PROMPT_COLUMNS, medvqa_gi.SEPARATOR):
            filename, prompt = row.values["Filename"].strip(), row.values["Prompt"]
            if not self.is_usable(name, row.line, filename, prompt):
                continue
            image_id = image_id_of(filename)
            new = _Entry(filename, folders, name, row.line, [], None)
            entry = self.entries.setdefault(image_id, new)
            if entry.filename != filename:
                message = f"{filename!r} and {entry.filename!r} share a name; rename one of them"
                self.add("error", "conflicting-id", name, row.line, message)
            elif prompt in entry.captions:
                message = f"{filename!r} has this prompt already; remove the row"
                self.add("warning", "repeated-row", name, row.line, message)
            else:
                entry.captions.append(prompt)

    def read_captions(self) -> None:
        for word, path in rocov2.caption_files(self.folder).items():
            folders = rocov2.image_folders(self.folder, word)
            split = rocov2.SPLIT_FOLDERS[word]
            for row in self.scan(path.name, rocov2.CAPTION_COLUMNS):
                filename, caption = row.values["ID"].strip(), row.values["Caption"]
                if not self.is_usable(path.name, row.line, filename, caption):
                    continue
                image_id = image_id_of(filename)
                entry = self.entries.get(image_id)
                if entry is None:
                    entry = _Entry(filename, folders, path.name, row.line, [caption], split)
                    self.entries[image_id] = entry
                elif entry.split == split and entry.captions == [caption]:
                    message = f"{filename!r} stands in line {entry.line} too; remove one row"
                    self.add("error", "repeated-row", path.name, row.line, message)
                else:
                    what = "another caption" if entry.split == split else "in another split"
                    message = f"{filename!r} stands in {entry.table}, line {entry.line}, {what}"
                    self.add("error", "conflicting-id", path.name, row.line, message)
            self.read_sources(f"{word}_sources.csv")
            self.read_concepts(f"{word}_concepts.csv")

    def is_usable(self, table: str, line: int, filename: str, caption: str) -> bool:
        if caption.strip():
            self.caption_count += 1
        else:
            self.add("error", "empty-caption", table, line, f"{filename!r} has an empty caption")
        if not image_id_of(filename):
            self.add("error", "empty-name", table, line, "names no image")
        if len(caption) > MAX_CAPTION_CHARS:
            message = f"{len(caption)} characters, more than {MAX_CAPTION_CHARS}; models cut it"
            self.add("warning", "long-caption", table, line, message)
        garbled = _GARBLED.search(caption)
        if garbled and (table, line) not in self.undecoded:
            message = f"{garbled.group()!r} looks like text in a wrong encoding; restore it"
            self.add("warning", "garbled-caption", table, line, message)
        return bool(image_id_of(filename) and caption.strip())

    def entry_of(self, table: str, line: int, name: str) -> _Entry | None:
        entry = self.entries.get(image_id_of(name))
        if entry is None:
            message = f"{name.strip()!r} has no caption in the other tables"
            self.add("warning", "unknown-image", table, line, message)
        return entry

    def read_sources(self, name: str) -> None:
        if (self.folder / name).is_file():
            for row in self.scan(name, rocov2.SOURCE_COLUMNS, optional=rocov2.SOURCE_OPTIONAL):
                entry = self.entry_of(name, row.line, row.values["ID"])
                if entry is not None:
                    entry.group = row.values.get("Group", "").strip() or None

    def read_concepts(self, name: str) -> None:
        if (self.folder / name).is_file():
            for row in self.scan(name, rocov2.CONCEPT_COLUMNS):
                self.entry_of(name, row.line, row.values["ID"])
                for cui in rocov2.concept_list(row.values["CUIs"]):
                    if not _CONCEPT.fullmatch(cui):
                        message = f"{cui!r} is no concept identifier (C and seven digits)"
                        self.add("warning", "malformed-concept", name, row.line, message)

    def read_splits(self) -> None:
        if not (self.folder / SPLIT_FILE).is_file():
            return
        seen: dict[str, tuple[Split | None, str, int]] = {}
        for row in self.scan(SPLIT_FILE, SPLIT_COLUMNS, optional=SPLIT_OPTIONAL):
            name = row.values["Filename"]
            try:
                split = parse_split(row.values["Split"])
            except DataValueError as error:
                self.add("error", "unknown-split", SPLIT_FILE, row.line, str(error))
                continue
            group = row.values.get("Group", "").strip()
            earlier = seen.setdefault(image_id_of(name), (split, group, row.line))
            if earlier[:2] != (split, group):
                message = f"{name!r} has another split or group in line {earlier[2]}; keep one"
                self.add("error", "conflicting-id", SPLIT_FILE, row.line, message)
                continue
            entry = self.entry_of(SPLIT_FILE, row.line, name)
            if entry is not None:
                entry.split = split
                entry.group = entry.group or group or None

    def read_boxes(self) -> None:
        if (self.folder / BOX_FILE).is_file():
            for row in self.scan(BOX_FILE, BOX_COLUMNS):
                self.entry_of(BOX_FILE, row.line, row.values["Filename"])
                try:
                    parse_finding_box(row.values)
                except DataValueError as error:
                    self.add("error", "malformed-box", BOX_FILE, row.line, str(error))

    def find_images(self) -> None:
        used: set[pathlib.Path] = set()
        for entry in self.entries.values():
            entry.path = find_image(entry.folders, entry.filename)
            if entry.path is None:
                message = f"{entry.filename!r} is not in {entry.folders[0].name}/"
                self.add("error", "missing-image", entry.table, entry.line, message)
                continue
            used.add(entry.path)
            if entry.split is None and (self.folder / SPLIT_FILE).is_file():
                message = f"is in no split; add it to {SPLIT_FILE}"
                self.add("warning", "no-split", self.name_of(entry.path), None, message)
        for path in _image_files(self.folder) - used:
            message = "no caption names this image; it will not be used"
            self.add("warning", "no-caption", self.name_of(path), None, message)

    def check_groups(self) -> None:
        groups: dict[str, set[Split]] = defaultdict(set)
        for entry in self.entries.values():
            if entry.group is not None and entry.split is not None:
                groups[entry.group].add(entry.split)
        for group, splits in groups.items():
            if len(splits) > 1:
                message = f"group {group!r} is in {', '.join(sorted(splits))}; keep it in one"
                self.add("error", "group-across-splits", ".", None, message)

    def open_images(self, on_image: Callable[[int, int], None] | None) -> None:
        files = {entry.path: image_id for image_id, entry in self.entries.items() if entry.path}
        paths = sorted(_image_files(self.folder) | set(files))
        pixels: dict[str, list[str]] = defaultdict(list)
        fingerprints: dict[str, Fingerprint] = {}
        for done, path in enumerate(paths, start=1):
            inspection = inspect_image(path, self.name_of(path))
            self.problems.extend(inspection.problems)
            image_id = files.get(path)
            if image_id is not None and inspection.pixel_sha256 and inspection.fingerprint:
                pixels[inspection.pixel_sha256].append(image_id)
                fingerprints[image_id] = inspection.fingerprint
            if on_image is not None:
                on_image(done, len(paths))
        self.compare_images(pixels, fingerprints)

    def compare_images(
        self, pixels: dict[str, list[str]], fingerprints: dict[str, Fingerprint]
    ) -> None:
        same_as = {image_id: same[0] for same in pixels.values() for image_id in same}
        for same in pixels.values():
            for image_id in same[1:]:
                self.report_pair("error", "identical-across-splits", same[0], image_id)
        for pair in find_pairs(list(fingerprints), list(fingerprints.values())):
            if same_as[pair.first] != same_as[pair.second]:
                self.report_pair("warning", "similar-across-splits", pair.first, pair.second)

    def report_pair(self, severity: Severity, code: ProblemCode, first: str, second: str) -> None:
        one, other = self.entries[first], self.entries[second]
        if one.split == other.split or one.split is None or other.split is None:
            return
        word = "identical" if severity == "error" else "nearly identical"
        message = f"{word} to {first} ({one.split}), but in {other.split}; put both in one split"
        self.add(severity, code, self.name_of(other.path or self.folder), None, message)

    def name_of(self, path: pathlib.Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _image_files(folder: pathlib.Path) -> set[pathlib.Path]:
    """Return the files with an image's extension in the folders that either layout knows."""
    if not folder.is_dir():
        return set()
    words = rocov2.SPLIT_FOLDERS
    names = ["images", *(f"{word}_images" for word in words), *words]
    places = [folder, *(folder / name for name in names if (folder / name).is_dir())]
    return {
        path
        for place in places
        for path in place.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    }
