"""Contract: the coordinator's screens show what is there, escape whatever people and files said,
name no arm from the opening to the lock, and lose nothing where something cannot be done; forms
give back the protocol that they were drawn from; what the preview tells is what raters would be
told; and nobody who is not signed in as coordinator learns anything from the tab.
"""

import dataclasses
import html
import io
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

from data.study_inbox import StudyInbox, Submission
from rating.access import COOKIE
from rating.board.board import Board
from rating.board.preview_states import preview_states
from rating.board.protocol_screen import protocol_of
from rating.board.server_paths import known_manifests, server_path
from rating.board.view import (
    REGIONS,
    SCREENS_OF_STATUS,
    Asked,
    Message,
    Outcome,
    View,
    Workplace,
)
from rating.board_tab import read_event
from rating.errors import ProtocolError, RatingError, StimulusError, StudyStateError
from rating.service import RatingService
from rating.study.protocol import AnalysisPlan, Protocol
from rating.study_tab import StudyTab, uploaded_file
from tests.rating_study import ARMS, draw, study_images, write_draft, write_study
from tests.unit.test_study_inbox import generated

NASTY = '<img src=x onerror="alert(1)"> & "quoted"'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RatingService]:
    service = RatingService(tmp_path, app_version="test", coordinator_token="secret-of-a-test")
    yield service
    service.close()


@pytest.fixture
def place(service: RatingService) -> Workplace:
    return Workplace(
        studies=service.studies, database=service.database,
        inbox=StudyInbox(service.home / "study_inbox"), home=service.home, is_confined=True,
        is_lasting=True, uploaded=uploaded_file,
    )  # fmt: skip


@pytest.fixture
def board(place: Workplace) -> Board:
    return Board(place)


def drawn(outcome: Outcome) -> str:
    return "\n".join(outcome.drawn.values())


def tags(text: str) -> set[str]:
    """Returns the names of the elements in a piece of HTML."""
    return set(re.findall(r"<([a-z0-9]+)", text))


class FormReader(HTMLParser):
    """Reads what a browser would send of the protocol's form, as `study.js` collects it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {"questions": []}
        self._area: tuple[dict[str, Any], str] | None = None
        self._select = ""
        self._template = 0
        self._item: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._template += tag == "template"
        if self._template:
            return
        if "data-item" in found:
            self._item = {}
            self.values["questions"].append(self._item)
        scope = self.values if self._item is None else self._item
        name = found.get("name") or ""
        if tag == "input" and found.get("type") == "checkbox":
            scope[name] = "checked" in found
        elif tag == "input" and found.get("type") != "file":
            scope[name] = found.get("value") or ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in found:
            scope[self._select] = found["value"]
        elif tag == "textarea":
            scope[name] = ""
            self._area = (scope, name)

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            scope, name = self._area
            scope[name] += data

    def handle_endtag(self, tag: str) -> None:
        self._template -= tag == "template"
        if tag == "fieldset":
            self._item = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = ""


def form_values(board: Board, code: str) -> dict[str, Any]:
    """Returns what the protocol's form sends where nobody changed anything."""
    reader = FormReader()
    reader.feed(board.show(View("protocol", code)).drawn["main"])
    return reader.values


# What screens show


def test_the_list_names_each_study_with_its_state(board: Board, service: RatingService):
    write_draft(service.database, title="A draft")
    write_study(service.database, title="An open one", kind="pilot")
    shown = drawn(board.show(View()))
    for words in ("A draft", "An open one", ">draft<", ">open<", ">pilot<"):
        assert words in shown


def test_a_disk_that_forgets_is_told_of(place: Workplace):
    words = "studies need a place that lasts"
    assert words not in drawn(Board(place).show(View()))
    assert words in drawn(Board(dataclasses.replace(place, is_lasting=False)).show(View()))


def test_whatever_people_and_files_said_is_escaped_on_every_screen(
    board: Board, service: RatingService, place: Workplace
):
    protocol = Protocol(
        instructions=NASTY,
        consent=dataclasses.replace(Protocol().consent, contact=NASTY, text=NASTY),
        plan=AnalysisPlan(reference_arm=NASTY, estimand=NASTY),
    )
    images = [dataclasses.replace(each, prompt=NASTY + each.prompt, source_name=NASTY)
              for each in study_images(2, 2, 1, 1)]  # fmt: skip
    code = service.studies.create(NASTY, protocol=protocol, offered=images)
    service.studies.attest_identifiers(code, NASTY)
    for screen in SCREENS_OF_STATUS["draft"]:
        shown = drawn(board.show(View(screen, code)))
        assert NASTY not in shown
        assert "img" not in tags(shown) or screen == "images"
        assert html.escape(NASTY, quote=False).split("&")[0] in shown or screen == "preview"
    assert NASTY not in drawn(board.show(View()))


