"""The command ``vlpeft``: from any folder, with any name of a config, and light where nothing heavy is needed."""

import ast
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from mmengine.config import Config

from tests.ports import free_port
from tests.workspace import ROOT, write_workspace
from vlpeft.cli import COMMANDS, main
from vlpeft.engine.config_file import ConfigFileError, read_config
from vlpeft.version import __version__
from vlpeft.zoo.config_names import find_config

RECIPE = ROOT / 'configs/uniadapter/blip_msrvtt.py'
NAMES = (
    'uniadapter_blip_msrvtt',
    'uniadapter/blip_msrvtt',
    'uniadapter/blip_msrvtt.py',
    'configs/uniadapter/blip_msrvtt.py',
    'vlpeft::uniadapter/blip_msrvtt.py',
    'vlpeft::uniadapter/blip_msrvtt',
    str(RECIPE),
)
LIGHT = """
import sys
from vlpeft.cli import main
code = main(sys.argv[1:])
heavy = [name for name in ('torch', 'torchvision', 'mmcv', 'mmpretrain', 'transformers', 'mmengine.runner')
         if name in sys.modules]
sys.exit(f'imported {heavy}' if heavy else code)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    return tmp_path


def call(capsys, *arguments):
    """(exit code, stdout, stderr) of ``vlpeft ARGUMENTS``, in this process."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code or 0, captured.out, captured.err


def start(folder, *arguments, program=('-m', 'vlpeft')):
    """Runs Python on ``vlpeft`` in a process of its own that knows the checkout by PYTHONPATH alone."""
    command = [sys.executable, *program, *map(str, arguments)]
    environment = dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin', HOME=str(folder), OMP_NUM_THREADS='1')
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize('arguments', [['--help'], ['list']])
def test_starts_without_anything_heavy(tmp_path, arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = start(tmp_path, *arguments, program=('-c', LIGHT))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Of the processor: other processes may take their share of the clock.
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 1


def test_module_help_and_version(tmp_path):
    done = start(tmp_path, '--help')
    assert done.returncode == 0
    described = {line.split()[0] for line in done.stdout.splitlines() if line.startswith('  ')}
    assert set(COMMANDS) <= described
    assert start(tmp_path, '--version').stdout == f'vlpeft {__version__}\n'


def test_tools_are_commands():
    for tool in ROOT.glob('tools/**/*.py'):
        functions = [node for node in ast.parse(tool.read_text()).body if isinstance(node, ast.FunctionDef)]
        (main,) = [function for function in functions if function.name == 'main'] or [None]
        assert main is not None and ast.unparse(main.args) == 'argv: list[str] | None=None', tool
    assert all((ROOT / 'tools' / command.tool).is_file() for command in COMMANDS.values())


@pytest.mark.parametrize('command', list(COMMANDS))
def test_help_names_the_command(elsewhere, capsys, command):
    code, out, _ = call(capsys, command, '--help')
    assert code == 0 and out.startswith(f'usage: vlpeft {command} ')
    assert 'tools/' not in out.partition('examples:')[2].partition('several GPUs')[0]


def test_output_that_nobody_reads_to_its_end(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, '-m', 'vlpeft', 'list']
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, '')


def test_unknown_command_names_the_nearest(elsewhere, capsys):
    assert call(capsys, 'trian') == (2, '', "vlpeft: there is no command 'trian'; did you mean train?\n")
    assert call(capsys)[0] == 2


@pytest.mark.parametrize('name', NAMES)
def test_names_of_a_config(elsewhere, name):
    assert find_config(name).samefile(RECIPE)


def test_a_file_here_comes_first(elsewhere):
    (elsewhere / 'uniadapter_blip_msrvtt').write_text('mine = 1')
    (elsewhere / 'uniadapter').mkdir()
    (elsewhere / 'uniadapter/blip_msrvtt.py').write_text('mine = 2')
    assert read_config(find_config('uniadapter_blip_msrvtt').rename('here.py')).mine == 1
    assert read_config(find_config('uniadapter/blip_msrvtt.py')).mine == 2
    assert find_config('uniadapter/blip_msrvtt').samefile(RECIPE)


@pytest.mark.parametrize('name', ['../uniadapter/blip_msrvtt', 'vlpeft::../README.md', 'configs/../setup.py', '', '/'])
def test_names_do_not_leave_the_zoo(elsewhere, name):
    with pytest.raises(ValueError):
        find_config(name)


@pytest.mark.parametrize(
    'arguments',
    [
        ['train', 'CONFIG'],
        ['test', 'CONFIG', 'none'],
        ['dist-train', 'CONFIG', '2'],
        ['dist-test', 'CONFIG', 'none', '2'],
        ['search', 'CONFIG', 'none', '.', 'a dog'],
        ['show', 'CONFIG'],
        ['params', 'CONFIG'],
        ['estimate', 'CONFIG'],
        ['check-data', 'CONFIG'],
        ['convert', 'a.pth', 'b.pth', '--config', 'CONFIG'],
    ],
)
def test_unknown_configs_are_refused_with_the_nearest(elsewhere, capsys, arguments):
    for wrong, near in (
        ('uniadapter/blip_msrvt', 'uniadapter/blip_msrvtt'),
        ('uniadapter_blip_msrvt', 'uniadapter_blip_msrvtt'),
    ):
        code, out, err = call(capsys, *(wrong if argument == 'CONFIG' else argument for argument in arguments))
        assert code in (1, 2) and not out
        assert f'did you mean {near}' in err.splitlines()[-1]
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    'arguments, message', [(['0'], 'at least 1, got 0'), (['eight'], "invalid int value: 'eight'")]
)
def test_distributed_commands_check_the_processes(elsewhere, capsys, arguments, message):
    code, _, err = call(capsys, 'dist-train', RECIPE, *arguments)
    assert code == 2 and message in err


