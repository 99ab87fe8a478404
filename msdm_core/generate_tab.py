"""The Generate tab: from a prompt to saved images, observed while they are drawn.

The tab only observes jobs; the truth is in the queue and the history, so a reload loses nothing.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from data.errors import DataError
from data.prompt_builder import PROMPT_CHOICES, build_prompt, example_prompts
from data.trained_terms import RARE_BELOW, images_of, read_trained_terms
from data.vocabulary import find_terms
from msdm_core.errors import CoreError
from msdm_core.generation import panel
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.job_view import JobView
from msdm_core.generation.messages import person_message
from msdm_core.generation.request import MAX_IMAGES, check_request, random_seed
from msdm_core.generation.service import GenerationService
from msdm_core.headers import browser_name

POLL_S = 0.5
HISTORY_PAGE = 12
SHOWN_EXAMPLES = 6
NARROW_PX = 900
_PAGE_JS = (panel.WEB / "page.js").read_text(encoding="utf-8")
# Where the columns stand below each other, the result would otherwise start out of sight.
_SCROLL_JS = f"""() => {{
  if (window.innerWidth < {NARROW_PX} && !document.querySelector("#alert .m-alert"))
    document.querySelector("#result").scrollIntoView({{behavior: "smooth"}});
}}"""
_CHOICE_LABELS = {
    "finding_cells": "Where the findings are",
    "finding_count": "Number of findings",
    "polyp_count": "Number of polyps",
    "polyp_sizes": "Polyp size",
    "paris_types": "Paris type",
    "instrument_count": "Number of instruments",
    "instrument_cells": "Where the instruments are",
    "landmark_cells": "Where the landmarks are",
    "has_text": "Burned-in text",
    "has_box": "Box artefact",
}
_FLAG_CHOICES = (("", ""), ("yes", True), ("no", False))
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def theme() -> gr.themes.Base:
    """Returns the theme of every tab: neutral, one accent, fonts of the system only."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_sm,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
    )


def stylesheet() -> Path:
    """Returns the file with the styles of the tab."""
    return panel.WEB / "page.css"


