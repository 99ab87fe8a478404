"""Command line of the figure of a training's course: ``train curve``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError

SUFFIXES = (".png", ".svg")
MOST_SIDE_BY_SIDE = 4


def add_parser(tasks: Any) -> None:
    """Add the command to the subparsers of ``train``."""
    parser = tasks.add_parser(
        "curve", help="a figure of how a training went, from the metrics it logged",
        description="Draws training loss and validation figures over samples, with the hours they "
        "took. Several runs are the pieces of one training, each gone on from the one before; "
        "with --labels they are different runs, side by side.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder that was a run's --out")
    parser.add_argument("--out", required=True, metavar="FILE", help="PNG or SVG to write")
    parser.add_argument("--labels", nargs="+", metavar="LABEL",
                        help=f"names of different runs, one each, {MOST_SIDE_BY_SIDE} at most")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw the figure; returns exit status 0.

    Raises:
        TrainingError: A run has no metrics, options do not go together, or FILE cannot be written.
    """
    from msdm_core.training.metrics import read_metrics

    out, labels = Path(arguments.out), arguments.labels
    if out.suffix not in SUFFIXES:
        raise TrainingError(f"--out is {out}; its name must end in {' or '.join(SUFFIXES)}.")
    if labels and len(labels) != len(arguments.runs):
        raise TrainingError(
            f"--labels has {len(labels)} names for {len(arguments.runs)} runs; give one for each, "
            "or none where the runs are pieces of one training."
        )
    if labels and (len(labels) > MOST_SIDE_BY_SIDE or len({*labels}) < len(labels)):
        raise TrainingError(
            f"--labels is {' '.join(labels)}; {MOST_SIDE_BY_SIDE} runs at most stand side by side, "
            "each with a name of its own."
        )
    _write(out, [read_metrics(Path(folder)) for folder in arguments.runs], labels)
    return 0


def _write(out: Path, runs: list[Any], labels: list[str] | None) -> None:
    from msdm_core.evaluation.figure_style import save
    from msdm_core.training.curve import training_curve
    from msdm_core.training.metrics import joined

    figure = training_curve(dict(zip(labels, runs, strict=True)) if labels else {"": joined(runs)})
    try:
        save(figure, out, "Training curve")
    except OSError as error:
        raise TrainingError(
            f"--out {out} cannot be written ({error}). Name a file in a folder that exists and "
            "that you may write to."
        ) from error
