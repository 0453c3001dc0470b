"""What the helper of browser tests tells: requests to the network, scripts that fail, pages that are too wide."""

import pytest

from tests.browser import PHONE, needs_chromium, open_page, too_wide

pytestmark = needs_chromium


def write(folder, body):
    (folder / 'page.html').write_text(f'<!doctype html><meta name="viewport" content="width=device-width">{body}')
    return (folder / 'page.html').as_uri()


def test_a_page_of_its_own_is_opened(tmp_path):
    with open_page(write(tmp_path, '<h1>Found</h1>'), PHONE) as page:
        assert page.inner_text('h1') == 'Found' and too_wide(page) == 0


@pytest.mark.parametrize('body', ['<img src="http://example.org/a.png">', '<script>nothing.there()</script>'])
def test_the_network_and_failing_scripts_are_told(tmp_path, body):
    with pytest.raises(AssertionError), open_page(write(tmp_path, body)):
        pass


def test_a_page_that_is_too_wide_is_told(tmp_path):
    with open_page(write(tmp_path, '<div style="width: 500px">x</div>'), PHONE) as page:
        assert 100 < too_wide(page) < 130
