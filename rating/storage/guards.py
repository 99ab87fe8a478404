"""Triggers that keep what a study stands on, whoever writes to the database and with what.

Constraints say what a row may hold; guards say when it may change: what was opened stays as it was
opened, what was locked stays as it was locked, and what was logged is never rewritten. They are set
anew at the end of every migration, so that migrations can rebuild tables without them.
"""

import dataclasses
from typing import Final, Literal

from sqlalchemy import Connection

PREFIX: Final = "guard_"
Act = Literal["INSERT", "UPDATE", "DELETE"]


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """One trigger: an act on a table's rows that is refused under a condition.

    Args:
        table:     Whose rows it guards.
        act:       What is refused.
        condition: SQL over OLD and NEW that both databases read.
        why:       What is said to who tried, and the last part of the trigger's name.
        columns:   Of an UPDATE: the columns it is refused for; () means all.
    """

    table: str
    act: Act
    condition: str
    why: str
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the trigger, and on PostgreSQL of its function."""
        return f"{PREFIX}{self.table}_{self.act.lower()}_{self.why.replace(' ', '_')}"

    @property
    def message(self) -> str:
        """What the database says when it refuses."""
        return f"{self.act} of {self.table} refused: {self.why}"


# Which study a row belongs to.
_STUDY_OF: Final = {
    "stimulus_image": "(SELECT study_id FROM stimulus WHERE id = {row}.stimulus_id)",
    "answer_version": "(SELECT study_id FROM answer WHERE id = {row}.answer_id)",
    "submission": "(SELECT study_id FROM assignment WHERE id = {row}.assignment_id)",
    "defect_tag": "(SELECT study_id FROM assignment_slot WHERE id = {row}.assignment_slot_id)",
    "mark": "(SELECT study_id FROM assignment_slot WHERE id = {row}.assignment_slot_id)",
}
_ROWS: Final[dict[Act, tuple[str, ...]]] = {
    "INSERT": ("NEW",),
    "UPDATE": ("OLD", "NEW"),
    "DELETE": ("OLD",),
}
_ACTS: Final[tuple[Act, ...]] = ("INSERT", "UPDATE", "DELETE")
# Written while a study is a draft, and at its opening.
OPENED_TABLES: Final = (
    "arm", "prompt", "question", "stimulus", "stimulus_image", "item", "item_stimulus",
)  # fmt: skip
# Written while a study is open.
RATED_TABLES: Final = (
    "assignment", "assignment_slot", "submission", "answer", "defect_tag", "mark",
)  # fmt: skip
# A rater's link can be made void at any time; who the rater was cannot change.
RATER_COLUMNS: Final = (
    "id", "study_id", "code", "is_audit", "invited_at", "consented_at", "consent_sha256",
    "is_independent", "specialty", "years_experience", "enrolment_index", "enrolled_at",
    "completed_at", "withdrawn_at", "erased_at", "closing_remark",
)  # fmt: skip
_ALWAYS: Final = "1 = 1"
_IN_RANGE: Final = (
    "(NEW.value IS NULL AND has_cannot_judge) OR NEW.value BETWEEN minimum AND maximum"
)


def _while(table: str, act: Act, status: str) -> str:
    """Return the condition that a row's study is in a state: "= 'locked'", "<> 'draft'"."""
    study = _STUDY_OF.get(table, "{row}.study_id")
    keys = ", ".join(study.format(row=row) for row in _ROWS[act])
    return f"EXISTS (SELECT 1 FROM study WHERE id IN ({keys}) AND status {status})"


def _refused_while(table: str, act: Act, status: str, *columns: str) -> Guard:
    why = "the study is locked" if status == "= 'locked'" else "the study was opened"
    return Guard(table, act, _while(table, act, status), why, columns)


