"""Logs as MMEngine writes them: joined, placed by training steps, and refused where they are none."""

import json

import numpy as np
import pytest

from vlpeft.analysis.log_summary import direction, summarise
from vlpeft.analysis.run_log import LogError, chosen_names, read_run


def line(step, epoch=None, **values):
    """A training line; of a run by iterations without an epoch."""
    return dict(values, iter=step, step=step, **({} if epoch is None else dict(epoch=epoch)))


def start(folder, name, lines, text='', end='\n'):
    """A time-stamped folder of a start: its lines twice, as MMEngine has them, and the text log."""
    data = folder / name / 'vis_data'
    data.mkdir(parents=True)
    content = '\n'.join(map(json.dumps, lines)) + end
    for file in (f'{name}.json', 'scalars.json'):
        (data / file).write_text(content)
    (folder / name / f'{name}.log').write_text(text)
    return folder


def epoch_text(length, resumed=None):
    text = f'2026/01/01 - mmengine - INFO - Epoch(train)  [1][ 50/{length}]  lr: 1e-3\n'
    return (f'INFO - resumed epoch: 1, iter: {resumed}\n' if resumed is not None else '') + text


def points(curve):
    return list(zip(curve.steps.tolist(), curve.values.tolist()))


def test_a_validation_stands_at_the_last_step_of_its_epoch(tmp_path):
    # Epochs of 130 steps, a line every 50 of them: the end of an epoch has no line of its own.
    lines = [line(50, 1, loss=3.0), line(100, 1, loss=2.0), dict(step=1, time=0.1, data_time=0.0, acc=10.0)]
    lines += [line(180, 2, loss=1.0), line(230, 2, loss=0.5), dict(step=2, time=0.1, data_time=0.0, acc=20.0)]
    log = read_run(start(tmp_path, '20260101_000000', lines, epoch_text(130)))
    assert points(log.validation['acc']) == [(130, 10.0), (260, 20.0)]
    assert points(log.training['loss']) == [(50, 3.0), (100, 2.0), (180, 1.0), (230, 0.5)]
    assert set(log.validation) == {'acc'} and log.notes == []


def test_without_the_text_log_a_validation_stands_at_the_line_before_it_and_that_is_told(tmp_path):
    lines = [line(50, 1, loss=3.0), line(100, 1, loss=2.0), dict(step=1, acc=10.0)]
    log = read_run(start(tmp_path, '20260101_000000', lines))
    assert points(log.validation['acc']) == [(100, 10.0)]
    assert 'placed at the last logged step' in log.notes[0]


def test_steps_of_a_run_by_iterations_are_iterations(tmp_path):
    lines = [line(10, loss=3.0), line(20, loss=2.0), dict(step=25, acc=10.0), line(30, loss=1.0)]
    log = read_run(start(tmp_path, '20260101_000000', lines, 'Iter(train) [ 10/100]'))
    assert points(log.validation['acc']) == [(25, 10.0)] and log.notes == []


def test_of_steps_done_again_the_later_count(tmp_path):
    first = [line(10, 1, loss=5.0), line(20, 1, loss=4.0), dict(step=1, acc=1.0)]
    first += [line(30, 2, loss=3.0), line(40, 2, loss=2.0), dict(step=2, acc=2.0)]
    start(tmp_path, '20260101_000000', first, epoch_text(20))
    # It goes on after the first epoch, its lines at other places.
    again = [line(25, 2, loss=2.5), line(35, 2, loss=1.5), line(45, 3, loss=1.2), dict(step=3, acc=3.0)]
    start(tmp_path, '20260101_010000', again, epoch_text(20, resumed=20))
    log = read_run(tmp_path)
    assert points(log.training['loss']) == [(10, 5.0), (20, 4.0), (25, 2.5), (35, 1.5), (45, 1.2)]
    assert points(log.validation['acc']) == [(20, 1.0), (60, 3.0)]
    assert 'goes on from step 20' in log.notes[0] and '(2)' in log.notes[0]


def test_a_run_that_begins_anew_replaces_the_one_before_and_that_is_told(tmp_path):
    start(tmp_path, '20260101_000000', [line(10, 1, loss=5.0), line(20, 1, loss=4.0)], epoch_text(20))
    start(tmp_path, '20260102_000000', [line(10, 1, loss=1.0)], epoch_text(20))
    log = read_run(tmp_path)
    assert points(log.training['loss']) == [(10, 1.0)]
    assert 'goes on from step' in log.notes[0]


def test_one_start_is_chosen_by_its_folder(tmp_path):
    start(tmp_path, '20260101_000000', [line(10, 1, loss=5.0)], epoch_text(20))
    start(tmp_path, '20260102_000000', [line(10, 1, loss=1.0)], epoch_text(20))
    for path in ('20260101_000000', '20260101_000000/vis_data', '20260101_000000/vis_data/scalars.json'):
        assert points(read_run(tmp_path / path).training['loss']) == [(10, 5.0)]


