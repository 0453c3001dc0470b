"""The page of written answers: what is marked right and wrong, escaping, and pictures that cannot be read."""

import base64
import io
import re

import numpy as np
from PIL import Image

from vlpeft.visualization import AnswerCard, Asked, write_answers

PICTURES = {'a.png': np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)}


def load(name):
    if name not in PICTURES:
        raise FileNotFoundError(name)
    return PICTURES[name]


def page_of(path, cards, **options):
    write_answers(str(path / 'sub/page.html'), 'A <title>', cards, load, **options)
    return (path / 'sub/page.html').read_text()


def test_right_and_wrong(tmp_path):
    asked = [
        Asked(['a red ring', 'red ring'], {'one': 'red ring', 'two': 'a blue ring & more', 'three': ''}),
        Asked(['no'], {'one': 'no', 'two': 'yes', 'three': 'no'}, question='is 1 < 0?'),
        Asked([], {'one': 'who knows'}),
    ]
    page = page_of(tmp_path, [AnswerCard('a.png', asked)], note='<note>')
    assert page.count('class="answer right"') == 3 and page.count('class="answer wrong"') == 3
    assert page.count('>right</b>') == 3 and page.count('>wrong</b>') == 3
    # Only words that the truth does not have are marked.
    assert '<q>a <mark>blue</mark> ring <mark>&amp; more</mark></q>' in page and '<q><i>nothing</i></q>' in page
    assert '<h3>is 1 &lt; 0?</h3>' in page and 'not known' in page and '<q>who knows</q>' in page
    assert 'A &lt;title&gt;' in page and '&lt;note&gt;' in page


def test_pictures_are_inside_pixel_by_pixel(tmp_path):
    page = page_of(tmp_path, [AnswerCard('a.png', []), AnswerCard('<b>.png', [])])
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    factor = shown.shape[0] // 4
    assert shown.shape == (4 * factor, 5 * factor, 3) and factor > 1
    assert (shown[::factor, ::factor] == PICTURES['a.png']).all()
    assert '&lt;b&gt;.png cannot be read' in page
    assert '<script' not in page and not re.search(r'(src|href)="(?!data:)', page) and 'url(' not in page


def test_scores(tmp_path):
    rows = [{'run': 'one & only', 'CIDEr': '12.3'}, {'run': 'two', 'CIDEr': '<4'}]
    page = page_of(tmp_path, [], scores=rows)
    assert '<th>run</th><th>CIDEr</th>' in page and '<td>one &amp; only</td><td>12.3</td>' in page
    assert '<td>&lt;4</td>' in page and '<table' not in page_of(tmp_path, [])
