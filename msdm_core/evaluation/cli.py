"""Command line of evaluation: ``python -m msdm_core evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdm_core.errors import CheckpointError, RequestError
from msdm_core.settings import add_settings, read_settings

if TYPE_CHECKING:
    import numpy as np

    from data.domains import Domain
    from msdm_core.evaluation.assessment import Wordings
    from msdm_core.evaluation.evaluate import PromptCase
    from msdm_core.evaluation.material import RealImages
    from msdm_core.evaluation.nearest import Nearest
    from msdm_core.generation.catalogue import ModelEntry

    Made = tuple[np.ndarray, list[PromptCase] | None, Wordings | None, dict[str, Any]]

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "data" / "checkpoints"
EVALUATORS = {
    "endoscopy": CHECKPOINTS / "evaluator",
    "radiology": CHECKPOINTS / "evaluator-radiology",
}
"""Domain -> the shipped evaluator."""

KINDS = ("full", "single")
LEAST_COUNT = 8

EXAMPLE = """examples:
  python -m msdm_core evaluate --model flux-compact-gi --data DATA --count 297 --out evaluation
  python -m msdm_core evaluate --generated batch --data DATA --out evaluation
  python -m msdm_core evaluate --generated batch --real photographs --out evaluation
  python -m msdm_core evaluate --draw evaluation
"""


def add_parser(subparsers: Any) -> None:
    """Add the ``evaluate`` command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "evaluate", help="measure generated images beside real ones",
        description="Measures what the evaluator reads in generated images, how near they are to "
        "real ones as a set and one by one, and their power spectrum, each beside what real images "
        "score in their place.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="MODEL",
        help="a model of `python -m msdm_core models`, or a checkpoint folder: images are made")
    source.add_argument("--generated", metavar="FOLDER",
        help="images made before; prompts come from a batch's manifest or from --prompts")
    source.add_argument("--draw", metavar="FOLDER",
        help="measure nothing: draw the figure sheet of an earlier evaluation again")
    add("--checkpoint", metavar="FOLDER", help="weights to use in place of the model's own")
    reals = parser.add_mutually_exclusive_group()
    reals.add_argument("--data", metavar="FOLDER", help="real images with captions and splits")
    reals.add_argument("--real", metavar="FOLDER", help="real images without captions")
    add("--out", metavar="FOLDER", help="images and figures; a later call goes on")
    add("--count", type=int, default=297, metavar="N", help="images to make (default %(default)s)")
    add("--prompts", default=None, metavar="full|single|FILE",
        help="all that is known of a real image (the default with --data), one of its captions, "
        "or a file of prompts, one a line")
    add("--paraphrases", type=int, default=0, metavar="N",
        help="also N images of each of two wordings of every held-out image's facts, for the "
        "figures of the 2025 MEDVQA-GI evaluator (default: none)")
    add("--features", action="append", metavar="NETWORK",
        help="evaluator (the default), inception, or folder or hub id of a CLIP-like model such "
        "as BiomedCLIP; give it again for more")
    add("--clip", default="", metavar="MODEL", help="CLIP-like model for the CLIP score")
    add("--steps", type=int, metavar="N", help="default: the model's")
    add("--guidance", type=float, metavar="G", help="default: the model's")
    add("--evaluator", metavar="FOLDER", help="default: the shipped one of the domain")
    add("--domain", choices=("endoscopy", "radiology"),
        help="of the images (default: the model's, else radiology for the layout of ROCOv2)")
    add("--fit", choices=("pad", "crop", "stretch"), default="pad",
        help="how real images are made square (default %(default)s)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")
    add_settings(parser, ["home"])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the evaluation; returns exit status 0.

    Raises:
        CoreError: Something a person can mend.
        DataError: The real images cannot be read.
    """
    from msdm_core.evaluation.figure_sheet import draw_again, write_figure_sheet

    if arguments.draw:
        draw_again(Path(arguments.draw))
        return 0

    import torch

    from msdm_core.evaluation.assessment import assess
    from msdm_core.evaluation.evaluator import IMAGE_PX
    from msdm_core.evaluation.material import read_real
    from msdm_core.evaluation.report import markdown, write_report

    _check(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    real = read_real(
        Path(arguments.data or arguments.real), size_px=IMAGE_PX, fit=arguments.fit,
        cache=out / "cache", has_captions=bool(arguments.data),
    )  # fmt: skip
    domain = _domain(arguments)
    evaluator = Path(arguments.evaluator or EVALUATORS[domain.name])
    made, cases, wordings, facts = (_made_now if arguments.model else _made_before)(
        arguments, real, out
    )
    kind = arguments.prompts or ("full" if arguments.data and arguments.model else "")
    found = assess(
        made, cases, real, evaluator, networks=arguments.features or ["evaluator"],
        clip=arguments.clip, closed_world=kind == "full", wordings=wordings, domain=domain,
    )  # fmt: skip
    figures = found.figures | facts | {"evaluator": evaluator.name}
    if kind:
        figures["prompts"] = kind if kind in KINDS else Path(kind).name
    write_report(out, figures)
    write_figure_sheet(out, figures)
    _write_pictures(out, made, real, found.nearest, facts["model"], is_paired=kind in KINDS)
    print(markdown(figures))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise RequestError where options do not go together."""
    if not (arguments.data or arguments.real):
        raise RequestError("Real images to compare with are missing; give --data or --real.")
    if not arguments.out:
        raise RequestError("Where images and figures go is missing; give --out FOLDER.")
    if arguments.count < LEAST_COUNT:
        raise RequestError(
            f"--count is {arguments.count}; at least {LEAST_COUNT} images are needed."
        )
    if arguments.generated and arguments.prompts in KINDS:
        raise RequestError(
            f"--prompts {arguments.prompts} says what to make; for images made before give the "
            "file of their prompts, one a line, or a folder with a manifest."
        )
    if arguments.real and arguments.model and arguments.prompts in (None, *KINDS):
        raise RequestError("--real has no captions to make prompts of; give --prompts FILE.")
    if arguments.paraphrases and not (arguments.model and arguments.data):
        raise RequestError("--paraphrases makes images, so it needs --model and --data.")
    if arguments.paraphrases == 1 or arguments.paraphrases < 0:
        raise RequestError(f"--paraphrases is {arguments.paraphrases}; 0 for none, or 2 or more.")


