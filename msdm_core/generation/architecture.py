"""The components of a model and their configurations, known without its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from msdm_core.errors import CostError
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.checkpoint import read_model_index

FULL_CONFIGS = Path(__file__).with_name("full_configs.json")
PAPER = "msdm-paper"  # the published size, of which no weights ship
_CONFIG_FILES = ("config.json", "scheduler_config.json")
_BERT_BASE_CASED = {"vocab_size": 28_996}  # what Bio_ClinicalBERT departs in from BERT base


@dataclass(frozen=True, slots=True)
class Component:
    """One component: the stock class and its configuration as JSON, so that it can be a key."""

    library: str
    class_name: str
    config_json: str = field(repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as a dictionary of its own."""
        return dict(json.loads(self.config_json))


@dataclass(frozen=True)
class Architecture:
    """What a model is built of.

    Attributes:
        family: as in the catalogue.
        components: by their names in the pipeline, the two of Kandinsky taken together.
    """

    family: str
    components: Mapping[str, Component]

    def __getitem__(self, name: str) -> Component:
        """Returns a component.

        Raises:
            CostError: there is none of this name.
        """
        try:
            return self.components[name]
        except KeyError:
            raise CostError(
                f"A {self.family} model needs the component {name!r}; "
                f"found {', '.join(self.components) or 'none'}."
            ) from None


def architecture_of(entry: ModelEntry) -> Architecture:
    """Returns what a model is built of: from its folder where it is ready, else as released.

    Raises:
        CostError: the model is not here and its configuration is not known.
    """
    if entry.availability().is_ready:
        return read_architecture(entry.family, entry.folders())
    if entry.id in known_full_models():
        return full_architecture(entry.id)
    raise CostError(
        f"What {entry.label} costs is not known: its configuration is not here. "
        f"{entry.availability().next_step}"
    )


def read_architecture(family: str, folders: Mapping[str, Path]) -> Architecture:
    """Returns what the pipeline folders hold, from their JSON files alone.

    Raises:
        CostError: a configuration cannot be read.
    """
    components: dict[str, Component] = {}
    # The decoder comes after the prior, so the scheduler that stays is the decoder's.
    for folder in (folders[role] for role in sorted(folders, key=_is_decoder)):
        for name, value in read_model_index(folder).items():
            if name.startswith("_") or not isinstance(value, list) or not value[-1]:
                continue
            is_left_out = name == "safety_checker" and not any(
                (folder / name).glob("*.safetensors")
            )
            config = None if is_left_out else _read_config(folder / name)
            if config is not None:
                components[name] = Component(value[0], value[1], json.dumps(config))
    return Architecture(family, components)


def _is_decoder(role: str) -> bool:
    return role == "decoder"


def _read_config(folder: Path) -> dict[str, Any] | None:
    for name in _CONFIG_FILES:
        path = folder / name
        if path.is_file():
            try:
                return dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise CostError(f"{folder.name}/{name} cannot be read: {error}") from error
    return None


def known_full_models() -> tuple[str, ...]:
    """Returns the ids of the models whose configuration is known without their weights."""
    return (PAPER, *_full_configs())


def full_architecture(model_id: str) -> Architecture:
    """Returns what a released model is built of.

    Raises:
        CostError: its configuration is not known.
    """
    if model_id == PAPER:
        return _paper_architecture()
    configs = _full_configs()
    if model_id not in configs:
        raise CostError(
            f"The configuration of {model_id!r} is not known; "
            f"known are {', '.join(known_full_models())}."
        )
    components = {
        name: Component(library, class_name, json.dumps(config))
        for name, (library, class_name, config) in configs[model_id]["components"].items()
    }
    return Architecture(configs[model_id]["family"], components)


@lru_cache(maxsize=1)
def _full_configs() -> dict[str, Any]:
    return dict(json.loads(FULL_CONFIGS.read_text(encoding="utf-8")))


def _paper_architecture() -> Architecture:
    from msdm_core.msdm.presets import PRESETS

    preset = asdict(PRESETS["paper"])
    width = 768  # of BERT base
    denoiser = {
        **preset["denoiser"],
        "cross_attention_dim": width,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": width,
    }
    scheduler = json.dumps(preset["scheduler"])
    return Architecture(
        "msdm",
        {
            "unet": Component("diffusers", "UNet2DConditionModel", json.dumps(denoiser)),
            "text_encoder": Component("transformers", "BertModel", json.dumps(_BERT_BASE_CASED)),
            "vae": Component(
                "diffusers", preset["autoencoder_class"], json.dumps(preset["autoencoder"])
            ),
            "scheduler": Component("diffusers", "DPMSolverMultistepScheduler", scheduler),
        },
    )
