"""The quickstart's claim, on three seeds: UniAdapter learns what trained heads alone cannot."""

import json
import os
import subprocess
import sys

import pytest

from tests.workspace import ROOT


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_uniadapter_is_ten_points_above_heads_only(tmp_path, seed):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    work = tmp_path / 'work_dirs/quickstart'

    def run(tool, *args):
        subprocess.run([sys.executable, str(ROOT / 'tools' / tool), *args], cwd=tmp_path, env=env, check=True)

    def train(name):
        run(
            'train.py',
            f'configs/quickstart/{name}.py',
            '--work-dir',
            str(work / name),
            '--cfg-options',
            f'randomness.seed={seed}',
        )
        return str(work / name / (work / name / 'last_checkpoint').read_text())

    run('quickstart/make_clips.py', 'data/quickstart', '--seed', str(seed))
    run(
        'quickstart/build_vocab.py',
        'data/quickstart/vocab',
        *map(str, sorted((tmp_path / 'data/quickstart').glob('*/*.jsonl'))),
    )
    os.link(train('pretrain_stills'), work / 'base.pth')
    scores = {}
    for name in ('heads', 'uniadapter'):
        out = work / f'{name}.json'
        run('test.py', f'configs/quickstart/{name}.py', train(name), '--work-dir', str(work / name), '--out', str(out))
        scores[name] = json.loads(out.read_text())['metrics']['retrieval/mean_R@1']
    print(f'seed {seed}: mean R@1 {scores}')
    assert scores['uniadapter'] >= scores['heads'] + 10
