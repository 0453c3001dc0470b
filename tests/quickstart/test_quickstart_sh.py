"""The quickstart's shell scripts: subjects, help, and stages that are skipped when nothing has changed."""

import subprocess

import pytest

from tests.workspace import ROOT


def bash(script, cwd=ROOT):
    return subprocess.run(['bash', '-c', script], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize('words', ['retrievel', 'retrieval again', 'stages', 'pretrain_base', "''"])
def test_an_unknown_subject_is_refused_with_the_known(words):
    done = bash(f'bash tools/quickstart.sh {words}')
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count('\n') == 1 and 'is not one of' in done.stderr and 'retrieval' in done.stderr


def test_help_names_every_subject():
    done = bash('bash tools/quickstart.sh --help')
    scripts = {file.stem for file in (ROOT / 'tools/quickstart').glob('*.sh')} - {'stages', 'pretrain_base'}
    assert done.returncode == 0 and 'set -e' not in done.stdout
    assert all(f'\n  {subject} ' in done.stdout for subject in scripts)


STAGE = """
set -euo pipefail
. {root}/tools/quickstart/stages.sh
WORK=work
work() {{ echo ran; [ ! -f broken ]; }}
stage one input.txt folder -- work
"""


def test_a_stage_runs_again_only_when_an_input_has_changed(tmp_path):
    (tmp_path / 'folder').mkdir()
    for name in ('input.txt', 'folder/a.py', 'folder/b.txt'):
        (tmp_path / name).write_text('1')

    def run(before=''):
        return bash(before + STAGE.format(root=ROOT), tmp_path)

    assert run().stdout == 'ran\n'
    assert run().stdout == 'unchanged, skipped\n'
    (tmp_path / 'folder/b.txt').write_text('2')  # no code
    assert run().stdout == 'unchanged, skipped\n'
    for name in ('input.txt', 'folder/a.py'):
        (tmp_path / name).write_text('2')
        assert run().stdout == 'ran\n'
    assert run('export QUICKSTART_SEED=1\n').stdout == 'ran\n'
    (tmp_path / 'broken').touch()
    (tmp_path / 'input.txt').write_text('3')
    assert run('export QUICKSTART_SEED=1\n').returncode == 1
    (tmp_path / 'broken').unlink()
    assert run('export QUICKSTART_SEED=1\n').stdout == 'ran\n', 'a stage that failed is not taken for done'
