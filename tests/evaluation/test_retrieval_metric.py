"""RetrievalMetric in one process and in two that hold different numbers of queries."""

import json
import os

import pytest
import torch.distributed
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from tests.processes import run_on_ranks
from vlpeft.engine.launch import end_process_group
from vlpeft.evaluation.metrics import RetrievalMetric
from vlpeft.registry import METRICS

T2V = [1, 2, 7, 30, 1]
V2T = [1, 1, 11]


def queries():
    return [
        dict(direction=direction, query_id=i, rank=rank)
        for direction, ranks in (('t2v', T2V), ('v2t', V2T))
        for i, rank in enumerate(ranks)
    ]


EXPECTED = {
    'retrieval/t2v_R@1': 40.0,
    'retrieval/t2v_R@5': 60.0,
    'retrieval/t2v_R@10': 80.0,
    'retrieval/t2v_MdR': 2.0,
    'retrieval/t2v_MnR': 8.2,
    'retrieval/v2t_R@1': 200 / 3,
    'retrieval/v2t_R@5': 200 / 3,
    'retrieval/v2t_R@10': 200 / 3,
    'retrieval/v2t_MdR': 1.0,
    'retrieval/v2t_MnR': 13 / 3,
    'retrieval/mean_R@1': (40 + 200 / 3) / 2,
    'retrieval/mean_R': (40 + 60 + 80 + 200) / 6,
}


def test_all_metrics_through_mmengines_evaluator():
    evaluator = Evaluator(METRICS.build(dict(type='RetrievalMetric')))
    samples = queries()
    evaluator.process(data_samples=samples[:3])
    evaluator.process(data_samples=[BaseDataElement(**sample) for sample in samples[3:]])
    assert evaluator.evaluate(8) == pytest.approx(EXPECTED)


def test_a_second_evaluation_starts_afresh():
    metric = RetrievalMetric(prefix='mine')
    for ranks in (9, 1):
        metric.process(None, [dict(direction=d, query_id=0, rank=ranks) for d in ('t2v', 'v2t')])
        metrics = metric.evaluate(2)
    assert metrics['mine/mean_R@1'] == 100.0
    with pytest.raises(ValueError, match='2 of 2 samples have no result'):
        metric.evaluate(2)


def test_padding_duplicates_count_once_and_predictions_are_sorted():
    metric = RetrievalMetric()
    metric.process(None, queries()[::-1] + queries()[:4])
    assert metric.evaluate(8) == pytest.approx(EXPECTED)
    assert metric.predictions == queries()


def test_two_results_for_one_query_are_an_error():
    metric = RetrievalMetric()
    metric.process(None, queries() + [dict(direction='t2v', query_id=2, rank=8)])
    with pytest.raises(ValueError, match=r"two different results.*'query_id': 2, 'rank': 7.*'rank': 8"):
        metric.evaluate(8)


@pytest.mark.parametrize(
    'size, message', [(10, '2 of 10 samples have no result'), (7, '8 samples have a result but the set holds 7')]
)
def test_missing_and_surplus_queries_are_errors(size, message):
    metric = RetrievalMetric()
    metric.process(None, queries())
    with pytest.raises(ValueError, match=message):
        metric.evaluate(size)


@pytest.mark.parametrize(
    'sample, message',
    [
        (dict(direction='i2t', query_id=0, rank=1), 'i2t.*valid: t2v, v2t'),
        (dict(direction='t2v', query_id=0, rank=0), 'ranks start at 1'),
    ],
)
def test_impossible_results_are_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        RetrievalMetric().process(None, [sample])


def test_one_direction_only_is_an_error():
    metric = RetrievalMetric()
    metric.process(None, queries()[:5])
    with pytest.raises(ValueError, match='no v2t query among 5 results'):
        metric.evaluate(5)


def evaluate_in_process(rank, folder):
    """Rank 0 holds seven results, rank 1 two, one of which is padding that rank 0 holds too."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    parts = [queries()[:7], [queries()[7], queries()[0]]]
    metric = RetrievalMetric()
    metric.process(None, parts[rank])
    report = dict(metrics=metric.evaluate(8), predictions=metric.predictions)
    metric.process(None, parts[rank])
    try:
        metric.evaluate(9)
    except ValueError as error:
        report['missing'] = str(error)
    metric.process(None, parts[0] if rank == 0 else [dict(queries()[0], rank=99), queries()[7]])
    try:
        metric.evaluate(8)
    except ValueError as error:
        report['conflict'] = str(error)
    with open(os.path.join(folder, f'{rank}.json'), 'w') as file:
        json.dump(report, file)
    end_process_group()


def test_two_processes_with_uneven_counts(tmp_path):
    run_on_ranks(evaluate_in_process, str(tmp_path))
    for rank in range(2):
        report = json.loads((tmp_path / f'{rank}.json').read_text())
        assert report['metrics'] == pytest.approx(EXPECTED)
        assert report['predictions'] == queries()
        assert '1 of 9 samples have no result' in report['missing']
        assert 'two different results' in report['conflict']
