"""Hooks and retrieval loops on a real small run."""

import logging

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.tiny import build_retriever, write_vocabulary
from tests.workspace import write_workspace
from vlpeft.checkpoint.manifest import check_manifest
from vlpeft.engine.hooks import resumable_checkpoint
from vlpeft.engine.hooks.resumable_checkpoint import AtomicLocalBackend
from vlpeft.engine.run_config import RunConfig
from vlpeft.models.heads import ITMHead
from vlpeft.registry import MODELS


@pytest.fixture
def config(tmp_path):
    config = RunConfig.read(write_workspace(tmp_path / 'workspace'))
    config.merge_from_dict(dict(work_dir=str(tmp_path / 'run'), experiment_name=str(tmp_path)))
    config.train_cfg.max_epochs = 1
    return config


class Notes(logging.Handler):
    """Keeps what a runner logs."""

    def __init__(self, runner):
        super().__init__()
        self.lines = []
        runner.logger.addHandler(self)

    def emit(self, record):
        self.lines.append(record.getMessage())


def test_k_above_the_gallery_is_clamped_with_a_note_and_changes_nothing(config):
    metrics = []
    for k in (10, 1000):
        config.test_cfg.k_test, config.experiment_name = k, f'{config.work_dir} {k}'
        runner = Runner.from_cfg(config)
        notes = Notes(runner)
        metrics.append(runner.test())
        if k == 1000:
            assert any('k_test=1000 is clamped to the 7 candidates of t2v' in line for line in notes.lines)
            assert any('k_test=1000 is clamped to the 10 candidates of v2t' in line for line in notes.lines)
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize('beta', [None, 0.0, 0.7, 30.0])
def test_two_stage_ranks_equal_a_naive_loop_over_queries(config, beta):
    """Features, top-k and matching query by query, each pair computed on its own."""
    config.test_cfg.k_test = 3
    if beta is not None:
        config.test_cfg.beta = beta
    runner = Runner.from_cfg(config)
    runner.test()
    rows = {(row['direction'], row['query_id']): row for row in runner.test_evaluator.metrics[0].predictions}
    found = {key: row['rank'] for key, row in rows.items()}
    model, dataset = runner.model, runner.test_dataloader.dataset
    clips, texts = [], []
    with torch.no_grad():
        for item in dataset:
            data = model.data_preprocessor(dict(inputs=item['inputs'][None], data_samples=[item['data_samples']]))
            clips.append(model.encode_vision(data['inputs']))
            texts += [(text, item['data_samples'].clip_id) for text in item['data_samples'].texts]
        tokens = [model.tokenizer([text], torch.device('cpu')) for text, _ in texts]
        features = [model.encode_text(token) for token in tokens]

        def match(clip, text):
            from vlpeft.models.backbones import CrossContext

            states = clips[clip].tokens
            weights = model.key_weights(features[text], clips[clip].frames, states.shape[2])
            context = CrossContext(model.text.project_context(states.flatten(1, 2)), key_weights=weights)
            with torch.no_grad():
                return float(model.itm_head(model.match(tokens[text], context))[0, 1])

        similarity = torch.cat(features) @ torch.cat([clip.feature for clip in clips]).T
    owners = [clip for _, clip in texts]
    expected = {}
    for direction, table in (('t2v', similarity), ('v2t', similarity.T)):
        for query, row in enumerate(table):
            scores = torch.full_like(row, -100)
            for item in row.topk(3).indices.tolist():
                pair = (item, query) if direction == 't2v' else (query, item)
                scores[item] = match(*pair) + (beta or 0) * row[item]
            right = [owners[query]] if direction == 't2v' else [i for i, owner in enumerate(owners) if owner == query]
            best = max(float(scores[i]) for i in right)
            assert [score for _, score in rows[direction, query]['top']][:3] == pytest.approx(
                sorted(scores.tolist(), reverse=True)[:3], abs=2e-4
            )
            expected[direction, query] = 1 + sum(float(s) >= best for i, s in enumerate(scores) if i not in right)
    assert found == expected


def test_features_alone_rank_with_k_0(config):
    config.test_cfg.k_test = 0
    assert 0 <= Runner.from_cfg(config).test()['retrieval/mean_R'] <= 100
    config.test_cfg.beta, config.experiment_name = 0.5, f'{config.work_dir} beta'
    with pytest.raises(ValueError, match='beta=0.5 weighs the features in re-ranking, which test_cfg.k_test=0 leaves'):
        Runner.from_cfg(config).test()


