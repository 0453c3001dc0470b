"""Pages in a real browser: headless Chromium of the machine, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
#: The browser's own look-ups in the network, which a closed one answers slowly, are off.
FLAGS = (
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
)
DESKTOP, PHONE = (1280, 800), (390, 844)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium (Debian: apt-get install chromium)')


@contextmanager
def open_page(address: str, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Iterator[Page]:
    """A page at an address (``file://`` or ``http://``), in a window of a size.

    After the block it is an error if the page had asked for anything outside of this machine, or a script of its had
    failed.
    """
    foreign, failed = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=dict(width=size[0], height=size[1]), color_scheme='dark' if dark else 'light')
        page.on('request', lambda request: is_local(request.url) or foreign.append(request.url))
        page.on('pageerror', lambda error: failed.append(str(error)))
        try:
            page.goto(address)
            yield page
        finally:
            browser.close()
    assert foreign == [] and failed == []


def is_local(url: str) -> bool:
    """Whether an address needs no network."""
    return url.startswith(
        ('file:', 'data:', 'blob:', 'about:', 'http://127.0.0.1', 'http://localhost', 'ws://127.0.0.1')
    )


def too_wide(page: Page) -> float:
    """Pixels by which a page is wider than its window: a reader would have to scroll sideways."""
    return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
