"""The methods text on what was planned: design, images, questions, order."""

from collections import defaultdict
from typing import Final

from rating.results.facts import ArmFacts, RaterFacts, StudyFacts
from rating.results.wording import (
    code,
    counted,
    day,
    listed,
    number,
    paragraph,
    plain,
    quoted,
    spanned,
    was,
)
from rating.study.harmonisation import Harmonisation
from rating.study.protocol import QuestionText

_SELECTIONS: Final = {
    "first_seed": "taken by a seed fixed beforehand",
    "random": "drawn at random",
    "all": "taken without selection, every candidate being in the study",
    "all_of_comparison": "taken as drawn, every model's image of a comparison being in the study",
    "hand_picked": "chosen by eye",
}
_CROPS: Final = {
    "pad_square": "the whole picture was placed on a black square",
    "centre_square": "the largest central square was cut out",
    "none": "the whole picture was kept",
}
_RESAMPLING: Final = {
    "lanczos": "Lanczos", "bicubic": "bicubic", "bilinear": "bilinear"
}  # fmt: skip


def design(facts: StudyFacts) -> str:
    """Return the paragraph on what kind of study it was and when."""
    kind = "pilot of a blinded reader study" if facts.kind == "pilot" else "blinded reader study"
    shown = "one at a time" if facts.protocol.display == "single" else "side by side"
    return paragraph(
        "Study design",
        f"{quoted(facts.title)} (study {code(facts.code)}) was a {kind} in which raters judged "
        f"images shown {shown}",
        _arms(facts),
        _period(facts),
        f"the protocol planned {counted(facts.protocol.planned_raters, 'rater')}",
    )


def _arms(facts: StudyFacts) -> str:
    models = [plain(arm.label) for arm in facts.arms if not arm.is_real]
    has_real = any(arm.is_real for arm in facts.arms)
    if not models:
        return "all images were real; no model was compared"
    named = f"{counted(len(models), 'model')} ({listed(models)})"
    if has_real:
        return f"images of {named} were compared with real images"
    if len(models) == 1:
        return f"images of {named} were judged; there was nothing to compare them with"
    return f"images of {named} were compared; there were no real images"


def _period(facts: StudyFacts) -> str:
    if facts.opened_at is None:
        return "the study had not been opened when this text was generated"
    begun, ended = day(facts.opened_at), facts.locked_at and day(facts.locked_at)
    if ended is None:
        opened = f"the study was opened on {begun} and was still open when this text was generated"
    elif begun == ended:
        opened = f"the study was opened and locked on {begun}"
    else:
        opened = f"the study was opened on {begun} and locked on {ended}"
    if facts.first_shown_at is None or facts.last_submitted_at is None:
        return f"{opened}; no item was answered"
    first, last = day(facts.first_shown_at), day(facts.last_submitted_at)
    rated = f"on {first}" if first == last else f"from {first} to {last}"
    return f"{opened}; items were rated {rated}"


def images(facts: StudyFacts) -> str:
    """Return the paragraph on the images: how many, how chosen, what was done to them."""
    return paragraph(
        "Images",
        _contributions(facts),
        _reals(facts),
        _selection(facts),
        _harmonisation(facts.harmonisation),
        "A person attested on " + day(facts.attested_at) + " that identifiers burned into images "
        "had been looked for and handled"
        if facts.attested_at is not None
        else "Whether anybody looked for identifiers burned into images was not recorded",
    )


def _contributions(facts: StudyFacts) -> str:
    models = [arm for arm in facts.arms if not arm.is_real]
    if not models:
        return ""
    if len(models) == 1:
        return f"the model contributed {_contribution(models[0])}"
    if len({(arm.images, arm.prompts) for arm in models}) == 1:
        told = f"each model contributed {_contribution(models[0])}"
        if models[0].prompts == facts.prompts:
            told += f", which {was(facts.prompts)} the same for all models"
        return told
    each = [f"{plain(arm.label)} contributed {_contribution(arm)}" for arm in models]
    return f"{listed(each)}; in all there {was(facts.prompts)} {counted(facts.prompts, 'prompt')}"


