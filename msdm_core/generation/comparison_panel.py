"""The result area of the Generate tab, as HTML: one comparison, its columns, its pictures."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msdm_core.errors import CoreError
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import JobStatus, SavedImage
from msdm_core.generation.job_view import ColumnView, JobView
from msdm_core.generation.panel import STATUS_WORDS, render, show_time
from msdm_core.generation.quantities import (
    show_bytes,
    show_count,
    show_duration,
    show_flops,
    show_seconds,
)
from msdm_core.generation.routes import archive_url, image_url


def render_job(
    view: JobView | None, catalogue: Catalogue, previews: Mapping[str, bytes] | None = None
) -> str:
    """Returns the result area for a comparison, or its empty state for None.

    Args:
        view: the comparison.
        catalogue: labels and licences of its models.
        previews: JPEG bytes by model id, of what is being drawn.
    """
    entries = _entries(catalogue, view.request.model_ids) if view else {}
    return render(
        "job.html",
        job=_job_values(view, entries, previews or {}) if view else None,
        licences=_licences(entries.values()),
    )


def announce(view: JobView | None) -> str:
    """Returns the one sentence a screen reader speaks when the state of a job changes."""
    if view is None:
        return ""
    if view.status is JobStatus.DONE:
        count = len(view.images)
        said = "One image is done." if count == 1 else f"{count} images are done."
        return f"{said} {view.message}".strip()
    return view.message if view.status.is_final else _headline(view)


def _entries(catalogue: Catalogue, model_ids: Sequence[str]) -> dict[str, ModelEntry]:
    found: dict[str, ModelEntry] = {}
    for model_id in model_ids:
        try:
            found[model_id] = catalogue[model_id]
        except CoreError:  # a model of an old job may have left the catalogue
            continue
    return found


def _licences(entries: Iterable[ModelEntry]) -> list[dict[str, str]]:
    labels: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        labels.setdefault((entry.licence, entry.licence_url), []).append(entry.label)
    one_for_all = len(labels) == 1
    return [
        {"name": name, "url": url,
         "labels": "Licence of the weights" if one_for_all else ", ".join(names)}
        for (name, url), names in labels.items()
    ]  # fmt: skip


def _job_values(
    view: JobView, entries: Mapping[str, ModelEntry], previews: Mapping[str, bytes]
) -> dict[str, Any]:
    request = view.request
    is_active = not view.status.is_final
    labels = {key: entries[key].label if key in entries else key for key in request.model_ids}
    is_grid = len(request.model_ids) > 1
    # What went wrong in a column is told in the column, once.
    has_ended_itself = view.status in {JobStatus.DONE, JobStatus.FAILED}
    is_told = is_active or (is_grid and has_ended_itself)
    return {
        "id": view.id,
        "status": view.status.value,
        "is_active": is_active,
        "is_grid": is_grid,
        "headline": _headline(view),
        "detail": _detail(view),
        "fraction": view.fraction if view.status is not JobStatus.QUEUED else None,
        "alert": "" if is_told else view.message or view.columns[0].message,
        "prompt": request.prompt,
        "image_count": len(view.images),
        "choices": [
            {"id": image.id, "url": image_url(image.id), "label": _image_label(image, labels)}
            for image in view.images
        ],
        "columns": [_column_values(c, labels, entries, request.image_count) for c in view.columns],
        "rows": _rows(view, labels, previews),
        "zip_url": archive_url(view.id),
    }


def _rows(
    view: JobView, labels: Mapping[str, str], previews: Mapping[str, bytes]
) -> list[list[dict[str, Any]]]:
    """Returns the spots of the grid, row by row; rows that will stay empty are left out."""
    rows = []
    for position in range(view.request.image_count):
        row = [_spot(view, column, position, labels, previews) for column in view.columns]
        if not view.status.is_final or any(spot["image"] for spot in row):
            rows.append(row)
    return rows


def _spot(
    view: JobView, column: ColumnView, position: int, labels: Mapping[str, str],
    previews: Mapping[str, bytes],
) -> dict[str, Any]:  # fmt: skip
    image = next((image for image in column.images if image.position == position), None)
    is_drawn_now = column.image_position == position and column.status in {
        JobStatus.LOADING, JobStatus.RUNNING, JobStatus.SAVING,
    }  # fmt: skip
    preview = previews.get(column.model_id) if is_drawn_now else None
    data = base64.b64encode(preview).decode() if preview else ""
    word = STATUS_WORDS[column.status] if is_drawn_now or column.status.is_final else "waiting"
    return {
        "image": _image_values(image, labels) if image else None,
        "preview": f"data:image/jpeg;base64,{data}" if data else "",
        "step": column.step,
        "word": "no image" if word == "done" else word,
    }


def _column_values(
    column: ColumnView, labels: Mapping[str, str], entries: Mapping[str, ModelEntry],
    image_count: int,
) -> dict[str, Any]:  # fmt: skip
    entry = entries.get(column.model_id)
    is_active = not column.status.is_final
    return {
        "id": column.model_id,
        "status": column.status.value,
        "is_active": is_active,
        "label": labels[column.model_id],
        "description": entry.description if entry else "",
        "state": _column_state(column, image_count),
        "fraction": column.drawn(image_count) / image_count if column.images or column.step else (
            None if column.status is JobStatus.LOADING else 0.0
        ),
        "alert": "" if is_active else column.message,
    }  # fmt: skip


def _column_state(column: ColumnView, image_count: int) -> str:
    if column.status is JobStatus.DONE:
        duration_s = sum(image.cost.get("duration_s", 0) for image in column.images)
        return f"done in {show_seconds(duration_s)}"
    word = STATUS_WORDS[column.status].capitalize()
    if column.status is JobStatus.RUNNING and column.total_steps:
        word = f"Step {column.step} of {column.total_steps}"
        if image_count > 1:
            word += f", image {column.image_position + 1} of {image_count}"
    elif column.status is JobStatus.QUEUED and column.images:
        word = f"{len(column.images)} of {image_count} done, waiting for its turn"
    return word


def _headline(view: JobView) -> str:
    if view.status is JobStatus.DONE:
        failed = sum(column.status is not JobStatus.DONE for column in view.columns)
        return f"Done, {failed} of {len(view.columns)} models failed" if failed else "Done"
    if view.status.is_final:
        return view.status.value.capitalize()
    if view.is_cancelling:
        if view.status is JobStatus.LOADING:
            return "Cancelling when the model has loaded"
        return "Cancelling at the next step"
    if view.status is JobStatus.QUEUED:
        place = view.queue_position
        return "Next in the queue" if place == 1 else f"Number {place} in the queue"
    if view.status is JobStatus.LOADING and not view.images:
        return "Loading the model"
    total = view.request.image_count * len(view.request.model_ids)
    if total > 1:
        return f"Drawing, {len(view.images)} of {total} images done"
    return "Saving" if view.status is JobStatus.SAVING else "Drawing"


def _detail(view: JobView) -> str:
    if view.status.is_final:
        duration_s = sum(image.cost.get("duration_s", 0) for image in view.images)
        return f"drawn in {show_seconds(duration_s)}" if view.images else ""
    if view.left_s is not None and view.left_s >= 1.5:
        return f"about {show_duration(view.left_s)} left"
    if view.status is JobStatus.LOADING:
        return "the first time takes a little longer"
    column = view.columns[0]
    if len(view.columns) == 1 and column.total_steps:
        return f"step {column.step} of {column.total_steps}"
    return ""


def _image_label(image: SavedImage, labels: Mapping[str, str]) -> str:
    return f"{labels.get(image.model_id, image.model_id)}, seed {image.seed}"


def _image_values(image: SavedImage, labels: Mapping[str, str]) -> dict[str, Any]:
    facts = image.provenance
    guidance = facts.get("guidance")
    return {
        "id": image.id,
        "url": image_url(image.id),
        "seed": image.seed,
        "size_px": facts.get("width_px"),
        "label": _image_label(image, labels),
        "cost": _cost(image.cost),
        "facts": [
            ("Model", facts.get("model_label")),
            ("Seed", image.seed),
            ("Steps", facts.get("steps")),
            ("Guidance", "none" if guidance is None else f"{guidance:g}"),
            ("Size", f"{facts.get('width_px')} x {facts.get('height_px')} px"),
            *_more_facts(facts),
        ],
        "warning": _nearness_warning(facts.get("nearness") or {}),
    }


def _cost(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what an image cost as (what it is, short text)."""
    shown: list[tuple[str, str]] = []
    if (duration_s := cost.get("duration_s")) is not None:
        shown.append(("time to draw", show_seconds(duration_s)))
    if cost.get("load_s"):
        shown.append(("time to load the model, once", f"+ {show_seconds(cost['load_s'])} loading"))
    if cost.get("steps") is not None:
        shown.append(("sampling steps", f"{cost['steps']} steps"))
    if cost.get("peak_memory_bytes"):
        shown.append(("peak memory of this model", show_bytes(cost["peak_memory_bytes"])))
    if cost.get("parameters"):
        shown.append(("parameters of all parts", f"{show_count(cost['parameters'])} parameters"))
    if cost.get("flops"):
        shown.append(("work of this image", show_flops(cost["flops"])))
    return shown


def _nearness_warning(nearness: Mapping[str, Any]) -> str:
    """Returns what is to be known before an image is shared, empty where nothing is."""
    if not nearness.get("is_near"):
        return ""
    return (
        "Unusually near to a training image: nearer than 99 % of training images are to those of "
        "other patients. It may show a real patient; do not share it."
    )


def _nearness_fact(nearness: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "percentile" not in nearness:
        return []
    told = f"{nearness['percentile']:g} % of unseen real images are nearer to theirs"
    return [("Nearest training image", told)]


def _more_facts(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    versions = facts.get("library_versions", {})
    return [
        ("Weights SHA-256", facts.get("weights_sha256") or "not computed"),
        ("Sampler", facts.get("scheduler")),
        *_nearness_fact(facts.get("nearness") or {}),
        ("Device", f"{facts.get('device')}, {facts.get('dtype')}"),
        ("Made", show_time(datetime.fromisoformat(str(facts.get("created_at"))))),
        ("Software", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Licence", facts.get("licence")),
    ]
