"""Records of several tasks, whose figure is the mean over the tasks, and what guesses make of them."""

import json

import numpy as np
import pytest

from vlpeft.comparison.record import interval_of_mean, sample_section
from vlpeft.comparison.study import StudyError, read_study
from vlpeft.comparison.table import rows_of, to_markdown

FIGURES = ['vqa/open_ended/accuracy', 'caption/ROUGE-L']


@pytest.fixture
def result(tmp_path):
    """Four questions about two pictures, three of them answered; two captions with scores of their own."""
    answers = [
        dict(question_id=f'q{i}', file=f'{i // 2}.png', question='?', answer='yes', score=float(i != 3))
        for i in range(4)
    ]
    captions = [
        dict(sample_id=f'{i}.png', file=f'{i}.png', caption='a', references=['a'], scores={'ROUGE-L': score})
        for i, score in enumerate((20.25, 60.0))
    ]
    path = tmp_path / 'result.json'
    path.write_text(json.dumps(dict(predictions={'vqa/open_ended': answers, 'caption': captions})))
    return path


def test_samples_say_their_task(result):
    metrics = {FIGURES[0]: 75.0, FIGURES[1]: 40.125}
    section = sample_section(result, FIGURES, metrics)
    assert section['scores'] == [100, 100, 100, 0, 20.25, 60]
    # A picture that both tasks show is a unit of each.
    assert section['units'] == [0, 0, 1, 1, 2, 3] and section['strata'] == [0, 0, 0, 0, 1, 1]
    assert 'strata' not in sample_section(result, FIGURES[:1], metrics)
    with_bleu = [FIGURES[0], 'caption/BLEU-4'], dict(metrics, **{'caption/BLEU-4': 1.0})
    assert sample_section(result, *with_bleu) is None, 'BLEU is no mean over captions'
    assert sample_section(result, FIGURES, {FIGURES[0]: 75.0, FIGURES[1]: 41.0}) is None, 'another mean'


def test_the_interval_of_a_mean_over_tasks():
    rng = np.random.default_rng(2)
    scores = np.concatenate([100.0 * (rng.random(400) < 0.7), 100 * rng.random(100)])
    section = dict(scores=scores.tolist(), units=None, strata=[0] * 400 + [1] * 100)
    found = interval_of_mean('multi_task/mean', section)['multi_task/mean']
    mean = (scores[:400].mean() + scores[400:].mean()) / 2
    spread = 1.96 * np.sqrt(scores[:400].var() / 400 + scores[400:].var() / 100) / 2
    assert found == pytest.approx([mean - spread, mean + spread], abs=spread / 6)
    assert interval_of_mean('vqa/accuracy', dict(scores=[1.0], units=None)) == {} == interval_of_mean('x', None)


def test_further_figures_are_columns(tmp_path):
    (tmp_path / 'empty.py').write_text('')
    text = 'title: T\nmetric: vqa/accuracy\nalso: [caption/CIDEr]\nseeds: [0]\nmethods:\n'
    text += '  plain: {config: empty.py, train: false}\n  guess: {config: empty.py, guess: majority}\n'
    (tmp_path / 'study.yml').write_text(text)
    study = read_study(tmp_path / 'study.yml')
    info = dict.fromkeys(('seconds_per_step', 'accelerator_memory_max', 'resident_memory_max'))
    info |= dict(num_trainable_params=0, num_total_params=10, file_size=0)
    told = dict(config='empty.py', learning_rate=None, seed=0)

    def record(**metrics):
        return dict(
            run_info=dict(experiment_name='study/x/seed0', train_config=told),
            train_info=info,
            metrics=metrics,
            intervals={},
        )

    records = dict(
        plain=[record(**{'vqa/accuracy': 50.0, 'caption/CIDEr': 12.5})], guess=[record(**{'vqa/accuracy': 40.0})]
    )
    head, _, plain, guess = to_markdown(rows_of(study, records)).splitlines()
    assert head.startswith('| method | seeds | score | 95 % interval | lowest to highest seed | CIDEr | trained |')
    assert plain.startswith('| plain | 0 | 50.0 | – | – | 12.5 | 0 |')
    assert guess.startswith('| guess | 0 | 40.0 | – | – | – | 0 |')
    (tmp_path / 'study.yml').write_text(text.replace('[caption/CIDEr]', 'caption/CIDEr'))
    with pytest.raises(StudyError, match="also: 'caption/CIDEr' is no list of figures"):
        read_study(tmp_path / 'study.yml')
