"""A stimulus as the checks before opening see it."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What the checks need to know of a stimulus; `arm` is "" for practice and checks."""

    id: int
    role: str
    arm: str
    is_real: bool
    prompt_id: int
    prompt_code: str
    prompt: str
    width_px: int
    height_px: int
    colour_mode: str
    pixel_sha256: str
    selection_rule: str
    candidate_count: int
    source_name: str
    log: Mapping[str, Any]
    provenance: Mapping[str, Any]
    expected: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """How a message names it: the arm, where there is one, and the file."""
        return f"{self.arm}: {self.source_name}" if self.arm else self.source_name
