"""The file of predictions: what a line holds for each kind of metric, and who writes it when."""

import json
from pathlib import Path

from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.commands import run_script
from tests.workspace import write_workspace
from vlpeft.engine.run_config import RunConfig
from vlpeft.evaluation.metrics import CaptionMetric, ChoiceMetric, ExactlyOnceMetric, LabelScoreMetric, OpenEndedMetric
from vlpeft.evaluation.predictions import write_predictions


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text(encoding='utf-8').splitlines()]


def test_a_line_has_question_file_truth_prediction_and_score(tmp_path):
    asked = dict(question_id=3, question='quelle forêt?', name='a.jpg', pred_answer='B', extra='not kept')
    metrics = OpenEndedMetric(), LabelScoreMetric(prefix='gqa'), ChoiceMetric(), CaptionMetric(tokenizer='python')
    metrics[0].process(
        None, [dict(asked, gold=['b', 'c'], question_type='what'), dict(asked, question_id=1, unreadable='gone')]
    )
    metrics[1].process(None, [dict(asked, label={'B': 0.3})])
    metrics[2].process(None, [dict(asked, gold=['A'], choices={'A': 'oak', 'B': 'fir'})])
    metrics[3].process(None, [dict(sample_id=7, name='b.jpg', pred_caption='a dog', references=['a dog', 'the dog'])])
    for metric, size in zip(metrics, (2, 1, 1, 1)):
        metric.evaluate(size)
    assert write_predictions(tmp_path / 'new' / 'out.jsonl', [*metrics, object()]) == 5
    shared = dict(question='quelle forêt?', file='a.jpg', prediction='B')
    assert lines_of(tmp_path / 'new' / 'out.jsonl') == [
        dict(shared, metric='open_ended', question_id=1, unreadable='gone'),
        dict(shared, metric='open_ended', question_id=3, truth=['b', 'c'], question_type='what', score=1.0),
        dict(shared, metric='gqa', question_id=3, truth={'B': 0.3}, score=0.3),
        dict(shared, metric='choice', question_id=3, truth=['A'], named=['B'], score=0.0),
        dict(
            metric='caption',
            sample_id=7,
            file='b.jpg',
            truth=['a dog', 'the dog'],
            prediction='a dog',
            scores={'ROUGE-L': 100.0, 'CIDEr': 0.0},
        ),
    ]
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['out.jsonl']


def test_fields_of_other_metrics_are_not_taken_for_retrieval(tmp_path):
    class Mine(ExactlyOnceMetric):
        default_prefix = 'mine'

        def process(self, data_batch, data_samples):
            self.results.extend(data_samples)

        def compute_metrics(self, results):
            return {}

    metric = Mine()
    metric.process(None, [dict(id=1, file='a.mp4', query='?', top=[[0, 1.0]])])
    metric.evaluate(1)
    write_predictions(tmp_path / 'out.jsonl', [metric])
    assert lines_of(tmp_path / 'out.jsonl') == [dict(metric='mine', id=1, file='a.mp4', query='?', top=[[0, 1.0]])]


def test_the_hook_writes_after_each_validation_and_test_and_the_tool_by_name(tmp_path):
    path = write_workspace(tmp_path / 'workspace')
    config = RunConfig.read(path)
    config.merge_from_dict(dict(work_dir=str(tmp_path / 'run'), experiment_name=str(tmp_path)))
    config.train_cfg.max_epochs = 2
    config.custom_hooks = [*config.get('custom_hooks', []), dict(type='PredictionsHook')]
    runner = Runner.from_cfg(config)
    runner.train()
    metrics = runner.test()
    folder, steps = tmp_path / 'run' / 'predictions', runner.iter // 2
    names = [f'val_iter_{steps}.jsonl', f'val_iter_{2 * steps}.jsonl', 'test.jsonl']
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    rows = lines_of(folder / 'test.jsonl')
    firsts = [row['rank'] == 1 for row in rows if row['direction'] == 't2v']
    assert {row['metric'] for row in rows} == {'retrieval'}
    assert 100 * sum(firsts) / len(firsts) == metrics['retrieval/t2v_R@1']

    out = tmp_path / 'answers.jsonl'
    done = run_script('tools/test.py', path, 'none', '--allow-random', '--out', out, '--work-dir', tmp_path / 'again')
    assert done.returncode == 0, done.stderr
    assert [(row['direction'], row['query_id']) for row in lines_of(out)] == [
        (row['direction'], row['query_id']) for row in rows
    ]
