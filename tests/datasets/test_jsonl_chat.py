"""Chat files as a set: five layouts give the same tensors for the same content, and clear errors."""

import base64
import functools
import http.server
import json
import threading

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from tests import media, tiny_vlms
from tests.chat_layouts import CONTENTS, LAYOUTS, data_url, written
from vlpeft.datasets import AnnotationError, ClipError
from vlpeft.registry import DATASETS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    init_default_scope('vlpeft')
    folder = tmp_path_factory.mktemp('chat')
    for seed, name in enumerate('ab'):
        tiny_vlms.picture(seed, (16 + 8 * seed, 16)).save(folder / f'{name}.png')
    media.write_video(folder / 'a.mp4', media.numbered_frames(12), codec='mpeg4')
    return folder


@pytest.fixture
def log(caplog, monkeypatch):
    logger = MMLogger.get_current_instance()  # stands outside of the hierarchy that caplog listens to
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])
    return caplog


@functools.cache
def processor(name):
    import tempfile

    return tiny_vlms.processor(name, tempfile.mkdtemp())


def build(root, records, family=None, as_lines=False, **kwargs):
    content = ''.join(json.dumps(record) + '\n' for record in records) if as_lines else json.dumps(records)
    (root / 'chat.json').write_text(content)
    pipeline = [] if family is None else [dict(type='PackChat', processor=processor(family))]
    settings = dict(type='JSONLChat', ann_file=str(root / 'chat.json'), serialize_data=False, pipeline=pipeline)
    return DATASETS.build(settings | kwargs)


@pytest.mark.parametrize('content', CONTENTS)
@pytest.mark.parametrize('as_lines', [False, True])
@pytest.mark.parametrize('family', ['llava', 'qwen2_vl', 'smolvlm'])
def test_layouts_give_the_same_tensors(root, family, as_lines, content):
    turns, images = CONTENTS[content]
    records = [written(layout, turns, images, root) for layout in LAYOUTS]
    items = [build(root, [record], family, as_lines)[0]['inputs'] for record in records]
    for item in items[1:]:
        assert item.keys() == items[0].keys()
        assert all(torch.equal(item[name], values) for name, values in items[0].items())
    assert ('pixel_values' in items[0]) == bool(images) and (items[0]['labels'] != -100).any()


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_test_asks_the_last_question(root, layout):
    turns, images = CONTENTS['several turns']
    item = build(root, [written(layout, turns, images, root)], 'qwen2_vl', test_mode=True)[0]
    trained = build(root, [written(layout, turns, images, root)], 'qwen2_vl')[0]
    sample, length = item['data_samples'], item['inputs']['input_ids'].shape[1]
    assert sample.question == 'what is the image ?' and sample.gold == sample.references == ['a blue picture\nof it']
    assert sample.question_id == sample.sample_id == ('7' if layout == 'LLaVA' else 0)
    assert 'labels' not in item['inputs']
    assert torch.equal(item['inputs']['input_ids'], trained['inputs']['input_ids'][:, :length])
    assert 'gold' not in trained['data_samples']


def test_a_question_without_answer_can_be_asked_but_not_trained_on(root):
    record = written('ms-swift', CONTENTS['one image'][0][:1], ['a.png'])
    item = build(root, [record], 'llava', test_mode=True)[0]
    assert 'gold' not in item['data_samples'] and 'references' not in item['data_samples']
    with pytest.raises(
        AnnotationError, match='chat.json:1: entry.0.: the last turn is the question of a user; trainin'
    ):
        build(root, [record])


@pytest.mark.parametrize('layout', LAYOUTS[:4])
def test_another_number_of_placeholders_is_refused_with_its_line(root, layout):
    good = written(layout, *CONTENTS['one image'])
    bad = written(layout, CONTENTS['two images'][0], ['a.png'])
    message = 'the turns have 2 placeholders for images and the record lists 1 image'
    with pytest.raises(AnnotationError, match=rf'chat.json:2: {message}'):
        build(root, [good, dict(bad, id='8')], as_lines=True)
    with pytest.raises(AnnotationError, match=rf'chat.json:1: entry\[1\]: {message}'):
        build(root, [good, dict(bad, id='8')])