def _study_guards() -> tuple[Guard, ...]:
    opened, locked = "OLD.status <> 'draft'", "OLD.status = 'locked'"
    return (
        Guard("study", "DELETE", opened, "the study was opened"),
        Guard("study", "UPDATE", locked, "the study is locked"),
        Guard(
            "study",
            "UPDATE",
            f"({opened} AND NEW.status = 'draft') OR (NOT {opened} AND NEW.status = 'locked')",
            "a study goes from draft to open to locked",
            ("status",),
        ),
        Guard(
            "study",
            "UPDATE",
            f"{opened} AND (NEW.code <> OLD.code OR NEW.title <> OLD.title "
            "OR NEW.kind <> OLD.kind OR NEW.seed <> OLD.seed OR NEW.opened_at <> OLD.opened_at)",
            "the study was opened",
            ("code", "title", "kind", "seed", "opened_at"),
        ),
    )


def _log_guards() -> tuple[Guard, ...]:
    never = "what was written stays"
    return (
        Guard("event", "UPDATE", _ALWAYS, never),
        _refused_while("event", "DELETE", "<> 'draft'"),
        Guard("protocol_version", "UPDATE", _ALWAYS, never),
        Guard("protocol_version", "DELETE", _ALWAYS, never),
        _refused_while("protocol_version", "INSERT", "= 'locked'"),
        Guard("answer_version", "UPDATE", _ALWAYS, never),
        _refused_while("answer_version", "INSERT", "= 'locked'"),
        _refused_while("answer_version", "DELETE", "= 'locked'"),
    )


def _range_guards() -> tuple[Guard, ...]:
    why = "it is no answer to its question"
    own = f"NOT EXISTS (SELECT 1 FROM question WHERE id = NEW.question_id AND ({_IN_RANGE}))"
    version = (
        "NOT EXISTS (SELECT 1 FROM answer JOIN question ON question.id = answer.question_id "
        f"WHERE answer.id = NEW.answer_id AND ({_IN_RANGE}))"
    )
    return (
        Guard("answer", "INSERT", own, why),
        Guard("answer", "UPDATE", own, why, ("value", "question_id")),
        Guard("answer_version", "INSERT", version, why),
    )


GUARDS: Final = (
    *_study_guards(),
    *_log_guards(),
    *(_refused_while(table, act, "<> 'draft'") for table in OPENED_TABLES for act in _ACTS),
    *(_refused_while(table, act, "= 'locked'") for table in RATED_TABLES for act in _ACTS),
    _refused_while("rater", "INSERT", "= 'locked'"),
    _refused_while("rater", "UPDATE", "= 'locked'", *RATER_COLUMNS),
    _refused_while("rater", "DELETE", "= 'locked'"),
    *_range_guards(),
)


def guards_of(connection: Connection) -> dict[str, str]:
    """Return the guards that are set: the name of each trigger, and its table."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
        )
    rows = connection.exec_driver_sql(query).all()
    return {name: table for name, table in rows if name.startswith(PREFIX)}


def drop_guards(connection: Connection) -> None:
    """Take all guards away, for a migration."""
    for name, table in guards_of(connection).items():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        else:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}" ON "{table}"')
            connection.exec_driver_sql(f'DROP FUNCTION "{name}"()')


def set_guards(connection: Connection) -> None:
    """Set all guards; the tables are those of the newest revision and have none."""
    for guard in GUARDS:
        for statement in _statements(guard, connection.dialect.name):
            connection.exec_driver_sql(statement)


def _statements(guard: Guard, dialect: str) -> tuple[str, ...]:
    listed = ", ".join(guard.columns)
    act = f"UPDATE OF {listed}" if guard.columns else guard.act
    begin = f"CREATE TRIGGER {guard.name} BEFORE {act} ON {guard.table}"
    if dialect == "sqlite":
        return (
            f"{begin} WHEN {guard.condition} "
            f"BEGIN SELECT RAISE(ABORT, '{guard.message}'); END",
        )
    row = "OLD" if guard.act == "DELETE" else "NEW"
    return (
        f"CREATE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {guard.condition} THEN RAISE EXCEPTION '{guard.message}' "
        f"USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN {row}; END $$",
        f"{begin} FOR EACH ROW EXECUTE FUNCTION {guard.name}()",
    )
