"""Images of a batch, from its manifest: of each prompt and arm one candidate, or all."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

from PIL import Image

from data.errors import ImageReadError
from data.images import load_rgb
from data.manifest import MANIFEST_FILE, ManifestRow
from data.manifest_reading import scan_manifest
from data.provenance import pixel_sha256
from rating.errors import StimulusError
from rating.study.offered import OfferedImage, raise_faults, rank, unreadable

Choice = Literal["first_seed", "random", "all"]

_NOT_PROVENANCE: Final = frozenset(
    ("arm", "prompt", "prompt_id", "status", "message", "selection_rule", "candidates")
)


def from_manifest(path: Path, *, rule: Choice = "first_seed", seed: int = 0) -> list[OfferedImage]:
    """Return images of a batch: of each prompt and arm one candidate, or all.

    Args:
        path: The manifest, or the folder that it lies in.
        rule: "first_seed": the candidate listed first, which was fixed before anything was drawn;
              "random": one drawn from `seed`; "all".
        seed: For "random": the same one chooses the same images, in whatever order rows stand.

    Raises:
        StimulusError: The manifest or a chosen image is damaged or missing.
    """
    if rule not in get_args(Choice):
        raise StimulusError(f"The rule is {rule!r}, allowed are {', '.join(get_args(Choice))}.")
    path = path / MANIFEST_FILE if path.is_dir() else path
    manifest = scan_manifest(path)
    faults = [str(fault) for fault in manifest.faults]
    groups: defaultdict[tuple[str, str], list[ManifestRow]] = defaultdict(list)
    for row in manifest.rows:
        groups[row.prompt_id, row.arm].append(row)
    offered = []
    for (prompt_id, arm), rows in groups.items():
        chosen = _chosen(rows, rule, seed)
        for row in chosen:
            if row.is_done:
                offered.append(_of_manifest(path.parent, row, rows, rule))
        if not any(row.is_done for row in chosen):
            faults.append(
                f"of the prompt {prompt_id} the arm {arm} has no image under the rule {rule} "
                f"({chosen[0].message or 'not drawn'}); run the batch again, which draws what is "
                "missing."
            )
    if not manifest.rows and not faults:
        faults.append("it lists no images.")
    faults += unreadable(offered)
    raise_faults(str(path), faults)
    return offered


def _chosen(rows: Sequence[ManifestRow], rule: Choice, seed: int) -> list[ManifestRow]:
    """Return the rows that the rule takes of the candidates of one prompt and arm."""
    if rule == "first_seed":
        return [rows[0]]
    done = [row for row in rows if row.is_done] or [rows[0]]
    if rule == "all":
        return done
    return [min(done, key=lambda row: rank(seed, row.image_id))]


def _of_manifest(
    folder: Path, row: ManifestRow, rows: Sequence[ManifestRow], rule: Choice
) -> OfferedImage:
    values = {
        name: value
        for name, value in dataclasses.asdict(row).items()
        if value not in (None, "") and name not in _NOT_PROVENANCE
    }
    path = folder / row.file_name
    return OfferedImage(
        read=partial(_read_unchanged, path, row.file_name, row.pixel_sha256),
        arm=row.arm,
        is_real=False,
        prompt_id=row.prompt_id,
        prompt=row.prompt.strip(),
        selection_rule=rule,
        candidate_count=max(row.candidates, len(rows)),
        provenance=values,
        source_name=row.file_name,
    )


def _read_unchanged(path: Path, name: str, sha256: str) -> Image.Image:
    picture = load_rgb(path)
    if pixel_sha256(picture) != sha256:
        raise ImageReadError(
            f"{name} has other pixels than when it was drawn; draw it again with the batch."
        )
    return picture
