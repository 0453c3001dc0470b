"""The quickstart's claim, on three seeds: UniAdapter comes near full fine-tuning, and trained heads alone do not."""

import json
import os
import subprocess
import sys

import pytest

from tests.workspace import ROOT


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_uniadapter_comes_near_full_fine_tuning(tmp_path, seed):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    work = tmp_path / 'work_dirs/quickstart'

    def run(tool, *args):
        subprocess.run([sys.executable, str(ROOT / 'tools' / tool), *args], cwd=tmp_path, env=env, check=True)

    run('quickstart/make_clips.py', 'data/quickstart', '--seed', str(seed))
    scores = {}
    for name in ('heads', 'uniadapter', 'full'):
        config, folder = f'configs/quickstart/{name}.py', work / name
        run('train.py', config, '--work-dir', str(folder), '--cfg-options', f'randomness.seed={seed}')
        checkpoint = folder / (folder / 'last_checkpoint').read_text()
        run('test.py', config, str(checkpoint), '--work-dir', str(folder), '--out', str(folder / 'result.json'))
        scores[name] = json.loads((folder / 'result.json').read_text())['metrics']['retrieval/mean_R@1']
    print(f'seed {seed}: mean R@1 {scores}')
    assert scores['uniadapter'] >= 60
    assert scores['uniadapter'] >= scores['full'] - 10
    assert scores['uniadapter'] >= scores['heads'] + 10
