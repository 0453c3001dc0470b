"""The configs of the eight sequence-to-sequence tasks on a small data tree: exact texts, shapes and targets."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.datasets.seq2seq_files import write_tree
from vlpeft.registry import DATASETS, METRICS

CONFIGS = Path(__file__).parents[2] / 'configs'
IMAGE_TASKS, VIDEO_TASKS = ['vqa', 'gqa', 'nlvr2', 'caption'], ['tvqa', 'how2qa', 'tvc', 'yc2c']
TASKS = IMAGE_TASKS + VIDEO_TASKS
FILES = ['vqa_karpathy', 'gqa', 'nlvr2', 'coco_caption', 'value_questions', 'value_captions']
SUBTITLES = 'Hello s01. Bye.'
CHOICES = 'a0: choice 0. a1: choice 1. a2: choice 2. a3: choice 3.'
TEXTS = dict(
    vqa='vqa: How many dogs?',
    gqa='gpa: What is it?',
    nlvr2='nlvr: Both are red.',
    caption='caption: ',
    tvqa=f'tvqa: [Q] Who is it? [TS] (1.5-2) [Choices] {CHOICES} a4: choice 4. [Subs] {SUBTITLES}',
    how2qa=f'how2qa: [Q] Who is it? [TS] (1.5-2) [Choices] {CHOICES} [Subs] {SUBTITLES}',
    tvc=f'tvc: [TS] ([1.5, 2]) [Subs] {SUBTITLES}',
    yc2c=f'yc2c: [Subs] {SUBTITLES}',
)
RELEASED = dict(
    tvqa=f'[Subs] {SUBTITLES} [Q] Who is it? [TS] (1.5-2) [Choices] {CHOICES} a4: choice 4. tvqa: ',
    how2qa=f'[Subs] {SUBTITLES} [Q] Who is it? [TS] (1.5-2) [Choices] {CHOICES} how2qa: ',
    tvc=f'[Subs] {SUBTITLES} [TS] ([1.5, 2]) tvc: ',
    yc2c=f'[Subs] {SUBTITLES} yc2c: ',
)
# Targets with their weights, over a whole training set.
TARGETS = dict(
    vqa={('2', 1.0), ('3', 0.3), ('', 0.0)},
    gqa={('cat', 1.0)},
    nlvr2={('true', 1.0)},
    caption={('a dog in train', 1.0), ('two dogs', 1.0)},
    tvqa={('a2', 1.0)},
    how2qa={('a2', 1.0)},
    tvc={('a man walks', 1.0), ('he talks', 1.0)},
    yc2c={('a man walks', 1.0), ('he talks', 1.0)},
)
TRAINING_ITEMS = dict(vqa=2, gqa=2, nlvr2=1, caption=4, tvqa=2, how2qa=2, tvc=4, yc2c=4)
BATCHES = dict(vqa=500, gqa=833, nlvr2=166, caption=416, tvqa=50, how2qa=50, tvc=50, yc2c=50)
# Beyond task, name and text: what a validation and a test sample have.
QA, CAPTION = {'question_id', 'gold'}, {'sample_id', 'references'}
VALIDATION = dict(
    vqa=QA | {'question', 'label', 'question_type', 'answer_type'},
    gqa=QA | {'question', 'label'},
    nlvr2=QA,
    caption=CAPTION,
    tvqa=QA | {'question', 'ts'},
    how2qa=QA | {'question', 'ts'},
    tvc=CAPTION | {'vid_name', 'clip_id', 'ts'},
    yc2c=CAPTION | {'vid_name', 'clip_id'},
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp('vlpet'))


@pytest.fixture(autouse=True)
def inside(tree, monkeypatch):
    monkeypatch.chdir(tree)


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py', format_python_code=False)


def read_single(task):
    """The recipe of one task alone."""
    return read(f'vl_pet/vlpet-large_bart-base_{"coco-caption" if task == "caption" else task}')


def first_batch(config, part):
    loader = config[f'{part}_dataloader']
    loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    return next(iter(Runner.build_dataloader(loader, seed=0)))


def shape(task, count):
    cells = (64, 512) if task in VIDEO_TASKS else (49, 2048)
    return (count, 2 if task == 'nlvr2' else 1, *cells)


@pytest.mark.parametrize('task', TASKS)
def test_training_batches(task):
    config = read_single(task)
    assert config.train_dataloader.batch_size == BATCHES[task]
    torch.manual_seed(0)
    batch = first_batch(config, 'train')
    samples = batch['data_samples']
    assert tuple(batch['inputs'].shape) == shape(task, TRAINING_ITEMS[task])
    assert {sample.task for sample in samples} == {task}
    assert TEXTS[task] in {sample.text for sample in samples}
    targets = {(sample.target, sample.weight) for sample in samples}
    assert targets <= TARGETS[task] and len(targets) == len(TARGETS[task]) - (task == 'vqa')


@pytest.mark.parametrize('task', TASKS)
def test_validation_and_test_batches(task):
    config = read_single(task)
    for part in ('val', 'test'):
        batch = first_batch(config, part)
        sample, *others = sorted(batch['data_samples'], key=lambda sample: sample.name)
        assert tuple(batch['inputs'].shape) == shape(task, 1 + len(others)) and len(others) == (task in VIDEO_TASKS)
        assert sample.text == TEXTS[task]
        is_public = part == 'val' or task in IMAGE_TASKS
        expected = VALIDATION[task] - (set() if is_public else {'gold', 'references'})
        assert set(sample.keys()) == expected | {'task', 'name', 'text'}


@pytest.mark.parametrize('task', VIDEO_TASKS)
def test_the_released_order_is_subtitles_first_and_prompt_last(task):
    config = read('vl_pet/vlpet-large_bart-base_video_released')
    for dataset in (
        config.train_dataloader.dataset.tasks[task],
        config.val_dataloader[task].dataset,
        config.test_dataloader[task].dataset,
    ):
        item = DATASETS.build(dataset)[0]
        assert item['data_samples'].text == RELEASED[task] and item['inputs'].shape == (1, 64, 512)
    assert item['inputs'].min() == 1  # 70 frames pooled to 64


@pytest.mark.parametrize('task', IMAGE_TASKS)
def test_online_configs_read_the_images_instead(task):
    config = read('_base_/datasets/image_tasks_online')
    for part in ('train', 'val', 'test'):
        dataset = DATASETS.build(config[f'{task}_{part}_set'])
        items = [dataset[index] for index in range(len(dataset))]
        assert all(item['inputs'].shape == (2 if task == 'nlvr2' else 1, 3, 224, 224) for item in items)
        assert all(item['inputs'].dtype == torch.uint8 for item in items)
        assert items[0]['data_samples'].text == TEXTS[task]


def test_sets_of_several_tasks_join_in_one_config(tmp_path):
    bases = [str(CONFIGS / f'_base_/datasets/{name}.py') for name in FILES]
    sets = ', '.join(f'{task}={{{{_base_.{task}_train_set}}}}' for task in TASKS)
    (tmp_path / 'joined.py').write_text(f'_base_ = {bases}\ntrain_sets = dict({sets})\n')
    config = Config.fromfile(tmp_path / 'joined.py')
    assert list(config.train_sets) == TASKS
    for task in TASKS:
        item = DATASETS.build(config.train_sets[task])[0]
        assert item['data_samples'].task == task
        assert item['data_samples'].text == TEXTS[task]


@pytest.mark.parametrize('method', ['full', 'hyperformer'])
def test_as_released_two_baselines_read_no_task_prompts(method):
    config = read(f'baselines/bart-base_image_{method}')
    bare = dict(vqa='How many dogs?', gqa='What is it?', nlvr2='Both are red.', caption='')
    for sets in (
        config.train_dataloader.dataset.tasks,
        {task: loader.dataset for task, loader in config.val_dataloader.items()},
        {task: loader.dataset for task, loader in config.test_dataloader.items()},
    ):
        assert sets.keys() == bare.keys()
        for task, text in bare.items():
            dataset = DATASETS.build(sets[task])
            items = [dataset[index] for index in range(len(dataset))]
            assert text in {item['data_samples'].text for item in items}
            assert not any(item['data_samples'].text.startswith(TEXTS[task].split(':')[0] + ':') for item in items)
            assert {item['data_samples'].task for item in items} == {task}


def evaluate(config, part):
    """Right answers and first references, or 'a1' where they are not public, through the config's metric."""
    samples = [sample.to_dict() for sample in first_batch(config, part)['data_samples']]
    for sample in samples:
        sample['pred_answer'] = sample.get('gold', ['a1'])[0]
        sample['pred_caption'] = sample.get('references', ['a cat'])[0]
    evaluators = config[f'{part}_evaluator']
    figures = {}
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        metric = METRICS.build(evaluator)
        metric.process(None, samples)
        figures.update(metric.evaluate(len(samples)))
    return figures


