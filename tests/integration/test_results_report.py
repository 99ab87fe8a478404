"""Contract: the methods and results texts say what was planned, what happened and what is missing,
in proper English, of every kind of study; a difference that is not significant is never called
none; every item of the checklists is answered or left to the authors; nothing of it is told of a
main study before it is locked.
"""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.errors import UnblindingError
from rating.results.facts import ArmFacts, AuditFacts, RaterFacts, StudyFacts, VersionFacts
from rating.results.planned import settings_of
from rating.results.report import checklist_tables, methods_text, results_text, study_facts
from rating.results.results_text import result_sentences
from rating.results.statistics.agreement import Agreement, Measure
from rating.results.statistics.analysis import Analysis
from rating.results.statistics.contrast import Contrast, Equivalence
from rating.results.statistics.finding import ArmName, Finding, Scale, Settings
from rating.results.wording import counted, day, listed, plain, quoted, sentence, spanned
from rating.storage.database import Database
from rating.storage.models import AuditReport
from rating.study.harmonisation import Harmonisation
from rating.study.lookup import find_study
from rating.study.offered import SELECTION_RULES
from rating.study.protocol import SPECIALTIES, AnalysisPlan, Consent, Protocol
from rating.study.simulation import rehearse
from rating.study.studies import Studies
from tests.rating_database import (
    database,
    database_url,
    postgres_server,
    postgres_template,
    sqlite_database,
)
from tests.rating_study import TITLE, enrol, invite, write_study
from tests.results_study import write_answered_study

__all__ = ["database", "database_url", "postgres_server", "postgres_template", "sqlite_database"]

NOON = datetime.datetime(2026, 3, 9, 12, tzinfo=datetime.UTC)
# What a sentence made from parts can leave behind.
ARTEFACTS = (
    r"  ", r"\.\.", r",,", r" ,", r" \.", r"\( ", r" \)", r"\(\)", r"\bNone\b(?! of )", r"\bnan\b",
    r"[{}]", r"``", r": \.", r"; \.", r"and \.", r"\ba [aeio]", r"\bof of\b", r"\bthe the\b",
    r"\b1 (?:raters|images|prompts|items|questions|models|candidates|events|years|points|"
    r"contrasts|repeats|checks|descriptions)\b",
    r"\b(?:0|[2-9]|\d\d+) (?:rater|image|prompt|item|question|model|candidate|event|year|contrast"
    r")\b(?!s)",
    r"\b1 \w+ were\b(?! each)", r"\b[2-9] (?!points)\w+s was\b",
)  # fmt: skip


def faults(text: str) -> list[str]:
    """Returns what is wrong with the English of a generated text, as far as patterns tell."""
    own = re.sub(r"“.*?”|`[^`]+`", "x", text)  # quotations and codes are not ours
    found = [f"{pattern}: {hit.group()!r}" for pattern in ARTEFACTS
             if (hit := re.search(pattern, own))]  # fmt: skip
    for line in own.splitlines():
        if line.startswith(("##", ">")) or not line:
            continue
        body = re.sub(r"^\*\*[^*]+\.\*\* ", "", line)
        if not body.endswith((".", "?", "!", "x")):
            found.append(f"no full stop: {body[-40:]!r}")
        for start in re.findall(r"(?<=[a-z)]\. )[a-z]+", body):
            if start not in ("x", "e", "vs"):
                found.append(f"small letter after a full stop: {start!r}")
        if body[0].islower() and body[0] != "x":
            found.append(f"small letter at the start: {body[:40]!r}")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "1 raters took part.", "3 rater took part.", "1 image were shown.", "2 images was shown.",
        "It is None.", "Nothing. then more.", "No stop", "Two  spaces.", "Given ``.",
        "At the the end.",
    ],
)  # fmt: skip
def test_bad_english_is_noticed(text: str) -> None:
    assert faults(text)
    assert not faults("3 raters took part. 1 image was shown. “2 image” and `a  b` are theirs.")


def analysis_of(chosen: Settings, contrasts: Sequence[Contrast] = ()) -> Analysis:
    """Returns an analysis with these contrasts, as texts are made from."""
    missing = Finding.missing("Fewer than two raters.", method="Krippendorff's alpha")
    measures = (Measure(chosen.primary_question, "", "Krippendorff's alpha, ordinal", missing),)
    return Analysis(
        settings=chosen, data_used="Data used: main showings.", contrasts=tuple(contrasts),
        descriptives=(), ranks=(), detection=None, agreement=Agreement(measures, (), ()),
        preference=None, components={},
    )  # fmt: skip