def _contribution(arm: ArmFacts) -> str:
    return f"{counted(arm.images, 'image')} of {counted(arm.prompts, 'prompt')}"


def _reals(facts: StudyFacts) -> str:
    reals = [arm for arm in facts.arms if arm.is_real and arm.images]
    if not reals:
        return ""
    count, texts = sum(arm.images for arm in reals), sum(arm.prompts for arm in reals)
    return (
        f"{counted(count, 'real image')}, with {counted(texts, 'description')} in place of "
        f"prompts, {was(count)} the control arm"
    )


def _selection(facts: StudyFacts) -> str:
    arms = [arm for arm in facts.arms if arm.images]
    ways: dict[tuple[tuple[tuple[str, int], int], ...], list[ArmFacts]] = defaultdict(list)
    for arm in arms:
        ways[tuple(arm.selections.items())].append(arm)
    kinds = {way for arm in arms for way in arm.selections}
    if not kinds:
        return ""
    if len(kinds) == 1:
        (rule, candidates) = next(iter(kinds))
        return f"all images were {_chosen(rule, candidates)}"
    told = []
    for way, same in ways.items():
        if len(way) == 1:
            told.append(f"{_images_of(same)} {_chosen(*way[0][0])}")
            continue
        for arm in same:
            parts = [
                f"{count} {was(count)} {_chosen(rule, candidates)}"
                for (rule, candidates), count in way
            ]
            of = "the real images" if arm.is_real else f"the images of {plain(arm.label)}"
            told.append(f"of {of}, {listed(parts)}")
    return "; ".join(told)


def _images_of(arms: list[ArmFacts]) -> str:
    """Return "the images of A and B were" or "the real image was"."""
    models = [plain(arm.label) for arm in arms if not arm.is_real]
    total = sum(arm.images for arm in arms)
    noun = "image" if total == 1 else "images"
    if not models:
        return f"the real {noun} {was(total)}"
    real = " and the real ones" if len(models) < len(arms) else ""
    return f"the {noun} of {listed(models)}{real} {was(total)}"


def _chosen(rule: str, candidates: int) -> str:
    how = _SELECTIONS.get(rule, "chosen in a way that was not recorded")
    return f"{how} ({counted(candidates, 'candidate')} for each)"


def _harmonisation(used: Harmonisation | None) -> str:
    if used is None:
        return "what the images went through before they were shown was not recorded"
    side = "longer side" if used.crop == "none" else "side"
    steps = [
        _CROPS[used.crop],
        f"its {side} was made {used.size_px} px ({_RESAMPLING[used.resampling]} resampling)",
    ]
    if used.colour_mode == "L":
        steps.append("it was turned to greyscale")
    if used.jpeg_quality is not None:
        steps.append(f"it went through JPEG of quality {used.jpeg_quality}")
    steps.append("it was encoded as PNG without metadata")
    return f"all images went through the same steps: {listed(steps)}"


def questions(facts: StudyFacts) -> str:
    """Return the paragraph on what was asked and how it could be answered."""
    protocol = facts.protocol
    asked = protocol.questions
    is_single = protocol.display == "single"
    sentences = [
        f"raters were asked {counted(len(asked), 'question')}: {listed([*map(_question, asked)])}",
        _steps(facts),
        _cannot_judge(asked),
    ]
    if protocol.defect_tags:
        picture = "the image" if is_single else "the images"
        tags = listed([plain(tag) for tag in protocol.defect_tags])
        sentences.append(
            f"raters could tag defects ({tags}), mark points in {picture} and leave a remark"
        )
    else:
        sentences.append("raters could leave a remark")
    sentences.append(
        "answers to the last step could be changed until the end, and each change was logged"
        if protocol.can_revise
        else "answers could not be changed once they were given"
    )
    return paragraph("Questions", *sentences)


def _question(question: QuestionText) -> str:
    if question.kind == "preference":
        return f"{quoted(question.text)} ({code(question.code)}: one of the images shown)"
    low, high = quoted(question.labels[0]), quoted(question.labels[-1])
    points = len(question.labels)
    return (
        f"{quoted(question.text)} ({code(question.code)}: {counted(points, 'labelled point')} "
        f"from {low} to {high})"
    )


