"""Five layouts of chat files say the same; malformed ones are refused with what is wrong."""

import json
import re

import pytest

from tests.chat_layouts import CONTENTS, LAYOUTS, turns_of, written
from tests.workspace import ROOT
from vlpeft.chat import ChatError, check_turns, media_of, read_conversation, text_of

TURNS, IMAGES = CONTENTS['one image']


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('content', CONTENTS)
def test_layouts_say_the_same(layout, content, tmp_path):
    turns, images = CONTENTS[content]
    conversation = read_conversation(written(layout, turns, images, tmp_path))
    found, media = media_of(conversation)
    assert found == turns_of(turns)
    assert media['video'] == media['audio'] == []
    assert len(media['image']) == len(images)
    if layout != 'OpenAI':
        assert media['image'] == images
    if images:
        assert conversation.layout == layout


def test_query_response_and_history():
    record = dict(
        system='describe',
        history=[['<image>what ?', 'red']],
        query='and <image> this ?',
        response='blue',
        images=['a.png', 'b.png'],
    )
    conversation = read_conversation(record)
    turns, media = media_of(conversation)
    assert conversation.layout == 'ms-swift' and media['image'] == ['a.png', 'b.png']
    assert [turn['role'] for turn in turns] == ['system', 'user', 'assistant', 'user', 'assistant']
    assert turns[3]['content'] == [
        dict(type='text', text='and '),
        dict(type='image'),
        dict(type='text', text=' this ?'),
    ]
    assert [text_of(turn) for turn in turns] == ['describe', 'what ?', 'red', 'and  this ?', 'blue']


@pytest.mark.parametrize(
    'text, parts',
    [
        ('<image>what ?', ['image', 'what ?']),
        ('<image>\nwhat ?', ['image', 'what ?']),
        (' <image> \n what ?\n', ['image', 'what ?']),
        ('what ?\n<image>', ['what ?', 'image']),
        ('<image>\n<image>\nboth\n\n  indented', ['image', 'image', 'both\n\n  indented']),
        ('first:\n<image>\nsecond:\n<image>\nequal ?', ['first:\n', 'image', 'second:\n', 'image', 'equal ?']),
        ('a <image> b', ['a ', 'image', ' b']),
        ('<|vision_start|><|image_pad|><|vision_end|>what ?', ['image', 'what ?']),
        ('<video>what ?', ['video', 'what ?']),
        ('[IMG]what ?', ['image', 'what ?']),
        ('<audio>what ?', ['audio', 'what ?']),
        ('x < y > z <imagery>', ['x < y > z <imagery>']),
        ('', []),
    ],
)
def test_placeholders_become_parts(text, parts):
    (turn,) = read_conversation(dict(messages=[dict(role='user', content=text)])).turns
    found = [part['text'] if part['type'] == 'text' else part['type'] for part in turn['content']]
    assert found == parts
    (turn,) = read_conversation(dict(messages=[dict(role='user', content=[dict(type='text', text=text)])])).turns
    assert [part['text'] if part['type'] == 'text' else part['type'] for part in turn['content']] == parts


@pytest.mark.parametrize(
    'part, kind, source',
    [
        (dict(type='image'), 'image', None),
        (dict(type='image', text=None, index=0), 'image', None),
        (dict(type='image', image='a.png'), 'image', 'a.png'),
        (dict(type='image', path='a.png'), 'image', 'a.png'),
        (dict(type='image', url='a.png'), 'image', 'a.png'),
        (dict(type='image_url', image_url='data:image/png;base64,AA'), 'image', 'data:image/png;base64,AA'),
        (dict(type='image_url', image_url=dict(url='a.png', detail='low')), 'image', 'a.png'),
        (dict(type='video_url', video_url=dict(url='a.mp4')), 'video', 'a.mp4'),
        (dict(type='video', video='a.mp4'), 'video', 'a.mp4'),
    ],
)
def test_parts_may_hold_their_medium(part, kind, source):
    (turn,) = read_conversation(dict(messages=[dict(role='user', content=[part])])).turns
    assert turn['content'] == [dict(type=kind) if source is None else dict(type=kind, source=source)]


def test_media_in_the_turns_and_beside_them_keep_their_order():
    parts = [dict(type='image', image='a.png'), dict(type='image'), dict(type='text', text='equal ?')]
    _, media = media_of(read_conversation(dict(messages=[dict(role='user', content=parts)], images=['b.png'])))
    assert media['image'] == ['a.png', 'b.png']


def test_media_that_no_turn_shows_stand_first_where_this_is_asked():
    record = dict(written('ms-swift', [('system', 'x', 0), ('user', 'what ?', 0)], []), images=['a.png', 'b.png'])
    turns, media = media_of(read_conversation(record), put_first=True)
    assert turns[1]['content'] == [dict(type='image'), dict(type='image'), dict(type='text', text='what ?')]
    assert media['image'] == ['a.png', 'b.png']
    some = dict(written('ms-swift', [('user', 'what ?', 1)], []), images=['a.png', 'b.png'])
    with pytest.raises(ChatError, match='1 placeholder for images and the record lists 2 images'):
        media_of(read_conversation(some), put_first=True)


