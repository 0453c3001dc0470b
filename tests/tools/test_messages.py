"""Mistakes that people make: one line on standard error that says what to do, an exit code, no traceback."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest

import vlpeft
from tests.media import write_image
from tests.ports import free_port
from tests.workspace import LORA, ROOT, write_child, write_workspace
from vlpeft.engine import messages

OPTIONS = '--cfg-options'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Paths that command lines name, by name."""
    folder = tmp_path_factory.mktemp('messages')
    config = write_workspace(folder)
    data = folder / 'data'
    lines = (data / 'train.jsonl').read_text().splitlines()
    (data / 'bad.jsonl').write_text('\n'.join([*lines[:2], '{"video": "clip2.mp4", "caption": "a', *lines[3:]]) + '\n')
    (data / 'slip.jsonl').write_text(lines[0].replace('"caption"', '"captoin"') + '\n')
    write_image(data / 'still.jpg')
    still = json.dumps(dict(image='still.jpg', caption='a red square'))
    (data / 'mixed.jsonl').write_text('\n'.join([*lines, still]) + '\n')
    # Of a Python config: a name that is not there, a bracket that is not closed, and a rate with quotes around it.
    base = f'_base_ = [{str(config)!r}]\n'
    (folder / 'name.py').write_text(f'{base}optim_wrapper = dict(optimizer=dict(lr=rate))\n')
    (folder / 'bracket.py').write_text(f'{base}model = dict(\n')
    (folder / 'text.py').write_text(f"{base}optim_wrapper = dict(optimizer=dict(lr='1e-3'))\n")
    (folder / 'damaged.pth').write_bytes(b'no checkpoint')
    lora = write_child(folder / 'lora.py', config, adapter=dict(LORA, _delete_=True), frame_aware=False)
    return dict(folder=folder, config=config, lora=lora, data=data, base=folder / 'base.pth')


@pytest.fixture
def run(place, monkeypatch, capsys, tmp_path):
    """Runs a tool as the command line does, in this process: (exit code, lines on stderr, stdout)."""

    def call(command: str) -> tuple[int, list[str], str]:
        place['work'] = tmp_path / 'work'
        tool, *arguments = command.format(**place).split()
        if tool in ('train', 'test'):
            arguments += ['--work-dir', str(place['work'])]
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *arguments])
        main = importlib.import_module(f'tools.{tool}').main
        capsys.readouterr()
        try:
            code = messages.run_main(main)
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.err.splitlines(), captured.out

    return call


