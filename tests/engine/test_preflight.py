"""Configs that cannot run are refused before their base is fetched, all problems at once; overrides act."""

import glob
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.vl_workspace import shrink_vl_model, write_vl_workspace
from tests.workspace import write_workspace
from vlpeft.checkpoint import base as base_loading
from vlpeft.engine.functions import collate_clips
from vlpeft.engine.preflight import ConfigError, check_run, finished_run, merge_overrides
from vlpeft.engine.preflight.types import type_problems
from vlpeft.engine.run_config import RunConfig
from vlpeft.registry import ADAPTERS, MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = [
    path
    for path in sorted(glob.glob('configs/**/*.py', root_dir=ROOT, recursive=True))
    if '_base_' not in path and not path.endswith('_clips_.py')
]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('preflight'))


@pytest.fixture(autouse=True)
def no_heavy_work(monkeypatch):
    """No base is read: the checks come first."""

    def refuse(*args, **kwargs):
        raise AssertionError('a base was fetched')

    monkeypatch.setattr(base_loading, 'fetch', refuse)


def checked(path, phase='train', **options):
    cfg = RunConfig.read(str(path))
    cfg.work_dir = str(Path(path).parent / 'work')
    merge_overrides(cfg, options)
    check_run(cfg, phase)
    return cfg


def problems_of(path, phase='train', **options):
    with pytest.raises(ConfigError) as raised:
        checked(path, phase, **options)
    return raised.value.problems


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_a_sound_run_passes(workspace, phase):
    checked(workspace, phase)


def test_all_recipes_have_known_types_and_arguments():
    assert len(CONFIGS) > 100
    with DefaultScope.overwrite_default_scope('vlpeft'):
        found = {path: list(type_problems(RunConfig.read(str(ROOT / path)))) for path in CONFIGS}
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    'key, value, expected',
    [
        ('optim_wraper.optimizer.lr', 1, "the config has no 'optim_wraper'; did you mean optim_wrapper?"),
        ('optim_wrapper.optimiser.lr', 1, "OptimWrapper takes no 'optimiser'; did you mean optimizer?"),
        (
            'num_frames',
            99,
            'override what was made of it: train_dataloader.dataset.pipeline.0.num_frames, '
            'val_dataloader.dataset.pipeline.0.num_frames, test_dataloader.dataset.pipeline.0.num_frames',
        ),
        ('optim_wrapper.optimizer.lr', '1e-2x', "'1e-2x' does not fit, it takes float | Tensor"),
        ('optim_wrapper.optimizer.type', 'AdamV', "'AdamV' is not a registered optimizer; did you mean Adam"),
        ('model.adapter.type', 'UniAdaptr', "'UniAdaptr' is not a registered adapter; did you mean UniAdapter?"),
        ('model.adapter.type', 'Lora', "'Lora' is not a registered adapter; did you mean LoRA?"),
        ('model.adapter.botleneck', 3, "UniAdapter takes no 'botleneck'; did you mean bottleneck?"),
        ('model.adapter.bottleneck', 2.5, '2.5 does not fit, it takes int'),
        ('model.base_checkpoint.sorce', 'x.pth', "model.base_checkpoint has no 'sorce'; did you mean source?"),
        ('model.itm_head.bias', 1, "ITMHead takes no 'bias'; there are width"),
        ('train_dataloader.batch_sise', 3, "train_dataloader takes no 'batch_sise'; did you mean batch_size?"),
        ('train_dataloader.batch_size', 'four', "'four' does not fit, it takes int"),
        (
            'train_dataloader.dataset.pipeline.9.num_frames',
            3,
            "train_dataloader.dataset.pipeline is a list of 4, which has no item '9'",
        ),
        ('train_dataloader.dataset.pipeline.0.num_frame', 3, "LoadClip takes no 'num_frame'; did you mean num_frames?"),
        ('train_dataloader.dataset.pipeline.0.type', 'LoadClp', 'not a registered transform; did you mean LoadClip?'),
        ('default_hooks.loger.interval', 3, "default_hooks has no 'loger'; did you mean logger?"),
        ('default_hooks.ema.momentum', 3, 'has no type'),
        ('model.trainable', [dict(part='norms')], "takes no 'part'; did you mean parts?"),
        ('load_from.epoch', 3, 'load_from is None in the config, which has no entries'),
        ('randomness.sed', 3, "randomness takes no 'sed'; did you mean seed?"),
        ('optim_wrapper.clip_grad.maxnorm', 1.0, "takes no 'maxnorm'; did you mean max_norm?"),
        ('env_cfg.mp_cfg.start_method', 'fork', "takes no 'start_method'; did you mean mp_start_method?"),
    ],
)
def test_an_override_that_would_change_nothing_is_refused(workspace, key, value, expected):
    cfg = RunConfig.read(str(workspace))
    with pytest.raises(ConfigError) as raised:
        merge_overrides(cfg, {key: value})
    (line,) = raised.value.problems
    assert line.startswith(key.rpartition('.')[0]) and expected in line
    assert str(raised.value) == f'--cfg-options: {line}'


