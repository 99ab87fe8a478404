"""The tables. Words: study, stimulus, item, rater, question, assignment, answer.

What belongs to one study is tied to it by composite foreign keys, so that no row of one study can
point into another. Nothing cascades: what a rater has answered is deleted by erasure alone.
Names of constraints are fixed, so that migrations can refer to them.
"""

import datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

STUDY_KINDS: Final = ("main", "pilot")
STUDY_STATUSES: Final = ("draft", "open", "locked")
STIMULUS_ROLES: Final = ("main", "practice", "check")
ITEM_KINDS: Final = ("main", "practice", "repeat", "check")
DISPLAYS: Final = ("single", "side_by_side")
QUESTION_KINDS: Final = ("scale", "preference")
ROLES: Final = ("coordinator", "rater", "generator")


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A moment, aware and in UTC on both sides, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Return the moment in UTC; a moment without a zone is a mistake."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone.")
        value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Return the moment, aware and in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=datetime.UTC)
        return value.astimezone(datetime.UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # declared by SQLAlchemy as a class attribute
        datetime.datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _ref(*columns: str, to: str) -> ForeignKeyConstraint:
    """A reference within one study: (study_id, column) -> (study_id, id) of `to`."""
    return ForeignKeyConstraint(["study_id", *columns], [f"{to}.study_id", f"{to}.id"])


class Study(Base):
    """A study; `code` is its public name, random and telling nothing."""

    __tablename__ = "study"
    __table_args__ = (
        _one_of("kind", STUDY_KINDS),
        _one_of("status", STUDY_STATUSES),
        CheckConstraint(
            "(status = 'draft') = (opened_at IS NULL)", name="opened_at_unless_draft"
        ),
        CheckConstraint(
            "(status = 'locked') = (locked_at IS NOT NULL AND root_hash IS NOT NULL)",
            name="locked_at_and_root_hash_when_locked",
        ),
        CheckConstraint("seed >= 0", name="seed"),
        CheckConstraint("NOT is_paused OR status = 'open'", name="paused_when_open"),
        CheckConstraint(
            "(identifiers_attested_at IS NULL) = (identifiers_attested_by IS NULL)",
            name="identifiers_attested_by_someone",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(16), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(8), default="draft")
    is_paused: Mapped[bool] = mapped_column(default=False)
    seed: Mapped[int] = mapped_column(BigInteger)  # of the design, 0 to 2**63 - 1
    draft_protocol: Mapped[dict[str, Any]]  # until it is opened; then see ProtocolVersion
    harmonisation: Mapped[dict[str, Any] | None]  # settings all stimuli went through
    identifiers_attested_by: Mapped[str | None] = mapped_column(String(200))
    identifiers_attested_at: Mapped[datetime.datetime | None]
    created_at: Mapped[datetime.datetime]
    opened_at: Mapped[datetime.datetime | None]
    locked_at: Mapped[datetime.datetime | None]
    root_hash: Mapped[str | None] = mapped_column(String(64))


class ProtocolVersion(Base):
    """The protocol as it was opened or extended; never changed, never removed."""

    __tablename__ = "protocol_version"
    __table_args__ = (
        UniqueConstraint("study_id", "version"),
        CheckConstraint("version >= 1", name="version"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    version: Mapped[int]
    content: Mapped[str] = mapped_column(Text)  # canonical JSON, the hashed bytes in UTF-8
    sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime.datetime]


class Question(Base):
    """A question of the opened protocol; read-only from then on."""

    __tablename__ = "question"
    __table_args__ = (
        UniqueConstraint("study_id", "id"),
        UniqueConstraint("study_id", "code"),
        UniqueConstraint("study_id", "position"),
        _one_of("kind", QUESTION_KINDS),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("step >= 1", name="step"),
        CheckConstraint("minimum <= maximum", name="range"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    position: Mapped[int]
    code: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(12))
    step: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    minimum: Mapped[int]
    maximum: Mapped[int]  # of a preference: the number of slots; its values are 1 + slot
    labels: Mapped[list[Any]]  # one a point, from minimum to maximum
    has_cannot_judge: Mapped[bool] = mapped_column(default=True)


class Arm(Base):
    """What is compared: a model, or real images."""

    __tablename__ = "arm"
    __table_args__ = (UniqueConstraint("study_id", "id"), UniqueConstraint("study_id", "code"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    code: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(200))
    is_real: Mapped[bool]


class Prompt(Base):
    """A text that images were made from, or that describes a real one."""

    __tablename__ = "prompt"
    __table_args__ = (UniqueConstraint("study_id", "id"), UniqueConstraint("study_id", "code"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    code: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)


class Stimulus(Base):
    """One picture as raters get it, with what is known of it and never told before lock."""

    __tablename__ = "stimulus"
    __table_args__ = (
        UniqueConstraint("study_id", "id"),
        _ref("arm_id", to="arm"),
        _ref("prompt_id", to="prompt"),
        _one_of("role", STIMULUS_ROLES),
        CheckConstraint("role <> 'main' OR arm_id IS NOT NULL", name="arm_when_main"),
        CheckConstraint("width_px > 0 AND height_px > 0", name="size"),
        CheckConstraint("candidate_count >= 1", name="candidate_count"),
        Index("ix_stimulus_study_id_pixel_sha256", "study_id", "pixel_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    role: Mapped[str] = mapped_column(String(10), default="main")
    arm_id: Mapped[int | None]
    prompt_id: Mapped[int]
    png_sha256: Mapped[str] = mapped_column(String(64))
    pixel_sha256: Mapped[str] = mapped_column(String(64))
    width_px: Mapped[int]
    height_px: Mapped[int]
    colour_mode: Mapped[str] = mapped_column(String(4))  # "RGB" or "L"
    provenance: Mapped[dict[str, Any]]
    harmonisation: Mapped[dict[str, Any]]  # what was done to this one
    selection_rule: Mapped[str] = mapped_column(String(24))
    candidate_count: Mapped[int]
    source_name: Mapped[str] = mapped_column(String(400))
    expected: Mapped[dict[str, Any] | None]  # of a check: question code -> accepted values
    added_at: Mapped[datetime.datetime]

    arm: Mapped[Arm | None] = relationship(viewonly=True)
    prompt: Mapped[Prompt] = relationship(viewonly=True)


class StimulusImage(Base):
    """The bytes of a stimulus, in a table of their own so that listing stimuli stays cheap."""

    __tablename__ = "stimulus_image"

    stimulus_id: Mapped[int] = mapped_column(ForeignKey("stimulus.id"), primary_key=True)
    png: Mapped[bytes] = mapped_column(LargeBinary)


class Item(Base):
    """One screen: one stimulus, or one of each arm."""

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("study_id", "id"),
        UniqueConstraint("study_id", "repeat_of_id"),
        _ref("prompt_id", to="prompt"),
        _ref("repeat_of_id", to="item"),
        _one_of("kind", ITEM_KINDS),
        _one_of("display", DISPLAYS),
        CheckConstraint("(kind = 'repeat') = (repeat_of_id IS NOT NULL)", name="repeat_of"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    kind: Mapped[str] = mapped_column(String(10))
    display: Mapped[str] = mapped_column(String(14))
    prompt_id: Mapped[int]
    repeat_of_id: Mapped[int | None]

    prompt: Mapped[Prompt] = relationship(viewonly=True)


class ItemStimulus(Base):
    """Which stimuli an item shows; in which order is drawn for each assignment."""

    __tablename__ = "item_stimulus"
    __table_args__ = (_ref("item_id", to="item"), _ref("stimulus_id", to="stimulus"))

    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    item_id: Mapped[int] = mapped_column(primary_key=True)
    stimulus_id: Mapped[int] = mapped_column(primary_key=True)


class Rater(Base):
    """A person who rates. No name and no address: whom a code belongs to is known elsewhere."""

    __tablename__ = "rater"
    __table_args__ = (
        UniqueConstraint("study_id", "id"),
        UniqueConstraint("study_id", "code"),
        UniqueConstraint("study_id", "enrolment_index"),
        CheckConstraint(
            "(consented_at IS NULL) = (consent_sha256 IS NULL)", name="consent_has_its_text"
        ),
        CheckConstraint(
            "enrolled_at IS NULL OR consented_at IS NOT NULL", name="consent_before_enrolment"
        ),
        CheckConstraint(
            "(enrolled_at IS NULL) = (enrolment_index IS NULL)", name="enrolment_index"
        ),
        CheckConstraint(
            "years_experience IS NULL OR years_experience BETWEEN 0 AND 70",
            name="years_experience",
        ),
        CheckConstraint(
            "completed_at IS NULL OR enrolled_at IS NOT NULL", name="enrolled_before_completed"
        ),
        CheckConstraint(
            "erased_at IS NULL OR withdrawn_at IS NOT NULL", name="withdrawn_when_erased"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    code: Mapped[str] = mapped_column(String(16))
    is_audit: Mapped[bool] = mapped_column(default=False)  # plays for a blinding audit
    link_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    invited_at: Mapped[datetime.datetime]
    revoked_at: Mapped[datetime.datetime | None]
    consented_at: Mapped[datetime.datetime | None]
    consent_sha256: Mapped[str | None] = mapped_column(String(64))
    is_independent: Mapped[bool | None]  # of the authors, as the rater says
    specialty: Mapped[str | None] = mapped_column(String(100))
    years_experience: Mapped[int | None]
    enrolment_index: Mapped[int | None]  # 0 for the first who was enrolled
    enrolled_at: Mapped[datetime.datetime | None]
    completed_at: Mapped[datetime.datetime | None]
    withdrawn_at: Mapped[datetime.datetime | None]
    erased_at: Mapped[datetime.datetime | None]
    closing_remark: Mapped[str | None] = mapped_column(Text)


class SignIn(Base):
    """A browser that was let in; its cookie is kept as a hash."""

    __tablename__ = "sign_in"
    __table_args__ = (
        _one_of("role", ROLES),
        CheckConstraint("(role = 'rater') = (rater_id IS NOT NULL)", name="rater"),
        Index("ix_sign_in_rater_id", "rater_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(12))
    rater_id: Mapped[int | None] = mapped_column(ForeignKey("rater.id"))
    created_at: Mapped[datetime.datetime]
    expires_at: Mapped[datetime.datetime | None]
    ended_at: Mapped[datetime.datetime | None]


class Assignment(Base):
    """A rater x item x position, drawn once at enrolment; `token` names it to the browser."""

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("study_id", "id"),
        UniqueConstraint("rater_id", "item_id"),
        UniqueConstraint("rater_id", "position"),
        _ref("rater_id", to="rater"),
        _ref("item_id", to="item"),
        ForeignKeyConstraint(
            ["study_id", "protocol_version"],
            ["protocol_version.study_id", "protocol_version.version"],
        ),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("steps_done >= 0", name="steps_done"),
        CheckConstraint("visible_ms >= 0", name="visible_ms"),
        CheckConstraint("judged_at IS NULL OR shown_at IS NOT NULL", name="shown_first"),
        CheckConstraint("submitted_at IS NULL OR judged_at IS NOT NULL", name="judged_first"),
        Index("ix_assignment_item_id", "item_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    rater_id: Mapped[int]
    item_id: Mapped[int]
    position: Mapped[int]  # 0, 1, ...: practice first, then everything else
    token: Mapped[str] = mapped_column(String(43), unique=True)
    protocol_version: Mapped[int]  # in force when it was drawn
    steps_done: Mapped[int] = mapped_column(default=0)
    shown_at: Mapped[datetime.datetime | None]
    judged_at: Mapped[datetime.datetime | None]  # when the first step was committed
    submitted_at: Mapped[datetime.datetime | None]  # when the last step was
    visible_ms: Mapped[int] = mapped_column(default=0)
    is_seen_before: Mapped[bool] = mapped_column(default=False)
    remark: Mapped[str | None] = mapped_column(Text)
    viewport_width_px: Mapped[int | None]
    viewport_height_px: Mapped[int | None]
    device_pixel_ratio: Mapped[float | None]
    app_version: Mapped[str | None] = mapped_column(String(40))

    item: Mapped[Item] = relationship(viewonly=True)
    rater: Mapped[Rater] = relationship(viewonly=True)


class AssignmentSlot(Base):
    """A place for a picture on an item's screen; `token` is the picture's address there."""

    __tablename__ = "assignment_slot"
    __table_args__ = (
        UniqueConstraint("assignment_id", "slot"),
        UniqueConstraint("assignment_id", "stimulus_id"),
        _ref("assignment_id", to="assignment"),
        _ref("stimulus_id", to="stimulus"),
        CheckConstraint("slot >= 0", name="slot"),
        Index("ix_assignment_slot_study_id_stimulus_id", "study_id", "stimulus_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    assignment_id: Mapped[int]
    slot: Mapped[int]
    stimulus_id: Mapped[int]
    token: Mapped[str] = mapped_column(String(43), unique=True)


class Answer(Base):
    """The last saved answer to one question about one item."""

    __tablename__ = "answer"
    __table_args__ = (
        UniqueConstraint("assignment_id", "question_id"),
        _ref("assignment_id", to="assignment"),
        _ref("question_id", to="question"),
        CheckConstraint("(value IS NULL) = is_cannot_judge", name="value_or_cannot_judge"),
        CheckConstraint("revision >= 1", name="revision"),
        Index("ix_answer_study_id_question_id", "study_id", "question_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    assignment_id: Mapped[int]
    question_id: Mapped[int]
    value: Mapped[int | None] = mapped_column(Integer)
    is_cannot_judge: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int] = mapped_column(default=1)  # 1: never edited
    saved_at: Mapped[datetime.datetime]


class AnswerVersion(Base):
    """Every answer as it was saved, the first one and each edit."""

    __tablename__ = "answer_version"
    __table_args__ = (
        UniqueConstraint("answer_id", "revision"),
        CheckConstraint("(value IS NULL) = is_cannot_judge", name="value_or_cannot_judge"),
        CheckConstraint("revision >= 1", name="revision"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    answer_id: Mapped[int] = mapped_column(ForeignKey("answer.id"))
    revision: Mapped[int]
    value: Mapped[int | None] = mapped_column(Integer)
    is_cannot_judge: Mapped[bool] = mapped_column(default=False)
    saved_at: Mapped[datetime.datetime]


class Submission(Base):
    """A request of a browser that was carried out; the same `key` again changes nothing."""

    __tablename__ = "submission"
    __table_args__ = (
        UniqueConstraint("assignment_id", "key"),
        UniqueConstraint("assignment_id", "step"),
        CheckConstraint("step <> 0", name="step"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"))
    step: Mapped[int]  # 1, 2, ...; -1, -2, ... for the revisions of an item
    key: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[datetime.datetime]


class DefectTag(Base):
    """A kind of defect that a rater sees in a picture."""

    __tablename__ = "defect_tag"
    __table_args__ = (UniqueConstraint("assignment_slot_id", "tag"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_slot_id: Mapped[int] = mapped_column(ForeignKey("assignment_slot.id"))
    tag: Mapped[str] = mapped_column(String(40))


class Mark(Base):
    """A point that a rater has put on a picture, from its upper left corner."""

    __tablename__ = "mark"
    __table_args__ = (
        UniqueConstraint("assignment_slot_id", "number"),
        CheckConstraint("x BETWEEN 0 AND 1 AND y BETWEEN 0 AND 1", name="inside"),
        CheckConstraint("number >= 1", name="number"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_slot_id: Mapped[int] = mapped_column(ForeignKey("assignment_slot.id"))
    number: Mapped[int]
    x: Mapped[float]  # share of the width
    y: Mapped[float]  # share of the height
    tag: Mapped[str | None] = mapped_column(String(40))


class Event(Base):
    """What happened to a study, each event bound to the one before by its hash."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("study_id", "sequence"),
        CheckConstraint("sequence >= 0", name="sequence"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    sequence: Mapped[int]  # 0, 1, ...
    at: Mapped[datetime.datetime]
    kind: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(40))  # "coordinator", "command line", a rater's code
    details: Mapped[str] = mapped_column(Text)  # canonical JSON
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditReport(Base):
    """A blinding audit and what it found."""

    __tablename__ = "audit_report"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    at: Mapped[datetime.datetime]
    is_passed: Mapped[bool]
    report: Mapped[dict[str, Any]]
