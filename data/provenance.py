"""Where a generated image comes from: the record, its JSON, and PNG files with or without it."""

import dataclasses
import datetime
import hashlib
import io
import json
import math
import pathlib
import re
import types
import typing
import unicodedata
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, Final

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from data.errors import ImageReadError, ProvenanceError
from data.images import MAX_PIXELS, READABLE_FORMATS, to_rgb

FORMAT: Final = 1
PNG_KEY: Final = "msdm"
PNG_READABLE_KEY: Final = "parameters"  # what other image tools show
DEFAULT_LIBRARIES: Final = ("torch", "diffusers", "transformers", "numpy", "pillow")

_HEX_64 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything needed to make an image again, and to say under which licence it stands.

    Args:
        model_id:         Identifier of the model in the catalogue.
        model_label:      Name of the model as people read it.
        weights_sha256:   64 hexadecimal digits over the weights, None where not computed.
        prompt:           As typed.
        negative_prompt:  As typed, empty where none.
        seed:             Of the CPU generator, 0 or more.
        steps:            Denoising steps, 0 or more.
        guidance:         Scale of classifier-free guidance, None where the model has none.
        scheduler:        Class of the scheduler or sampler.
        width_px:         1 or more.
        height_px:        1 or more.
        library_versions: Version by distribution name, see `installed_versions`.
        device:           E.g. "cpu", "cuda:0".
        dtype:            E.g. "float32".
        duration_s:       Wall time of the generation in seconds.
        created_at:       ISO 8601 in UTC, see `utc_now`.
        app_version:      Version of this software.
        licence:          Of the weights.
        extra:            Further JSON values, under other names than those above; keys that
                          `from_json` does not know land here.

    Raises:
        ProvenanceError: If a value has the wrong type or is outside its range.
    """

    model_id: str
    model_label: str
    weights_sha256: str | None
    prompt: str
    negative_prompt: str = ""
    seed: int
    steps: int
    guidance: float | None
    scheduler: str
    width_px: int
    height_px: int
    library_versions: Mapping[str, str] = dataclasses.field(hash=False)
    device: str
    dtype: str
    duration_s: float
    created_at: str
    app_version: str
    licence: str
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check every value, so that no malformed record is ever stored."""
        for field in dataclasses.fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
        for name, least in (("seed", 0), ("steps", 0), ("width_px", 1), ("height_px", 1)):
            if getattr(self, name) < least:
                raise ProvenanceError(f"{name} is {getattr(self, name)}, need {least} or more.")
        if self.weights_sha256 is not None and not _HEX_64.fullmatch(self.weights_sha256):
            raise ProvenanceError(
                f"weights_sha256 is {self.weights_sha256!r}, need 64 lower-case hexadecimal digits."
            )
        _check_utc(self.created_at)
        if clash := {"format", *_field_names()} & set(self.extra):
            raise ProvenanceError(f"extra must not hold the names of fields: {sorted(clash)}.")
        # Copies, so that no later change of the caller's dictionaries reaches the record.
        object.__setattr__(self, "library_versions", dict(self.library_versions))
        object.__setattr__(self, "extra", dict(self.extra))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object as a dictionary: the fields, then those of extra."""
        known = {name: getattr(self, name) for name in _field_names()}
        return {"format": FORMAT, **known, **self.extra}

    def to_json(self) -> str:
        """Return the record as one line of JSON in ASCII.

        Raises:
            ProvenanceError: If extra holds what JSON cannot.
        """
        try:
            return json.dumps(self.to_dict(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ProvenanceError(f"Cannot write the provenance as JSON: {error}.") from error

    @classmethod
    def from_json(cls, text: str) -> "Provenance":
        """Return the record of a JSON text; unknown keys are kept in extra.

        Raises:
            ProvenanceError: If the text is no JSON object, of a newer format, lacks a field or
                has a value of the wrong type.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProvenanceError(f"The provenance is not JSON: {error}.") from error
        if not isinstance(values, dict):
            raise ProvenanceError(f"The provenance is a {type(values).__name__}, not an object.")
        found = values.pop("format", None)
        if found != FORMAT:
            raise ProvenanceError(
                f"The provenance has format {found!r}, readable is {FORMAT}. "
                f"A newer version of this software may read it."
            )
        lacking = [name for name in _field_names() if name not in values]
        if lacking:
            raise ProvenanceError(f"The provenance lacks {', '.join(lacking)}.")
        known = {name: values.pop(name) for name in _field_names()}
        return cls(**known, extra=values)


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratedImage:
    """A picture with its provenance: what generation hands over to everything else."""

    image: Image.Image
    provenance: Provenance


