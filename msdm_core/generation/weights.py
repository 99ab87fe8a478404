"""Where the weights of a model are: a folder that ships, a folder of this machine, or the hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from msdm_core.errors import CheckpointError

SHIPPED_CHECKPOINTS = Path(__file__).parents[2] / "data" / "checkpoints"
LORA_WEIGHT_NAME = "pytorch_lora_weights.safetensors"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """One place of weights: exactly one of `checkpoint`, `path` and `hub` is given.

    Attributes:
        checkpoint: Name of a folder of `data/checkpoints/`.
        path:       Absolute path of a folder of this machine.
        hub:        Repository of the Hugging Face hub, OWNER/NAME.
        revision:   Branch, tag or commit of the repository; empty means `main`.
        subfolder:  Folder inside that place, empty for the place itself.
    """

    checkpoint: str = ""
    path: str = ""
    hub: str = ""
    revision: str = ""
    subfolder: str = ""

    @property
    def place(self) -> Path | None:
        """The folder, whole or not; None where nothing of a hub repository is downloaded."""
        if self.checkpoint:
            return SHIPPED_CHECKPOINTS / self.checkpoint / self.subfolder
        if self.path:
            return Path(self.path) / self.subfolder
        snapshot = snapshot_folder(self.hub, self.revision) if self.hub else None
        return snapshot / self.subfolder if snapshot else None

    @property
    def folder(self) -> Path | None:
        """The folder of the weights; None while a hub model is not, or not wholly, downloaded."""
        place = self.place
        if place is None or not self.hub:
            return place
        from msdm_core.generation.checkpoint import missing_files

        try:
            return None if missing_files(place) else place
        except CheckpointError:  # a list of shards that cannot be read
            return None

    def below(self, subfolder: str) -> "WeightsSource":
        """Returns the source of a folder inside this one."""
        inner = f"{self.subfolder}/{subfolder}" if self.subfolder else subfolder
        return WeightsSource(self.checkpoint, self.path, self.hub, self.revision, inner)


NOWHERE = WeightsSource()


@dataclass(frozen=True, slots=True)
class LoraEntry:
    """Weights trained on top of a model.

    Attributes:
        part:        What they belong to: empty for the family's only denoiser, `prior` or
                     `decoder` for Kandinsky.
        source:      A folder or a hub repository.
        weight_name: The safetensors file in it.
        scale:       How strongly they count, 1 as trained.
    """

    part: str
    source: WeightsSource
    weight_name: str = LORA_WEIGHT_NAME
    scale: float = 1.0

    @property
    def file(self) -> Path | None:
        """The file of the weights, which may be absent; None where it is not downloaded."""
        place = self.source.place
        if place is None:
            return None
        path = place / self.weight_name
        return path if path.is_file() or not self.source.hub else None


def snapshot_folder(hub: str, revision: str = "") -> Path | None:
    """Returns the folder of a hub repository in the local cache, without any request.

    Args:
        hub: OWNER/NAME.
        revision: branch, tag or commit; empty means `main`.
    """
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{hub.replace('/', '--')}"
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (repository / "refs" / commit).read_text(encoding="utf-8").strip()
        except OSError:
            return None
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None
