"""Raters and coordinators in front of a real browser: the running app and what they do there."""

import contextlib
import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Response, expect
from sqlalchemy import select

from rating.storage.database import Database, sqlite_url
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Item,
    Mark,
    Question,
    Rater,
    Submission,
)  # fmt: skip
from tests.browser.conftest import PATIENCE_MS, WatchedPage
from tests.rating_study import enrol, invite, write_study
from tests.server import coordinator_token, free_port, running_app

LAPTOP = {"width": 1440, "height": 900}
TABLET = {"width": 820, "height": 1180}
PHONE = {"width": 390, "height": 844}


class RatingServer:
    """The app on a port of its own, which it keeps when it is killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home, self._port = home, free_port()
        home.mkdir(parents=True, exist_ok=True)
        self.database = Database.open(sqlite_url(home))
        self._running = contextlib.ExitStack()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        context = running_app(self.home, port=self._port)
        self.url, self._process = self._running.enter_context(context)

    def kill(self) -> None:
        """Ends the app as a loss of power would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._running.close()

    def close(self) -> None:
        self._running.close()
        self.database.close()

    def write_study(self, *arguments: int, **changes: Any) -> str:
        """Returns the code of a new open study."""
        return write_study(self.database, *arguments, **changes)

    def link_of(self, study: str) -> tuple[str, str]:
        """Returns the code and the link token of a rater who is invited now."""
        return invite(self.database, study)[0]

    def enrolled(self, study: str) -> tuple[str, str]:
        """Returns code and link token of a rater who has consented and is enrolled."""
        code, token = self.link_of(study)
        enrol(self.database, token)
        return code, token


@contextlib.contextmanager
def rating_server(home: Path) -> Iterator[RatingServer]:
    """Runs the app over an empty database."""
    server = RatingServer(home)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def signed_in(browser: Browser, app_url: str, home: Path) -> Iterator[BrowserContext]:
    """Gives a browser that signed in as coordinator by the link that the server prints."""
    context = browser.new_context(viewport=LAPTOP, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{app_url}/coordinator/{coordinator_token(home)}")
    page.locator("#enter").click()
    page.wait_for_selector("#generate-button")
    page.close()
    yield context
    context.close()


@contextlib.contextmanager
def watched_page(context: BrowserContext, app_url: str) -> Iterator[Page]:
    """Gives the page of the app, which must end without a complaint or a foreign request."""
    watched = WatchedPage(context.new_page())
    watched.page.goto(app_url)
    watched.page.wait_for_selector("#generate-button")
    yield watched.page
    watched.page.close()
    assert watched.complaints == []
    assert watched.foreign == []


@dataclasses.dataclass(frozen=True)
class Rated:
    """What the database holds of one item of a rater, in the order shown."""

    kind: str
    token: str
    answers: dict[str, int | None]
    revisions: int
    submissions: int
    is_submitted: bool
    is_seen_before: bool
    visible_ms: int
    remark: str
    tags: list[str]
    marks: list[tuple[float, float, str | None]]


def rated(server: RatingServer, study: str, rater: str) -> list[Rated]:
    """Returns a rater's items as the database holds them."""
    with server.database.read() as session:
        assignments = session.scalars(
            select(Assignment)
            .join(Rater, Rater.id == Assignment.rater_id)
            .where(Rater.code == rater, Assignment.study_id == _study_id(session, study))
            .order_by(Assignment.position)
        ).all()
        return [_rated(session, each) for each in assignments]


def _study_id(session: Any, code: str) -> int:
    from rating.storage.models import Study

    return session.scalars(select(Study.id).where(Study.code == code)).one()


def _rated(session: Any, assignment: Assignment) -> Rated:
    answers = session.execute(
        select(Question.code, Answer.value, Answer.id)
        .join(Question, Question.id == Answer.question_id)
        .where(Answer.assignment_id == assignment.id)
    ).all()
    versions = select(AnswerVersion.id).where(
        AnswerVersion.answer_id.in_([each.id for each in answers])
    )
    submissions = select(Submission.id).where(Submission.assignment_id == assignment.id)
    slots = select(AssignmentSlot.id).where(AssignmentSlot.assignment_id == assignment.id)
    tags = select(DefectTag.tag).where(DefectTag.assignment_slot_id.in_(slots))
    marks = select(Mark).where(Mark.assignment_slot_id.in_(slots)).order_by(Mark.number)
    item = session.get(Item, assignment.item_id)
    return Rated(
        kind=item.kind,
        token=assignment.token,
        answers={each.code: each.value for each in answers},
        revisions=len(session.scalars(versions).all()),
        submissions=len(session.scalars(submissions).all()),
        is_submitted=assignment.submitted_at is not None,
        is_seen_before=assignment.is_seen_before,
        visible_ms=assignment.visible_ms,
        remark=assignment.remark or "",
        tags=sorted(session.scalars(tags)),
        marks=[(each.x, each.y, each.tag) for each in session.scalars(marks)],
    )


class Seat:
    """A rater before a browser of their own."""

    def __init__(
        self, browser: Browser, server: RatingServer, link: str, viewport: dict[str, int],
        **options: Any,
    ) -> None:  # fmt: skip
        self.server, self._link = server, link
        self.context = browser.new_context(viewport=viewport, **options)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.bodies: list[tuple[str, str]] = []
        self.page = self.context.new_page()
        self.watch(self.page)

    def watch(self, page: Page) -> None:
        """Gathers what a page complains about and asks other machines for."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:", "blob:")):
            self.foreign.append(url)

    def gather_bodies(self) -> None:
        """Keeps every text that the server sends from now on, with its address."""

        def keep(response: Response) -> None:
            if response.request.resource_type != "image" and ".png" not in response.url:
                with contextlib.suppress(Exception):  # of a redirect there is no body
                    self.bodies.append((response.url, response.text()))

        self.page.on("response", keep)

    def join(self) -> None:
        """Opens the personal link and presses its button."""
        self.page.goto(f"{self.server.url}/join/{self._link}")
        self.page.click("#enter")

    def begin(self) -> None:
        """Joins and goes through the pages before the first item."""
        self.join()
        self.page.wait_for_selector(".r-app h1, .r-app .r-question")
        for _ in range(2):
            start = self.page.locator(".r-article > .r-commit")
            if start.count():
                start.click()
        self.ready()

    def ready(self) -> None:
        """Waits until the pictures are in sight."""
        expect(self.page.locator(".r-frame.r-ready").first).to_be_visible()

    def choose(self, code: str, value: int | None) -> None:
        """Taps a point of a question, or *cannot judge*."""
        self.point(code, value).click()

    def point(self, code: str, value: int | None) -> Any:
        shown = "" if value is None else value
        return self.page.locator(f'[data-code={code}] .r-point:has(input[value="{shown}"])')

    def commit(self) -> None:
        self.page.locator(".r-commit").click()

    def step_one(self, origin: int | None = 2, realism: int | None = 4) -> None:
        """Answers and commits the first step and waits for the text."""
        self.choose("origin", origin)
        self.choose("realism", realism)
        self.commit()
        expect(self.page.locator(".r-prompt")).to_be_visible()

    def step_two(self, alignment: int | None = 3) -> None:
        """Answers the last question and waits for what comes next."""
        self.choose("alignment", alignment)
        self.commit()
        expect(self.page.locator(".r-prompt")).to_have_count(0)

    def count_is(self, text: str) -> None:
        expect(self.page.locator(".r-count")).to_have_text(text)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert self.foreign == []
