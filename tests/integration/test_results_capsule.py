"""Contract: a capsule is one ZIP with all that the results rest on, the same bytes for the same
study, written whole or not at all and never before the lock. Its own script reprints the main table
byte for byte without this project, and the public variant holds nothing of what it leaves out.
"""

import base64
import csv
import dataclasses
import io
import json
import re
import resource
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from data.provenance import pixel_sha256
from rating.errors import CapsuleError, StudyNotFoundError, UnblindingError
from rating.results.capsule import capsule_name, write_capsule
from rating.results.results import Results
from rating.results.verification import verify_capsule
from rating.storage.database import Database, sqlite_url
from rating.storage.models import Event, ProtocolVersion, Study
from rating.study.studies import Studies
from tests.rating_database import unguarded
from tests.rating_study import TITLE, write_draft
from tests.results_capsule_study import (
    CLOSING,
    FINDING,
    RATIO,
    REMARK,
    SOURCE,
    VIEWPORT,
    YEARS,
    Written,
    contents_of,
    real_pngs,
    unpacked,
    write_played,
)
from tests.results_capsule_study import capsules as capsules  # the fixture

# What the packages of scripts/requirements.txt bring along is there; nothing else of ours is.
ABSENT = ("rating", "data", "msdm_core", "gradio", "sqlalchemy", "diffusers", "fastapi")
RUN_ALONE = (
    "import runpy, sys; "
    f"sys.modules.update(dict.fromkeys({ABSENT!r})); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def recomputed(folder: Path, *options: str) -> bytes:
    """Returns what the capsule's own script prints, run isolated from this project."""
    script = folder / "scripts" / "recompute.py"
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN_ALONE, str(script), *options],
        cwd=folder, capture_output=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_its_script_reprints_the_main_table_of_the_application_exactly(
    capsules: Written, tmp_path: Path
) -> None:
    computed = Results(capsules.database).computed(capsules.code)
    shown = f"{computed.tables[0].to_text()}\n".encode()
    for variant, facts in (("full", capsules.full), ("public", capsules.public)):
        folder = unpacked(facts.path, tmp_path / variant)
        assert recomputed(folder) == shown
        assert facts.main_table.encode() == shown
        assert (folder / "results/main_table.txt").read_bytes() == shown
    before = {path for path in folder.rglob("*")}
    assert recomputed(folder, "--all") == computed.text.encode()
    assert {path for path in folder.rglob("*")} == before
    assert (folder / "results/all_tables.txt").read_bytes() == computed.text.encode()


def test_its_script_needs_no_answer_but_those_of_the_csv(
    capsules: Written, tmp_path: Path
) -> None:
    folder = unpacked(capsules.full.path, tmp_path / "c")
    for path in [*folder.rglob("*")]:
        is_needed = path.is_relative_to(folder / "scripts") or path.name in (
            "ratings_long.csv", "assignments.csv", "settings.json"
        )  # fmt: skip
        if path.is_file() and (not is_needed or "excel" in path.parts):
            path.unlink()
    assert recomputed(folder).decode() == capsules.full.main_table
    ratings = folder / "data" / "ratings_long.csv"
    with ratings.open(newline="") as file:
        header, *rows = csv.reader(file)
    value, question = header.index("value"), header.index("question")
    arm = header.index("arm")
    for row in rows:
        if row[question] == "realism" and row[arm] == "flux-small":
            row[value] = "5"
    with ratings.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    assert recomputed(folder).decode() != capsules.full.main_table


def test_a_capsule_has_every_part_that_is_promised(capsules: Written) -> None:
    names = set(contents_of(capsules.full.path))
    for name in (
        "README.md", "CITATION.cff", "LICENCE.md", "methods.md", "manifest.json", "SHA256SUMS",
        "data/ratings_long.csv", "data/dictionary.csv", "data/dictionary.md", "data/stimuli.csv",
        "data/assignments.csv", "data/remarks.csv", "images/images.csv", "events/events.jsonl",
        "events/locked_rows.jsonl", "protocol/protocol_v1.json", "protocol/protocol_v2.json",
        "protocol/analysis_plan.json", "protocol/versions.csv", "audit/blinding_audit_1.json",
        "results/results.md", "results/tables/main.csv", "results/settings.json",
        "results/settings.csv", "figures/forest.png", "figures/forest.svg", "scripts/recompute.py",
        "scripts/requirements.txt", "scripts/study_statistics/analysis.py", "checklists.md",
    ):  # fmt: skip
        assert name in names, name
    assert len(names) == capsules.full.files
    images = [name for name in names if re.fullmatch(r"images/[0-9a-f]{64}\.png", name)]
    assert len(images) == capsules.full.images == 4 + 12 + 2 + 1


