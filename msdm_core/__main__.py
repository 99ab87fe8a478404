"""The command line: python -m msdm_core generate | models | download | train | evaluate."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from data.errors import DataError
from msdm_core import __version__
from msdm_core.errors import CoreError
from msdm_core.generation.messages import person_message

# Written elsewhere and imported only when chosen, so that --help needs no torch.
_DELEGATED = {
    "train": ("msdm_core.training.cli", "train a part of a model on a folder of images"),
    "evaluate": ("msdm_core.evaluation.cli", "measure a model against real images"),
    "cost": ("msdm_core.generation.cost_cli", "count what one image of each model costs"),
}

EXAMPLES = """\
examples:
  python -m msdm_core generate "a polyp in the lower right" --seed 7 --count 4 --out pictures
  python -m msdm_core models
  python -m msdm_core download kandinsky-2-2
  python -m msdm_core train --help
"""


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """Returns the parser; of the delegated commands only the `chosen` one is imported."""
    from msdm_core.generation import cli, models_cli

    parser = argparse.ArgumentParser(
        prog="python -m msdm_core",
        description="Generate, train and evaluate models that draw medical images from text.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    cli.add_parsers(commands)
    models_cli.add_parsers(commands)
    for name, (module, summary) in _DELEGATED.items():
        if name == chosen:
            importlib.import_module(module).add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0 done, 2 wrong input, 1 a defect."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    try:
        options = build_parser(chosen).parse_args(arguments)
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, for example `head`, has seen enough
        sys.stderr.close()
        return 141
    except Exception as error:  # the edge of the program: translated once, here
        print(f"\nmsdm_core: {person_message(error)}", file=sys.stderr)
        return 2 if isinstance(error, CoreError | DataError) else 1


if __name__ == "__main__":
    sys.exit(main())
