"""The gallery of a test result, from the generated clips."""

import json

import pytest
from quickstart_tools import run_tool


def test_page_shows_the_result(quickstart_data, tmp_path):
    annotations = quickstart_data / 'clips/test.jsonl'
    lines = [json.loads(line) for line in annotations.read_text().splitlines()]
    predictions = [
        dict(direction=direction, query_id=i, rank=1 + i % 3, top=[[(i - i % 3 + j) % 160, 5.0 - j] for j in range(10)])
        for direction in ('t2v', 'v2t') for i in range(160)
    ]
    metrics = {'retrieval/t2v_R@1': 33.3, 'retrieval/v2t_R@1': 34.4}
    (tmp_path / 'result.json').write_text(json.dumps(dict(metrics=metrics, predictions=dict(retrieval=predictions))))
    done = run_tool('make_gallery.py', tmp_path / 'result.json', annotations, tmp_path / 'g.html',
                    '--title', 'A <title>', '--queries', 4)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'g.html').read_text()
    assert 'A &lt;title&gt;' in page and 'text-to-clip R@1 33.3' in page
    # At even distances: the first, the last and two between; each is in its own top five.
    for i in (0, 53, 106, 159):
        assert f'<h3>{lines[i]["caption"][0]}</h3><span class="rank' in page
        assert f'<h3>{lines[i]["video"]}</h3>' in page
    assert page.count('class="clip right"') == 4 and page.count('<li class="right">') == 4
    assert page.count('right one') == 4


@pytest.mark.parametrize('missing', ['result.json', 'annotations.jsonl'])
def test_missing_file_is_named(tmp_path, missing):
    (tmp_path / 'result.json').write_text('{}')
    names = [str(tmp_path / name) for name in ('result.json', 'annotations.jsonl')]
    (tmp_path / missing).unlink(missing_ok=True)
    done = run_tool('make_gallery.py', *names, tmp_path / 'g.html')
    assert done.returncode != 0 and missing in done.stderr
