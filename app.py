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
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_RUN_HISTORY"] = "False"

import fastapi
import gradio as gr
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from msdm_core import __version__
from msdm_core.errors import CoreError
from msdm_core.generate_tab import build_generate_tab, stylesheet, theme
from msdm_core.generation.service import GenerationService
from msdm_core.headers import SecurityHeaders
from msdm_core.settings import Settings, add_settings, choose_port, read_settings

TITLE = "MSDM, FLUX and Kandinsky side by side"
HEADER = "<h1>MSDM, FLUX, Kandinsky</h1><p>One prompt, medical images of each, side by side</p>"


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns what was given on the command line."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Generate synthetic medical images from text, in the browser.",
        epilog="Example: python app.py --port 8000 --home /srv/msdm",
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_settings(parser)
    return parser.parse_args(arguments)


def build_page(service: GenerationService) -> gr.Blocks:
    """Returns the page with its tabs."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(HEADER, elem_id="header")
        build_generate_tab(service, page)
    return page


def build_app(settings: Settings, service: GenerationService) -> fastapi.FastAPI:
    """Returns the server's application: the guarded routes first, then the page at `/`."""

    @asynccontextmanager
    async def lifespan(_app: fastapi.FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = fastapi.FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(service.router())
    if settings.is_loopback:
        # A foreign site whose name is pointed at this machine must not reach the app.
        hosts = ["127.0.0.1", "localhost", "[::1]", "::1"]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(SecurityHeaders, is_space=settings.is_space)
    return gr.mount_gradio_app(
        app,
        build_page(service),
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        show_error=False,
        theme=theme(),
        css_paths=[stylesheet()],
    )


def serve(settings: Settings) -> None:
    """Serves until interrupted.

    Raises:
        CoreError: the workspace, a catalogue or the port cannot be used.
    """
    port = choose_port(settings)
    service = GenerationService(settings)
    try:
        app = build_app(settings, service)
        shown = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host
        address = f"[{shown}]" if ":" in shown else shown
        if port != settings.port:
            print(f"Port {settings.port} is in use; listening on {port} instead.")
        print(f"Open http://{address}:{port} in a browser. Stop with Ctrl-C.", flush=True)
        if not (settings.is_loopback or settings.is_space):
            print("Everybody who can reach this machine can use the app and see its images.")
        config = uvicorn.Config(
            app,
            settings.host,
            port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run()
    finally:
        service.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the application and returns its exit status."""
    options = read_options(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    warnings.filterwarnings("ignore", category=ResourceWarning, module="gradio")
    try:
        serve(read_settings(options))
    except CoreError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
