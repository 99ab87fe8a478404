"""Contract: a comparison gives every model the same prompt, seeds and size, and is refused with a
reason where the models cannot share them. (What a person may type: integration/test_bad_input.)
"""

import pytest

from msdm_core.errors import RequestError
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.request import (
    MAX_MODELS,
    MAX_SEED,
    GenerationRequest,
    ImageRequest,
    check_image_request,
    check_request,
)


def model(name: str, native_px: int = 256, sizes_px: tuple[int, ...] = ()) -> ModelEntry:
    return ModelEntry(name, "msdm", name.upper(), "MIT", native_px, sizes_px or (native_px,))


def test_a_comparison_keeps_the_order_of_its_models():
    request = check_request([model("b"), model("a")], "a polyp", seed=3, image_count=2)
    assert request == GenerationRequest(("b", "a"), "a polyp", 3, 256, 2)


def test_every_column_has_the_same_seeds_which_wrap_at_the_end():
    request = check_request([model("a"), model("b")], "x", seed=MAX_SEED, image_count=2, steps=9)
    assert request.image("a", 0) == ImageRequest("a", "x", MAX_SEED, 256, 9)
    for name in ("a", "b"):
        assert [image.seed for image in request.column(name)] == [MAX_SEED, 0]
        assert {image.model_id for image in request.column(name)} == {name}
    with pytest.raises(RequestError, match="has no model 'c'"):
        request.image("c", 0)


def test_one_image_can_be_asked_of_one_model():
    assert check_image_request(model("a"), " a  polyp ", seed=3, guidance=2) == ImageRequest(
        "a", "a polyp", 3, 256, None, 2.0
    )
    with pytest.raises(RequestError, match="Steps"):
        check_image_request(model("a"), "a polyp", seed=3, steps=0)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "No model is chosen"),
        ([model("a"), model("b"), model("a")], "a is chosen twice"),
        ([model(str(number)) for number in range(MAX_MODELS + 1)], "at most 8"),
        ([model("a", 256), model("b", 512)], "A draws 256 x 256 px; B draws 512 x 512 px"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(models: list[ModelEntry], said: str):
    with pytest.raises(RequestError, match=said):
        check_request(models, "a polyp")


@pytest.mark.parametrize(
    ("models", "size_px"),
    [
        ([model("a", 256, (256, 512)), model("b", 256, (256, 512))], 256),
        ([model("a", 256, (256, 512)), model("b", 1024, (256, 512, 1024))], 512),
        ([model("a", 256, (256,)), model("b", 512, (256, 512))], 256),
    ],
)
def test_the_size_is_the_native_one_of_all_else_the_largest_in_common(
    models: list[ModelEntry], size_px: int
):
    assert check_request(models, "a polyp").size_px == size_px


def test_a_size_that_one_model_does_not_draw_is_refused_with_what_each_draws():
    models = [model("a", 256, (256, 512)), model("b", 256)]
    with pytest.raises(RequestError, match=r"Size 512 x 512 px .* B draws 256 x 256 px"):
        check_request(models, "a polyp", size_px=512)
    assert check_request(models, "a polyp", size_px=256).size_px == 256
