"""Who asks, and what they may have: the roles, their sign-ins, and the rules of access.

A browser is let in by a token: the coordinator's, a rater's personal link, or the one for Generate.
It then carries a cookie of its own, of which the database keeps only a hash, so that access can be
ended from the server at any moment. Nothing here trusts what a browser says about itself.
"""

import dataclasses
import datetime
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol

from sqlalchemy import select, update

from rating.back_off import BackOff
from rating.errors import AccessError
from rating.storage.database import Database
from rating.storage.models import Rater, SignIn, Study

Role = Literal["none", "coordinator", "rater", "generator"]

COOKIE: Final = "msdm_session"
SIGN_IN_DAYS: Final = 30
_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LINK_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,64}")
_LINK_UNKNOWN: Final = (
    "This link does not work: it may have been renewed or ended. "
    "Please ask whoever sent it to you for a new one."
)
_RATERS_CANNOT_GENERATE: Final = (
    "Raters of a study that is still open cannot generate images, because they could meet one of "
    "the study's images again."
)
_CLOSED_WHILE_OPEN: Final = (
    "Generate is closed while a study is open, so that no rater meets its images here. "
    "Coordinators sign in with the link that the server printed when it started."
)
_NEEDS_SIGN_IN: Final = (
    "Generate needs a sign-in here: open the link that you were given for it, "
    "or ask whoever runs this server."
)


class Asking(Protocol):
    """A request as far as access needs it: of a route, or of a Gradio handler."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies that came with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `rater_id` and the study are those of a rater, else None and empty."""

    role: Role = "none"
    sign_in_id: int | None = None
    rater_id: int | None = None
    rater_code: str = ""
    study_code: str = ""
    study_status: str = ""

    @property
    def is_coordinator(self) -> bool:
        """Whether a coordinator asks."""
        return self.role == "coordinator"

    @property
    def is_rating(self) -> bool:
        """Whether a rater of a study that is still open asks."""
        return self.role == "rater" and self.study_status == "open"


NOBODY: Final = Visitor()


