"""Contract: the routes of raters and coordinators say in JSON what happened, hand out pictures byte
for byte and all alike, take no request of another site and none that is too large, and links change
nothing until a button is pressed.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from rating.access import COOKIE
from rating.guarded_route import MOST_BODY_BYTES
from rating.service import RatingService
from rating.storage.models import Answer, AssignmentSlot, Rater, SignIn, StimulusImage
from tests.rating_server import TOKEN, application, browser, rating_service, submission
from tests.rating_study import TITLE, invite, write_study

UNKNOWN = "x" * 43


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[RatingService]:
    """The service on SQLite and on PostgreSQL in turn."""
    with rating_service(tmp_path / "home", database_url) as service:
        yield service


@pytest.fixture
def lone_service(tmp_path: Path) -> Iterator[RatingService]:
    """The service on SQLite."""
    with rating_service(tmp_path / "home") as service:
        yield service


def entered(service: RatingService, token: str) -> TestClient:
    """Returns a browser that a rater's link has let in."""
    client = browser(application(service))
    assert client.post(f"/join/{token}").status_code == 303
    return client


def enrolled(service: RatingService, token: str) -> TestClient:
    """Returns a browser whose rater has consented and is at the first item."""
    client = entered(service, token)
    consent = client.get("/rate/api/state").json()["consent"]
    values = {"consent_sha256": consent["sha256"], "is_agreed": True, "is_independent": True}
    assert client.post("/rate/api/consent", json=values).json()["phase"] == "profile"
    values = {"specialty": "Gastroenterology", "years_experience": 12}
    assert client.post("/rate/api/profile", json=values).json()["phase"] == "practice"
    return client


@pytest.fixture
def rater(service: RatingService) -> TestClient:
    return enrolled(service, invite(service.database, write_study(service.database))[0][1])


@pytest.fixture
def lone_rater(lone_service: RatingService) -> TestClient:
    code = write_study(lone_service.database)
    return enrolled(lone_service, invite(lone_service.database, code)[0][1])


def rows(service: RatingService, table: type) -> int:
    with service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_rater_goes_from_the_link_to_the_last_answer(service: RatingService):
    code = write_study(service.database, 2, 2, 2, 1, repeat_share=0.0)
    client = enrolled(service, invite(service.database, code)[0][1])
    state = client.get("/rate/api/state").json()
    for _ in range(40):
        if state["phase"] not in {"practice", "rating"}:
            break
        answer = client.post("/rate/api/answers", json=submission(state["item"]))
        assert answer.status_code == 200
        assert answer.json()["result"] == "saved"
        state = answer.json()["state"]
    assert state["phase"] == "closing"
    assert rows(service, Answer) == 7 * 3
    state = client.post("/rate/api/closing", json={"remark": "Fine."}).json()
    assert state["phase"] == "done"


def test_the_same_submission_again_changes_nothing_and_says_so(
    service: RatingService, rater: TestClient
):
    body = submission(rater.get("/rate/api/state").json()["item"])
    first = rater.post("/rate/api/answers", json=body)
    kept = rows(service, Answer)
    second = rater.post("/rate/api/answers", json=body)
    assert (first.json()["result"], second.json()["result"]) == ("saved", "already_saved")
    assert rows(service, Answer) == kept
    stale = rater.post("/rate/api/answers", json=body | {"key": "another-key-for-it"})
    assert stale.status_code == 409
    assert stale.json()["error"]["code"] in {"already_answered", "not_current", "frozen"}
    assert stale.json()["state"]["item"] == second.json()["state"]["item"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_a_link_changes_nothing(service: RatingService, method: str):
    code = write_study(service.database)
    token = invite(service.database, code)[0][1]
    client = browser(application(service))
    page = client.request(method, f"/join/{token}")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers or COOKIE not in page.headers["set-cookie"]
    if method == "GET":
        assert TITLE in page.text
        assert "arm" not in page.text.split("<body>")[1].lower().replace("harm", "")
    assert rows(service, SignIn) == 0
    with service.database.read() as session:
        assert session.scalars(select(Rater.consented_at)).all() == [None]


def test_the_button_signs_in_with_a_cookie_that_scripts_cannot_read(lone_service: RatingService):
    token = invite(lone_service.database, write_study(lone_service.database))[0][1]
    app = application(lone_service)
    for base, is_secure in (("http://testserver", False), ("https://testserver", True)):
        client = TestClient(app, base_url=base, follow_redirects=False)
        answer = client.post(f"/join/{token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/rate/")
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE))
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/;" in f"{cookie};"
        assert ("Secure" in cookie) == is_secure
        assert token not in cookie


