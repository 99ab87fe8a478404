"""The models on offer and whether each can run here, read without importing torch.

The list that ships is `catalogue.toml` beside this file; `catalogue.toml` in the workspace extends
it, and an entry with the same id replaces the shipped one.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from msdm_core.errors import CatalogueError, CheckpointError
from msdm_core.generation.checkpoint import (
    Availability,
    inspect_checkpoint,
    parameter_count,
    read_model_index,
)

SHIPPED_CATALOGUE = Path(__file__).with_name("catalogue.toml")
SHIPPED_CHECKPOINTS = Path(__file__).parents[2] / "data" / "checkpoints"
PIPELINE_CLASSES: Mapping[str, tuple[str, ...]] = {"msdm": ("MSDMPipeline",)}
_WEIGHTS = ("checkpoint", "path", "hub")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue.

    `default_steps` and `default_guidance` are None where the checkpoint's own defaults hold;
    `parameter_count` is None where the entry does not state it.
    """

    id: str
    family: str
    label: str
    licence: str
    native_size_px: int
    sizes_px: tuple[int, ...]
    licence_url: str = ""
    checkpoint: str = ""
    path: str = ""
    hub: str = ""
    revision: str = ""
    parameter_count: int | None = None
    default_steps: int | None = None
    default_guidance: float | None = None
    least_memory_gib: float | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the weights; None while a hub model is not downloaded."""
        if self.checkpoint:
            return SHIPPED_CHECKPOINTS / self.checkpoint
        if self.path:
            return Path(self.path)
        return _downloaded_folder(self.hub, self.revision or None)

    def availability(self) -> Availability:
        """Returns whether the model can run here, and if not, why and what changes that."""
        folder = self.folder
        if folder is None:
            revision = f" --revision {self.revision}" if self.revision else ""
            return Availability(
                "missing",
                f"The weights {self.hub} are not downloaded.",
                f"Download them: hf download {self.hub}{revision}",
            )
        found = inspect_checkpoint(folder, PIPELINE_CLASSES[self.family])
        if found.is_ready or not self.checkpoint:
            return found
        return Availability(
            found.state,
            found.why,
            f"Restore it: git checkout -- data/checkpoints/{self.checkpoint}",
        )

    def require_ready(self) -> Path:
        """Returns the folder of the weights.

        Raises:
            CheckpointError: the model cannot run here; the message says why and the next step.
        """
        availability = self.availability()
        folder = self.folder
        if not availability.is_ready or folder is None:
            raise CheckpointError(
                f"{self.label} cannot be used. {availability.why} {availability.next_step}"
            )
        return folder

    def counted_parameters(self) -> int | None:
        """Returns the parameters the entry states, else those of its weights, else None."""
        folder = self.folder
        if self.parameter_count or folder is None or not self.availability().is_ready:
            return self.parameter_count
        return parameter_count(folder)

    def resolved_defaults(self) -> tuple[int | None, float | None]:
        """Returns default steps and guidance, from the entry, else from the checkpoint."""
        index = read_model_index(self.folder) if self.folder else {}
        steps = self.default_steps or index.get("default_steps")
        guidance = self.default_guidance
        if guidance is None:
            guidance = index.get("default_guidance")
        return steps, guidance


def _downloaded_folder(hub: str, revision: str | None) -> Path | None:
    """Returns the snapshot folder of a hub model in the local cache, without any request."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub, "model_index.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


class Catalogue:
    """The models on offer, in the order they are listed."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        """Keeps `entries`, by id."""
        self._entries = dict(entries)

    @classmethod
    def read(cls, home: Path | None = None) -> "Catalogue":
        """Returns the shipped catalogue, extended by the one in the workspace `home`.

        Raises:
            CatalogueError: a file cannot be read or an entry is wrong; the message names it.
        """
        entries = _read_file(SHIPPED_CATALOGUE)
        own_file = home / "catalogue.toml" if home else None
        if own_file and own_file.exists():
            own = _read_file(own_file)
            # One's own models come first: whoever lists one wants it offered first.
            entries = own | {key: value for key, value in entries.items() if key not in own}
        return cls(entries)

    def __iter__(self) -> Iterator[ModelEntry]:
        """Yields the entries in the order they are listed."""
        return iter(self._entries.values())

    def __getitem__(self, model_id: str) -> ModelEntry:
        """Returns the entry with this id.

        Raises:
            CatalogueError: there is none.
        """
        try:
            return self._entries[model_id]
        except KeyError:
            raise CatalogueError(
                f"No model is called {model_id!r}. Known models: {', '.join(self._entries)}. "
                "List them with: python -m msdm_core models"
            ) from None

    def first_ready(self) -> ModelEntry:
        """Returns the first model that can run here, or the first of all when none can."""
        entries = list(self)
        return next((entry for entry in entries if entry.availability().is_ready), entries[0])


def _read_file(path: Path) -> dict[str, ModelEntry]:
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
    known = {field.name: field for field in fields(ModelEntry)}
    if unknown := sorted(set(table) - set(known)):
        raise CatalogueError(
            f"{name} has unknown keys {', '.join(unknown)}. Known keys: {', '.join(known)}."
        )
    required = [key for key, field in known.items() if field.default is MISSING]
    if missing := [key for key in required if key not in table and key != "sizes_px"]:
        raise CatalogueError(f"{name} lacks {', '.join(missing)}.")
    for key, value in table.items():
        if not _has_right_type(key, value):
            raise CatalogueError(f"{name}: {key} = {value!r} is of the wrong type.")
    if sum(bool(table.get(key)) for key in _WEIGHTS) != 1:
        raise CatalogueError(f"{name} must have exactly one of {', '.join(_WEIGHTS)}.")
    if table["family"] not in PIPELINE_CLASSES:
        raise CatalogueError(
            f"{name} has family {table['family']!r}; known: {', '.join(PIPELINE_CLASSES)}."
        )
    values = dict(table)
    values["sizes_px"] = tuple(table.get("sizes_px", [table["native_size_px"]]))
    if table.get("path"):
        values["path"] = str(path.parent / Path(table["path"]).expanduser())
    return ModelEntry(**values)


def _has_right_type(key: str, value: object) -> bool:
    if key == "sizes_px":
        return isinstance(value, list) and all(_is_count(size) for size in value) and bool(value)
    if key in {"native_size_px", "default_steps", "parameter_count"}:
        return _is_count(value)
    if key in {"default_guidance", "least_memory_gib"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