def settings_for(facts: StudyFacts) -> Settings:
    """Returns the settings of a made-up study."""
    codes = [arm.code for arm in facts.arms]
    return Settings(
        study_code=facts.code, title=facts.title, is_pilot=facts.kind == "pilot",
        has_plan=facts.protocol.plan is not None, display=facts.protocol.display,
        scales=tuple(
            Scale(q.code, q.text, q.kind, 1, len(q.labels) or 3, q.labels or ("A", "B", "C"))
            for q in facts.protocol.questions
        ),
        arms=tuple(ArmName(arm.code, arm.label, arm.is_real) for arm in facts.arms),
        primary_question=facts.protocol.questions[0].code, reference_arm=codes[-1],
        contrast_arms=tuple(codes[:-1]), equivalence_margin=None,
        holm_family=(facts.protocol.questions[0].code,), cannot_judge="exclude",
    )  # fmt: skip


@st.composite
def raters(draw: st.DrawFn, number: int) -> RaterFacts:
    state = draw(st.sampled_from(["invited", "consented", "rating", "completed", "withdrawn",
                                  "revoked"]))  # fmt: skip
    is_enrolled = state in ("rating", "completed") or (
        state in ("withdrawn", "revoked") and draw(st.booleans())
    )
    is_erased = state == "withdrawn" and draw(st.booleans())
    kinds = {kind: draw(st.integers(least, 5)) for kind, least in
             (("main", 1), ("repeat", 0), ("check", 0), ("practice", 0))}  # fmt: skip
    done = {} if is_erased or not is_enrolled else {
        kind: count if state == "completed" else draw(st.integers(0, count))
        for kind, count in kinds.items()
    }  # fmt: skip
    tells = is_enrolled and not is_erased
    return RaterFacts(
        code=f"R{number:02d}", state=state, is_enrolled=is_enrolled, is_erased=is_erased,
        is_revoked=state == "revoked",
        specialty=draw(st.sampled_from(SPECIALTIES)) if tells else None,
        years=draw(st.integers(0, 40)) if tells else None,
        is_independent=draw(st.booleans()) if is_enrolled else None,
        assigned=kinds if is_enrolled else {}, submitted=done,
        checks_passed=draw(st.integers(0, done.get("check", 0))),
    )  # fmt: skip


@st.composite
def arms(draw: st.DrawFn, display: str) -> tuple[ArmFacts, ...]:
    found = []
    for number in range(draw(st.integers(2 if display == "side_by_side" else 0, 4))):
        ways = draw(st.dictionaries(
            st.tuples(st.sampled_from(sorted(SELECTION_RULES)), st.integers(1, 5)),
            st.integers(1, 20), min_size=1, max_size=2,
        ))  # fmt: skip
        images = sum(ways.values())
        label = f"Model {'ABCD'[number]}"
        prompts = draw(st.integers(1, images))
        found.append(ArmFacts(f"m{number}", label, False, images, prompts, ways))
    if display == "single" and (not found or draw(st.booleans())):
        count = draw(st.integers(1, 20))
        ways = {("random", 1): count}
        found.append(ArmFacts("real", "Real images", True, count, count, ways))
    return tuple(found)


