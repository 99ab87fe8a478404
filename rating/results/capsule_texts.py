"""What a capsule says of itself: README, citation, licence."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Final

from rating.results.capsule_contents import EVENTS, LOCKED_ROWS, Picture
from rating.results.manifest import SOFTWARE, Manifest

TO_FILL_IN: Final = "TO BE FILLED IN"
READ_BY_OTHERS: Final = "scripts/study_data.R"  # prints nothing itself
PILOT: Final = "PILOT: its figures serve to plan a study and are no result of one."


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """What the texts tell of a capsule besides its manifest.

    Args:
        names:        Of all files that come before the texts.
        left_out:     Pictures given by their hash alone.
        real_licence: Of the real images; "" where nobody said.
        arms:         Code and label of every arm.
    """

    names: Sequence[str]
    left_out: Sequence[Picture]
    real_licence: str
    arms: Sequence[tuple[str, str]]


def readme(manifest: Manifest, inside: Inside) -> str:
    """Return `README.md`: what each file is, how to recompute, how to verify."""
    parts = [
        _head(manifest),
        _files(manifest, inside),
        _recompute(inside),
        _verify(manifest),
        _public(manifest, inside) if manifest.is_public else _full(),
    ]
    return "\n\n".join(parts) + "\n"


def _head(manifest: Manifest) -> str:
    title = _line(manifest.title)
    lines = [f"# {'PILOT: ' if manifest.is_pilot else ''}{title}"]
    if manifest.is_pilot:
        lines.append(f"**{PILOT}**")
    lines.append(
        f"Everything of the study `{manifest.study_code}`, a blinded comparison of medical images, "
        f"in its {manifest.variant} variant: images, answers, protocol, log, results, and the "
        "scripts that compute the results again."
    )
    root = f"`{manifest.root_hash}`" if manifest.root_hash else "none: the study is not locked"
    protocols = ", ".join(f"version {n} `{told}`" for n, told in manifest.protocols.items())
    lines.append(
        f"- status: {manifest.status}\n- root hash: {root}\n"
        f"- last event: number {manifest.last_event[0]}, `{manifest.last_event[1]}`\n"
        f"- protocol (SHA-256): {protocols}\n"
        f"- written by: {SOFTWARE} {manifest.software_version}".rstrip()
    )
    return "\n\n".join(lines)


def _files(manifest: Manifest, inside: Inside) -> str:
    has_locked = LOCKED_ROWS in inside.names
    audits = any(name.startswith("audit/blinding_audit_") for name in inside.names)
    rows = [
        ("data/ratings_long.csv", "the answers, one row an answer: the table all statistics read"),
        ("data/assignments.csv", "who saw what, in which order and slot, answered or not"),
        ("data/dictionary.csv, .md", "every table and column explained, missing codes included"),
        ("data/", "the other tables: wide, history of answers, prompts, questions, raters, arms, "
                  "stimuli; `excel/` has copies for spreadsheets"),
        ("images/", "each picture under the SHA-256 of its bytes; `images.csv` lists all of them "
                    "with hashes of file and pixels, `data/stimuli.csv` says what each is"),
        ("protocol/", "the exact hashed bytes of every version, when and why it came, and the "
                      "analysis plan in force"),
        (EVENTS, "what happened, one line an event"
                 + ("" if manifest.is_public else ", each with the hash of the one before")),
    ]  # fmt: skip
    if has_locked:
        rows.append((LOCKED_ROWS, "the very bytes that the root hash is the SHA-256 of"))
    rows += [
        ("audit/", "reports of blinding audits" if audits else "says that no audit was run"),
        ("results/", "main table and all tables as text, each table as CSV, results in words, and "
                     "the settings they were computed with"),
        ("figures/", "every figure as PNG and SVG"),
        ("methods.md, checklists.md", "methods section, and the GRRAS and CLAIM items it answers"),
        ("scripts/", "`recompute.py` with its statistics, scripts for R, needed packages"),
        ("CITATION.cff, LICENCE.md", "to be completed by the authors"),
        ("manifest.json, SHA256SUMS", "size and SHA-256 of every file"),
    ]  # fmt: skip
    table = "\n".join(f"| `{name}` | {what} |" for name, what in rows)
    return f"## Files\n\n| file | what it is |\n| --- | --- |\n{table}"


def _recompute(inside: Inside) -> str:
    text = (
        "## Compute the results again\n\n"
        "Unpack the ZIP and, in its folder, with Python 3.11 or newer:\n\n"
        "```sh\npython -m pip install -r scripts/requirements.txt\n"
        "python scripts/recompute.py\npython scripts/recompute.py --all\n```\n\n"
        "prints the main table, byte for byte `results/main_table.txt`, and all tables, "
        "`results/all_tables.txt`, from the CSV files alone. Nothing is written."
    )
    scripts = sorted({name for name in inside.names if name.endswith(".R")} - {READ_BY_OTHERS})
    if scripts:
        commands = "\n".join(f"Rscript {name}" for name in scripts)
        text += (
            "\n\nIn R, in the same folder; the head of each script says what it computes and "
            f"which packages it needs:\n\n```sh\n{commands}\n```"
        )
    return text


def _verify(manifest: Manifest) -> str:
    text = (
        "## Verify\n\n"
        "```sh\nsha256sum --check SHA256SUMS\n```\n\n"
        f"checks every file. {SOFTWARE} checks the ZIP itself, hash by hash, computes the tables "
        "again and names every changed file (`python -m rating verify`, with the ZIP's name)."
    )
    if not manifest.root_hash:
        return f"{text} The study is not locked, so that nothing proves when answers were given."
    if manifest.is_public:
        return text
    return (
        f"{text}\n\n```sh\nsha256sum {LOCKED_ROWS}\n```\n\n"
        "prints the root hash: these are all rows of the study as they were locked, canonical JSON "
        "line by line, pictures as their hash, the last line the event before the lock. Hashes "
        "inside a capsule prove only that it is consistent: who changes everything can hash "
        "everything again. Compare the root hash with the one that was deposited elsewhere at the "
        "lock."
    )


def _full() -> str:
    return (
        "## What to keep to yourself\n\n"
        "This is the full variant. It has no names and no addresses of people, but exact times, "
        "years of experience, screens, remarks in the raters' own words, names of source files and "
        f"random addresses that opened pictures to raters ({LOCKED_ROWS}; the root hash covers "
        "them, and since the lock they open nothing), and rows of the players of blinding audits, "
        "which are in no table. Publish the public variant."
    )


def _public(manifest: Manifest, inside: Inside) -> str:
    real = (
        "- Real images are inside; LICENCE.md says under which terms."
        if manifest.has_real_images
        else f"- {len(inside.left_out)} pictures that are real, or whose origin is not told "
        "(practice images and checks), are given by their hashes alone."
    )
    return (
        "## What this public variant leaves out, and what it proves\n\n"
        "- Years of experience are in bands, times relative to a rater's first showing or to the "
        "first event, dates left out of texts; windows, screens and remarks are left out.\n"
        "- Raters keep the codes of the study: these are pseudonyms, and whoever holds the "
        "coordinator's list knows the persons.\n"
        f"{real}\n"
        "- Can be verified: every file, the bytes of the protocol, the pictures inside, and that "
        "the tables follow from the answers.\n"
        "- Cannot be verified from this variant: the chain of events and the root hash. They cover "
        "exact times and remarks, so that they are stated here and can be computed from the full "
        "variant alone. Hashes of single events are left out, since an exact time could be found "
        "from one by trying.\n"
        "- Before publishing, look through what people wrote: title, protocol, reasons of its "
        "versions, prompts and captions of real images, reasons of exclusions."
    )


def citation(manifest: Manifest) -> str:
    """Return `CITATION.cff` of the study; what only its authors know is left to fill in."""
    title = f"{'PILOT: ' if manifest.is_pilot else ''}{_line(manifest.title)}"
    versions = ", ".join(map(str, manifest.protocols))
    root = manifest.root_hash or "none: the study is not locked"
    lines = [
        "# The authors complete what is marked: " + TO_FILL_IN,
        "cff-version: 1.2.0",
        'message: "Cite this study when its images, answers or results are used."',
        "type: dataset",
        f"title: {_quoted(title)}",
        "authors:",
        f"  - name: {_quoted(f'{TO_FILL_IN}: names of the authors')}",
        f"# doi: {TO_FILL_IN}",
        f"# date-released: {TO_FILL_IN}",
        f"# license: {TO_FILL_IN}",
        f"version: {_quoted(f'protocol {versions}, {manifest.variant} capsule')}",
        "identifiers:",
        "  - type: other",
        f"    value: {_quoted(f'root hash (SHA-256): {root}')}",
        '    description: "Over protocol, images, orders and answers at the lock"',
        "  - type: other",
        f"    value: {_quoted(f'study code: {manifest.study_code}')}",
        '    description: "Of the study in its tables"',
    ]
    return "\n".join(lines) + "\n"


def licence(manifest: Manifest, inside: Inside) -> str:
    """Return `LICENCE.md`: what holds for which part."""
    arms = "\n".join(f"- `{_line(code)}`: {_line(label)}" for code, label in inside.arms)
    real = _line(inside.real_licence) or f"{TO_FILL_IN}: licence and source of the real images"
    if not manifest.has_real_images:
        real += ". They are not part of this capsule: `images/images.csv` gives their hashes"
    return (
        f"# Licences{' (PILOT)' if manifest.is_pilot else ''}\n\n"
        f"- Answers, tables, figures and texts: {TO_FILL_IN}, for example CC BY 4.0\n"
        f"- Images of the models: {TO_FILL_IN}; the licences of the models hold\n"
        f"- Real images: {real}\n"
        "- `scripts/`: Apache License 2.0\n\n"
        f"Arms:\n\n{arms}\n"
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    """Return a text as YAML reads it; JSON strings are YAML."""
    return json.dumps(text, ensure_ascii=False)
