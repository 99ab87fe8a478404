"""Contract: `python -m msdm_core models` shows every model with its state, and for each that is
not ready why and what changes that, as a table for people and as JSON for scripts, without torch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from msdm_core.__main__ import main
from msdm_core.generation.catalogue import Catalogue
from tests.hub_server import pipeline_files, write_files

ROOT = Path(__file__).parents[2]
OWN = """
[[model]]
id = "mine"
family = "flux"
label = "Mine"
licence = "MIT"
native_size_px = 64
path = "flux"
guidance_kind = "distilled"
{more}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_files(tmp_path / "flux", pipeline_files("FluxPipeline"))
    return list_own(tmp_path)


def list_own(home: Path, more: str = "") -> Path:
    (home / "catalogue.toml").write_text(OWN.format(more=more), encoding="utf-8")
    return home


def printed(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["models", "--home", str(home), *options]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_row_for_every_model_with_its_state_and_licence(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    lines = printed(home, capsys).splitlines()
    entries = list(Catalogue.read(home))
    assert lines[0].split() == [
        "MODEL", "STATE", "PARAMETERS", "DOWNLOAD", "SIZE", "DEFAULTS", "LICENCE"
    ]  # fmt: skip
    for line, entry in zip(lines[1:], entries, strict=False):
        assert line.split()[:2] == [entry.id, entry.availability().state]
        assert line.endswith(entry.licence)


def test_what_is_not_ready_is_told_with_reason_and_next_step_and_what_is_ready_is_not(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    text = printed(home, capsys)
    for entry in Catalogue.read(home):
        found = entry.availability()
        assert (f"\n{entry.id}: {found.state}\n" in text) == (not found.is_ready)
        assert found.why in text
        assert found.next_step in text
    assert "mine: " not in text


def test_a_model_with_a_missing_lora_file_is_not_called_ready(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    list_own(home, '[[model.lora]]\npath = "style.safetensors"')
    text = printed(home, capsys)
    assert "mine: missing" in text
    assert str(home / "style.safetensors") in text


def test_json_tells_the_same_to_scripts(home: Path, capsys: pytest.CaptureFixture[str]):
    models = {model["id"]: model for model in json.loads(printed(home, capsys, "--json"))}
    assert list(models) == [entry.id for entry in Catalogue.read(home)]
    assert models["mine"]["state"] == "ready"
    assert models["mine"]["why"] == ""
    assert models["mine"]["parameters"] == 4 * 64
    kandinsky = models["kandinsky-2-2"]
    assert kandinsky["sources"] == {
        "prior": "kandinsky-community/kandinsky-2-2-prior",
        "decoder": "kandinsky-community/kandinsky-2-2-decoder",
    }
    assert kandinsky["download_bytes"] == 15_858_664_802


def test_a_wrong_catalogue_is_one_line_and_no_trace(home: Path, capsys: pytest.CaptureFixture[str]):
    list_own(home, 'colour = "red"')
    assert main(["models", "--home", str(home)]) == 2
    errors = capsys.readouterr().err.strip()
    assert "colour" in errors
    assert len(errors.splitlines()) == 1


def test_the_commands_import_no_torch_and_no_gradio(home: Path):
    code = (
        "import sys; from msdm_core.__main__ import main; main(['models']); "
        "main(['download', 'mine']); "
        "print([name for name in ('torch', 'gradio', 'diffusers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "MSDM_HOME": str(home)},
    )  # fmt: skip
    assert done.stdout.strip().endswith("[]")
