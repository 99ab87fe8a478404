"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("draft_protocol", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("harmonisation", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("identifiers_attested_by", sa.String(length=200), nullable=True),
        sa.Column("identifiers_attested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("root_hash", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "(status = 'draft') = (opened_at IS NULL)", name=op.f("ck_study_opened_at_unless_draft")
        ),
        sa.CheckConstraint(
            "(status = 'locked') = (locked_at IS NOT NULL AND root_hash IS NOT NULL)",
            name=op.f("ck_study_locked_at_and_root_hash_when_locked"),
        ),
        sa.CheckConstraint(
            "NOT is_paused OR status = 'open'", name=op.f("ck_study_paused_when_open")
        ),
        sa.CheckConstraint("kind IN ('main', 'pilot')", name=op.f("ck_study_kind")),
        sa.CheckConstraint("status IN ('draft', 'open', 'locked')", name=op.f("ck_study_status")),
        sa.CheckConstraint(
            "(identifiers_attested_at IS NULL) = (identifiers_attested_by IS NULL)",
            name=op.f("ck_study_identifiers_attested_by_someone"),
        ),
        sa.CheckConstraint("seed >= 0", name=op.f("ck_study_seed")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("code", name=op.f("uq_study_code")),
    )
    op.create_table(
        "arm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("is_real", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_arm_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arm")),
        sa.UniqueConstraint("study_id", "code", name=op.f("uq_arm_study_id_code")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_arm_study_id_id")),
    )
    op.create_table(
        "audit_report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_passed", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_audit_report_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_report")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_event_sequence")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_event_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("study_id", "sequence", name=op.f("uq_event_study_id_sequence")),
    )
    op.create_table(
        "prompt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_prompt_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("study_id", "code", name=op.f("uq_prompt_study_id_code")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_prompt_study_id_id")),
    )
    op.create_table(
        "protocol_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_protocol_version_version")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_protocol_version_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protocol_version")),
        sa.UniqueConstraint(
            "study_id", "version", name=op.f("uq_protocol_version_study_id_version")
        ),
    )
    op.create_table(
        "question",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("maximum", sa.Integer(), nullable=False),
        sa.Column("labels", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("has_cannot_judge", sa.Boolean(), nullable=False),
        sa.CheckConstraint("kind IN ('scale', 'preference')", name=op.f("ck_question_kind")),
        sa.CheckConstraint("minimum <= maximum", name=op.f("ck_question_range")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_question_position")),
        sa.CheckConstraint("step >= 1", name=op.f("ck_question_step")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_question_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
        sa.UniqueConstraint("study_id", "code", name=op.f("uq_question_study_id_code")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_question_study_id_id")),
        sa.UniqueConstraint("study_id", "position", name=op.f("uq_question_study_id_position")),
    )
    op.create_table(
        "rater",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("is_audit", sa.Boolean(), nullable=False),
        sa.Column("link_sha256", sa.String(length=64), nullable=False),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_sha256", sa.String(length=64), nullable=True),
        sa.Column("is_independent", sa.Boolean(), nullable=True),
        sa.Column("specialty", sa.String(length=100), nullable=True),
        sa.Column("years_experience", sa.Integer(), nullable=True),
        sa.Column("enrolment_index", sa.Integer(), nullable=True),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closing_remark", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(consented_at IS NULL) = (consent_sha256 IS NULL)",
            name=op.f("ck_rater_consent_has_its_text"),
        ),
        sa.CheckConstraint(
            "(enrolled_at IS NULL) = (enrolment_index IS NULL)",
            name=op.f("ck_rater_enrolment_index"),
        ),
        sa.CheckConstraint(
            "completed_at IS NULL OR enrolled_at IS NOT NULL",
            name=op.f("ck_rater_enrolled_before_completed"),
        ),
        sa.CheckConstraint(
            "enrolled_at IS NULL OR consented_at IS NOT NULL",
            name=op.f("ck_rater_consent_before_enrolment"),
        ),
        sa.CheckConstraint(
            "erased_at IS NULL OR withdrawn_at IS NOT NULL",
            name=op.f("ck_rater_withdrawn_when_erased"),
        ),
        sa.CheckConstraint(
            "years_experience IS NULL OR years_experience BETWEEN 0 AND 70",
            name=op.f("ck_rater_years_experience"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_rater_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rater")),
        sa.UniqueConstraint("link_sha256", name=op.f("uq_rater_link_sha256")),
        sa.UniqueConstraint("study_id", "code", name=op.f("uq_rater_study_id_code")),
        sa.UniqueConstraint(
            "study_id", "enrolment_index", name=op.f("uq_rater_study_id_enrolment_index")
        ),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_rater_study_id_id")),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("display", sa.String(length=14), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("repeat_of_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'repeat') = (repeat_of_id IS NOT NULL)", name=op.f("ck_item_repeat_of")
        ),
        sa.CheckConstraint("display IN ('single', 'side_by_side')", name=op.f("ck_item_display")),
        sa.CheckConstraint(
            "kind IN ('main', 'practice', 'repeat', 'check')", name=op.f("ck_item_kind")
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "prompt_id"],
            ["prompt.study_id", "prompt.id"],
            name=op.f("fk_item_study_id_prompt_id_prompt"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "repeat_of_id"],
            ["item.study_id", "item.id"],
            name=op.f("fk_item_study_id_repeat_of_id_item"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_item_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_item_study_id_id")),
        sa.UniqueConstraint("study_id", "repeat_of_id", name=op.f("uq_item_study_id_repeat_of_id")),
    )
    op.create_table(
        "sign_in",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("rater_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(role = 'rater') = (rater_id IS NOT NULL)", name=op.f("ck_sign_in_rater")
        ),
        sa.CheckConstraint(
            "role IN ('coordinator', 'rater', 'generator')", name=op.f("ck_sign_in_role")
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name=op.f("fk_sign_in_rater_id_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_sign_in_token_sha256")),
    )
    op.create_index("ix_sign_in_rater_id", "sign_in", ["rater_id"], unique=False)
    op.create_table(
        "stimulus",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("arm_id", sa.Integer(), nullable=True),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("png_sha256", sa.String(length=64), nullable=False),
        sa.Column("pixel_sha256", sa.String(length=64), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("colour_mode", sa.String(length=4), nullable=False),
        sa.Column("provenance", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("harmonisation", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("selection_rule", sa.String(length=24), nullable=False),
        sa.Column("candidate_count", sa.Integer(), nullable=False),
        sa.Column("source_name", sa.String(length=400), nullable=False),
        sa.Column("expected", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role <> 'main' OR arm_id IS NOT NULL", name=op.f("ck_stimulus_arm_when_main")
        ),
        sa.CheckConstraint("role IN ('main', 'practice', 'check')", name=op.f("ck_stimulus_role")),
        sa.CheckConstraint("candidate_count >= 1", name=op.f("ck_stimulus_candidate_count")),
        sa.CheckConstraint("width_px > 0 AND height_px > 0", name=op.f("ck_stimulus_size")),
        sa.ForeignKeyConstraint(
            ["study_id", "arm_id"],
            ["arm.study_id", "arm.id"],
            name=op.f("fk_stimulus_study_id_arm_id_arm"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "prompt_id"],
            ["prompt.study_id", "prompt.id"],
            name=op.f("fk_stimulus_study_id_prompt_id_prompt"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_stimulus_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stimulus")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_stimulus_study_id_id")),
    )
    op.create_index(
        "ix_stimulus_study_id_pixel_sha256", "stimulus", ["study_id", "pixel_sha256"], unique=False
    )
    op.create_table(
        "assignment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("rater_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=43), nullable=False),
        sa.Column("protocol_version", sa.Integer(), nullable=False),
        sa.Column("steps_done", sa.Integer(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("visible_ms", sa.Integer(), nullable=False),
        sa.Column("is_seen_before", sa.Boolean(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=True),
        sa.Column("viewport_width_px", sa.Integer(), nullable=True),
        sa.Column("viewport_height_px", sa.Integer(), nullable=True),
        sa.Column("device_pixel_ratio", sa.Double(), nullable=True),
        sa.Column("app_version", sa.String(length=40), nullable=True),
        sa.CheckConstraint(
            "judged_at IS NULL OR shown_at IS NOT NULL", name=op.f("ck_assignment_shown_first")
        ),
        sa.CheckConstraint("position >= 0", name=op.f("ck_assignment_position")),
        sa.CheckConstraint("steps_done >= 0", name=op.f("ck_assignment_steps_done")),
        sa.CheckConstraint(
            "submitted_at IS NULL OR judged_at IS NOT NULL", name=op.f("ck_assignment_judged_first")
        ),
        sa.CheckConstraint("visible_ms >= 0", name=op.f("ck_assignment_visible_ms")),
        sa.ForeignKeyConstraint(
            ["study_id", "item_id"],
            ["item.study_id", "item.id"],
            name=op.f("fk_assignment_study_id_item_id_item"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "protocol_version"],
            ["protocol_version.study_id", "protocol_version.version"],
            name=op.f("fk_assignment_study_id_protocol_version_protocol_version"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "rater_id"],
            ["rater.study_id", "rater.id"],
            name=op.f("fk_assignment_study_id_rater_id_rater"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_assignment_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint("rater_id", "item_id", name=op.f("uq_assignment_rater_id_item_id")),
        sa.UniqueConstraint("rater_id", "position", name=op.f("uq_assignment_rater_id_position")),
        sa.UniqueConstraint("study_id", "id", name=op.f("uq_assignment_study_id_id")),
        sa.UniqueConstraint("token", name=op.f("uq_assignment_token")),
    )
    op.create_index("ix_assignment_item_id", "assignment", ["item_id"], unique=False)
    op.create_table(
        "item_stimulus",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("stimulus_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id", "item_id"],
            ["item.study_id", "item.id"],
            name=op.f("fk_item_stimulus_study_id_item_id_item"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "stimulus_id"],
            ["stimulus.study_id", "stimulus.id"],
            name=op.f("fk_item_stimulus_study_id_stimulus_id_stimulus"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_item_stimulus_study_id_study")
        ),
        sa.PrimaryKeyConstraint("item_id", "stimulus_id", name=op.f("pk_item_stimulus")),
    )
    op.create_table(
        "stimulus_image",
        sa.Column("stimulus_id", sa.Integer(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stimulus_id"], ["stimulus.id"], name=op.f("fk_stimulus_image_stimulus_id_stimulus")
        ),
        sa.PrimaryKeyConstraint("stimulus_id", name=op.f("pk_stimulus_image")),
    )
    op.create_table(
        "answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=True),
        sa.Column("is_cannot_judge", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(value IS NULL) = is_cannot_judge", name=op.f("ck_answer_value_or_cannot_judge")
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_answer_revision")),
        sa.ForeignKeyConstraint(
            ["study_id", "assignment_id"],
            ["assignment.study_id", "assignment.id"],
            name=op.f("fk_answer_study_id_assignment_id_assignment"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "question_id"],
            ["question.study_id", "question.id"],
            name=op.f("fk_answer_study_id_question_id_question"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_answer_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
        sa.UniqueConstraint(
            "assignment_id", "question_id", name=op.f("uq_answer_assignment_id_question_id")
        ),
    )
    op.create_index(
        "ix_answer_study_id_question_id", "answer", ["study_id", "question_id"], unique=False
    )
    op.create_table(
        "assignment_slot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("stimulus_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=43), nullable=False),
        sa.CheckConstraint("slot >= 0", name=op.f("ck_assignment_slot_slot")),
        sa.ForeignKeyConstraint(
            ["study_id", "assignment_id"],
            ["assignment.study_id", "assignment.id"],
            name=op.f("fk_assignment_slot_study_id_assignment_id_assignment"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "stimulus_id"],
            ["stimulus.study_id", "stimulus.id"],
            name=op.f("fk_assignment_slot_study_id_stimulus_id_stimulus"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_assignment_slot_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment_slot")),
        sa.UniqueConstraint(
            "assignment_id", "slot", name=op.f("uq_assignment_slot_assignment_id_slot")
        ),
        sa.UniqueConstraint(
            "assignment_id",
            "stimulus_id",
            name=op.f("uq_assignment_slot_assignment_id_stimulus_id"),
        ),
        sa.UniqueConstraint("token", name=op.f("uq_assignment_slot_token")),
    )
    op.create_index(
        "ix_assignment_slot_study_id_stimulus_id",
        "assignment_slot",
        ["study_id", "stimulus_id"],
        unique=False,
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("step <> 0", name=op.f("ck_submission_step")),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["assignment.id"],
            name=op.f("fk_submission_assignment_id_assignment"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
        sa.UniqueConstraint("assignment_id", "key", name=op.f("uq_submission_assignment_id_key")),
        sa.UniqueConstraint("assignment_id", "step", name=op.f("uq_submission_assignment_id_step")),
    )
    op.create_table(
        "answer_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("answer_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=True),
        sa.Column("is_cannot_judge", sa.Boolean(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(value IS NULL) = is_cannot_judge",
            name=op.f("ck_answer_version_value_or_cannot_judge"),
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_answer_version_revision")),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name=op.f("fk_answer_version_answer_id_answer")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer_version")),
        sa.UniqueConstraint(
            "answer_id", "revision", name=op.f("uq_answer_version_answer_id_revision")
        ),
    )
    op.create_table(
        "defect_tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_slot_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_slot_id"],
            ["assignment_slot.id"],
            name=op.f("fk_defect_tag_assignment_slot_id_assignment_slot"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_defect_tag")),
        sa.UniqueConstraint(
            "assignment_slot_id", "tag", name=op.f("uq_defect_tag_assignment_slot_id_tag")
        ),
    )
    op.create_table(
        "mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_slot_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("tag", sa.String(length=40), nullable=True),
        sa.CheckConstraint("number >= 1", name=op.f("ck_mark_number")),
        sa.CheckConstraint("x BETWEEN 0 AND 1 AND y BETWEEN 0 AND 1", name=op.f("ck_mark_inside")),
        sa.ForeignKeyConstraint(
            ["assignment_slot_id"],
            ["assignment_slot.id"],
            name=op.f("fk_mark_assignment_slot_id_assignment_slot"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mark")),
        sa.UniqueConstraint(
            "assignment_slot_id", "number", name=op.f("uq_mark_assignment_slot_id_number")
        ),
    )


def downgrade() -> None:
    """Refuse: a backup is made before every migration."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