def _domain(arguments: argparse.Namespace) -> Domain:
    """Return the domain that is asked for, else the model's, else the one of the real images."""
    from data.domains import ENDOSCOPY, domain_of_folder, get_domain

    if arguments.domain:
        return get_domain(arguments.domain)
    if arguments.model:
        return model_entry(
            arguments.model, arguments.checkpoint, read_settings(arguments).home
        ).language
    return domain_of_folder(arguments.data) if arguments.data else ENDOSCOPY


def _made_now(arguments: argparse.Namespace, real: RealImages, out: Path) -> Made:
    """Return images made for the prompts, in two wordings too where asked for."""
    from msdm_core.evaluation.assessment import Wordings
    from msdm_core.evaluation.evaluate import generate_images, prompt_cases, wording_cases
    from msdm_core.evaluation.evaluator import IMAGE_PX
    from msdm_core.evaluation.material import cases_of_prompts
    from msdm_core.generation.adapters import make_adapter
    from msdm_core.generation.prompt_file import read_prompts
    from msdm_core.generation.request import check_image_request

    entry = model_entry(arguments.model, arguments.checkpoint, read_settings(arguments).home)
    entry.require_ready()
    adapter = make_adapter(entry, threads=arguments.threads)

    def images_of(cases: Sequence[PromptCase], folder: str) -> np.ndarray:
        requests = [
            check_image_request(entry, case.prompt, seed=case.seed, steps=arguments.steps,
                                guidance=arguments.guidance)
            for case in cases
        ]  # fmt: skip
        return generate_images(adapter, requests, out / folder, IMAGE_PX)

    kind, domain = arguments.prompts or "full", _domain(arguments)
    if kind in KINDS:
        cases = prompt_cases(real.held_out, arguments.count, kind, domain)
    else:
        prompts = [prompt.text for prompt in read_prompts(Path(kind))]
        cases = cases_of_prompts(prompts, arguments.count, domain)
    made, wordings = images_of(cases, "images"), None
    if arguments.paraphrases:
        shape = (len(real.held_out), arguments.paraphrases, *made.shape[1:])
        of_both = (
            images_of(said, f"images_{name}").reshape(shape)
            for name, said in zip(
                "ab", wording_cases(real.held_out, shape[1], domain), strict=True
            )
        )
        wordings = Wordings(*of_both)
    steps, guidance = entry.resolved_defaults()
    return made, cases, wordings, {
        "steps": arguments.steps or steps,
        "guidance": guidance if arguments.guidance is None else arguments.guidance,
        "model": entry.id,
        "weights_sha256": entry.weights_sha256(),
    }