@pytest.mark.parametrize(
    'options',
    [
        {'model.adapter.scale': 0.5},
        {
            'model.adapter._delete_': True,
            'model.adapter.type': 'LoRA',
            'model.adapter.rank': 2,
            'model.adapter.targets': dict(kinds=['ffn']),
        },
        {'model.momentum.decay': 0.5},
        {'train_dataloader.dataset.pipeline.0.num_frames': 3},
        {'train_dataloader.num_batch_per_epoch': 2},
        {'default_hooks.ema.type': 'EMAHook', 'default_hooks.ema.priority': 'LOW'},
        {'optim_wrapper.clip_grad.max_norm': 1.0, 'optim_wrapper.accumulative_counts': 2},
        {'optim_wrapper.paramwise_cfg.custom_keys.adapter.lr_mult': 2.0},
        {'env_cfg.dist_cfg.timeout': 30, 'find_unused_parameters': True},
        {'visualizer.vis_backends.0.type': 'TensorboardVisBackend'},
        {'load_from': None, 'resume': True, 'experiment_name': 'mine'},
    ],
)
def test_entries_that_their_owner_takes_are_added(workspace, options):
    cfg = checked(workspace, **options)
    for key, value in options.items():
        if not key.endswith('_delete_'):
            node = cfg.to_dict()
            for part in key.split('.'):
                node = node[int(part)] if isinstance(node, list) else node[part]
            assert node == value


def test_names_that_differ_in_a_number_are_not_slips(workspace):
    cfg = RunConfig.read(str(workspace))
    merge_overrides(cfg, {'optim_wrapper.paramwise_cfg.custom_keys.layer_1.lr_mult': 2.0})
    merge_overrides(cfg, {'optim_wrapper.paramwise_cfg.custom_keys.layer_2.lr_mult': 3.0})
    assert len(cfg.optim_wrapper.paramwise_cfg.custom_keys) == 2
    with pytest.raises(ConfigError, match='did you mean layer_2'):
        merge_overrides(cfg, {'optim_wrapper.paramwise_cfg.custom_keys.layr_2.lr_mult': 3.0})


def write_config(workspace, name, text):
    path = workspace.with_name(name)
    path.write_text(f"_base_ = '{workspace.name}'\n{text}")
    return path


def test_all_problems_of_a_config_are_listed_before_a_base_is_fetched(workspace):
    path = write_config(
        workspace,
        'wrong.py',
        """
model = dict(adapter=dict(type='UniAdaptr'), base_checkpoint=dict(source='bse.pth'))
train_dataloader = dict(dataset=dict(ann_file='trian.jsonl'))
val_cfg = dict(k_test=-5)
optim_wrapper = dict(optimizer=dict(type='AdamX', lr='1e-2x'))
custom_hooks = [dict(type='FreezeReprtHook')]
""",
    )
    problems = problems_of(path)
    expected = [
        "model.adapter.type: 'UniAdaptr' is not a registered adapter; did you mean UniAdapter?",
        "optim_wrapper.optimizer.type: 'AdamX' is not a registered optimizer; did you mean Adamax?",
        "custom_hooks.0.type: 'FreezeReprtHook' is not a registered hook; did you mean FreezeReportHook?",
        'val_cfg: k_test=-5 must be 0 (rank by features alone) or the number of candidates',
        'model.base_checkpoint.source: there is no file bse.pth',
        f'train_dataloader.dataset: annotation file {workspace.parent}/data/trian.jsonl does not exist',
    ]
    assert [line for line in expected if not any(found.startswith(line) for found in problems)] == []
    assert len(problems) == len(expected)
    with pytest.raises(ConfigError, match=f'wrong.py: {len(expected)} problems\n  '):
        checked(path)


