"""Tables of how raters told synthetic images from real ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .contrast import FIXED_RATERS
from .finding import Finding, Settings, Table
from .formatting import NONE, arm_label, interval_of, number, p_value, percent

if TYPE_CHECKING:
    from .detection import AreaDifference, Detections, PooledDetection, RaterDetection

NO_ACCURACY: Final = (
    "No accuracy, the share of right answers, is given: there are {images}, a proportion that the "
    "design fixed, and whoever called every image the more frequent kind would seem accurate."
)
AREA: Final = (
    "AUC: how often a synthetic image is taken for more synthetic than a real one, ties counted "
    "half; 0.5 is chance, below it synthetic images seem more real than real ones."
)
ALL_TOGETHER: Final = "All synthetic arms"
_DECIMALS: Final = {"area": 3, "dprime": 2, "criterion": 2, "sensitivity": 2, "specificity": 2}
_HEADINGS: Final = {
    "area": "AUC", "dprime": "d'", "criterion": "c", "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}  # fmt: skip


def detection_tables(detections: "Detections", settings: Settings) -> tuple[Table, ...]:
    """Return the tables of means of raters, of single raters, and of differences of arms.

    Args:
        detections: See `detection.detections`.
        settings:   Of the analysis.
    """
    title = "Real or synthetic: each arm against the same real images, means of raters"
    if detections.note:
        columns = ("Arm", *_columns(settings), "Based on")
        return (Table("detection", title, columns, (), (detections.note,)),)
    tables = [
        _pooled_table(detections, settings, title), _rater_table(detections.raters, settings)
    ]  # fmt: skip
    if detections.differences:
        tables.append(_difference_table(detections.differences, settings))
    return tuple(tables)


def _columns(settings: Settings) -> list[str]:
    level = percent(1 - settings.alpha)
    return [text for name in _HEADINGS.values() for text in (name, f"{name}, {level} interval")]


def _cells(one: "PooledDetection | RaterDetection") -> list[str]:
    cells = []
    for name, decimals in _DECIMALS.items():
        finding: Finding = getattr(one, name)
        cells += [number(finding.value, decimals), interval_of(finding, decimals)]
    return cells


def _name(arm: str, settings: Settings) -> str:
    return arm_label(settings, arm) if arm else ALL_TOGETHER


def _pooled_table(detections: "Detections", settings: Settings, title: str) -> Table:
    rows = [
        (_name(one.arm, settings), *_cells(one), one.area.n or NONE) for one in detections.pooled
    ]
    notes = [AREA, _calls(settings), NO_ACCURACY.format(images=detections.images)]
    notes.append(
        "The same real images serve every arm, so that the specificity of raters is one for all "
        "arms they judged, and areas of arms move together."
    )
    if any(not one.arm for one in detections.pooled):
        notes.append(f"{ALL_TOGETHER}: secondary, every synthetic image counted alike.")
    named = [(_name(one.arm, settings), one) for one in detections.pooled]
    notes += _own_notes(named)
    if any(one.is_fixed_raters for one in detections.pooled):
        notes.append(FIXED_RATERS)
    notes += _methods(detections.pooled)
    return Table("detection", title, ("Arm", *_columns(settings), "Based on"), tuple(rows),
                 tuple(notes))  # fmt: skip


def _methods(pooled: "Sequence[PooledDetection]") -> list[str]:
    """Return each method with what it is of."""
    told: dict[str, list[str]] = {}
    for name, heading in _HEADINGS.items():
        methods = dict.fromkeys(getattr(one, name).method for one in pooled)
        for method in methods:
            if method:
                told.setdefault(method.partition("; ")[2], []).append(heading)
    return [f"Means of {', '.join(names)}: {method}." for method, names in told.items()]


def _calls(settings: Settings) -> str:
    """Return from which answer on an image is called synthetic, and what cannot judge counts."""
    scale = settings.scale(settings.origin_question)
    middle = (scale.minimum + scale.maximum) / 2
    above = [
        label for point, label in enumerate(scale.labels, scale.minimum) if point > middle
    ]
    told = (
        f"Sensitivity is the share of synthetic images called synthetic ('{above[0]}' or above), "
        "specificity the share of real images called real. d' and the criterion c are of the same "
        "calls, with the log-linear correction; c below 0 is a bias towards calling images "
        "synthetic."
    )
    if middle == int(middle):
        between = scale.labels[int(middle) - scale.minimum]
        told += f" '{between}' calls an image neither and is right of none."
    if settings.cannot_judge == "worst":
        return f"{told} 'Cannot judge' counts as '{above[-1]}', as planned."
    return f"{told} 'Cannot judge' is left out."


def _own_notes(named: "Sequence[tuple[str, PooledDetection | RaterDetection]]") -> list[str]:
    """Return what single figures do not say, one sentence for those that share it."""
    told: dict[tuple[str, str], list[str]] = {}
    for name, one in named:
        for measure in _DECIMALS:
            own = getattr(one, measure).note.replace(FIXED_RATERS, "").strip()
            if own:
                told.setdefault((name, own), []).append(_HEADINGS[measure])
    return [
        f"{name}: {own}" if len(measures) == len(_DECIMALS) else
        f"{name}, {', '.join(measures)}: {own}"
        for (name, own), measures in told.items()
    ]  # fmt: skip


def _rater_table(raters: "Sequence[RaterDetection]", settings: Settings) -> Table:
    rows = [
        (one.rater_code, _name(one.arm, settings), *_cells(one), one.area.n or NONE)
        for one in raters
    ]
    named = [(f"{one.rater_code}, {_name(one.arm, settings)}", one) for one in raters]
    methods = [getattr(one, name).method for one in raters for name in _DECIMALS]
    notes = [*_own_notes(named), *(f"{method}." for method in dict.fromkeys(methods) if method)]
    notes.append("Intervals of single raters say nothing of other raters.")
    title = "Real or synthetic: each rater and arm against the same real images"
    columns = ("Rater", "Arm", *_columns(settings), "Based on")
    return Table("detection_raters", title, columns, tuple(rows), tuple(notes))


def _difference_table(differences: "Sequence[AreaDifference]", settings: Settings) -> Table:
    level = percent(1 - settings.alpha)
    rows, notes = [], []
    for one in differences:
        name = f"{_name(one.arm, settings)} - {_name(one.other, settings)}"
        rows.append((
            name, number(one.finding.value, 3), interval_of(one.finding, 3), p_value(one.p),
            p_value(one.p_holm), one.finding.n or NONE,
        ))  # fmt: skip
        if own := one.finding.note.replace(FIXED_RATERS, "").strip():
            notes.append(f"{name}: {own}")
    if any(FIXED_RATERS in one.finding.note for one in differences):
        notes.append(FIXED_RATERS)
    methods = dict.fromkeys(one.finding.method for one in differences if one.finding.method)
    notes += [f"{method}." for method in methods]
    notes.append(
        "Above 0 the first arm is told from real images more easily. p (Holm) is corrected over "
        "all pairs of synthetic arms; other p values and intervals are not adjusted. The real "
        "images, and prompts of both arms, are the same: the covariance is accounted for."
    )
    title = "Real or synthetic: differences of areas between arms"
    columns = ("Contrast", "Difference of AUC", f"{level} interval", "p", "p (Holm)", "Based on")
    return Table("detection_differences", title, columns, tuple(rows), tuple(notes))