def test_from_opening_to_lock_no_screen_names_an_arm(board: Board, service: RatingService):
    code = write_study(service.database, arms=2)
    service.studies.invite(code, 2)
    names = [*ARMS[:2], *(arm.title() for arm in ARMS[:2]), "Real images", "first_seed"]
    for screen in ("watch", "lock", "images", "protocol", "preview", "check", "result"):
        outcome = board.show(View(screen, code))
        assert outcome.view.screen in SCREENS_OF_STATUS["open"]
        # The protocol in force may be downloaded; it names the arms of its plan, and no image.
        shown = re.sub(r'href="data:[^"]*"', "", drawn(outcome))
        assert [name for name in names if name in shown] == [], screen
    locked = board.act(View("lock", code, stage=1), "lock", Asked(values={"title": "Test study"}))
    assert locked.view.screen == "result"
    assert all(arm in drawn(locked) for arm in ARMS[:2])
    assert str(service.studies.root_hash(code)) in drawn(locked)


def test_all_problems_are_listed_at_once_and_warnings_apart(
    board: Board, service: RatingService, place: Workplace
):
    code = service.studies.create("Half a study", offered=study_images(2, 2, 0, 0)[:-1])
    shown = board.show(View("check", code)).drawn["main"]
    stops, warnings = shown.split("to think about")
    assert stops.count("<li>") >= 3  # the missing image, the plan, the attestation
    assert warnings.count("<li>") >= 1
    assert re.search(r'data-action="open"[^>]* disabled', shown)


def test_an_attestation_needs_the_look_and_the_name(board: Board, service: RatingService):
    code = service.studies.create("Attested", offered=study_images(2, 2, 0, 0))
    view = View("check", code)
    with pytest.raises(StudyStateError, match="Tick"):
        board.act(view, "attest", Asked(values={"has_looked": False, "name": "A. Tester"}))
    with pytest.raises(StudyStateError, match="name"):
        board.act(view, "attest", Asked(values={"has_looked": True, "name": " "}))
    outcome = board.act(view, "attest", Asked(values={"has_looked": True, "name": "A. Tester"}))
    assert "Attested by A. Tester" in outcome.drawn["main"]


def test_the_planner_tells_a_typical_and_a_pessimistic_case(board: Board, service: RatingService):
    code = write_draft(service.database)
    assert "pessimistic" in board.show(View("check", code)).drawn["extra"]
    numbers = {"raters": "0", "prompts": "8", "arms": "3", "reals": "0", "replicates": "1"}
    told = board.act(View("check", code), "plan", Asked(values=numbers)).drawn["extra"]
    assert "raters is 0" in told


# Acts


def test_a_link_is_told_once_and_kept_nowhere(board: Board, service: RatingService):
    code = write_study(service.database)
    outcome = board.act(View("watch", code), "invite", Asked(values={"count": "2"}))
    paths = re.findall(r'data-join="(/join/[\w-]{43})"', outcome.drawn["links"])
    assert len(paths) == 2
    token = paths[0].removeprefix("/join/")
    assert service.desk.rater_of_link(token)
    assert token not in drawn(board.show(View("watch", code)))
    gone = board.act(View("watch", code), "links_done", Asked())
    assert gone.drawn["links"] == ""


def test_raters_are_revoked_renewed_and_erased_by_their_buttons(
    board: Board, service: RatingService
):
    code = write_study(service.database)
    service.studies.invite(code)
    view = View("watch", code)
    assert ">revoked<" in board.act(view, "revoke", Asked("R01")).drawn["live"]
    assert "data-join" in board.act(view, "renew", Asked("R01")).drawn["links"]
    assert ">withdrawn<" in board.act(view, "erase", Asked("R01")).drawn["live"]
    assert board.act(view, "pause", Asked()).drawn["main"].count("is paused") == 1
    assert service.studies.summary(code).is_paused


