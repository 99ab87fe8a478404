"""The command ``train clip``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.training.inputs import add_common, chosen_domain, keep_whole, open_splits

DEFAULTS = {"learning_rate": 1e-3, "batch_size": 96, "warmup_steps": 100, "ema_decay": 0.99}


def add_parser(tasks: Any) -> argparse.ArgumentParser:
    """Add the task to the subparsers of ``train`` and return its parser."""
    parser: argparse.ArgumentParser = tasks.add_parser(
        "clip", help="pictures and prompts to vectors that meet, for Kandinsky and FLUX"
    )
    add_common(parser, DEFAULTS)
    parser.add_argument("--vocabulary-size", type=int, default=1000, metavar="N",
                        help="largest number of tokens (default %(default)s)")
    parser.set_defaults(build=build)
    return parser


def build(arguments: argparse.Namespace) -> Any:
    """Return the task that the arguments ask for."""
    from transformers import CLIPTokenizer

    from msdm_core.kandinsky.clip import build_clip, build_clip_tokenizer
    from msdm_core.training.clip import ClipOptions, ClipTask
    from msdm_core.training.randomness import step_random
    from msdm_core.training.wording import wordings

    images, validation, training_records, validation_records = open_splits(arguments)
    domain = chosen_domain(arguments)
    words = wordings(training_records, domain)
    # The tokenizer is made once a run: wording drawn later must not change what words mean.
    kept = Path(arguments.out) / "tokenizer"
    if not kept.is_dir():
        rng = step_random(arguments.seed, 0).python
        corpus = (entry.draw(rng, drop=0.0) for entry in words for _ in range(12))
        keep_whole(build_clip_tokenizer(corpus, arguments.vocabulary_size), kept)
    tokenizer = CLIPTokenizer.from_pretrained(kept)
    options = ClipOptions(batch_size=arguments.batch_size)
    return ClipTask(tokenizer, build_clip(tokenizer), images, words, validation,
                    wordings(validation_records, domain), options)