def test_protocols_are_the_very_bytes_that_were_hashed(capsules: Written) -> None:
    contents = contents_of(capsules.full.path)
    with capsules.database.read() as session:
        versions = session.scalars(select(ProtocolVersion)).all()
        assert len(versions) == 2
        for version in versions:
            kept = contents[f"protocol/protocol_v{version.version}.json"]
            assert kept == version.content.encode()


def test_root_hash_and_file_hashes_can_be_checked_without_this_project(
    capsules: Written, tmp_path: Path
) -> None:
    folder = unpacked(capsules.full.path, tmp_path / "c")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"")
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {*contents_of(capsules.full.path)} - {"SHA256SUMS"}
    told = subprocess.run(
        ["sha256sum", "events/locked_rows.jsonl"], cwd=folder, capture_output=True, check=True
    ).stdout.decode()
    assert told.split()[0] == Studies(capsules.database).root_hash(capsules.code)


def test_readme_names_only_files_that_are_there_and_explains_every_one(capsules: Written) -> None:
    for facts in (capsules.full, capsules.public):
        contents = contents_of(facts.path)
        readme = contents["README.md"].decode()
        rows = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `")]
        told = {part.strip(" `") for row in rows for part in row.replace(", .md", "").split(",")}
        for part in told:
            assert any(name.startswith(part) for name in contents), part
        for name in contents:
            assert any(name.startswith(part) for part in told) or name == "README.md", name


def test_citation_is_of_the_study_and_leaves_its_authors_to_be_filled_in(
    capsules: Written,
) -> None:
    text = contents_of(capsules.full.path)["CITATION.cff"].decode()
    assert f'title: "{TITLE}"' in text
    assert capsules.full.root_hash in text
    assert "TO BE FILLED IN: names of the authors" in text


def test_the_same_study_gives_the_same_bytes(capsules: Written, tmp_path: Path) -> None:
    again = write_capsule(
        capsules.database, capsules.code, tmp_path / "again.zip", software_version="0.1.0"
    )
    assert again == dataclasses.replace(capsules.full, path=again.path)
    assert again.path.read_bytes() == capsules.full.path.read_bytes()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # all others: SQLite
def test_a_study_of_one_rater_gives_a_whole_capsule_from_postgresql(
    database: Database, tmp_path: Path
) -> None:
    code = write_played(database, arms=2, prompts=3, reals=2, raters=1, remark="=1+1\n\u202eend")
    facts = write_capsule(database, code, tmp_path / "c.zip")
    found = verify_capsule(facts.path)
    assert found.faults == ()
    assert found.main_table == facts.main_table


# Before the lock, and pilots