@pytest.mark.parametrize('layout', LAYOUTS)
def test_missing_and_damaged_images_are_named_when_they_are_fetched(root, layout):
    turns, _ = CONTENTS['one image']
    dataset = build(root, [written(layout, turns, ['gone.png'], root)], 'llava', test_mode=True)
    message = 'cannot identify image file' if layout == 'OpenAI' else 'gone.png: no such file'
    with pytest.raises(ClipError, match=message):
        dataset[0]


def test_an_unreadable_image_is_replaced_in_training_and_marked_in_a_test(root):
    records = [written('ms-swift', CONTENTS['one image'][0], [name]) for name in ('gone.png', 'a.png')]
    trained = build(root, records, 'llava')
    assert torch.equal(trained[0]['inputs']['pixel_values'], trained[1]['inputs']['pixel_values'])
    item = build(root, records, 'llava', test_mode=True, skip_unreadable=True)[0]
    assert item['data_samples'].unreadable.startswith('no such file') and item['data_samples'].name == 'gone.png'


def test_layouts_and_keys_are_named_in_the_log(root, log):
    records = [written(layout, *CONTENTS['one image'], root) for layout in ('LLaVA', 'ms-swift', 'ms-swift')]
    build(root, [dict(record, source='x', response='y') for record in records])
    assert 'chat.json: 2 records in the ms-swift layout, 1 record in the LLaVA layout' in log.text
    assert "keys that are not read, with the number of records: 'source' (3), 'response' (3)" in log.text
    log.clear()
    build(root, records[:1], type='JSONLQA')
    assert 'chat.json: 1 record in the LLaVA layout' in log.text


@pytest.mark.parametrize(
    'record, message',
    [
        (
            dict(image='a.png', question='x', answer='y'),
            "unknown key|expected 'messages', 'conversations', or 'query' an",
        ),
        (dict(messages=[]), "'messages' must be a list of turns, not empty"),
        (dict(message=[]), "unknown key 'message', is 'messages' meant"),
        (written('ms-swift', [('assistant', 'x', 0)], []), 'must speak in turn'),
        (written('ms-swift', CONTENTS['one image'][0], ['../a.png']), 'lies outside the data root'),
        (written('ms-swift', CONTENTS['one image'][0], ['http://x/a.png']), 'is a URL, and nothing is downloaded'),
        (written('ms-swift', CONTENTS['one image'][0], ['C:\\a.png']), 'is a path of Windows'),
        (written('ms-swift', CONTENTS['one image'][0], ['data:text/plain,x']), 'expected data:image/…;base64'),
        (
            dict(messages=[dict(role='user', content='<audio>x')], audios=['a.wav']),
            'sounds, and no model of image and t',
        ),
        (dict(messages=[dict(role='user', content='<audio>x')]), '1 placeholder for audios and the record lists 0 aud'),
        (dict(written('ms-swift', *CONTENTS['none']), id=[3]), "'id' must be an integer or a text"),
    ],
)
def test_what_is_no_chat_is_refused_with_its_line(root, record, message):
    with pytest.raises(AnnotationError, match=rf'chat.json:2: .*({message})'):
        build(root, [written('ms-swift', *CONTENTS['none']), record], as_lines=True)


def test_ids_of_a_test_are_unique(root):
    records = [dict(written('ms-swift', *CONTENTS['none']), id=1)] * 2
    assert len(build(root, records)) == 2
    with pytest.raises(AnnotationError, match=r'chat.json:2: id 1 was already used at .*chat.json:1'):
        build(root, records, as_lines=True, test_mode=True)


def test_images_from_a_server_only_where_they_are_asked_for(root):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == '/a.png'
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write((root / 'a.png').read_bytes() if found else b'')

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f'http://127.0.0.1:{server.server_address[1]}'
        turns = CONTENTS['one image'][0]
        try:
            records = [written('ms-swift', turns, [f'{address}/{name}.png']) for name in 'ax']
            dataset = build(root, records, 'llava', download=True, test_mode=True)
            here = build(root, [written('ms-swift', turns, ['a.png'])], 'llava', test_mode=True)[0]
            assert torch.equal(dataset[0]['inputs']['pixel_values'], here['inputs']['pixel_values'])
            with pytest.raises(ClipError, match='x.png: cannot be downloaded .*404'):
                dataset[1]
        finally:
            server.shutdown()
            thread.join()


