"""Contract: figures say what statistics found, in print, in grey, to the colour-blind, in words.

Each is one or two columns of a journal wide, the same to the byte when drawn again, legible, and
drawn without `pyplot`; too few data give a sentence. Texts lie on the sheet, none on another.
"""

import dataclasses
import io
import itertools
import json
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from rating.results.figures import drawing, extremes, lettering, theme, times
from rating.results.figures.drawing import Figure, draw_figure, draw_figures, left_out
from rating.results.figures.sheet import COLUMN_MM, PAGE_MM, PNG_DPI
from rating.results.statistics.analysis import Analysis, analyse
from rating.results.statistics.finding import ArmName, Scale
from tests.results_ratings import ALIGNMENT, ORIGIN, REALISM, answer, ratings_of, settings_of

PREFERENCE = Scale("preference", "Which image is best?", "preference", 1, 3, ())
SVG = "{http://www.w3.org/2000/svg}"
MODELS = ("MSDM", "FLUX", "Kandinsky")
LONG = "Stable Diffusion 1.5 fine-tuned on HyperKvasir, guidance 7.5, 50 steps, run "
# Deuteranopia and protanopia in linear RGB. Source: Machado, Oliveira and Fernandes (2009), IEEE
# Transactions on Visualization and Computer Graphics 15, 1291-1298, severity 1.
DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
NORMAL = np.eye(3)


@dataclasses.dataclass(frozen=True)
class Made:
    ratings: pd.DataFrame
    analysis: Analysis


def made(
    raters: int = 6, prompts: int = 8, labels: tuple[str, ...] = MODELS, *, has_real: bool = True,
    seed: int = 0, **changes: Any,
) -> Made:  # fmt: skip
    """Returns a planted study: each further model is half a point worse, real images are best."""
    rng = np.random.default_rng(seed)
    arms = [ArmName(f"m{index}", label, False) for index, label in enumerate(labels)]
    arms += [ArmName("real", "Real images", True)] if has_real else []
    rows = []
    for rater in range(raters):
        severity = rng.normal(0, 0.3)
        order = rng.permutation([(p, a) for p in range(prompts) for a in range(len(arms))])
        for position, (prompt, index) in enumerate(order):
            arm = arms[index]
            mean = 4.2 if arm.is_real else 3.6 - 0.5 * index
            seconds = 12 * np.exp(rng.normal(-0.02 * position, 0.2))
            shared: dict[str, Any] = {
                "position": position, "visible_ms": int(1000 * seconds), "is_real": int(arm.is_real)
            }  # fmt: skip
            name = f"r{prompt}" if arm.is_real else f"p{prompt}"
            code = f"R{rater + 1:02d}"
            score = int(np.clip(round(mean + severity + rng.normal(0, 0.6)), 1, 5))
            origin = int(np.clip(round(7.5 - 1.3 * mean + rng.normal(0, 1)), 1, 6))
            rows.append(answer(code, name, arm.code, origin, question="origin", **shared))
            unable = rng.random() < 0.04
            rows.append(answer(code, name, arm.code, None if unable else score, **shared))
            if not arm.is_real:
                rows.append(answer(code, name, arm.code, score, question="alignment", **shared))
    reference = "real" if has_real else "m0"
    settings = settings_of(
        **{
            "scales": (ORIGIN, REALISM, ALIGNMENT), "arms": tuple(arms),
            "reference_arm": reference, "equivalence_margin": 0.5, "origin_question": "origin",
            "contrast_arms": tuple(
                arm.code for arm in arms if not arm.is_real and arm.code != reference
            ),
        }
        | changes
    )  # fmt: skip
    ratings = ratings_of(rows)
    return Made(ratings, analyse(ratings, slots_of(ratings), settings))


def slots_of(ratings: pd.DataFrame) -> pd.DataFrame:
    return ratings.drop_duplicates("assignment_id")


