"""The rows of the tables that say what was rated, by whom, with what words: one a thing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sqlalchemy import func, select

from rating.results.cells import Row, boolean, json_text, moment, tags_text, text_or_missing
from rating.results.column import MISSING
from rating.results.columns import ARMS, PROMPTS, QUESTIONS, RATERS, REMARKS, STIMULI
from rating.results.rows import Source, person_cells, picture_cells
from rating.storage.models import Assignment, Item, Prompt, Rater, Stimulus
from rating.study.unblinding import arms
from rating.study.watching import rater_state

_ROWS_AT_ONCE: Final = 500


def prompt_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of prompts.csv."""
    rows = source.session.execute(
        select(Prompt.code, Prompt.text)
        .where(Prompt.study_id == source.study.id)
        .order_by(Prompt.id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    yield from ((*source.study_cells, code, text) for code, text in rows)


def question_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of questions.csv, one a point."""
    for question in source.questions:
        for point, label in enumerate(question.labels, start=question.minimum):
            yield (
                *source.study_cells, question.code, question.text, question.kind,
                str(question.step), str(point), str(label), boolean(question.has_cannot_judge),
            )  # fmt: skip


def remark_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of remarks.csv: of a rater's items in their order, then the closing one."""
    for person in source.people:
        rows = source.session.execute(
            select(Assignment.id, Assignment.remark)
            .where(Assignment.rater_id == person.id, Assignment.remark.is_not(None))
            .order_by(Assignment.position)
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        for id_, remark in rows:
            yield (*source.study_cells, person.code, str(id_), str(remark))
        closing = source.session.scalar(
            select(Rater.closing_remark).where(Rater.id == person.id)
        )
        if closing:
            yield (*source.study_cells, person.code, MISSING, closing)


def rater_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of raters.csv."""
    rows = source.session.execute(
        select(Assignment.rater_id, func.count(), func.count(Assignment.submitted_at))
        .join(Item, Item.id == Assignment.item_id)
        .where(Assignment.study_id == source.study.id, Item.kind != "practice")
        .group_by(Assignment.rater_id)
    )
    counts = {rater_id: (drawn, done) for rater_id, drawn, done in rows}
    for person in source.people:
        rater = source.session.get_one(Rater, person.id)
        moments = (rater.consented_at, rater.enrolled_at, rater.completed_at, rater.withdrawn_at)
        times = () if source.variant == "public" else map(moment, moments)
        yield (
            *source.study_cells, person.code, rater_state(rater),
            boolean(rater.erased_at is not None), *person_cells(person, source.variant)[1:],
            *map(str, counts.get(person.id, (0, 0))), text_or_missing(rater.consent_sha256),
            *times,
        )  # fmt: skip


def arm_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of arms.csv, the real one last."""
    images: Counter[str] = Counter()
    prompts: defaultdict[str, set[str]] = defaultdict(set)
    models: defaultdict[str, set[str]] = defaultdict(set)
    weights: defaultdict[str, set[str]] = defaultdict(set)
    for each in source.stimuli.values():
        if each.role != "main" or each.arm_code is None:
            continue
        images[each.arm_code] += 1
        prompts[each.arm_code].add(each.prompt_code)
        models[each.arm_code].update(filter(None, (each.model,)))
        weights[each.arm_code].update(filter(None, (each.weights_sha256,)))
    for arm in arms(source.session, source.study):
        code = arm.code
        yield (
            *source.study_cells, code, arm.label, boolean(arm.is_real), str(images[code]),
            str(len(prompts[code])), text_or_missing(tags_text(models[code]) or None),
            text_or_missing(tags_text(weights[code]) or None),
        )  # fmt: skip


def stimulus_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of stimuli.csv."""
    rows = source.session.execute(
        select(
            Stimulus.id, Stimulus.pixel_sha256, Stimulus.width_px, Stimulus.height_px,
            Stimulus.colour_mode, Stimulus.expected, Stimulus.harmonisation, Stimulus.provenance,
            Stimulus.source_name,
        )
        .where(Stimulus.study_id == source.study.id)
        .order_by(Stimulus.id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )  # fmt: skip
    for id_, pixels, width, height, mode, expected, harmonised, made, name in rows:
        stimulus = source.stimuli[id_]
        *of, _, png = picture_cells(stimulus)
        private = () if source.variant == "public" else (json_text(made), name)
        yield (
            *source.study_cells, str(id_), stimulus.role, stimulus.prompt_code, *of, png, pixels,
            str(width), str(height), mode, json_text(expected), json_text(harmonised), *private,
        )  # fmt: skip


DESCRIBING: Final[Mapping[str, Callable[[Source], Iterator[Row]]]] = {
    PROMPTS: prompt_rows,
    QUESTIONS: question_rows,
    REMARKS: remark_rows,
    RATERS: rater_rows,
    ARMS: arm_rows,
    STIMULI: stimulus_rows,
}
