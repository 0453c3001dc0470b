"""PackChat and ToChat: options, lengths, other sets as conversations."""

import functools
import json
import pickle
import tempfile

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from tests import tiny_vlms
from tests.chat_layouts import CONTENTS, turns_of, written
from vlpeft.chat import join
from vlpeft.datasets import UnreadableClipsError
from vlpeft.datasets.transforms import PackChat, ToChat
from vlpeft.engine.functions import collate_chat
from vlpeft.models import ChatDataPreprocessor
from vlpeft.registry import DATASETS

TURNS, IMAGES = CONTENTS['one image']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    init_default_scope('vlpeft')
    folder = tmp_path_factory.mktemp('packed')
    for seed, name in enumerate('ab'):
        tiny_vlms.picture(seed, (16 + 8 * seed, 16)).save(folder / f'{name}.png')
    return folder


@functools.cache
def processor(name):
    return tiny_vlms.processor(name, tempfile.mkdtemp())


def sample(root, turns=TURNS, images=IMAGES, **more):
    return dict(turns=turns_of(turns), images=[str(root / name) for name in images], videos=[], sample_id=5, **more)


def packed(root, family, *args, **options):
    return PackChat(processor(family), **options).transform(sample(root, *args))


def test_options_of_the_image_processor_by_name(root):
    plain = packed(root, 'qwen2_vl')['inputs']
    small = packed(root, 'qwen2_vl', image_options=dict(min_pixels=64, max_pixels=128))['inputs']
    assert small['image_grid_thw'].prod() < plain['image_grid_thw'].prod()
    assert small['input_ids'].shape[1] < plain['input_ids'].shape[1]
    crops = packed(root, 'internvl', image_options=dict(crop_to_patches=True, min_patches=2, max_patches=2))['inputs']
    whole = packed(root, 'internvl', image_options=dict(crop_to_patches=False))['inputs']
    assert len(whole['pixel_values']) == 1 < len(crops['pixel_values'])
    large = packed(root, 'llava', image_options=dict(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32)))
    assert large['inputs']['pixel_values'].shape[-2:] == (32, 32)
    with pytest.raises(ValueError, match=r"image_options: \w+ has no option 'max_pixel'; its options are .*max_pixels"):
        packed(root, 'qwen2_vl', image_options=dict(max_pixel=128))
    with pytest.raises(ValueError, match='LlavaProcessor takes no videos, so video_options cannot be given'):
        packed(root, 'llava', video_options=dict(size=1))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(train_on='first'), "train_on is 'first'; valid: all, last"),
        (dict(too_long='cut'), "too_long is 'cut'; valid: refuse, drop"),
        (dict(videos_as='gif'), "videos_as is 'gif'; valid: video, images"),
        (dict(max_length=0), 'max_length must be at least 1'),
        (dict(prompt='{images}'), "prompt '{images}' lacks the field '{question}'"),
        (dict(prompt='{question} {answer}'), "has the field 'answer'; fields are question, images"),
        (dict(prompt='{question'), "prompt '{question'"),
        (dict(answer=' {answer}'), "'answer' belongs to 'prompt'"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        PackChat('anything', **options)


def test_a_processor_is_found_or_refused_at_once(root, tmp_path):
    for name, message in (
        (str(tmp_path / 'gone'), 'there is no such folder'),
        (str(tmp_path), 'the folder has none of processor_config.json, preprocessor_config.json; it holds nothing'),
    ):
        with pytest.raises(ValueError, match=f'processor .*{message}'):
            PackChat(name).transform(sample(root))
    (tmp_path / 'preprocessor_config.json').write_text('{"image_processor_type": "CLIPImageProcessor"}')
    with pytest.raises(ValueError, match='processor .* cannot be loaded|is a CLIPImageProcessor'):
        PackChat(str(tmp_path)).transform(sample(root))


def test_it_travels_to_workers_and_loads_once(root, monkeypatch):
    import transformers

    step = PackChat(tiny_vlms.processor('llava', tempfile.mkdtemp()))
    copies, loads = [pickle.loads(pickle.dumps(step)) for _ in range(2)], []
    load = transformers.AutoProcessor.from_pretrained
    monkeypatch.setattr(
        transformers.AutoProcessor,
        'from_pretrained',
        lambda *args, **options: loads.append(1) or load(*args, **options),
    )
    for copy in copies:
        copy.transform(sample(root))
    assert loads == [1]


def test_families_without_template_need_a_prompt(root):
    with pytest.raises(ValueError, match="PaliGemmaProcessor. has no chat template; give prompt='…{question}…'"):
        packed(root, 'paligemma')
    item = packed(root, 'blip2_opt', prompt='Question: {question} Answer:', answer=' {answer}')['inputs']
    tokenizer = tiny_vlms.loaded_processor('blip2_opt').tokenizer
    labels = item['labels'][0]
    assert tokenizer.decode(labels[labels != -100]) == ' red</s>'
    assert tokenizer.decode(item['input_ids'][0][-12:]).endswith('Answer: red</s>')
    with pytest.raises(ValueError, match=r'PackChat: sample 5: a prompt without a chat template holds one question'):
        packed(root, 'blip2_opt', *CONTENTS['several turns'], prompt='{question}')


def test_a_system_text_for_conversations_without_one(root):
    tokenizer = tiny_vlms.loaded_processor('qwen2_vl').tokenizer
    texts = [
        tokenizer.decode(packed(root, 'qwen2_vl', *CONTENTS[name], system='be short')['inputs']['input_ids'][0])
        for name in ('one image', 'several turns')
    ]
    assert 'system\nbe short' in texts[0] and 'be short' not in texts[1] and 'system\ndescribe' in texts[1]


def test_long_samples_are_refused_or_left_out_and_never_cut(root, caplog, monkeypatch):
    logger = MMLogger.get_current_instance()  # stands outside of the hierarchy that caplog listens to
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])
    length = packed(root, 'llava')['inputs']['input_ids'].shape[1]
    assert packed(root, 'llava', max_length=length)['inputs']['input_ids'].shape[1] == length
    with pytest.raises(
        ValueError, match=f'PackChat: sample 5 has {length} tokens, images included, more than max_length={length - 1}'
    ):
        packed(root, 'llava', max_length=length - 1)
    assert packed(root, 'llava', max_length=length - 1, too_long='drop') is None
    assert f'sample 5 has {length} tokens' in caplog.text
    with pytest.raises(ValueError, match='nothing is cut'):  # a test leaves out nothing
        packed(root, 'llava', TURNS[:1], max_length=3, too_long='drop')