def side_by_side(raters: int = 6, prompts: int = 8, **changes: Any) -> Made:
    """Returns a study of preferences in which the first arm wins most often."""
    rng = np.random.default_rng(1)
    arms = tuple(ArmName(f"m{index}", label, False) for index, label in enumerate(MODELS))
    rows, slots = [], []
    for number, (rater, prompt) in enumerate(itertools.product(range(raters), range(prompts)), 1):
        order = rng.permutation(3)
        weights = np.exp(-0.8 * order)
        slot = int(rng.choice(3, p=weights / weights.sum()))
        shared = {
            "assignment_id": number, "item_id": prompt + 1, "display": "side_by_side",
            "position": prompt, "rater_code": f"R{rater}", "prompt_id": f"p{prompt}",
        }  # fmt: skip
        said = {"question": "preference", "value": slot + 1, "slot": slot, "is_real": 0}
        rows.append({**shared, **said, "arm": f"m{order[slot]}"})
        slots += [
            {**shared, "slot": place, "arm": f"m{arm}", "is_real": 0, "stimulus_id": 0,
             "item_kind": "main", "submitted_at": "2025-03-01"}
            for place, arm in enumerate(order)
        ]  # fmt: skip
    settings = settings_of(
        **{
            "scales": (PREFERENCE,), "arms": arms, "display": "side_by_side",
            "primary_question": "preference", "reference_arm": "m0",
            "contrast_arms": ("m1", "m2"), "holm_family": ("preference",),
        }
        | changes
    )  # fmt: skip
    ratings = ratings_of(rows)
    return Made(ratings, analyse(ratings, pd.DataFrame(slots), settings))


def empty(**changes: Any) -> Made:
    settings = settings_of(
        scales=(ORIGIN, REALISM), origin_question="origin", reference_arm="real",
        contrast_arms=("a", "b"), **changes,
    )  # fmt: skip
    ratings = ratings_of([])
    return Made(ratings, analyse(ratings, slots_of(ratings), settings))


@pytest.fixture(scope="module")
def planted() -> Made:
    return made()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def figures(planted: Made, folder: Path) -> dict[str, Figure]:
    drawn = draw_figures(planted.analysis, planted.ratings, folder, images=pictures(planted))
    return {figure.name: figure for figure in drawn}


def pictures(study: Made) -> dict[int, bytes]:
    """Returns a plain picture for each synthetic stimulus, red as its number says."""
    found = {}
    numbers = study.ratings.loc[~study.ratings["is_real"].astype(bool), "stimulus_id"]
    for number in sorted(set(numbers.astype(int))):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 48), (number % 256, 77, 177)).save(buffer, format="PNG")
        found[number] = buffer.getvalue()
    return found