@st.composite
def studies(draw: st.DrawFn) -> StudyFacts:
    """Draws a study as odd as any: nobody enrolled, one rater, no real images, no plan, a pilot."""
    display = draw(st.sampled_from(["single", "side_by_side"]))
    base = Protocol.of(display)
    has_one = display == "single" and draw(st.booleans())
    plan = draw(st.sampled_from([None, AnalysisPlan()]))
    protocol = dataclasses.replace(
        base,
        questions=base.questions[1:2] if has_one else base.questions,
        consent=Consent(ethics_approval=draw(st.sampled_from(["", "2026/14 (Ethics board)"]))),
        defect_tags=draw(st.sampled_from([(), base.defect_tags])),
        can_revise=draw(st.booleans()), session_items=draw(st.integers(1, 20)),
        washout_items=draw(st.integers(0, 10)), planned_raters=draw(st.integers(1, 5)), plan=plan,
    )  # fmt: skip
    versions = [VersionFacts(1, "ab" * 32, "opened", NOON)]
    if draw(st.booleans()):
        versions.append(VersionFacts(2, "cd" * 32, "two dropped out", NOON))
    people = tuple(draw(raters(number + 1)) for number in range(draw(st.integers(0, 4))))
    locked = draw(st.sampled_from([None, NOON + datetime.timedelta(days=3)]))
    answers = {q.code: draw(st.integers(0, 50)) for q in protocol.questions}
    later = NOON + datetime.timedelta(days=1)
    compared = draw(arms(display))
    return StudyFacts(
        code="k3x8w2pq", title=draw(st.sampled_from(["Polyps", "A *bold* | title_ with `code`"])),
        kind=draw(st.sampled_from(["main", "pilot"])), status="locked" if locked else "open",
        seed=7, protocol=protocol, versions=tuple(versions),
        harmonisation=draw(st.sampled_from([
            None, Harmonisation(), Harmonisation("none", 300, "bicubic", "L", None),
            Harmonisation("centre_square"),
        ])),
        arms=compared, prompts=max((arm.prompts for arm in compared if not arm.is_real), default=0),
        raters=people,
        audits=draw(st.sampled_from([
            (), (AuditFacts(NOON, True, ("http",)),),
            (AuditFacts(NOON, False, ()), AuditFacts(NOON, False, ("http", "chromium"))),
        ])),
        pauses=draw(st.sampled_from([(), ((NOON, None),), ((NOON, NOON), (NOON, later))])),
        is_rehearsed=draw(st.booleans()), attested_at=draw(st.sampled_from([None, NOON])),
        opened_at=NOON, locked_at=locked, root_hash="ef" * 32 if locked else None,
        first_shown_at=draw(st.sampled_from([None, NOON])),
        last_submitted_at=draw(st.sampled_from([NOON, later])), answers=answers,
        unable={code: draw(st.integers(0, count)) for code, count in answers.items()},
        seen_before=draw(st.integers(0, 3)),
        median_s=draw(st.sampled_from([None, 1.0, 9.25])),
        app_versions=draw(st.sampled_from([(), ("0.1.0",), ("0.1.0", "0.2.0")])),
        events=draw(st.integers(1, 90)),
        event_faults=draw(st.sampled_from([(), ("Event 3 (opened) was changed.",)])),
    )  # fmt: skip


def found_by(draw: st.DrawFn, chosen: Settings) -> list[Contrast]:
    """Draws contrasts of every outcome: none, without interval, significant or not, equivalent."""
    contrasts = []
    for number, arm in enumerate(chosen.contrast_arms):
        value = draw(st.sampled_from([None, -1.0, -0.002, 0.004, 0.56]))
        if value is None:
            finding = Finding.missing("No rater judged both.")
            contrasts.append(Contrast(chosen.primary_question, arm, chosen.reference_arm, finding))
            continue
        p = draw(st.sampled_from([None, 0.0002, 0.04, 0.2, 0.97]))
        if p is None:
            finding = Finding(value, None, None, "1 rater", "Mean", "One rater has no interval.")
            contrasts.append(Contrast(chosen.primary_question, arm, chosen.reference_arm, finding))
            continue
        finding = Finding(value, value - 0.3, value + 0.3, "6 raters", "Crossed analysis")
        same = Equivalence(0.5, value - 0.2, value + 0.2, 0.01, True)
        other = Equivalence(0.5, value - 0.2, value + 0.2, 0.4, False)
        contrasts.append(Contrast(
            chosen.primary_question, arm, chosen.reference_arm, finding, p, min(1, 2 * p), True,
            draw(st.sampled_from([None, same, other])), 0.1, 5.0, number == 0,
        ))  # fmt: skip
    return contrasts


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_every_study_is_told_in_proper_english(data: st.DataObject) -> None:
    facts = data.draw(studies())
    chosen = settings_for(facts)
    if data.draw(st.booleans()):
        chosen = dataclasses.replace(chosen, excluded_raters={"R01": "left early"})
    contrasts = data.draw(st.composite(lambda draw: found_by(draw, chosen))())
    if facts.protocol.display == "side_by_side":
        contrasts = []
    analysis = analysis_of(chosen, contrasts)
    for text in (methods_text(facts, analysis), results_text(facts, analysis)):
        assert faults(text) == [], text
        assert "no difference" not in text.lower()
        assert text.endswith("\n") and not text.endswith("\n\n")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_missing_is_said(data: st.DataObject) -> None:
    facts = data.draw(studies())
    text = methods_text(facts, analysis_of(settings_for(facts)))
    approval = facts.protocol.consent.ethics_approval
    said = {
        "No ethics approval number was recorded.": not approval,
        "No blinding audit was recorded.": not facts.audits,
        "No analysis plan was fixed before the study opened": facts.protocol.plan is None,
        "No rater was excluded from the analysis.": True,
        "> **Rehearsal.**": facts.is_rehearsed,
        "no person judged an image": facts.is_rehearsed,
        "> **Not locked.**": facts.locked_at is None,
        "There were no attention checks.": bool(facts.enrolled)
        and not any(rater.assigned["check"] for rater in facts.enrolled),
        "No item was repeated.": bool(facts.enrolled)
        and not any(rater.assigned["repeat"] for rater in facts.enrolled),
    }
    for words, is_expected in said.items():
        assert (words in text) == is_expected, words


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_item_of_the_checklists_is_answered_or_left(data: st.DataObject) -> None:
    facts = data.draw(studies())
    grras, claim = checklist_tables(facts, analysis_of(settings_for(facts)))
    assert (grras.name, len(grras.rows)) == ("grras", 15)
    assert (claim.name, len(claim.rows)) == ("claim", 44)
    assert "Kottner" in grras.notes[1] and "e240300" in claim.notes[1]
    for table in (grras, claim):
        assert {row[2] for row in table.rows} <= {"answered", "partly", "open"}
        assert [row[0] for row in table.rows] == [str(n + 1) for n in range(len(table.rows))]
        assert all(row[3].endswith(".") for row in table.rows)
        assert table.to_markdown().count("\n| ") >= len(table.rows)


