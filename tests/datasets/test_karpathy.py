"""COCO and Flickr30K in BLIP's and in Karpathy's layout."""

import json

import pytest

from tests import media
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

# (split in Karpathy's file, folder, file, number of captions)
COCO = [
    ('test', 'val2014', 'COCO_val2014_000000000001.jpg', 6),
    ('restval', 'val2014', 'COCO_val2014_000000000002.jpg', 5),
    ('train', 'train2014', 'COCO_train2014_000000000003.jpg', 5),
    ('val', 'val2014', 'COCO_val2014_000000000004.jpg', 5),
    ('test', 'val2014', 'COCO_val2014_000000000005.jpg', 5),
]
FLICKR = [(split, None, f'{number}.jpg', 5) for number, split in enumerate(['train', 'test', 'val', 'train', 'test'])]
BLIP_NAMES = dict(coco='coco_karpathy_{}.json', flickr30k='flickr30k_{}.json')


def captions(name, count):
    return [f'Text {number} of {name}.' for number in range(count)]


def write_single(path, images):
    """Karpathy's file, with the fields that the real one has."""
    entries = []
    for number, (split, folder, name, count) in enumerate(images):
        sentences = [
            dict(tokens=text.lower().split(), raw=text, imgid=number, sentid=10 * number + i)
            for i, text in enumerate(captions(name, count))
        ]
        entry = dict(sentids=[], imgid=number, sentences=sentences, split=split, filename=name)
        entries.append(entry if folder is None else dict(entry, filepath=folder, cocoid=number))
    path.write_text(json.dumps(dict(images=entries, dataset='any')))


def write_blip(folder, pattern, images):
    """BLIP's three files: training images once for each caption, the others once with all captions."""
    lists = dict(train=[], val=[], test=[])
    for number, (split, below, name, count) in enumerate(images):
        image = f'{below or "flickr30k-images"}/{name}'
        if split in ('train', 'restval'):
            lists['train'] += [
                dict(caption=text, image=image, image_id=f'coco_{number}') for text in captions(name, count)
            ]
        else:
            lists[split].append(dict(image=image, caption=captions(name, count)))
    for split, entries in lists.items():
        (folder / pattern.format(split)).write_text(json.dumps(entries))


@pytest.fixture(scope='module', params=[('coco', COCO), ('flickr30k', FLICKR)], ids=['coco', 'flickr30k'])
def layout(request, tmp_path_factory):
    """Folder, name of the set, images."""
    name, images = request.param
    folder = tmp_path_factory.mktemp(name)
    write_single(folder / f'dataset_{name}.json', images)
    write_blip(folder, BLIP_NAMES[name], images)
    for number, (_, below, file, _) in enumerate(images):
        path = folder / (below or 'flickr30k-images') / file
        path.parent.mkdir(exist_ok=True)
        media.write_image(path, seed=number)
    return folder, name, images


def build(root, ann_file, **kwargs):
    return DATASETS.build(dict(type='KarpathyRetrieval', data_root=str(root), ann_file=ann_file, **kwargs))


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_both_layouts_are_the_same_set_and_restval_is_trained_on(layout, split):
    folder, name, images = layout
    expected = [
        (f'{below or "flickr30k-images"}/{file}', captions(file, count))
        for part, below, file, count in images
        if part == split or (part, split) == ('restval', 'train')
    ]
    for ann_file, part in ((f'dataset_{name}.json', split), (BLIP_NAMES[name].format(split), None)):
        test = build(folder, ann_file, split=part, test_mode=True)
        assert test.clip_names == [image for image, _ in expected]
        assert test.texts == [text for _, texts in expected for text in texts]
        assert test.text_to_clip == [number for number, (_, texts) in enumerate(expected) for _ in texts]
        train = build(folder, ann_file, split=part)
        assert [
            (info['name'], info['text'], info['clip_id'], info['path'], info['media'])
            for info in map(train.get_data_info, range(len(train)))
        ] == [
            (image, text, number, str(folder / image), 'image')
            for number, (image, texts) in enumerate(expected)
            for text in texts
        ]


def test_an_image_is_a_clip_of_one_frame(layout):
    folder, name, images = layout
    pipeline = [dict(type='LoadClip', num_frames=8), dict(type='CleanText'), dict(type='PackSample')]
    item = build(folder, f'dataset_{name}.json', split='test', test_mode=True, pipeline=pipeline)[1]
    assert item['inputs'].shape == (1, 3, 48, 80)
    assert item['data_samples'].texts[0] == f'text 0 of {images[4][2]}'.replace('.', ' ').lower()
    first = images[[part for part, *_ in images].index('test')][3]
    assert item['data_samples'].text_ids == list(range(first, first + 5))


IMAGE = dict(filename='a.jpg', split='val', sentences=[dict(raw='x')])


@pytest.mark.parametrize(
    'content, split, message',
    [
        (
            [dict(image='a.jpg', caption='x')],
            'val',
            "own.json:1: is one split by itself; set split=None instead of 'val'",
        ),
        (dict(images=[IMAGE]), None, 'own.json:1: holds all splits; set split to one of train, val, test'),
        (dict(images=[IMAGE]), 'test', 'holds no annotations'),
        (dict(annotations=[]), 'val', "own.json:1: expected a list 'images'"),
        ('text', None, 'own.json:1: expected a list of objects'),
        (
            [dict(image='a.jpg', caption='x'), dict(caption='x')],
            None,
            r"own.json:\d+: entry\[1\]: 'image' must be a text",
        ),
        ([dict(image='a.jpg', caption=[])], None, r'own.json:\d+: entry\[0\]: expected a caption'),
        ([dict(image='a.jpg', caption=['x', 3])], None, r'own.json:\d+: entry\[0\]: expected a caption'),
        ([dict(image='a.jpg', captions='x')], None, r'own.json:\d+: entry\[0\]: expected a caption'),
        (
            [dict(image='../a.jpg', caption='x')],
            None,
            r"own.json:\d+: entry\[0\]: '\.\./a.jpg' lies outside the data root",
        ),
        (dict(images=[IMAGE, dict(split='val')]), 'val', r"own.json:\d+: images\[1\]: 'filename' must be a text"),
        (dict(images=[dict(IMAGE, sentences=None)]), 'val', r"own.json:\d+: images\[0\]: expected a list 'sentences'"),
        (dict(images=[dict(IMAGE, sentences=[{}])]), 'val', r'own.json:\d+: images\[0\]: expected a caption'),
        (
            dict(images=[dict(IMAGE, filepath='../..')]),
            'val',
            r'own.json:\d+: images\[0\]: .* lies outside the data root',
        ),
    ],
)
def test_broken_files_are_named(tmp_path, content, split, message):
    (tmp_path / 'own.json').write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=message):
        build(tmp_path, 'own.json', split=split)


def test_an_unknown_split_lists_the_valid_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown Karpathy split 'restval'; valid: train, val, test"):
        build(tmp_path, 'dataset_coco.json', split='restval')