def texts(figure: Figure) -> list[str]:
    return [text.text or "" for text in ET.parse(figure.svg).iter(f"{SVG}text")]


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lightness(colour: str, vision: Any = NORMAL) -> float:
    """Returns CIE L*, 0 to 100, as someone of that colour vision sees it."""
    seen = np.clip(np.asarray(vision) @ linear(colour), 0, 1)
    luminance = float(seen @ [0.2126, 0.7152, 0.0722])
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def contrast_ratio(one: str, other: str) -> float:
    light, dark = sorted((theme.luminance(one), theme.luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_figure_of_a_study_is_drawn(figures: dict[str, Figure], planted: Made) -> None:
    assert list(figures) == ["likert", "forest", "agreement", "roc", "extremes", "times"]
    assert left_out(planted.analysis) == {"preference": "No preference is asked."}


@pytest.mark.parametrize("name", ["likert", "forest", "agreement", "roc", "extremes", "times"])
def test_a_figure_is_a_column_of_a_journal_wide_in_both_formats(
    figures: dict[str, Figure], name: str
) -> None:
    with Image.open(figures[name].png) as image:
        assert image.mode == "RGB"
        assert image.info["dpi"] == pytest.approx((PNG_DPI, PNG_DPI), abs=0.5)
        assert image.width / PNG_DPI * 25.4 == pytest.approx(COLUMN_MM, abs=0.2)
        assert image.height / PNG_DPI * 25.4 < 230
        ratio = image.height / image.width
    root = ET.parse(figures[name].svg).getroot()
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(
        COLUMN_MM / 25.4 * 72, abs=0.1
    )
    assert float(root.attrib["height"].removesuffix("pt")) == pytest.approx(
        ratio * COLUMN_MM / 25.4 * 72, abs=1
    )


def test_a_figure_drawn_again_is_the_same_to_the_byte(
    figures: dict[str, Figure], planted: Made, tmp_path: Path
) -> None:
    again = draw_figures(planted.analysis, planted.ratings, tmp_path, images=pictures(planted))
    for figure in again:
        assert figure.png.read_bytes() == figures[figure.name].png.read_bytes()
        assert figure.svg.read_bytes() == figures[figure.name].svg.read_bytes()


def test_figures_drawn_in_several_threads_are_the_same(
    figures: dict[str, Figure], planted: Made, tmp_path: Path
) -> None:
    def draw(name: str) -> None:
        draw_figure(name, planted.analysis, planted.ratings, tmp_path / name)

    threads = [threading.Thread(target=draw, args=(name,)) for name in ("likert", "forest", "roc")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("likert", "forest", "roc"):
        for ending in ("png", "svg"):
            drawn = (tmp_path / name / f"{name}.{ending}").read_bytes()
            assert drawn == (figures[name].png.parent / f"{name}.{ending}").read_bytes()


def test_an_svg_has_text_as_text_and_nothing_of_when_and_where(
    figures: dict[str, Figure], folder: Path
) -> None:
    for figure in figures.values():
        source = figure.svg.read_text(encoding="utf-8")
        assert str(folder) not in source
        assert "<metadata" not in source and "dc:date" not in source
        assert figure.title in " ".join(texts(figure))
    assert set(MODELS) <= set(texts(figures["likert"]))


def test_both_formats_carry_the_description(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        root = ET.parse(figure.svg).getroot()
        assert root.attrib["role"] == "img"
        assert root.findtext(f"{SVG}title") == figure.title
        assert root.findtext(f"{SVG}desc") == figure.alt_text
        with Image.open(figure.png) as image:
            assert image.info["Description"] == figure.alt_text


def test_descriptions_state_the_result(figures: dict[str, Figure], planted: Made) -> None:
    for figure in figures.values():
        assert len(figure.alt_text) > 60
    forest = figures["forest"].alt_text
    for contrast in planted.analysis.contrasts:
        if contrast.finding.value is not None:
            assert f"{contrast.finding.value:.2f}".replace("-", "\N{MINUS SIGN}") in forest
    assert "MSDM" in figures["roc"].alt_text and "area 0." in figures["roc"].alt_text
    assert "Real images" in figures["likert"].alt_text


def test_the_forest_writes_p_after_holm_and_equivalence(
    figures: dict[str, Figure], planted: Made
) -> None:
    told = texts(figures["forest"])
    family = [one for one in planted.analysis.contrasts if one.is_in_family]
    assert sum("after Holm" in text and text.startswith("p") for text in told) == len(family)
    shown = sum(bool(one.equivalence and one.equivalence.is_equivalent) for one in family)
    assert told.count("equivalent") == shown
    assert told.count("equivalence not shown") == len(family) - shown


def test_bars_carry_the_counts(figures: dict[str, Figure], planted: Made) -> None:
    told = texts(figures["likert"])
    for one in planted.analysis.descriptives:
        answers = sum(one.counts)
        assert str(answers) in " ".join(told).split()
        largest = max(one.counts)
        assert not largest or str(largest) in told


def test_pilots_are_marked_in_every_figure(tmp_path: Path) -> None:
    pilot = made(raters=5, prompts=4, is_pilot=True)
    for figure in draw_figures(pilot.analysis, pilot.ratings, tmp_path):
        assert "PILOT" in texts(figure)
        assert figure.alt_text.startswith("Pilot study.")


def test_main_studies_are_not_marked_as_pilots(figures: dict[str, Figure]) -> None:
    assert not any("PILOT" in texts(figure) for figure in figures.values())
    assert "THESE RATERS ONLY" not in texts(figures["forest"])


def test_fewer_than_five_raters_are_marked_on_the_contrasts(tmp_path: Path) -> None:
    few = made(raters=4, prompts=4)
    figure = draw_figure("forest", few.analysis, few.ratings, tmp_path)
    assert "THESE RATERS ONLY" in texts(figure)
    assert "These raters only" in figure.alt_text


@pytest.mark.parametrize("vision", [NORMAL, DEUTERANOPIA, PROTANOPIA])
@pytest.mark.parametrize("count", range(2, 12))
def test_points_of_a_scale_stay_apart_and_in_order_in_grey_and_to_the_colour_blind(
    count: int, vision: Any
) -> None:
    seen = [lightness(colour, vision) for colour in theme.scale_colours(count)]
    steps = -np.diff(seen)
    assert steps.min() >= min(12, 55 / (count - 1))


@pytest.mark.parametrize("vision", [NORMAL, DEUTERANOPIA, PROTANOPIA])
def test_agreement_gets_darker_throughout(vision: Any) -> None:
    seen = [lightness(theme.heat_colour(step / 20), vision) for step in range(21)]
    assert -np.diff(seen).max() >= 1.5
    assert seen[0] - seen[-1] > 70


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_ground(name: Any) -> None:
    colours = theme.THEMES[name]
    assert contrast_ratio(colours.ink, colours.ground) >= 7
    assert contrast_ratio(colours.ink, colours.frame) >= 4.5
    assert contrast_ratio(colours.soft, colours.ground) >= 4.5
    assert contrast_ratio(colours.accent, colours.ground) >= 4.5
    assert contrast_ratio(colours.accent, colours.band) >= 3
    assert abs(lightness(colours.band) - lightness(colours.ground)) >= 8
    for fill in (*theme.scale_colours(11), *(theme.heat_colour(i / 20) for i in range(21))):
        assert contrast_ratio(theme.on(fill), fill) >= 4.5


def test_a_dark_figure_has_a_dark_ground_and_its_own_files(planted: Made, tmp_path: Path) -> None:
    figure = draw_figure("forest", planted.analysis, planted.ratings, tmp_path, theme="dark")
    assert (figure.png.name, figure.svg.name) == ("forest-dark.png", "forest-dark.svg")
    with Image.open(figure.png) as image:
        grey = np.asarray(image.convert("L"))
    assert grey[0, 0] < 40 and np.median(grey) < 40
    light = draw_figure("forest", planted.analysis, planted.ratings, tmp_path)
    with Image.open(light.png) as image:
        assert np.asarray(image.convert("L"))[0, 0] == 255


ODD = (
    "נוירון עמוק", "نموذج الانتشار", "模型一",
    "emoji \N{FACE WITH COWBOY HAT}\N{VARIATION SELECTOR-16}", "$x^2 \\frac{$",
    "tab\tand\nline\x0b", "<b>&amp;</b>", LONG + "1",
)  # fmt: skip


ONE_QUESTION: dict[str, Any] = {"scales": (REALISM,), "origin_question": ""}


def studies() -> Iterator[Any]:
    yield pytest.param(lambda: made(1, 1, ("A",)), id="one rater, one prompt")
    yield pytest.param(lambda: made(1, 6, ("A",), has_real=False), id="one arm")
    yield pytest.param(lambda: made(2, 3, ("A", "B"), has_real=False), id="no real images")
    yield pytest.param(lambda: made(3, 3, tuple(LONG + str(i) for i in range(7))), id="long names")
    yield pytest.param(lambda: made(5, 5, ODD), id="scripts")
    yield pytest.param(lambda: made(24, 5, ("A", "B"), **ONE_QUESTION), id="24 raters")
    yield pytest.param(lambda: made(60, 6, ("A",), **ONE_QUESTION), id="60 raters")
    yield pytest.param(empty, id="no answers")
    yield pytest.param(side_by_side, id="side by side")
    yield pytest.param(lambda: side_by_side(2, 3), id="few side by side")
    yield pytest.param(lambda: side_by_side(1, 1), id="one choice")


@pytest.mark.parametrize("study", list(studies()))
def test_studies_of_every_size_are_drawn_with_no_text_cut_or_over_another(
    study: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sheets = []
    kept = drawing.Drawn.svg

    def keep(drawn: drawing.Drawn) -> str:
        sheets.append(drawn.sheet.canvas)
        return kept(drawn)

    monkeypatch.setattr(drawing.Drawn, "svg", keep)
    one = study()
    figures = draw_figures(one.analysis, one.ratings, tmp_path)
    assert {figure.name for figure in figures} | set(left_out(one.analysis)) == set(drawing.NAMES)
    for figure, canvas in zip(figures, sheets, strict=True):
        ET.parse(figure.svg)
        with Image.open(figure.png) as image:
            assert image.width in {round(mm / 25.4 * PNG_DPI) for mm in (COLUMN_MM, PAGE_MM)} | {
                int(mm / 25.4 * PNG_DPI) for mm in (COLUMN_MM, PAGE_MM)
            }
        check_texts(canvas, figure.name)


def check_texts(canvas: Any, name: str) -> None:
    """Checks that all texts are on the sheet, of 6 points or more, and none is on another."""
    canvas.set_dpi(PNG_DPI)
    renderer = FigureCanvasAgg(canvas).get_renderer()
    shown = [text for text in canvas.findobj(Text) if text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in shown]
    width, height = canvas.bbox.width, canvas.bbox.height
    for text, box in zip(shown, boxes, strict=True):
        assert text.get_fontsize() >= 6
        assert box.x0 >= -0.5 and box.x1 <= width + 0.5, (name, text.get_text())
        assert box.y0 >= -0.5 and box.y1 <= height + 0.5, (name, text.get_text())
    order = sorted(range(len(boxes)), key=lambda index: boxes[index].x0)
    for place, index in enumerate(order):
        for other in order[place + 1 :]:
            one, two = boxes[index], boxes[other]
            if two.x0 > one.x1 - 0.5:
                break
            overlap = min(one.y1, two.y1) - max(one.y0, two.y0)
            pair = (name, shown[index].get_text(), shown[other].get_text())
            assert overlap <= 0.35 * min(one.height, two.height), pair


def test_names_that_the_font_lacks_are_given_by_code_and_said_so(tmp_path: Path) -> None:
    study = made(5, 3, ("模型一", "نموذج"))
    figure = draw_figure("likert", study.analysis, study.ratings, tmp_path)
    told = texts(figure)
    assert "m0" in told and "نموذج" in told
    assert any("given by their code" in " ".join(told[i : i + 4]) for i in range(len(told)))


def test_no_answers_give_a_sentence(tmp_path: Path) -> None:
    study = empty()
    for figure in draw_figures(study.analysis, study.ratings, tmp_path):
        sentence = figure.alt_text.removeprefix(figure.title).strip(". ")
        assert len(sentence.split()) > 4
        assert sentence.split()[0] in " ".join(texts(figure))


def test_preferences_are_drawn_where_pictures_stand_side_by_side(tmp_path: Path) -> None:
    study = side_by_side()
    figures = {one.name: one for one in draw_figures(study.analysis, study.ratings, tmp_path)}
    assert set(figures) == {"preference", "agreement", "times"}
    assert study.analysis.preference is not None
    worst = study.analysis.preference.questions[0].arms[-1]
    assert worst.ability.value is not None and worst.ability.value < 0
    told = " ".join(texts(figures["preference"]))
    assert f"{worst.ability.value:.2f}".replace("-", "\N{MINUS SIGN}") in told
    assert f"chosen {worst.chosen} of {worst.shown}" in told


def test_few_raters_are_marked_on_preferences(tmp_path: Path) -> None:
    study = side_by_side(raters=3, prompts=12)
    figure = draw_figure("preference", study.analysis, study.ratings, tmp_path)
    assert "THESE RATERS ONLY" in texts(figure)


def test_the_best_and_worst_images_are_those_of_the_highest_and_lowest_means(
    planted: Made,
) -> None:
    settings = planted.analysis.settings
    found = extremes.extremes(planted.ratings, settings)
    assert [one.arm for one in found] == [arm.code for arm in settings.arms]
    scores = planted.ratings[planted.ratings["question"] == "realism"].dropna(subset=["value"])
    for one in found:
        means = scores[scores["arm"] == one.arm].groupby("stimulus_id")["value"].mean()
        assert one.best[0].mean == pytest.approx(float(means.max()))
        assert one.worst[0].mean == pytest.approx(float(means.min()))
        chosen = [image.stimulus_id for image in (*one.best, *one.worst)]
        assert len(chosen) == len(set(chosen)) == 4
        for image in (*one.best, *one.worst):
            assert image.mean == pytest.approx(float(means[image.stimulus_id]))


def test_images_with_few_answers_do_not_win() -> None:
    rows = [answer(f"R{r}", f"p{p}", "a", 3) for r in range(6) for p in range(4)]
    rows.append(answer("R0", "p9", "a", 5))
    found = extremes.extremes(ratings_of(rows), settings_of())
    assert [image.n for image in (*found[0].best, *found[0].worst)] == [6, 6, 6, 6]


def test_of_real_or_synthetic_the_best_images_are_those_taken_for_real() -> None:
    rows = [answer("R0", f"p{p}", "a", p + 1, question="origin") for p in range(5)]
    settings = settings_of(
        scales=(ORIGIN,), origin_question="origin", primary_question="origin"
    )
    (found,) = extremes.extremes(ratings_of(rows), settings)
    assert [image.mean for image in found.best] == [1, 2]
    assert [image.mean for image in found.worst] == [5, 4]


def test_the_images_themselves_are_shown_and_withheld_ones_framed(
    figures: dict[str, Figure], planted: Made
) -> None:
    with Image.open(figures["extremes"].png) as image:
        colours = {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3)[::7]}
    for one in extremes.extremes(planted.ratings, planted.analysis.settings):
        for image in (*one.best, *one.worst):
            if not one.is_real:
                assert (image.stimulus_id % 256, 77, 177) in colours
    told = texts(figures["extremes"])
    assert told.count("withheld by") == 4
    assert "not given" not in told


def test_images_that_are_not_given_or_broken_are_framed(planted: Made, tmp_path: Path) -> None:
    bare = draw_figure("extremes", planted.analysis, planted.ratings, tmp_path)
    assert texts(bare).count("not given") == 16
    images = {number: b"no PNG" for number in pictures(planted)}
    broken = draw_figure("extremes", planted.analysis, planted.ratings, tmp_path, images=images)
    assert texts(broken).count("not readable") == 12


def test_times_are_of_main_items_of_raters_who_count_once_each() -> None:
    rows = []
    for position in range(4):
        for question in ("realism", "alignment"):
            shown = {"question": question, "visible_ms": 2000, "position": position}
            rows.append(answer("R0", f"p{position}", "a", 3, **shown))
            rows.append(answer("R1", f"p{position}", "a", 3, **shown))
    rows.append(answer("R0", "p0", "a", 3, item_kind="repeat", visible_ms=9000, position=9))
    rows.append(answer("R0", "p8", "a", 3, visible_ms=0, position=8))
    settings = settings_of(scales=(REALISM, ALIGNMENT), excluded_raters={"R1": "left early"})
    found = times.item_times(ratings_of(rows), settings)
    assert found["rater_code"].tolist() == ["R0"] * 4
    assert found["position"].tolist() == [1, 2, 3, 4]
    assert set(found["seconds"]) == {2.0}


def test_raters_who_get_faster_are_described_so(figures: dict[str, Figure]) -> None:
    told = figures["times"].alt_text
    first, last = told.split("first places ")[1].rstrip(".").split(", at the last ")
    assert float(first.removesuffix(" s")) > 1.2 * float(last.removesuffix(" s"))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.25, "0.25 s"), (9.96, "10 s"), (12.4, "12 s"), (90, "1.5 min"), (7200, "2 h")],
)
def test_times_are_told_in_few_words(seconds: float, told: str) -> None:
    assert times.told_time(seconds) == told


def test_text_breaks_into_lines_that_fit() -> None:
    lines = lettering.wrapped(LONG + "x" * 80, 30, 6.5)
    assert "".join("".join(lines).split()) == "".join((LONG + "x" * 80).split())
    assert all(lettering.width_mm(line, 6.5) <= 30 for line in lines)
    short = lettering.wrapped(LONG, 30, 6.5, most_lines=2)
    assert len(short) == 2 and short[1].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert all(lettering.width_mm(line, 6.5) <= 30 for line in short)


def test_an_unknown_figure_is_refused(planted: Made, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        draw_figure("pie", planted.analysis, planted.ratings, tmp_path)


def test_drawing_changes_no_setting_of_matplotlib(planted: Made, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    for name in ("forest", "times", "extremes"):
        draw_figure(name, planted.analysis, planted.ratings, tmp_path)
    assert dict(mpl.rcParams) == before


def test_settings_of_matplotlib_do_not_change_a_figure(
    figures: dict[str, Figure], planted: Made, tmp_path: Path
) -> None:
    changed = {
        "font.size": 23, "font.family": "serif", "axes.facecolor": "red", "lines.linestyle": ":",
        "svg.fonttype": "path", "svg.hashsalt": "salt", "savefig.dpi": 30, "axes.grid": True,
        "figure.facecolor": "green", "text.color": "red", "patch.linewidth": 9, "axes.xmargin": 0.3,
    }  # fmt: skip
    with mpl.rc_context(changed):
        again = draw_figures(planted.analysis, planted.ratings, tmp_path, images=pictures(planted))
    for figure in again:
        assert figure.svg.read_bytes() == figures[figure.name].svg.read_bytes()
        assert figure.png.read_bytes() == figures[figure.name].png.read_bytes()


def test_pyplot_is_never_imported() -> None:
    script = (
        "import sys, json\n"
        "import rating.results.figures.drawing\n"
        "from rating.results.figures.sheet import Sheet\n"
        "from rating.results.figures.theme import LIGHT\n"
        "sheet = Sheet(LIGHT, 20, 'A title'); sheet.axes(5, 5, 10, 10)\n"
        "sheet.png('t', 'a'); sheet.svg('t', 'a')\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('matplotlib.pyplot')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
