"""A study from its file to its page: real runs of the tools, at tiny size."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workspace import LORA, write_child, write_workspace
from tools.analysis_tools.compare_methods import main
from vlpeft.comparison.runs import run_study
from vlpeft.comparison.study import StudyError, choose, read_study
from vlpeft.engine.messages import run_main

STUDY = """
title: Three ways on seven clips
question: Does anything happen?
metric: retrieval/t2v_R@1
pairs: [[base, lora]]
seeds: [0, 1]
learning_rates: [1.0e-3, 3.0e-3]
options: {train_cfg.max_epochs: 1}
methods:
  base: {config: base.py, train: false, title: zero-shot}
  lora: {config: lora.py, title: LoRA}
"""


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('study')
    config = write_workspace(folder / 'work')
    write_child(folder / 'base.py', config, adapter=None)
    write_child(folder / 'lora.py', config, adapter=dict(LORA, _delete_=True))
    (folder / 'small.yml').write_text(STUDY)
    return folder


def compare(folder, *arguments):
    given = ['--records', folder / 'records', '--out', folder / 'page', '--work-dir', folder / 'runs']
    return main([str(part) for part in (folder / 'small.yml', *given, *arguments)])


@pytest.fixture(scope='module')
def compared(place):
    assert compare(place) == 0
    return place


def test_each_seed_leaves_a_record(compared):
    names = sorted(path.name for path in (compared / 'records').iterdir())
    assert names == ['base_seed0.json', 'lora_seed0.json', 'lora_seed1.json']
    record = json.loads((compared / 'records/lora_seed1.json').read_text())
    told = record['run_info']['train_config']
    assert set(told['learning_rates_tried']) == {'0.001', '0.003'} and told['seed'] == 1
    best = max(told['learning_rates_tried'].values())
    assert told['learning_rates_tried'][f'{told["learning_rate"]:g}'] == best
    assert record['train_info']['num_trainable_params'] > 0 and record['train_info']['seconds_per_step'] > 0
    assert record['train_info']['resident_memory_max'] > 100 * 2**20
    assert record['train_info']['file_size'] == 4 * record['train_info']['num_trainable_params']
    assert record['meta_info']['dataset_info']['test']['lines'] == 7
    assert len(record['meta_info']['model_info']['base'][0]['sha256']) == 64
    assert str(compared) not in json.dumps(record)


def test_the_record_has_what_the_test_found(compared):
    (run,) = [path for path in (compared / 'runs').iterdir() if path.name.startswith('lora') and '_seed1_' in path.name]
    result = json.loads((run / 'result.json').read_text())
    record = json.loads((compared / 'records/lora_seed1.json').read_text())
    assert record['metrics'] == result['metrics']


def test_nothing_is_run_again(compared, capsys):
    before = {path: path.read_bytes() for path in (compared / 'records').iterdir()}
    shutil.rmtree(compared / 'runs')
    assert compare(compared) == 0
    assert not (compared / 'runs').exists(), 'the records say it all'
    assert 'begins' not in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in (compared / 'records').iterdir()}


def test_the_page_is_the_same_bit_for_bit(compared, tmp_path):
    pages = []
    for name in ('a', 'b'):
        assert compare(compared, '--no-run', '--out', tmp_path / name) == 0
        pages.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert pages[0] == pages[1] and len(pages[0]) == 5
    text = pages[0]['small.md'].decode()
    assert '| zero-shot | 0 |' in text and '| LoRA | 0, 1 |' in text and 'Does anything happen?' in text


def test_the_score_of_a_row_is_the_mean_of_its_records(compared):
    rows = json.loads((compared / 'page/small.json').read_text())['methods']
    scores = [
        json.loads((compared / f'records/lora_seed{seed}.json').read_text())['metrics']['retrieval/t2v_R@1']
        for seed in (0, 1)
    ]
    (row,) = [row for row in rows if row['method'] == 'lora']
    assert row['score'] == pytest.approx(sum(scores) / 2) and (row['lowest'], row['highest']) == (
        min(scores),
        max(scores),
    )


def test_samples_of_a_record_are_those_of_its_figure(compared):
    record = json.loads((compared / 'records/lora_seed0.json').read_text())
    scores = record['samples']['scores']
    # Seven clips, three of which have a second caption.
    assert len(scores) == len(record['samples']['units']) == 10 and set(record['samples']['units']) == set(range(7))
    assert sum(scores) / 10 == pytest.approx(record['metrics']['retrieval/t2v_R@1'], abs=1e-3)
    (pair,) = json.loads((compared / 'page/small.json').read_text())['pairs']
    rows = {row['method']: row['score'] for row in json.loads((compared / 'page/small.json').read_text())['methods']}
    assert pair['difference'] == pytest.approx(rows['lora'] - rows['base'], abs=1e-3) and pair['units'] == 7
    assert '| LoRA | zero-shot |' in (compared / 'page/small.md').read_text()


def test_a_changed_config_is_run_anew(compared, capsys):
    text = (compared / 'small.yml').read_text()
    changed = text.replace('max_epochs: 1', 'max_epochs: 2').replace('seeds: [0, 1]', 'seeds: [0]')
    (compared / 'changed.yml').write_text(changed.replace('[1.0e-3, 3.0e-3]', '[1.0e-3]'))
    arguments = ['--records', compared / 'others', '--out', compared / 'page2', '--work-dir', compared / 'runs']
    shutil.copytree(compared / 'records', compared / 'others')
    assert main([str(part) for part in (compared / 'changed.yml', *arguments, '--only', 'lora')]) == 0
    assert 'LoRA, seed 0, rate 0.001: begins' in capsys.readouterr().out
    record = json.loads((compared / 'others/lora_seed0.json').read_text())
    assert record['run_info']['train_config']['steps'] == 4


@pytest.mark.parametrize(
    'change, message',
    [
        (('metric: retrieval/t2v_R@1', ''), 'metric is missing'),
        (('seeds: [0, 1]', 'seeds: 3'), 'seeds: 3 is no list of numbers'),
        (('seeds: [0, 1]', 'seeds: [1, 1]'), 'holds one twice'),
        (('config: lora.py', 'config: lro.py'), 'there is no .*lro.py'),
        (('learning_rates:', 'learning_rate:'), "unknown entry 'learning_rate'; did you mean learning_rates"),
        (('3.0e-3]', '-1]'), 'holds a rate that is not above 0'),
        (('train: false', 'trian: false'), "methods: base: unknown entry 'trian'; did you mean train"),
    ],
)
def test_wrong_files_are_refused(place, tmp_path, change, message):
    for name in ('base.py', 'lora.py'):
        shutil.copy(place / name, tmp_path)
    (tmp_path / 'wrong.yml').write_text(STUDY.replace(*change))
    with pytest.raises(StudyError, match=message):
        read_study(tmp_path / 'wrong.yml')


def test_a_record_is_reproduced(compared, tmp_path, capsys):
    given = [compared / 'small.yml', '--records', tmp_path, '--work-dir', tmp_path / 'again', '--reproduce', 'lora']
    record = json.loads((compared / 'records/lora_seed0.json').read_text())
    stored = tmp_path / 'lora_seed0.json'
    stored.write_text(json.dumps(record))
    assert main([*map(str, given)]) == 0
    assert capsys.readouterr().out.strip().endswith('within its interval')
    found = record['metrics']['retrieval/t2v_R@1']
    stored.write_text(json.dumps(dict(record, intervals={'retrieval/t2v_R@1': [found + 1, found + 2]})))
    assert main([*map(str, given)]) == 1
    assert 'NOT within' in capsys.readouterr().out
    changed = json.loads(stored.read_text())
    changed['run_info']['train_config']['fingerprint'] = '0' * 64
    stored.write_text(json.dumps(changed))
    with pytest.raises(StudyError, match='no longer what the record of lora was made with'):
        main([*map(str, given)])


def test_a_stopped_comparison_leaves_no_run_behind_and_goes_on(place, tmp_path):
    (place / 'long.yml').write_text(STUDY.replace('max_epochs: 1', 'max_epochs: 2000'))
    given = ['--records', tmp_path / 'records', '--out', tmp_path / 'page', '--work-dir', tmp_path / 'runs']
    tool = Path(__file__).parents[2] / 'tools/analysis_tools/compare_methods.py'
    command = [str(part) for part in (sys.executable, tool, place / 'long.yml', *given, '--only', 'lora')]
    comparison = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(tmp_path.glob('runs/lora_*/epoch_*.pth')):
        time.sleep(0.2)
    comparison.terminate()
    assert comparison.wait(60) == 128 + signal.SIGTERM
    (run,) = tmp_path.glob('runs/lora_*')
    assert 'SIGTERM' in (run / 'train.log').read_text()
    assert 0 < sum(json.loads((run / 'seconds.json').read_text())) < 120
    study = choose(read_study(place / 'long.yml'), ['lora'])
    with pytest.raises(InterruptedError, match='goes on'):
        next(run_study(study, tmp_path / 'runs', {}, stop))


def stop(line):
    raise InterruptedError(line)


def test_a_run_that_fails_is_told_in_one_line(place, tmp_path, capsys):
    (tmp_path / 'bad.py').write_text(f'_base_ = [{str(place / "lora.py")!r}]\ntrain_dataloader = dict(batch_size=0)\n')
    (tmp_path / 'bad.yml').write_text(
        STUDY.replace('lora.py', 'bad.py').replace('  base:', '  #').replace('pairs:', '#')
    )
    arguments = [
        tmp_path / 'bad.yml',
        '--records',
        tmp_path / 'r',
        '--out',
        tmp_path / 'p',
        '--work-dir',
        tmp_path / 'w',
    ]
    assert run_main(lambda: main([str(part) for part in arguments])) == 1
    error = capsys.readouterr().err.strip()
    assert 'train.py ended with exit code' in error and 'batch_size' in error and len(error.splitlines()) == 1