def test_in_the_frame_of_a_space_the_cookie_is_partitioned(tmp_path: Path):
    with rating_service(tmp_path / "home", is_space=True) as service:
        answer = browser(application(service)).post(f"/coordinator/{TOKEN}")
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE))
        assert "SameSite=None; Partitioned" in cookie and "Secure" in cookie


def test_one_link_works_on_two_devices_at_once(service: RatingService):
    token = invite(service.database, write_study(service.database))[0][1]
    laptop = enrolled(service, token)
    phone = entered(service, token)
    item = laptop.get("/rate/api/state").json()["item"]
    assert phone.get("/rate/api/state").json()["item"] == item
    assert phone.post("/rate/api/answers", json=submission(item)).json()["result"] == "saved"
    after = laptop.get("/rate/api/state").json()["item"]
    assert (after["token"], after["step"]) != (item["token"], item["step"])


@pytest.mark.parametrize("path", ["/join/" + UNKNOWN, "/join/x", "/join/..%2f..", "/join/%00"])
def test_an_unknown_link_says_so_on_a_page_without_a_reason(lone_service: RatingService, path):
    client = browser(application(lone_service))
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 404
    assert rows(lone_service, SignIn) == 0


def test_links_that_do_not_work_are_slowed_and_say_for_how_long(lone_service: RatingService):
    client = browser(application(lone_service))
    answers = [client.post(f"/coordinator/{'wrong' * 5}") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3
    assert "wait" in answers[-1].text
    assert "wrong" not in answers[-1].text


def test_pictures_are_the_stored_bytes_and_alike_in_everything_else(
    service: RatingService, rater: TestClient
):
    with service.database.read() as session:
        stored = dict(
            session.execute(
                select(AssignmentSlot.token, StimulusImage.png).join(
                    StimulusImage, StimulusImage.stimulus_id == AssignmentSlot.stimulus_id
                )
            ).all()
        )
    heads = []
    for _ in range(6):
        state = rater.get("/rate/api/state").json()
        for url in [image["url"] for image in state["item"]["images"]] + state["next_images"]:
            answer = rater.get(url)
            assert answer.status_code == 200
            assert answer.content == stored[url.removeprefix("/rate/image/").removesuffix(".png")]
            varying = {"content-length", "date"}
            heads.append({k: v for k, v in answer.headers.items() if k not in varying})
        rater.post("/rate/api/answers", json=submission(state["item"]))
    assert all(head == heads[0] for head in heads)
    assert heads[0]["content-type"] == "image/png"
    assert heads[0]["cache-control"] == "no-store"
    assert not {"etag", "last-modified"} & heads[0].keys()


def test_pictures_of_others_and_of_later_items_are_as_unknown_as_any_other(service: RatingService):
    code = write_study(service.database)
    (_, first), (_, second) = invite(service.database, code, 2)
    mine, other = enrolled(service, first), enrolled(service, second)
    foreign = other.get("/rate/api/state").json()["item"]["images"][0]["url"]
    with service.database.read() as session:
        last = session.scalars(select(AssignmentSlot.token).order_by(AssignmentSlot.id)).all()[-1]
    answers = [
        mine.get(path)
        for path in (foreign, f"/rate/image/{UNKNOWN}.png", f"/rate/image/{last}.png")
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.content for answer in answers}) == 1
    assert browser(application(service)).get(foreign).status_code == 401