def test_another_sample_takes_the_place_of_a_long_one(root):
    records = [written('ms-swift', *CONTENTS[name]) for name in ('several turns', 'one image')]
    (root / 'long.json').write_text(json.dumps(records))
    length = packed(root, 'llava')['inputs']['input_ids'].shape[1]
    step = dict(type='PackChat', processor=processor('llava'), max_length=length, too_long='drop')
    build = functools.partial(dict, type='JSONLChat', ann_file=str(root / 'long.json'))
    dataset = DATASETS.build(build(pipeline=[step]))
    assert torch.equal(dataset[0]['inputs']['input_ids'], dataset[1]['inputs']['input_ids'])
    none = DATASETS.build(build(pipeline=[dict(step, max_length=length - 1)]))
    with pytest.raises(UnreadableClipsError, match='10 samples in a row cannot be used; the last: a step of the pipel'):
        none[0]


def test_packed_fields_are_those_of_other_samples(root):
    step = PackChat(processor('llava'), task='vqa', extra_fields=['split'])
    item = step.transform(sample(root, question='q', gold=['x'], name='a.png', split='s', path='p'))['data_samples']
    assert sorted(item.keys()) == ['gold', 'name', 'question', 'sample_id', 'split', 'task']
    assert item.task == 'vqa' and item.sample_id == 5


def question(**more):
    return dict(path='x.png', media='image', name='x', question='which ?', **more)


def test_questions_and_captions_become_conversations():
    asked = ToChat('{question}\nAnswer with one word.').transform(question(question_id=3, gold=['red']))
    assert asked['turns'] == turns_of([('user', 'which ?\nAnswer with one word.', 1)])
    assert (asked['images'], asked['videos'], asked['gold'], asked['question_id']) == (['x.png'], [], ['red'], 3)
    told = ToChat('Describe.', system='s').transform(dict(path='x.mp4', media='video', name='x', caption='a cat'))
    assert told['turns'] == [
        dict(role='system', content=[dict(type='text', text='s')]),
        dict(role='user', content=[dict(type='video'), dict(type='text', text='Describe.')]),
        dict(role='assistant', content=[dict(type='text', text='a cat')]),
    ]
    assert (told['images'], told['videos']) == ([], ['x.mp4'])
    two = ToChat('Same ?').transform(dict(paths=['x', 'y'], names=['x', 'y'], media='image', references=['r']))
    assert two['turns'] == turns_of([('user', 'Same ?', 2)]) and two['images'] == ['x', 'y']


