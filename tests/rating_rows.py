"""Rows of every table as a revision of the schema kept them, to be migrated from ever after.

They are frozen in a file for each revision. After a new revision is added, write its file once:

    python -m tests.rating_rows

Files of earlier revisions are never written again: they stand for the databases out there.
"""

import base64
import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import Connection, MetaData, Table, select

from rating.storage import migration
from rating.storage.database import Database, sqlite_url
from rating.storage.transfer import set_sequences

FOLDER = Path(__file__).parent / "integration" / "rating_rows"
VERSION_TABLE = "alembic_version"
Rows = dict[str, list[dict[str, Any]]]


def frozen_rows(revision: str) -> Rows:
    """Returns the rows of a revision, table by table, parents first."""
    text = (FOLDER / f"{revision}.json").read_text(encoding="utf-8")
    return json.loads(text, object_hook=_thawed)


def tables_of(connection: Connection) -> dict[str, Table]:
    """Returns the tables as they are in a database, parents first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        table.name: table for table in metadata.sorted_tables if table.name != VERSION_TABLE
    }


def rows_of(connection: Connection) -> Rows:
    """Returns all rows of all tables, moments in UTC."""
    return {
        name: [
            {column: _utc(value) for column, value in row._mapping.items()}
            for row in connection.execute(select(table).order_by(*table.primary_key))
        ]
        for name, table in tables_of(connection).items()
    }


def write_rows(connection: Connection, rows: Rows) -> None:
    """Writes rows into the empty tables of a database."""
    tables = tables_of(connection)
    for name in tables:
        if rows.get(name):
            connection.execute(tables[name].insert(), rows[name])
    set_sequences(connection, list(tables.values()))


def _utc(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(
            tzinfo=datetime.UTC
        )  # fmt: skip
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime.datetime):
        return {"moment": value.isoformat()}
    raise TypeError(type(value))


def _thawed(values: dict[str, Any]) -> Any:
    if values.keys() == {"bytes"}:
        return base64.b64decode(values["bytes"])
    if values.keys() == {"moment"}:
        return datetime.datetime.fromisoformat(values["moment"])
    return values


def play_studies(database: Database) -> None:
    """Fills every table: a draft, an open study under way, a locked one."""
    from rating.study.desk import RatingDesk
    from rating.study.studies import Studies
    from tests.rating_play import ANSWERING, play_items, sent
    from tests.rating_study import TITLE, enrol, invite, write_draft, write_study

    studies, desk = Studies(database), RatingDesk(database, "0")
    code = write_study(database, 2, 3, 2, 1, 1)
    rater_id = enrol(database, invite(database, code)[0][1])
    state = desk.state(rater_id)
    marks = [{"slot": 0, "x": 0.25, "y": 0.75, "tag": "colour"}]
    extras = {"tags": [{"slot": 0, "tag": "anatomy"}], "marks": marks, "remark": "über"}
    while state["phase"] in ANSWERING:
        item = state["item"]
        cannot = ["alignment"] if item["step"] == 2 else []
        answers = {q["code"]: 3 for q in item["questions"] if q["code"] not in cannot}
        request = sent(item, 3, **extras, answers=answers, cannot_judge=cannot)
        state = desk.answer(rater_id, request).state
    desk.revise(rater_id, sent(desk.item(rater_id, item["token"]), 4, **extras))
    desk.closing(rater_id, "Thank you")
    _write_audit_and_sign_in(database, rater_id)
    studies.lock(code, TITLE)
    code = write_study(database, 2, 2, 2, 1, title="Open", repeat_share=0.0)
    links = invite(database, code, 2)
    play_items(desk, enrol(database, links[0][1]), 2)
    studies.withdraw(code, "R01", is_erasing=True)
    play_items(desk, enrol(database, links[1][1]), 2)
    studies.extend(code, planned_raters=9, reason="more")
    write_draft(database, 2, 2, 1, 0, title="Draft")


def _write_audit_and_sign_in(database: Database, rater_id: int) -> None:
    from rating.storage.models import AuditReport, SignIn

    now = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
    with database.write() as session:
        session.add(AuditReport(study_id=1, at=now, is_passed=True, report={"findings": []}))
        session.add(
            SignIn(token_sha256="a" * 64, role="rater", rater_id=rater_id, created_at=now)
        )


def main() -> None:
    """Writes the file of the newest revision."""
    from tests import rating_study

    # Small and plain pictures for a small file.
    rating_study.SIZE_PX = 32
    rating_study.draw = lambda seed: Image.new(
        "RGB", (32, 32), (seed * 37 % 256, seed * 101 % 256, seed * 7919 // 8 % 256)
    )
    target = FOLDER / f"{migration.revisions()[-1]}.json"
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(sqlite_url(Path(folder)))
        play_studies(database)
        with database.engine.connect() as connection:
            rows = rows_of(connection)
        database.close()
    lines = [
        f"{json.dumps(name)}: [\n"
        + ",\n".join(json.dumps(row, default=_frozen, ensure_ascii=False) for row in listed)
        + "\n]"
        for name, listed in rows.items()
    ]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
