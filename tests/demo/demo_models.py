"""Tiny models of all three tabs, and a page of them that is served."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tests.apis.tiny_answerers import Answerer, write_answerer
from tests.apis.tiny_zoo import write_trained
from tests.workspace import write_workspace
from vlpeft.demo.address import address_of, listen, local_names
from vlpeft.demo.tab import Tab


def write_models(root: Path) -> tuple[dict[str, tuple[str, ...]], Answerer]:
    """What ``vlpeft demo`` is given for each tab, and what answers the questions."""
    config = write_workspace(root / 'retriever')
    write_trained(config, root / 'retriever.pth')
    ask, caption = (write_answerer(root / kind, kind) for kind in ('epalm', 'epalm_caption'))
    given = dict(
        search=(str(config), str(root / 'retriever.pth'), str(root / 'retriever/data')),
        ask=(str(ask.config), str(ask.checkpoint)),
        caption=(str(caption.config), str(caption.checkpoint)),
    )
    return given, ask


@contextmanager
def served(tabs: Mapping[str, Tab], missing: Mapping[str, str]) -> Iterator[str]:
    """The address of a page that another thread serves."""
    from vlpeft.demo.page import build_page
    from vlpeft.demo.server import build_app, clips_of, temporary_uploads

    with temporary_uploads(), listen('127.0.0.1', 0) as server:
        app = build_app(build_page(tabs, missing), clips_of(tabs), local_names(server))
        running = uvicorn.Server(uvicorn.Config(app, log_level='critical', timeout_graceful_shutdown=1))
        thread = threading.Thread(target=running.run, args=([server],), daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.02)
        yield address_of(server)
        running.should_exit = True
        thread.join()
