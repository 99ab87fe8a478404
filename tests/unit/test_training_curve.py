"""Contract: the figure of a training shows what its runs logged, once, and says what it cannot
draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from msdm_core.__main__ import main
from msdm_core.errors import TrainingError
from msdm_core.training.curve import panels_of, smoothed, told_name, training_curve
from msdm_core.training.metrics import joined, read_metrics

SHARES = {"right": 0.9, "texts_all_right": 0.4}
OCTAVES = {f"octave_{k}": 1 - k / 10 for k in range(7)}
ERRORS = {f"{which}_{level}": 0.5 + level for which in ("with_text", "without_text")
          for level in (0.25, 0.5, 0.75)}  # fmt: skip


def line(step: int, kind: str = "train", **figures: float) -> str:
    return json.dumps({"step": step, "samples": 16 * step, "minutes": round(step / 90, 2),
                       "kind": kind, **figures})  # fmt: skip


def run_of(folder: Path, *lines: str, end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("\n".join(lines) + end, encoding="utf-8")
    return folder


def denoiser(folder: Path, steps: int = 12000) -> Path:
    lines = []
    for step in range(60, steps + 1, 60):
        loss = 2 / step**0.3
        lines.append(line(step, denoiser_loss=loss, denoiser_gradient=1.0, mse=loss))
        if step % 1200 == 0:
            lines.append(line(step, "validation", **ERRORS))
    return run_of(folder, *lines)


def autoencoder(folder: Path) -> Path:
    lines = [line(0, "validation", psnr=28.0, ssim=0.8, **OCTAVES)]
    lines += [line(step, autoencoder_loss=0.1, discriminator_loss=2.0, pixel=0.05)
              for step in range(10, 400, 10)]  # fmt: skip
    return run_of(folder, *lines, line(400, "validation", psnr=29.5, ssim=0.85, **OCTAVES))


def figure_of(**runs: Path) -> Any:
    figure = training_curve({label: read_metrics(folder) for label, folder in runs.items()})
    FigureCanvasAgg(figure).draw()
    return figure


def words_of(figure: Any) -> list[str]:
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    labels = [axes.xaxis.label for axes in (*figure.axes, *below(figure))]
    return [text.get_text() for text in (*figure.texts, *legends, *labels)]


def below(figure: Any) -> list[Any]:
    """Returns the axes of hours."""
    return [child for axes in figure.axes for child in axes.child_axes]


def test_every_unit_has_a_panel_of_its_own_and_what_explains_a_loss_has_none(
    tmp_path: Path,
) -> None:
    panels = panels_of(read_metrics(autoencoder(tmp_path)))
    assert list(panels) == ["loss of the autoencoder", "loss of the discriminator", "PSNR (dB)",
                            "SSIM", "power over real, by octave"]  # fmt: skip
    assert [one.name for one in panels["power over real, by octave"]] == list(OCTAVES)
    assert [one.values for one in panels["PSNR (dB)"]] == [[28.0, 29.5]]


def test_a_loss_on_unseen_images_lies_beside_the_training_loss(tmp_path: Path) -> None:
    run = run_of(tmp_path, line(10, clip_loss=4.0, hits=0.2),
                 line(20, "validation", loss=3.9, hits=0.5, chance=0.2))  # fmt: skip
    panels = panels_of(read_metrics(run))
    assert [one.name for one in panels["loss"]] == ["clip_loss", "loss"]
    assert [one.name for one in panels["share, 0 to 1"]] == ["hits", "chance"]


def test_a_figure_that_nobody_foresaw_has_a_panel_too(tmp_path: Path) -> None:
    run = run_of(tmp_path, line(1, prior_loss=1.0), line(2, "validation", words_per_image=12.5))
    assert list(panels_of(read_metrics(run))) == ["loss", "words_per_image"]
    assert "words_per_image" in words_of(figure_of(one=run))


def test_the_axes_count_samples_and_hours(tmp_path: Path) -> None:
    figure = figure_of(run=denoiser(tmp_path))
    assert {"samples", "hours of training"} <= set(words_of(figure))
    assert figure.axes[0].get_xlim() == (0, 16 * 12000)
    [hours] = below(figure)
    places = dict(zip([t.get_text() for t in hours.get_xticklabels()], hours.get_xticks(),
                      strict=True))  # fmt: skip
    assert places["1"] == pytest.approx(16 * 60 * 90, rel=0.01)  # 90 steps a minute
    assert "minutes of training" in words_of(figure_of(run=autoencoder(tmp_path / "short")))


def test_points_stand_where_they_were_logged(tmp_path: Path) -> None:
    figure = figure_of(run=autoencoder(tmp_path))
    lines = {one.get_label(): one for axes in figure.axes for one in axes.lines}
    assert list(lines["psnr"].get_xdata()) == [0, 16 * 400]
    assert list(lines["psnr"].get_ydata()) == [28.0, 29.5]
    assert {"1\N{EN DASH}2 cycles", "64\N{EN DASH}128 cycles"} <= lines.keys()


def test_a_smoothed_loss_starts_and_ends_with_the_loss_and_keeps_a_straight_line() -> None:
    straight = [3.0 * k for k in range(40)]
    assert smoothed(straight, 7) == pytest.approx(straight)
    rough = [(-1.0) ** k for k in range(41)]
    assert abs(smoothed(rough, 9)[5:-5]).max() < 0.12
    assert smoothed(rough, 9)[[0, -1]].tolist() == [rough[0], rough[-1]]
    assert smoothed([5.0], 9).tolist() == [5.0]


def test_pieces_of_one_training_go_on_where_the_one_before_ended(tmp_path: Path) -> None:
    first, second = denoiser(tmp_path / "a", 1200), denoiser(tmp_path / "b", 2400)
    both = joined([read_metrics(first), read_metrics(second)])
    assert both[-1].samples == 16 * 3600
    assert both[-1].minutes == pytest.approx(40, abs=0.05)
    assert [entry.samples for entry in both] == sorted(entry.samples for entry in both)


def test_steps_that_were_logged_again_after_a_kill_count_once(tmp_path: Path) -> None:
    run = run_of(tmp_path, line(10, prior_loss=1.0), line(20, prior_loss=9.0),
                 line(30, prior_loss=9.0), line(20, prior_loss=0.8), line(25, prior_loss=0.7),
                 line(25, "validation", loss=0.9))  # fmt: skip
    found = read_metrics(run)
    assert [entry.samples for entry in found] == [160, 320, 400, 400]
    assert [entry.figures.get("prior_loss") for entry in found] == [1.0, 0.8, 0.7, None]


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    whole = [line(10, prior_loss=1.0), line(20, prior_loss=0.9)]
    run = run_of(tmp_path, *whole, line(30, prior_loss=0.8)[:25], end="")
    assert len(read_metrics(run)) == 2


def test_a_figure_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    run = run_of(tmp_path, line(10, prior_loss=1.0), line(20, "validation", loss=float("nan")))
    assert read_metrics(run)[1].figures == {}
    assert len(figure_of(run=run).axes) == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (None, "no metrics.jsonl"),
        ([], "no metrics yet"),
        (["{}", line(10, prior_loss=1.0)], "Line 1"),
        ([line(10, prior_loss=1.0), "half a li", line(20, prior_loss=1.0)], "Line 2"),
        (["[]", line(10, prior_loss=1.0)], "Line 1"),
    ],
)
def test_a_run_without_usable_metrics_is_refused_by_name(
    lines: list[str] | None, says: str, tmp_path: Path
) -> None:
    run = tmp_path / "a-run"
    run.mkdir()
    if lines is not None:
        run_of(run, *lines)
    with pytest.raises(TrainingError, match=says) as refused:
        read_metrics(run)
    assert "a-run" in str(refused.value)


def test_different_runs_stand_side_by_side_on_the_same_axes(tmp_path: Path) -> None:
    long, short = denoiser(tmp_path / "a"), denoiser(tmp_path / "b", 2400)
    figure = figure_of(MSDM=long, FLUX=short)
    assert len(figure.axes) == 4
    assert {"MSDM", "FLUX"} <= set(words_of(figure))
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert len({axes.get_ylim() for axes in figure.axes[:2]}) == 1
    assert len(below(figure)) == 2


@pytest.mark.parametrize("make", [denoiser, autoencoder])
@pytest.mark.parametrize("labels", [("",), ("one run", "another run of a $very$ long name" * 4)])
def test_no_words_lie_on_others_or_off_the_page(
    make: Any, labels: tuple[str, ...], tmp_path: Path
) -> None:
    figure = figure_of(**{label: make(tmp_path / str(i)) for i, label in enumerate(labels)})
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [*figure.texts, *(axes.xaxis.label for axes in (*figure.axes, *below(figure)))]
    parts = [*figure.legends, *(text for text in texts if text.get_text())]
    for axes in (*figure.axes, *below(figure)):
        low, high = axes.get_xlim()
        parts += [tick.label1 for tick in axes.xaxis.get_major_ticks()
                  if low <= tick.get_loc() <= high and tick.label1.get_visible()]  # fmt: skip
    boxes = [part.get_window_extent(renderer).padded(-0.3) for part in parts]
    assert len(boxes) > 12
    width, height = figure.bbox.size
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height, parts[index]
        for other in range(index):
            assert not box.overlaps(boxes[other]), (parts[index], parts[other])


def test_figures_are_called_as_a_person_reads_them() -> None:
    assert told_name("without_text_0.25") == "without text, noise 0.25"
    assert told_name("octave_3") == "8\N{EN DASH}16 cycles"
    assert told_name("finding:ulcerative colitis") == "ulcerative colitis"
    assert told_name("right_where_said") == "right where said"


def test_the_command_writes_png_and_svg(tmp_path: Path) -> None:
    run = str(autoencoder(tmp_path / "run"))
    for name in ("curve.png", "curve.svg"):
        assert main(["train", "curve", run, run, "--out", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / "curve.png") as page:
        assert page.width > 1000
    assert ElementTree.parse(tmp_path / "curve.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("{run}", "--out", "{here}/curve.jpg"), ".png or .svg"),
        (("{run}", "--out", "{here}/nowhere/curve.png"), "cannot be written"),
        (("{here}/nothing", "--out", "{here}/curve.png"), "no folder"),
        (("{run}", "{run}", "--labels", "one", "--out", "{here}/c.png"), "1 names for 2 runs"),
        (("{run}", "{run}", "--labels", "one", "one", "--out", "{here}/c.png"), "name of its own"),
        ((*["{run}"] * 5, "--labels", *"abcde", "--out", "{here}/c.png"), "4 runs at most"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_message(
    options: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"here": tmp_path, "run": denoiser(tmp_path / "run", 1200)}
    assert main(["train", "curve", *(option.format(**places) for option in options)]) == 2
    assert says in capsys.readouterr().err