def told(contrast: Contrast, chosen: Settings) -> str:
    [(heading, sentences), *_] = result_sentences(analysis_of(chosen, [contrast]))
    assert heading == "Primary question"
    return " ".join(map(sentence, sentences))


def two_arms(**changes: object) -> Settings:
    base: dict[str, object] = {
        "study_code": "s", "title": "T", "is_pilot": False, "has_plan": True, "display": "single",
        "scales": (Scale("realism", "How real?", "scale", 1, 5, tuple("abcde")),),
        "arms": (ArmName("a", "Model A", False), ArmName("real", "Real images", True)),
        "primary_question": "realism", "reference_arm": "real", "contrast_arms": ("a",),
        "equivalence_margin": 0.5, "holm_family": ("realism",), "cannot_judge": "exclude",
    }  # fmt: skip
    return Settings(**{**base, **changes})


def contrast(value: float, p: float, equivalence: Equivalence | None = None) -> Contrast:
    finding = Finding(value, value - 0.3, value + 0.3, "6 raters", "Crossed analysis")
    return Contrast("realism", "a", "real", finding, p, p, True, equivalence, 0.1, 5.0)


def test_a_significant_difference_is_told_with_its_interval() -> None:
    text = told(contrast(-0.56, 0.0004), two_arms())
    assert text == (
        "On `realism`, the mean score of Model A was 0.56 points below that of real images "
        "(difference -0.56, 95 % interval -0.86 to -0.26, p < 0.001 after Holm's correction)."
    )


def test_what_is_not_significant_is_called_undecided() -> None:
    text = told(contrast(0.1, 0.5), two_arms())
    assert "0.10 points above" in text and "neither that the two differ nor that they do" in text


def test_equivalence_is_told_only_where_it_was_shown() -> None:
    shown = told(contrast(0.0, 0.9, Equivalence(0.5, -0.2, 0.2, 0.01, True)), two_arms())
    assert "were equivalent within the margin of 0.5 points (90 % interval -0.20 to 0.20" in shown
    assert "agreed to two decimals" in shown
    missed = told(contrast(0.4, 0.2, Equivalence(0.5, 0.1, 0.7, 0.3, False)), two_arms())
    assert "Equivalence of Model A and real images within 0.5 points was not shown" in missed
    assert "were equivalent" not in missed


def test_arms_with_the_same_label_are_told_apart() -> None:
    others = (ArmName("b", "MSDM", False), ArmName("real", "Real", True))
    text = told(contrast(0.4, 0.2), two_arms(arms=(ArmName("a", "MSDM", False), *others)))
    assert "the mean score of MSDM (a) was" in text


def test_a_main_study_tells_nothing_before_it_is_locked(database: Database) -> None:
    code = write_study(database, 2, 3, 3)
    with pytest.raises(UnblindingError):
        study_facts(database, code)
    Studies(database).lock(code, TITLE)
    facts = study_facts(database, code)
    assert facts.raters == () and facts.locked_at is not None
    assert [arm.is_real for arm in facts.arms] == [False, False, True]