def test_a_half_written_last_line_is_told_and_left_out(tmp_path):
    start(tmp_path, '20260101_000000', [line(10, 1, loss=5.0)], epoch_text(20), end='\n{"loss": 4.0, "it')
    log = read_run(tmp_path)
    assert points(log.training['loss']) == [(10, 5.0)]
    assert 'json:2: the last line is only half written' in log.notes[0]


def test_numbers_that_are_not_finite_stay(tmp_path):
    lines = [line(10, 1, loss=5.0), line(20, 1, loss=float('nan')), line(30, 1, loss=float('inf'))]
    log = read_run(start(tmp_path, '20260101_000000', lines, epoch_text(30)))
    assert np.isnan(log.training['loss'].values[1]) and np.isinf(log.training['loss'].values[2])
    figures = summarise(log, ['loss'])['curves']['loss']
    assert figures['best'] == 5.0 and figures['best_step'] == 10 and figures['last'] is None
    assert figures['not_finite'] == 2 and figures['points'] == 3


@pytest.mark.parametrize(
    'content, said',
    [
        ('a,b\n1,2\n', r'log\.json:1: is no line of a log'),
        ('{"loss": 1, "step": 1}\nx\n{"loss": 1, "step": 2}\n', r'log\.json:2: is no line of a log'),
        ('[1]\n', 'but list'),
        ('{"metrics": {"acc": 1}}\n', 'no whole number "step"'),
        ('{"acc": "good", "step": 1}\n', "acc is 'good', not a number"),
        ('{"acc": true, "step": 1}\n', 'acc is True, not a number'),
        ('', 'nothing is logged yet'),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, content, said):
    (tmp_path / 'log.json').write_text(content)
    with pytest.raises(LogError, match=said):
        read_run(tmp_path / 'log.json')


def test_bytes_are_refused(tmp_path):
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK\x03\x04\xff\xfe')
    with pytest.raises(LogError, match='is no text'):
        read_run(tmp_path / 'epoch_1.pth')


def test_folders_without_a_log_are_refused_with_those_that_have_one(tmp_path):
    start(tmp_path / 'lora', '20260101_000000', [line(10, 1, loss=5.0)])
    with pytest.raises(LogError, match='runs below: lora'):
        read_run(tmp_path)
    with pytest.raises(LogError, match='did you mean lora'):
        read_run(tmp_path / 'lorra')


def test_unknown_curves_are_refused_with_those_there_are(tmp_path):
    log = read_run(start(tmp_path, '20260101_000000', [line(10, 1, loss=5.0, lr=0.1, loss_itc=1.0)]))
    assert chosen_names([log], None) == ['loss', 'lr']
    assert chosen_names([log], ['loss_itc', 'loss_itc']) == ['loss_itc']
    with pytest.raises(LogError, match="'accuracy'; there are loss, lr, loss_itc"):
        chosen_names([log], ['accuracy'])


def test_figures_of_a_run(tmp_path):
    lines = [line(step, 1, loss=loss, time=time, memory=memory) for step, loss, time, memory in (
        (10, 3.0, 9.0, 100), (20, 1.0, 0.5, 300), (30, 2.0, 0.7, 200)
    )]  # fmt: skip
    lines += [{'retrieval/t2v_MnR': 4.0, 'retrieval/t2v_R@1': 50.0, 'step': 1}]
    log = read_run(start(tmp_path, '20260101_000000', lines, epoch_text(30)))
    found = summarise(log, log.names)
    assert (found['steps'], found['seconds_per_step'], found['peak_memory_mib']) == (30, 0.7, 300)
    best = {name: (row['better'], row['best'], row['best_step']) for name, row in found['curves'].items()}
    assert best['loss'] == ('min', 1.0, 20)
    assert best['retrieval/t2v_MnR'] == ('min', 4.0, 30) and best['retrieval/t2v_R@1'] == ('max', 50.0, 30)


@pytest.mark.parametrize(
    'name, better',
    [('loss', 'min'), ('vqa/loss_caption', 'min'), ('retrieval/v2t_MdR', 'min'), ('retrieval/mean_R@1', 'max'),
     ('caption/CIDEr', 'max'), ('lr', None), ('base_lr', None), ('time', 'min'), ('memory', 'min')],
)  # fmt: skip
def test_which_value_is_better(name, better):
    assert direction(name) == better


@pytest.mark.parametrize('text', ['[' * 100_000, '{"step": ' + '9' * 5000 + '}', '{"step": 1'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / 'scalars.json').write_text(f'{text}\n{text}')
    with pytest.raises(LogError, match='scalars.json:1: is no line of a log'):
        read_run(tmp_path / 'scalars.json')
