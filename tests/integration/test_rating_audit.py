"""Contract: the blinding audit passes on the application as it is, and finds every planted leak.

It plays over HTTP against the real application; the browser part is in the browser tests.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from rating.audit.pictures import ArmFacts, compare_arms, facts_of_arms, picture_form
from rating.audit.search import find_prompts, find_terms
from rating.audit.secret_terms import SecretTerm
from rating.audit.trace import Exchange, Kept, Trace
from rating.blinding_audit import audit_blinding
from rating.errors import RatingError, StudyStateError
from rating.storage.database import Database, sqlite_url
from rating.storage.models import Answer, AuditReport, Event, Rater
from rating.study.studies import Studies
from tests.leaky_app import LEAKS, SWITCH
from tests.rating_study import write_draft, write_study
from tests.server import running_app

FOUND = {
    "header": ("header", "term"),
    "chunk": ("picture",),
    "key": ("key",),
    "latency": ("latency",),
    "prompt": ("prompt",),
    "file-name": ("term",),
    "etag": ("header",),
    "cookie": ("term",),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Database, str]]:
    home = tmp_path_factory.mktemp("audit") / "home"
    home.mkdir()
    database = Database.open(sqlite_url(home))
    yield home, database, write_study(database, 3, 4, 4, 1)
    database.close()


@pytest.fixture(scope="module")
def leaky_url(place: tuple[Path, Database, str]) -> Iterator[str]:
    with running_app(place[0], program=("-m", "tests.leaky_app")) as (url, _):
        yield url


def test_the_audit_passes_and_leaves_no_answer_behind(place: tuple[Path, Database, str]):
    home, database, code = place
    with running_app(home) as (url, _):
        passed = audit_blinding(database, code, url)
    assert passed.findings == () and passed.is_passed
    assert passed.received["http"] > 60
    assert set(passed.arms) == {"msdm-small", "flux-small", "kandinsky-small", "real"}
    assert all(facts["answers"] > 0 for facts in passed.arms.values())
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Answer)) == 0
        auditor = session.scalars(select(Rater).order_by(Rater.id.desc())).first()
        assert auditor and auditor.is_audit and auditor.erased_at
        kept = session.scalars(select(AuditReport).order_by(AuditReport.id.desc())).first()
        assert kept and kept.is_passed and kept.report["arms"] == passed.arms
        event = session.scalars(select(Event).order_by(Event.id.desc())).first()
        assert event and event.kind == "blinding_audited" and '"is_passed":true' in event.details
    assert Studies(database).progress(code).raters == ()


@pytest.mark.parametrize("leak", LEAKS)
def test_the_audit_finds_a_planted_leak(
    place: tuple[Path, Database, str], leaky_url: str, leak: str
):
    home, database, code = place
    (home / SWITCH).write_text(leak)
    failed = audit_blinding(database, code, leaky_url)
    (home / SWITCH).unlink()
    assert not failed.is_passed
    codes = {finding.code for finding in failed.findings}
    assert codes & set(FOUND[leak]), failed.text()
    assert "FAILED" in failed.text()


def test_a_study_that_is_not_open_is_not_audited(place: tuple[Path, Database, str]):
    _, database, _ = place
    draft = write_draft(database, title="Draft")
    with pytest.raises(StudyStateError, match="draft"):
        audit_blinding(database, draft, "http://127.0.0.1:1")


def test_an_application_that_is_not_there_is_told(place: tuple[Path, Database, str]):
    _, database, code = place
    with pytest.raises(RatingError, match=r"127\.0\.0\.1:1"):
        audit_blinding(database, code, "http://127.0.0.1:1")


def exchange(body: bytes, url: str = "/rate/x", told: frozenset[str] = frozenset()) -> Exchange:
    headers = (("content-type", "text/html"), ("cache-control", "no-store"))
    return Exchange("http", "GET", url, 200, headers, body, 0.01, told)


@pytest.mark.parametrize(
    "body",
    [b"made by flux-1-dev here", b"FLUX-1-DEV", b"\\u0066lux-1-dev", b"&#102;lux-1-dev"],
)
def test_a_word_is_found_however_it_is_written(body: bytes):
    trace = Trace([exchange(body)])
    terms = (SecretTerm("arm", "flux-1-dev"),)
    assert len(list(find_terms(trace, terms, frozenset()))) == 1
    assert not list(find_terms(Trace([exchange(b"flux-1-devil")]), terms, frozenset()))


def test_a_prompt_may_be_known_from_its_time_on_and_not_before():
    prompts = {"p1": "a polyp", "p2": "a polyp in the caecum"}
    early = Trace([exchange(b"see: a polyp")])
    assert len(list(find_prompts(early, prompts, "", frozenset()))) == 1
    later = Trace([exchange(b"see: a polyp", told=frozenset({"p1"}))])
    assert not list(find_prompts(later, prompts, "", frozenset()))
    stored = Trace(kept=[Kept("storage", "A polyp in the caecum", frozenset({"p1"}))])
    assert [finding.message for finding in find_prompts(stored, prompts, "", frozenset())]


def test_what_is_no_png_is_told_and_times_are_compared_by_their_medians():
    assert picture_form(b"GIF89a") is None
    facts, findings = facts_of_arms([exchange(b"GIF89a", "/rate/image/a.png")],
                                    {"/rate/image/a.png": "a"})  # fmt: skip
    assert facts == {} and findings[0].code == "picture"
    slow = {"a": ArmFacts(durations_ms=[10, 11, 500]), "b": ArmFacts(durations_ms=[40, 41, 42])}
    assert [finding.code for finding in compare_arms(slow)] == ["latency"]
    even = {"a": ArmFacts(durations_ms=[10, 11, 500]), "b": ArmFacts(durations_ms=[12, 13, 14])}
    assert list(compare_arms(even)) == []