def _made_before(arguments: argparse.Namespace, _real: RealImages, out: Path) -> Made:
    """Return the images of a folder, and their prompts where they are known."""
    from msdm_core.evaluation.evaluator import IMAGE_PX
    from msdm_core.evaluation.material import read_generated, read_prompt_lines

    prompts = read_prompt_lines(Path(arguments.prompts)) if arguments.prompts else None
    folder = Path(arguments.generated)
    made, cases = read_generated(
        folder, prompts, size_px=IMAGE_PX, cache=out / "cache", domain=_domain(arguments)
    )
    return made, cases, None, {"model": folder.name}


def _write_pictures(
    out: Path, made: np.ndarray, real: RealImages, nearest: Nearest, label: str, *, is_paired: bool
) -> None:
    """Write the sheets and the figure of spectra."""
    import numpy as np

    from msdm_core.evaluation.spectrum_figure import write_spectrum_figure
    from msdm_core.training.sheet import write_sheet

    held_out = real.held_out_images
    write_spectrum_figure(out / "spectrum.png", held_out, made, label)
    shown = range(0, min(len(held_out), len(made), 64), 8)
    rows = [row for i in shown for row in (held_out[i : i + 8], made[i : i + 8])]
    told = "generated, same prompts" if is_paired else "generated"
    labels = [text for i in shown for text in (f"real {i} to {i + 7}", told)]
    write_sheet(out / "real_beside_generated.jpg", rows, labels)
    write_sheet(out / "generated.jpg", [made[i : i + 8] for i in range(0, min(len(made), 64), 8)])
    closest = np.argsort(nearest.distance)[:16]
    rows, labels = [], []
    for start in (0, 8):
        part = closest[start : start + 8]
        if len(part):
            rows += [
                np.stack([made[i] for i in part]),
                np.stack([real.reference_images[nearest.index[i]] for i in part]),
            ]
            labels += ["nearest to training images", "those training images"]
    write_sheet(out / "nearest.jpg", rows, labels)


def model_entry(model: str, checkpoint: str | None, home: Path) -> ModelEntry:
    """Return the catalogue's entry of a model, or one for a folder after its family's first entry.

    Args:
        model: Id of the catalogue, or a checkpoint folder.
        checkpoint: Folder whose weights are used in place of the entry's own.
        home: The workspace, whose catalogue extends the shipped one.

    Raises:
        CoreError: No model is called so, or the folder is of no family.
    """
    from dataclasses import replace

    from data.domains import get_domain
    from data.trained_terms import trained_domain
    from msdm_core.generation.availability import PIPELINE_CLASSES
    from msdm_core.generation.catalogue import Catalogue
    from msdm_core.generation.checkpoint import read_model_index
    from msdm_core.generation.weights import WeightsSource

    catalogue = Catalogue.read(home)
    if not Path(model).is_dir():
        entry = catalogue[model]
    else:
        index = read_model_index(Path(model)) or read_model_index(Path(model) / "decoder")
        found = index.get("_class_name")
        families = [family for family, roles in PIPELINE_CLASSES.items()
                    if any(found in names for names in roles.values())]
        if not families:
            raise CheckpointError(
                f"{model} holds no pipeline of a known family (found {found!r}). Give the folder "
                "that has model_index.json in it, of Kandinsky the one with prior and decoder."
            )
        first = next(entry for entry in catalogue if entry.family == families[0])
        domain = trained_domain(Path(model)) or trained_domain(Path(model) / "prior")
        entry = replace(first, id=Path(model).name, domain=get_domain(domain or "endoscopy").name)
        checkpoint = checkpoint or model
    if checkpoint is None:
        return entry
    source = WeightsSource(path=str(Path(checkpoint).absolute()))
    return replace(entry, weights=source, prior=None)
