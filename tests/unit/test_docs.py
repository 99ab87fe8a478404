"""Contract: what is documented exists, and every command, option and setting is documented."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import metadata_load

import app
import data.__main__
import msdm_core
import rating.__main__
from msdm_core.__main__ import build_parser
from msdm_core.msdm.presets import PRESETS, Preset
from msdm_core.msdm.text_encoder import BERT_LIKE
from msdm_core.settings import SETTINGS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
ALL_TEXT = "\n".join(TEXT.values())
PROGRAMS = ("python app.py", "python -m msdm_core", "python -m data", "python -m rating")
OTHER_VARIABLES = {"MSDM_DATASETS"}


def parser_of(program: str, arguments: list[str]) -> argparse.ArgumentParser:
    if program == "python app.py":
        return app_parser()
    if program == "python -m data":
        return data.__main__._parser()
    if program == "python -m rating":
        return rating.__main__.build_parser()
    return build_parser(arguments[0] if arguments else None)


def app_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="version", version=msdm_core.__version__)
    app.add_settings(parser)
    return parser


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def leaves(program: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yields every command of a program in full, with its parser."""
    names = subcommands(parser_of(program, []))
    if not names:
        yield program, parser_of(program, [])
    for name in names:
        parser = subcommands(parser_of(program, [name]))[name]
        parts = subcommands(parser)
        if not parts:
            yield f"{program} {name}", parser
        for part, inner in parts.items():
            yield f"{program} {name} {part}", inner


LEAVES = [leaf for program in PROGRAMS for leaf in leaves(program)]


def documented_commands() -> list[tuple[str, str]]:
    """Returns (page, command line) of every line of a shell block that calls a program of ours."""
    found = []
    for page, text in TEXT.items():
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                found += [(page, part.strip()) for part in line.split("&&")]
    return [(page, line) for page, line in found if program_of(line)]


def program_of(line: str) -> str | None:
    line = re.sub(r"^accelerate launch( --\S+( \d+)?)* -m", "python -m", line)
    return next((p for p in PROGRAMS if line == p or line.startswith(f"{p} ")), None)


@pytest.mark.parametrize(
    ("page", "line"), documented_commands(), ids=[line for _, line in documented_commands()]
)
def test_a_documented_command_is_understood(page: str, line: str) -> None:
    line = re.sub(r"^accelerate launch( --\S+( \d+)?)* -m", "python -m", line)
    program = program_of(line)
    assert program is not None
    arguments = shlex.split(line.removeprefix(program))
    parser_of(program, arguments).parse_args(arguments)


def test_commands_of_every_program_are_documented_in_shell_blocks() -> None:
    lines = [line for _, line in documented_commands()]
    for program in PROGRAMS:
        assert any(program_of(line) == program for line in lines), program


@pytest.mark.parametrize(("command", "parser"), LEAVES, ids=[command for command, _ in LEAVES])
def test_every_command_and_each_of_its_options_is_documented(
    command: str, parser: argparse.ArgumentParser
) -> None:
    assert any(line.startswith(command) for _, line in documented_commands())
    options = {o for a in parser._actions for o in a.option_strings if o.startswith("--")}
    missing = {o for o in options if not re.search(rf"(?<![\w-]){o}(?![\w-])", ALL_TEXT)}
    assert missing <= {"--help"}


def test_every_option_that_a_page_names_exists() -> None:
    options = {
        option for _, parser in LEAVES for action in parser._actions
        for option in action.option_strings
    }  # fmt: skip
    foreign = {"--multi_gpu", "--num_processes"}  # of accelerate launch
    scripts = ROOT.glob("rating/results/scripts/*.R")
    foreign |= {o for path in scripts for o in re.findall(r"--[a-z]+", path.read_text("utf-8"))}
    benchmark = set(re.findall(r'"(--[a-z-]+)"', benchmark_source()))
    for page, text in TEXT.items():
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text))
        assert named <= options | foreign | benchmark, page


def benchmark_source() -> str:
    paths = sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_every_setting_is_documented_with_variable_and_default() -> None:
    rows = [line for line in TEXT["README.md"].splitlines() if line.startswith("| `--")]
    for setting in SETTINGS:
        [row] = [r for r in rows if r.startswith(f"| `{setting.flag}` |")]
        assert f"`{setting.environment}`" in row
        assert (f"`{setting.default}`" if setting.default else "none") in row


def test_every_variable_that_a_page_names_exists() -> None:
    named = set(re.findall(r"\bMSDM_[A-Z_]+\b", ALL_TEXT))
    assert named <= {setting.environment for setting in SETTINGS} | OTHER_VARIABLES


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_the_table_of_presets_tells_their_sampling(preset: Preset) -> None:
    [row] = [
        line for line in TEXT["docs/architecture.md"].splitlines()
        if line.startswith("| default sampling |")
    ]  # fmt: skip
    expected = f"{preset.default_steps} steps, guidance {preset.default_guidance:g}"
    assert expected in row.split("|")[2 + list(PRESETS).index(preset.name)]
    widths = ", ".join(map(str, preset.denoiser["block_out_channels"]))
    assert f"({widths})" in TEXT["docs/architecture.md"]


def test_the_encoders_taken_are_named() -> None:
    words = set(re.findall(r"[a-z0-9-]+", TEXT["docs/training.md"]))
    assert set(BERT_LIKE) <= words


def test_the_readme_opens_with_the_header_of_a_space() -> None:
    header = metadata_load(ROOT / "README.md")
    assert header is not None
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert header["sdk"] == "gradio"
    assert f"gradio=={header['sdk_version']}\n" in pins
    assert header["app_file"] == "app.py" and (ROOT / "app.py").is_file()
    assert header["python_version"] == "3.11"
    assert header["license"] == "apache-2.0"
    assert len(header["short_description"]) <= 60
    assert header["title"]


def test_the_readme_has_exactly_two_commands_to_set_up() -> None:
    lines = [line for line in TEXT["README.md"].splitlines() if "pip install" in line]
    assert lines == [
        "pip install -r requirements.txt && python app.py",
        "pip install -r requirements-dev.txt && pytest",
    ]


def test_every_requirement_has_its_reason() -> None:
    for requirements in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / requirements).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith(("#", "-r")):
                name = line.split("==")[0]
                pattern = rf"^\| `{re.escape(name)}` \| \S.{{10,}}\|$"
                assert re.search(pattern, TEXT["CONTRIBUTING.md"], re.MULTILINE), name


def test_no_reason_is_given_for_what_is_no_requirement() -> None:
    table = TEXT["CONTRIBUTING.md"].split("## Dependencies")[1]
    named = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    pins = "".join(
        (ROOT / requirements).read_text(encoding="utf-8")
        for requirements in ("requirements.txt", "requirements-dev.txt")
    )
    assert named == set(re.findall(r"^([\w.-]+(?:\[\w+\])?)==", pins, re.MULTILINE))


@pytest.mark.parametrize("page", sorted(TEXT))
def test_every_link_inside_the_repository_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", TEXT[page]):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", sorted(TEXT))
def test_every_path_that_a_page_names_exists(page: str) -> None:
    for path in re.findall(r"`((?:data|docs|msdm_core|tests|rating|\.ci)/[\w./-]*)`", TEXT[page]):
        assert (ROOT / path).exists(), path


def test_the_version_is_the_same_everywhere() -> None:
    version = msdm_core.__version__
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{version}]" in TEXT["CHANGELOG.md"]


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000