T = 'train {config} --cfg-options '
# Command, exit code, what the line must say. The mistakes of the first list are found before anything is built.
EARLY = dict(
    adapter=(T + 'model.adapter.type=UniAdaptr', 1, r"model\.adapter\.type: 'UniAdaptr' .*; did you mean UniAdapter\?"),
    kind=(
        'train {lora} --cfg-options model.adapter.targets.kinds=[self_atn]',
        1,
        r"unknown kinds \['self_atn'\].*self_attn",
    ),
    tower=(
        'train {lora} --cfg-options model.adapter.targets.towers=[visoin]',
        1,
        r"unknown towers \['visoin'\].*'vision'",
    ),
    depth=(
        'train {lora} --cfg-options model.adapter.targets.depths=[7]',
        1,
        r'unknown depths of tower .*\[7\].*\[0, 1',
    ),
    transform=(
        T + 'train_dataloader.dataset.pipeline.0.type=LoadClp',
        1,
        r"pipeline\.0\.type: 'LoadClp' is not a registered transform; did you mean LoadClip\?",
    ),
    optimizer=(
        T + 'optim_wrapper.optimizer.type=AdmW',
        1,
        r"'AdmW' is not a registered optimizer; did you mean AdamW\?",
    ),
    base=(
        T + 'model.base_checkpoint.source={folder}/bse.pth',
        1,
        r'there is no file .*bse\.pth; did you mean .*/base\.pth\?',
    ),
    key=(T + 'model.adaptr.rank=3', 1, r"model\.adaptr.*'adaptr'.*did you mean adapter\?"),
    variable=(
        T + 'pipeline.0.num_frames=4',
        1,
        r'pipeline is a variable of the config file.*train_dataloader\.dataset\.pipeline',
    ),
    path=(T + 'train_dataloader.dataset.data_root={folder}/dta', 1, r'{folder}/dta'),
    folder_for_annotations=(
        T + 'train_dataloader.dataset.ann_file=.',
        1,
        r'train_dataloader\.dataset: annotation file .* \(it is a folder\)',
    ),
    tokenizer=(T + 'model.vocabulary=bert-base-nowhere', 1, r"'bert-base-nowhere' is neither a folder .* nor .*hub"),
    negative_k=(T + 'val_cfg.k_test=-5', 1, r'val_cfg: k_test=-5 must be 0 .* or the number of candidates'),
    rate=(
        T + 'optim_wrapper.optimizer.lr=1e-2x',
        1,
        r"optim_wrapper\.optimizer\.lr: '1e-2x' does not fit, it takes float",
    ),
    rate_in_file=('train {folder}/text.py', 1, r"optim_wrapper\.optimizer\.lr: '1e-3' does not fit, it takes .*float"),
    name_in_file=('train {folder}/name.py', 1, r"name\.py:2: NameError: name 'rate' is not defined"),
    syntax=('train {folder}/bracket.py', 1, r"bracket\.py:2: SyntaxError: '\(' was never closed"),
    config=('train {folder}/confg.py', 2, r'confg\.py does not exist .*; did you mean {config}'),
    folder_for_config=('train {folder}', 2, r'is a folder'),
    checkpoint=(
        'test {config} {folder}/base.pt',
        2,
        r'checkpoint file .*base\.pt does not exist; {folder} holds base\.pth',
    ),
    folder_for_checkpoint=(
        'test {config} {folder}',
        2,
        r'{folder} does not exist \(it is a folder\); {folder} holds base\.pth',
    ),
    argument=('train {config} --workdir x', 2, r'unrecognized arguments: --workdir x \(see .* --help\)'),
    no_value=(T + 'model.adapter.bottleneck', 2, r'model\.adapter\.bottleneck.*KEY=VALUE'),
    resume=('train {config} --resume {folder}/damaged.pth', 1, r'--resume: .*damaged\.pth'),
    top=('demo.search {config} none {data} red --top 0', 2, r'--top must be at least 1, got 0'),
    device=('demo.search {config} none {data} red --device cuda:9', 1, r"'cuda:9', but torch sees \d+ GPUs here; use"),
    no_device=(
        'demo.search {config} none {data} red --device gpu',
        1,
        r"'gpu' is no device of torch; use 'cpu', 'cuda'",
    ),
    count=(
        'analysis_tools.count_params {config} --cfg-options model.adaptr.rank=3',
        1,
        r"'adaptr'.*did you mean adapter",
    ),
    estimate=('analysis_tools.estimate_memory {config} --cfg-options model.adaptr.rank=3', 1, r'did you mean adapter'),
    convert=(
        'model_converters.convert_checkpoint {base} {folder}/x.pth --config {config} --cfg-options model.adaptr.rank=3',
        1,
        r'did you mean adapter',
    ),
    converter=('dataset_converters.msrvtt {folder}', 2, r'the following arguments are required: DST .*--help'),
)
# These are in what a run reads, and found when it is read.
LATE = dict(
    too_few=(
        T + 'train_dataloader.batch_size=64',
        1,
        r'10 samples .* do not fill a batch of 64.*smaller train_dataloader',
    ),
    json_line=(T + 'train_dataloader.dataset.ann_file=bad.jsonl', 1, r'bad\.jsonl:3: '),
    column=(T + 'train_dataloader.dataset.ann_file=slip.jsonl', 1, r"slip\.jsonl:1.*'captoin', is 'caption' meant\?"),
    mixed=(
        T + 'train_dataloader.dataset.ann_file=mixed.jsonl train_dataloader.batch_size=11',
        1,
        r'An image is one frame',
    ),
    damaged=('test {config} {folder}/damaged.pth', 1, r'damaged\.pth'),
    random=('test {config} none', 1, r'come from no file.*--allow-random'),
    no_media=('demo.search {config} none {folder}/nowhere red', 1, r'nowhere'),
)


@pytest.mark.parametrize('name', [*EARLY, *LATE])
def test_a_mistake_is_one_line_that_says_what_to_do(run, place, name):
    command, code, pattern = {**EARLY, **LATE}[name]
    got, lines, out = run(command)
    assert got == code, (got, lines, out)
    assert len(lines) == 1 and lines[0].startswith('error: '), lines
    wanted = re.sub(r'\{(\w+)\}', lambda match: re.escape(str(place[match[1]])), pattern)
    assert re.search(wanted, lines[0]), lines[0]
    assert 'Traceback' not in out and not re.search(r'(?<!Name)(?<!Syntax)Error: ', lines[0])
    if name in EARLY:
        assert not list(place['work'].glob('*/*.log')), 'a runner was built'


def test_problems_of_overrides_and_of_files_are_one_list(run, place):
    code, lines, _ = run(
        T + 'model.adaptr.rank=3 model.base_checkpoint.source={folder}/bse.pth val_cfg.k_test=-5 '
        'optim_wrapper.optimizer.lr=fast'
    )
    assert code == 1 and lines[0] == f'error: {place["config"]}: 4 problems' and len(lines) == 5, lines
    for word in ('adaptr', 'bse.pth', 'k_test=-5', "'fast'"):
        assert sum(word in line for line in lines) == 1, lines


def test_a_k_above_the_gallery_is_a_note(run, place):
    code, lines, out = run(T + 'val_cfg.k_test=1000 train_cfg.max_epochs=1')
    assert code == 0 and not lines
    assert out.count('note: k_test=1000 is clamped to the 7 candidates of t2v') == 1


