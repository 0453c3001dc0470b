"""vlpeft browse: pages of real sets of every kind; what they show is compared with files and tokenizers."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny_vlms
from tests.browser import DESKTOP, PHONE, needs_chromium, open_page, too_wide
from tests.chat_layouts import CONTENTS, written
from tests.commands import run_script
from tests.media import write_truncated
from tests.tiny import vqa_config, write_vocabulary
from tests.vl_workspace import shrink_vl_model, write_vl_workspace
from tests.workspace import ROOT, write_workspace
from vlpeft.analysis.browse_pictures import chat_pictures, shown
from vlpeft.datasets.readers import PyAVReader
from vlpeft.engine.config_file import read_config
from vlpeft.models.data_preprocessor import ClipDataPreprocessor

TOOL = 'tools/analysis_tools/browse_dataset.py'


def browse(config, page, *arguments):
    done = run_script(TOOL, config, '--out', page, *arguments)
    assert done.returncode == 0, done.stderr
    return page.read_text(), done.stdout


def tokens(text):
    """(kind, token) of a piece of a page, counts in a row left out."""
    found = re.findall(r'<span class="t (\w+)">(.*?)(?:<sub>.*?</sub>)?</span>', text.partition('<section')[2])
    return [(kind, html.unescape(token)) for kind, token in found]


def pictures(text):
    data = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))), int) for one in data]


@pytest.fixture(scope='module')
def retrieval(tmp_path_factory):
    """Clips, of which one is damaged; captions with a word that is not in the vocabulary and more words than fit."""
    folder = tmp_path_factory.mktemp('retrieval')
    config = write_workspace(folder, sampling='random', max_text_length=8)
    data = folder / 'data'
    lines = [json.loads(line) for line in (data / 'test.jsonl').read_text().splitlines()]
    lines[1]['caption'] = ['A ZEBRA moves left!']
    lines[2]['caption'] = ['the red circle moves left and the blue square moves right']
    (data / 'test.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    write_truncated(data / 'clip3.mp4', np.zeros((6, 32, 32, 3), np.uint8), keep=0.3)
    return config


def test_frames_are_those_of_the_file(retrieval, tmp_path):
    text, said = browse(retrieval, tmp_path / 'a.html', '--split', 'test', '--indices', 0)
    frames = PyAVReader().read(str(retrieval.parent / 'data/clip0.mp4'), [1, 4])
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(frames).permute(0, 3, 1, 2).float(), size=16, mode='bicubic', antialias=True
    )
    found = pictures(text)
    assert len(found) == 2 and all(picture.shape == (16, 16, 3) for picture in found)
    for one, other in zip(found, expected.permute(0, 2, 3, 1).numpy()):
        assert np.abs(one - other).mean() < 3
    assert 'frame 1' in text and 'frame 4' in text and '1 samples of 1 set, 0 cannot be used' in said


def test_unknown_words_and_what_is_cut(retrieval, tmp_path):
    text, _ = browse(retrieval, tmp_path / 'b.html', '--split', 'test', '--indices', 1, 2)
    first, second = (f'<section{part}' for part in text.split('<section')[1:])
    assert tokens(first) == [
        ('special', '[CLS]'),
        ('plain', 'a'),
        ('unknown', '[UNK]'),
        *[('plain', word) for word in ('moves', 'left')],
        ('special', '[SEP]'),
    ]
    assert 'words that the vocabulary does not know: zebra' in first
    assert (
        '<span>annotated</span>A ZEBRA moves left!' in first and '<div class="plain">a zebra moves left</div>' in first
    )
    said = 'the red circle moves left and the blue square moves right'.split()
    kinds = ['plain'] * 6 + ['cut'] * 5
    assert tokens(second) == [('special', '[CLS]'), *zip(kinds, said), ('special', '[SEP]')]
    assert '8 tokens; of 13: cut at 8' in second


def test_random_transforms_are_drawn_again_and_repeat(retrieval, tmp_path):
    arguments = ('--split', 'train', '--indices', 0, '--repeats', 6)
    one, _ = browse(retrieval, tmp_path / 'c.html', *arguments)
    again, _ = browse(retrieval, tmp_path / 'c.html', *arguments)
    other, _ = browse(retrieval, tmp_path / 'c.html', *arguments, '--seed', 1)
    assert one == again != other
    drawn = [re.findall(r'frame \d+', view) for view in one.split('<h4>')[1:]]
    assert len(drawn) == 6 and len({tuple(frames) for frames in drawn}) > 1


def test_samples_that_cannot_be_read_are_shown_as_such(retrieval, tmp_path):
    text, said = browse(retrieval, tmp_path / 'd.html', '--split', 'test')
    assert text.count('<section') == 7 and text.count('class="error"') == 1
    assert re.search(r'cannot be used</b> \S*clip3\.mp4: ', text) and ', 1 cannot be used;' in said


def test_questions_with_their_answers(tmp_path):
    config = write_workspace(tmp_path)
    data = tmp_path / 'data'
    questions = [dict(video='clip0.mp4', question='What is RED?', answer={'square': 0.6, 'big circle': 0.3})]
    (data / 'qa.jsonl').write_text('\n'.join(map(json.dumps, questions)) + '\n')
    model = vqa_config(write_vocabulary(tmp_path / 'vocabulary'))
    pipeline = [
        dict(type='LoadClip', num_frames=2, sampling='middle'),
        dict(type='ClipResize', size=16),
        dict(type='CleanQuestion'),
        dict(type='PackSample'),
    ]
    own = tmp_path / 'questions.py'
    own.write_text(
        f'_base_ = [{str(config)!r}]\nmodel = dict(_delete_=True, **{model!r})\ntrain_dataloader = dict(dataset=dict('
        f'_delete_=True, type="JSONLQA", data_root={str(data)!r}, ann_file="qa.jsonl", pipeline={pipeline!r}))\n'
    )
    text, _ = browse(own, tmp_path / 'e.html')
    assert [token for kind, token in tokens(text) if kind == 'learned'] == [
        '[CLS]', 'square', '[SEP]', '[CLS]', 'big', 'circle', '[SEP]'
    ]  # fmt: skip
    assert '<span>annotated</span>What is RED?' in text
    assert 'answers 1 (weight 0.6)' in text and 'answers 2 (weight 0.3)' in text


def test_several_tasks_with_stored_features(tmp_path, monkeypatch):
    write_vl_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    cfg = read_config(ROOT / 'configs/vl_pet/vlpet-large_bart-base_image.py')
    shrink_vl_model(cfg.model, tmp_path)
    cfg.dump(tmp_path / 'config.py')
    text, said = browse(tmp_path / 'config.py', tmp_path / 'f.html', '--number', 2)
    # Questions come from two files.
    assert text.count('<section') == 10 and '10 samples of 5 sets, 0 cannot be used' in said
    assert text.count('stored features') == 10 and 'vqa: ' in text and 'caption: ' in text
    kinds = {kind for kind, _ in tokens(text)}
    assert {'plain', 'learned'} <= kinds
    one, said = browse(tmp_path / 'config.py', tmp_path / 'g.html', '--set', 'nlvr2', '--indices', -1)
    assert one.count('image 1') >= 1 and one.count('image 2') >= 1 and '1 samples of 1 set' in said
    done = run_script(TOOL, tmp_path / 'config.py', '--set', 'nlvr', '--out', tmp_path / 'h.html')
    assert done.returncode == 1 and "has no set 'nlvr'; did you mean nlvr2?" in done.stderr
    done = run_script(TOOL, tmp_path / 'config.py', '--indices', 0, '--out', tmp_path / 'h.html')
    assert done.returncode == 1 and 'of which set? Choose one with --set TASK: train/caption: ' in done.stderr


@pytest.fixture(scope='module')
def chat(tmp_path_factory):
    """Conversations of a tiny Qwen2-VL; the second sample names an image that is not there."""
    folder = tmp_path_factory.mktemp('chat')
    for seed, name in enumerate('ab'):
        tiny_vlms.picture(seed, (16 + 8 * seed, 16)).save(folder / f'{name}.png')
    turns, images = CONTENTS['several turns']
    records = [written('ms-swift', turns, images), written('ms-swift', *CONTENTS['one image'])]
    records[1]['images'] = ['missing.png']
    (folder / 'chat.jsonl').write_text('\n'.join(map(json.dumps, records)) + '\n')
    source = tiny_vlms.processor('qwen2_vl', folder / 'processor')
    pack = dict(type='PackChat', processor=source, task='chat')
    model = dict(
        type='ImageTextLM',
        model=tiny_vlms.config('qwen2_vl'),
        processor=source,
        tasks=dict(chat=dict()),
        dtype='float32',
    )
    dataset = dict(type='JSONLChat', data_root=str(folder), ann_file='chat.jsonl', pipeline=[pack])
    (folder / 'config.py').write_text(
        f"default_scope = 'vlpeft'\nmodel = {model!r}\n"
        f"train_dataloader = dict(dataset={dataset!r}, collate_fn=dict(type='vlpeft.collate_chat'))\n"
    )
    return folder


def test_conversations_and_what_is_learned_of_them(chat, tmp_path):
    text, said = browse(chat / 'config.py', tmp_path / 'i.html', '--indices', 0, 1)
    assert ', 1 cannot be used;' in said and 'missing.png' in text
    first = f'<section{text.split("<section")[1]}'
    learned = ''.join(token for kind, token in tokens(first) if kind == 'learned').replace('·', ' ')
    assert 'red' in learned and 'a blue picture' in learned and 'colour' not in learned
    assert re.search(r'\d+ tokens, \d+ of them learned', first) and '<sub>×' in first
    found = pictures(first)
    for picture, name in zip(found, 'ab'):
        original = np.asarray(Image.open(chat / f'{name}.png').convert('RGB'), int)
        assert picture.shape == original.shape and np.abs(picture - original).max() <= 1
    assert len(found) == 2


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--number', '0'], '--number must be at least 1, got 0'),
        (['--repeats', '0'], '--repeats must be at least 1, got 0'),
        (['--out', 'a.txt'], '--out a.txt: the name must end with .html'),
        (['--split', 'test', '--indices', '7'], 'has no sample 7; it has 7, from 0 to 6'),
        (['--split', 'dev'], "invalid choice: 'dev'"),
        (['--set', 'vqa'], "train_dataloader has no set 'vqa'; it has one set"),
        (
            ['--cfg-options', 'test_dataloader=None', '--split', 'test'],
            'there is no test_dataloader; there are train, val',
        ),
    ],
)
def test_wrong_arguments_are_one_line(retrieval, tmp_path, arguments, said):
    out = [] if '--out' in arguments else ['--out', tmp_path / 'j.html']
    done = run_script(TOOL, retrieval, *arguments, *out)
    assert done.returncode in (1, 2) and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / 'j.html').exists()


def test_without_a_tokenizer_texts_are_shown_alone(retrieval, tmp_path):
    options = ('--cfg-options', f'model.vocabulary={tmp_path}')
    text, said = browse(retrieval, tmp_path / 'k.html', '--split', 'test', '--indices', 0, *options)
    assert tokens(text) == [] and '<div class="plain">a ' in text
    assert 'note: tokens are not shown: vocabulary' in said and '<dt>tokens are not shown</dt>' in text


def test_normalisation_is_undone_and_sounds_are_drawn():
    from mmengine.structures import BaseDataElement

    frames = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    found, note = shown(frames, BaseDataElement(frame_indices=[3, 9]), ClipDataPreprocessor())
    assert [picture.note for picture in found] == ['frame 3', 'frame 9'] and '2 frames of 8 x 8 pixels' in note
    for picture, frame in zip(found, frames):
        assert np.array_equal(picture.pixels, frame.permute(1, 2, 0).numpy())
    (sound,), note = shown(torch.randn(1, 100, 128), BaseDataElement(), None)
    assert sound.pixels.shape == (128, 100, 3) and '128 filter-bank energies' in note
    (cells,), note = shown(torch.randn(1, 36, 512), BaseDataElement(), None)
    assert cells.pixels.shape == (72, 72, 3) and 'stored features 1 x 36 x 512' in note
    assert shown(torch.zeros(2, 2), BaseDataElement(), None) == (
        [],
        'inputs of shape 2 x 2, of which no picture is known',
    )
    pixels, note = chat_pictures(
        type('Processor', (), dict(image_processor=None)), dict(pixel_values=torch.zeros(3, 7))
    )
    assert pixels == [] and 'pixel_values of shape 3 x 7' in note


@needs_chromium
@pytest.mark.parametrize('size', [DESKTOP, PHONE], ids=['desktop', 'phone'])
def test_pages_fit_the_window_and_need_no_network(retrieval, chat, tmp_path, size):
    for number, (config, split) in enumerate(((retrieval, 'test'), (chat / 'config.py', 'train'))):
        browse(config, tmp_path / f'{number}.html', '--split', split)
        with open_page((tmp_path / f'{number}.html').as_uri(), size) as page:
            assert too_wide(page) == 0
            shown_pictures = page.eval_on_selector_all('img', 'all => all.map(one => one.naturalWidth)')
            assert shown_pictures and min(shown_pictures) > 0
            assert page.locator('.t.special').count() > 0 and page.locator('.error').is_visible()
