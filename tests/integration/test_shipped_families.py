"""Contract: the FLUX and Kandinsky checkpoints that ship draw by their model card's own call with
plain stock pipelines, give the same picture twice, follow the prompt, and stay within their size.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msdm_core.generation.adapters import Adapter, make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.request import check_image_request

ROOT = Path(__file__).parents[2]
FAMILIES = ("flux-compact-gi", "kandinsky-compact-gi")
LARGEST_FOLDER_BYTES = 30_000_000
CALL_STEPS = 6  # the card's call with fewer steps draws the same way

pytestmark = [
    pytest.mark.slow,
    # AutoencoderDC carries what FluxPipeline looks for; the class says that it does not know it.
    pytest.mark.filterwarnings("ignore:.*were passed to AutoencoderDC.*"),
]


@pytest.fixture(scope="module", params=FAMILIES)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    adapter = make_adapter(Catalogue.read()[request.param], device="cpu", threads=1)
    adapter.load()
    return adapter


def draw(adapter: Adapter, prompt: str, seed: int, steps: int | None = None) -> np.ndarray:
    entry = adapter._entry  # type: ignore[attr-defined]
    request = check_image_request(entry, prompt, seed=seed, steps=steps)
    made = adapter.generate(request, lambda _step, _total, _preview: None)
    return np.asarray(made.image).astype(float)


def test_a_request_gives_one_picture_and_prompts_and_seeds_give_others(adapter: Adapter) -> None:
    colitis = draw(adapter, "Colonoscopy with ulcerative colitis", 3)
    assert colitis.shape == (256, 256, 3)
    assert np.array_equal(colitis, draw(adapter, "Colonoscopy with ulcerative colitis", 3))
    others = [draw(adapter, "Gastroscopy with oesophagitis", 3),
              draw(adapter, "Colonoscopy with ulcerative colitis", 4)]
    for picture in (colitis, *others):
        assert picture.std() > 30
    for other in others:
        assert np.abs(other - colitis).mean() > 10


def test_what_is_asked_for_changes_the_colour_and_the_corner(adapter: Adapter) -> None:
    # Gastroscopies are paler than colonoscopies, and the box is green in the lower left corner.
    seeds = (0, 1)
    lower = [draw(adapter, "A colonoscopy with a polyp", s) for s in seeds]
    upper = [draw(adapter, "A gastroscopy with oesophagitis", s) for s in seeds]
    redness = [np.mean([p[64:192, 64:192, 0] - p[64:192, 64:192, 2] for p in pictures])
               for pictures in (lower, upper)]
    assert redness[0] > redness[1] + 10


@pytest.mark.parametrize("name", FAMILIES)
def test_the_call_of_the_model_card_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (ROOT / "data" / "checkpoints" / name / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code
    monkeypatch.chdir(ROOT)
    short = re.sub(r"num_inference_steps=\d+", f"num_inference_steps={CALL_STEPS}", code.group(1))
    names: dict[str, object] = {}
    exec(short, names)  # the card of this repository, not of a stranger
    picture = names["picture"]
    assert isinstance(picture, Image.Image) and picture.size == (256, 256)
    assert np.asarray(picture).std() > 20


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_is_small_and_tells_what_it_is(name: str) -> None:
    folder = ROOT / "data" / "checkpoints" / name
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST_FOLDER_BYTES
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".jpg", ".png"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in ("cc-by-nc-4.0", "from\nscratch", "not for diagnosis", "## Limits"):
        assert said in card or said.replace("\n", " ") in card
