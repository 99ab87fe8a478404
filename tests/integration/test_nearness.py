"""Contract: every image says how near it is to its nearest training image, copies are warned of,
and a batch can leave them out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.folders import read_folder
from data.images import load_rgb
from data.manifest_reading import read_manifest
from data.provenance import read_provenance
from msdm_core.__main__ import main
from msdm_core.errors import CheckpointError
from msdm_core.evaluation.evaluator import build_evaluator
from msdm_core.evaluation.nearness import NearnessIndex
from msdm_core.generation.catalogue import Catalogue
from tests.drawings import write_dataset
from tests.tiny_model import write_tiny_checkpoint


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("drawn") / "data", count=40, validation=10)


@pytest.fixture(scope="module")
def evaluator(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained evaluator with the index of the drawn training images beside it."""
    folder = tmp_path_factory.mktemp("evaluator")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build_evaluator().eval().save_pretrained(folder)
    cache = tmp_path_factory.mktemp("cache")
    assert main(["train", "nearness-index", "--data", str(dataset), "--evaluator", str(folder),
                 "--cache", str(cache)]) == 0  # fmt: skip
    return folder


def test_a_copy_is_near_and_noise_is_far(dataset: Path, evaluator: Path) -> None:
    index = NearnessIndex.load(evaluator)
    training = next(r for r in read_folder(dataset) if r.split == "train")
    copy = index.of(load_rgb(training.path))
    assert copy.is_near
    assert copy.percentile == 0
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    far = index.of(Image.fromarray(noise))
    assert not far.is_near
    assert far.percentile > 90
    assert far.distance > copy.distance


def test_no_image_is_in_the_index(dataset: Path, evaluator: Path) -> None:
    index = NearnessIndex.load(evaluator)
    assert index.vectors.shape == (30, 256)
    assert len(index.unseen) == 10
    size = (evaluator / "nearness_index.safetensors").stat().st_size
    assert size < 30 * 256 * 2 + 4096  # half-precision features and distances, nothing else


def test_a_missing_index_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train nearness-index"):
        NearnessIndex.load(tmp_path)


@pytest.fixture
def home(evaluator: Path, tmp_path: Path) -> Path:
    """A workspace whose catalogue offers a tiny model with the index."""
    write_tiny_checkpoint(tmp_path / "tiny")
    (tmp_path / "index").symlink_to(evaluator)
    (tmp_path / "catalogue.toml").write_text(
        '[[model]]\nid = "tiny"\nfamily = "msdm"\nlabel = "tiny"\nlicence = "none"\n'
        'native_size_px = 64\npath = "tiny"\nnearness = "index"\n',
        encoding="utf-8",
    )
    return tmp_path


def test_the_figure_stands_in_the_png_and_in_the_manifest(home: Path) -> None:
    prompts = home / "prompts.txt"
    prompts.write_text("a polyp\nulcerative colitis\n", encoding="utf-8")
    out = home / "batch"
    command = ["generate", "--prompts", str(prompts), "--model", "tiny", "--home", str(home),
               "--steps", "2"]  # fmt: skip
    assert main([*command, "--out", str(out)]) == 0
    rows = read_manifest(out / "manifest.csv")
    assert len(rows) == 2
    for row in rows:
        assert row.nearness_percentile is not None
        assert 0 <= row.nearness_percentile <= 100
        made = read_provenance(out / row.file_name)
        assert made is not None
        assert made.extra["nearness"]["percentile"] == row.nearness_percentile


def test_a_batch_leaves_out_what_is_too_near_and_says_so(home: Path, evaluator: Path) -> None:
    index = NearnessIndex.load(evaluator)
    (home / "strict").mkdir()
    index.evaluator.save_pretrained(home / "strict")
    # Unseen images that are all farther than any picture can be: every picture is nearer.
    replace(index, unseen=np.full(5, 3.0, np.float32)).save(home / "strict")
    path = home / "catalogue.toml"
    path.write_text(path.read_text().replace('"index"', '"strict"'), encoding="utf-8")
    prompts = home / "prompts.txt"
    prompts.write_text("a polyp\n", encoding="utf-8")
    command = ["generate", "--prompts", str(prompts), "--model", "tiny", "--home", str(home),
               "--steps", "2", "--out"]  # fmt: skip
    assert main([*command, str(home / "few"), "--least-nearness", "5"]) == 3
    (row,) = read_manifest(home / "few" / "manifest.csv")
    assert not row.is_done
    assert "too near to a training image" in row.message
    assert not list((home / "few" / "images").glob("*.png"))
    assert main([*command, str(home / "all")]) == 0
    assert read_manifest(home / "all" / "manifest.csv")[0].nearness_percentile == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--least-nearness", "101", "--prompts", "p.txt", "--out", "o"), "0 to 100"),
        (("a polyp", "--least-nearness", "5"), "needs --prompts"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(
    options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *options]) == 2
    assert says in capsys.readouterr().err


def test_a_catalogue_that_names_no_index_folder_says_what_makes_one(home: Path) -> None:
    path = home / "catalogue.toml"
    path.write_text(path.read_text().replace('"index"', '"nowhere"'), encoding="utf-8")
    from msdm_core.errors import CatalogueError

    with pytest.raises(CatalogueError, match="nearness-index"):
        Catalogue.read(home)


def test_the_shipped_models_name_the_shipped_index() -> None:
    for entry in Catalogue.read(Path("nowhere")):
        if entry.weights.checkpoint:
            assert NearnessIndex.load(Path(entry.nearness)).vectors.shape[1] == 256