def test_dist_train_becomes_torchrun(tmp_path):
    done = start(tmp_path, 'dist-train', 'uniadapter_blip_msrvtt', 1, '--help')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: train.py') and '--launcher' in done.stdout


@pytest.mark.slow
def test_dist_train_hands_signals_and_exit_codes_on(tmp_path):
    config = write_workspace(tmp_path)
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', PORT=str(free_port()))
    command = [sys.executable, '-m', 'vlpeft', 'dist-train', str(config), '2']
    command += ['--cfg-options', 'train_cfg.max_epochs=1000']
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as run:
        try:
            deadline = time.monotonic() + 200
            while not list(tmp_path.glob('work_dirs/config/epoch_*.pth')):
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
            run.send_signal(signal.SIGTERM)
            assert run.wait(timeout=100) == 75
        finally:
            run.kill()


def test_list(elsewhere, capsys):
    code, out, _ = call(capsys, 'list')
    header, *lines = out.splitlines()
    assert code == 0 and header.split() == ['name', 'method', 'task', 'data', 'trained']
    assert len(lines) == len(list(read_names()))
    code, out, _ = call(capsys, 'list', 'LORA', 'msr-vtt', 'blip')
    (line,) = out.splitlines()[1:]
    assert line.startswith('lora_blip_msrvtt ') and 'LoRA' in line and 'Text-Video Retrieval' in line
    shown = json.loads(call(capsys, 'list', '--json', 'uniadapter/blip_msrvtt.py')[1])
    assert [(row['name'], row['trained']) for row in shown] == [('uniadapter_blip_msrvtt', '2.27 %')]
    assert call(capsys, 'list', 'a-method-to-come') == (
        1,
        '',
        'no model of the zoo has a-method-to-come in its line\n',
    )


def read_names():
    """Names in the metafiles, as text."""
    for metafile in ROOT.glob('configs/*/metafile.yml'):
        lines = metafile.read_text().partition('Models:')[2].splitlines()
        yield from (line for line in lines if line.startswith('  - Name: '))


@pytest.mark.parametrize('options', [[], ['--recipe']])
def test_what_show_prints_runs_here(elsewhere, capsys, options):
    code, out, err = call(capsys, 'show', 'vl_pet/vlpet-large_bart-base_image', *options)
    assert code == 0, err
    (elsewhere / 'mine.py').write_text(out)
    mine = read_config('mine.py').to_dict()
    assert mine == Config.fromfile(ROOT / 'configs/vl_pet/vlpet-large_bart-base_image.py').to_dict()
    code, out, _ = call(capsys, 'show', 'mine.py', '--cfg-options', 'randomness.seed=7')
    assert code == 0 and Config.fromstring(out, '.py').randomness.seed == 7


def test_recipes_keep_their_text(elsewhere, capsys):
    out = call(capsys, 'show', RECIPE, '--recipe')[1]
    assert out.replace('vlpeft::', '../') == RECIPE.read_text()
    (elsewhere / 'base.py').write_text('a = 1\n')
    (elsewhere / 'child.py').write_text("é = 'ü'; _base_ = ['vlpeft::_base_/default_runtime.py', 'base.py']  # two\n")
    out = call(capsys, 'show', 'child.py', '--recipe')[1]
    assert out == f"é = 'ü'; _base_ = ['vlpeft::_base_/default_runtime.py', '{elsewhere / 'base.py'}']  # two\n"
    code, _, err = call(capsys, 'show', 'child.py', '--recipe', '--cfg-options', 'a=2')
    assert code == 2 and 'without --cfg-options' in err


def test_bases_of_the_zoo(elsewhere):
    child = elsewhere / 'child.py'
    child.write_text("_base_ = 'vlpeft::uniadapter/blip_msrvtt.py'\nmodel = dict(adapter=dict(bottleneck=16))\n")
    expected = Config.fromfile(RECIPE)
    expected.model.adapter.bottleneck = 16
    assert read_config(child).to_dict() == expected.to_dict()
    child.write_text("_base_ = 'vlpeft::uniadapter/blip_msrvt.py'\n")
    with pytest.raises(
        ConfigFileError, match=r"child.py: .* 'uniadapter/blip_msrvt.py'.* mean uniadapter/blip_msrvtt.py"
    ):
        read_config(child)


def test_counts_and_estimates_by_name(elsewhere, capsys):
    code, out, _ = call(capsys, 'params', 'uniadapter_blip_msrvtt', '--json')
    assert code == 0 and json.loads(out)['trainable'] == 5_179_906
    code, out, _ = call(capsys, 'estimate', 'uniadapter/blip_msrvtt', '--json', '--cfg-options', 'model.adapter=None')
    assert code == 0 and json.loads(out)
    code, out, err = call(capsys, 'params', 'uniadapter_blip_msrvtt', '--cfg-options', 'model.adapter.botleneck=3')
    assert code == 1 and 'did you mean bottleneck' in err and not out