@pytest.mark.parametrize(
    'text, expected',
    [
        (
            "model = dict(adapter=dict(_delete_=True, type='LoRA', rank=2, targets=dict(kinds=['mlp'])))",
            "LoRA: unknown kinds ['mlp']; there are ['self_attn', 'cross_attn', 'ffn', 'patch_embed', 'connector']",
        ),
        (
            "model = dict(adapter=dict(_delete_=True, type='LoRA', rank=2, targets=dict(depths=[7])))",
            'unknown depths of tower "vision" [7]; there are [0, 1]',
        ),
        (
            "model = dict(adapter=dict(_delete_=True, type='LoRA', rank=2, targets=dict(kind=['ffn'])))",
            "model.adapter.targets takes no 'kind'; did you mean kinds?",
        ),
        ("model = dict(adapter=dict(share='all'))", "UniAdapter: share='all'; choose from"),
        ('model = dict(text=dict(vocab_size=77))', 'has 23 tokens with [DEC] and [ENC], the text model 77'),
        ("model = dict(vocabulary='vocabularies/mine')", "vocabulary 'vocabularies/mine' is neither a folder"),
        ("test_dataloader = dict(dataset=dict(data_prefix=dict(media='nowhere')))", 'nowhere does not exist'),
        (
            "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadClip', num_frames=2, sampling='evenly')]))",
            'evenly',
        ),
        ('test_cfg = dict(clips_per_chunk=0)', 'clips_per_chunk=0 must be at least 1'),
    ],
)
def test_what_a_class_refuses_is_told_first(workspace, text, expected):
    (line,) = problems_of(write_config(workspace, 'refused.py', text), 'test')
    assert expected in line


def test_training_needs_no_test_files_and_the_reverse(workspace):
    path = write_config(workspace, 'half.py', "test_dataloader = dict(dataset=dict(ann_file='none.jsonl'))")
    checked(path, 'train')
    assert len(problems_of(path, 'test')) == 1


def test_a_missing_vocabulary_folder_is_told_at_once_and_offline(workspace):
    folder = workspace.parent / 'vocabulry'
    (line,) = problems_of(write_config(workspace, 'words.py', f'model = dict(vocabulary={str(folder)!r})'))
    assert line.endswith(f'there is no such folder; did you mean {workspace.parent}/vocabulary?')
    empty = workspace.parent / 'empty'
    empty.mkdir(exist_ok=True)
    (line,) = problems_of(write_config(workspace, 'words.py', f'model = dict(vocabulary={str(empty)!r})'))
    assert 'the folder has none of tokenizer.json' in line and 'it holds nothing' in line


def test_a_hub_that_cannot_be_reached_is_asked_once(tmp_path):
    """In a process of its own: the library reads where its hub is when it is imported. This one hangs up."""
    code = (
        'from vlpeft.models.tokenizer import CaptionTokenizer as T\n'
        "try:\n    T('somebody/some-words', 5, 10).tokenizer\n"
        'except ValueError as error:\n    print(error)'
    )
    asked = []
    with socket.create_server(('127.0.0.1', 0)) as hub:

        def hang_up():
            while True:
                try:
                    caller, _ = hub.accept()
                except OSError:
                    return
                asked.append(caller.recv(1 << 16).splitlines()[:1])
                caller.close()

        threading.Thread(target=hang_up, daemon=True).start()
        env = dict(
            PATH='/usr/bin:/bin',
            PYTHONPATH=str(ROOT),
            HF_HOME=str(tmp_path),
            HF_ENDPOINT=f'http://127.0.0.1:{hub.getsockname()[1]}',
        )
        out = subprocess.run([sys.executable, '-c', code], env=env, cwd=tmp_path, text=True, capture_output=True).stdout
    text = out.strip().splitlines()[-1]
    assert len(asked) == 1, asked
    assert "vocabulary 'somebody/some-words' is neither a folder" in text and 'cannot be asked now' in text


def test_auto_does_not_choose_among_the_scores_of_captions(workspace):
    text = """
val_evaluator = dict(_delete_=True, type='CaptionMetric')
default_hooks = dict(checkpoint=dict(save_best={}))
"""
    (line,) = problems_of(write_config(workspace, 'best.py', text.format("'auto'")))
    assert line.startswith('default_hooks.checkpoint.save_best:') and "save_best='caption/CIDEr'" in line
    checked(write_config(workspace, 'best.py', text.format("'caption/CIDEr'")))


