"""Serving a page: what it may send, what visitors may send, and how it ends."""

import os
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .address import local_names
from .page import build_page
from .search import ADDRESS
from .style import CSS, theme
from .tab import Tab

LARGEST_UPLOAD = '200mb'
#: The browser itself sees to it that the page asks nobody else for anything.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer'}


@contextmanager
def temporary_uploads() -> Iterator[str]:
    """A folder for all that visitors send; it goes when the block ends. A page must be built inside of it."""
    before = os.environ.get('GRADIO_TEMP_DIR'), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix='vlpeft-demo-', ignore_cleanup_errors=True) as folder:
        # An upload that was broken off lies where Python puts its temporary files.
        os.environ['GRADIO_TEMP_DIR'] = tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before[1]
            if before[0] is None:
                del os.environ['GRADIO_TEMP_DIR']
            else:
                os.environ['GRADIO_TEMP_DIR'] = before[0]


def build_app(page: gr.Blocks, clips: Sequence[str], names: Sequence[str] | None) -> FastAPI:
    """The page with its rules as an application.

    Args:
        page: Built inside of :func:`temporary_uploads`.
        clips: Files that the page may play, by number. No other file of this machine is served.
        names: Hosts that requests may name; others are refused, such as those of a foreign page whose name was made to
            point here. None allows all.
    """
    app = FastAPI(openapi_url=None)

    @app.get(ADDRESS)
    def clip(number: int) -> FileResponse:
        if not 0 <= number < len(clips) or not Path(clips[number]).is_file():
            raise HTTPException(404)
        return FileResponse(clips[number])

    @app.middleware('http')
    async def add_headers(request, call_next):
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    if names is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(names))
    gr.mount_gradio_app(
        app,
        page,
        path='/',
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS,
    )
    # Gradio checks which files a browser may name only on pages that it takes for launched.
    page.has_launched = True
    return app


def serve_tabs(tabs: Mapping[str, Tab], missing: Mapping[str, str], server: socket.socket) -> None:
    """Serves a page until Ctrl-C or SIGTERM; what visitors sent is gone then.

    Args:
        tabs, missing: As of :func:`~vlpeft.demo.page.build_page`.
        server: A socket that listens.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        SystemExit: SIGTERM, code 143.
    """
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with temporary_uploads(), warnings.catch_warnings():
            # Gradio uses what newer versions of its own libraries call by another name.
            warnings.filterwarnings('ignore', module=r'(gradio|starlette)\.')
            app = build_app(build_page(tabs, missing), clips_of(tabs), local_names(server))
            print(f'ready: {", ".join(tabs)}', flush=True)
            running = PageServer(uvicorn.Config(app, log_level='critical', timeout_graceful_shutdown=1))
            running.run([server])
    finally:
        signal.signal(signal.SIGTERM, before)
    # Uvicorn raises the signal again when it has ended, which now and then gets lost in the event loop's own end.
    if running.ended_by == signal.SIGTERM:
        sys.exit(128 + signal.SIGTERM)
    if running.ended_by is not None:
        raise KeyboardInterrupt


class PageServer(uvicorn.Server):
    """Remembers the first signal that it was ended by."""

    ended_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to end."""
        self.ended_by = sig if self.ended_by is None else self.ended_by
        super().handle_exit(sig, frame)


def clips_of(tabs: Mapping[str, Tab]) -> list[str]:
    """Files that the page may play."""
    return list(tabs['search'].files) if 'search' in tabs else []
