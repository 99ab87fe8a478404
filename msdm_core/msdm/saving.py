"""Writing checkpoints that say nothing of the machine they were made on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn


def save_pipeline(pipeline: Any, folder: Path, *, half: bool) -> None:
    """Write a diffusers pipeline as safetensors, in float16 where asked, without changing it."""
    modules = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    kept = [{k: v.clone() for k, v in m.state_dict().items()} for m in modules] if half else []
    try:
        if half:
            for module in modules:
                module.half()
        pipeline.save_pretrained(folder, safe_serialization=True)
    finally:
        for module, state in zip(modules, kept, strict=False):
            module.float()
            module.load_state_dict(state)
    drop_local_paths(folder)
    _name_processors_alike(folder / "model_index.json")


def _name_processors_alike(path: Path) -> None:
    """Name image processors as the hub does; where torchvision is missing, others are written."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('ImageProcessorPil"', 'ImageProcessor"'), encoding="utf-8")


def drop_local_paths(folder: Path) -> None:
    """Take out of the configuration files where on this machine their weights came from."""
    for path in folder.rglob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and "_name_or_path" in config:
            del config["_name_or_path"]
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
