"""Steps of our models and their plain restatements: the same losses and gradients, by other ways."""

import json

import pytest
import torch

from tests.commands import run_script
from vlpeft.benchmarks.blip_steps import Geometry, answering, retrieval
from vlpeft.benchmarks.seq2seq_steps import Seq2SeqGeometry, vl_pet
from vlpeft.benchmarks.words import write_bert_vocabulary, write_seq2seq_vocabulary

TINY = dict(width=16, depth=2, heads=2, hidden=32, image=16, patch=8, bottleneck=4, queue=6, vocabulary=64)


LM = dict(width=16, depth=2, heads=2, hidden=32, bottleneck=8, features=6, cells=9, grid=2, words=300)
CASES = dict(video=(2, None), image=(1, 3), vqa=(1, 3), bart=(), t5=())


@pytest.fixture(params=CASES)
def pair(request, tmp_path):
    torch.manual_seed(0)
    if request.param in ('bart', 't5'):
        geometry = Seq2SeqGeometry(request.param, **LM, scale=0.7)
        return vl_pet(geometry, write_seq2seq_vocabulary(tmp_path, request.param, LM['words']), batch=3)
    frames, kv_bottleneck = CASES[request.param]
    geometry, vocabulary = Geometry(**TINY, kv_bottleneck=kv_bottleneck), write_bert_vocabulary(tmp_path, 64)
    if request.param == 'vqa':
        return answering(geometry, vocabulary, batch=3)
    # The release's queue takes batches that divide it.
    return retrieval(geometry, vocabulary, batch=3, frames=frames)


def test_losses_and_gradients_are_those_of_the_plain_way(pair):
    found = pair.compare()
    assert found['losses'] < 1e-5
    assert found['gradients'] < 1e-5
    assert len(pair.ours.gradients()) > 20


def test_steps_stay_together_over_updates_of_weights_momentum_and_queue(pair):
    for _ in range(4):
        pair.plain.step()
        pair.ours.step()
    torch.testing.assert_close(torch.tensor(pair.ours.found), torch.tensor(pair.plain.found), rtol=1e-5, atol=1e-5)
    assert len(set(pair.ours.found)) == 4
    assert pair.compare(seed=9)['gradients'] < 1e-3


def test_the_tool_prints_what_it_measured():
    result = run_script(
        'tools/analysis_tools/benchmark_training_step.py', '--tiny', '--rounds', '1', '--threads', '1', '--json'
    )
    assert result.returncode == 0, result.stderr
    rows = {row['case']: row for row in map(json.loads, result.stdout.splitlines())}
    assert list(rows) == ['video', 'image', 'vqa', 'bart', 't5']
    for row in rows.values():
        assert max(row['losses_differ_by'], row['gradients_differ_by'], row['later_losses_differ_by']) < 1e-5
        assert row['speedup']['low'] <= row['speedup']['median'] <= row['speedup']['high']
    # Without momentum copies of what is frozen, and with keys and values of a clip once for its three pairs.
    for name in ('video', 'image'):
        assert rows[name]['resident_ratio'] < 0.6
        assert rows[name]['flop_bound'] > 1.5
        assert rows[name]['kept_ratio'] < 0.8