def test_facts_are_what_happened(database: Database) -> None:
    code = write_study(database, 2, 6, 6, 2, 1, check_items=1, planned_raters=2)
    desk_of = Studies(database)
    [(_, first), (_, second), _] = invite(database, code, 3)
    enrol(database, first)
    enrol(database, second)
    desk_of.pause(code)
    desk_of.resume(code)
    desk_of.extend(code, planned_raters=4, reason="two more are needed")
    desk_of.withdraw(code, "R02", is_erasing=True)
    desk_of.revoke(code, "R03")
    with database.write() as session:
        study = find_study(session, code)
        session.add(
            AuditReport(study_id=study.id, at=NOON, is_passed=True, report={"clients": ["http"]})
        )
    desk_of.lock(code, TITLE)
    facts = study_facts(database, code)
    assert [rater.state for rater in facts.raters] == ["rating", "withdrawn", "revoked"]
    assert [rater.is_enrolled for rater in facts.raters] == [True, True, False]
    assert facts.raters[0].assigned == {"main": 18, "repeat": 2, "check": 1, "practice": 2}
    assert facts.raters[0].specialty == "Gastroenterology" and facts.raters[0].years == 12
    assert facts.raters[1].is_erased and facts.raters[1].specialty is None
    assert [version.version for version in facts.versions] == [1, 2]
    assert len(facts.pauses) == 1 and facts.pauses[0][1] is not None
    assert facts.audits == (AuditFacts(NOON, True, ("http",)),)
    assert facts.prompts == 6 and facts.arms[0].selections == {("first_seed", 1): 6}
    assert not facts.is_rehearsed and facts.event_faults == () and facts.events > 8
    assert facts.first_shown_at is None and facts.median_s is None
    with database.read() as session:
        chosen = settings_of(session, find_study(session, code))
    text = methods_text(facts, analysis_of(chosen))
    assert faults(text) == []
    for words in (
        "3 raters were invited, of whom 2 enrolled.",
        "No raters completed all items, 1 withdrew and 1 did not finish.",
        "All that 1 rater had answered was erased at the rater's wish",
        "for this reason: “two more are needed”",
        "The study was paused on",
        "None of the 4 planned raters completed.",
        "The link of `R03` was revoked.",
        "was run on 9 March 2026 over HTTP and passed.",
        "2 hidden repeats for each rater",
    ):
        assert words in text, words


def test_answers_are_counted_without_practice_and_repeats(sqlite_database: Database) -> None:
    code = write_answered_study(sqlite_database, 2, 2, 6, 6, practice=1)
    facts = study_facts(sqlite_database, code)
    assert facts.answers == {"origin": 36, "realism": 36, "alignment": 36}
    assert all(facts.unable[code] <= 36 for code in facts.answers)
    assert facts.app_versions == ("1.2.3",)
    assert facts.median_s is not None and 3 < facts.median_s < 30
    assert not facts.is_rehearsed


def test_a_rehearsal_says_so_in_every_text(sqlite_database: Database, tmp_path: Path) -> None:
    code = write_study(
        sqlite_database, 2, 3, 3, kind="pilot", title="Rehearsal", repeat_share=0.0,
        specialties=(*SPECIALTIES, "Simulated"),
    )  # fmt: skip
    rehearse(sqlite_database, code, raters=1)
    facts = study_facts(sqlite_database, code)
    with sqlite_database.read() as session:
        chosen = settings_of(session, find_study(session, code))
    analysis = analysis_of(chosen)
    assert "no person judged an image" in methods_text(facts, analysis)
    assert "> **Rehearsal.**" in results_text(facts, analysis)
    assert faults(methods_text(facts, analysis)) == []


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (counted(1, "rater"), "1 rater"), (counted(0, "rater"), "no raters"),
        (counted(2, "child", "children"), "2 children"),
        (listed([]), ""), (listed(["a"]), "a"), (listed(["a", "b"]), "a and b"),
        (listed(["a", "b", "c"]), "a, b and c"), (listed(["a, b", "c", "d"]), "a, b; c and d"),
        (spanned([4, 4], "item"), "4 items"), (spanned([1], "item"), "1 item"),
        (spanned([0, 2], "item"), "0 to 2 items"),
        (sentence("*cannot judge* was"), "*Cannot judge* was."), (sentence(""), ""),
        (sentence("so it is: “yes.”"), "So it is: “yes.”"), (day(NOON), "9 March 2026"),
        (quoted("a\nb"), "“a b”"), (plain("*a* <b> c_d _e_"), r"\*a\* \<b\> c_d \_e\_"),
    ],
)  # fmt: skip
def test_wording(made: str, expected: str) -> None:
    assert made == expected
