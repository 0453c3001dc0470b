"""What checkpoints record of their run, and the recorded config read as data."""

import hashlib
import subprocess
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import BaseLoop

from tests.commands import run_script
from tests.workspace import write_workspace
from vlpeft.engine.config_file import ConfigFileError
from vlpeft.engine.recorded_config import recorded_config
from vlpeft.engine.run_config import RunConfig
from vlpeft.engine.run_record import code_state, run_record
from vlpeft.engine.versions import numbers


def git(folder, *arguments):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']
    done = subprocess.run(['git', *identity, '-C', folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commit_and_changes_of_a_checkout(tmp_path):
    assert code_state(tmp_path) is None
    git(tmp_path, 'init', '-q')
    (tmp_path / 'a.py').write_text('a = 1\n')
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs/record.json').write_text('{}')
    assert code_state(tmp_path) is None, 'there is no commit yet'
    git(tmp_path, 'add', '-A')
    git(tmp_path, 'commit', '-q', '-m', 'one')
    commit = git(tmp_path, 'rev-parse', 'HEAD')
    assert code_state(tmp_path) == dict(commit=commit, dirty=False)
    (tmp_path / 'notes.txt').write_text('a file that the checkout does not know')
    assert code_state(tmp_path) == dict(commit=commit, dirty=False)
    (tmp_path / 'docs/record.json').write_text('{"seed": 0}')
    assert code_state(tmp_path) == dict(commit=commit, dirty=False), 'a page changes no run'
    (tmp_path / 'a.py').write_text('a = 2\n')
    assert code_state(tmp_path) == dict(commit=commit, dirty=True)


def test_every_checkpoint_of_a_run_has_the_record(tmp_path):
    config = write_workspace(tmp_path)
    done = run_script('tools/train.py', config, '--work-dir', tmp_path / 'runs')
    assert done.returncode == 0, done.stderr
    records = [torch.load(path)['meta']['run'] for path in sorted((tmp_path / 'runs').glob('*.pth'))]
    assert len(records) >= 2 and all(record == records[0] for record in records)
    record = records[0]
    assert record['processes'] == 1 and record['versions'] == numbers()
    digest = hashlib.sha256((tmp_path / 'data/train.jsonl').read_bytes()).hexdigest()
    assert record['data']['train'] == [
        dict(type='JSONLRetrieval', samples=10, file='train.jsonl', sha256=digest)  # 3 clips have 2 captions, 4 have 1
    ]
    assert str(tmp_path) not in repr(record)


class Loop(BaseLoop):
    def __init__(self, dataloader):
        self._dataloader = dataloader

    dataloader = property(lambda self: self._dataloader)

    def run(self):
        pass


def test_sets_that_are_joined_or_of_several_tasks(tmp_path):
    def one(name, count):
        (tmp_path / name).write_text(name)
        return type('Some', (list,), dict(ann_file=str(tmp_path / name), data_root=str(tmp_path)))(range(count))

    joined = SimpleNamespace(datasets=[one('a.json', 2), SimpleNamespace(dataset=one('b.json', 3))])
    loaders = {'vqa': SimpleNamespace(dataset=joined), 'caption': SimpleNamespace(dataset=one('c.json', 4))}
    runner = SimpleNamespace(
        model=torch.nn.Linear(1, 1), _train_loop=Loop(SimpleNamespace(loaders=loaders)), _val_loop=dict(type='later')
    )
    record = run_record(runner)
    assert record['parameters'] is None and record['data']['val'] == []
    assert [(one['task'], one['file'], one['samples']) for one in record['data']['train']] == [
        ('vqa', 'a.json', 2),
        ('vqa', 'b.json', 3),
        ('caption', 'c.json', 4),
    ]


def test_the_recorded_text_gives_the_config_back(tmp_path):
    settings = dict(
        model=dict(type='Retriever', sizes=(1, 2), one=(1,), empty=[], text='a\nb"', nothing=None, negative=-1.5e-3),
        limit=float('inf'),
        table={'a-b': [dict(x=True)], 3: 'three'},
    )
    assert recorded_config(dict(cfg=RunConfig(settings).pretty_text), 'run.pth') == settings
    assert recorded_config({}, 'run.pth') is None and recorded_config(dict(cfg=' '), 'run.pth') is None


@pytest.mark.parametrize('text', [
    'a = open("x")',
    'import os',
    'a = dict(**b)',
    'a = __import__("os").system("true")',
    'a = [x for x in "ab"]',
    'a = dict(1)',
    'a: int = 1',
    'a = f"{1}"',
    'a = (',
    'a = ' + '[' * 5000 + ']' * 5000,
])  # fmt: skip
def test_a_recorded_text_that_is_a_program_is_refused(text):
    with pytest.raises(ConfigFileError, match='run.pth: the config that it records is not plain'):
        recorded_config(dict(cfg=text), 'run.pth')
