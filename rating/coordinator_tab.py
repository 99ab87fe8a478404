"""The tabs of coordinators, in their order."""

import gradio as gr

from data.study_inbox import StudyInbox
from rating.results_tab import build_results_tab
from rating.service import RatingService
from rating.study_tab import build_study_tab


def build_coordinator_tabs(service: RatingService, demo: gr.Blocks, inbox: StudyInbox) -> None:
    """Build Study and Results inside the surrounding `gr.Tabs` of `demo`."""
    with gr.Tab("Study", id="study"):
        build_study_tab(service, demo, inbox)
    with gr.Tab("Results", id="results"):
        build_results_tab(service)
