"""The data of eP-ALM's recipes on small real files: texts, shapes, batch sizes, and the figures of right answers."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests.datasets.epalm_files import write_tree
from tests.docs.markdown_pages import own_configs
from tests.workspace import ROOT
from vlpeft.engine.config_file import read_config
from vlpeft.registry import DATASETS, METRICS

CONFIGS = ROOT / 'configs/epalm'
LARGE = 'epalm-ptl_opt-6.7b_vit-l'
#: Configs that docs/data.md shows.
SHOWN = dict(zip(('nocaps test', 'one mark'), own_configs((ROOT / 'docs/data.md').read_text())))
# Task, batch sizes in training and test, frames, prompt.
SIDE, THING, RUNS = ('Which side is the dog on??</a>', 'What is it??</a>', 'what runs??</a>')
TASKS = {
    'vit-b_vqav2': ('vqa', 64, 64, 1, SIDE),
    'vit-b_vqav2_released': ('vqa', 64, 64, 1, SIDE),
    'vit-b_vqav2_few-shot-1pct': ('vqa', 64, 64, 1, SIDE),
    'one mark': ('vqa', 64, 64, 1, SIDE.replace('??', '?')),
    'vit-b_gqa': ('gqa', 64, 128, 1, THING),
    'vit-b_gqa_released': ('gqa', 64, 128, 1, THING),
    'vit-b_coco-caption': ('caption', 16, 64, 1, ''),
    'vit-b_coco-caption_released': ('caption', 16, 64, 1, ''),
    'vit-b_nocaps': ('caption', 16, 64, 1, ''),
    'nocaps test': ('caption', 16, 64, 1, ''),
    'timesformer_msrvtt-qa': ('video_qa', 8, 64, 8, RUNS),
    'timesformer_msrvtt-qa_released': ('video_qa', 8, 64, 8, RUNS),
    'timesformer_msvd-qa': ('video_qa', 8, 64, 8, RUNS),
    'timesformer_msvd-qa_released': ('video_qa', 8, 64, 8, RUNS),
    'timesformer_msrvtt-caption': ('caption', 16, 8, 16, ''),
    'timesformer_msrvtt-caption_released': ('caption', 16, 8, 16, ''),
}
#: Tested below, or no other data than those above.
OTHERS = {'vit-b_vqav2-to-gqa', 'vit-b_gqa-to-vqav2', 'vit-b_vqav2_cached'}
OTHERS |= {'vit-b_vqav2_few-shot-10pct', 'vit-b_vqav2_few-shot-0.12pct'}
QUESTION, CAPTION = {'question_id', 'gold', 'label', 'question_type'}, {'sample_id', 'references'}
FIELDS = dict(vqa=QUESTION | {'answer_type'}, gqa=QUESTION - {'question_type'}, video_qa=QUESTION, caption=CAPTION)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp('epalm'))


@pytest.fixture(autouse=True)
def inside(tree, monkeypatch):
    monkeypatch.chdir(tree)


def read(name):
    path = CONFIGS / (f'{name}.py' if name.startswith('epalm-') else f'epalm_opt-2.7b_{name}.py')
    if name in SHOWN:
        path = Path(f'{name}.py')
        path.write_text(SHOWN[name])
    return read_config(path)


def build(dataset):
    # Serialising collects garbage, a third of a second each time.
    return DATASETS.build(dict(dataset, serialize_data=False))


def first_batch(config, part):
    loader = config[f'{part}_dataloader']
    loader = dict(loader, num_workers=0, persistent_workers=False, pin_memory=False, dataset=build(loader.dataset))
    return next(iter(Runner.build_dataloader(loader, seed=0)))


def evaluators(config, part):
    found = config[f'{part}_evaluator']
    return found if isinstance(found, list) else [found]


def evaluate(config, part, answer):
    """Metrics of a set whose every question or clip gets the same answer."""
    samples = [sample.to_dict() for sample in first_batch(config, part)['data_samples']]
    for sample in samples:
        sample['pred_answer'] = sample['pred_caption'] = answer
    figures = {}
    for metric in evaluators(config, part):
        metric = METRICS.build(metric)
        metric.process(None, samples)
        figures.update(metric.evaluate(len(samples)))
    return figures


def test_the_data_of_every_recipe_of_pictures_and_videos_are_tested_here():
    there = {
        path.stem.removeprefix('epalm_opt-2.7b_') for path in CONFIGS.glob('epalm_opt-*.py') if '_ast_' not in path.stem
    }
    assert there == (TASKS.keys() | OTHERS) - SHOWN.keys()


@pytest.mark.parametrize('name', TASKS)
def test_batches_have_clips_prompts_and_targets(name):
    task, train_size, test_size, frames, text = TASKS[name]
    config = read(name)
    assert config.train_dataloader.batch_size == train_size
    for part in ('train', 'val', 'test'):
        if part != 'train':
            assert config[f'{part}_dataloader'].batch_size == test_size
        batch = first_batch(config, part)
        samples = batch['data_samples']
        assert batch['inputs'].shape == (len(samples), frames, 3, 224, 224) and batch['inputs'].dtype == torch.uint8
        assert {(sample.task, sample.text) for sample in samples} == {(task, text)}
        asked = {'question'} if task != 'caption' else set()
        trained = {'target', 'weight'} | ({'answers', 'weights'} if asked else set())
        extra = {'frame_indices'} | asked | (trained if part == 'train' else FIELDS[task])
        if name == 'nocaps test' and part == 'test':
            extra = extra - {'references'}
        assert all(set(sample.keys()) == {'task', 'name', 'text'} | extra for sample in samples)


@pytest.mark.parametrize(
    'name, targets',
    [
        ('vit-b_vqav2', {'left', 'up'}),
        ('vit-b_vqav2_released', {'left', 'up', ''}),
        ('vit-b_gqa', {'cat'}),
        ('vit-b_coco-caption', {'a dog in train', 'two dogs'}),
        ('timesformer_msrvtt-qa', {'dog'}),
        ('timesformer_msrvtt-caption', {'a dog runs', 'video0 in train', 'video1 in train'}),
        ('timesformer_msrvtt-caption_released', {'a dog runs', 'video0 in train7k', 'video1 in train7k'}),
    ],
)
def test_training_targets(name, targets):
    loader = read(name).train_dataloader
    loader.dataset.pipeline = [step for step in loader.dataset.pipeline if not step.type.startswith('Clip')]
    dataset = build(loader.dataset)
    torch.manual_seed(0)
    drawn = {dataset[index]['data_samples'].target for _ in range(20) for index in range(len(dataset))}
    assert drawn == targets


@pytest.mark.parametrize(
    'name, answer, figures',
    [
        # Seven annotators wrote "Left", whose upper case VL-T5's rule keeps, so nothing matches it; three wrote "up".
        ('vit-b_vqav2', ' Left', {'vqa/accuracy': 100, 'vlt5/accuracy': 0}),
        ('vit-b_vqav2_few-shot-1pct', 'up', {'vqa/accuracy': 90, 'vlt5/accuracy': 90}),
        ('vit-b_gqa', 'The cat.', {'label_score/accuracy': 100}),
        ('timesformer_msrvtt-qa', ' dog', {'label_score/accuracy': 100}),
        ('timesformer_msvd-qa', 'a Dog', {'label_score/accuracy': 100}),
        ('timesformer_msvd-qa', 'dogs', {'label_score/accuracy': 0}),
    ],
)
def test_answers_score_as_in_the_release(name, answer, figures):
    metrics = evaluate(read(name), 'test', answer)
    assert {figure: metrics[figure] for figure in figures} == pytest.approx(figures)


@pytest.mark.parametrize(
    'name, task, source, answer, figures',
    [
        ('vit-b_vqav2-to-gqa', 'vqa', 'n161313', 'The cat', {'label_score/accuracy': 100}),
        ('vit-b_gqa-to-vqav2', 'gqa', 'COCO_val2014_000000000043', 'up', {'vqa/accuracy': 90, 'vlt5/accuracy': 90}),
    ],
)
def test_transfer_asks_the_other_sets_questions_under_the_trained_task(name, task, source, answer, figures):
    config = read(name)
    (train,) = {sample.task for sample in first_batch(config, 'train')['data_samples']}
    (sample,) = first_batch(config, 'test')['data_samples']
    assert (train, sample.task, sample.name) == (task, task, source) and sample.text.endswith('??</a>')
    metrics = evaluate(config, 'test', answer)
    assert {figure: metrics[figure] for figure in figures} == pytest.approx(figures)


def test_images_are_mirrored_only_as_released_where_sides_are_asked_about():
    # The training answer is "left": as released half of the images are mirrored, else none.
    for name, expected in (('vit-b_vqav2', {False}), ('vit-b_vqav2_released', {False, True})):
        config = read(name).train_dataloader.dataset
        config.pipeline = [
            step for step in config.pipeline if step.type in ('LoadClip', 'ClipRandomFlip', 'PackSample')
        ]
        dataset = build(config)
        torch.manual_seed(0)
        clips = [dataset[0]['inputs'] for _ in range(20)]
        original = build(dict(config, pipeline=[config.pipeline[0], config.pipeline[-1]]))[0]['inputs']
        assert {not torch.equal(clip, original) for clip in clips} == expected
        assert all(torch.equal(clip, original) or torch.equal(clip, original.flip(-1)) for clip in clips)


@pytest.mark.parametrize(
    'name, repeats',
    [
        ('timesformer_msrvtt-qa', True),
        ('timesformer_msrvtt-qa_released', False),
        ('timesformer_msrvtt-caption', True),
        ('timesformer_msrvtt-caption_released', False),
    ],
)
def test_tests_take_segment_middles_and_as_released_random_frames(name, repeats):
    dataset = build(read(name).test_dataloader.dataset)
    torch.manual_seed(0)
    clips = [dataset[0]['inputs'] for _ in range(4)]
    assert all(torch.equal(clip, clips[0]) for clip in clips[1:]) is repeats


def test_nocaps_is_scored_against_its_captions_and_its_test_is_a_file_for_the_server(tmp_path):
    config = read('vit-b_nocaps')
    config.test_evaluator.tokenizer = 'python'
    # Image 0 has the captions of even numbers, image 1 the others; all begin alike.
    assert evaluate(config, 'test', 'caption 4')['caption/BLEU-1'] == pytest.approx(75)
    config = read('nocaps test')
    config.test_evaluator.out_file = str(tmp_path / 'captions.json')
    assert evaluate(config, 'test', 'a cat') == {'caption_submission/captions': 2}
    assert json.loads((tmp_path / 'captions.json').read_text()) == [
        dict(image_id=0, caption='a cat'),
        dict(image_id=1, caption='a cat'),
    ]


def test_ptl_is_trained_and_tested_on_the_released_splits():
    config = read(f'{LARGE}_vqav2_released')
    files = [config[f'{part}_dataloader'].dataset.ann_file for part in ('train', 'val', 'test')]
    assert files == ['vqa/train_standard.json', 'vqa/karpathy_val.json', 'vqa/karpathy_val.json']
    assert config.train_dataloader.dataset.keep_unanswered


@pytest.mark.parametrize(
    'name', ['timesformer_msrvtt-qa_released', 'timesformer_msvd-qa_released', 'timesformer_msrvtt-caption_released']
)
def test_released_frames_leave_out_the_last_of_every_segment(name):
    config = read(name)
    for part in ('train', 'val', 'test'):
        load = config[f'{part}_dataloader'].dataset.pipeline[0]
        assert (load.sampling, load.num_frames) == ('released_random', 16 if 'caption' in name else 8)


def test_few_shot_and_the_shorter_validation_are_declared():
    few_shot, gqa = read('vit-b_vqav2_few-shot-1pct').train_dataloader.dataset, read('vit-b_gqa').val_dataloader.dataset
    assert (few_shot.fraction, few_shot.seed, few_shot.ann_file) == (0.01, 0, 'vqa/train_standard.json')
    assert len(build(gqa)) == 1
    assert len(build(read('vit-b_gqa_released').val_dataloader.dataset)) == 10


def test_published_files_of_msrvtt_qa_do_as_well(tree):
    config = read('timesformer_msrvtt-qa')
    Path('data/msrvtt/test_qa.json').write_text(
        json.dumps([dict(answer='dog', category_id=0, id=7, question='what runs?', video_id=0)])
    )
    config.test_dataloader.dataset.ann_file = 'test_qa.json'
    assert evaluate(config, 'test', 'dog')['label_score/accuracy'] == 100