def test_locking_asks_twice_and_a_wrong_title_locks_nothing(board: Board, service: RatingService):
    code = write_study(service.database)
    first = board.show(View("lock", code))
    assert 'data-action="lock"' not in drawn(first)
    second = board.act(first.view, "lock_facts", Asked())
    assert 'data-action="lock"' in drawn(second)
    with pytest.raises(StudyStateError, match="Nothing was locked"):
        board.act(second.view, "lock", Asked(values={"title": "Another"}))
    assert service.studies.summary(code).status == "open"


def test_a_quick_study_goes_from_the_inbox_to_a_link(board: Board, place: Workplace):
    inbox = place.inbox
    inbox.add([
        Submission(dataclasses.replace(generated(1, model), image=draw(number)),
                   "all_of_comparison", 1)
        for number, model in enumerate(("one", "two"))
    ])  # fmt: skip
    ids = [entry.id for entry in inbox.entries()]
    asked = Asked(values={"source": "inbox", "ids": ids, "raters": "1", "title": ""})
    outcome = board.act(board.show(View()).view, "quick", asked)
    assert outcome.view.screen == "watch"
    assert "/join/" in outcome.drawn["links"]
    (summary,) = place.studies.overview()
    assert (summary.kind, summary.status, summary.raters) == ("pilot", "open", 1)


def test_what_comes_by_itself_leaves_messages_and_the_view_alone(
    tab: StudyTab, service: RatingService
):
    cookie = service.access.sign_in_coordinator("secret-of-a-test")
    code = write_study(service.database)
    view, message, *regions, timer = tab._on_tick(View("watch", code), Request(cookie))
    skipped = gr.skip()
    assert (view, message, timer) == (skipped, skipped, skipped)
    assert [region != skipped for region in regions] == [name == "live" for name in REGIONS]


@pytest.mark.parametrize("is_asked", [True, False])
def test_only_what_a_person_asked_for_takes_a_message_away(tab: StudyTab, is_asked: bool):
    before, after = View("watch", "A"), View("lock", "A")
    said = Outcome(before, Message("Saved."), {"main": "<p></p>"})
    assert "Saved." in tab.updates(before, said, is_asked=is_asked)[1]
    view, message, *_ = tab.updates(before, Outcome(after, None, {"main": ""}), is_asked=is_asked)
    assert view == after
    assert ("hidden" in message) if is_asked else message == gr.skip()


@pytest.mark.parametrize("content", [b"no ZIP at all", None])
def test_an_upload_is_removed_once_it_was_read_whatever_came_of_it(
    board: Board, service: RatingService, content: bytes | None
):
    upload = Path(get_upload_folder()) / f"panel-{content is None}.zip"
    upload.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(upload, "w") as archive:
        buffer = io.BytesIO()
        draw(1).resize((300, 300)).save(buffer, "PNG")
        archive.writestr("one.png", buffer.getvalue())
        archive.writestr("images.csv", "filename,arm,prompt\none.png,a,a polyp\n")
    if content is not None:
        upload.write_bytes(content)
    code = service.studies.create("Uploaded")
    asked = Asked(values={"zip": str(upload), "part": "table", "size_px": "240"})
    if content is None:
        board.act(View("images", code), "add_zip", asked)
    else:
        with pytest.raises(StimulusError, match="not a ZIP"):
            board.act(View("images", code), "add_zip", asked)
    assert not upload.exists()
    assert len(service.studies.stimuli(code)) == (content is None)


def test_what_cannot_be_a_study_leaves_nothing_behind(board: Board, place: Workplace):
    view = board.show(View()).view
    for values in (
        {"source": "inbox", "ids": [], "raters": "1"},
        {"source": "inbox", "ids": ["0" * 64], "raters": "1"},
        {"source": "folder", "folder": "nowhere", "raters": "1"},
        {"source": "zip", "zip": "/etc/passwd", "raters": "1"},
        {"source": "inbox", "ids": [], "raters": "three"},
    ):
        with pytest.raises(RatingError):
            board.act(view, "quick", Asked(values=values))
    assert place.studies.overview() == ()


def test_a_button_of_another_screen_does_nothing(board: Board, service: RatingService):
    code = write_draft(service.database)
    with pytest.raises(StudyStateError, match="no button"):
        board.act(View("images", code), "lock", Asked(values={"title": "Test study"}))


