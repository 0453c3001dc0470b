"""The page as a browser gets it: complete in itself, escaped, and right about what is right."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vlpeft.visualization import ClipQuery, TextQuery, write_gallery

COLOURS = {f'clip{i}.mp4': (40 * i, 255 - 40 * i, 128) for i in range(7)}
CAPTIONS = {name: f'caption of {name} & <b>bold</b>' for name in COLOURS}
VOID = {'meta', 'link', 'br'}


class Page(HTMLParser):
    """Elements with their class and text; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        element = dict(tag=tag, classes=(dict(attributes).get('class') or '').split(), text='', **dict(attributes))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()['tag'] == tag

    def handle_data(self, data):
        for element in self.open:
            element['text'] += data

    def having(self, name):
        return [element for element in self.elements if name in element['classes']]


@pytest.fixture
def loaded():
    return []


@pytest.fixture
def page(tmp_path, loaded):

    def load_frames(clip):
        loaded.append(clip)
        frames = np.full((4, 16, 24, 3), COLOURS[clip], np.uint8)
        frames[:, :, :] += np.arange(0, 40, 10, dtype=np.uint8)[:, None, None, None]
        return frames

    order = [(f'clip{i}.mp4', 3.0 - i) for i in range(6)]
    texts = [
        TextQuery('<script>alert(1)</script> "quoted"', 'clip2.mp4', 3, order),
        TextQuery('found at once', 'clip0.mp4', 1, order),
        TextQuery('missed', 'clip5.mp4', 6, order),
    ]
    clips = [
        ClipQuery(
            'clip6.mp4',
            ['a text', 'the same told otherwise'],
            2,
            [('wrong', 1.5), ('the same told otherwise', 1.25), ('a text', -2)],
        )
    ]
    write_gallery(str(tmp_path / 'new/page.html'), 'Title & more', texts, clips, load_frames, CAPTIONS, note='A note')
    return (tmp_path / 'new/page.html').read_text()


def test_nothing_comes_from_outside(page):
    assert not re.search(r'https?:|src=|<script|@import|<link', page)
    assert all(url.startswith('data:image/jpeg;base64,') for url in re.findall(r'url\(([^)]*)', page))


def test_texts_are_escaped(page):
    parsed = Page(page)
    assert parsed.having('head')[0]['text'].startswith('<script>alert(1)</script> "quoted"')
    assert parsed.having('play')[0]['aria-label'] == CAPTIONS['clip0.mp4']
    assert not [e for e in parsed.elements if e['tag'] == 'script' or e['tag'] == 'b' and 'bold' in e['text']]


def test_the_right_clip_is_marked_among_the_first_five(page):
    first, second, third, _ = [element['text'] for element in Page(page).having('query')]
    marks = [('right' in clip['classes'], 'right one' in clip['text']) for clip in Page(page).having('clip')]
    assert marks[:5] == [(False, False)] * 2 + [(True, True)] + [(False, False)] * 2
    assert marks[5:10] == [(True, True)] + [(False, False)] * 4
    assert marks[10:15] == [(False, False)] * 5
    assert 'rank 3' in first and 'rank 1' in second and 'rank 6' in third
    assert [badge['classes'][1] for badge in Page(page).having('rank')] == ['near', 'top', 'far', 'near']
    assert '-1.00' in first and 'clip5.mp4' not in first


def test_texts_found_for_a_clip(page):
    rows = [element for element in Page(page).elements if element['tag'] == 'li']
    assert [row['text'] for row in rows] == ['1. wrong1.50', '2. the same told otherwise1.25', '3. a text-2.00']
    assert [row['classes'] for row in rows] == [[], ['right'], ['right']]


def test_each_clip_is_loaded_and_embedded_once_with_its_frames_in_order(page, loaded):
    assert sorted(loaded) == [f'clip{i}.mp4' for i in (0, 1, 2, 3, 4, 6)]
    rules = re.findall(r'\.(c\d+) { background-image: url\(data:image/jpeg;base64,([^)]*)\)', page)
    assert len(rules) == 6
    for (name, data), clip in zip(rules, loaded):
        strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
        assert strip.shape == (16, 4 * 24, 3)
        for frame in range(4):
            wanted = np.uint8(np.array(COLOURS[clip]) + 10 * frame)
            assert abs(strip[8, 24 * frame + 12] - wanted).max() < 6
        assert f'.play.{name} {{ aspect-ratio: 24 / 16; background-size: 400% 100%; ' in page
        assert 'steps(4, jump-none)' in page


def test_empty_sections_are_left_out(tmp_path):
    write_gallery(str(tmp_path / 'page.html'), 'Nothing', [], [], load_frames=None, captions={})
    page = (tmp_path / 'page.html').read_text()
    assert Page(page).elements and 'Text to clip' not in page and 'Clip to text' not in page
