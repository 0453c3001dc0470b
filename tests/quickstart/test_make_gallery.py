"""The gallery of a test result, from the generated clips."""

import json
import re

import pytest
from quickstart_tools import run_process, run_tool

from tests import media


def test_page_shows_the_result(quickstart_data, tmp_path):
    annotations = quickstart_data / 'clips/test.jsonl'
    lines = [json.loads(line) for line in annotations.read_text().splitlines()]
    predictions = [
        dict(direction=direction, query_id=i, rank=1 + i % 2, top=[[(i - i % 2 + j) % 64, 5.0 - j] for j in range(10)])
        for direction in ('t2v', 'v2t')
        for i in range(64)
    ]
    metrics = {'retrieval/t2v_R@1': 33.3, 'retrieval/v2t_R@1': 34.4}
    (tmp_path / 'result.json').write_text(json.dumps(dict(metrics=metrics, predictions=dict(retrieval=predictions))))
    done = run_process(
        'make_gallery.py',
        tmp_path / 'result.json',
        annotations,
        tmp_path / 'g.html',
        '--title',
        'A <title>',
        '--queries',
        4,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'g.html').read_text()
    assert 'A &lt;title&gt;' in page and 'text-to-clip R@1 33.3' in page
    # At even distances: the first, the last and two between; each is in its own top five.
    for i in (0, 21, 42, 63):
        assert f'<h3>{lines[i]["caption"][0]}</h3><span class="rank' in page
        assert f'<h3>{lines[i]["video"]}</h3>' in page
    assert page.count('class="clip right"') == 4 and page.count('<li class="right">') == 4
    assert page.count('right one') == 4


@pytest.fixture
def own(tmp_path):
    """Texts as strings and lists, lines of one clip apart, a part of a video, an image."""
    frames = media.numbered_frames(40)
    media.write_video(tmp_path / 'a.mp4', frames)
    media.write_image(tmp_path / 'b.png', seed=1)
    lines = [
        dict(video='a.mp4', caption='the first'),
        dict(image='b.png', caption=['a still', 'an image']),
        dict(video='./a.mp4', caption=['third of a', 'fourth of a']),
        dict(video='a.mp4', start=1, caption='its end'),
    ]
    (tmp_path / 'own.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    texts = [0, 0, 0, 1, 1, 2]  # clip of each caption, as the set numbers them
    rows = [dict(direction='t2v', query_id=text, rank=1, top=[[clip, 3.0]]) for text, clip in enumerate(texts)]
    rows += [dict(direction='v2t', query_id=clip, rank=1, top=[[texts.index(clip), 3.0]]) for clip in range(3)]
    metrics = {'retrieval/t2v_R@1': 100.0, 'retrieval/v2t_R@1': 100.0}
    (tmp_path / 'result.json').write_text(json.dumps(dict(metrics=metrics, predictions=dict(retrieval=rows))))
    (tmp_path / 'config.py').write_text(
        "default_scope = 'vlpeft'\ntest_dataloader = dict(dataset=dict(type='JSONLRetrieval', test_mode=True,\n"
        f"    data_root={str(tmp_path)!r}, ann_file='own.jsonl', pipeline=[dict(type='CleanText')]))\n"
    )
    return tmp_path


@pytest.mark.parametrize('source', ['own.jsonl', 'config.py'])
def test_the_sets_own_records_are_shown(own, source):
    done = run_tool('make_gallery.py', own / 'result.json', own / source, own / 'g.html')
    assert done.returncode == 0, done.stderr
    page = (own / 'g.html').read_text()
    headings = re.findall('<h3>(.*?)</h3>', page)
    assert headings == [
        'the first',
        'third of a',
        'fourth of a',
        'a still',
        'an image',
        'its end',
        'a.mp4',
        'b.png',
        'a.mp4#t=1',
    ]
    assert page.count('class="clip right"') == 6 and page.count('<li class="right">') == 3
    assert '3 test clips: text-to-clip R@1 100.0' in page


def test_a_result_of_another_set_is_refused(own):
    (own / 'few.jsonl').write_text(json.dumps(dict(video='a.mp4', caption='x')))
    done = run_tool('make_gallery.py', own / 'result.json', own / 'few.jsonl', own / 'g.html')
    assert done.returncode != 0 and 'the result has the t2v query 1, which is not in the set of 1 clips' in done.stderr


@pytest.mark.parametrize('missing', ['result.json', 'annotations.jsonl'])
def test_missing_file_is_named(tmp_path, missing):
    (tmp_path / 'result.json').write_text('{}')
    names = [str(tmp_path / name) for name in ('result.json', 'annotations.jsonl')]
    (tmp_path / missing).unlink(missing_ok=True)
    done = run_tool('make_gallery.py', *names, tmp_path / 'g.html')
    assert done.returncode != 0 and missing in done.stderr