@pytest.mark.parametrize('layout', LAYOUTS[:4])
@pytest.mark.parametrize('shown, listed', [(1, 0), (0, 1), (2, 1), (1, 2)])
def test_placeholders_are_counted_against_media(layout, shown, listed):
    record = written(layout, [('user', 'what ?', shown), ('assistant', 'red', 0)], ['a.png'] * listed)
    plural = 's' * (shown != 1)
    with pytest.raises(ChatError, match=f'the turns have {shown} placeholder{plural} for images and the record lists '):
        media_of(read_conversation(record))


def test_answers_may_be_left_out_of_the_loss():
    said = [dict(role='assistant', content='x', **more) for more in ({}, dict(loss=True), dict(loss=False))]
    said += [dict(role='assistant', content='x', weight=0), dict(role='assistant', content='x', weight=1)]
    found = [turn.get('loss', True) for turn in read_conversation(dict(messages=said)).turns]
    assert found == [True, True, False, False, True]


@pytest.mark.parametrize(
    'record, message',
    [
        (dict(messages=[]), "'messages' must be a list of turns, not empty"),
        (dict(messages=['x']), r"messages\[0\]: expected an object with 'from' and 'value'"),
        (dict(messages=[dict(role='user')]), r"messages\[0\]: needs 'from' and 'value'.*keys found: role"),
        (
            dict(messages=[dict(role='tool', content='x')]),
            r"messages\[0\]: there is no role 'tool'; roles are human, u",
        ),
        (dict(messages=[dict(role='user', content=[3])]), r'messages\[0\]: a part must be'),
        (dict(messages=[dict(role='user', content=[dict(type='file')])]), r'messages\[0\]: a part must be'),
        (dict(messages=[dict(role='user', content=[dict(type='image_url')])]), "a part of type 'image_url' needs"),
        (dict(messages=[dict(role='user', content='x', loss='no')]), r"messages\[0\]: 'loss' .* must be true or false"),
        (dict(messages=[dict(role='assistant', content='x', tool_calls=[1])]), "'tool_calls' is not read"),
        (dict(messages=[dict(role='user', content='x')], conversations=[]), "'conversations' and 'messages' exclude"),
        (dict(messages=[dict(role='system', content='x')], system='y'), "'system' and a system turn in 'messages'"),
        (dict(messages=[dict(role='user', content='x')], image='a', images=['a']), "'image' and 'images' exclude"),
        (dict(messages=[dict(role='user', content='x')], images=[3]), "'images' must give the path of each image"),
        (dict(query='x', response='y', history=['z']), "'history' must be a list of pairs"),
    ],
)
def test_malformed_conversations(record, message):
    with pytest.raises(ChatError, match=message):
        read_conversation(record)


@pytest.mark.parametrize(
    'turns, message',
    [
        ([('assistant', 'x', 0)], 'the user first.*the order is assistant'),
        ([('user', 'x', 0), ('user', 'y', 0)], 'must speak in turn.*the order is user, user'),
        ([('user', 'x', 0), ('system', 'y', 0)], 'must speak in turn'),
        ([('system', 'y', 0)], 'must speak in turn'),
        ([('user', '', 0)], r'turn 0 \(user\) says nothing'),
        ([('user', 'x', 0), ('assistant', '', 0)], r'turn 1 \(assistant\) says nothing'),
        ([('user', 'x', 0), ('assistant', 'y', 1)], r'turn 1 \(assistant\) shows media'),
    ],
)
def test_turns_that_no_model_can_be_asked(turns, message):
    found = turns_of(turns)
    for turn in found:
        turn['content'] = [part for part in turn['content'] if part.get('text') != '']
    with pytest.raises(ChatError, match=message):
        check_turns(found)
    check_turns(turns_of(CONTENTS['several turns'][0]))


def test_records_without_turns_are_none():
    assert read_conversation(dict(image='a.png', question='x', answer='y', query='z')) is None


def test_the_page_shows_records_that_say_the_same():
    page = (ROOT / 'docs/own_data/chat.md').read_text()
    shown = dict(re.findall(r'^\| ([\w-]+) \| `(\{.*\})` \|$', page, re.M))
    assert list(shown) == list(LAYOUTS[:4])
    for layout, text in shown.items():
        conversation = read_conversation(json.loads(text))
        turns, media = media_of(conversation)
        assert conversation.layout == layout and media['image'] == ['a.jpg']
        assert turns == turns_of([('user', 'What is it?', 1), ('assistant', 'A cat.', 0)])
