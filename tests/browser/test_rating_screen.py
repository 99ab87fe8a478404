"""The rating page: calm, fast and safe in real Chromium, over the running app.

Four taps an item by touch; everything by keys alone; nothing lost by reload, a lost connection, a
killed server, other tabs and devices or the Back button; the text of an image never before the
first answers are final; readable and operable at phone, tablet and laptop width.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from rating.study.studies import Studies
from tests.rating_browser import LAPTOP, PHONE, TABLET, RatingServer, Seat, rated, rating_server
from tests.rating_study import ARMS, FINDINGS

TITLE = "How real? <b>& more</b><img src=x onerror=alert(1)>"
MOMENT_MS = 1500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RatingServer]:
    """The running app with an empty database of studies."""
    with rating_server(tmp_path_factory.mktemp("rating") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def study(server: RatingServer) -> str:
    """A study of usual length, without practice."""
    return server.write_study(practice_items=0, practice=0, title=TITLE)


@pytest.fixture
def seats(browser: Browser, server: RatingServer) -> Iterator[list[Seat]]:
    """Those who sit before a browser in a test; closed at its end, none may have complained."""
    seated: list[Seat] = []
    yield seated
    for seat in seated:
        seat.close()


@pytest.fixture
def sit(browser: Browser, server: RatingServer, seats: list[Seat]):
    """Seats a rater by link token."""

    def seated(link: str, viewport: dict[str, int] = LAPTOP, **options: object) -> Seat:
        seats.append(Seat(browser, server, link, viewport, **options))
        return seats[-1]

    return seated


def overflow_px(page: Page) -> int:
    """Returns by how much something sticks out sideways."""
    return page.evaluate(
        """() => Math.max(0, ...[...document.querySelectorAll('.r-app, .r-app *')]
             .filter((e) => e.getClientRects().length && !e.closest('.r-live, .r-stage'))
             .map((e) => e.getBoundingClientRect().right - innerWidth))"""
    )


# What a tap can hit, with its size; a radio button lies over the whole of its point.
TARGETS = """() => [...document.querySelectorAll(
    '.r-app :is(button, select, summary, textarea, .r-point, .r-choice)')]
  .filter((e) => e.checkVisibility())
  .map((e) => [e, e.getBoundingClientRect()])
  .map(([e, box]) => [e.textContent || e.className, box.width, box.height])"""

# Contrast of every visible text with what is behind it; pictures and their tools apart, which
# stand on a ground of their own that is checked as a colour.
CONTRASTS = """() => {
  const rgba = (text) => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const over = (top, under) =>
    [...top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])), 1];
  const ground = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255;
    return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const found = [];
  for (const e of document.querySelectorAll('.r-app *')) {
    const isText = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!isText || !e.checkVisibility()) continue;
    if (e.tagName === 'OPTION' || e.closest('.r-live')) continue;
    const behind = ground(e);
    const [a, b] = [light(over(rgba(getComputedStyle(e).color), behind)), light(behind)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([e.textContent.trim().slice(0, 40), contrast]);
  }
  return found;
}"""

# Of every label: its lines, its words, and whether it sticks out of its point.
LABEL_LINES = """() => [...document.querySelectorAll('.r-abreast .r-label')].map((e) => {
  const range = document.createRange();
  range.selectNodeContents(e);
  const tops = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
  const isOut = e.scrollWidth > e.parentElement.clientWidth;
  return [e.textContent, tops.size, e.textContent.split(' ').length, isOut];
})"""


def assert_readable(page: Page) -> None:
    found = page.evaluate(CONTRASTS)
    assert len(found) > 5
    assert [each for each in found if each[1] < 4.5] == []


def assert_big_targets(page: Page) -> None:
    small = [each for each in page.evaluate(TARGETS) if each[2] < 44 or each[1] < 40]
    assert small == []


class TestFlow:
    def test_a_whole_study_is_done_by_keys_alone(self, server, sit):
        study = server.write_study(
            2, 2, 2, 1, title=TITLE, repeat_share=0.0, washout_items=1, session_items=3
        )
        code, link = server.link_of(study)
        seat = sit(link)
        page, press = seat.page, seat.page.keyboard.press
        page.goto(f"{server.url}/join/{link}")
        page.locator("#enter").focus()
        press("Enter")
        # Consent: the heading has the focus; what was not ticked is asked for.
        expect(page.locator(".r-article h1")).to_have_text(TITLE)
        assert page.locator(".r-article b, .r-article img").count() == 0
        page.locator("[name=agreed]").focus()
        press("Enter")
        expect(page.locator(".r-fault")).to_contain_text("Tick the box")
        press("Space")
        press("Tab")
        press("Space")
        press("Enter")
        # Profile: the first field has the focus.
        expect(page.locator(".r-article h1")).to_have_text("Two facts about you")
        press("G")
        press("Tab")
        page.keyboard.type("12")
        press("Enter")
        expect(page.locator(".r-article .r-commit")).to_have_text("Start with practice")
        press("Enter")
        seat.count_is("Practice 1 of 1")
        seat.ready()
        for key in ("5", "2", "Enter"):
            press(key)
        expect(page.locator(".r-prompt")).to_contain_text("practice picture")
        for key in ("3", "Enter"):
            press(key)
        expect(page.locator(".r-article h1")).to_have_text("Practice is over")
        press("Enter")
        for number in range(1, 7):
            if number == 4:
                expect(page.locator(".r-article h1")).to_have_text("Time for a pause?")
                press("Enter")
            seat.count_is(f"Item {number} of 6")
            seat.ready()
            press(str(number))
            press("ArrowRight")  # the lowest point of realism, then the next
            press("ArrowRight")
            press("Enter")
            expect(page.locator(".r-prompt")).to_be_visible()
            press("j" if number == 6 else "4")
            press("Enter")
        expect(page.locator(".r-article h1")).to_have_text("All images are done")
        page.keyboard.type("No questions.")
        press("Tab")
        press("Enter")
        expect(page.locator(".r-article h1")).to_have_text("Thank you")
        items = [each for each in rated(server, study, code) if each.kind == "main"]
        assert [each.answers["origin"] for each in items] == [1, 2, 3, 4, 5, 6]
        assert {each.answers["realism"] for each in items} == {2}
        assert [each.answers["alignment"] for each in items] == [4, 4, 4, 4, 4, None]
        assert all(each.submissions == 2 and each.visible_ms > 0 for each in items)

    def test_an_item_takes_four_taps_by_touch(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link, PHONE, has_touch=True, is_mobile=True)
        seat.begin()
        page = seat.page
        page.evaluate("window.taps = 0; addEventListener('pointerdown', () => taps++, true)")
        for number in (1, 2):
            seat.count_is(f"Item {number} of 26")
            seat.ready()
            seat.point("origin", 2).tap()
            seat.point("realism", 4).tap()
            page.locator(".r-commit").tap()
            expect(page.locator(".r-prompt")).to_be_visible()
            seat.point("alignment", 5).tap()
            # A moment to change one's mind, told on the button; then it goes on by itself.
            expect(page.locator(".r-commit")).to_contain_text("going on")
        seat.count_is("Item 3 of 26")
        assert page.evaluate("taps") == 8
        first, second, third = rated(server, study, code)[:3]
        assert first.answers == second.answers == {"origin": 2, "realism": 4, "alignment": 5}
        assert first.is_submitted and second.is_submitted and not third.answers

    def test_a_slip_of_the_last_tap_is_corrected_within_the_moment(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.step_one()
        seat.choose("alignment", 1)
        seat.choose("alignment", 5)
        seat.count_is("Item 2 of 26")
        assert rated(server, study, code)[0].answers["alignment"] == 5
        assert rated(server, study, code)[0].revisions == 3  # one of each question
        # Anything else that is touched meanwhile stops it.
        seat.ready()
        seat.step_one()
        seat.choose("alignment", 1)
        seat.page.locator(".r-extra", has_text="Remark").click()
        seat.page.wait_for_timeout(MOMENT_MS + 300)
        seat.count_is("Item 2 of 26")
        seat.page.locator("textarea").fill("blurred")
        seat.commit()
        seat.count_is("Item 3 of 26")
        assert rated(server, study, code)[1].remark == "blurred"

    def test_what_is_answered_nowhere_is_asked_for(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.choose("origin", None)
        seat.page.locator(".r-commit").click(force=True)
        expect(seat.page.locator("[data-code=realism] .r-fault")).to_be_visible()
        seat.choose("realism", None)
        expect(seat.page.locator(".r-fault")).to_have_count(0)
        seat.commit()
        frozen = seat.page.locator(".r-frozen summary")
        expect(frozen).to_contain_text("cannot judge · cannot judge")
        assert rated(server, study, code)[0].answers == {"origin": None, "realism": None}

    def test_tags_points_remark_and_seen_before_are_kept(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page, press = seat.page, seat.page.keyboard.press
        press("s")
        press("t")
        press("Space")  # the first tag has the focus
        page.locator("[data-tag=colour]").click()
        page.locator(".r-extra[data-name=Mark]").click()
        box = page.locator(".r-frame").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        page.locator(".r-marks select").first.select_option("texture")
        page.locator(".r-marks button").last.click()
        press("m")
        press("m")  # by keys: the cross stands in the middle
        for key in ("ArrowRight", "ArrowUp", "Enter", "ArrowUp", "Enter", "Delete"):
            press(key)
        assert page.locator(".r-mark").count() == 2
        press("m")
        press("r")
        page.keyboard.type("3 hands? J 5")
        press("Escape")
        for key in ("3", "2", "Enter"):
            press(key)
        expect(page.locator(".r-prompt")).to_be_visible()
        assert page.locator(".r-mark").count() == 2
        press("1")
        press("Enter")
        seat.count_is("Item 2 of 26")
        first = rated(server, study, code)[0]
        assert first.answers == {"origin": 3, "realism": 2, "alignment": 1}
        assert first.is_seen_before and first.remark == "3 hands? J 5"
        assert first.tags == ["anatomy", "colour"]
        (ax, ay, atag), (bx, by, btag) = first.marks
        assert (ax, ay) == (pytest.approx(0.25, abs=0.01), pytest.approx(0.75, abs=0.01))
        assert (bx, by) == (pytest.approx(0.55), pytest.approx(0.45))
        assert (atag, btag) == ("texture", None)

    def test_the_last_step_of_an_earlier_item_can_be_changed(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.step_one()
        seat.step_two(1)
        seat.count_is("Item 2 of 26")
        seat.ready()
        seat.choose("origin", 6)
        page.keyboard.press("b")
        expect(page.locator(".r-revising")).to_have_text("Changing item 1")
        expect(seat.point("alignment", 1).locator("input")).to_be_checked()
        expect(page.locator("[data-code=origin]")).to_have_count(0)
        page.keyboard.press("b")  # left as it was; what was begun is still there
        expect(seat.point("origin", 6).locator("input")).to_be_checked()
        page.locator(".r-back").click()
        seat.ready()
        seat.choose("alignment", 4)
        page.wait_for_timeout(MOMENT_MS + 300)  # a change is never saved by itself
        expect(page.locator(".r-revising")).to_be_visible()
        seat.commit()
        expect(page.locator(".r-revising")).to_have_count(0)
        expect(seat.point("origin", 6).locator("input")).to_be_checked()
        first = rated(server, study, code)[0]
        assert first.answers == {"origin": 2, "realism": 4, "alignment": 4}
        assert first.revisions == 4

    def test_where_answers_are_final_nothing_goes_on_by_itself(self, server, sit):
        study = server.write_study(practice_items=0, practice=0, can_revise=False)
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.step_one()
        seat.choose("alignment", 2)
        seat.page.wait_for_timeout(MOMENT_MS + 300)
        assert not rated(server, study, code)[0].is_submitted
        seat.commit()
        seat.count_is("Item 2 of 26")
        expect(seat.page.locator(".r-back")).to_have_count(0)


class TestBlinding:
    def test_no_text_and_no_arm_before_the_first_answers_are_final(self, server, study, sit):
        _, link = server.enrolled(study)
        seat = sit(link)
        seat.gather_bodies()
        seat.begin()
        page = seat.page
        seat.choose("origin", 2)
        seat.choose("realism", 2)
        page.wait_for_load_state("networkidle")
        words = re.compile("|".join((*FINDINGS, "endoscopy of patient")), re.I)
        seen = [*seat.bodies, ("page", page.content())]
        assert {url.split("/")[-1] for url, _ in seen} >= {"state", "page"}
        assert [url for url, body in seen if words.search(body)] == []
        assert [url for url, body in seen for arm in ARMS if arm in body] == []
        seat.commit()
        expect(page.locator(".r-prompt blockquote")).to_have_text(words)


class TestNothingLost:
    def test_a_reload_keeps_what_was_put_in(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.choose("origin", 5)
        page.keyboard.press("r")
        page.keyboard.type("half a thought")
        page.reload()
        seat.ready()
        expect(seat.point("origin", 5).locator("input")).to_be_checked()
        page.keyboard.press("r")
        expect(page.locator("textarea")).to_have_value("half a thought")
        page.keyboard.press("Escape")
        seat.choose("realism", 1)
        seat.commit()
        expect(page.locator(".r-prompt")).to_be_visible()
        page.reload()
        expect(page.locator(".r-prompt")).to_be_visible()
        seat.step_two()
        kept = page.evaluate("Object.keys(localStorage).filter((key) => key.includes('item'))")
        assert kept == []
        assert rated(server, study, code)[0].remark == "half a thought"

    def test_two_tabs_make_no_duplicate_and_skip_nothing(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        other = seat.context.new_page()
        seat.watch(other)
        other.goto(f"{server.url}/rate/")
        other.wait_for_selector(".r-ready")
        seat.choose("origin", 1)
        seat.choose("realism", 1)
        other.locator('[data-code=origin] .r-point:has(input[value="6"])').click()
        other.locator('[data-code=realism] .r-point:has(input[value="5"])').click()
        other.locator(".r-commit").click()
        expect(other.locator(".r-prompt")).to_be_visible()
        seat.commit()
        expect(seat.page.locator(".r-toast")).to_contain_text("answered already")
        expect(seat.page.locator(".r-prompt")).to_be_visible()
        first = rated(server, study, code)[0]
        assert first.answers == {"origin": 6, "realism": 5}
        assert first.submissions == 1

    def test_another_device_goes_on_at_the_same_place(self, server, study, sit):
        code, link = server.enrolled(study)
        laptop, phone = sit(link), sit(link, PHONE, has_touch=True, is_mobile=True)
        laptop.begin()
        laptop.step_one(3, 3)
        phone.join()
        expect(phone.page.locator(".r-frozen summary")).to_contain_text("rather real")
        phone.ready()
        phone.step_two(2)
        phone.count_is("Item 2 of 26")
        # The laptop notices when it is looked at again.
        laptop.page.wait_for_timeout(1600)
        laptop.page.evaluate("window.dispatchEvent(new Event('focus'))")
        laptop.count_is("Item 2 of 26")
        expect(laptop.page.locator(".r-toast")).to_contain_text("another window or device")
        assert [each.submissions for each in rated(server, study, code)[:2]] == [2, 0]

    def test_an_answer_given_offline_arrives_once(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.choose("origin", 4)
        seat.context.set_offline(True)
        expect(page.locator(".r-banner")).to_contain_text("offline")
        seat.choose("realism", 2)
        seat.commit()
        expect(page.locator(".r-banner")).to_contain_text("kept and sent later")
        expect(page.locator(".r-commit")).to_contain_text("Saving")
        seat.point("origin", 1).click(force=True)  # it is on its way: no more changes
        assert not rated(server, study, code)[0].answers
        seat.context.set_offline(False)
        expect(page.locator(".r-prompt")).to_be_visible()
        expect(page.locator(".r-banner")).to_be_hidden()
        assert rated(server, study, code)[0].answers == {"origin": 4, "realism": 2}

    def test_an_answer_whose_receipt_was_lost_is_saved_once(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        keys: list[str] = []

        def lose_first_receipt(route) -> None:
            keys.append(route.request.post_data_json["key"])
            if len(keys) == 1:
                route.fetch()
                route.abort()
            else:
                route.continue_()

        page.route("**/rate/api/answers", lose_first_receipt)
        seat.step_one(1, 5)
        assert len(keys) == 2 and keys[0] == keys[1]
        assert rated(server, study, code)[0].submissions == 1

    def test_what_was_on_its_way_when_the_page_was_closed_is_sent_at_the_next_visit(
        self, server, study, sit
    ):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.page.route("**/rate/api/answers", lambda route: route.abort())
        seat.choose("origin", 6)
        seat.choose("realism", 3)
        seat.commit()
        expect(seat.page.locator(".r-commit")).to_contain_text("Saving")
        seat.page.close()
        seat.page = seat.context.new_page()
        seat.watch(seat.page)
        seat.page.goto(f"{server.url}/rate/")
        expect(seat.page.locator(".r-prompt")).to_be_visible()
        assert rated(server, study, code)[0].answers == {"origin": 6, "realism": 3}

    def test_a_server_killed_in_the_middle_loses_nothing(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.step_one(2, 2)
        seat.choose("alignment", 2)
        server.kill()
        seat.commit()
        expect(seat.page.locator(".r-banner")).to_contain_text("No connection")
        server.start()
        seat.count_is("Item 2 of 26")
        seat.ready()
        first = rated(server, study, code)[0]
        assert first.answers == {"origin": 2, "realism": 2, "alignment": 2}
        assert first.submissions == 2

    def test_double_clicks_and_held_keys_submit_once(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.choose("origin", 1)
        seat.choose("realism", 1)
        page.locator(".r-commit").dblclick()
        expect(page.locator(".r-prompt")).to_be_visible()
        page.keyboard.press("2")
        page.keyboard.down("Enter")
        for _ in range(5):
            page.keyboard.down("Enter")  # as a held key repeats
        page.keyboard.up("Enter")
        seat.count_is("Item 2 of 26")
        assert [each.submissions for each in rated(server, study, code)[:2]] == [2, 0]

    def test_the_back_button_changes_the_item_before_and_loses_nothing(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.step_one()
        seat.step_two(1)
        seat.count_is("Item 2 of 26")
        seat.ready()
        seat.choose("origin", 3)
        page.go_back()
        expect(page.locator(".r-revising")).to_be_visible()
        page.go_back()
        expect(page.locator(".r-revising")).to_have_count(0)
        expect(seat.point("origin", 3).locator("input")).to_be_checked()
        assert "/rate/" in page.url
        # Leaving for good and coming back by the link, as people do.
        seat.join()
        seat.ready()
        expect(seat.point("origin", 3).locator("input")).to_be_checked()
        assert [each.submissions for each in rated(server, study, code)[:2]] == [2, 0]

    def test_signed_out_meanwhile_an_answer_waits_for_the_link(self, server, study, sit):
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.choose("origin", 5)
        seat.choose("realism", 5)
        seat.context.clear_cookies()
        seat.commit()
        expect(page.locator(".r-article h1")).to_have_text("You are signed out")
        expect(page.locator(".r-article")).to_contain_text("not sent yet")
        seat.join()
        expect(page.locator(".r-prompt")).to_be_visible()
        assert rated(server, study, code)[0].answers == {"origin": 5, "realism": 5}


class TestConduct:
    def test_a_paused_study_keeps_the_answer_until_it_goes_on(self, server, sit):
        study = server.write_study(practice_items=0, practice=0)
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        seat.choose("origin", 5)
        seat.choose("realism", 5)
        Studies(server.database).pause(study)
        seat.commit()
        expect(seat.page.locator(".r-article h1")).to_have_text("The study is paused")
        Studies(server.database).resume(study)
        seat.commit()  # "Try again"
        expect(seat.page.locator(".r-prompt")).to_be_visible()
        assert rated(server, study, code)[0].answers == {"origin": 5, "realism": 5}

    def test_a_rater_can_sign_out_and_withdraw(self, server, sit):
        study = server.write_study(practice_items=0, practice=0)
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        seat.step_one()
        page.locator(".r-menu-button").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator(".r-article h1")).to_have_text("You are signed out")
        seat.join()
        seat.ready()
        page.locator(".r-menu-button").click()
        page.get_by_role("button", name="Withdraw").click()
        page.locator(".r-dialog .r-commit").click()
        expect(page.locator(".r-dialog .r-fault")).to_be_visible()
        page.locator("[name=kept][value=no]").check()
        page.locator(".r-dialog .r-commit").click()
        expect(page.locator(".r-article h1")).to_have_text("You have left the study")
        assert not any(each.answers for each in rated(server, study, code))
        assert page.evaluate("localStorage.length") == 0


class TestLooks:
    @pytest.mark.parametrize("viewport", [PHONE, TABLET, LAPTOP], ids=["390", "820", "1440"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_picture_and_questions_are_in_sight_readable_and_big_enough(
        self, server, study, sit, viewport, scheme
    ):
        _, link = server.enrolled(study)
        seat = sit(link, viewport, color_scheme=scheme, has_touch=viewport is not LAPTOP)
        seat.join()
        page = seat.page
        page.wait_for_selector(".r-article .r-commit")
        assert_readable(page)
        assert overflow_px(page) <= 0
        page.locator(".r-article .r-commit").click()
        seat.ready()
        assert_readable(page)
        assert_big_targets(page)
        for step in ("origin", "alignment"):
            picture = page.locator(".r-frame")
            scale = page.locator(f"[data-code={step}]")
            for shown in (picture, scale, page.locator(".r-commit")):
                box = shown.bounding_box()
                assert box["y"] >= 0 and box["y"] + box["height"] <= viewport["height"] + 0.5
            assert picture.bounding_box()["width"] >= 256  # four times its own 64 px
            assert overflow_px(page) <= 0
            ground = "e => getComputedStyle(e).backgroundColor"
            assert page.locator(".r-pictures").evaluate(ground) == "rgb(110, 110, 110)"
            if step == "origin":
                seat.step_one()
        assert_readable(page)
        assert_big_targets(page)
        for name in ("Defects", "Mark", "Remark"):
            page.locator(f".r-extra[data-name={name}]").click()
            assert overflow_px(page) <= 0
            assert_big_targets(page)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        assert_readable(page)
        assert overflow_px(page) <= 0
        page.keyboard.press("Escape")
        expect(page.locator(".r-dialog")).to_be_hidden()

    def test_no_word_of_a_label_is_broken_and_less_motion_is_respected(self, server, study, sit):
        _, link = server.enrolled(study)
        seat = sit(link, PHONE, reduced_motion="reduce")
        seat.begin()
        page = seat.page
        for width, height in ((390, 844), (1024, 768), (844, 390)):
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(".r-abreast")).to_have_count(2)
            lines = page.evaluate(LABEL_LINES)
            assert len(lines) == 11
            assert [each for each in lines if each[1] > each[2] or each[3]] == []
        seat.step_one()
        seat.choose("alignment", 2)
        expect(page.locator(".r-commit")).to_contain_text("going on")
        moving = page.evaluate(
            """() => [...document.querySelectorAll('.r-app *')].filter((e) =>
                 [null, '::before', '::after'].some((part) =>
                   getComputedStyle(e, part).transitionDuration !== '0s')).length"""
        )
        assert moving == 0

    def test_a_browser_that_is_too_old_is_told_so(self, server, study, sit):
        _, link = server.enrolled(study)
        seat = sit(link)
        seat.page.add_init_script("CSS.supports = () => false")
        seat.join()
        expect(seat.page.locator(".r-article")).to_contain_text("This browser is too old")

    def test_zoom_by_keys_wheel_double_tap_and_back(self, server, study, sit):
        _, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page, zoom = seat.page, seat.page.locator(".r-zoom")
        page.keyboard.press("+")
        expect(zoom).to_have_text("150 %")
        page.keyboard.press("-")
        expect(zoom).to_have_text("100 %")
        page.locator(".r-stage").hover()
        page.mouse.wheel(0, -400)
        expect(zoom).not_to_have_text("100 %")
        page.keyboard.press("f")
        expect(zoom).to_have_text("100 %")
        page.locator(".r-stage").dblclick()
        expect(zoom).to_have_text("250 %")
        for _ in range(2):
            page.keyboard.press("+")
        page.locator(".r-stage").focus()
        before = page.locator(".r-frame").bounding_box()
        page.keyboard.press("ArrowRight")
        assert page.locator(".r-frame").bounding_box()["x"] < before["x"]
        page.keyboard.press("0")
        expect(zoom).to_have_text("100 %")
        expect(page.locator("input:checked")).to_have_count(0)
        # Zoom lasts from the first step to the second of an image, not to the next image.
        page.keyboard.press("+")
        seat.step_one()
        expect(zoom).to_have_text("150 %")
        seat.step_two()
        expect(zoom).to_have_text("100 %")

    def test_readers_are_told_names_roles_and_progress(self, server, study, sit):
        _, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        scale = page.get_by_role("radiogroup", name="Is this image real or synthetic?")
        assert scale.get_by_role("radio").count() == 7
        expect(scale).to_be_focused()
        expect(page.get_by_role("radio", name="certainly synthetic")).to_have_count(1)
        expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute(
            "aria-valuemax", "26"
        )
        expect(page.locator(".r-live")).to_contain_text("Item 1 of 26")
        seat.step_one()
        expect(page.locator(".r-live")).to_contain_text("Saved")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('.r-app :is(button, select, textarea, input)')]
                 .filter((e) => !e.ariaLabel && !e.textContent.trim() && !e.labels?.length)
                 .length"""
        )
        assert nameless == 0