def test_a_screen_that_no_longer_fits_its_study_gives_way(board: Board, service: RatingService):
    code = write_draft(service.database)
    service.studies.open(code)  # in another window
    assert board.show(View("protocol", code)).view.screen == "watch"
    assert board.show(View("protocol", "gone")).view.screen == "studies"


# The protocol's form


@pytest.mark.parametrize("display", ["single", "side_by_side"])
def test_the_form_gives_back_the_protocol_that_it_was_drawn_from(
    board: Board, service: RatingService, display: str
):
    code = write_draft(service.database, display=display, items_per_rater=12)
    assert protocol_of(form_values(board, code)) == service.studies.protocol(code)
    board.act(View("protocol", code), "save_protocol", Asked(values=form_values(board, code)))
    assert service.studies.summary(code).title == "Test study"


def test_all_that_is_wrong_with_a_form_is_told_at_once_and_nothing_is_saved(
    board: Board, service: RatingService
):
    code = write_draft(service.database)
    before = service.studies.protocol(code)
    values = form_values(board, code)
    values |= {"washout_items": "many", "repeat_share": "0.9", "plan.estimand": ""}
    values["questions"][0]["labels"] = "only one"
    with pytest.raises(ProtocolError) as told:
        board.act(View("protocol", code), "save_protocol", Asked(values=values))
    assert "washout_items" in str(told.value)
    values["washout_items"] = "4"
    with pytest.raises(ProtocolError) as told:
        board.act(View("protocol", code), "save_protocol", Asked(values=values))
    for field in ("repeat_share", "plan.estimand", "questions[1]"):
        assert field in str(told.value)
    assert service.studies.protocol(code) == before


def test_a_toml_file_replaces_the_protocol_or_changes_nothing(
    board: Board, service: RatingService
):
    code = write_draft(service.database)
    view = View("protocol", code)
    board.act(view, "load_toml", Asked(values={"toml": "planned_raters = 7"}))
    assert service.studies.protocol(code).planned_raters == 7
    for text in ("planned_raters = 'x'", "not toml", ""):
        with pytest.raises(ProtocolError):
            board.act(view, "load_toml", Asked(values={"toml": text}))
    assert service.studies.protocol(code).planned_raters == 7


# The preview


