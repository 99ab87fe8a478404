"""What a rater's browser received, exchange by exchange."""

import dataclasses
import json
from typing import Any, Final

# Differ by nature from answer to answer and tell nothing of an arm.
VARYING_HEADERS: Final = frozenset({"content-length", "date"})


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    Args:
        client:     "http" or "chromium".
        method:     Of the request.
        url:        Path and query, without the server.
        status:     Of the answer.
        headers:    Of the answer, in its order, names in lower case.
        body:       Decoded from any transfer compression.
        duration_s: From sending the request to the last byte.
        told:       Codes of the prompts that this rater may know when the answer arrives.
    """

    client: str
    method: str
    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    duration_s: float
    told: frozenset[str]

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return dict(self.headers).get("content-type", "").split(";")[0].strip()

    @property
    def where(self) -> str:
        """How a report names the exchange."""
        return f"{self.client}: {self.method} {self.url}"

    def json(self) -> Any:
        """Return the body as JSON values, None where it is something else."""
        if self.content_type != "application/json":
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A text that is in the browser outside any answer: storage, a cookie, the page as drawn."""

    where: str
    text: str
    told: frozenset[str]


@dataclasses.dataclass(slots=True)
class Trace:
    """Everything received while playing."""

    exchanges: list[Exchange] = dataclasses.field(default_factory=list)
    kept: list[Kept] = dataclasses.field(default_factory=list)