def _steps(facts: StudyFacts) -> str:
    protocol = facts.protocol
    picture = "the image" if protocol.display == "single" else "the images"
    if protocol.step_count == 1:
        return f"the prompt was shown together with {picture}"
    first = [code(question.code) for question in protocol.questions_of(1)]
    second = [code(question.code) for question in protocol.questions_of(2)]
    return (
        f"{listed(first)} {was(len(first))} asked with {picture} alone, and the answers were final "
        f"before the prompt was shown and {listed(second)} {was(len(second))} asked"
    )


def _cannot_judge(asked: tuple[QuestionText, ...]) -> str:
    can = [question for question in asked if question.has_cannot_judge]
    word = "*cannot judge*"
    if asked and all(question.kind == "preference" for question in asked):
        word = "*no preference*"
    if not can:
        return f"every question needed an answer: {word} was not offered"
    if len(can) == len(asked):
        return f"{word} was offered with {'every question' if len(asked) > 1 else 'it'}"
    return f"{word} was offered with {listed([code(each.code) for each in can])} only"


def order(facts: StudyFacts) -> str:
    """Return the paragraph on which items raters got, and in which order."""
    protocol = facts.protocol
    models = sum(not arm.is_real for arm in facts.arms)
    sentences = [
        "the order of items was drawn for each rater at enrolment, from the seed of the study "
        f"({facts.seed}), and stored",
        "items of one prompt were spread over the order and never followed each other"
        if protocol.display == "single"
        else "each item showed the images that all models had made of one prompt",
    ]
    if models > 1:
        what = "which model came first within a prompt"
        if protocol.display != "single":
            what = "which model stood in which place"
        sentences.append(f"{what} was balanced by a Williams design")
    sentences += _numbers(facts)
    sentences.append(
        f"a pause was offered after every {counted(protocol.session_items, 'item')}"
        if protocol.session_items > 1
        else "a pause was offered after every item"
    )
    return paragraph("Order and number of items", *sentences)


def _numbers(facts: StudyFacts) -> list[str]:
    raters, protocol = facts.enrolled, facts.protocol
    if not raters:
        return ["no rater enrolled, so that no order was drawn"]
    main = _assigned(raters, "main")
    single = protocol.display == "single"
    every = sum(arm.images for arm in facts.arms) if single else facts.prompts
    who = "the rater" if len(raters) == 1 else "each rater" if len(set(main)) == 1 else "raters"
    told = f"{who} was assigned" if who != "raters" else "raters were assigned"
    told += f" {spanned(main, 'main item')}"
    if max(main) < every:
        told += f" of {every}, drawn in whole sets of a prompt such that all items were judged"
        told += " by as nearly equally many raters as possible"
    sentences = [told]
    if max(repeats := _assigned(raters, "repeat")):
        hidden = spanned(repeats, "hidden repeat")
        sentences.append(
            f"{hidden} {_each(raters)}, with at least "
            f"{counted(protocol.washout_items, 'other item')} in between, "
            f"{was(max(repeats))} for the agreement of raters with themselves"
        )
    else:
        sentences.append("no item was repeated")
    if max(checks := _assigned(raters, "check")):
        sentences.append(
            f"there {was(max(checks))} {spanned(checks, 'attention check')} {_each(raters)}"
        )
    else:
        sentences.append("there were no attention checks")
    if max(practice := _assigned(raters, "practice")):
        sentences.append(
            f"{spanned(practice, 'practice item')} from outside the study came first"
        )
    else:
        sentences.append("there was no practice")
    return sentences


def _assigned(raters: tuple[RaterFacts, ...], kind: str) -> list[int]:
    return [rater.assigned.get(kind, 0) for rater in raters]


def _each(raters: tuple[RaterFacts, ...]) -> str:
    return "for the rater" if len(raters) == 1 else "for each rater"


def share(part: int, whole: int) -> str:
    """Return "5 of 240 (2.1 %)"."""
    return f"{part} of {whole} ({number(100 * part / whole)} %)"
