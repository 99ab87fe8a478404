"""Contract: a browser is let in by a token alone, its cookie is kept as a hash and ends when the
server says so, guessing is slowed without locking anybody out for long, and secrets stay secret.
"""

import datetime
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from rating.access import COOKIE, NOBODY, Access
from rating.back_off import FREE_FAILURES, LONGEST_WAIT_S, MOST_ADDRESSES, BackOff, network_of
from rating.coordinator_token import FILE_NAME, kept_coordinator_token
from rating.errors import AccessError, RatingError
from rating.storage.database import Database
from rating.storage.models import Rater, SignIn, Study
from tests.rating_database import unguarded

TOKEN = "coordinator-token-of-the-tests"
GENERATE = "generate-token-of-the-tests"
LINK = "l" * 43


def write_rater(database: Database, status: str = "open") -> None:
    """Writes a study of the given status with one rater, whose link is LINK."""
    now = datetime.datetime.now(datetime.UTC)
    with database.write() as session:
        study = Study(
            code="abcdef", title="Polyps", kind="pilot", status="open", seed=1,
            draft_protocol={}, created_at=now, opened_at=now,
        )  # fmt: skip
        session.add(study)
        session.flush()
        session.add(Rater(study_id=study.id, code="R01", link_sha256="0" * 64, invited_at=now))
    set_status(database, status)


