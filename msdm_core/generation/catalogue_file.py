"""Catalogue files: TOML tables read into entries, with an exact error for every wrong one."""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from data.domains import DOMAINS
from msdm_core.errors import CatalogueError
from msdm_core.generation.catalogue import (
    Dtype,
    Family,
    GuidanceKind,
    ModelEntry,
    Offload,
    Quantise,
)
from msdm_core.generation.weights import (
    LORA_WEIGHT_NAME,
    SHIPPED_CHECKPOINTS,
    LoraEntry,
    WeightsSource,
)

_PLACES = ("checkpoint", "path", "hub")
_SOURCE_KEYS = (*_PLACES, "revision", "subfolder")
_LORA_KEYS = ("part", *_SOURCE_KEYS, "weight_name", "scale")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "family": get_args(Family),
    "dtype": get_args(Dtype),
    "offload": get_args(Offload),
    "quantise": get_args(Quantise),
    "guidance_kind": get_args(GuidanceKind),
    "domain": tuple(DOMAINS),
}
_COUNTS = frozenset({
    "native_size_px", "default_steps", "default_prior_steps", "parameter_count", "download_bytes",
    "max_text_tokens",
})  # fmt: skip
_NUMBERS = frozenset({
    "default_guidance", "default_prior_guidance", "least_memory_gib", "least_gpu_memory_gib",
})  # fmt: skip
_BOOLEANS = frozenset({"is_gated", "needs_gpu"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def read_catalogue_file(path: Path) -> dict[str, ModelEntry]:
    """Returns the entries of a catalogue file, by id and in their order.

    Raises:
        CatalogueError: the file cannot be read or an entry is wrong; the message names it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"The catalogue {path} cannot be read: {error}.") from error
    tables = document.get("model", [])
    if not isinstance(tables, list) or set(document) - {"model"}:
        raise CatalogueError(
            f"The catalogue {path} has {', '.join(sorted(document))} at its top; "
            "only [[model]] entries are allowed."
        )
    entries: dict[str, ModelEntry] = {}
    for table in tables:
        entry = _read_entry(table, path)
        if entry.id in entries:
            raise CatalogueError(f"The catalogue {path} lists the model {entry.id!r} twice.")
        entries[entry.id] = entry
    return entries


def _read_entry(table: Mapping[str, Any], path: Path) -> ModelEntry:
    name = f"Model {table.get('id', 'without id')!r} in {path}"
    _check_keys(table, name)
    values = {key: value for key, value in table.items() if key not in (*_SOURCE_KEYS, "lora")}
    values["sizes_px"] = tuple(table.get("sizes_px", [table["native_size_px"]]))
    if table["native_size_px"] not in values["sizes_px"]:
        raise CatalogueError(
            f"{name}: native_size_px = {table['native_size_px']} is not among sizes_px = "
            f"{list(values['sizes_px'])}."
        )
    if not _ID.fullmatch(table["id"]):
        raise CatalogueError(
            f"{name}: an id has only letters, digits, '.', '_' and '-', and starts with a letter "
            "or digit."
        )
    if table["family"] == "flux" and "guidance_kind" not in table:
        # A wrong guess would double the time of every picture, or lose the guidance unseen.
        raise CatalogueError(
            f'{name} lacks guidance_kind. Give "distilled" for FLUX.1-dev and what is trained '
            'from it, "none" for FLUX.1-schnell, "classifier_free" for a model trained with '
            "empty prompts among its prompts."
        )
    values["weights"] = _read_source(table, path, name)
    if table.get("nearness"):
        values["nearness"] = str(_nearness_folder(table["nearness"], path, name))
    if "prior" in table:
        values["prior"] = _read_prior(table, path, name)
    values["loras"] = tuple(_read_lora(lora, table, path, name) for lora in table.get("lora", ()))
    return ModelEntry(**values)


def _nearness_folder(text: str, path: Path, name: str) -> Path:
    """Returns a folder of the shipped checkpoints, or one relative to the file that names it."""
    for folder in (SHIPPED_CHECKPOINTS / text, path.parent / text):
        if folder.is_dir():
            return folder.absolute()
    raise CatalogueError(
        f"{name}: nearness = {text!r} is neither a folder of data/checkpoints/ nor one beside the "
        "catalogue. Make one with `python -m msdm_core train nearness-index`."
    )


def _check_keys(table: Mapping[str, Any], name: str) -> None:
    own = {field.name: field for field in fields(ModelEntry)}
    known = [key for key in own if key not in {"weights", "loras"}]
    known += [*_SOURCE_KEYS, "lora"]
    if unknown := sorted(set(table) - set(known)):
        raise CatalogueError(
            f"{name} has unknown keys {', '.join(unknown)}. Known keys: {', '.join(known)}."
        )
    required = [key for key in own if own[key].default is MISSING and key != "sizes_px"]
    if missing := [key for key in required if key not in table]:
        raise CatalogueError(f"{name} lacks {', '.join(missing)}.")
    for key, value in table.items():
        if not _has_right_type(key, value):
            raise CatalogueError(
                f"{name}: {key} = {value!r} is of the wrong type; give {_type_of(key)}."
            )
        if key in _CHOICES and value not in _CHOICES[key]:
            raise CatalogueError(f"{name} has {key} {value!r}; known: {', '.join(_CHOICES[key])}.")


def _read_prior(table: Mapping[str, Any], path: Path, name: str) -> WeightsSource:
    name = f"The prior of {name[0].lower()}{name[1:]}"
    if table["family"] != "kandinsky":
        raise CatalogueError(
            f"{name} has no use: only the family kandinsky has a prior, not {table['family']}."
        )
    _check_table(table["prior"], _SOURCE_KEYS, name)
    return _read_source(table["prior"], path, name)


def _read_lora(
    lora: Mapping[str, Any], table: Mapping[str, Any], path: Path, name: str
) -> LoraEntry:
    name = f"A LoRA of {name[0].lower()}{name[1:]}"
    _check_table(lora, _LORA_KEYS, name)
    parts = ("prior", "decoder") if table["family"] == "kandinsky" else ("",)
    if table["family"] == "msdm":
        raise CatalogueError(f"{name} has no use: the family msdm takes none.")
    part = lora.get("part", "")
    if part not in parts:
        allowed = "prior or decoder" if len(parts) > 1 else "nothing: leave the key out"
        raise CatalogueError(f"{name} has part {part!r}; for this family give {allowed}.")
    scale = lora.get("scale", 1.0)
    if not math.isfinite(scale) or scale == 0:
        raise CatalogueError(f"{name} has scale {scale}; give a number other than 0.")
    places = dict(lora)
    weight_name = lora.get("weight_name", LORA_WEIGHT_NAME)
    if "weight_name" not in lora and str(lora.get("path", "")).endswith(".safetensors"):
        # A single file is how LoRA weights are most often passed on.
        weight_name = Path(lora["path"]).name
        places["path"] = str(Path(lora["path"]).parent)
    if not weight_name.endswith(".safetensors") or Path(weight_name).is_absolute():
        raise CatalogueError(
            f"{name} has weight_name {weight_name!r}; only .safetensors files inside the folder "
            "or repository are loaded."
        )
    return LoraEntry(part, _read_source(places, path, name), weight_name, float(scale))


def _check_table(table: object, known: tuple[str, ...], name: str) -> None:
    if not isinstance(table, Mapping):
        raise CatalogueError(f"{name} is {table!r}; give a table with {', '.join(known)}.")
    if unknown := sorted(set(table) - set(known)):
        raise CatalogueError(
            f"{name} has unknown keys {', '.join(unknown)}. Known keys: {', '.join(known)}."
        )
    for key, value in table.items():
        is_right = _is_number(value) if key == "scale" else isinstance(value, str)
        if not is_right:
            raise CatalogueError(
                f"{name}: {key} = {value!r} is of the wrong type; give "
                f"{'a number' if key == 'scale' else 'a text'}."
            )


def _read_source(table: Mapping[str, Any], path: Path, name: str) -> WeightsSource:
    if sum(bool(table.get(key)) for key in _PLACES) != 1:
        raise CatalogueError(f"{name} must have exactly one of {', '.join(_PLACES)}.")
    hub = table.get("hub", "")
    if hub and not _HUB.fullmatch(hub):
        raise CatalogueError(
            f"{name} has hub {hub!r}; give OWNER/NAME, as in the address of the model's page."
        )
    if table.get("revision") and not hub:
        raise CatalogueError(f"{name} has a revision, which only a hub repository has.")
    for key in ("checkpoint", "subfolder"):
        inner = Path(table.get(key, ""))
        if inner.is_absolute() or ".." in inner.parts:
            raise CatalogueError(
                f"{name} has {key} {str(inner)!r}; give a folder inside its place."
            )
    own = path.parent.absolute() / Path(table["path"]).expanduser() if table.get("path") else ""
    return WeightsSource(
        checkpoint=table.get("checkpoint", ""),
        path=str(own),
        hub=hub,
        revision=table.get("revision", ""),
        subfolder=table.get("subfolder", ""),
    )


def _has_right_type(key: str, value: object) -> bool:
    if key == "sizes_px":
        return isinstance(value, list) and all(_is_count(size) for size in value) and bool(value)
    if key in _COUNTS:
        return _is_count(value)
    if key in _NUMBERS:
        return _is_number(value)
    if key in _BOOLEANS:
        return isinstance(value, bool)
    if key == "prior":
        return isinstance(value, Mapping)
    if key == "lora":
        return isinstance(value, list)
    return isinstance(value, str)


def _type_of(key: str) -> str:
    if key == "sizes_px":
        return "a list of whole numbers above 0"
    if key in _COUNTS:
        return "a whole number above 0"
    if key in _NUMBERS:
        return "a number"
    if key in _BOOLEANS:
        return "true or false"
    return {"prior": "a table [model.prior]", "lora": "tables [[model.lora]]"}.get(key, "a text")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
