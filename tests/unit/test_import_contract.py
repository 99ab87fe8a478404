"""Contract: packages import only what they may, and the first page needs no torch."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data", "msdm_core", "rating")
SOURCES = [ROOT / "app.py", *(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))]
TESTS = list((ROOT / "tests").rglob("*.py"))
# The blinding audit asks for the one, `evaluate --features inception` for the other, where they are
# there; all else runs without.
OPTIONAL = {"playwright", "torch_fidelity"}
OURS = {"app", "data", "msdm_core", "rating", "tests"}


def imported(path: Path) -> set[str]:
    """Returns the top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def pinned(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {
        line.split("==")[0].split("[")[0].lower().replace("_", "-")
        for line in lines
        if line.strip() and not line.startswith(("#", "-r"))
    }


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_contracts_between_the_packages_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[4-9]\d* kept, 0 broken", done.stdout)


def test_a_forbidden_import_is_noticed(tmp_path: Path) -> None:
    """The contracts are worth something only where breaking one fails."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "msdm_core" / "generate_tab.py").write_text("import gradio\n", encoding="utf-8")
    for tab in ("board_tab", "coordinator_tab", "rate_tab", "results_tab", "study_tab"):
        (tmp_path / "rating" / f"{tab}.py").write_text("import gradio\n", encoding="utf-8")
    (tmp_path / "msdm_core" / "jobs.py").write_text("import gradio\n", encoding="utf-8")
    (tmp_path / "rating" / "planner.py").write_text("import msdm_core\n", encoding="utf-8")
    (tmp_path / "data" / "images.py").write_text("import torch\n", encoding="utf-8")
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "3 broken" in done.stdout, done.stdout


def test_only_the_tabs_and_the_app_import_gradio() -> None:
    users = [path for path in SOURCES if "gradio" in imported(path)]
    assert users
    assert not [
        name(path) for path in users if path.name != "app.py" and not path.stem.endswith("_tab")
    ]


def test_only_the_app_knows_both_sides() -> None:
    for path in SOURCES:
        if path.name != "app.py":
            assert not {"msdm_core", "rating"} <= imported(path), name(path)


@pytest.mark.parametrize(
    ("files", "lists"),
    [
        (SOURCES, ("requirements.txt",)),
        (TESTS, ("requirements.txt", "requirements-dev.txt")),
    ],
    ids=["sources", "tests"],
)
def test_whatever_is_imported_is_pinned(files: list[Path], lists: tuple[str, ...]) -> None:
    allowed = set().union(*map(pinned, lists))
    providers = importlib.metadata.packages_distributions()
    for path in files:
        for package in imported(path) - OURS - OPTIONAL - sys.stdlib_module_names:
            if package in {other.stem for other in path.parent.glob("*.py")}:
                continue  # a neighbour of the test, imported by its bare name
            found = {d.lower().replace("_", "-") for d in providers.get(package, [package])}
            assert found & allowed, f"{name(path)} imports {package}, which is not pinned"


def test_whatever_the_app_pins_is_imported() -> None:
    providers = importlib.metadata.packages_distributions()
    used = {
        distribution.lower().replace("_", "-")
        for path in SOURCES
        for package in imported(path)
        for distribution in providers.get(package, [])
    }
    assert pinned("requirements.txt") <= used


def test_every_requirement_is_pinned_to_one_version() -> None:
    for requirements in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / requirements).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith(("#", "-r ")):
                pin = r"[A-Za-z0-9_.-]+(\[[a-z]+\])?==[0-9][0-9A-Za-z.+]*"
                assert re.fullmatch(pin, line), line


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    ["import app", "from msdm_core.__main__ import build_parser; build_parser('train')"],
    ids=["the page", "the command line's help"],
)
def test_neither_the_page_nor_help_loads_a_learning_framework(code: str) -> None:
    heavy = "{'torch', 'diffusers', 'transformers', 'accelerate'}"
    assert run_python(f"{code}; import sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_reading_data_needs_no_learning_framework_and_no_page() -> None:
    code = (
        "import data.__main__, sys;"
        "print(sorted({'torch', 'diffusers', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    assert run_python(code) == "[]"
