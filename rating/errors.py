"""Errors of studies: each message says what failed, the value, what is allowed and what to do."""


class RatingError(Exception):
    """Base of every error that this package raises on purpose."""


class DatabaseError(RatingError):
    """The database cannot be opened, migrated, backed up or written."""


class NewerDatabaseError(DatabaseError):
    """The database was written by a newer version of this software."""


class ProtocolError(RatingError):
    """A protocol, or its file, says something that cannot be done; the message lists all of it."""


class StimulusError(RatingError):
    """Images offered to a study cannot be taken; the message lists every reason."""


class StudyStateError(RatingError):
    """What was asked does not fit the state of the study (draft, open, paused, locked)."""


class StudyNotFoundError(RatingError):
    """There is no such study."""


class NotReadyError(RatingError):
    """A study cannot be opened yet; the message lists all problems."""


class DesignError(RatingError):
    """No order of items satisfies the protocol; the message names the numbers that conflict."""


class PlanningError(RatingError):
    """The planner was given numbers of which no study can be made; the message lists them."""


class RehearsalError(RatingError):
    """A study cannot be rehearsed: made-up answers belong into pilots called a rehearsal alone."""


class RaterError(RatingError):
    """A rater cannot do this now: unknown, revoked, withdrawn, not enrolled."""


class AnswerError(RatingError):
    """An answer cannot be taken as it is; `fields` tells which part and why."""

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        """Keep what is wrong with each field, named as in the request."""
        super().__init__(message)
        self.fields = dict(fields or {})


class StaleError(RatingError):
    """The page that sent this is behind the database; `code` says how."""

    def __init__(self, message: str, code: str) -> None:
        """`code` is one of "already_answered", "not_current", "frozen"."""
        super().__init__(message)
        self.code = code


class AccessError(RatingError):
    """Whoever asks may not have this; `status` is 401 (not signed in), 403, 404 or 429 (slowed)."""

    def __init__(self, message: str, status: int = 403, retry_after_s: float = 0.0) -> None:
        """`retry_after_s` is how long one who was slowed down should wait."""
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class CrossSiteError(AccessError):
    """Another web site made a browser send this."""

    def __init__(self) -> None:
        """The message needs no more."""
        super().__init__("This request came from another web site and was not carried out.", 403)


class UnblindingError(RatingError):
    """Something that names arms or values was asked of a main study that is not locked."""


class ResultsError(RatingError):
    """Results cannot be computed, drawn or written as asked; the message says why."""


class CapsuleError(RatingError):
    """A study capsule cannot be written, or is none that this version can verify."""


class NewerCapsuleError(CapsuleError):
    """The capsule was written by a newer version of this software."""
