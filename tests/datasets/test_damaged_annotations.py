"""Annotation files damaged at random, of every set: each is read, or refused with the file and the line."""

import json
import random
import re

import pytest

from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

KARPATHY = dict(split='train', filepath='val2014', filename='a.jpg', sentences=[dict(raw='a cat'), dict(raw='cats')])
VQA = dict(img_id='COCO_val2014_000000000042', question_id=7, sent='what?', label={'cat': 1.0, 'dog': 0.3})
VALUE = dict(vid_name='a', ts='1-2', qid=3, q='who?', a0='x', a1='y', answer_idx=1)
OFFICIAL = dict(data_subtype='val2014', questions=[dict(image_id=1, question='what?', question_id=n) for n in range(3)])
MSRVTT = dict(videos=[dict(video_id='v1', split='train')], sentences=[dict(video_id='v1', caption='a cat')])
# Type, its arguments, and the good content of its file: a list of records, or an object.
SETS = dict(
    karpathy=('KarpathyRetrieval', dict(split='train'), dict(images=[KARPATHY] * 3)),
    blip=('KarpathyCaption', {}, [dict(image='a.jpg', caption=['x', 'y'])] * 3),
    coco=(
        'COCOCaption',
        {},
        dict(
            images=[dict(id=n, file_name=f'{n}.jpg') for n in range(3)],
            annotations=[dict(image_id=n, caption='a cat') for n in range(3)],
        ),
    ),
    vqa_blip=(
        'VQAv2',
        {},
        [dict(question='q', question_id=n, image='a.jpg', dataset='vqa', answer=['x'] * 10) for n in range(3)],
    ),
    vqa_official=('VQAv2', dict(test_mode=True), OFFICIAL),
    vqa_vlt5=('VQAv2', {}, [dict(VQA, question_id=n) for n in range(3)]),
    gqa=('GQA', {}, [dict(VQA, question_id=str(n)) for n in range(3)]),
    nlvr2=(
        'NLVR2',
        {},
        [dict(identifier=f'train-1-{n}-0', img0='x', img1='y', sent='true?', label=1, directory=3) for n in range(3)],
    ),
    video_qa=('VideoQA', {}, [dict(video_id=n, question='q', answer='x', id=n) for n in range(3)]),
    video_caption=('VideoCaption', {}, [dict(video='a.mp4', caption=['x', 'y'])] * 3),
    audiocaps=('AudioCaps', {}, [dict(audio='a.wav', caption=['x'])] * 3),
    didemo=('DiDeMoRetrieval', {}, [dict(video='a.mp4', description='x')] * 3),
    msrvtt=('MSRVTTRetrieval', dict(split='train_full'), MSRVTT),
    msrvtt_lines=('MSRVTTRetrieval', {}, [dict(clip_name='v1', caption='x')] * 3),
    value_questions=(
        'VALUEQuestions',
        dict(subtitles='sub.jsonl', num_choices=2),
        [dict(VALUE, qid=n) for n in range(3)],
    ),
    value_captions=(
        'VALUECaptions',
        dict(subtitles='sub.jsonl'),
        [dict(vid_name='a', clip_id=n, ts=[1, 2], descs=[dict(desc='x')]) for n in range(3)],
    ),
    subtitles=(
        'VALUEQuestions',
        dict(subtitles='own.jsonl', num_choices=2),
        [dict(vid_name='a', sub=[dict(text='x')])],
    ),
    retrieval=('JSONLRetrieval', {}, [dict(image='a.png', caption='x')] * 3),
    caption=('JSONLCaption', {}, [dict(image='a.png', caption='x')] * 3),
    questions=('JSONLQA', {}, [dict(image='a.png', question='q', answer={'x': 1})] * 3),
)
VALUES = [
    None,
    True,
    -1,
    0,
    7,
    1.5,
    1e400,
    float('nan'),
    10**400,
    '',
    ' ',
    'x',
    'a\0',
    '../../x',
    'http://x',
    'C:\\x',
    [],
    ['x'],
    [[]],
    [None],
    {},
    dict(x=1),
    dict(x='y'),
    [3],
    [dict(answer='x')],
    '\ud800',
]
# What is true of a whole file and has no line.
WHOLE = re.compile(r'holds no annotations|has no subtitles of the videos')


def spots(content):
    """(container, key) of every value within."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key
        if isinstance(value, (dict, list)):
            yield from spots(value)


def damaged(draw, content, is_lines):
    """Text of the file with one or two values exchanged or removed, or some characters or bytes."""
    content = json.loads(json.dumps(content))
    for _ in range(draw.choice([0, 1, 1, 2])):
        found = list(spots(content))
        if not found:
            break
        holder, key = draw.choice(found)
        if draw.random() < 0.3:
            del holder[key]
        else:
            holder[key] = draw.choice(VALUES)
    indent = None if is_lines else draw.choice([None, 2])
    text = '\n'.join(map(json.dumps, content)) if is_lines else json.dumps(content, indent=indent)
    if draw.random() < 0.35 and text:
        at = draw.randrange(len(text))
        text = (
            text[:at]
            + draw.choice(['', '"', '{', '}', '[', ']', ',', ':', '\\', '\n', 'x', '\0'])
            + text[at + draw.randint(0, 3) :]
        )
    data = text.encode()
    if draw.random() < 0.1:
        at = draw.randrange(len(data) + 1)
        data = data[:at] + bytes([draw.randrange(128, 256)]) + data[at:]
    return data


@pytest.mark.parametrize('name', SETS)
def test_every_complaint_names_file_and_line(tmp_path, name):
    kind, arguments, good = SETS[name]
    draw = random.Random(name)
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'audios').mkdir()
    (tmp_path / 'sub.jsonl').write_text(json.dumps(dict(vid_name='a', sub=[dict(text='x')])))
    is_lines_only = name.startswith('msrvtt_lines') or name == 'subtitles'
    ann_file = 'questions.jsonl' if name == 'subtitles' else 'own.jsonl' if is_lines_only else 'own.json'
    (tmp_path / 'questions.jsonl').write_text(json.dumps(VALUE))
    # MMEngine's serialisation collects garbage, which takes longer than all else.
    config = dict(type=kind, data_root=str(tmp_path), ann_file=ann_file, serialize_data=False, **arguments)
    file = tmp_path / ('own.jsonl' if is_lines_only else 'own.json')
    file.write_text('\n'.join(map(json.dumps, good)) if is_lines_only else json.dumps(good))
    assert len(DATASETS.build(config))
    refused = 0
    for _ in range(150):
        is_lines = (
            is_lines_only
            or isinstance(good, list)
            and draw.random() < 0.5
            and name not in ('blip', 'vqa_blip', 'vqa_vlt5', 'didemo')
        )
        data = damaged(draw, good, is_lines)
        file.write_bytes(data)
        try:
            DATASETS.build(dict(config, test_mode=arguments.get('test_mode', draw.random() < 0.5)))
        except AnnotationError as error:
            assert re.match(rf'{re.escape(str(file))}:\d+: ', str(error)) or WHOLE.search(str(error)), (data, error)
            refused += 1
    assert 40 < refused < 150
