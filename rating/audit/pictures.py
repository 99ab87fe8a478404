"""Compares what was received for the pictures of each arm: form, headers, time."""

import dataclasses
import statistics
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rating.audit.search import Finding
from rating.audit.trace import VARYING_HEADERS, Exchange

LATENCY_THRESHOLD_MS: Final = 15.0
LATENCY_RATIO: Final = 1.5
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PLAIN_CHUNKS: Final = ("IHDR", "IDAT", "IEND")


@dataclasses.dataclass(frozen=True, slots=True)
class PictureForm:
    """Everything about a PNG file but its pixels and its length.

    Args:
        width_px, height_px: Of the picture.
        header:  Bit depth, colour type, compression, filter and interlace of IHDR.
        chunks:  Kinds of chunks, in order, runs of IDAT counted once.
        zlib:    First two bytes of the compressed data: window and level of the encoder.
        trailing: Bytes after the end of the picture.
    """

    width_px: int
    height_px: int
    header: tuple[int, ...]
    chunks: tuple[str, ...]
    zlib: str
    trailing: int


def picture_form(png: bytes) -> PictureForm | None:
    """Return the form of a PNG file, None where it is no whole PNG."""
    if not png.startswith(_SIGNATURE):
        return None
    chunks: list[tuple[str, bytes]] = []
    offset = len(_SIGNATURE)
    while offset + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[offset : offset + 8])
        chunks.append((kind.decode("latin-1"), png[offset + 8 : offset + 8 + length]))
        offset += 12 + length
        if kind == b"IEND":
            break
    pieces = [content for kind, content in chunks if kind == "IDAT"]
    if not chunks or chunks[0][0] != "IHDR" or len(chunks[0][1]) != 13 or not pieces:
        return None
    width, height, *header = struct.unpack(">IIBBBBB", chunks[0][1])
    kinds = [kind for kind, _ in chunks]
    plain = [kind for i, kind in enumerate(kinds) if kind != "IDAT" or kinds[i - 1] != "IDAT"]
    return PictureForm(
        width, height, tuple(header), tuple(plain), pieces[0][:2].hex(), len(png) - offset
    )


@dataclasses.dataclass(slots=True)
class ArmFacts:
    """What was received for the pictures of one arm."""

    forms: set[PictureForm] = dataclasses.field(default_factory=set)
    headers: set[tuple[tuple[str, str], ...]] = dataclasses.field(default_factory=set)
    durations_ms: list[float] = dataclasses.field(default_factory=list)
    bytes: list[int] = dataclasses.field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the facts as JSON values for the report."""
        return {
            "answers": len(self.bytes),
            "sizes_px": sorted({f"{form.width_px}x{form.height_px}" for form in self.forms}),
            "median_bytes": statistics.median(self.bytes) if self.bytes else None,
            "median_ms": round(statistics.median(self.durations_ms), 2) if self.bytes else None,
        }


def facts_of_arms(
    exchanges: Iterable[Exchange], arm_of: Mapping[str, str]
) -> tuple[dict[str, ArmFacts], list[Finding]]:
    """Return what was received for each arm, and pictures that are not what they should be.

    Args:
        exchanges: Of the trace.
        arm_of:    Arm by address of a picture.
    """
    facts: dict[str, ArmFacts] = defaultdict(ArmFacts)
    findings = []
    for exchange in exchanges:
        arm = arm_of.get(exchange.url)
        if arm is None or exchange.status != 200:
            continue
        form = picture_form(exchange.body)
        if form is None:
            findings.append(Finding("picture", exchange.where, "is no whole PNG file"))
            continue
        if form.chunks != _PLAIN_CHUNKS or form.trailing:
            told = f"has the chunks {', '.join(form.chunks)} and {form.trailing} bytes after them"
            findings.append(Finding("picture", exchange.where, told))
        names = dict(exchange.headers)
        if cached := [name for name in ("etag", "last-modified") if name in names]:
            findings.append(Finding("header", exchange.where, f"has {' and '.join(cached)}"))
        if "no-store" not in names.get("cache-control", ""):
            findings.append(Finding("header", exchange.where, "may be stored by the browser"))
        arm_facts = facts[arm]
        arm_facts.forms.add(form)
        arm_facts.headers.add(
            tuple(sorted(pair for pair in exchange.headers if pair[0] not in VARYING_HEADERS))
        )
        arm_facts.bytes.append(len(exchange.body))
        if exchange.client == "http":  # Chromium's times hold its own work
            arm_facts.durations_ms.append(exchange.duration_s * 1000)
    return dict(facts), findings


def compare_arms(facts: Mapping[str, ArmFacts]) -> Iterator[Finding]:
    """Yield what tells arms apart: sizes, encoder settings, headers, time.

    Numbers of bytes hang on the content of a picture; they are reported and not judged.
    """
    for name, values in (
        ("sizes or encoder settings", {arm: _shapes(f) for arm, f in facts.items()}),
        ("headers", {arm: frozenset(f.headers) for arm, f in facts.items()}),
    ):
        if len(set(values.values())) > 1:
            code = "header" if name == "headers" else "picture"
            yield Finding(code, "all pictures", f"the {name} differ between arms: {_told(values)}")
    medians = {
        arm: statistics.median(f.durations_ms) for arm, f in facts.items() if f.durations_ms
    }
    if len(medians) > 1:
        low, high = min(medians.values()), max(medians.values())
        if high - low > LATENCY_THRESHOLD_MS and high > LATENCY_RATIO * low:
            shown = ", ".join(f"{arm} {ms:.1f} ms" for arm, ms in sorted(medians.items()))
            yield Finding("latency", "all pictures", f"the median times differ: {shown}")


def _shapes(facts: ArmFacts) -> frozenset[PictureForm]:
    return frozenset(facts.forms)


def _told(values: Mapping[str, frozenset[Any]]) -> str:
    common = frozenset.intersection(*values.values())
    parts = []
    for arm, found in sorted(values.items()):
        if own := found - common:
            parts.append(f"{arm} alone has {sorted(map(str, own))[0]}")
    return "; ".join(parts) or "some arms lack what others have"
