"""Where evaluation keeps vision tokens: the same figures from memory and disk, rounded ones close, nothing left."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.tiny import WIDTH
from tests.workspace import write_workspace
from vlpeft.engine import token_store
from vlpeft.engine.launch import end_process_group
from vlpeft.engine.run_config import RunConfig
from vlpeft.engine.token_store import TokenStore
from vlpeft.models.finite import NonFiniteError
from vlpeft.models.heads import ITMHead


def build(config_path, work_dir, **test_cfg):
    config = RunConfig.read(config_path)
    config.merge_from_dict(dict(work_dir=str(work_dir), experiment_name=str(work_dir)))
    config.test_cfg.update(test_cfg)
    return Runner.from_cfg(config)


def run(config_path, work_dir, **test_cfg):
    """Metrics and the predictions with their scores."""
    runner = build(config_path, work_dir, **test_cfg)
    return runner.test(), runner.test_evaluator.metrics[0].predictions


def open_files_in(folder):
    """Those of this process, with a name or without."""
    links = (os.path.join('/proc/self/fd', name) for name in os.listdir('/proc/self/fd'))
    return [target for link in links if os.path.lexists(link) and (target := os.readlink(link)).startswith(str(folder))]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('tokens') / 'workspace')


@pytest.mark.parametrize('on_disk', [False, True])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('given', [torch.float32, torch.bfloat16])
def test_tokens_come_back_as_they_were_or_rounded(tmp_path, on_disk, dtype, given):
    tokens = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)).mul(100).to(given)
    with TokenStore(4, dtype, str(tmp_path) if on_disk else None) as store:
        for clip, own in zip((7, 2, 9), tokens):
            store.put(clip, own)
        store.put(2, tokens[1])  # as the sampler's padding gives a clip twice
        store.rename({7: 0, 9: 1})
        assert list(store) == [0, 1] and len(store) == 2 and 2 not in store
        assert store.bytes_of(tokens[0]) == 4 * 40 * (4 if dtype == 'float32' and given is torch.float32 else 2)
        for clip, own in zip((0, 1), tokens[[0, 2]]):
            found = store[clip]
            assert found.dtype == given
            exact = dtype == 'float32' or given is torch.bfloat16
            # Rounding to 8 bits moves a number by 1/256 of itself at most.
            assert torch.equal(found, own) if exact else ((found - own).abs() <= own.abs() / 256).all()
            assert exact or not torch.equal(found, own)
        assert bool(open_files_in(tmp_path)) == on_disk and not any(tmp_path.iterdir())
        del found  # a view of the mapped file
    assert not open_files_in(tmp_path)


def test_disk_and_memory_rank_alike_and_rounded_tokens_closely(workspace, tmp_path):
    folder = tmp_path / 'tokens'
    folder.mkdir()
    found = {
        (dtype, place): run(workspace, tmp_path / f'{dtype} {place}', token_dtype=dtype, token_folder=place)
        for dtype in ('float32', 'bfloat16')
        for place in (None, str(folder))
    }
    plain = run(workspace, tmp_path / 'plain')
    assert found['float32', None] == found['float32', str(folder)] == plain
    assert found['bfloat16', None] == found['bfloat16', str(folder)]
    exact, rounded = ([dict(row['top']) for row in rows] for rows in (plain[1], found['bfloat16', None][1]))
    moved = [
        abs(score - close[item])
        for row, close in zip(exact, rounded)
        for item, score in row.items()
        if item in close and -100 not in (score, close[item])
    ]
    assert len(moved) > 40 and 0 < max(moved) < 0.02
    assert not any(folder.iterdir()) and not open_files_in(folder)


def test_nothing_is_left_after_an_error(workspace, tmp_path, monkeypatch):
    seen = []

    def broken(self, states):
        seen.extend(open_files_in(tmp_path / 'tokens'))
        return states.new_full((len(states), 2), float('nan'))

    (tmp_path / 'tokens').mkdir()
    monkeypatch.setattr(ITMHead, 'forward', broken)
    with pytest.raises(NonFiniteError, match='match logits'):
        run(workspace, tmp_path / 'run', token_folder=str(tmp_path / 'tokens'))
    assert seen and not open_files_in(tmp_path / 'tokens') and not any((tmp_path / 'tokens').iterdir())


@pytest.mark.parametrize('place', ['memory', 'disk'])
def test_what_does_not_fit_is_refused_after_one_batch(workspace, tmp_path, monkeypatch, place):
    # 7 clips of 2 frames, each of 4 patches and a class token.
    bytes_needed = 7 * 2 * 5 * WIDTH * 4
    options = dict(token_folder=str(tmp_path)) if place == 'disk' else {}
    limit = bytes_needed
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr(token_store, 'free_memory', lambda: limit if place == 'memory' else 0)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: usage(limit if place == 'disk' else 0))
    run(workspace, tmp_path / 'fits', **options)
    limit = bytes_needed - 1
    runner = build(workspace, tmp_path / 'run', **options)
    batches = []
    monkeypatch.setattr(type(runner.model), 'extract', counting(type(runner.model).extract, batches))
    where = f'test_cfg.token_folder={tmp_path}' if place == 'disk' else 'memory'
    with pytest.raises(ValueError, match='the vision tokens of 7 clips take') as error:
        runner.test()
    assert len(batches) == 1
    text = str(error.value)
    assert '\n' not in text and f'of which {where} of' in text and 'test_cfg.k_test=0 does without them' in text
    assert f'take {bytes_needed / 1e6:.1f} MB in float32' in text and 'test_cfg.token_dtype=bfloat16 rounds' in text
    assert ('test_cfg.token_folder=FOLDER' in text) == (place == 'memory')
    run(workspace, tmp_path / 'rounded', token_dtype='bfloat16', **options)
    run(workspace, tmp_path / 'features', k_test=0)


def counting(function, calls):
    def counted(*args, **kwargs):
        calls.append(1)
        return function(*args, **kwargs)

    return counted


def test_a_folder_that_is_none_and_an_unknown_format_are_refused_before_anything_is_built(tmp_path):
    from vlpeft.engine.loops.retrieval import RetrievalTestLoop

    with pytest.raises(ValueError, match="token_folder='.*none' is no folder that can be written to"):
        RetrievalTestLoop.check_arguments(token_folder=str(tmp_path / 'none'))
    with pytest.raises(ValueError, match="token_dtype='float16'; choose from float32, bfloat16"):
        RetrievalTestLoop.check_arguments(token_dtype='float16')


def evaluate(rank: int, port: int, config: str, folder: str) -> None:
    """One of two processes; 7 clips, of which padding makes 8."""
    dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    torch.set_num_threads(1)
    metrics, predictions = run(Path(config), os.path.join(folder, 'two'), token_folder=os.path.join(folder, 'tokens'))
    with open(os.path.join(folder, f'{rank}.json'), 'w') as file:
        json.dump([metrics, predictions], file)
    end_process_group()


def test_two_processes_with_files_score_each_pair_once(workspace, tmp_path):
    (tmp_path / 'tokens').mkdir()
    run_on_ranks(evaluate, free_port(), str(workspace), str(tmp_path))
    metrics, rows = run(workspace, tmp_path / 'one')
    found = json.loads((tmp_path / '0.json').read_text())
    assert found[0] == metrics and json.loads((tmp_path / '1.json').read_text())[0] == metrics
    assert len(found[1]) == len(rows) == 17
    key = ('direction', 'query_id')
    ranks = [{tuple(row[name] for name in key): row['rank'] for row in part} for part in (found[1], rows)]
    assert ranks[0] == ranks[1]
    assert not any((tmp_path / 'tokens').iterdir())