def shape(value: object) -> object:
    """Returns the names of fields, without values."""
    if isinstance(value, dict):
        is_open = set(value) <= {"origin", "realism", "alignment", "preference"}
        return {} if is_open else {name: shape(each) for name, each in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return None


@pytest.mark.parametrize("display", ["single", "side_by_side"])
def test_the_preview_tells_what_a_raters_browser_is_told(service: RatingService, display: str):
    code = write_draft(service.database, display=display)
    studies = service.studies
    previewed = preview_states(
        code, "Test study", studies.protocol(code), studies.stimuli(code)
    )
    studies.open(code)
    (invitation,) = studies.invite(code)
    rater_id = service.desk.rater_of_link(invitation.token)
    real = [service.desk.state(rater_id)]
    real.append(service.desk.consent(rater_id, real[0]["consent"]["sha256"], True))
    real.append(service.desk.profile(rater_id, "Radiology", 3))
    of_phase = {state["phase"]: state for state in reversed(previewed)}
    for state in real:
        assert shape(of_phase[state["phase"]]) == shape(state)
    prompts = [each["item"]["prompt"] for each in previewed if "item" in each]
    steps = [each["item"]["step"] for each in previewed if "item" in each]
    told_at = 1 if display == "side_by_side" else 2
    assert [bool(prompt) for prompt in prompts] == [step == told_at for step in steps]


def test_the_preview_names_no_arm(board: Board, service: RatingService):
    code = write_draft(service.database, arms=2)
    page = html.unescape(board.show(View("preview", code)).drawn["main"])
    assert "srcdoc" in page
    assert [arm for arm in ARMS if arm in page] == []


# Folders and files on the server


def test_only_the_workspace_can_be_named_where_the_coordinator_may_be_anybody(
    place: Workplace, tmp_path_factory: pytest.TempPathFactory
):
    outside = tmp_path_factory.mktemp("outside")
    (place.home / "inside").mkdir()
    (place.home / "way_out").symlink_to(outside)
    assert server_path(place, "inside", "The folder") == place.home.resolve() / "inside"
    for text in (str(outside), "../", "inside/../../", "way_out", "~", "/etc/passwd"):
        with pytest.raises(StimulusError, match="outside the workspace"):
            server_path(place, text, "The folder")
    for text in ("", "no/such", "a\0b"):
        with pytest.raises(StimulusError):
            server_path(place, text, "The folder")
    owner = dataclasses.replace(place, is_confined=False)
    assert server_path(owner, str(outside), "The folder") == outside.resolve()


def test_manifests_of_the_workspace_are_offered(place: Workplace):
    (place.home / "runs" / "first").mkdir(parents=True)
    (place.home / "runs" / "first" / "manifest.csv").write_text("")
    assert known_manifests(place.home) == ["runs/first/manifest.csv"]


def test_an_upload_is_a_file_in_the_folder_of_uploads_and_no_other(tmp_path: Path):
    folder = Path(get_upload_folder())
    (folder / "study-test").mkdir(parents=True, exist_ok=True)
    upload = folder / "study-test" / "images.zip"
    upload.write_bytes(b"x")
    assert uploaded_file(str(upload)) == upload.resolve()
    link = folder / "study-test" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    for name in ("/etc/passwd", f"{folder}/../x", str(folder), str(link), "a\0b", ""):
        with pytest.raises(RatingError):
            uploaded_file(name)
    for each in (link, upload):
        each.unlink()


# The tab


class Request:
    """A request as far as the handlers of the tab need it."""

    def __init__(self, cookie: str = "") -> None:
        self.cookies = {COOKIE: cookie} if cookie else {}


@pytest.fixture
def tab(service: RatingService, place: Workplace) -> StudyTab:
    return StudyTab(service, place.inbox)


def event(action: str, id_: str = "", values: str = "{}") -> gr.EventData:
    return gr.EventData(None, {"action": action, "id": id_, "values": values})


@pytest.mark.parametrize("cookie", ["", "x" * 43])
def test_nobody_else_gets_anything_from_any_handler(
    tab: StudyTab, service: RatingService, cookie: str
):
    code = write_study(service.database, title="A secret study")
    for screen in ("studies", "watch", "lock"):
        view = View(screen, "" if screen == "studies" else code, stage=1, seal="x")
        for action in ("seen", "go_study", "invite", "pause", "lock", "quick", "create"):
            answered = str(tab._on_act(view, event(action, code, '{"title": "A secret study"}'),
                                       Request(cookie)))  # fmt: skip
            assert "This is for coordinators." in answered
            assert "secret" not in answered and code not in answered
        assert "secret" not in str(tab._on_tick(view, Request(cookie)))
    summary = service.studies.summary(code)
    assert (summary.raters, summary.is_paused, summary.status) == (0, False, "open")
    assert len(service.studies.overview()) == 1


def test_errors_become_one_message_and_unknown_ones_a_reference(
    tab: StudyTab, service: RatingService, caplog: pytest.LogCaptureFixture
):
    cookie = service.access.sign_in_coordinator("secret-of-a-test")
    code = write_draft(service.database)
    view = View("images", code)
    told = str(tab._on_act(view, event("add_inbox"), Request(cookie)))
    assert "No image is ticked" in told and 'role="alert"' in told
    told = str(tab._on_act(view, event("more", values="[1]"), Request(cookie)))
    assert "Reload the page" in told
    service.database.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.studies, "stimuli", lambda code: 1 / 0)
        told = str(tab._on_act(view, event("more"), Request(cookie)))
    (reference,) = re.findall(r"the reference (\w+)", told)
    assert reference in caplog.text and "division" not in told


def test_a_restarted_server_says_so_and_does_nothing(tab: StudyTab, service: RatingService):
    cookie = service.access.sign_in_coordinator("secret-of-a-test")
    told = str(tab._on_act(View(), event("create", values='{"title": "Lost"}'), Request(cookie)))
    assert "restarted" in told
    assert service.studies.overview() == ()


@pytest.mark.parametrize("data", [None, {}, {"action": 1}, {"action": "x", "values": "{"},
                                  {"action": "x", "values": "[" * 10_000}])  # fmt: skip
def test_what_this_page_cannot_have_sent_is_refused(data: object):
    with pytest.raises(RatingError, match="Reload"):
        read_event(data)