def test_debug_shows_the_traceback_and_the_line(run):
    for command in ('test {config} none --debug', T + 'model.adaptr.rank=3 --debug'):
        code, lines, _ = run(command)
        assert code == 1 and any(line.startswith('Traceback') for line in lines)
        assert lines[-1].startswith('error: ') or lines[-1].startswith('  model'), lines[-3:]


def test_the_same_from_the_script_and_from_the_command_vlpeft(run, place, tmp_path):
    code, lines, _ = run(T + 'model.adapter.type=UniAdaptr')
    arguments = [str(place['config']), '--work-dir', str(tmp_path), OPTIONS, 'model.adapter.type=UniAdaptr']
    command = [sys.executable, '-m', 'vlpeft', 'train', *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()) == (code, lines) and code == 1
    assert len(lines) == 1 and 'did you mean UniAdapter?' in lines[0]


def test_several_processes_say_it_once(place, tmp_path):
    command = ['bash', 'tools/dist_train.sh', str(place['config']), '2', '--work-dir', str(tmp_path), OPTIONS]
    done = subprocess.run(
        [*command, 'train_dataloader.dataset.ann_file=bad.jsonl'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    assert done.returncode == 1, done.stderr
    told = [line for line in done.stderr.splitlines() if 'bad.jsonl:3' in line]
    assert len(told) == 1 and told[0].startswith('error: ') and 'Traceback' not in done.stderr, done.stderr
    assert done.stderr.splitlines() == told, done.stderr


def _environment() -> dict:
    return dict(os.environ, PYTHON=sys.executable, PORT=str(free_port()), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')


@pytest.mark.parametrize(
    'raised, text',
    [
        (lambda: {}['key'], r'^error: KeyError: key; this is not expected, please report it .*vlpeft \d'),
        (lambda: int('x'), r'^error: ValueError: invalid literal .* please report'),
        (lambda: open('/nowhere/x'), r'^error: /nowhere/x: No such file or directory$'),
        (lambda: importlib.import_module('no_such_package'), r'^error: No module named .no_such_package.: install it'),
    ],
)
def test_what_nobody_expected_keeps_its_traceback(monkeypatch, capsys, raised, text):
    monkeypatch.setattr(sys, 'argv', ['tool.py'])
    assert messages.run_main(raised) == 1
    lines = capsys.readouterr().err.splitlines()
    assert re.search(text, lines[-1])
    assert (lines[0] == 'Traceback (most recent call last):') == ('report' in lines[-1])


def test_codes_and_interruptions_pass(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    def stopped():
        raise SystemExit(75)

    monkeypatch.setattr(sys, 'argv', ['tool.py'])
    assert messages.run_main(lambda: None) == 0 and messages.run_main(lambda: 3) == 3
    assert messages.run_main(interrupted) == 130
    with pytest.raises(SystemExit) as end:
        messages.run_main(stopped)
    assert end.value.code == 75 and capsys.readouterr() == ('', '')


def test_an_error_of_one_process_is_told_where_processes_do_not_know_of_each_other(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('RANK', '3')
    messages.tell('wrong')
    messages.tell('wrong', everywhere=True)
    assert capsys.readouterr().err == 'error: another process of the run: wrong\n'
    monkeypatch.setenv('VLPEFT_STOP_NOTE', str(tmp_path / 'stopped'))
    for _ in range(3):
        messages.tell('wrong')
    messages.tell('also wrong')
    assert capsys.readouterr().err == 'error: wrong\nerror: also wrong\n'


def test_too_little_memory_says_what_helps(monkeypatch, capsys):
    class OutOfMemoryError(RuntimeError):
        pass

    def fills():
        raise OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has 1 GiB.')

    monkeypatch.setattr(sys, 'argv', ['tool.py'])
    assert messages.run_main(fills) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: CUDA out of memory: choose a smaller batch_size') and 'estimate_memory' in line


@pytest.mark.parametrize(
    'overrides, text',
    [
        (dict(adaptr=None), r'adaptr.*did you mean adapter\?'),
        (dict(adapter=dict(type='LorA')), r"model\.adapter\.type: 'LorA' .*did you mean LoRA\?"),
        (
            dict(adapter=dict(bottlneck=3)),
            r"model\.adapter\.bottlneck: UniAdapter takes no 'bottlneck'; did you mean bottleneck",
        ),
    ],
)
def test_get_model_refuses_what_would_change_nothing(place, overrides, text):
    with pytest.raises(ValueError, match=text) as error:
        vlpeft.get_model(str(place['config']), **overrides)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'tool', sorted(path.relative_to(ROOT / 'tools').as_posix() for path in (ROOT / 'tools').rglob('*.py'))
)
def test_every_command_ends_by_the_one_printer(tool):
    source = (ROOT / 'tools' / tool).read_text()
    if 'def main(' in source:
        assert source.endswith("\nif __name__ == '__main__':\n    sys.exit(run_main(main))\n")
