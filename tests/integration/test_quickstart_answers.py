"""The claims of the captioning and the answering quickstart, on three seeds: the methods see, the blind do not."""

import json
import os
import subprocess
import sys

import pytest

from tests.workspace import ROOT


class Quickstart:
    """The stages of tools/quickstart/{captions,questions}.sh in a folder of their own."""

    def __init__(self, folder, seed: int) -> None:
        self.folder, self.seed = folder, str(seed)
        (folder / 'configs').symlink_to(ROOT / 'configs')
        self.run('quickstart/make_stills.py', 'data/quickstart/pictures', '--seed', self.seed)

    def run(self, tool, *args):
        env = dict(os.environ, PYTHONPATH=str(ROOT))
        subprocess.run([sys.executable, str(ROOT / 'tools' / tool), *args], cwd=self.folder, env=env, check=True)

    def pretrain(self, config, text, name):
        self.run(
            'quickstart/pretrain_lm.py',
            f'configs/quickstart/{config}.py',
            f'data/quickstart/pictures/{text}',
            f'work_dirs/quickstart/{name}',
            '--seed',
            self.seed,
        )

    def result(self, name) -> dict:
        work = self.folder / 'work_dirs/quickstart' / name
        config, seed = f'configs/quickstart/{name}.py', f'randomness.seed={self.seed}'
        self.run('train.py', config, '--work-dir', str(work), '--cfg-options', seed)
        checkpoint = str(work / (work / 'last_checkpoint').read_text())
        self.run('test.py', config, checkpoint, '--work-dir', str(work), '--out', str(work / 'result.json'))
        return json.loads((work / 'result.json').read_text())


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_vl_pet_describes_what_it_has_not_seen(tmp_path, seed):
    quickstart = Quickstart(tmp_path, seed)
    quickstart.pretrain('_captions_', 'captions.txt', 'bart')
    result = quickstart.result('captions_vlpet')
    written = result['predictions']['caption']
    right = 100 * sum(record['caption'] in record['references'] for record in written) / len(written)
    cider = result['metrics']['caption/CIDEr']
    print(f'seed {seed}: wholly right {right}, CIDEr {cider}')
    # One in 144 is right by chance.
    assert right >= 50 and cider >= 500


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_epalm_answers_what_a_blind_model_cannot(tmp_path, seed):
    quickstart = Quickstart(tmp_path, seed)
    quickstart.pretrain('_questions_', 'questions.txt', 'opt')
    right = {
        name: quickstart.result(name)['metrics']['open_ended/accuracy']
        for name in ('questions_blind', 'questions_epalm')
    }
    print(f'seed {seed}: exact match {right}')
    assert right['questions_epalm'] >= 70 and right['questions_epalm'] >= right['questions_blind'] + 25