@pytest.mark.parametrize("path", ["/rate/api/answers", "/rate/api/sign-out", "/rate/api/withdraw"])
def test_another_site_cannot_write(lone_rater: TestClient, path: str):
    for name, value in (
        ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"), ("Origin", "null"), ("Origin", "http://testserver:81"),
    ):  # fmt: skip
        answer = lone_rater.post(path, json={"is_erasing": True}, headers={name: value})
        assert answer.status_code == 403, value
        assert answer.json()["error"]["code"] == "cross_site"
    assert lone_rater.get("/rate/api/state").json()["phase"] == "practice"


def test_another_site_cannot_press_the_button_of_a_link(lone_service: RatingService):
    token = invite(lone_service.database, write_study(lone_service.database))[0][1]
    client = browser(application(lone_service))
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get(f"/join/{token}", headers=headers).status_code == 200  # from an e-mail
    assert client.post(f"/join/{token}", headers=headers).status_code == 403
    assert rows(lone_service, SignIn) == 0


def test_another_site_cannot_show_the_pictures(lone_rater: TestClient):
    url = lone_rater.get("/rate/api/state").json()["item"]["images"][0]["url"]
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert lone_rater.get(url, headers=headers).status_code == 403


UNUSABLE = (
    b"", b"{", b"[" * 60_000, b"\xff\xfe", b"9" * 5_000, b"[]", b"null", b'{"item": 1}',
    b'{"\\ud800": 1}',
)  # fmt: skip


@pytest.mark.parametrize("path", ["answers", "revise", "consent", "profile", "closing", "withdraw"])
def test_a_body_that_cannot_be_used_is_refused_with_a_word(lone_rater: TestClient, path: str):
    def code_for(content: bytes) -> tuple[int, str]:
        headers = {"Content-Type": "application/json"}
        answer = lone_rater.post(f"/rate/api/{path}", content=content, headers=headers)
        return answer.status_code, answer.json()["error"]["code"]

    assert {code_for(content) for content in UNUSABLE} == {(422, "invalid")}
    assert code_for(b" " * (MOST_BODY_BYTES + 1)) == (413, "too_large")


@pytest.mark.parametrize("name", ["visible_ms", "device_pixel_ratio", "step", "viewport", "marks"])
def test_a_number_beyond_all_bounds_is_refused_like_any_other(lone_rater: TestClient, name: str):
    body = submission(lone_rater.get("/rate/api/state").json()["item"])
    for digits in ("9" * 400, "-" + "9" * 400, "1e999", "NaN", "[1" + "0" * 400 + ", 1]"):
        content = json.dumps(body | {name: "here"}).replace('"here"', digits)
        headers = {"Content-Type": "application/json"}
        answer = lone_rater.post("/rate/api/answers", content=content, headers=headers)
        assert answer.status_code in {200, 409, 422}, answer.text


def test_a_form_cannot_send_answers(lone_rater: TestClient):
    body = json.dumps({"is_erasing": True}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind}
        answer = lone_rater.post("/rate/api/withdraw", content=body, headers=headers)
        assert answer.status_code == 415
    assert lone_rater.get("/rate/api/state").json()["phase"] == "practice"


BAD_FIELDS = (
    ("consent", {"consent_sha256": "x", "is_agreed": 1, "is_independent": True}, "is_agreed"),
    ("consent", {"consent_sha256": "x", "is_agreed": False, "is_independent": True}, "is_agreed"),
    ("consent", {"consent_sha256": "x" * 300, "is_agreed": True, "is_independent": True},
     "consent_sha256"),
    ("profile", {"specialty": "Radiology", "years_experience": True}, "years_experience"),
    ("profile", {"specialty": "Radiology", "years_experience": "3"}, "years_experience"),
    ("profile", {"specialty": "Ra\0diology", "years_experience": 3}, "specialty"),
    ("closing", {"remark": "\ud800"}, "remark"), ("closing", {"remark": "x" * 9_000}, "remark"),
    ("closing", {}, "remark"), ("withdraw", {"is_erasing": True, "is_admin": True}, "is_admin"),
    ("withdraw", {"is_erasing": "no"}, "is_erasing"),
)  # fmt: skip


