"""The page on which raters judge pictures, and the tab that tells the others about it.

The page is one `gr.HTML` component that talks JSON to the guarded routes. No Gradio event is bound
to it: the server never redraws it, and what it holds comes from the routes alone.
"""

from pathlib import Path
from typing import Final

import gradio as gr

TITLE: Final = "Image rating"
RATE_PATH: Final = "/rate/"
_WEB: Final = Path(__file__).parent / "web"
# One after the other in one function: each may use what stands before it.
_SCRIPTS: Final = (
    "rate_elements.js", "rate_drafts.js", "rate_connection.js", "rate_pictures.js",
    "rate_questions.js", "rate_extras.js", "rate_item.js", "rate_screens.js", "rate.js",
    "rate_commands.js",
)  # fmt: skip


def _read(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def build_rate_page() -> gr.Blocks:
    """Return the raters' page; it names no arm and no model, and is the same for everybody."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(
            "",
            html_template=_read("rate.html"),
            css_template=_read("rate.css"),
            js_on_load="\n".join(map(_read, _SCRIPTS)),
            apply_default_css=False,
            elem_id="rate",
        )
    return page


def build_rate_tab() -> None:
    """Build what the tab says to those who are not raters, inside the surrounding `gr.Blocks`."""
    gr.Markdown(
        "### Rating images\n"
        "Raters come in by a personal link that the coordinator of a study makes under **Study**; "
        "there is nothing to install and no password. The link works on any device and always "
        f"continues where its rater stopped. In a rater's browser the page is at `{RATE_PATH}`.\n\n"
        "How a study looks to its raters is shown by its preview under **Study**.",
        elem_id="rate-explained",
    )
