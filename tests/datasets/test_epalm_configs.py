"""eP-ALM's data configs on a small tree of real files: texts, shapes, batch sizes, and the figures of right answers."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.datasets.epalm_files import write_tree
from vlpeft.registry import DATASETS, METRICS

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
# Task, batch sizes in training and test, frames, prompt.
SIDE, THING, RUNS = ('Which side is the dog on??</a>', 'What is it??</a>', 'what runs??</a>')
TASKS = dict(
    epalm_vqav2=('vqa', 64, 64, 1, SIDE),
    epalm_vqav2_standard=('vqa', 64, 64, 1, SIDE),
    epalm_vqav2_released=('vqa', 64, 64, 1, SIDE),
    epalm_vqav2_few_shot=('vqa', 64, 64, 1, SIDE),
    epalm_vqav2_standard_released=('vqa', 64, 64, 1, SIDE),
    epalm_vqav2_one_mark=('vqa', 64, 64, 1, SIDE.replace('??', '?')),
    epalm_gqa=('gqa', 64, 128, 1, THING),
    epalm_gqa_released=('gqa', 64, 128, 1, THING),
    epalm_coco_caption=('caption', 16, 64, 1, ''),
    epalm_coco_caption_released=('caption', 16, 64, 1, ''),
    epalm_nocaps=('caption', 16, 64, 1, ''),
    epalm_nocaps_test=('caption', 16, 64, 1, ''),
    epalm_msrvtt_qa=('video_qa', 8, 64, 8, RUNS),
    epalm_msrvtt_qa_released=('video_qa', 8, 64, 8, RUNS),
    epalm_msvd_qa=('video_qa', 8, 64, 8, RUNS),
    epalm_msvd_qa_released=('video_qa', 8, 64, 8, RUNS),
    epalm_msrvtt_caption=('caption', 16, 8, 16, ''),
    epalm_msrvtt_caption_released=('caption', 16, 8, 16, ''),
)
QUESTION, CAPTION = {'question_id', 'gold', 'label', 'question_type'}, {'sample_id', 'references'}
FIELDS = dict(vqa=QUESTION | {'answer_type'}, gqa=QUESTION - {'question_type'}, video_qa=QUESTION, caption=CAPTION)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp('epalm'))


@pytest.fixture(autouse=True)
def inside(tree, monkeypatch):
    monkeypatch.chdir(tree)


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py', format_python_code=False)


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


def test_every_config_of_one_task_is_tested_here():
    there = {path.stem for path in CONFIGS.glob('epalm_*.py')}
    # Own questions are tested through their recipe.
    assert there == TASKS.keys() | {
        'epalm_image',
        'epalm_video',
        'epalm_vqav2_to_gqa',
        'epalm_gqa_to_vqav2',
        'epalm_jsonl_qa',
    }


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
        if name == 'epalm_nocaps_test' and part == 'test':
            extra = extra - {'references'}
        assert all(set(sample.keys()) == {'task', 'name', 'text'} | extra for sample in samples)


@pytest.mark.parametrize(
    'name, targets',
    [
        ('epalm_vqav2', {'left', 'up'}),
        ('epalm_vqav2_released', {'left', 'up', ''}),
        ('epalm_gqa', {'cat'}),
        ('epalm_coco_caption', {'a dog in train', 'two dogs'}),
        ('epalm_msrvtt_qa', {'dog'}),
        ('epalm_msrvtt_caption', {'a dog runs', 'video0 in train', 'video1 in train'}),
        ('epalm_msrvtt_caption_released', {'a dog runs', 'video0 in train7k', 'video1 in train7k'}),
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
        ('epalm_vqav2', ' Left', {'vqa/accuracy': 100, 'vlt5/accuracy': 0}),
        ('epalm_vqav2_standard', 'up', {'vqa/accuracy': 90, 'vlt5/accuracy': 90}),
        ('epalm_gqa', 'The cat.', {'label_score/accuracy': 100}),
        ('epalm_msrvtt_qa', ' dog', {'label_score/accuracy': 100}),
        ('epalm_msvd_qa', 'a Dog', {'label_score/accuracy': 100}),
        ('epalm_msvd_qa', 'dogs', {'label_score/accuracy': 0}),
    ],
)
def test_answers_score_as_in_the_release(name, answer, figures):
    metrics = evaluate(read(name), 'test', answer)
    assert {figure: metrics[figure] for figure in figures} == pytest.approx(figures)


@pytest.mark.parametrize(
    'name, task, source, answer, figures',
    [
        ('epalm_vqav2_to_gqa', 'vqa', 'n161313', 'The cat', {'label_score/accuracy': 100}),
        ('epalm_gqa_to_vqav2', 'gqa', 'COCO_val2014_000000000043', 'up', {'vqa/accuracy': 90, 'vlt5/accuracy': 90}),
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
    for name, expected in (('epalm_vqav2', {False}), ('epalm_vqav2_released', {False, True})):
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
        ('epalm_msrvtt_qa', True),
        ('epalm_msrvtt_qa_released', False),
        ('epalm_msrvtt_caption', True),
        ('epalm_msrvtt_caption_released', False),
    ],
)
def test_tests_take_segment_middles_and_as_released_random_frames(name, repeats):
    dataset = build(read(name).test_dataloader.dataset)
    torch.manual_seed(0)
    clips = [dataset[0]['inputs'] for _ in range(4)]
    assert all(torch.equal(clip, clips[0]) for clip in clips[1:]) is repeats


def test_nocaps_is_scored_against_its_captions_and_its_test_is_a_file_for_the_server(tmp_path):
    config = read('epalm_nocaps')
    config.test_evaluator.tokenizer = 'python'
    # Image 0 has the captions of even numbers, image 1 the others; all begin alike.
    assert evaluate(config, 'test', 'caption 4')['caption/BLEU-1'] == pytest.approx(75)
    config = read('epalm_nocaps_test')
    config.test_evaluator.out_file = str(tmp_path / 'captions.json')
    assert evaluate(config, 'test', 'a cat') == {'caption_submission/captions': 2}
    assert json.loads((tmp_path / 'captions.json').read_text()) == [
        dict(image_id=0, caption='a cat'),
        dict(image_id=1, caption='a cat'),
    ]


def test_ptl_is_trained_and_tested_on_the_released_splits():
    config = read('epalm_vqav2_standard_released')
    files = [config[f'{part}_dataloader'].dataset.ann_file for part in ('train', 'val', 'test')]
    assert files == ['vqa/train_standard.json', 'vqa/karpathy_val.json', 'vqa/karpathy_val.json']
    assert config.train_dataloader.dataset.keep_unanswered


@pytest.mark.parametrize(
    'name', ['epalm_msrvtt_qa_released', 'epalm_msvd_qa_released', 'epalm_msrvtt_caption_released']
)
def test_released_frames_leave_out_the_last_of_every_segment(name):
    config = read(name)
    for part in ('train', 'val', 'test'):
        load = config[f'{part}_dataloader'].dataset.pipeline[0]
        assert (load.sampling, load.num_frames) == ('released_random', 16 if 'caption' in name else 8)


def test_few_shot_and_the_shorter_validation_are_declared():
    few_shot, gqa = read('epalm_vqav2_few_shot').train_dataloader.dataset, read('epalm_gqa').val_dataloader.dataset
    assert (few_shot.fraction, few_shot.seed, few_shot.ann_file) == (0.01, 0, 'vqa/train_standard.json')
    assert len(build(gqa)) == 1
    assert len(build(read('epalm_gqa_released').val_dataloader.dataset)) == 10


def test_published_files_of_msrvtt_qa_do_as_well(tree):
    config = read('epalm_msrvtt_qa')
    Path('data/msrvtt/test_qa.json').write_text(
        json.dumps([dict(answer='dog', category_id=0, id=7, question='what runs?', video_id=0)])
    )
    config.test_dataloader.dataset.ann_file = 'test_qa.json'
    assert evaluate(config, 'test', 'dog')['label_score/accuracy'] == 100