def test_a_main_study_leaves_no_capsule_before_it_is_locked(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_draft(sqlite_database, 2, 3, 2, 1)
    for variant in ("full", "public"):
        with pytest.raises(UnblindingError, match="draft"):
            write_capsule(sqlite_database, code, tmp_path / "c.zip", variant=variant)
    Studies(sqlite_database).open(code)
    for variant in ("full", "public"):
        with pytest.raises(UnblindingError, match="locked"):
            write_capsule(sqlite_database, code, tmp_path / "c.zip", variant=variant)
    assert not [path for path in tmp_path.iterdir() if "c.zip" in path.name]
    with pytest.raises(StudyNotFoundError):
        write_capsule(sqlite_database, "nothing", tmp_path / "c.zip")


def test_a_pilot_is_marked_in_names_readme_and_tables(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_played(sqlite_database, arms=2, prompts=3, reals=2, raters=1, kind="pilot",
                        is_locked=False)  # fmt: skip
    (tmp_path / "out").mkdir()
    facts = write_capsule(sqlite_database, code, tmp_path / "out")
    assert facts.path == tmp_path / "out" / capsule_name(code, "pilot", "full")
    assert facts.path.name.startswith("PILOT-")
    contents = contents_of(facts.path)
    assert contents["README.md"].startswith(b"# PILOT: ")
    assert b"PILOT" in contents["CITATION.cff"]
    assert b"pilot" in contents["PILOT.txt"]
    assert "pilot" in facts.main_table.lower()
    for name in ("data/ratings_long.csv", "data/assignments.csv"):
        assert all(b",pilot," in row for row in contents[name].splitlines()[1:])
    assert "events/locked_rows.jsonl" not in contents
    found = verify_capsule(facts.path)
    assert found.faults == ()
    assert "not locked" in " ".join(found.notes)


# Whole or not at all


def test_a_file_that_is_there_stays_as_it_is(capsules: Written, tmp_path: Path) -> None:
    target = tmp_path / "mine.zip"
    target.write_bytes(b"mine")
    with pytest.raises(CapsuleError, match="is there already"):
        write_capsule(capsules.database, capsules.code, target)
    assert target.read_bytes() == b"mine"
    assert [*tmp_path.iterdir()] == [target]


def test_a_place_that_cannot_be_written_is_told(capsules: Written, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "c.zip", tmp_path / "nowhere" / "c.zip"):
        with pytest.raises(CapsuleError, match="cannot be written"):
            write_capsule(capsules.database, capsules.code, target)
    with pytest.raises(CapsuleError, match=r"end in \.zip"):
        write_capsule(capsules.database, capsules.code, tmp_path / "c.tar")
    with pytest.raises(CapsuleError, match="full and public"):
        write_capsule(capsules.database, capsules.code, tmp_path / "c.zip", variant="secret")  # type: ignore[arg-type]


def test_a_disk_that_takes_no_more_leaves_nothing_behind(
    capsules: Written, tmp_path: Path
) -> None:
    url = capsules.database.url
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from rating.errors import CapsuleError\n"
        "from rating.results.capsule import write_capsule\n"
        "from rating.storage.database import Database\n"
        "import resource\n"
        f"database = Database.open({url!r})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, {resource.RLIM_INFINITY}))\n"
        f"try:\n    write_capsule(database, {capsules.code!r}, Path(sys.argv[1]))\n"
        "except CapsuleError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "c.zip")],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120, check=False,
    )  # fmt: skip
    assert "cannot be written" in done.stdout, done.stderr
    assert "Nothing was left behind" in done.stdout
    assert [*tmp_path.iterdir()] == []


def test_a_study_that_is_not_what_was_locked_gives_no_capsule(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    code = write_played(database, arms=2, prompts=3, reals=2, raters=1)
    with unguarded(database) as session:
        session.scalars(select(Study)).one().title = "Another title"
    with pytest.raises(CapsuleError, match="not what was logged and locked"):
        write_capsule(database, code, tmp_path / "c.zip")
    database.close()
    assert not (tmp_path / "c.zip").exists()


# The public variant


def everything(contents: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields all bytes of all files; of PNG and SVG also what is packed into them."""
    for name, content in contents.items():
        yield name, content
        if name.endswith(".png"):
            yield from ((f"{name} {kind}", text) for kind, text in png_texts(content))
        if name.endswith(".svg"):
            for number, packed in enumerate(embedded(content)):
                yield f"{name} image {number}", packed
                yield from ((f"{name} {kind}", text) for kind, text in png_texts(packed))


def png_texts(png: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the text chunks of a PNG, unpacked; everything but pixels."""
    at = 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kind, content = png[at + 4 : at + 8].decode(), png[at + 8 : at + 8 + length]
        at += length + 12
        if kind == "zTXt":
            content = zlib.decompress(content.split(b"\0", 1)[1][1:])
        if kind not in ("IDAT", "IHDR", "IEND"):
            yield kind, content


def embedded(svg: bytes) -> list[bytes]:
    """Returns the pictures inside an SVG."""
    found = re.findall(rb'"data:image/png;base64,([^"]*)"', svg)
    return [base64.b64decode(re.sub(rb"\s", b"", each)) for each in found]


def test_the_public_variant_has_nothing_of_what_it_leaves_out(capsules: Written) -> None:
    full = b"".join(content for _, content in everything(contents_of(capsules.full.path)))
    whole = re.compile(rb"(?<![0-9A-Za-z.])(%d|%d|%s)(?![0-9A-Za-z])" % (
        *VIEWPORT, str(RATIO).encode().replace(b".", rb"\.")
    ))  # fmt: skip
    secrets = [REMARK, CLOSING, SOURCE, FINDING]
    with capsules.database.read() as session:
        hashes = [event.hash for event in session.scalars(select(Event)).all()][:-1]
        moments = [event.at for event in session.scalars(select(Event)).all()]
    day = moments[0]
    dates = re.compile(
        rf"{day:%Y-%m}-\d\d|{day:%Y%m}\d\dT|\d+ {day:%B} {day:%Y}|{day:%b} {day:%Y}".encode()
    )
    for needle in (*secrets, *hashes):  # the search would find them
        assert needle.encode() in full, needle
    assert whole.search(full) and dates.search(full)
    for name, content in everything(contents_of(capsules.public.path)):
        for needle in (*secrets, *hashes):
            assert needle.encode() not in content, (name, needle)
        assert not whole.search(content), name
        assert not dates.search(content), (name, dates.search(content))
        assert re.search(rb"viewport|device_pixel_ratio|source_name", content) is None or (
            name.startswith("data/dictionary") or name.startswith("scripts/")
            or name.startswith("data/excel/dictionary")
        ), name  # fmt: skip


def test_the_public_variant_tells_years_in_bands_alone(capsules: Written) -> None:
    years = str(YEARS)
    for name, content in contents_of(capsules.public.path).items():
        if name.endswith(".csv"):
            rows = list(csv.DictReader(io.StringIO(content.decode())))
            told = {row["years_experience"] for row in rows if "years_experience" in row}
            assert told <= {"20+"}, name
        if name.endswith((".md", ".txt", ".json", ".jsonl")):
            assert not re.search(rf"\b{years} years|range {years}|experience \D*{years}\b",
                                 content.decode()), name  # fmt: skip
    assert years in contents_of(capsules.full.path)["data/raters.csv"].decode()


def test_the_public_variant_has_real_images_by_their_hash_alone(capsules: Written) -> None:
    contents = contents_of(capsules.public.path)
    reals = real_pngs(capsules.database)
    assert len(reals) == capsules.public.images_left_out == 4 + 2 + 1
    hidden = {}
    for png in reals:
        with Image.open(io.BytesIO(png)) as picture:
            hidden[pixel_sha256(picture)] = png
    listed = contents["images/images.csv"].decode()
    assert all(pixels in listed for pixels in hidden)
    drawn = []
    for name, content in everything(contents):
        for png in reals:
            data = png[41:-16]  # the packed pixels
            assert data not in content, name
            assert all(
                base64.b64encode(data[start:])[8:80] not in content for start in range(3)
            ), name
        if name.endswith(".png") or " image " in name:
            with Image.open(io.BytesIO(content)) as picture:
                assert pixel_sha256(picture) not in hidden
                drawn.append(name)
    assert sum(name.startswith("images/") for name in drawn) == capsules.public.images == 12
    full_svg = contents_of(capsules.full.path)["figures/extremes.svg"]
    assert len(embedded(full_svg)) - len(embedded(contents["figures/extremes.svg"])) == 4
    assert b"withheld" in contents["figures/extremes.svg"] or (
        contents["figures/extremes.svg"] != full_svg
    )


def test_real_images_and_exclusions_are_as_the_caller_says(
    capsules: Written, tmp_path: Path
) -> None:
    facts = write_capsule(
        capsules.database, capsules.code, tmp_path / "c.zip", variant="public",
        shares_real_images=True, real_licence="CC BY 4.0, Example Hospital",
        excluded={"R01": "answered too fast"},
    )  # fmt: skip
    assert (facts.images, facts.images_left_out) == (19, 0)
    contents = contents_of(facts.path)
    assert {*real_pngs(capsules.database)} <= {*contents.values()}
    assert b"CC BY 4.0, Example Hospital" in contents["LICENCE.md"]
    assert facts.main_table != capsules.full.main_table
    assert b"answered too fast" in contents["methods.md"]
    assert b"excluded_raters.R01,answered too fast" in contents["results/settings.csv"]
    found = verify_capsule(facts.path)
    assert (found.faults, found.main_table) == ((), facts.main_table)


def test_the_public_readme_says_what_can_and_cannot_be_verified(capsules: Written) -> None:
    contents = contents_of(capsules.public.path)
    readme = contents["README.md"].decode()
    assert capsules.public.root_hash in readme
    assert "Cannot be verified" in readme
    assert "pseudonyms" in readme
    events = [json.loads(line) for line in contents["events/events.jsonl"].splitlines()]
    assert {key for event in events for key in event} == {
        "sequence", "kind", "actor", "since_first_s"
    }  # fmt: skip
    assert {event["actor"] for event in events} <= {
        "coordinator", "command line", "audit", "rater"
    }  # fmt: skip
