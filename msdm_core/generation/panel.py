"""What the Generate tab shows, as HTML: a job, the history, the terms of a prompt, a model.

Everything a person typed passes the templates' escaping.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from msdm_core.errors import CoreError
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import JobStatus, SavedImage, SavedJob
from msdm_core.generation.job_view import JobView
from msdm_core.generation.routes import PREFIX

WEB = Path(__file__).parents[1] / "web"

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(WEB),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)

# Most prompts open alike; in the narrow strip the words that differ count.
_OPENING = re.compile(
    r"^(generate|create) an? (image|picture)( (containing|showing|with|from|of))?\s+", re.IGNORECASE
)
_STATUS_WORDS = {
    JobStatus.QUEUED: "waiting",
    JobStatus.LOADING: "loading",
    JobStatus.RUNNING: "drawing",
    JobStatus.SAVING: "saving",
    JobStatus.DONE: "no image",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.INTERRUPTED: "interrupted",
}


def render_job(view: JobView | None, catalogue: Catalogue, preview: bytes | None = None) -> str:
    """Returns the result area for a job, or its empty state for None."""
    entry = _entry(catalogue, view.request.model_id) if view else None
    return _render(
        "job.html",
        job=_job_values(view, entry, preview) if view else None,
        licence=entry.licence if entry else "",
        licence_url=entry.licence_url if entry else "",
    )


def announce(view: JobView | None) -> str:
    """Returns the one sentence a screen reader speaks when the state of a job changes."""
    if view is None:
        return ""
    if view.status is JobStatus.DONE:
        count = len(view.images)
        return "One image is done." if count == 1 else f"{count} images are done."
    if view.status.is_final:
        return view.message
    return _headline(view)


def render_history(
    jobs: Sequence[SavedJob], active: Iterable[JobView], shown: str, has_more: bool
) -> str:
    """Returns the strip of jobs, newest first; `active` tells more of those still going."""
    statuses = {view.id: view.status for view in active}
    rows = [_history_values(job, statuses.get(job.id, job.status)) for job in jobs]
    return _render("history.html", jobs=rows, shown=shown, has_more=has_more)


def render_terms(
    known: Sequence[tuple[str, str]],
    ignored: Sequence[str],
    rare: Sequence[tuple[str, str]] = (),
) -> str:
    """Returns known and rare terms (text, what it is understood as) and ignored words."""
    return _render(
        "terms.html",
        is_empty=not known and not ignored and not rare,
        known=[{"text": text, "title": title} for text, title in known],
        rare=[{"text": text, "title": title} for text, title in rare],
        ignored=[{"text": text} for text in ignored],
    )


def render_model(entry: ModelEntry) -> str:
    """Returns whether the model is ready, and what it is or what it needs."""
    availability = entry.availability()
    return _render(
        "model.html",
        is_ready=availability.is_ready,
        state=availability.state,
        why=availability.why,
        next_step=availability.next_step,
        facts=_model_facts(entry) if availability.is_ready else [],
    )


def render_alert(message: str) -> str:
    """Returns a message about something that did not work."""
    return _render_text('<p class="m-alert" role="alert">{{ message }}</p>', message=message)


def _render(name: str, **values: object) -> str:
    return _templates.get_template(name).render(**values)


def _render_text(template: str, **values: object) -> str:
    return _templates.from_string(template).render(**values)


def _entry(catalogue: Catalogue, model_id: str) -> ModelEntry | None:
    try:
        return catalogue[model_id]
    except CoreError:  # a model of an old job may have left the catalogue
        return None


def _model_facts(entry: ModelEntry) -> list[str]:
    steps, guidance = entry.resolved_defaults()
    parameters = entry.counted_parameters()
    facts = [f"{parameters / 1e6:.1f} M parameters"] if parameters else []
    facts.append(f"{entry.native_size_px} x {entry.native_size_px} px")
    if steps is not None:
        facts.append(f"{steps} steps")
    if guidance is not None:
        facts.append(f"guidance {guidance:g}")
    return [*facts, entry.licence]


def _job_values(view: JobView, entry: ModelEntry | None, preview: bytes | None) -> dict[str, Any]:
    is_active = not view.status.is_final
    request = view.request
    data = base64.b64encode(preview).decode() if preview else ""
    return {
        "id": view.id,
        "status": view.status.value,
        "is_active": is_active,
        "is_single": request.image_count == 1,
        "headline": _headline(view),
        "detail": _detail(view),
        "fraction": view.fraction if view.total_steps else None,
        "alert": "" if is_active else view.message,
        "step": view.step,
        "preview": f"data:image/jpeg;base64,{data}" if data else "",
        "prompt": request.prompt,
        "images": [_image_values(image) for image in view.images],
        "open_count": request.image_count - len(view.images) if is_active else 0,
        "zip_url": f"{PREFIX}/jobs/{view.id}.zip",
        "facts": [
            ("Model", entry.label if entry else request.model_id),
            ("Seed", request.seed),
            ("Steps", request.steps or "auto"),
            ("Guidance", "auto" if request.guidance is None else f"{request.guidance:g}"),
        ],
    }


def _headline(view: JobView) -> str:
    if view.status.is_final:
        return view.status.value.capitalize()
    if view.is_cancelling:
        if view.status is JobStatus.LOADING:
            return "Cancelling when the model has loaded"
        return "Cancelling at the next step"
    if view.status is JobStatus.QUEUED:
        place = view.queue_position
        return "Next in the queue" if place == 1 else f"Number {place} in the queue"
    if view.status is JobStatus.LOADING:
        return "Loading the model"
    if view.request.image_count > 1:
        return f"Drawing image {view.image_position + 1} of {view.request.image_count}"
    return "Saving" if view.status is JobStatus.SAVING else "Drawing"


def _detail(view: JobView) -> str:
    if view.status.is_final:
        duration_s = sum(image.provenance.get("duration_s", 0) for image in view.images)
        return f"drawn in {show_seconds(duration_s)}" if view.images else ""
    if view.status is JobStatus.LOADING:
        return "the first time takes a little longer"
    if not view.total_steps:
        return ""
    text = f"step {view.step} of {view.total_steps}"
    if view.left_s is not None and view.left_s >= 1.5:
        text += f", about {show_duration(view.left_s)} left"
    return text


def show_duration(duration_s: float) -> str:
    """Returns a duration in words: 45 s, 3 min, 2 h 5 min."""
    if duration_s < 90:
        return f"{duration_s:.0f} s"
    minutes = round(duration_s / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def show_seconds(duration_s: float) -> str:
    """Returns a measured duration: 1.6 s, then as `show_duration`."""
    return f"{duration_s:.1f} s" if duration_s < 10 else show_duration(duration_s)


def image_url(image: SavedImage) -> str:
    """Returns the address of an image, byte for byte as it was saved."""
    return f"{PREFIX}/images/{image.id}.png"


def _image_values(image: SavedImage) -> dict[str, Any]:
    facts = image.provenance
    guidance = facts.get("guidance")
    return {
        "url": image_url(image),
        "seed": image.seed,
        "size_px": facts.get("width_px"),
        "facts": [
            ("Model", facts.get("model_label")),
            ("Seed", image.seed),
            ("Steps", facts.get("steps")),
            ("Guidance", "none" if guidance is None else f"{guidance:g}"),
            ("Size", f"{facts.get('width_px')} x {facts.get('height_px')} px"),
            ("Time", show_seconds(facts.get("duration_s", 0))),
        ],
        "more_facts": _more_facts(facts),
    }


def _more_facts(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    versions = facts.get("library_versions", {})
    return [
        ("Weights SHA-256", facts.get("weights_sha256") or "not computed"),
        ("Sampler", facts.get("scheduler")),
        ("Device", f"{facts.get('device')}, {facts.get('dtype')}"),
        ("Made", _show_time(datetime.fromisoformat(str(facts.get("created_at"))))),
        ("Software", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Licence", facts.get("licence")),
    ]


def _history_values(job: SavedJob, status: JobStatus) -> dict[str, Any]:
    count = len(job.images)
    when = _show_time(job.created_at)
    state = f"{count} images" if count > 1 else "1 image" if count else _STATUS_WORDS[status]
    return {
        "id": job.id,
        "prompt": job.request.prompt,
        "short_prompt": _OPENING.sub("", job.request.prompt),
        "thumb": image_url(job.images[0]) if job.images else "",
        "status": _STATUS_WORDS[status],
        "badge": f"x{count}" if count > 1 else "",
        "meta": f"seed {job.request.seed}",
        "label": f"Show {state}: {job.request.prompt}, seed {job.request.seed}, {when}",
    }


def _show_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
