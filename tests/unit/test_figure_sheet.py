"""Contract: the figure sheet shows what was measured and nothing else, legibly, from
`evaluation.json` alone."""

from __future__ import annotations

import copy
import json
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from data.records import ImageRecord
from msdm_core.__main__ import main
from msdm_core.evaluation.evaluate import measure, prompt_cases
from msdm_core.evaluation.evaluator import build_evaluator
from msdm_core.evaluation.figure_sheet import figure_sheet, write_figure_sheet
from msdm_core.evaluation.figure_style import GENERATED, shortened, text_width_in
from msdm_core.evaluation.measures import memorisation_figures

SHIPPED = Path(__file__).parents[2] / "data" / "checkpoints"
MODELS = ("msdm-compact-gi", "flux-compact-gi", "kandinsky-compact-gi")
OF_PROMPTS = ("balanced_accuracy", "reading_ratio", "reading_ratio_interval", "position",
              "inception_score", "prompts")  # fmt: skip
Figures = dict[str, Any]


def shipped(model: str = MODELS[0]) -> Figures:
    found = json.loads((SHIPPED / model / "evaluation.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def nearness(*, copies: int = 0) -> Figures:
    training, made, unseen = (
        np.random.default_rng(seed).normal(size=(count, 8))
        for seed, count in ((0, 200), (1, 80), (2, 50))
    )
    made[:copies] = training[:copies]
    return memorisation_figures(training, [str(i) for i in range(200)], made, unseen)[0]


def whole(**changes: Any) -> Figures:
    """Figures of an evaluation with every part."""
    found = shipped()
    found["memorisation"] = {"features": nearness(), "pixels": nearness(copies=4)}
    found["balanced_accuracy_intervals"] = {
        name: {kind: [value - 0.02, min(1, value + 0.01)] for kind, value in values.items()}
        for name, values in found["balanced_accuracy"].items()
    }
    score = {"value": 31.4, "low": 30.9, "high": 31.9}
    found["clip_score"] = {"network": "clip", "generated": score, "real": score}
    found["paraphrases"] = {"network": "evaluator", "prompts": 9, "images": 4, "fidelity": 91.5,
                            "agreement": 0.91, "diversity": 0.5, "fbd": 12.3}  # fmt: skip
    return found | changes


def without(*names: str) -> Figures:
    return {name: value for name, value in whole().items() if name not in names}


def two_networks() -> Figures:
    found = whole()
    [first] = found["distributions"].values()
    return found | {"distributions": {
        "evaluator": first, "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224": first
    }}  # fmt: skip


def long_names() -> Figures:
    found = without(*OF_PROMPTS, "weights_sha256", "steps", "guidance")
    [first] = found["distributions"].values()
    name = "a folder of $pictures$ with a {name} " * 6
    found["clip_score"]["network"] = name
    return found | {"model": name, "domain": "radiology", "distributions": {name: first}}


PAGES = {
    "whole": whole, "two_networks": two_networks, "long_names": long_names,
    **{model: lambda model=model: shipped(model) for model in MODELS},
    "no_prompts": lambda: without(*OF_PROMPTS),
    "no_nearness": lambda: without("memorisation"),
    "spectrum_alone": lambda: without(*OF_PROMPTS, "distributions", "memorisation"),
}  # fmt: skip


def texts_of(figure: Any) -> list[Any]:
    """Returns the texts that are on the page: ticks outside the axes are not drawn."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [tick.label1 for tick in axis.get_major_ticks()
                      if low <= tick.get_loc() <= high]  # fmt: skip
    return [text for text in found if text.get_text() and text.get_visible()]


def told(figures: Figures) -> set[str]:
    return {text.get_text() for text in texts_of(figure_sheet(figures))}


@pytest.mark.parametrize("page", PAGES)
def test_no_text_lies_on_another_or_off_the_page(page: str) -> None:
    figure = figure_sheet(PAGES[page]())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer()))
             for text in texts_of(figure)]  # fmt: skip
    assert len(boxes) > 20
    width, height = figure.bbox.size
    for name, box in boxes:
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, name
    for (first, one), (second, other) in combinations(boxes, 2):
        assert not one.padded(-0.3).overlaps(other.padded(-0.3)), (first, second)


@pytest.mark.parametrize("page", ["whole", *MODELS])
def test_no_words_of_a_usual_page_are_cut(page: str) -> None:
    assert not [word for word in told(PAGES[page]()) if "\N{HORIZONTAL ELLIPSIS}" in word]


@pytest.mark.parametrize("page", PAGES)
def test_no_letters_are_smaller_than_eight_points(page: str) -> None:
    assert min(text.get_fontsize() for text in texts_of(figure_sheet(PAGES[page]()))) >= 8


def test_the_title_names_model_weights_number_sampling_and_network() -> None:
    words = " ".join(told(whole(
        model="some-model", weights_sha256="0123456789abcdef", images=1234, steps=25, guidance=2.5,
        prompts="single", real_images=99,
    )))  # fmt: skip
    for part in ("some-model", "weights 0123456789ab", "1,234 generated images (single prompts)",
                 "25 steps, guidance 2.5", "evaluator (data/checkpoints/evaluator)",
                 "99 held-out"):  # fmt: skip
        assert part in words


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ("balanced_accuracy", "Balanced accuracy of what was asked for"),
        ("distributions", "Distances between the sets of images, precision and recall"),
        ("memorisation", "Distance to the nearest training image"),
        ("position", "Polyps in the cells asked for"),
    ],
)
def test_what_was_not_measured_has_no_panel_and_leaves_no_hole(part: str, title: str) -> None:
    figures = without(part)
    assert title in told(whole())
    assert title not in told(figures)
    letters = sorted(word for word in told(figures) if len(word) == 1 and word.isupper())
    assert letters == list("ABCDE")
    page, rest = figure_sheet(whole()), figure_sheet(figures)
    assert len(rest.axes) < len(page.axes)
    # The panel that was beside it takes its place, or the page is shorter.
    widest = [max(axes.get_position().width for axes in f.axes) for f in (page, rest)]
    heights = [f.get_figheight() for f in (page, rest)]
    assert widest[1] > 1.5 * widest[0] or heights[1] < heights[0]


def test_an_older_evaluation_without_the_distribution_of_nearness_has_no_panel_of_it() -> None:
    older = shipped()
    assert "Distance to the nearest training image" in told(older)
    for measured in older["memorisation"].values():
        del measured["made_below"], measured["real_below"]
    assert "Distance to the nearest training image" not in told(older)
    assert "near a training image, by pixels" in told(older)


def test_figures_that_are_not_numbers_are_no_marks() -> None:
    figures = whole()
    nan = float("nan")
    figures["balanced_accuracy"]["text"] = {"real": 0.8, "generated": nan}
    figures["balanced_accuracy"]["box"] = {"real": nan, "generated": nan}
    figures["position"]["generated"] = {"images": 0, "hit_rate": nan, "chance": nan}
    [found] = figures["distributions"].values()
    found["precision"]["halves"]["real"] = nan
    words = told(figures)
    assert "box" not in words
    assert "Polyps in the cells asked for" not in words
    assert {"real -", "-"} & words
    assert not any("nan" in word for word in words)


def marks_of(figures: Figures) -> list[tuple[float, str, str]]:
    """Returns value, marker and filling of every single mark on the page."""
    return [
        (float(line.get_xdata()[0]), str(line.get_marker()), str(line.get_markerfacecolor()))
        for axes in figure_sheet(figures).axes for line in axes.lines
        if len(line.get_xdata()) == 1
    ]  # fmt: skip


def test_marks_stand_at_the_figures_and_real_differs_in_shape_and_filling() -> None:
    figures = whole()
    [found] = figures["distributions"].values()
    marks = marks_of(figures)
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "f1"):
        assert (found[name]["value"], "o", GENERATED) in marks
        for part in ("halves", "held_out"):
            assert (found[name][part]["made"], "o", GENERATED) in marks
            assert (found[name][part]["real"], "D", "white") in marks
    assert (figures["balanced_accuracy"]["text"]["generated"], "o", GENERATED) in marks


def test_the_sheet_is_written_and_follows_the_figures(tmp_path: Path) -> None:
    one, same, other = whole(), whole(), copy.deepcopy(whole())
    other["octave_power_ratio"]["64-128"] = 1.2
    written = []
    for index, figures in enumerate((one, same, other)):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_figure_sheet(folder, figures)
        written.append([(folder / name).read_bytes() for name in ("figures.png", "figures.svg")])
    assert written[0] == written[1]
    assert written[0][0] != written[2][0]
    assert written[0][1] != written[2][1]
    with Image.open(tmp_path / "0" / "figures.png") as page:
        assert page.width == 1500
        assert 1.2 < page.height / page.width < 1.5  # one sheet of paper holds it
    assert ElementTree.fromstring(written[0][1]).tag.endswith("svg")


def test_an_earlier_evaluation_is_drawn_again(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / MODELS[1] / "evaluation.json", tmp_path)
    assert main(["evaluate", "--draw", str(tmp_path)]) == 0
    with Image.open(tmp_path / "figures.png") as page:
        assert page.width == 1500


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("{", "cannot be read"), ('{"a": 1}', "no figures"),
     ("[]", "no figures")],
)  # fmt: skip
def test_a_folder_that_cannot_be_drawn_again_is_refused_by_name(
    text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "evaluation.json").write_text(text, encoding="utf-8")
    assert main(["evaluate", "--draw", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert str(tmp_path) in error
    assert not (tmp_path / "figures.png").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--generated", "a", "--out", "b"), "--data or --real"),
     (("--generated", "a", "--real", "b"), "--out")],
)  # fmt: skip
def test_measuring_needs_real_images_and_a_place(
    options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options]) == 2
    assert says in capsys.readouterr().err


def test_the_distribution_of_nearness_agrees_with_the_share_that_is_near() -> None:
    found = nearness(copies=8)
    assert found["made_below"]["1"] == found["made"]["value"] >= 0.1
    assert found["real_below"]["1"] == found["real"]
    assert found["made_below"]["0"] >= 0.1  # copies are nearer than all training images are
    for key in ("made_below", "real_below"):
        shares = list(found[key].values())
        assert shares == sorted(shares)
        # The median percentile is where half of the images are below.
        places = [float(place) for place in found[key]]
        middle = found[key.replace("below", "percentile")]
        assert np.interp(middle, places, shares) == pytest.approx(0.5, abs=0.05)


def test_each_attribute_has_an_interval_around_what_is_read() -> None:
    captions = (("Generate an image containing a polyp.",),
                ("Generate an image containing oesophagitis.",))  # fmt: skip
    records = [ImageRecord(str(i), Path(f"{i}.png"), captions[i % 2], "val", None, "test")
               for i in range(8)]  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (8, 256, 256, 3), dtype=np.uint8)
    cases = prompt_cases(records, 8, "full")
    found = measure(build_evaluator().eval(), images, cases, images, records, closed_world=True)
    for name, ends in found["balanced_accuracy_intervals"].items():
        known = {kind for kind, value in found["balanced_accuracy"][name].items() if value == value}
        assert set(ends) == known, name
        for kind, (low, high) in ends.items():
            assert low <= found["balanced_accuracy"][name][kind] <= high, name
    assert found["balanced_accuracy_intervals"]["finding:polyp"].keys() == {"real", "generated"}


def test_a_text_is_cut_only_where_it_is_too_wide() -> None:
    assert shortened("short", 3) == "short"
    cut = shortened("a long name of a network " * 9, 3)
    assert text_width_in(cut) <= 3
    assert cut.startswith("a long name")
    assert cut.endswith("a network ")
