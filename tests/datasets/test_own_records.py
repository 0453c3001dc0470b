"""Own data as others write it: lists and lines, encodings, foreign keys, conversations, images, annotators."""

import codecs
import json
import random

import pytest
from mmengine.logging import MMLogger

from tests import media
from vlpeft.datasets import AnnotationError
from vlpeft.datasets.own_keys import is_near_miss
from vlpeft.datasets.readers import ClipError
from vlpeft.registry import DATASETS

CAPTIONS = [dict(image='a.png', caption='a café', id=1), dict(image='b.png', caption=['x', 'y'], id=2)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('own')
    for name in 'ab':
        media.write_image(folder / f'{name}.png')
    return folder


@pytest.fixture
def log(caplog, monkeypatch):
    logger = MMLogger.get_current_instance()  # stands outside of the hierarchy that caplog listens to
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])
    return caplog


def build(root, content, kind='JSONLCaption', name='own.json', **kwargs):
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    (root / name).write_bytes(content)
    return DATASETS.build(dict(type=kind, ann_file=str(root / name), serialize_data=False, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def lines(records):
    return ''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in records)


LAYOUTS = dict(
    lines=lines(CAPTIONS),
    list=json.dumps(CAPTIONS),
    pretty=json.dumps(CAPTIONS, indent=4),
    spaced='\n\n ' + json.dumps(CAPTIONS, indent='\t').replace('\n', '\n\n') + '\n',
)
ENCODINGS = dict(
    utf8=(b'', 'utf-8'),
    utf8_mark=(codecs.BOM_UTF8, 'utf-8'),
    utf16le=(codecs.BOM_UTF16_LE, 'utf-16-le'),
    utf16be=(codecs.BOM_UTF16_BE, 'utf-16-be'),
    utf32le=(codecs.BOM_UTF32_LE, 'utf-32-le'),
)


@pytest.mark.parametrize('name', ['own.json', 'own.jsonl', 'own.txt'])
@pytest.mark.parametrize('break_', ['\n', '\r\n'])
@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_lists_and_lines_are_read_alike(root, layout, encoding, break_, name):
    mark, codec = ENCODINGS[encoding]
    text = LAYOUTS[layout].replace('caf\\u00e9', 'café').replace('\n', break_)
    dataset = build(root, mark + text.encode(codec), name=name)
    assert [(info['path'], info['caption']) for info in infos(dataset)] == [
        (str(root / 'a.png'), 'a café'),
        (str(root / 'b.png'), 'x'),
        (str(root / 'b.png'), 'y'),
    ]


@pytest.mark.parametrize(
    'content, message',
    [
        (lines(CAPTIONS).encode('latin-1'), r'own.json:1: not UTF-8 \(byte 0xe9: .*save the file as UTF-8'),
        (('\n\n' + lines(CAPTIONS)).encode('latin-1'), r'own.json:3: not UTF-8'),
        (lines(CAPTIONS).encode('utf-16-le'), 'own.json:1: not UTF-8|own.json:1: holds zero bytes'),
        (
            lines([dict(CAPTIONS[1])]).encode('utf-16-le'),
            'own.json:1: holds zero bytes: no text, or UTF-16 without a byte',
        ),
        (codecs.BOM_UTF16_LE + lines(CAPTIONS).encode('utf-16-le') + b'\x00', 'own.json:3: not UTF-16-LE'),
        (b'\x89PNG\r\n', 'own.json:1: not UTF-8'),
        (
            '[{"image": "a.png", "caption": "x"},\n {"image": "b.png"\n "caption": "y"}]',
            'own.json:3: not valid JSON .*delimiter',
        ),
        (
            '[\n{"image": "a.png", "caption": "x"}\n{"image": "b.png", "caption": "y"}]',
            "own.json:3: .*expected ',' or ']'",
        ),
        ('[\n{"image": "a.png", "caption": "x"},\n', 'own.json:3: not valid JSON'),
        ('[{"image": "a.png", "caption": "x"}]\n{"image"', 'own.json:2: not valid JSON .*more text behind the end'),
        (
            '[\n{"image": "a.png", "caption": "x"},\n\n {"image": "b.png"}]',
            r"own.json:4: entry\[1\]: 'caption' must be",
        ),
        ('[\n{"image": "a.png", "caption": "x"},\n3]', r'own.json:3: entry\[1\]: expected an object {…}, got a number'),
        (
            '{\n"images": [],\n"annotations": []\n}',
            'own.json:1: expected a list of objects, or an object a line; got an '
            'object with the keys images, annotations',
        ),
        ('{"image": "a.png", "caption": "x"} {"image": "b.png", "caption": "x"}', 'own.json:1: .*more text behind'),
        ('{"image": "a.png", "caption": "x", "end": ' + '1' * 5000 + '}', 'own.json:1: not valid JSON'),
        ('[' * 100000, 'own.json:1: not valid JSON .nested too deeply'),
        (r'[{"image": "a.png",' '\n' r'"caption": "\ud83d"}]', 'own.json:1: not valid JSON .*half of a pair'),
        ('"text"', 'own.json:1: expected a list of objects, got a text'),
    ],
)
def test_what_is_no_annotation_file_is_named_by_file_and_line(root, content, message):
    with pytest.raises(AnnotationError, match=message):
        build(root, content)


def test_a_pair_of_halves_is_a_character(root):
    assert infos(build(root, r'{"image": "a.png", "caption": "\ud83d\ude00"}'))[0]['caption'] == '😀'


@pytest.mark.parametrize('kind', ['JSONLRetrieval', 'JSONLCaption', 'JSONLQA'])
def test_foreign_keys_cost_one_line_in_the_log(root, log, kind):
    records = [dict(image='a.png', caption='x', question='q', answer='y', image_id=n, url='http://x') for n in range(3)]
    assert len(build(root, records, kind)) == 3
    assert log.text.count('keys that are not read') == 1
    assert 'own.json: keys that are not read, with the number of records: ' in log.text
    assert "'image_id' (3)" in log.text and "'url' (3)" in log.text
    assert ("'question' (3)" in log.text) == (kind != 'JSONLQA')
    assert ("'caption' (3)" in log.text) == (kind == 'JSONLQA')


@pytest.mark.parametrize(
    'key, known, near',
    [
        ('captoin', 'caption', True),
        ('cpation', 'caption', True),
        ('captions', 'caption', True),
        ('Caption', 'caption', True),
        ('capion', 'caption', True),
        ('capxion', 'caption', True),
        ('caption ', 'caption', True),
        ('ends', 'end', True),
        ('action', 'caption', False),
        ('option', 'caption', False),
        ('image_id', 'image', False),
        ('video_id', 'video', False),
        ('frame', 'image', False),
        ('idx', 'id', False),
        ('stop', 'start', False),
        ('tac', 'cat', False),
    ],
)
def test_near_misses(key, known, near):
    assert is_near_miss(key, known) == near


@pytest.mark.parametrize(
    'kind, key',
    [
        ('JSONLRetrieval', 'imgae'),
        ('JSONLCaption', 'captoin'),
        ('JSONLQA', 'qestion'),
        ('JSONLQA', 'conversation'),
        ('JSONLRetrieval', 'start '),
    ],
)
def test_a_near_miss_is_an_error_and_never_passed_over(root, kind, key):
    record = dict(image='a.png', caption='x', question='q', answer='y')
    with pytest.raises(AnnotationError, match=f"own.json:1: entry.0.: unknown key '{key}', is '.*' meant"):
        build(root, [{**record, key: 'x'}], kind)


LLAVA = dict(
    id='7',
    image='a.png',
    conversations=[
        {'from': 'human', 'value': '<image>\nWhat is it?'},
        {'from': 'gpt', 'value': 'A cat.'},
        {'from': 'human', 'value': 'Which colour?\n<image>'},
        {'from': 'gpt', 'value': 'Red.'},
    ],
)
MESSAGES = dict(
    images=['a.png'],
    messages=[
        dict(role='system', content='Be short.'),
        dict(role='user', content=[dict(type='image'), dict(type='text', text='Which colour?')]),
        dict(role='assistant', content='Red.'),
    ],
)
QWEN = dict(
    image=['a.png'],
    messages=[dict(role='user', content='<|image_pad|>Which colour?'), dict(role='assistant', content=' Red. ')],
)


@pytest.mark.parametrize('record', [LLAVA, MESSAGES, QWEN])
def test_conversations_are_questions_answers_and_captions(root, record):
    (question,) = infos(build(root, [record], 'JSONLQA', test_mode=True))
    assert (question['question'], question['gold']) == ('Which colour?', ['Red.'])
    assert question['path'] == str(root / 'a.png')
    assert question['question_id'] == record.get('id', 0)
    (trained,) = infos(build(root, [record], 'JSONLQA'))
    assert (trained['answers'], trained['weights']) == (['Red.'], [1.0])
    for kind, key in (('JSONLCaption', 'caption'), ('JSONLRetrieval', 'text')):
        (described,) = infos(build(root, [record], kind))
        assert described[key] == 'Red.' and described['path'] == str(root / 'a.png')


def test_unread_turns_are_counted_in_the_log(root, log):
    build(root, [LLAVA, QWEN, MESSAGES], 'JSONLCaption')
    assert 'own.json: 2 conversations have further turns' in log.text


def turns(*pairs, **others):
    return dict(image='a.png', conversations=[{'from': role, 'value': text} for role, text in pairs], **others)


@pytest.mark.parametrize(
    'record, message',
    [
        (turns(), "'conversations' must be a list of turns, not empty"),
        (dict(image='a.png', messages='x'), "'messages' must be a list of turns"),
        (dict(image='a.png', messages=[3]), r"messages\[0\]: expected an object with 'from' and 'value'"),
        (
            dict(image='a.png', messages=[dict(role='user')]),
            r"messages\[0\]: needs 'from' and 'value'.*keys found: role",
        ),
        (turns(('human', 'x')), "'conversations' needs a turn of the assistant .* roles found: human"),
        (turns(('human', 'x'), ('gpt', '<image>')), "'conversations' needs a turn of the assistant .* with a text"),
        (turns(('gpt', 'x')), 'no turn of the user asks'),
        (turns(('human', '<image>'), ('gpt', 'x')), 'no turn of the user asks'),
        (turns(('human', 'q'), ('gpt', 'x'), answer='y'), "'conversations' and 'answer' exclude each other"),
        (dict(LLAVA, messages=[]), "'conversations' and 'messages' exclude each other"),
        (dict(MESSAGES, image='a.png'), "'image' and 'images' exclude each other"),
        (dict(MESSAGES, images=[]), "expected one of 'video' and 'image' with a path; keys found: messages, image"),
        (dict(messages=MESSAGES['messages']), "expected one of 'video' and 'image' with a path; keys found: messages"),
    ],
)
def test_malformed_conversations(root, record, message):
    with pytest.raises(AnnotationError, match=rf'own.json:3: entry\[1\]: {message}'):
        build(root, '[\n' + json.dumps(LLAVA) + ',\n' + json.dumps(record) + ']', 'JSONLQA')


def test_answers_of_ten_annotators(root):
    given = ['red'] * 6 + ['dark red'] * 3 + ['blue']
    for answers in (given, [dict(answer=text, answer_id=n, answer_confidence='yes') for n, text in enumerate(given)]):
        record = dict(image='a.png', question='Which?', answers=answers)
        (test,) = infos(build(root, [record], 'JSONLQA', test_mode=True))
        assert test['gold'] == given
        (train,) = infos(build(root, [record], 'JSONLQA'))
        assert dict(zip(train['answers'], train['weights'])) == pytest.approx(
            {'red': 0.6, 'dark red': 0.3, 'blue': 0.1}
        )
    for answers in ('red', [], [''], [3], [dict(text='x')], {'red': 1}):
        with pytest.raises(AnnotationError, match="own.json:1: entry.0.: 'answers' must be a list of the annotators'"):
            build(root, [dict(record, answers=answers)], 'JSONLQA')
    with pytest.raises(AnnotationError, match="'answer' and 'answers' exclude each other"):
        build(root, [dict(record, answer='x')], 'JSONLQA')
    with pytest.raises(AnnotationError, match="several annotators is 'answers'"):
        build(root, [dict(image='a.png', question='Which?', answer=['x'])], 'JSONLQA')
    for score in (float('nan'), 10**400, True, '1', 0, -1):
        with pytest.raises(AnnotationError, match="the score of 'x' must be a number above 0"):
            build(root, [dict(image='a.png', question='Which?', answer=dict(x=score))], 'JSONLQA')


@pytest.mark.parametrize('kind, said', [('JSONLRetrieval', 'texts'), ('JSONLCaption', 'references')])
@pytest.mark.parametrize(
    'first, second, same',
    [
        (3600.123, 3600.124, False),
        (12345.67, 12345.71, False),
        (1e6 + 0.25, 1e6 + 0.5, False),
        (1e-5, 2e-5, False),
        (3600.5, 3600.50, True),
        (7200, 7200.0, True),
    ],
)
def test_ranges_late_in_a_long_video_stay_apart(root, kind, said, first, second, same):
    records = [
        dict(video='talk.mp4', start=start, end=2e6, caption=text) for start, text in ((first, 'x'), (second, 'y'))
    ]
    found = [info[said] for info in infos(build(root, records, kind, test_mode=True))]
    assert found == ([['x', 'y']] if same else [['x'], ['y']])
    ends = [dict(video='talk.mp4', end=end, caption=text) for end, text in ((first, 'x'), (second, 'y'))]
    assert len(build(root, ends, kind, test_mode=True)) == (1 if same else 2)


@pytest.mark.parametrize('kind', ['JSONLRetrieval', 'JSONLCaption', 'JSONLQA'])
def test_columns_that_a_record_lacks_are_null(root, kind):
    """As tables of images and videos are written (pandas, Hugging Face datasets)."""
    absent = dict.fromkeys(('video', 'images', 'conversations', 'messages', 'start', 'end', 'id', 'answers', 'split'))
    record = dict(image='a.png', caption='x', question='q', answer='y')
    assert infos(build(root, [{**absent, **record}], kind)) == infos(build(root, [record], kind))
    with pytest.raises(AnnotationError, match='own.json:1: .*keys found: '):
        build(root, [{**record, **dict.fromkeys(('caption', 'question'))}], kind)


def test_ids_of_two_types_are_named_by_their_lines(root):
    records = [dict(image='a.png', question='q', answer='x', id=number) for number in (1, 2, '3')]
    with pytest.raises(AnnotationError, match=r"own.json:3: question_id '3' beside 1 at .*own.json:1"):
        build(root, lines(records), 'JSONLQA', test_mode=True)


def test_several_images_are_one_sample_where_the_pipeline_reads_them(root):
    steps = [
        dict(type='LoadImages', size=8),
        dict(type='ComposeText', template='{question}'),
        dict(type='PackSample', task='vqa'),
    ]
    record = dict(image=['a.png', 'b.png'], question='same?', answer='yes')
    item = build(root, [record], 'JSONLQA', test_mode=True, pipeline=steps)[0]
    assert item['inputs'].shape == (2, 3, 8, 8) and item['data_samples'].name == 'a.png b.png'
    with pytest.raises(ClipError, match='LoadClip reads one file'):
        build(root, [record], 'JSONLQA', test_mode=True, pipeline=[dict(type='LoadClip')])[0]
    (test,) = infos(build(root, [dict(record, caption='x')], test_mode=True))
    assert test['names'] == ['a', 'b'] and test['paths'] == [str(root / 'a.png'), str(root / 'b.png')]
    with pytest.raises(AnnotationError, match="own.json:1: entry.0.: 'image' lists 2 files, a sample of this set"):
        build(root, [dict(record, caption='x')], 'JSONLRetrieval')


@pytest.mark.parametrize(
    'path, message',
    [
        ('https://example.org/a.png', "'https://example.org/a.png' is a URL, and nothing is downloaded"),
        ('s3://bucket/a.png', 'is a URL'),
        ('data:image/png;base64,' + 'A' * 9000, 'is a URL'),
        ('sub\\a.png', r"'sub\\a.png' is a path of Windows; write folders with '/'"),
        ('C:\\x\\a.png', 'is a path of Windows'),
        ('C:/x/a.png', 'is a path of Windows'),
        ('a\0.png', 'holds a zero byte'),
    ],
)
@pytest.mark.parametrize('kind', ['JSONLRetrieval', 'JSONLCaption', 'JSONLQA', 'COCOCaption', 'KarpathyCaption'])
def test_paths_that_are_none(root, kind, path, message):
    record = dict(image=path, caption='x', question='q', answer='y')
    content = dict(images=[dict(id=1, file_name=path)]) if kind == 'COCOCaption' else [record]
    with pytest.raises(AnnotationError, match=r'own.json:1: (entry|images)\[0\]: .*') as caught:
        build(root, content, kind, test_mode=True)
    assert caught.match(message) and len(str(caught.value)) < 600


def test_a_file_may_be_called_anything(root):
    media.write_image(root / 'odd\\name.png')
    assert infos(build(root, [dict(image='odd\\name.png', caption='x')]))[0]['path'] == str(root / 'odd\\name.png')
    # Not there, and no URL either: the reader reports it.
    assert build(root, [dict(image='talk: one.png', caption='x')]).get_data_info(0)['name'] == 'talk: one'


@pytest.mark.parametrize('kind', ['JSONLRetrieval', 'JSONLCaption', 'JSONLQA'])
def test_every_complaint_names_file_and_line(root, kind):
    """Records damaged at random: each is read, or refused with the line of the damage."""
    draw = random.Random(0)
    record = dict(image='a.png', caption=['x', 'y'], question='q', answer='z', id=1, question_id=2)
    values = [
        None,
        True,
        -1,
        1e400,
        float('nan'),
        10**400,
        '',
        ' ',
        'x',
        'a\0',
        '../x',
        'http://x',
        [],
        ['x'],
        [[]],
        {},
        dict(x=1),
        dict(x='y'),
        [3],
        [dict(answer='x')],
    ]
    keys = [
        *record,
        'video',
        'audio',
        'images',
        'answers',
        'conversations',
        'messages',
        'start',
        'end',
        'captoin',
        'new',
    ]
    refused = 0
    for _ in range(400):
        broken = {key: value for key, value in record.items() if draw.random() < 0.9}
        for key in draw.sample(keys, draw.randint(1, 3)):
            broken[key] = draw.choice(values)
        text = json.dumps(broken)
        if draw.random() < 0.2:
            at = draw.randrange(len(text))
            text = text[:at] + draw.choice('"{}[],:\\x') + text[at + draw.randint(0, 2) :]
        good = dict(image='b.png', caption='x', question='q', answer='z', id=0)
        is_list = draw.random() < 0.5
        whole = f'[{json.dumps(good)},\n\n{text}]' if is_list else f'{json.dumps(good)}\n\n{text}\n'
        try:
            build(root, whole, kind, test_mode=draw.random() < 0.5)
        except AnnotationError as error:
            assert str(error).startswith(f'{root / "own.json"}:3: '), (text, error)
            refused += 1
    assert 200 < refused < 400
