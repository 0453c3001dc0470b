"""VQA v2 and Visual Genome in BLIP's, visualqa.org's and VL-T5's layouts, and the shipped configs on real images."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.datasets.qa_files import IMAGES, write_coco, write_json
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS, METRICS

CONFIGS = Path(__file__).parents[2] / 'configs/uniadapter'
VAL_ANNOTATIONS = 'v2_mscoco_val2014_annotations.json'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp('vqa'))


def build(root, ann_file, **kwargs):
    return DATASETS.build(dict(type='VQAv2', data_root=str(root / 'coco'), ann_file=ann_file, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_training_on_blips_files_weighs_answers_by_their_share(root):
    first, second = infos(build(root, 'vqa_train.json'))
    assert first == dict(
        name=IMAGES[0],
        path=str(root / 'coco' / IMAGES[0]),
        media='image',
        question='What is on the table?',
        answers=['cup', 'mug', 'glass'],
        weights=[0.6, 0.3, 0.1],
        sample_idx=0,
    )
    assert (second['answers'], second['weights']) == (['yes'], [1.0])


def test_the_official_files_give_the_same_training_set(root):
    official = build(
        root, 'v2_OpenEnded_mscoco_train2014_questions.json', annotations='v2_mscoco_train2014_annotations.json'
    )
    assert infos(official) == infos(build(root, 'vqa_train.json'))


def test_visual_genome_answers_weigh_a_fifth(root):
    (info,) = infos(build(root, 'vg_qa.json', data_prefix=dict(media='../visual_genome')))
    assert (info['answers'], info['weights'], info['name']) == (['two'], [0.2], 'image/1.jpg')
    assert Path(info['path']).samefile(root / 'visual_genome' / 'image' / '1.jpg')


def test_a_test_set_has_all_ten_answers_and_types_where_annotations_tell(root):
    (blip,) = infos(build(root, 'vqa_val.json', test_mode=True))
    assert blip['gold'] == ['two'] * 3 + ['three'] * 7 and blip['question_id'] == 42000
    assert 'question_type' not in blip and 'weights' not in blip
    (typed,) = infos(build(root, 'vqa_val.json', test_mode=True, annotations=VAL_ANNOTATIONS))
    (official,) = infos(
        build(root, 'v2_OpenEnded_mscoco_val2014_questions.json', test_mode=True, annotations=[VAL_ANNOTATIONS])
    )
    assert typed == official == dict(blip, question_type='how many', answer_type='number')


def test_test_questions_without_public_answers(root):
    (blip,) = infos(build(root, 'vqa_test.json', test_mode=True, answer_file='answer_list.json'))
    (official,) = infos(build(root, 'v2_OpenEnded_mscoco_test-dev2015_questions.json', test_mode=True))
    assert blip == official and blip['name'] == IMAGES[2] and 'gold' not in blip
    with pytest.raises(AnnotationError, match='question 1 has no answers, training needs them'):
        build(root, 'vqa_test.json')


def test_vlt5s_scores_weigh_answers_and_questions_without_any_are_left_out_of_training(root):
    (info,) = infos(build(root, 'karpathy_train.json'))
    assert (info['name'], info['path']) == (Path(IMAGES[0]).stem, str(root / 'coco' / IMAGES[0]))
    assert (info['question'], info['answers'], info['weights']) == ('What is on the table?', ['cup', 'mug'], [1.0, 0.9])
    first, second = infos(build(root, 'karpathy_train.json', test_mode=True, annotations=VAL_ANNOTATIONS))
    assert 'gold' not in first and first['answer_type'] == 'other'
    assert second['gold'] == ['two'] * 3 + ['three'] * 7 and second['name'] == Path(IMAGES[1]).stem


def test_the_answer_list_from_training_counts_every_annotator(root):
    assert build(root, 'vqa_val.json', test_mode=True, answers_from='vqa_train.json', answers_top=3).answer_list == [
        'yes',
        'cup',
        'mug',
    ]


@pytest.mark.parametrize(
    'content, message',
    [
        ([dict(question_id=1, question='x')], r"entry\[0\]: neither 'image' \(BLIP\) nor 'img_id' \(VL-T5\)"),
        ([dict(question_id='1', question='x', image='a.jpg')], r"entry\[0\]: 'question_id' must be an integer"),
        (
            [dict(question_id=1, image='a.jpg')],
            r"entry\[0\]: 'question' must be a text; keys found: question_id, image",
        ),
        (
            [dict(question_id=1, question='x', image='../../a.jpg', answer=['y'])],
            r'entry\[0\]: .*outside the data root',
        ),
        ([dict(question_id=1, question='x', image='a.jpg', answer='y')], r"entry\[0\]: 'answer' must be a list"),
        (
            [dict(question_id=1, question='x', image='a.jpg', answer=['y', 3])],
            r"answers of .* as texts, got \['y', 3\]",
        ),
        ([dict(question_id=1, question='x', image='a.jpg', answer=[])], 'answers of the annotators as texts'),
        ([dict(question_id=1, question='x', image='a.jpg', answer=['y'], dataset='vg')], "'answer' must be a text"),
        ([dict(question_id=1, question='x', img_id='9')], "'img_id' must be like COCO_val2014_000000262148, got '9'"),
        (['x'], r'entry\[0\]: expected an object'),
        (dict(questions=[]), "'data_subtype' must be a text; keys found: questions"),
        (dict(data_subtype='val2014'), "expected a list 'questions'"),
        (
            dict(data_subtype='val2014', questions=[dict(question_id=1, question='x')]),
            r"questions\[0\]: 'image_id' must be an integer",
        ),
        ([], 'holds no annotations'),
    ],
)
def test_broken_annotations_are_named(root, content, message):
    write_json(root / 'coco' / 'broken.json', content)
    with pytest.raises(AnnotationError, match=f'broken.json.*{message}'):
        build(root, 'broken.json')


@pytest.mark.parametrize(
    'content, message',
    [
        ([], "expected a list 'annotations'"),
        (dict(annotations=[dict(question_id=1)]), r"annotations\[0\]: expected a list 'answers'"),
        (dict(annotations=[dict(question_id=1, answers=[dict(answer_id=1)])]), r'annotations\[0\]: .* as texts'),
        (dict(annotations=[dict(answers=[dict(answer='')])]), r"annotations\[0\]: 'question_id' must be an integer"),
    ],
)
def test_broken_answers_are_named(root, content, message):
    write_json(root / 'coco' / 'broken.json', content)
    with pytest.raises(AnnotationError, match=f'broken.json.*{message}'):
        build(root, 'vqa_val.json', annotations='broken.json')


def load(root, name, part):
    config = Config.fromfile(str(CONFIGS / f'{name}.py'))
    loader = config[f'{part}_dataloader']
    loader.update(num_workers=0, batch_size=2, pin_memory=False, persistent_workers=False)
    for dataset in loader.dataset.get('datasets', [loader.dataset]):
        dataset.data_root = str(root / 'coco')
    loader.pop('worker_init_fn', None)
    return config, Runner.build_dataloader(loader, seed=0)


def test_the_released_recipe_trains_on_train_val_and_visual_genome(root):
    config, loader = load(root, 'blip_vqav2', 'train')
    batches = list(loader)
    assert [tuple(batch['inputs'].shape) for batch in batches] == [(2, 1, 3, 480, 480)] * 2
    samples = {sample.question: sample for batch in batches for sample in batch['data_samples']}
    assert sorted(samples) == [
        'how many dogs 1, 2?',
        'how many people are there?',
        'is it red?',
        'what is on the table?',
    ]
    assert samples['how many people are there?'].weights == [0.2]
    assert config.val_dataloader is None and config.val_evaluator is None
    assert Config.fromfile(str(CONFIGS / 'blip_vqav2.py')).train_dataloader.batch_size == 16


def test_the_released_recipe_answers_the_test_questions_for_the_server(root, tmp_path):
    config, loader = load(root, 'blip_vqav2', 'test')
    (batch,) = loader
    assert loader.dataset.answer_list == ['yes', 'cup', '2', 'three']
    metric = METRICS.build(dict(config.test_evaluator, out_file=str(tmp_path / 'x.json')))
    metric.process(None, [dict(sample.to_dict(), pred_answer='cup') for sample in batch['data_samples']])
    assert metric.evaluate(1) == {'vqa_submission/questions': 1}


def test_the_held_out_recipe_validates_on_val(root):
    config, train = load(root, 'blip_vqav2_val', 'train')
    assert sorted(len(dataset) for dataset in train.dataset.datasets) == [1, 2]
    _, loader = load(root, 'blip_vqav2_val', 'val')
    (batch,) = loader
    metric = METRICS.build(config.val_evaluator)
    metric.process(None, [dict(sample.to_dict(), pred_answer='2') for sample in batch['data_samples']])
    assert metric.evaluate(1) == {'vqa/accuracy': pytest.approx(90)}
