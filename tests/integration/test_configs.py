"""Every recipe at tiny geometry on generated clips: two steps of training, validation and test."""

import json

import pytest
from mmengine.runner import Runner

from tests.recipe_samples import missed, some_of
from tests.tiny import DEPTH, SIZE, VOCAB_SIZE, shrink_blip_model, write_blip_bases
from tests.workspace import ROOT, write_clips
from vlpeft.engine.run_config import RunConfig

RECIPES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for folder, pattern in (
        ('uniadapter', 'blip_*.py'),
        ('lora', 'blip_*.py'),
        ('bottleneck', 'blip_*.py'),
        ('baselines', 'blip_*.py'),
        ('vl_pet', '*_blip_*.py'),
    )
    for path in (ROOT / 'configs' / folder).glob(pattern)
)


# By default every method, set, task, width and release is there once; what is left out are other pairs of them.
SAMPLE = [
    'baselines/blip_coco_heads.py',
    'baselines/blip_coco_ia3.py',
    'baselines/blip_didemo_full.py',
    'baselines/blip_msrvtt_lst.py',
    'baselines/blip_msrvtt_qa_bitfit.py',
    'baselines/blip_msvd_qa_heads.py',
    'baselines/blip_msrvtt_qa_prompt.py',
    'baselines/blip_vqav2_full.py',
    'bottleneck/blip_msrvtt.py',
    'lora/blip_coco.py',
    'lora/blip_msvd_qa.py',
    'uniadapter/blip_didemo_r512.py',
    'uniadapter/blip_flickr30k_released.py',
    'uniadapter/blip_msrvtt_7k.py',
    'uniadapter/blip_msrvtt_qa.py',
    'uniadapter/blip_msvd.py',
    'uniadapter/blip_vqav2_val.py',
    'vl_pet/vlpet-large_blip_msrvtt.py',
]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp('recipes')
    write_clips(root, count=8)
    answers = ['red', 'green', 'blue']
    lines = [dict(video=f'clip{i}.mp4', question='which square moves', answer=answers[i % 3]) for i in range(8)]
    (root / 'qa.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    (root / 'answers.json').write_text(json.dumps(answers))
    write_blip_bases(root)
    return root


def shrink_data(loader, root, is_answering, is_test):
    source = loader.dataset.datasets[0] if 'datasets' in loader.dataset else loader.dataset
    for step in source.pipeline:
        if 'size' in step:
            step.size = SIZE
        if step.type == 'LoadClip':
            step.num_frames = min(step.num_frames, 3)
    dataset = dict(
        type='JSONLQA' if is_answering else 'JSONLRetrieval',
        data_root=str(root),
        pipeline=source.pipeline,
        ann_file='qa.jsonl' if is_answering else 'test.jsonl',
        test_mode=is_test,
    )
    if is_answering and is_test:
        dataset.update(answer_file='answers.json')
    loader.dataset = dataset
    loader.update(batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False)


def small_config(workspace, work_dir, recipe):
    cfg = RunConfig.read(ROOT / 'configs' / recipe)
    is_answering = cfg.model.type == 'GenerativeVQA'
    shrink_blip_model(cfg.model, workspace)
    for name in ('train', 'val', 'test'):
        if cfg[f'{name}_dataloader'] is not None:
            shrink_data(cfg[f'{name}_dataloader'], workspace, is_answering, name != 'train')
    if cfg.test_cfg.get('folds'):
        cfg.test_cfg.folds = 2
    if cfg.test_evaluator.type == 'VQAMetric':
        # Ten annotators answer VQA v2's questions, one answers ours.
        cfg.val_evaluator = cfg.test_evaluator = dict(type='OpenEndedMetric')
    cfg.train_dataloader.dataset.indices = 8
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = cfg.experiment_name = str(work_dir)
    return cfg


def test_the_sample_stands_for_all():
    assert missed(RECIPES, SAMPLE) == set()


@some_of(RECIPES, SAMPLE)
def test_trains_and_evaluates(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = Runner.from_cfg(small_config(workspace, tmp_path, recipe))
    runner.train()
    assert runner.iter == 2 and len(runner.model.towers['vision'].blocks) == DEPTH
    assert runner.model.text.vocab_size == VOCAB_SIZE
    metrics = runner.test()
    assert metrics and all(value == value for value in metrics.values())