def some_examples(limit: int = SHOWN_EXAMPLES) -> list[str]:
    """Returns prompts spread evenly over the list of examples, none when it is missing."""
    try:
        prompts = example_prompts()
    except (OSError, DataError):
        return []
    return list(prompts[:: max(1, len(prompts) // limit)][:limit])


def show_terms(prompt: str, entry: ModelEntry) -> str:
    """Returns, as HTML, which terms of a prompt a model knows, hardly knows and ignores."""
    counts = read_trained_terms(entry.folder) if entry.folder else None
    trained = None if counts is None else [name for name, images in counts.items() if images]
    report = find_terms(prompt or "", trained)
    known: list[tuple[str, str]] = []
    rare: list[tuple[str, str]] = []
    for term in report.known:
        images = None if counts is None else images_of(term, counts)
        title = f"understood as {term.concept}"
        if images is not None:
            title += f"; stated of {images} training images"
        is_rare = images is not None and images < RARE_BELOW
        (rare if is_rare else known).append((term.text, title))
    return panel.render_terms(known, [span.text for span in report.ignored], rare)


def translated(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the handler with its errors shown to the person as a notice on the page."""

    @functools.wraps(handler)
    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except Exception as error:
            raise gr.Error(person_message(error), print_exception=False) from error

    return run


class GenerateTab:
    """The components of the tab and what they do."""

    def __init__(self, service: GenerationService) -> None:
        """Builds the components inside the surrounding `gr.Blocks`."""
        self._service = service
        self._shown = gr.State("")
        self._history_limit = gr.State(HISTORY_PAGE)
        self._fingerprint = gr.State({})
        with gr.Row(elem_id="generate", equal_height=False):
            with gr.Column(scale=5, min_width=340, elem_id="controls"):
                self._build_prompt()
                self._build_numbers()
                self._build_actions()
                self._build_aids()
                self._build_model()
            with gr.Column(scale=6, min_width=340, elem_id="result"):
                self._job = gr.HTML(
                    panel.render_job(None, service.catalogue), js_on_load=_PAGE_JS, elem_id="job"
                )
                self._spoken = gr.HTML(
                    "",
                    elem_id="spoken",
                    js_on_load="element.setAttribute('aria-live', 'polite')",
                )
                gr.HTML("<h2>History</h2>", elem_id="history-title")
                self._history = gr.HTML("", js_on_load=_PAGE_JS, elem_id="history")
        self._timer = gr.Timer(POLL_S, active=False)

    def _build_prompt(self) -> None:
        self._prompt = gr.Textbox(
            label="Prompt",
            placeholder="Describe the picture, for example: a polyp in the lower right",
            lines=3,
            max_lines=8,
            elem_id="prompt",
        )
        self._terms = gr.HTML(panel.render_terms([], []), elem_id="terms")

    def _build_numbers(self) -> None:
        with gr.Row(elem_id="seed-row"):
            self._seed = gr.Number(
                random_seed, label="Seed", precision=0, min_width=130, scale=3, elem_id="seed"
            )
            self._dice = gr.Button("Random", size="md", min_width=90, scale=1, elem_id="dice")
            self._keep = gr.Checkbox(
                label="Keep seed", min_width=120, scale=1, container=False, elem_id="keep"
            )
        with gr.Row(elem_id="number-row"):
            self._count = gr.Number(
                1, label="Images", info=f"1 to {MAX_IMAGES}", min_width=90, elem_id="count"
            )
            self._steps = gr.Number(
                0, label="Steps", info="0: automatic", min_width=90, elem_id="steps"
            )
            self._guidance = gr.Number(
                0, label="Guidance", info="0: automatic", step=0.5, min_width=90,
                elem_id="guidance",
            )  # fmt: skip

    def _build_actions(self) -> None:
        self._alert = gr.HTML("", elem_id="alert")
        with gr.Row(elem_id="actions"):
            self._generate = gr.Button(
                "Generate", variant="primary", min_width=120, elem_id="generate-button"
            )
            self._cancel = gr.Button(
                "Cancel", interactive=False, min_width=90, elem_id="cancel-button"
            )

    def _build_aids(self) -> None:
        if examples := some_examples():
            with gr.Column(elem_id="examples"):
                gr.Examples([[line] for line in examples], [self._prompt], label="Examples")
        with gr.Accordion("Build a prompt", open=False, elem_id="builder"):
            with gr.Row():
                self._choices = {name: _choice(name) for name in PROMPT_CHOICES}
            self._build = gr.Button("Use as prompt", size="md", elem_id="build-button")

    def _build_model(self) -> None:
        first = self._service.catalogue.first_ready()
        self._model = gr.Dropdown(
            [(_model_label(entry), entry.id) for entry in self._service.catalogue],
            value=first.id,
            label="Model",
            elem_id="model",
        )
        self._model_state = gr.HTML(panel.render_model(first), elem_id="model-state")

    def bind(self, demo: gr.Blocks) -> None:
        """Connects the components; call it inside the `gr.Blocks` that holds them."""
        self._bind_prompt()
        self._bind_numbers()
        observed = [self._shown, self._history_limit, self._fingerprint]
        seen = [
            self._job, self._spoken, self._history, self._cancel, self._timer, self._fingerprint,
        ]  # fmt: skip
        asked = [
            self._model, self._prompt, self._seed, self._keep, self._count, self._steps,
            self._guidance,
        ]  # fmt: skip
        settings = [
            self._model, self._prompt, self._seed, self._keep, self._count, self._steps,
            self._guidance, self._terms, self._model_state,
        ]  # fmt: skip
        submitted = [self._shown, self._seed, self._alert]
        for event in (self._generate.click, self._prompt.submit):
            event(self._on_generate, [*asked, self._shown], submitted, **_QUIET).then(
                self._on_tick, observed, seen, **_QUIET
            ).then(None, js=_SCROLL_JS)
        self._cancel.click(self._on_cancel, self._shown, self._alert, **_QUIET).then(
            self._on_tick, observed, seen, **_QUIET
        )
        self._timer.tick(self._on_tick, observed, seen, trigger_mode="once", **_QUIET)
        self._history.click(
            self._on_history,
            [self._shown, self._history_limit],
            [self._shown, self._history_limit],
            **_QUIET,
        ).then(self._on_tick, observed, seen, **_QUIET)
        self._job.click(translated(self._on_reuse), None, settings, **_QUIET)
        demo.load(self._on_load, self._model, [self._shown, self._model_state], **_QUIET).then(
            self._on_tick, observed, seen, **_QUIET
        )

    def _bind_prompt(self) -> None:
        # One request is under way at a time; of the keys typed meanwhile only the last counts.
        self._prompt.change(
            translated(self._show_terms),
            [self._prompt, self._model],
            self._terms,
            trigger_mode="always_last",
            **_QUIET,
        )
        names = list(self._choices)
        self._build.click(
            translated(lambda *values: build_prompt(**dict(zip(names, values, strict=True)))),
            list(self._choices.values()),
            self._prompt,
            **_QUIET,
        )

    def _bind_numbers(self) -> None:
        self._model.change(
            translated(self._on_model),
            [self._model, self._prompt],
            [self._model_state, self._terms],
            **_QUIET,
        )
        self._dice.click(lambda: (random_seed(), True), None, [self._seed, self._keep], **_QUIET)
        self._seed.input(lambda: True, None, self._keep, **_QUIET)

    def _show_terms(self, prompt: str, model_id: str) -> str:
        return show_terms(prompt, self._service.catalogue[model_id])

    def _on_model(self, model_id: str, prompt: str) -> tuple[str, str]:
        entry = self._service.catalogue[model_id]
        return panel.render_model(entry), show_terms(prompt, entry)

    def _on_load(self, model_id: str, request: gr.Request) -> tuple[str, str]:
        view = self._service.latest(browser_name(request.cookies))
        state = panel.render_model(self._service.catalogue[model_id])
        return view.id if view else "", state

    def _on_generate(
        self,
        model_id: str,
        prompt: str,
        seed: float | None,
        is_kept: bool,
        count: float | None,
        steps: float | None,
        guidance: float | None,
        shown: str,
        request: gr.Request,
    ) -> tuple[str, object, str]:
        try:
            asked = check_request(
                self._service.catalogue[model_id],
                prompt,
                seed=seed if is_kept else None,
                image_count=count,
                steps=steps or None,
                guidance=guidance or None,
            )
            view = self._service.submit(asked, browser_name(request.cookies))
        except Exception as error:  # translated here once, for everything this button can raise
            return shown, gr.skip(), panel.render_alert(person_message(error))
        return view.id, asked.seed, ""

    def _on_cancel(self, shown: str, request: gr.Request) -> str:
        try:
            self._service.queue.cancel(shown, browser_name(request.cookies))
        except Exception as error:  # as in _on_generate
            return panel.render_alert(person_message(error))
        return ""

    def _on_history(
        self, shown: str, limit: int, event: gr.EventData, request: gr.Request
    ) -> tuple[str, int]:
        if event.action == "older":
            return shown, limit + HISTORY_PAGE
        return str(event.id), limit

    def _on_reuse(self, event: gr.EventData, request: gr.Request) -> tuple[object, ...]:
        asked = self._service.job(browser_name(request.cookies), str(event.id)).request
        entries = {entry.id: entry for entry in self._service.catalogue}
        entry = entries.get(asked.model_id)
        return (
            asked.model_id if entry else gr.skip(),
            asked.prompt,
            asked.seed,
            True,
            asked.image_count,
            asked.steps or 0,
            asked.guidance or 0,
            show_terms(asked.prompt, entry) if entry else gr.skip(),
            panel.render_model(entry) if entry else gr.skip(),
        )

    def _on_tick(
        self, shown: str, limit: int, before: dict[str, int], request: gr.Request
    ) -> tuple[object, ...]:
        """Returns what changed since the page was last drawn; unchanged parts are left alone."""
        browser = browser_name(request.cookies)
        view, preview = self._observed(browser, shown)
        active = self._service.active(browser)
        jobs = self._service.jobs(browser, limit + 1)
        is_own_active = bool(view and not view.status.is_final and view.owner == browser)
        drawn = {
            "job": panel.render_job(view, self._service.catalogue, preview),
            "spoken": panel.announce(view),
            "history": panel.render_history(jobs[:limit], active, shown, len(jobs) > limit),
        }
        after = {name: hash(html) for name, html in drawn.items()}
        after |= {"cancel": is_own_active, "active": bool(active)}
        changed = {name for name in after if before.get(name) != after[name]}
        return (
            *(html if name in changed else gr.skip() for name, html in drawn.items()),
            gr.Button(interactive=is_own_active) if "cancel" in changed else gr.skip(),
            gr.Timer(active=bool(active)) if "active" in changed else gr.skip(),
            after if changed else gr.skip(),
        )

    def _observed(self, browser: str, shown: str) -> tuple[JobView | None, bytes | None]:
        if not shown:
            return None, None
        try:
            view = self._service.job(browser, shown)
        except CoreError:  # of another workspace, or deleted meanwhile
            return None, None
        return view, None if view.status.is_final else self._service.queue.preview(shown)


def _model_label(entry: ModelEntry) -> str:
    state = entry.availability().state
    return entry.label if state == "ready" else f"{entry.label} ({state})"


def _choice(name: str) -> gr.Dropdown:
    """Returns the control for one field of the prompt builder."""
    values = PROMPT_CHOICES[name]
    label = _CHOICE_LABELS.get(name, name.replace("_", " ").capitalize())
    is_list = name.endswith("s") and not isinstance(values[0], bool)
    if values == (True, False):
        choices: list[tuple[str, Any]] = list(_FLAG_CHOICES)
    else:
        choices = [(str(value), value) for value in values]
        choices = choices if is_list else [("", ""), *choices]
    return gr.Dropdown(
        choices, value=[] if is_list else "", multiselect=is_list, label=label, min_width=150
    )


def build_generate_tab(service: GenerationService, demo: gr.Blocks) -> None:
    """Builds and connects the tab inside `demo`."""
    GenerateTab(service).bind(demo)