def utc_now() -> str:
    """Return the present time in UTC, ISO 8601 with seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def installed_versions(distributions: Iterable[str] = DEFAULT_LIBRARIES) -> dict[str, str]:
    """Return the versions of those distributions that are installed; nothing is imported."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def pixel_sha256(image: Image.Image) -> str:
    """Return a hash over mode, size and raw pixels, the same for every lossless encoding."""
    digest = hashlib.sha256(f"{image.mode}:{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def png_bytes(image: Image.Image, provenance: Provenance | None) -> bytes:
    """Return the image as PNG: with provenance as text, or stripped of all metadata.

    Args:
        image:      Modes other than RGB and L are converted to RGB.
        provenance: Written as JSON under "msdm" and in words under "parameters"; None writes
                    nothing but size, mode and pixels, whatever the image carried.
    """
    clean = image.copy() if image.mode in ("RGB", "L") else to_rgb(image)
    clean.info.clear()
    text = PngImagePlugin.PngInfo()
    if provenance is not None:
        text.add_itxt(PNG_KEY, provenance.to_json())
        text.add_itxt(PNG_READABLE_KEY, readable_parameters(provenance))
    buffer = io.BytesIO()
    clean.save(buffer, format="PNG", pnginfo=text, compress_level=6)
    return buffer.getvalue()


def write_png(path: str | pathlib.Path, generated: GeneratedImage) -> None:
    """Write the image with its provenance; the file appears whole or not at all."""
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(png_bytes(generated.image, generated.provenance))
    part.replace(path)


def read_provenance(source: str | pathlib.Path | bytes) -> Provenance | None:
    """Return the provenance in an image, None where it has none.

    Args:
        source: Path or content of an image file.

    Raises:
        ImageReadError:  If it is no readable image.
        ProvenanceError: If it has a provenance that cannot be read.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=READABLE_FORMATS) as image:
            text = image.info.get(PNG_KEY)
            is_small = image.width * image.height <= MAX_PIXELS
            if text is None and is_small and isinstance(image, PngImagePlugin.PngImageFile):
                text = image.text.get(PNG_KEY)  # other tools may move it behind the pixels
    except UnidentifiedImageError as error:
        raise ImageReadError(f"Cannot read {name}: it is not an image.") from error
    except Exception as error:  # Pillow's decoders answer a damaged file with any error
        raise ImageReadError(f"Cannot read {name}: {error}.") from error
    return Provenance.from_json(text) if isinstance(text, str) else None


def readable_parameters(provenance: Provenance) -> str:
    """Return the record in the notation that other image generators write and show."""
    settings: dict[str, object] = {"Steps": provenance.steps, "Sampler": provenance.scheduler}
    if provenance.guidance is not None:
        settings["CFG scale"] = provenance.guidance
    settings["Seed"] = provenance.seed
    settings["Size"] = f"{provenance.width_px}x{provenance.height_px}"
    if provenance.weights_sha256:
        settings["Model hash"] = provenance.weights_sha256[:10]
    settings["Model"] = provenance.model_id
    settings["Version"] = provenance.app_version
    lines = [provenance.prompt]
    if provenance.negative_prompt:
        lines.append(f"Negative prompt: {provenance.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in settings.items()))
    return "\n".join(lines).encode("utf-8", errors="replace").decode()


def filename_for(provenance: Provenance, index: int = 0) -> str:
    """Return a short file name, safe on every system: prompt, model, seed and index.

    Args:
        provenance: Any prompt; letters without an ASCII form are left out, and a prompt of
                    such letters alone is named by its hash.
        index:      Of the image within its batch; images of one batch never share a name.
    """
    prompt = _slug(provenance.prompt, 40)
    if not prompt:
        digest = hashlib.sha256(provenance.prompt.encode("utf-8", errors="replace")).hexdigest()
        prompt = f"image-{digest[:8]}"
    model = _slug(provenance.model_id, 24) or "model"
    return f"{prompt}_{model}_seed{provenance.seed}_{index:02d}.png"


def _field_names() -> list[str]:
    return [field.name for field in dataclasses.fields(Provenance) if field.name != "extra"]


def _slug(text: str, longest: int) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", errors="ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if len(words) <= longest:
        return words
    cut = words[: longest + 1].rpartition("-")[0] or words[:longest]
    return cut.strip("-")


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n]', text) else text


def _check_type(name: str, expected: Any, value: object) -> None:
    if typing.get_origin(expected) is types.UnionType:
        if value is None:
            return
        expected = next(kind for kind in typing.get_args(expected) if kind is not type(None))
    if typing.get_origin(expected) is not None:
        is_right = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        if name == "library_versions" and is_right and isinstance(value, Mapping):
            is_right = all(isinstance(version, str) for version in value.values())
    elif expected is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_right = is_number and math.isfinite(typing.cast(float, value))
    else:
        is_right = isinstance(value, expected) and not isinstance(value, bool)
    if not is_right:
        kind = getattr(expected, "__name__", str(expected))
        raise ProvenanceError(f"{name} is {value!r}, need a {kind}.")


def _check_utc(text: str) -> None:
    try:
        offset = datetime.datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset != datetime.timedelta(0):
        raise ProvenanceError(f"created_at is {text!r}, need ISO 8601 in UTC, e.g. {utc_now()}.")