class Access:
    """Lets browsers in, tells who asks, and refuses."""

    def __init__(
        self,
        database: Database,
        coordinator_token: str,
        generate_token: str = "",
        *,
        rater_of_link: Callable[[str], int],
    ) -> None:
        """Keep the tokens as hashes; an empty `generate_token` means that Generate needs none.

        Args:
            database:          With the studies and the sign-ins.
            coordinator_token: Opens everything; not empty.
            generate_token:    Opens Generate where it is not open to everyone.
            rater_of_link:     Returns the id of the rater of a link, or raises AccessError.
        """
        self._database = database
        self._tokens: dict[Role, str] = {"coordinator": _sha256(coordinator_token)}
        if generate_token:
            self._tokens["generator"] = _sha256(generate_token)
        self._rater_of_link = rater_of_link
        self._token_attempts = BackOff()
        self._link_attempts = BackOff()

    # Signing in and out

    def sign_in_coordinator(self, token: str, address: str = "") -> str:
        """Return the cookie of a new coordinator's sign-in.

        Raises:
            AccessError: 404 for a wrong token, 429 while `address` has to wait.
        """
        return self._sign_in_with_token("coordinator", token, address)

    def sign_in_generator(self, token: str, address: str = "") -> str:
        """Return the cookie of a new sign-in for Generate; as `sign_in_coordinator`."""
        return self._sign_in_with_token("generator", token, address)

    def sign_in_rater(self, link_token: str, address: str = "") -> str:
        """Return the cookie of a rater's new sign-in.

        Raises:
            AccessError: 404 for a link that is unknown or revoked, 429 where `address` has sent
                many of those.
        """
        rater_id = self._rater_behind(link_token, address)
        return self._new_sign_in("rater", rater_id, None)

    def title_of_link(self, link_token: str, address: str = "") -> str:
        """Return the title of the study that a rater's link belongs to, changing nothing.

        Raises:
            AccessError: As `sign_in_rater`.
        """
        rater_id = self._rater_behind(link_token, address)
        with self._database.read() as session:
            title = session.scalar(
                select(Study.title).join(Rater, Rater.study_id == Study.id).where(
                    Rater.id == rater_id
                )
            )  # fmt: skip
        return title or ""

    def require_patience(self, address: str) -> None:
        """Raise AccessError 429 while `address` has to wait before it may try a token."""
        if wait_s := self._token_attempts.wait_s(address):
            raise _slowed(wait_s)

    def sign_out(self, cookies: Mapping[str, str]) -> None:
        """End the sign-in that the cookies carry; without one nothing happens."""
        if hashes := self._hashes(cookies):
            with self._database.write() as session:
                session.execute(
                    update(SignIn)
                    .where(SignIn.token_sha256.in_(hashes), SignIn.ended_at.is_(None))
                    .values(ended_at=_now())
                )

    # Who asks, and what they may have

    def who(self, cookies: Mapping[str, str]) -> Visitor:
        """Return who asks; whoever has no valid sign-in is nobody."""
        hashes = self._hashes(cookies)
        if not hashes:
            return NOBODY
        with self._database.read() as session:
            found = session.execute(
                select(SignIn, Rater.code, Rater.revoked_at, Study.code, Study.status)
                .outerjoin(Rater, SignIn.rater_id == Rater.id)
                .outerjoin(Study, Rater.study_id == Study.id)
                .where(SignIn.token_sha256.in_(hashes), SignIn.ended_at.is_(None))
            ).first()
        if found is None:
            return NOBODY
        sign_in, rater_code, revoked_at, study_code, status = found
        is_over = sign_in.expires_at is not None and sign_in.expires_at <= _now()
        # The hash says with which token a browser came in; the role must be that token's.
        if is_over or revoked_at is not None or hashes.get(sign_in.token_sha256) != sign_in.role:
            return NOBODY
        return Visitor(
            role=sign_in.role,
            sign_in_id=sign_in.id,
            rater_id=sign_in.rater_id,
            rater_code=rater_code or "",
            study_code=study_code or "",
            study_status=status or "",
        )

    def require_coordinator(self, request: Asking | None) -> Visitor:
        """Return the coordinator who asks, for routes and Gradio handlers alike.

        Raises:
            AccessError: 401 where nobody is signed in, 403 for another role.
        """
        visitor = self._visitor(request)
        if visitor.is_coordinator:
            return visitor
        if visitor.role == "none":
            raise AccessError(
                "This is for coordinators. Sign in with the link that the server printed when it "
                "started.", 401
            )  # fmt: skip
        raise AccessError("This is for coordinators. You are signed in as another role.", 403)

    def require_rater(self, request: Asking | None) -> Visitor:
        """Return the rater who asks; AccessError 401 for everybody else."""
        visitor = self._visitor(request)
        if visitor.role != "rater":
            raise AccessError("You are not signed in. Please open your personal link again.", 401)
        return visitor

    def may_generate(self, request: Asking | None) -> None:
        """Return where the browser may generate and see what was generated.

        Coordinators and whoever signed in for Generate may. Everybody else may while no study is
        open and no token for Generate is set; a rater of an open study never.

        Raises:
            AccessError: 401 where signing in would help, 403 where not.
        """
        visitor = self._visitor(request)
        if visitor.role in {"coordinator", "generator"}:
            return
        if visitor.is_rating:
            raise AccessError(_RATERS_CANNOT_GENERATE, 403)
        if "generator" in self._tokens:
            raise AccessError(_NEEDS_SIGN_IN, 401)
        if self.has_open_study():
            raise AccessError(_CLOSED_WHILE_OPEN, 403)

    def generation_gate(self, error_type: type[Exception]) -> Callable[[Asking], None]:
        """Return `may_generate` for the side that generates, raising an error of that side."""

        def require(request: Asking) -> None:
            try:
                self.may_generate(request)
            except AccessError as error:
                raise error_type(str(error)) from error

        return require

    def has_open_study(self) -> bool:
        """Return whether any study is open."""
        with self._database.read() as session:
            found = session.scalar(select(Study.id).where(Study.status == "open").limit(1))
        return found is not None

    def _visitor(self, request: Asking | None) -> Visitor:
        return NOBODY if request is None else self.who(request.cookies)

    def _sign_in_with_token(self, role: Role, token: str, address: str) -> str:
        self.require_patience(address)
        expected = self._tokens.get(role)
        if expected is None or not hmac.compare_digest(_sha256(token), expected):
            self._token_attempts.failed(address)
            raise AccessError("This link does not work. Look for the current one.", 404)
        return self._new_sign_in(role, None, _now() + datetime.timedelta(days=SIGN_IN_DAYS))

    def _rater_behind(self, link_token: str, address: str) -> int:
        # A link has 256 random bits, so that only failures need slowing: whoever holds a good one
        # passes, also from behind the same proxy as somebody who guesses.
        try:
            if not _LINK_TOKEN.fullmatch(link_token):
                raise AccessError(_LINK_UNKNOWN, 404)
            return self._rater_of_link(link_token)
        except AccessError as error:
            if wait_s := self._link_attempts.wait_s(address):
                raise _slowed(wait_s) from None
            self._link_attempts.failed(address)
            raise AccessError(_LINK_UNKNOWN, error.status) from None

    def _new_sign_in(
        self, role: Role, rater_id: int | None, expires_at: datetime.datetime | None
    ) -> str:
        value = secrets.token_urlsafe(32)
        values: dict[str, Any] = {
            "token_sha256": self._hash(role, value),
            "role": role,
            "rater_id": rater_id,
            "created_at": _now(),
            "expires_at": expires_at,
        }
        with self._database.write() as session:
            session.add(SignIn(**values))
        return value

    def _hashes(self, cookies: Mapping[str, str]) -> dict[str, Role]:
        """Return under which hashes the cookie's sign-in could be kept, and the role of each."""
        value = cookies.get(COOKIE, "")
        if not _COOKIE_VALUE.fullmatch(value):
            return {}
        roles: tuple[Role, ...] = ("rater", *self._tokens)
        return {self._hash(role, value): role for role in roles}

    def _hash(self, role: Role, value: str) -> str:
        # A sign-in is bound to the token it was made with: another token ends all made before.
        return _sha256(f"{role}:{self._tokens.get(role, '')}:{value}")


def _slowed(wait_s: float) -> AccessError:
    seconds = max(1, round(wait_s + 0.5))
    return AccessError(
        f"Too many links that do not work came from here. Please wait {seconds} s.", 429, seconds
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
