"""Contract: the catalogue lists models, the workspace's own file extends it, and whether a model
can run is told from its files alone, with the reason and the next step.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from msdm_core.errors import CatalogueError, CheckpointError
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.checkpoint import parameter_count, weights_sha256
from msdm_core.generation.weights import LoraEntry, WeightsSource

OWN = """
[[model]]
id = "mine"
family = "msdm"
label = "My model"
licence = "MIT"
native_size_px = 64
"""


SHIPPED = [
    "msdm-compact-gi",
    "flux-compact-gi",
    "kandinsky-compact-gi",
    "msdm-compact-radiology",
    "flux-1-dev",
    "flux-1-schnell",
    "kandinsky-2-2",
    "stable-diffusion-1-5",
]
KANDINSKY = OWN.replace('"msdm"', '"kandinsky"') + 'hub = "lab/decoder"\n'
FLUX = OWN.replace('"msdm"', '"flux"') + 'path = "flux"\nguidance_kind = "distilled"\n'
LORA = '[[model.lora]]\nhub = "lab/style"\n'


def write_catalogue(home: Path, text: str) -> Path:
    (home / "catalogue.toml").write_text(text, encoding="utf-8")
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint folder as far as files tell."""
    folder = tmp_path / "checkpoint"
    for name in ("unet", "vae", "scheduler"):
        (folder / name).mkdir(parents=True)
    index = {
        "_class_name": "MSDMPipeline",
        "default_steps": 12,
        "default_guidance": 2.5,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderDC"],
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "safety_checker": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    for name in ("unet", "vae"):
        (folder / name / "config.json").write_text("{}")
        weights = {"a": np.ones((3, 4), np.float32), "b": np.zeros(5, np.float16)}
        save_file(weights, folder / name / "diffusion_pytorch_model.safetensors")
    return folder


def entry(folder: Path) -> ModelEntry:
    return ModelEntry("mine", "msdm", "My model", "MIT", 64, (64,), WeightsSource(path=str(folder)))


def test_the_shipped_catalogue_offers_msdm():
    model = Catalogue.read()["msdm-compact-gi"]
    assert (model.family, model.native_size_px) == ("msdm", 256)
    assert model.licence == "CC BY-NC 4.0"


def test_the_shipped_model_of_radiology_has_its_own_language_and_nearness():
    model = Catalogue.read()["msdm-compact-radiology"]
    assert (model.domain, Path(model.nearness).name) == ("radiology", "evaluator-radiology")
    assert model.language.name == "radiology"


def test_the_own_catalogue_adds_models_and_resolves_paths_beside_itself(tmp_path: Path):
    home = write_catalogue(tmp_path, OWN + 'path = "weights"\n')
    catalogue = Catalogue.read(home)
    assert [model.id for model in catalogue] == ["mine", *SHIPPED]
    assert catalogue["mine"].folder == tmp_path / "weights"
    assert catalogue["mine"].sizes_px == (64,)


def test_an_own_model_of_the_same_id_replaces_the_shipped_one(tmp_path: Path):
    text = OWN.replace("mine", "msdm-compact-gi") + 'path = "weights"\n'
    catalogue = Catalogue.read(write_catalogue(tmp_path, text))
    assert [model.id for model in catalogue] == SHIPPED
    assert catalogue["msdm-compact-gi"].label == "My model"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model", "cannot be read"),
        ('title = "x"', "title"),
        (OWN, "exactly one"),
        (OWN + 'path = "a"\nhub = "b/c"\n', "exactly one"),
        (OWN + 'path = "a"\ncolour = "red"\n', "colour"),
        (OWN.replace('label = "My model"', "") + 'path = "a"\n', "label"),
        (OWN.replace('"msdm"', '"gan"') + 'path = "a"\n', "gan"),
        (OWN.replace("64", '"64"') + 'path = "a"\n', "wrong type"),
        (OWN + 'path = "a"\nsizes_px = []\n', "wrong type"),
        (OWN + 'path = "a"\nsizes_px = [128]\n', "not among sizes_px"),
        (OWN + 'path = "a"\ndefault_steps = 0\n', "a whole number above 0"),
        (OWN + 'path = "a"\nneeds_gpu = 1\n', "true or false"),
        (OWN + 'path = "a"\nleast_memory_gib = "4"\n', "a number"),
        (OWN + 'path = "a"\ndtype = "int8"\n', "float32, float16, bfloat16"),
        (OWN + 'path = "a"\noffload = "disk"\n', "auto, none, model, sequential"),
        (OWN + 'path = "a"\nquantise = "int2"\n', "none, auto, int8, nf4"),
        (OWN.replace('"mine"', '"my model"') + 'path = "a"\n', "an id has only letters"),
        (OWN + 'hub = "model"\n', "OWNER/NAME"),
        (OWN + 'hub = "../../secrets"\n', "OWNER/NAME"),
        (OWN + 'path = "a"\nrevision = "v1"\n', "only a hub repository"),
        (OWN + 'checkpoint = "../x"\n', "inside its place"),
        (OWN + 'path = "a"\nsubfolder = "/x"\n', "inside its place"),
        (OWN + 'path = "a"\n[model.prior]\npath = "b"\n', "only the family kandinsky"),
        (OWN + 'path = "a"\n' + LORA, "family msdm takes none"),
        (FLUX.replace('guidance_kind = "distilled"', ""), "lacks guidance_kind"),
        (FLUX.replace("distilled", "much"), "classifier_free, distilled, none"),
        (FLUX + LORA + 'part = "prior"\n', "leave the key out"),
        (FLUX + LORA + "scale = 0\n", "other than 0"),
        (FLUX + LORA + 'scale = "1"\n', "give a number"),
        (FLUX + LORA + 'weight = "x"\n', "unknown keys weight"),
        (FLUX + LORA + 'weight_name = "lora.bin"\n', "only .safetensors"),
        (FLUX + LORA + 'path = "a"\n', "exactly one"),
        (FLUX + 'lora = ["a"]\n', "give a table"),
        (KANDINSKY + LORA, "prior or decoder"),
        (KANDINSKY + "[model.prior]\n", "exactly one"),
        (KANDINSKY + '[model.prior]\nhub = "a/b"\nsteps = 3\n', "unknown keys steps"),
        ((OWN + 'path = "a"\n') * 2, "twice"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_name_and_reason(
    tmp_path: Path, text: str, said: str
):
    with pytest.raises(CatalogueError, match=said) as caught:
        Catalogue.read(write_catalogue(tmp_path, text))
    assert "catalogue.toml" in str(caught.value)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(CatalogueError, match="msdm-compact-gi"):
        Catalogue.read()["nothing"]


def test_a_whole_folder_is_ready_and_brings_its_defaults(folder: Path):
    model = entry(folder)
    assert model.availability().is_ready
    assert model.resolved_defaults() == (12, 2.5)
    assert model.counted_parameters() == parameter_count(folder) == 2 * 17


def truncate(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def point_to_lfs(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def empty_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")


def drop_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def drop_component(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").unlink()


def drop_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "part-2.safetensors"}}
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "unet" / name).write_text(json.dumps(index))


def spoil_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{not json")


def change_index(folder: Path, **changes: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def make_foreign(folder: Path) -> None:
    change_index(folder, _class_name="FluxPipeline")


def need_code(folder: Path) -> None:
    change_index(folder, unet=["pipeline", "OwnUNet"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "damaged"),
        (point_to_lfs, "git lfs pull"),
        (empty_weights, "not a whole safetensors"),
        (drop_weights, "no .safetensors"),
        (drop_component, "scheduler"),
        (drop_shard, "part-2.safetensors"),
        (spoil_index, "model_index.json"),
        (make_foreign, "FluxPipeline"),
        (need_code, "pipeline"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_folder_is_broken_with_the_reason(folder: Path, damage, said: str):
    damage(folder)
    found = entry(folder).availability()
    assert found.state == "broken"
    assert said in found.why
    assert found.next_step
    with pytest.raises(CheckpointError, match="My model"):
        entry(folder).require_ready()


def test_prior_and_lora_weights_are_read_from_their_tables(tmp_path: Path):
    text = (
        KANDINSKY
        + '[model.prior]\nhub = "lab/prior"\nrevision = "v2"\n'
        + LORA.replace("lab/style", "lab/a") + 'part = "prior"\nscale = 0.5\n'
        + '[[model.lora]]\npart = "decoder"\npath = "styles/b.safetensors"\n'
    )  # fmt: skip
    model = Catalogue.read(write_catalogue(tmp_path, text))["mine"]
    assert model.sources() == {
        "prior": WeightsSource(hub="lab/prior", revision="v2"),
        "decoder": WeightsSource(hub="lab/decoder"),
    }
    assert model.loras == (
        LoraEntry("prior", WeightsSource(hub="lab/a"), scale=0.5),
        LoraEntry("decoder", WeightsSource(path=str(tmp_path / "styles")), "b.safetensors"),
    )
    assert model.loras[1].file == tmp_path / "styles" / "b.safetensors"


def test_both_halves_of_kandinsky_may_lie_in_one_folder(tmp_path: Path):
    text = KANDINSKY.replace('hub = "lab/decoder"', 'path = "both"')
    model = Catalogue.read(write_catalogue(tmp_path, text))["mine"]
    assert {role: source.place for role, source in model.sources().items()} == {
        "prior": tmp_path / "both" / "prior",
        "decoder": tmp_path / "both" / "decoder",
    }


def test_the_released_models_are_pinned_to_commits():
    released = [model for model in Catalogue.read() if model.weights.hub]
    assert [model.id for model in released] == SHIPPED[4:]
    for model in released:
        for source in model.sources().values():
            assert len(source.revision) == 40
        assert model.download_bytes
        assert model.least_memory_gib
        assert model.licence_url


def test_the_hash_follows_the_weights_and_nothing_else(folder: Path):
    first = weights_sha256(folder)
    (folder / "README.md").write_text("a note")
    assert weights_sha256(folder) == first
    save_file({"a": np.ones(7)}, folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert weights_sha256(folder) != first