def test_clips_left_out_are_counted_beside_the_metrics(config, tmp_path):
    clip = tmp_path / 'workspace/data/clip6.mp4'
    clip.write_bytes(clip.read_bytes()[:700])
    with pytest.raises(Exception, match='clip6.mp4'):
        Runner.from_cfg(config).test()
    config.test_dataloader.dataset.skip_unreadable = True
    config.experiment_name = f'{tmp_path} skipping'
    runner = Runner.from_cfg(config)
    notes = Notes(runner)
    metrics = runner.test()
    assert metrics['retrieval/left_out'] == 1
    assert any('1 unreadable clips are left out of the metrics: clip6.mp4' in line for line in notes.lines)
    assert {
        row['query_id'] for row in runner.test_evaluator.metrics[0].predictions if row['direction'] == 'v2t'
    } == set(range(6))


def test_an_undeclared_trainable_parameter_stops_the_run(config):
    runner = Runner.from_cfg(config)
    runner.model.text.embeddings.LayerNorm.weight.requires_grad_(True)
    with pytest.raises(RuntimeError, match='undeclared.*text.embeddings.LayerNorm.weight'):
        runner.train()


def test_the_report_shows_what_trains(config):
    runner = Runner.from_cfg(config)
    notes = Notes(runner)
    runner.train()
    report = next(line for line in notes.lines if line.startswith('parameters'))
    counts = {line.split()[0]: line.split()[1:3] for line in report.splitlines()[2:8]}
    frozen = sum(p.numel() for tower in runner.model.towers.values() for p in tower.module.parameters())
    assert counts['backbone'] == ['0', f'{frozen:,}']
    assert counts['all'][0] == f'{sum(p.numel() for p in runner.model.parameters() if p.requires_grad):,}'


def test_alpha_ramps_over_the_first_epoch_only(config):
    seen = []
    config.train_cfg.max_epochs = 2
    runner = Runner.from_cfg(config)
    original = runner.model.loss

    def loss(*args):
        seen.append(runner.model.itc_head.ramp)
        return original(*args)

    runner.model.loss = loss
    runner.train()
    assert seen == [0.0, 0.5, 1.0, 1.0]


def test_only_the_newest_checkpoints_stay_and_the_new_one_comes_first(config, monkeypatch, tmp_path):
    config.train_cfg.max_epochs = 3
    config.default_hooks.checkpoint.update(max_keep_ckpts=1, save_best=None)
    present = []
    original = resumable_checkpoint.remove_with_manifest

    def remove(path):
        present.append(sorted(p.name for p in (tmp_path / 'run').glob('epoch_*.pth')))
        return original(path)

    monkeypatch.setattr(resumable_checkpoint, 'remove_with_manifest', remove)
    Runner.from_cfg(config).train()
    assert present == [['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_3.pth']]
    assert [p.name for p in (tmp_path / 'run').glob('epoch_*.pth')] == ['epoch_3.pth']


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    backend, path = AtomicLocalBackend(), tmp_path / 'a.pth'
    backend.put(b'old', str(path))
    monkeypatch.setattr('os.fsync', lambda fd: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        backend.put(b'new', str(path))
    assert path.read_bytes() == b'old' and check_manifest(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.pth', 'a.pth.manifest.json']


def test_heads_are_swapped_by_config(tmp_path):

    @MODELS.register_module(force=True)
    class TwoLayerITMHead(BaseModule):
        roles = dict(classifier='itm_head')
        loss = ITMHead.loss

        def __init__(self, width):
            super().__init__()
            self.classifier = torch.nn.Sequential(torch.nn.Linear(width, 5), torch.nn.GELU(), torch.nn.Linear(5, 2))

        def forward(self, states):
            return self.classifier(states)

    from tests.tiny import random_batch
    from vlpeft.models import count_parameters

    model = build_retriever(vocabulary=write_vocabulary(tmp_path), itm_head=dict(type='TwoLayerITMHead', width=16))
    clips, samples = random_batch()
    assert torch.isfinite(model.loss(clips, samples)['loss_itm'])
    assert count_parameters(model)['by_role']['itm_head'] == 17 * 5 + 12


def test_adapters_can_be_averaged_twice_as_released():
    plain = dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3))
    twice, once = (
        build_retriever(momentum=momentum, **plain)
        for momentum in (dict(decay=0.9, adapter_decay=0.81), dict(decay=0.9))
    )
    for model in (once, twice):
        before = {name: value.clone() for name, value in model.momentum.named_buffers()}
        with torch.no_grad():
            for param in model.parameters():
                param.add_(1.0)
        model.momentum.update(model)
        steps = set()
        for name, value in model.momentum.named_buffers():
            # Both towers hold the shared modules; the text tower alone holds those of keys and values.
            step = 0.19 if model is twice and name.startswith('adapter.layers.') else 0.1
            torch.testing.assert_close(value, before[name] + step)
            steps.add((name.split('.')[1] if name.startswith('adapter.') else 'head', step))
        assert steps == {('layers', 0.19 if model is twice else 0.1), ('kv_adapters', 0.1), ('head', 0.1)}
