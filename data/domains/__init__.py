"""The domains that prompts may be of, and which one a data set or a name means."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from data.domains.base import Domain, DomainName, Facts, PromptField
from data.domains.endoscopy import ENDOSCOPY
from data.domains.radiology import RADIOLOGY
from data.errors import DataValueError
from data.folders import detect_layout

__all__ = [
    "DOMAINS",
    "ENDOSCOPY",
    "RADIOLOGY",
    "Domain",
    "DomainName",
    "Facts",
    "PromptField",
    "domain_of_folder",
    "get_domain",
]

DOMAINS: Final[Mapping[str, Domain]] = MappingProxyType(
    {domain.name: domain for domain in (ENDOSCOPY, RADIOLOGY)}
)


def get_domain(name: str) -> Domain:
    """Return the domain of a name.

    Raises:
        DataValueError: There is none.
    """
    if name not in DOMAINS:
        raise DataValueError(f"No domain {name!r}; there are {', '.join(DOMAINS)}.")
    return DOMAINS[name]


def domain_of_folder(folder: str | pathlib.Path) -> Domain:
    """Return the domain that a data set's layout is used for: ROCOv2 is radiology.

    Raises:
        DatasetLayoutError: If the folder follows no known layout.
    """
    return RADIOLOGY if detect_layout(folder) == "rocov2" else ENDOSCOPY