@pytest.mark.parametrize(
    'epoch, due, finished', [(1, False, False), (2, None, True), (2, False, True), (2, True, False), (3, False, True)]
)
def test_a_finished_run_says_so(workspace, tmp_path, epoch, due, finished):
    cfg = RunConfig.read(str(workspace))
    cfg.work_dir = str(tmp_path)
    assert finished_run(cfg) is None
    file = tmp_path / f'epoch_{epoch}.pth'
    position = dict(batch=0, validation_due=due, epoch_length=7, world_size=1, batch_size=4, samples=28, generators=[])
    torch.save(
        dict(state_dict={}, meta=dict(epoch=epoch, iter=7 * epoch), **({} if due is None else dict(position=position))),
        file,
    )
    cfg.load_from = str(file)
    said = finished_run(cfg)
    assert (said is not None) == finished
    if finished:
        assert said.startswith(f'{file} has done {epoch} of 2 epochs: the run is finished. Raise train_cfg.max_epochs')


def test_clips_of_different_lengths_in_a_batch_are_named():
    from mmengine.structures import BaseDataElement

    batch = [
        dict(inputs=torch.zeros(frames, 3, 4, 4, dtype=torch.uint8), data_samples=BaseDataElement(name=name))
        for name, frames in (('cat.mp4', 4), ('dog.mp4', 4), ('cow.jpg', 1))
    ]
    assert collate_clips(batch[:2])['inputs'].shape == (2, 4, 3, 4, 4)
    with pytest.raises(ValueError, match=r"'cat.mp4' \(4, 3, 4, 4\) and 'cow.jpg' \(1, 3, 4, 4\). An image is one"):
        collate_clips(batch)


@pytest.mark.parametrize(
    'registry, kind, near',
    [(ADAPTERS, 'UniAdaptr', 'UniAdapter'), (ADAPTERS, 'lora', 'LoRA'), (MODELS, 'Retreiver', 'Retriever')],
)
def test_a_registry_suggests_the_near_name(registry, kind, near):
    with pytest.raises(KeyError, match=f'{kind} is not in the vlpeft::.* registry; did you mean {near}'):
        registry.build(dict(type=kind))


def test_a_set_that_fills_no_batch_is_told_before_schedules_are_built(workspace, tmp_path):
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / 'tools/train.py'),
            str(workspace),
            '--work-dir',
            str(tmp_path),
            '--cfg-options',
            'train_dataloader.batch_size=64',
        ],
        text=True,
        capture_output=True,
    )
    assert run.returncode == 1
    assert '10 samples in each process do not fill a batch of 64, and drop_last=True' in run.stderr


@pytest.fixture(scope='module')
def vl_workspace(tmp_path_factory):
    return write_vl_workspace(tmp_path_factory.mktemp('vl'))


def test_tensors_of_single_tasks_need_the_search_for_unused_ones_in_several_processes(vl_workspace, monkeypatch):
    monkeypatch.chdir(vl_workspace)

    def checked_with(tasks, **options):
        cfg = RunConfig.read(str(ROOT / 'configs/bottleneck/vl-adapter_bart-base_image.py'))
        shrink_vl_model(cfg.model, vl_workspace)
        cfg.model.adapter.tasks = tasks
        cfg.merge_from_dict(dict(work_dir='work', **options))
        check_run(cfg, 'train')

    tasks = ['vqa', 'gqa', 'nlvr2', 'caption']
    with pytest.raises(ConfigError) as raised:
        checked_with(tasks, launcher='pytorch')
    (problem,) = raised.value.problems
    assert problem.startswith('find_unused_parameters: must be True with several processes: 160 tensors of the method')
    checked_with(tasks, launcher='pytorch', find_unused_parameters=True)
    checked_with(tasks, launcher='none')
    checked_with(None, launcher='pytorch')
    with pytest.raises(ConfigError) as raised:
        checked_with(tasks[:3], launcher='none')
    assert "for each of the tasks vqa, gqa, nlvr2, but the task is 'caption'" in raised.value.problems[0]


def test_the_copy_of_a_recipe_of_several_tasks_in_its_work_folder_passes_too(vl_workspace, monkeypatch):
    """In it the tasks stand in another order, that of the alphabet; their mean is the first figure all the same."""
    monkeypatch.chdir(vl_workspace)
    cfg = RunConfig.read(str(ROOT / 'configs/bottleneck/vl-adapter_bart-base_image.py'))
    shrink_vl_model(cfg.model, vl_workspace)
    cfg.work_dir = 'work'
    cfg.dump('copy.py')
    copy = RunConfig.read('copy.py')
    assert next(iter(copy.val_evaluator)) == 'caption' and copy.default_hooks.checkpoint.save_best == 'auto'
    check_run(copy, 'train')
    copy.val_cfg.pop('main')
    with pytest.raises(ConfigError, match="'auto' would take the first figure of CaptionMetric"):
        check_run(copy, 'train')
