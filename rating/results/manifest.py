"""What a capsule says of itself: which study, which variant, and the hash of every file."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from rating.errors import CapsuleError, NewerCapsuleError
from rating.results.capsule_archive import FileFacts

MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
FORMAT: Final = "study capsule"
FORMAT_VERSION: Final = 1
SOFTWARE: Final = "MSDM studio"

Variant = Literal["full", "public"]
VARIANTS: Final[tuple[str, ...]] = get_args(Variant)


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What `manifest.json` holds.

    Args:
        study_code:         Of the study.
        title:              Of the study.
        kind:               "main" or "pilot".
        status:             "locked", or of a pilot "open".
        variant:            "full" or "public".
        has_real_images:    Whether pictures of the real arm are inside.
        root_hash:          Of the lock; "" of a pilot that is not locked.
        last_event:         Number and hash of the last event.
        protocols:          SHA-256 of each version of the protocol.
        software_version:   Of what wrote the capsule; "" where it was not told.
        files:              Every other file but `SHA256SUMS`.
    """

    study_code: str
    title: str
    kind: str
    status: str
    variant: Variant
    has_real_images: bool
    root_hash: str
    last_event: tuple[int, str]
    protocols: Mapping[int, str]
    software_version: str
    files: Mapping[str, FileFacts]

    @property
    def is_public(self) -> bool:
        """Whether it is the variant to be published."""
        return self.variant == "public"

    @property
    def is_pilot(self) -> bool:
        """Whether the study is a pilot."""
        return self.kind == "pilot"

    def to_bytes(self) -> bytes:
        """Return the JSON text of `manifest.json`; `read_manifest` reads it back."""
        values = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "software": {"name": SOFTWARE, "version": self.software_version},
            "study": {
                "code": self.study_code, "title": self.title, "kind": self.kind,
                "status": self.status,
            },
            "variant": self.variant,
            "has_real_images": self.has_real_images,
            "root_hash": self.root_hash,
            "last_event": {"sequence": self.last_event[0], "sha256": self.last_event[1]},
            "protocols": {str(number): sha256 for number, sha256 in self.protocols.items()},
            "files": {
                name: {"bytes": facts.size, "sha256": facts.sha256}
                for name, facts in sorted(self.files.items())
            },
        }  # fmt: skip
        return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def sums(files: Mapping[str, FileFacts]) -> bytes:
    """Return the text of `SHA256SUMS`, as `sha256sum --check` reads it."""
    lines = (f"{facts.sha256}  {name}\n" for name, facts in sorted(files.items()))
    return "".join(lines).encode("utf-8")


def read_manifest(content: bytes) -> Manifest:
    """Return what the bytes of a `manifest.json` say.

    Raises:
        CapsuleError: It is of a newer version, or none.
    """
    try:
        values: Any = json.loads(content.decode("utf-8"))
        name, version = values["format"], values["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CapsuleError(f"{MANIFEST}: was changed or is none; it cannot be read.") from error
    if name != FORMAT or type(version) is not int or version < 1:
        raise CapsuleError(f"{MANIFEST}: is not that of a study capsule, format {name!r:.60}.")
    if version > FORMAT_VERSION:
        raise NewerCapsuleError(
            f"The capsule has format {version}; this version reads format {FORMAT_VERSION} and "
            "older. Verify it with a newer version of this software."
        )
    try:
        return _manifest(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CapsuleError(f"{MANIFEST}: was changed; {type(error).__name__}: {error}.") from error


def _manifest(values: Any) -> Manifest:
    study, last = values["study"], values["last_event"]
    files = {
        _text(name): FileFacts(_count(facts["bytes"]), _text(facts["sha256"]))
        for name, facts in values["files"].items()
    }
    if values["variant"] not in VARIANTS:
        raise ValueError(f"variant is {values['variant']!r:.60}")
    return Manifest(
        study_code=_text(study["code"]),
        title=_text(study["title"]),
        kind=_text(study["kind"]),
        status=_text(study["status"]),
        variant=values["variant"],
        has_real_images=bool(values["has_real_images"]),
        root_hash=_text(values["root_hash"]),
        last_event=(_count(last["sequence"]), _text(last["sha256"])),
        protocols={int(number): _text(told) for number, told in values["protocols"].items()},
        software_version=_text(values["software"]["version"]),
        files=files,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {value!r:.60}")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"a count is needed, not {value!r:.60}")
    return value
