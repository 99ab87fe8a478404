"""The Generate tab: from a prompt to saved images, observed while they are drawn.

The tab only observes jobs; the truth is in the queue and the history, so a reload loses nothing.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from data.domains import Domain, PromptField
from data.errors import DataError
from data.prompt_builder import example_prompts
from msdm_core.errors import CoreError, GenerationClosedError
from msdm_core.generation import panel
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.comparison_panel import announce, render_job
from msdm_core.generation.job_view import JobView
from msdm_core.generation.messages import person_message
from msdm_core.generation.prompt_terms import show_terms
from msdm_core.generation.request import (
    MAX_IMAGES,
    MAX_MODELS,
    GenerationRequest,
    check_request,
    random_seed,
)
from msdm_core.generation.service import GenerationService
from msdm_core.headers import browser_name

POLL_S = 0.5
HISTORY_PAGE = 12
SHOWN_EXAMPLES = 6
NARROW_PX = 1000
_PAGE_JS = (panel.WEB / "page.js").read_text(encoding="utf-8")
_VIEWER_JS = (panel.WEB / "viewer.js").read_text(encoding="utf-8")
# Where the columns stand below each other, the result would otherwise start out of sight.
_SCROLL_JS = f"""() => {{
  if (window.innerWidth < {NARROW_PX} && !document.querySelector("#alert .m-alert"))
    document.querySelector("#result").scrollIntoView({{behavior: "smooth"}});
}}"""
_FLAG_WORDS = {True: "yes", False: "no"}
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


def some_examples(domain: Domain, limit: int = SHOWN_EXAMPLES) -> list[str]:
    """Returns prompts spread evenly over a domain's list of examples, none when it is missing."""
    try:
        prompts = example_prompts(domain.examples)
    except (OSError, DataError):
        return []
    return list(prompts[:: max(1, len(prompts) // limit)][:limit])


def default_models(catalogue: Catalogue) -> list[str]:
    """Returns the models ticked at first: one's own that are ready, else those that ship.

    All of them are of the domain of the first.
    """
    ready = [entry for entry in catalogue if entry.availability().is_ready]
    own = [entry for entry in ready if entry.weights.path]
    offered = own or [entry for entry in ready if entry.weights.checkpoint]
    alike = [entry.id for entry in offered if entry.domain == offered[0].domain]
    return alike[:MAX_MODELS]


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
            with gr.Column(scale=5, min_width=320, elem_id="controls"):
                self._build_prompt()
                self._build_models()
                self._build_numbers()
                self._build_actions()
                self._build_aids()
            # Three columns of pictures need that; on a tablet they come below the controls.
            with gr.Column(scale=9, min_width=600, elem_id="result"):
                self._job = gr.HTML(
                    render_job(None, service.catalogue),
                    js_on_load=f"{_PAGE_JS}\n{_VIEWER_JS}",
                    elem_id="job",
                )
                self._note = gr.HTML("", elem_id="note")
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
        self._terms = gr.HTML(panel.render_terms([]), elem_id="terms")

    def _build_numbers(self) -> None:
        with gr.Row(elem_id="seed-row"):
            # Not drawn when the page is opened: that would replace what a quick hand has typed.
            self._seed = gr.Number(
                random_seed(), label="Seed", precision=0, min_width=130, scale=3, elem_id="seed"
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
        """Builds examples and prompt builder of each domain; those of the chosen models show."""
        entries = list(self._service.catalogue)
        domains = {entry.domain: entry.language for entry in entries}
        shown = self._shown_domains(default_models(self._service.catalogue))
        self._aids = {
            domain.name: self._build_aids_of(
                domain, is_shown=domain.name in shown, is_only=len(domains) == 1
            )
            for domain in domains.values()
        }

    def _build_aids_of(self, domain: Domain, *, is_shown: bool, is_only: bool) -> "DomainAids":
        of_domain = "" if is_only else f", {domain.label}"
        suffix = "" if is_only else f"-{domain.name}"
        with gr.Column(visible=is_shown, elem_id=f"aids{suffix}") as group:
            if examples := some_examples(domain):
                with gr.Column(elem_id=f"examples{suffix}"):
                    gr.Examples(
                        [[line] for line in examples], [self._prompt], label=f"Examples{of_domain}"
                    )
            with gr.Accordion(
                f"Build a prompt{of_domain}", open=False, elem_id=f"builder{suffix}"
            ):
                with gr.Row():
                    choices = {field.name: _choice(field) for field in domain.fields}
                build = gr.Button("Use as prompt", size="md", elem_id=f"build-button{suffix}")
        return DomainAids(domain, group, choices, build)

    @property
    def _aid_groups(self) -> list[gr.Column]:
        """The groups that come and go with the chosen models; none where there is one domain."""
        groups = [aids.group for aids in self._aids.values()]
        return groups if len(groups) > 1 else []

    def _shown_domains(self, model_ids: Sequence[str]) -> set[str]:
        """Returns the domains of the chosen models, of the first model where none is chosen."""
        chosen = self._chosen(model_ids) or list(self._service.catalogue)[:1]
        return {entry.domain for entry in chosen}

    def _build_models(self) -> None:
        self._built_choices = self._model_choices()
        self._models = gr.CheckboxGroup(
            self._built_choices,
            value=default_models(self._service.catalogue),
            label="Models",
            info="One column each; all start from the same seed.",
            elem_id="models",
        )
        self._model_notes = gr.HTML(
            panel.render_models(self._service.catalogue), elem_id="model-notes"
        )

    def _model_choices(self) -> list[tuple[str, str]]:
        catalogue = self._service.catalogue
        return [(entry.label, entry.id) for entry in catalogue if entry.availability().is_ready]

    def bind(self, demo: gr.Blocks) -> None:
        """Connects the components; call it inside the `gr.Blocks` that holds them."""
        self._bind_prompt()
        self._bind_numbers()
        observed = [self._shown, self._history_limit, self._fingerprint]
        seen = [
            self._job, self._spoken, self._history, self._cancel, self._timer, self._fingerprint,
        ]  # fmt: skip
        asked = [
            self._models, self._prompt, self._seed, self._keep, self._count, self._steps,
            self._guidance,
        ]  # fmt: skip
        submitted = [self._shown, self._seed, self._alert, self._note]
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
            [self._shown, self._history_limit, self._note],
            **_QUIET,
        ).then(self._on_tick, observed, seen, **_QUIET)
        self._job.click(
            self._on_job, None, [*asked, self._terms, self._shown, self._note], **_QUIET
        ).then(self._on_tick, observed, seen, **_QUIET)
        # What was looked at last is found at once, so that it cannot replace a job that a quick
        # hand has asked for meanwhile; what takes longer follows.
        demo.load(self._on_open, self._shown, self._shown, **_QUIET).then(
            self._on_tick, observed, seen, **_QUIET
        ).then(self._on_load, self._models, [self._models, self._model_notes], **_QUIET)

    def _bind_prompt(self) -> None:
        # One request is under way at a time; of the keys typed meanwhile only the last counts.
        for changed in (self._prompt.change, self._models.change):
            changed(
                translated(self._on_terms),
                [self._prompt, self._models],
                [self._terms, *self._aid_groups],
                trigger_mode="always_last",
                **_QUIET,
            )
        for aids in self._aids.values():
            aids.build.click(
                translated(lambda *values, domain=aids.domain: _built_prompt(domain, *values)),
                list(aids.choices.values()),
                self._prompt,
                **_QUIET,
            )

    def _bind_numbers(self) -> None:
        self._dice.click(lambda: (random_seed(), True), None, [self._seed, self._keep], **_QUIET)
        # In the browser, so that a seed typed just before Generate counts.
        self._seed.input(None, None, self._keep, js="() => true", **_QUIET)

    def _chosen(self, model_ids: Sequence[str]) -> list[ModelEntry]:
        """Returns the entries of the ticked models, in the order of the catalogue."""
        return [entry for entry in self._service.catalogue if entry.id in set(model_ids)]

    def _show_terms(self, prompt: str, model_ids: list[str]) -> str:
        return show_terms(prompt, self._chosen(model_ids))

    def _closed(self, request: gr.Request) -> str:
        """Returns why Generate is closed to the browser that asks, empty where it is open."""
        try:
            self._service.may_generate(request)
        except GenerationClosedError as error:
            return str(error)
        return ""

    def _on_terms(self, prompt: str, model_ids: list[str], request: gr.Request) -> Any:
        """Shows the terms of the prompt, and the aids of the chosen models' domains."""
        if self._closed(request):
            terms, shown = "", set()
        else:
            terms, shown = self._show_terms(prompt, model_ids), self._shown_domains(model_ids)
        groups = [gr.Column(visible=name in shown) for name in self._aids]
        return [terms, *groups] if self._aid_groups else terms

    def _on_open(self, shown: str, request: gr.Request) -> object:
        if self._closed(request):
            return ""
        view = None if shown else self._service.latest(browser_name(request.cookies))
        return view.id if view else gr.skip()

    def _on_load(self, model_ids: list[str], request: gr.Request) -> tuple[object, ...]:
        if self._closed(request):
            return gr.skip(), gr.skip()
        self._service.warm_up()
        choices = self._model_choices()
        if choices == self._built_choices:  # the usual case: what is ticked meanwhile stays so
            return gr.skip(), gr.skip()
        ready = {model_id for _, model_id in choices}
        ticked = [model_id for model_id in model_ids if model_id in ready]
        if not ticked:  # nothing was ready when the page was built
            ticked = default_models(self._service.catalogue)
        return (
            gr.CheckboxGroup(choices=choices, value=ticked),
            panel.render_models(self._service.catalogue),
        )

    def _on_generate(
        self,
        model_ids: list[str],
        prompt: str,
        seed: float | None,
        is_kept: bool,
        count: float | None,
        steps: float | None,
        guidance: float | None,
        shown: str,
        request: gr.Request,
    ) -> tuple[object, ...]:
        try:
            self._service.may_generate(request)
            asked = check_request(
                self._chosen(model_ids),
                prompt,
                seed=seed if is_kept else None,
                image_count=count,
                steps=steps or None,
                guidance=guidance or None,
            )
            view = self._service.submit(asked, browser_name(request.cookies))
        except Exception as error:  # translated here once, for everything this button can raise
            return shown, gr.skip(), panel.render_alert(person_message(error)), ""
        return view.id, asked.seed, "", ""

    def _on_cancel(self, shown: str, request: gr.Request) -> str:
        try:
            self._service.may_generate(request)
            self._service.queue.cancel(shown, browser_name(request.cookies))
        except Exception as error:  # as in _on_generate
            return panel.render_alert(person_message(error))
        return ""

    def _on_history(
        self, shown: str, limit: int, event: gr.EventData, request: gr.Request
    ) -> tuple[str, int, str]:
        if self._closed(request):
            return "", HISTORY_PAGE, ""
        if event.action == "older":
            return shown, limit + HISTORY_PAGE, ""
        return str(event.id), limit, ""

    def _on_job(self, event: gr.EventData, request: gr.Request) -> tuple[object, ...]:
        """Does what a button of the shown comparison asks: reuse, rerun or study."""
        browser, unchanged = browser_name(request.cookies), [gr.skip()] * 8
        try:
            self._service.may_generate(request)
            if event.action == "study":
                sent = self._send_to_study(str(event.id), browser)
                return *unchanged, gr.skip(), panel.render_note(sent)
            asked = self._service.job(browser, str(event.id)).request
            shown: object = gr.skip()
            if event.action == "rerun":
                shown = self._service.submit(asked, browser).id
            return *self._settings(asked), shown, ""
        except Exception as error:  # as in _on_generate
            return *unchanged, gr.skip(), panel.render_alert(person_message(error))

    def _send_to_study(self, ids: str, browser: str) -> str:
        wanted = [image_id for image_id in ids.split(",") if image_id]
        new = self._service.send_to_study(wanted, browser)
        images = "1 image is" if new == 1 else f"{new} images are"
        said = f"{images} now in the study inbox."
        if new < len(wanted):
            said += f" {len(wanted) - new} of {len(wanted)} were there already."
        return (
            f"{said} How each was selected is kept with it: by hand, or as a whole comparison."
        )

    def _settings(self, asked: GenerationRequest) -> tuple[object, ...]:
        """Returns the values of the controls for a request, and the terms of its prompt."""
        ready = {model_id for _, model_id in self._model_choices()}
        return (
            [model_id for model_id in asked.model_ids if model_id in ready],
            asked.prompt,
            asked.seed,
            True,
            asked.image_count,
            asked.steps or 0,
            asked.guidance or 0,
            self._show_terms(asked.prompt, list(asked.model_ids)),
        )

    def _on_tick(
        self, shown: str, limit: int, before: dict[str, int], request: gr.Request
    ) -> tuple[object, ...]:
        """Returns what changed since the page was last drawn; unchanged parts are left alone."""
        browser = browser_name(request.cookies)
        active: list[JobView] = []
        is_own_active = False
        if closed := self._closed(request):
            drawn = {"job": panel.render_note(closed), "spoken": closed, "history": ""}
        else:
            view, previews = self._observed(browser, shown)
            active = self._service.active(browser)
            jobs = self._service.jobs(browser, limit + 1)
            is_own_active = bool(view and not view.status.is_final and view.owner == browser)
            drawn = {
                "job": render_job(view, self._service.catalogue, previews),
                "spoken": announce(view),
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

    def _observed(self, browser: str, shown: str) -> tuple[JobView | None, dict[str, bytes]]:
        if not shown:
            return None, {}
        try:
            view = self._service.job(browser, shown)
        except CoreError:  # of another workspace, or deleted meanwhile
            return None, {}
        if view.status.is_final:
            return view, {}
        queue, drawn = self._service.queue, [c for c in view.columns if not c.status.is_final]
        found = {column.model_id: queue.preview(shown, column.model_id) for column in drawn}
        return view, {model_id: jpeg for model_id, jpeg in found.items() if jpeg}


@dataclass(frozen=True, slots=True)
class DomainAids:
    """What helps to write prompts of one domain: examples, and one control a field."""

    domain: Domain
    group: gr.Column
    choices: dict[str, gr.Dropdown]
    build: gr.Button


def _built_prompt(domain: Domain, *values: Any) -> str:
    names = [field.name for field in domain.fields]
    return domain.build_prompt(**dict(zip(names, values, strict=True)))


def _choice(field: PromptField) -> gr.Dropdown:
    """Returns the control for one field of the prompt builder."""
    words = _FLAG_WORDS if field.is_flag else {}
    choices: list[tuple[str, Any]] = [
        (words.get(value, str(value)), value) for value in field.values
    ]
    choices = choices if field.is_list else [("", ""), *choices]
    return gr.Dropdown(
        choices,
        value=[] if field.is_list else "",
        multiselect=field.is_list,
        label=field.label,
        min_width=150,
    )


def build_generate_tab(service: GenerationService, demo: gr.Blocks) -> None:
    """Builds and connects the tab inside `demo`."""
    GenerateTab(service).bind(demo)
