"""Caption and NLVR2 metrics and a submission over two gloo processes that hold different numbers of samples."""

import json
import os

import pytest
import torch.distributed

from tests.evaluation import test_caption_metric, test_nlvr2_metric
from tests.processes import run_on_ranks
from vlpeft.engine.launch import end_process_group
from vlpeft.evaluation.metrics import CaptionMetric, NLVR2Metric, VALUESubmission


def clips():
    return [dict(sample, clip_id=sample['sample_id'], vid_name='x') for sample in test_caption_metric.samples()]


def evaluate_in_process(rank, folder):
    """Rank 0 holds all but the last caption and only one item of NLVR2; rank 1 the rest and, as padding, one of rank
    0's of both."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    captions = [clips()[:-1], [clips()[-1], clips()[0]]][rank]
    items = test_nlvr2_metric.samples()
    metrics = [
        (CaptionMetric(tokenizer='python'), captions, len(clips())),
        (VALUESubmission('yc2c', os.path.join(folder, 'yc2c.jsonl')), captions, len(clips())),
        # The two items of one statement are not on one rank.
        (NLVR2Metric(), [items[:1], [*items[1:], items[0]]][rank], len(items)),
    ]
    report = {}
    for metric, part, size in metrics:
        metric.process(None, part)
        report.update(metric.evaluate(size))
    metric = CaptionMetric(tokenizer='python')
    metric.process(None, [clips()[:2], [dict(clips()[0], pred_caption='another')]][rank])
    try:
        metric.evaluate(2)
    except ValueError as error:
        report['conflict'] = str(error)
    with open(os.path.join(folder, f'{rank}.json'), 'w') as file:
        json.dump(report, file)
    end_process_group()


def test_every_sample_counts_once(tmp_path):
    run_on_ranks(evaluate_in_process, str(tmp_path))
    for rank in range(2):
        report = json.loads((tmp_path / f'{rank}.json').read_text())
        conflict = report.pop('conflict')
        assert 'two different results for one sample' in conflict and 'another' in conflict
        assert report.pop('value_submission/captions') == len(clips())
        assert {name: report.pop(name) for name in test_nlvr2_metric.EXPECTED} == pytest.approx(
            test_nlvr2_metric.EXPECTED
        )
        assert report == test_caption_metric.expected()
    lines = [json.loads(line) for line in (tmp_path / 'yc2c.jsonl').read_text().splitlines()]
    assert [line['clip_id'] for line in lines] == [clip['clip_id'] for clip in clips()]