def set_status(database: Database, status: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    is_locked = status == "locked"
    values = {
        "status": status, "opened_at": None if status == "draft" else now,
        "locked_at": now if is_locked else None, "root_hash": "0" * 64 if is_locked else None,
    }  # fmt: skip
    with unguarded(database) as session:
        session.execute(update(Study).values(**values))


def access_of(database: Database, token: str = TOKEN, generate: str = "") -> Access:
    def rater_of_link(link: str) -> int:
        with database.read() as session:
            found = session.scalar(select(Rater.id).where(Rater.revoked_at.is_(None)))
        if link != LINK or found is None:
            raise AccessError("No such link.", 404)
        return found

    return Access(database, token, generate, rater_of_link=rater_of_link)


def carrying(cookie: str) -> SimpleNamespace:
    return SimpleNamespace(cookies={COOKIE: cookie})


def test_each_token_lets_in_with_its_own_role(database: Database):
    write_rater(database)
    access = access_of(database, generate=GENERATE)
    signed_in = {
        "coordinator": access.sign_in_coordinator(TOKEN),
        "generator": access.sign_in_generator(GENERATE),
        "rater": access.sign_in_rater(LINK),
    }
    for role, cookie in signed_in.items():
        assert access.who({COOKIE: cookie}).role == role
    rater = access.who({COOKIE: signed_in["rater"]})
    assert (rater.rater_code, rater.study_code, rater.is_rating) == ("R01", "abcdef", True)
    assert access.who({}) == NOBODY
    assert access.who({COOKIE: "x" * 43}) == NOBODY
    assert access.who({COOKIE: "'; DROP TABLE sign_in; --"}) == NOBODY


@pytest.mark.parametrize("wrong", ["", "x", GENERATE, TOKEN + "x", TOKEN.upper(), "\ud800", "ü"])
def test_another_token_lets_nobody_in_as_coordinator(sqlite_database: Database, wrong: str):
    access = access_of(sqlite_database, generate=GENERATE)
    with pytest.raises(AccessError) as caught:
        access.sign_in_coordinator(wrong)
    assert caught.value.status == 404
    assert (not wrong) or wrong not in str(caught.value)


def test_without_a_token_for_generate_nobody_signs_in_to_it(sqlite_database: Database):
    with pytest.raises(AccessError):
        access_of(sqlite_database).sign_in_generator("")


def test_of_a_cookie_only_a_hash_is_kept(database: Database):
    cookie = access_of(database).sign_in_coordinator(TOKEN)
    with database.read() as session:
        kept = session.scalars(select(SignIn)).one()
    values = str({name: getattr(kept, name) for name in SignIn.__table__.columns.keys()})
    assert cookie not in values
    assert TOKEN not in values


def test_a_coordinators_sign_in_ends_after_thirty_days(database: Database):
    access = access_of(database)
    cookie = access.sign_in_coordinator(TOKEN)
    now = datetime.datetime.now(datetime.UTC)
    with database.write() as session:
        expires_at = session.scalars(select(SignIn.expires_at)).one()
        assert abs(expires_at - now - datetime.timedelta(days=30)) < datetime.timedelta(minutes=1)
        session.execute(update(SignIn).values(expires_at=now))
    assert access.who({COOKIE: cookie}) == NOBODY


def test_a_new_coordinators_token_ends_all_sign_ins_with_the_old_one(database: Database):
    write_rater(database)
    before = access_of(database)
    coordinator, rater = before.sign_in_coordinator(TOKEN), before.sign_in_rater(LINK)
    after = access_of(database, "another-token-of-the-tests")
    assert after.who({COOKIE: coordinator}) == NOBODY
    assert after.who({COOKIE: rater}).role == "rater"


def test_signing_out_ends_one_browser_and_no_other(database: Database):
    access = access_of(database)
    first, second = access.sign_in_coordinator(TOKEN), access.sign_in_coordinator(TOKEN)
    access.sign_out({COOKIE: first})
    access.sign_out({})
    assert access.who({COOKIE: first}) == NOBODY
    assert access.who({COOKIE: second}).is_coordinator


def test_revoking_a_rater_ends_access_at_once_on_every_device(database: Database):
    write_rater(database)
    access = access_of(database)
    cookies = [access.sign_in_rater(LINK) for _ in range(2)]
    with database.write() as session:
        session.execute(update(Rater).values(revoked_at=datetime.datetime.now(datetime.UTC)))
    assert [access.who({COOKIE: cookie}) for cookie in cookies] == [NOBODY, NOBODY]
    with pytest.raises(AccessError):
        access.sign_in_rater(LINK)


def test_only_a_coordinator_passes_as_one(database: Database):
    write_rater(database)
    access = access_of(database, generate=GENERATE)
    assert access.require_coordinator(carrying(access.sign_in_coordinator(TOKEN))).is_coordinator
    for request, status in (
        (None, 401), (carrying(""), 401), (carrying(access.sign_in_rater(LINK)), 403),
        (carrying(access.sign_in_generator(GENERATE)), 403),
    ):  # fmt: skip
        with pytest.raises(AccessError) as caught:
            access.require_coordinator(request)
        assert caught.value.status == status


@pytest.mark.parametrize("status", ["draft", "open", "locked"])
@pytest.mark.parametrize("generate", ["", GENERATE])
def test_who_may_generate(sqlite_database: Database, status: str, generate: str):
    write_rater(sqlite_database)
    access = access_of(sqlite_database, generate=generate)
    rater = access.sign_in_rater(LINK)
    set_status(sqlite_database, status)
    access.may_generate(carrying(access.sign_in_coordinator(TOKEN)))
    if generate:
        access.may_generate(carrying(access.sign_in_generator(generate)))
    closed = {
        "nobody": generate or status == "open",
        "rater": generate or status == "open",
    }
    for who, request in (("nobody", carrying("")), ("rater", carrying(rater))):
        if closed[who]:
            with pytest.raises(AccessError):
                access.may_generate(request)
        else:
            access.may_generate(request)


def test_guessing_the_coordinators_token_is_slowed_even_for_the_right_one(
    sqlite_database: Database,
):
    access = access_of(sqlite_database)
    for _ in range(FREE_FAILURES):
        with pytest.raises(AccessError) as caught:
            access.sign_in_coordinator("wrong", "192.0.2.1")
        assert caught.value.status == 404
    with pytest.raises(AccessError) as caught:
        access.sign_in_coordinator(TOKEN, "192.0.2.1")
    assert caught.value.status == 429
    assert 0 < caught.value.retry_after_s <= 2
    assert access.sign_in_coordinator(TOKEN, "192.0.2.2")


def test_a_rater_passes_however_often_others_behind_the_same_proxy_guess(
    sqlite_database: Database,
):
    write_rater(sqlite_database)
    access = access_of(sqlite_database)
    statuses = []
    for _ in range(FREE_FAILURES + 3):
        with pytest.raises(AccessError) as caught:
            access.sign_in_rater("x" * 43, "192.0.2.1")
        statuses.append(caught.value.status)
    assert statuses == [404] * FREE_FAILURES + [429] * 3
    assert access.sign_in_rater(LINK, "192.0.2.1")
    assert access.title_of_link(LINK, "192.0.2.1") == "Polyps"
    access.sign_in_coordinator(TOKEN, "192.0.2.1")  # wrong links do not slow coordinators


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_waits_double_up_to_a_minute_and_are_forgotten():
    clock = Clock()
    back_off = BackOff(clock)
    waits = []
    for _ in range(FREE_FAILURES + 9):
        back_off.failed("192.0.2.1")
        waits.append(back_off.wait_s("192.0.2.1"))
        clock.now_s += waits[-1]
        assert back_off.wait_s("192.0.2.1") == 0
    assert waits[: FREE_FAILURES - 1] == [0] * (FREE_FAILURES - 1)
    assert waits[FREE_FAILURES - 1 : FREE_FAILURES + 3] == [1, 2, 4, 8]
    assert max(waits) == LONGEST_WAIT_S
    clock.now_s += 1_000
    back_off.failed("192.0.2.1")
    assert back_off.wait_s("192.0.2.1") == 0


def test_a_flood_from_many_addresses_is_slowed_and_takes_no_more_memory():
    clock = Clock()
    back_off = BackOff(clock)
    for number in range(MOST_ADDRESSES + 500):
        back_off.failed(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(back_off._failures) == MOST_ADDRESSES
    assert back_off.wait_s("192.0.2.1") > 0
    clock.now_s += 24 * 3600
    assert back_off.wait_s("192.0.2.1") == 0


def test_an_ipv6_network_counts_as_one_address():
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("testclient") == "testclient"


def test_the_coordinators_token_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    token = kept_coordinator_token(tmp_path)
    assert len(token) >= 32
    assert kept_coordinator_token(tmp_path) == token
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    kept_coordinator_token(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", b"has spaces in its midst"])
def test_a_damaged_token_file_stops_the_start_with_the_way_out(tmp_path: Path, content: bytes):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(RatingError, match=FILE_NAME):
        kept_coordinator_token(tmp_path)