def test_a_field_that_cannot_be_used_is_named(lone_rater: TestClient):
    headers = {"Content-Type": "application/json"}
    for path, body, field in BAD_FIELDS:
        answer = lone_rater.post(f"/rate/api/{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code == 422
        assert field in answer.json()["error"]["fields"]


def test_a_pause_holds_answers_back_and_says_so(service: RatingService):
    code = write_study(service.database)
    client = enrolled(service, invite(service.database, code)[0][1])
    body = submission(client.get("/rate/api/state").json()["item"])
    service.studies.pause(code)
    answer = client.post("/rate/api/answers", json=body)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "paused"
    assert answer.json()["state"]["phase"] == "paused"
    service.studies.resume(code)
    assert client.post("/rate/api/answers", json=body).json()["result"] == "saved"


def test_a_revoked_rater_is_out_at_the_next_request(service: RatingService):
    code = write_study(service.database)
    rater_code, token = invite(service.database, code)[0]
    client = enrolled(service, token)
    url = client.get("/rate/api/state").json()["item"]["images"][0]["url"]
    service.studies.revoke(code, rater_code)
    for path in ("/rate/api/state", url):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "signed_out"
    assert client.get(f"/join/{token}").status_code == 404


def test_withdrawal_erases_and_is_told(service: RatingService, rater: TestClient):
    rater.post("/rate/api/answers", json=submission(rater.get("/rate/api/state").json()["item"]))
    assert rows(service, Answer) > 0
    answer = rater.post("/rate/api/withdraw", json={"is_erasing": True})
    assert answer.json()["phase"] == "withdrawn"
    assert rows(service, Answer) == 0


def test_signing_out_ends_the_browsers_access(lone_rater: TestClient):
    cookie = lone_rater.cookies[COOKIE]
    assert lone_rater.post("/rate/api/sign-out", json={}).json() == {"result": "signed_out"}
    assert COOKIE not in lone_rater.cookies
    lone_rater.cookies.set(COOKIE, cookie)
    assert lone_rater.get("/rate/api/state").status_code == 401


def test_a_coordinator_gets_pictures_and_nobody_else(service: RatingService):
    code = write_study(service.database)
    stimulus = service.studies.stimuli(code)[0]
    path = f"/study/{code}/stimuli/{stimulus.id}.png"
    app = application(service)
    coordinator = browser(app)
    assert coordinator.get(path).status_code == 401
    assert coordinator.post(f"/coordinator/{TOKEN}").headers["location"] == "/"
    answer = coordinator.get(path)
    assert answer.content == service.studies.stimulus_png(code, stimulus.id)
    assert answer.headers["cache-control"] == "no-store"
    for missing in (f"/study/{code}/stimuli/999999.png", f"/study/{code}/stimuli/x.png",
                    f"/study/nosuch/stimuli/{stimulus.id}.png", "/study/inbox/x.png"):  # fmt: skip
        assert coordinator.get(missing).status_code == 404
    rater = entered(service, invite(service.database, code)[0][1])
    assert rater.get(path).status_code == 403
    assert coordinator.post("/sign-out").status_code == 303
    assert coordinator.get(path).status_code == 401


def test_an_unexpected_error_is_logged_under_the_reference_that_is_shown(
    lone_service: RatingService, lone_rater: TestClient, caplog: pytest.LogCaptureFixture
):
    with lone_service.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE question RENAME TO gone")
    with caplog.at_level(logging.ERROR):
        answer = lone_rater.get("/rate/api/state")
    assert answer.status_code in {500, 503}
    error = answer.json()["error"]
    assert error["code"] == "server"
    assert "gone" not in answer.text and "Traceback" not in answer.text
    reference = error["message"].rsplit(" ", 1)[1].rstrip(".")
    assert any(reference in record.getMessage() for record in caplog.records)
