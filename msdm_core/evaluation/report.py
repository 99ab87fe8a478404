"""The report of an evaluation: one JSON, one Markdown text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = {
    "frechet_distance": "Frechet distance",
    "kernel_distance": "KID",
    "mifid": "MIFID",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1 of both",
    "diversity": "diversity (mean distance of pairs)",
}


def number(value: float | None) -> str:
    """Return a figure as text: three digits that count; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _share(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def interval(figure: dict[str, Any]) -> str:
    """Return a figure with its interval as text."""
    return f"{number(figure['value'])} ({number(figure['low'])} to {number(figure['high'])})"


def markdown(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown; what was not measured is not mentioned."""
    parts = [_head(figures)]
    if "evaluator_domain" in figures:
        parts.append(
            f"The evaluator's attributes are of {figures['evaluator_domain']} and left "
            "out. Its features compare sets of images all the same, but were never trained on "
            "such; networks that were, named by `--features`, say more."
        )
    if "balanced_accuracy" in figures:
        parts.append(_reading(figures))
    for network, found in figures.get("distributions", {}).items():
        parts.append(_distribution(network, found))
    if "inception_score" in figures:
        score = figures["inception_score"]
        parts.append(
            f"Inception score over what the evaluator reads: {number(score['generated'])} "
            f"(as many real images: {number(score['real'])})."
        )
    if "position" in figures:
        parts.append(_position(figures["position"]))
    if "clip_score" in figures:
        parts.append(_clip(figures["clip_score"]))
    if "paraphrases" in figures:
        parts.append(_paraphrases(figures["paraphrases"]))
    if "memorisation" in figures:
        parts.append(_memorisation(figures["memorisation"]))
    parts.append(_spectrum(figures))
    return "\n\n".join(parts) + "\n"


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, *rows]
    told = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([told[0], "|" + "---|" * len(columns), *told[1:]])


def _head(figures: dict[str, Any]) -> str:
    made = f"{figures['images']} generated images"
    if figures.get("prompts"):
        made += f" ({figures['prompts']} prompts)"
    made += f", {figures['real_images']} held-out real ones"
    if figures.get("reference_images"):
        made += f", {figures['reference_images']} real ones as reference"
    if figures.get("steps"):
        made += f"; {figures['steps']} steps, guidance {figures['guidance']:g}"
    return made + ". Intervals are of 95 %."


def _reading(figures: dict[str, Any]) -> str:
    low, high = figures["reading_ratio_interval"]
    rows = [
        (name, _share(values["real"]), _share(values["generated"]))
        for name, values in figures["balanced_accuracy"].items()
    ]
    return (
        "What the evaluator reads, as balanced accuracy:\n\n"
        + _table(("attribute", "real", "generated"), rows)
        + f"\n\nReading of generated over reading of real: {figures['reading_ratio']:.3f} "
        f"({low:.3f} to {high:.3f}; bootstrap over real images)."
    )


def _distribution(network: str, found: dict[str, Any]) -> str:
    rows = []
    for name, figure in found.items():
        halves, held_out = figure.get("halves", {}), figure["held_out"]
        rows.append((
            NAMES[name], interval(figure),
            f"{number(halves.get('made'))} / {number(halves.get('real'))}" if halves else "-",
            f"{number(held_out.get('made', figure['value']))} / {number(held_out['real'])}",
        ))  # fmt: skip
    of_halves = found["frechet_distance"]["halves"]["count"]
    of_held_out = found["frechet_distance"]["held_out"]["count"]
    return (
        f"Features of {network}; figures of other networks do not compare:\n\n"
        + _table(
            ("figure", "all generated", f"{of_halves} generated / real, halves",
             f"{of_held_out} generated / real, held out"),
            rows,
        )
        + "\n\nBeside generated images stand as many real ones: a part of the reference against "
        "its rest, and held-out images against the whole reference. Intervals: delete-half "
        "jackknife."
    )


def _position(figures: dict[str, Any]) -> str:
    rows = [
        (name, str(found["images"]), number(found["hit_rate"]), number(found["chance"]))
        for name, found in figures.items()
    ]
    return "Polyps in the cells asked for:\n\n" + _table(
        ("images", "that count", "strongest cell asked for", "by chance"), rows
    )


def _clip(found: dict[str, Any]) -> str:
    return (
        f"CLIP score by {found['network']}: {interval(found['generated'])}; real images with their "
        f"own captions: {interval(found['real'])}."
        if "real" in found
        else f"CLIP score by {found['network']}: {interval(found['generated'])}."
    )


def _paraphrases(found: dict[str, Any]) -> str:
    rows = [(name, number(found[name])) for name in ("fidelity", "agreement", "diversity", "fbd")]
    return (
        f"The 2025 MEDVQA-GI evaluator's figures, {found['prompts']} prompts in two wordings, "
        f"{found['images']} images of each, features of {found['network']}:\n\n"
        + _table(("figure", "value"), rows)
    )


def _memorisation(figures: dict[str, Any]) -> str:
    rows = [
        (name, interval(found["made"]), number(found["real"]),
         f"{found['made_percentile']:.0f}", f"{found['real_percentile']:.0f}")
        for name, found in figures.items()
    ]  # fmt: skip
    return (
        "Nearest training image:\n\n"
        + _table(
            ("measured by", "share that is near", "of unseen real images",
             "median percentile", "of unseen real images"),
            rows,
        )
        + "\n\nNear: nearer than 99 % of training images are to the nearest of another group. "
        "Percentile: of the distance among those distances; 0 is a copy."
    )


def _spectrum(figures: dict[str, Any]) -> str:
    rows = [
        (band, f"{value:.2f}", f"{figures['octave_power_ratio_real_halves'][band]:.2f}")
        for band, value in figures["octave_power_ratio"].items()
    ]
    return "Power spectrum:\n\n" + _table(
        ("cycles per image", "power over real", "real halves"), rows
    )


def write_report(folder: Path, figures: dict[str, Any]) -> None:
    """Write ``evaluation.json`` and ``evaluation.md``."""
    text = json.dumps(figures, indent=2)
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    (folder / "evaluation.md").write_text(markdown(figures), encoding="utf-8")