@pytest.mark.parametrize(
    'task, name',
    [
        ('vqa', 'vqa/accuracy'),
        ('gqa', 'label_score/accuracy'),
        ('nlvr2', 'nlvr2/consistency'),
        ('tvqa', 'open_ended/accuracy'),
        ('how2qa', 'open_ended/accuracy'),
    ],
)
def test_right_answers_score_a_hundred(task, name):
    assert evaluate(read_single(task), 'val')[name] == pytest.approx(100)


@pytest.mark.parametrize('task', ['caption', 'tvc', 'yc2c'])
def test_captions_are_scored_against_all_references_together_or_each_alone(task):
    config = read_single(task)
    config.val_evaluator.tokenizer = 'python'
    bleu = evaluate(config, 'val')['caption/BLEU-1']
    # Of the references "a man walks" and "he talks" the first is repeated: three words of six, brevity penalty none.
    assert bleu == pytest.approx(100 if task == 'caption' else 50, rel=1e-6)


@pytest.mark.parametrize('task', VIDEO_TASKS)
def test_tests_are_written_for_the_server(task):
    config = read_single(task)
    evaluate(config, 'test')
    text = Path(config.test_evaluator.out_file).read_text()
    if task in ('tvqa', 'how2qa'):
        assert json.loads(text) == {'7': 1, '8': 1}
    else:
        first, second = map(json.loads, text.splitlines())
        stamp = dict(ts=[1.5, 2]) if task == 'tvc' else {}
        assert first == dict(vid_name='s01', clip_id=70, descs=[dict(desc='a cat')], **stamp)
        assert second['clip_id'] == 71