def test_pictures_in_the_file_are_read_as_files_are(root):
    """Deep colours, transparency and EXIF turns go through the same reader."""
    from PIL import Image

    deep = Image.fromarray((torch.arange(256).reshape(16, 16) * 257).to(torch.int32).numpy().astype('uint16'))
    deep.save(root / 'deep.png')
    turned = Image.open(root / 'b.png')
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / 'turned.png', exif=exif)
    for name in ('deep.png', 'turned.png'):
        items = [
            build(root, [written('ms-swift', CONTENTS['one image'][0], [path])], 'qwen2_vl')[0]['inputs']
            for path in (name, data_url(root / name))
        ]
        assert torch.equal(items[0]['pixel_values'], items[1]['pixel_values'])
        assert torch.equal(items[0]['image_grid_thw'], items[1]['image_grid_thw'])
    upright = build(root, [written('ms-swift', CONTENTS['one image'][0], ['b.png'])], 'qwen2_vl')[0]['inputs']
    assert items[0]['image_grid_thw'].tolist() == upright['image_grid_thw'][:, [0, 2, 1]].tolist()
    cut = base64.b64encode(b'\x89PNG\r\n').decode()
    for content, message in ((cut, 'not a readable image'), ('?', 'no base64')):
        url = f'data:image/png;base64,{content}'
        broken = build(root, [written('ms-swift', CONTENTS['one image'][0], [url])], 'llava', test_mode=True)
        with pytest.raises(ClipError, match=message):
            broken[0]


def test_pictures_in_the_file_are_limited(root, monkeypatch):
    monkeypatch.setattr('vlpeft.datasets.readers.urls.MAX_BYTES', 60)
    record = written('OpenAI', *CONTENTS['one image'], root)
    with pytest.raises(AnnotationError, match=r'chat.json:1: .*cannot use data:image/png.* longer than 60 bytes'):
        build(root, [record])


@pytest.mark.parametrize('family', ['qwen2_vl', 'qwen2_5_vl', 'qwen3_vl', 'smolvlm', 'llava_onevision', 'internvl'])
def test_videos_are_frames(root, family):
    record = dict(messages=[dict(role='user', content='<video>what ?'), dict(role='assistant', content='red')])
    record['videos'] = ['a.mp4']
    four = [dict(type='PackChat', processor=processor(family), num_frames=4, reader=dict(type='PyAVReader'))]
    eight = [dict(four[0], num_frames=8)]
    tokens = [build(root, [record], pipeline=steps)[0]['inputs'] for steps in (four, eight)]
    if 'video_grid_thw' in tokens[0]:  # two frames are a slice; the size of frames may depend on how many there are
        assert [int(item['video_grid_thw'][0, 0]) for item in tokens] == [2, 4]
    else:
        assert tokens[1]['input_ids'].shape[1] > tokens[0]['input_ids'].shape[1]
        pixels = [sum(value.numel() for name, value in item.items() if 'pixel_values' in name) for item in tokens]
        assert pixels[1] == 2 * pixels[0]
    tokenizer = tiny_vlms.loaded_processor(family).tokenizer
    labels = tokens[0]['labels'][0]
    assert tokenizer.decode(labels[labels != -100]).lstrip().startswith('red')


def test_frames_stand_in_for_videos_where_a_family_has_none(root):
    record = dict(messages=[dict(role='user', content='<image><video>what ?'), dict(role='assistant', content='red')])
    record.update(videos=['a.mp4'], images=['a.png'])
    step = dict(type='PackChat', processor=processor('llava'), num_frames=3, reader=dict(type='PyAVReader'))
    with pytest.raises(ValueError, match="LlavaProcessor takes no videos; videos_as='images' shows their frames"):
        build(root, [record], pipeline=[step])[0]
    item = build(root, [record], pipeline=[dict(step, videos_as='images')])[0]['inputs']
    assert item['pixel_values'].shape[0] == 4
