"""Fixtures that several tests share: a tiny checkpoint, a tiny dataset, and what may be absent."""

import os
import shutil
from pathlib import Path

# Set before torch and the hub client are imported: nothing is fetched, nothing crowds the cores.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

pytest_plugins = ["tests.rating_database", "tests.results_in_r"]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def _absent(what: str) -> None:
    """Skips where a person runs the tests, fails where a machine must run all of them."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (CI is set, so this must not be skipped)")
    pytest.skip(what)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a seeded, untrained `MSDMPipeline` for 64 px pictures. Read only."""
    from tests.tiny_model import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "msdm-tiny")


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 24 drawn pictures in the MedVQA-GI layout, 20 to train and 4 to validate."""
    from tests.drawings import write_dataset

    return write_dataset(tmp_path_factory.mktemp("datasets") / "medvqa_gi")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium executable (also from the variable CHROMIUM); else skipped."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), "")
    if not found:
        _absent("no Chromium found: install it, or set CHROMIUM to its path")
    return found


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """Folder with the real datasets, where MSDM_DATASETS names one; else skipped."""
    named = os.environ.get("MSDM_DATASETS")
    if not named:
        pytest.skip("MSDM_DATASETS is not set: the real datasets are not part of the repository")
    folder = Path(named)
    if not (folder / "medvqa_gi" / "prompt-gt.csv").is_file():
        pytest.fail(f"MSDM_DATASETS is {named}, which has no medvqa_gi/prompt-gt.csv")
    return folder