class TestSideBySide:
    def test_pictures_zoom_in_step_and_one_is_preferred(self, server, sit):
        study = server.write_study(
            3, 3, 0, 0, display="side_by_side", practice_items=0, repeat_share=0.0,
            washout_items=1,
        )  # fmt: skip
        code, link = server.enrolled(study)
        seat = sit(link)
        seat.begin()
        page = seat.page
        assert page.locator(".r-frame").count() == 3
        expect(page.locator(".r-prompt")).to_be_visible()
        page.locator(".r-stage").nth(1).hover()
        page.mouse.wheel(0, -300)
        moved = page.locator(".r-frame").evaluate_all("all => all.map((e) => e.style.transform)")
        assert len(set(moved)) == 1 and "scale(1)" not in moved[0]
        for viewport in (LAPTOP, TABLET):
            page.set_viewport_size(viewport)
            assert overflow_px(page) <= 0
            box = page.locator("[data-code=preference]").bounding_box()
            assert box["y"] + box["height"] <= viewport["height"]
        assert_readable(page)
        seat.choose("preference", 2)
        seat.count_is("Item 2 of 3")
        seat.ready()
        page.keyboard.press("0")  # no preference
        page.keyboard.press("Enter")
        seat.count_is("Item 3 of 3")
        seat.ready()
        seat.point("preference", 3).click()
        page.set_viewport_size(PHONE)
        expect(page.locator(".r-article")).to_contain_text("phone")
        page.set_viewport_size(LAPTOP)
        seat.ready()
        expect(seat.point("preference", 3).locator("input")).to_be_checked()
        answers = [each.answers for each in rated(server, study, code)]
        assert answers == [{"preference": 2}, {"preference": None}, {}]
