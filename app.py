"""Starts the application: reads settings, opens the workspace, mounts the tabs, serves them.

Run `python app.py --help` for every setting.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

# Read by gradio and the hub client when they are imported: nothing calls home.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import fastapi
import gradio as gr
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from starlette.middleware.trustedhost import TrustedHostMiddleware

from msdm_core import __version__
from msdm_core.errors import CoreError, GenerationClosedError
from msdm_core.generate_tab import build_generate_tab, stylesheet, theme
from msdm_core.generation.service import GenerationService
from msdm_core.headers import SecurityHeaders
from msdm_core.settings import Settings, add_settings, choose_port, read_settings
from rating.coordinator_tab import build_coordinator_tabs
from rating.errors import RatingError
from rating.page_guard import MOST_UPLOAD_BYTES, PageGuard
from rating.rate_tab import build_rate_page, build_rate_tab
from rating.service import RatingService

TITLE = "MSDM, FLUX and Kandinsky side by side"
HEADER = "<h1>MSDM, FLUX, Kandinsky</h1><p>One prompt, medical images of each, side by side</p>"
REQUEST_THREADS = 60  # each may hold a connection to the database; fifty raters fit in


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns what was given on the command line."""
    parser = argparse.ArgumentParser(
        prog="app.py", epilog="Example: python app.py --port 8000 --home /srv/msdm",
        description="Generate medical images from text, and have them rated, in the browser.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    add_settings(parser)
    return parser.parse_args(arguments)


def open_studies(settings: Settings, generation: GenerationService) -> RatingService | None:
    """Returns the studies of the workspace, None where only Generate is served."""
    if not settings.has_studies:
        return None
    rating = RatingService(
        settings.home, app_version=__version__, database_url=settings.database_url,
        coordinator_token=settings.coordinator_token, generate_token=settings.generate_token,
        is_space=settings.is_space,
    )  # fmt: skip
    generation.may_generate = rating.access.generation_gate(GenerationClosedError)
    return rating


def build_page(generation: GenerationService, rating: RatingService | None) -> gr.Blocks:
    """Returns the main page with its tabs."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(HEADER, elem_id="header")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Generate", id="generate"):
                build_generate_tab(generation, page)
            if rating:
                with gr.Tab("Rate", id="rate"):
                    build_rate_tab()
                build_coordinator_tabs(rating, page, generation.study_inbox)
    return page


def build_app(
    settings: Settings, generation: GenerationService, rating: RatingService | None
) -> fastapi.FastAPI:
    """Returns the server's application: guarded routes, the rater's page, the main page at `/`."""

    @asynccontextmanager
    async def lifespan(_app: fastapi.FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = REQUEST_THREADS
        generation.start()
        yield
        generation.close()

    app = fastapi.FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(generation.router())
    mounting: dict[str, object] = {
        "server_name": settings.host, "server_port": settings.port, "run_history": False,
        "footer_links": [], "ssr_mode": False, "pwa": False, "show_error": False,
        "theme": theme(), "max_file_size": MOST_UPLOAD_BYTES,
    }  # fmt: skip
    if rating:
        app.include_router(rating.router())
        app.add_middleware(PageGuard, access=rating.access)
        gr.mount_gradio_app(app, build_rate_page(), path="/rate", **mounting)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.trusted_hosts)
    app.add_middleware(SecurityHeaders, is_space=settings.is_space)
    mounting |= {"path": "/", "css_paths": [stylesheet()]}
    return gr.mount_gradio_app(app, build_page(generation, rating), **mounting)


def serve(settings: Settings) -> None:
    """Serves until interrupted.

    Raises:
        CoreError: the workspace, a catalogue, the port or a setting cannot be used.
        RatingError: the database of studies cannot be used.
    """
    settings.require_safe_exposure()
    port, generation, rating = choose_port(settings), GenerationService(settings), None
    try:
        rating = open_studies(settings, generation)
        app = build_app(settings, generation, rating)
        told = rating.greeting(settings.address(port)) if rating else ""
        print(f"{settings.greeting(port)}\n{told}".strip(), flush=True)
        uvicorn.run(
            app, host=settings.host, port=port, log_level="warning", server_header=False,
            timeout_graceful_shutdown=3,
        )  # fmt: skip
    finally:
        generation.close()
        if rating is not None:
            rating.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the application and returns its exit status."""
    options = read_options(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    warnings.filterwarnings("ignore", category=ResourceWarning, module="gradio")
    try:
        serve(read_settings(options))
    except (CoreError, RatingError) as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