def test_one_of_several_answers_is_drawn_or_the_most_common_one():
    answers = question(answers=['blue', 'red', 'green'], weights=[0.2, 0.6, 0.2])
    said = lambda chat: chat['turns'][-1]['content'][0]['text']  # noqa: E731
    assert {said(ToChat('{question}', 'most_common').transform(dict(answers))) for _ in range(20)} == {'red'}
    torch.manual_seed(0)
    drawn = [said(ToChat('{question}').transform(dict(answers))) for _ in range(500)]
    assert {text: drawn.count(text) / 500 for text in set(drawn)} == pytest.approx(
        dict(blue=0.2, red=0.6, green=0.2), abs=0.07
    )
    for target in ('drawn', 'most_common'):
        assert ToChat('{question}', target).transform(question(answers=['x'], weights=[0.0])) is None
        assert ToChat('{question}', target).transform(question(answers=[], weights=[])) is None


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(prompt='{question', target='drawn'), "prompt '{question'"),
        (dict(prompt='{0}'), 'fields must be plain names'),
        (dict(prompt='x', target='first'), "target is 'first'; valid: drawn, most_common"),
    ],
)
def test_wrong_templates(arguments, message):
    with pytest.raises(ValueError, match=message):
        ToChat(**arguments)


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="asks for 'options'; the sample has "):
        ToChat('{question} {options}').transform(question())
    with pytest.raises(ValueError, match='names no image or video; it has name, question'):
        ToChat('{question}').transform(dict(name='x', question='which ?'))
    with pytest.raises(ValueError, match='x.wav is a sound'):
        ToChat('Describe.').transform(dict(path='x.wav', media='audio', name='x', caption='y'))


@pytest.mark.parametrize('kind', ['JSONLQA', 'JSONLCaption', 'VQAv2', 'COCOCaption'])
def test_sets_of_questions_and_captions_feed_it(root, kind):
    """As the same conversation in a chat file: equal tensors in training, and in a test the same prompt."""
    prompt = '{question} red ?' if kind in ('JSONLQA', 'VQAv2') else 'describe it'
    asked = prompt.format(question='what colour is it ?')
    chat = [written('ms-swift', [('user', asked, 1), ('assistant', 'blue', 0)], ['a.png'])]
    (root / 'chat.json').write_text(json.dumps(chat))
    settings = dict(data_root=str(root))
    if kind == 'JSONLQA':
        (root / 'x.json').write_text(json.dumps([dict(image='a.png', question='what colour is it ?', answer='blue')]))
    elif kind == 'JSONLCaption':
        (root / 'x.json').write_text(json.dumps([dict(image='a.png', caption='blue')]))
    elif kind == 'COCOCaption':
        content = dict(images=[dict(id=1, file_name='a.png')], annotations=[dict(image_id=1, id=1, caption='blue')])
        (root / 'x.json').write_text(json.dumps(content))
    else:
        record = dict(image='a.png', dataset='vqa', question='what colour is it ?', question_id=1, answer=['blue'] * 10)
        (root / 'x.json').write_text(json.dumps([record]))
    pack = dict(type='PackChat', processor=processor('qwen2_vl'))
    steps = [dict(type='ToChat', prompt=prompt), pack]
    for test_mode in (False, True):
        same = DATASETS.build(
            dict(type='JSONLChat', ann_file='chat.json', pipeline=[pack], test_mode=test_mode, **settings)
        )
        found = DATASETS.build(dict(type=kind, ann_file='x.json', pipeline=steps, test_mode=test_mode, **settings))
        item, expected = found[0], same[0]
        assert item['inputs'].keys() == expected['inputs'].keys()
        assert all(torch.equal(item['inputs'][name], values) for name, values in expected['inputs'].items())
        if test_mode:
            known = item['data_samples']
            assert set(known.get('gold', known.get('references'))) == {'blue'}


def test_workers_pack_what_this_process_packs(root):
    """Two workers of a loader, batches of conversations of several lengths, with and without images."""
    records = [written('TRL', *CONTENTS[name]) for name in CONTENTS]
    (root / 'workers.json').write_text(json.dumps(records))
    step = dict(type='PackChat', processor=processor('smolvlm'))
    dataset = DATASETS.build(dict(type='JSONLChat', ann_file=str(root / 'workers.json'), pipeline=[step]))
    loader = DataLoader(dataset, batch_size=2, num_workers=2, collate_fn=collate_chat)
    batches = [ChatDataPreprocessor(tiny_vlms.PAD)(batch) for batch in loader]
    assert [sample.sample_id for batch in batches for sample in batch['data_samples']] == [0, 1, 2, 3]
    here = [dataset[number]['inputs'] for number in range(4)]
    for number, batch in enumerate(batches):
        expected = join(here[2 * number : 2 * number + 2], tiny_vlms.PAD)
        assert expected.keys() == batch['inputs'].keys()
        assert all(torch.equal(batch['inputs'][name], values) for name, values in expected.items())
