"""The table of several runs."""

import json

import pytest
from quickstart_tools import run_process, run_tool

# Of the UniAdapter that the quickstart trains, as its metafile says.
TOTAL, TRAINABLE = 1068933, 178916
RECALLS = {'t2v_R@1': 50.0, 't2v_R@5': 80.25, 't2v_R@10': 90.0, 'v2t_R@1': 40.0, 'v2t_R@5': 70.0, 'v2t_R@10': 85.0}


def write_run(folder, name, scale, checkpoint_bytes=None):
    folder.mkdir(exist_ok=True)
    metrics = {f'retrieval/{key}': value * scale for key, value in RECALLS.items()}
    metrics['retrieval/mean_R@1'] = 45.0 * scale
    (folder / f'{name}.json').write_text(json.dumps(dict(config='c.py', metrics=metrics, predictions={})))
    checkpoint = None
    if checkpoint_bytes is not None:
        checkpoint = str(folder / f'{name}.pth')
        (folder / f'{name}.pth').write_bytes(b'x' * checkpoint_bytes)
    return dict(
        name=name,
        metrics_file=str(folder / f'{name}.json'),
        config='configs/quickstart/uniadapter.py',
        checkpoint=checkpoint,
        seconds=61.6 if checkpoint else 0,
    )


@pytest.fixture(scope='module')
def summary(tmp_path_factory):
    """The folder that the tool writes, and what it prints."""
    folder = tmp_path_factory.mktemp('runs')
    runs = [write_run(folder, 'base, zero-shot', 0.5), write_run(folder, 'UniAdapter', 1, checkpoint_bytes=54321)]
    (folder / 'runs.json').write_text(json.dumps(runs))
    done = run_process('summarise.py', folder / 'runs.json', folder / 'out')
    assert done.returncode == 0, done.stderr
    return folder / 'out', done.stdout


def test_rows(summary):
    base, adapted = json.loads((summary[0] / 'summary.json').read_text())
    assert adapted == dict(
        RECALLS,
        **{'mean_R@1': 45.0},
        name='UniAdapter',
        trainable=TRAINABLE,
        percent=round(100 * TRAINABLE / TOTAL, 4),
        checkpoint_bytes=54321,
        seconds=61.6,
    )
    # Nothing of the base was trained, whatever its config declares.
    assert (base['trainable'], base['percent'], base['checkpoint_bytes'], base['seconds']) == (0, 0, 0, 0)
    assert base['v2t_R@10'] == 42.5


def test_markdown_and_printed_table_hold_the_same_cells(summary):
    folder, output = summary
    lines = (folder / 'summary.md').read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert cells[0][:4] == ['run', 't2v R@1', 't2v R@5', 't2v R@10'] and cells[0][-1] == 'seconds'
    assert cells[3] == [
        'UniAdapter',
        '50.0',
        '80.2',
        '90.0',
        '40.0',
        '70.0',
        '85.0',
        '45.0',
        '178,916',
        '16.74',
        '54,321',
        '62',
    ]
    assert {len(row) for row in cells} == {12}
    printed = next(line for line in output.splitlines() if 'UniAdapter' in line)
    assert printed.split() == cells[3]


def test_a_missing_result_names_the_file(tmp_path):
    run = write_run(tmp_path, 'a', 1)
    run['metrics_file'] = 'nowhere/result.json'
    (tmp_path / 'runs.json').write_text(json.dumps([run]))
    done = run_tool('summarise.py', tmp_path / 'runs.json', tmp_path)
    assert done.returncode != 0 and 'nowhere/result.json' in done.stderr
