"""What stands around the pictures of the Generate tab, as HTML: history, terms, models, messages.

Everything a person typed passes the templates' escaping.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import JobStatus, SavedJob
from msdm_core.generation.job_view import JobView
from msdm_core.generation.quantities import show_count
from msdm_core.generation.routes import image_url

WEB = Path(__file__).parents[1] / "web"
THUMBS = 4

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
STATUS_WORDS = {
    JobStatus.QUEUED: "waiting",
    JobStatus.LOADING: "loading the model",
    JobStatus.RUNNING: "drawing",
    JobStatus.SAVING: "saving",
    JobStatus.DONE: "done",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.INTERRUPTED: "interrupted",
}
_STATE_WORDS = {
    "download": "needs a download",
    "memory": "needs more memory",
    "gated": "licence to accept first",
    "broken": "broken",
    "missing": "missing",
}


@dataclass(frozen=True, slots=True)
class TermGroup:
    """What some models make of the terms of a prompt.

    Attributes:
        label: The models, empty where all chosen ones agree.
        known: Terms and what each is understood as.
        ignored: Words that change nothing.
        rare: Terms met rarely in training, as `known`.
    """

    label: str
    known: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    rare: tuple[tuple[str, str], ...]


def render_history(
    jobs: Sequence[SavedJob], active: Iterable[JobView], shown: str, has_more: bool
) -> str:
    """Returns the strip of jobs, newest first; `active` tells more of those still going."""
    statuses = {view.id: view.status for view in active}
    rows = [_history_values(job, statuses.get(job.id, job.status)) for job in jobs]
    return render("history.html", jobs=rows, shown=shown, has_more=has_more)


def render_terms(groups: Sequence[TermGroup], note: str = "") -> str:
    """Returns known, rare and ignored terms, once for all models that agree, below a note."""
    return render(
        "terms.html",
        note=note,
        is_empty=not any(group.known or group.ignored or group.rare for group in groups),
        groups=[
            {
                "label": group.label,
                "known": [{"text": text, "title": title} for text, title in group.known],
                "rare": [{"text": text, "title": title} for text, title in group.rare],
                "ignored": group.ignored,
            }
            for group in groups
        ],
    )


def render_models(catalogue: Catalogue) -> str:
    """Returns what the ready models are, and what each of the others needs."""
    ready: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for entry in catalogue:
        found = entry.availability()
        if found.is_ready:
            ready.append({"label": entry.label, "description": entry.description,
                          "facts": _model_facts(entry)})  # fmt: skip
        else:
            others.append({"label": entry.label, "state": found.state, "why": found.why,
                           "state_word": _STATE_WORDS.get(found.state, found.state),
                           "next_step": found.next_step})  # fmt: skip
    return render("models.html", ready=ready, others=others)


def render_alert(message: str) -> str:
    """Returns a message about something that did not work."""
    return _render_text('<p class="m-alert" role="alert">{{ message }}</p>', message=message)


def render_note(message: str) -> str:
    """Returns a message about something that was done."""
    return _render_text('<p class="m-alert m-note" role="status">{{ message }}</p>',
                        message=message)  # fmt: skip


def render(name: str, **values: object) -> str:
    """Returns a template of the web folder, filled in; values are escaped."""
    return _templates.get_template(name).render(**values)


def _render_text(template: str, **values: object) -> str:
    return _templates.from_string(template).render(**values)


def _model_facts(entry: ModelEntry) -> list[str]:
    steps, guidance = entry.resolved_defaults()
    parameters = entry.counted_parameters()
    facts = [f"{show_count(parameters)} parameters"] if parameters else []
    facts.append(f"{entry.native_size_px} x {entry.native_size_px} px")
    if steps is not None:
        facts.append(f"{steps} steps")
    if guidance is not None:
        facts.append(f"guidance {guidance:g}")
    return [*facts, entry.licence]


def _history_values(job: SavedJob, status: JobStatus) -> dict[str, Any]:
    count, models = len(job.images), len(job.request.model_ids)
    when = show_time(job.created_at)
    state = f"{count} images" if count > 1 else "1 image" if count else STATUS_WORDS[status]
    first = {image.model_id: image for image in reversed(job.images)}
    thumbs = [image_url(first[key].id) for key in job.request.model_ids if key in first]
    of_models = f"{models} models, " if models > 1 else ""
    return {
        "id": job.id,
        "prompt": job.request.prompt,
        "short_prompt": _OPENING.sub("", job.request.prompt),
        "thumbs": thumbs[:THUMBS],
        "status": "no image" if status is JobStatus.DONE else STATUS_WORDS[status],
        "badge": f"x{count}" if count > 1 else "",
        "meta": f"{of_models}seed {job.request.seed}",
        "label": f"Show {state}: {job.request.prompt}, {of_models}seed {job.request.seed}, {when}",
    }


def show_time(moment: datetime) -> str:
    """Returns a moment to the minute, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
