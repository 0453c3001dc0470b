"""Indexing and searching real clips and stills with a tiny trained model."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open

from tests.apis.tiny_zoo import NAME, write_trained
from tests.media import write_image, write_video
from tests.tiny import vqa_config
from vlpeft import RetrievalInferencer
from vlpeft.apis import retrieval_inferencer
from vlpeft.apis.retrieval_index import IndexMismatchError
from vlpeft.checkpoint import CheckpointError
from vlpeft.models.backbones import CrossContext
from vlpeft.registry import DATASETS

QUERY = 'The RED square, moves left!'


@pytest.fixture
def place(zoo):
    """The zoo's config, a trained checkpoint, and a folder with seven clips, two stills and what is neither."""
    folder, config, _ = zoo
    write_trained(config, folder / 'epoch_2.pth')
    media = folder / 'media'
    shutil.copytree(folder / 'work/data', media / 'clips')
    write_image(media / 'still.png', seed=1)
    write_image(media / 'tall.JPG', size=(64, 32), seed=2)
    return config, folder / 'epoch_2.pth', media


def encoded_by(finder, monkeypatch):
    """Sizes of the batches that the vision tower gets from now on."""
    sizes, encode = [], finder.model.encode_vision
    monkeypatch.setattr(finder.model, 'encode_vision', lambda clips: sizes.append(len(clips)) or encode(clips))
    return sizes


def slow_scores(finder, config, media):
    """{path: (cosine, match logit)} of QUERY, clip by clip through the dataset's own way of reading."""
    cfg = Config.fromfile(config)
    data = dict(cfg.test_dataloader.dataset, data_root=str(media), ann_file='all.jsonl')
    paths = sorted(path for path in media.rglob('*') if path.suffix in ('.mp4', '.png', '.JPG'))
    lines = [
        {'video' if path.suffix == '.mp4' else 'image': str(path.relative_to(media)), 'caption': QUERY}
        for path in paths
    ]
    (media / 'all.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    model, scores = finder.model, {}
    for sample in DATASETS.build(data):
        inputs = model.data_preprocessor(dict(inputs=sample['inputs'][None]))['inputs']
        tokens = model.tokenizer(sample['data_samples'].texts, torch.device('cpu'))
        with torch.no_grad():
            states, text = model.encode_vision(inputs), model.encode_text(tokens)
            weights = model.key_weights(text, states.frames, states.tokens.shape[2])
            context = CrossContext(model.text.project_context(states.tokens.flatten(1, 2)), key_weights=weights)
            logit = model.itm_head(model.match(tokens, context))[0, 1]
        scores[str(media / sample['data_samples'].name)] = ((states.feature @ text[0]).item(), logit.item())
    return scores


def assert_best(found, scores, part, count):
    expected = sorted(scores, key=lambda path: -scores[path][part])[:count]
    assert [item.path for item in found] == expected
    np.testing.assert_allclose([item.score for item in found], [scores[path][part] for path in expected], rtol=1e-4)


def test_three_lines_find_what_a_plain_loop_finds(place):
    config, checkpoint, media = place
    finder = RetrievalInferencer(NAME, checkpoint, device='cpu').index(media)
    scores = slow_scores(finder, config, media)
    assert len(finder) == len(scores) == 9 and finder.skipped == {}
    assert_best(finder.search(QUERY, top=3), scores, 1, 3)
    with pytest.raises(TypeError, match='text=None must be a text'):
        finder.search(None)
    with pytest.raises(ValueError, match='top=-1 must be at least 1'):
        finder.search(QUERY, top=-1)
    with pytest.raises(ValueError, match='rerank=-3 must be 0'):
        finder.search(QUERY, rerank=-3)
    for options in (dict(top=True), dict(top=1.5), dict(top=None), dict(rerank=1.5), dict(rerank=None)):
        with pytest.raises(ValueError, match='must be'):
            finder.search(QUERY, **options)
    with pytest.raises(ValueError, match='holds half of a pair of characters'):
        finder.search('red \udcff')
    for blank in ('', ' \n'):
        with pytest.raises(ValueError, match='is blank; say what to look for'):
            finder.search(blank)
    with pytest.raises(ValueError, match="device='cuda:64', but torch sees"):
        RetrievalInferencer(NAME, checkpoint, device='cuda:64')
    assert_best(finder.search(QUERY, top=20), scores, 1, 9)
    assert_best(finder.search(QUERY, top=4, rerank=False), scores, 0, 4)
    near = sorted(scores, key=lambda path: -scores[path][0])[:5]
    assert_best(finder.search(QUERY, top=2, rerank=5), {path: scores[path] for path in near}, 1, 2)
    assert_best(finder.search(QUERY, top=5, rerank=2), {path: scores[path] for path in near}, 1, 5)


def test_words_that_the_vocabulary_does_not_know(place, logged):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu').index(media)
    plain = finder.search('a red square')
    assert not [record for record in logged if record.levelname == 'WARNING']
    finder.search('a Zebra and a red dinosaur: zebra!')
    (warning,) = [record.getMessage() for record in logged if record.levelname == 'WARNING']
    assert "does not know 'zebra', 'dinosaur'" in warning
    assert finder.unknown_words('red zebra') == ['zebra']
    for text, message in (
        ('Zebra, dinosaurs', "knows no word of the text 'Zebra, dinosaurs': 'zebra', 'dinosaurs' are unknown to it"),
        ('☃', "knows no word of the text '☃': '☃' is unknown to it"),
        ('...!', "the text '...!' has no word"),
        ('\u200b', 'has no word'),
    ):
        with pytest.raises(ValueError) as error:
            finder.search(text)
        assert message in str(error.value) and '\n' not in str(error.value)
    assert finder.search('a red square') == plain


def test_only_several_batches_of_an_index_have_a_bar(place, capsys):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu').index(media / 'still.png')
    assert 'encode' not in capsys.readouterr().err, 'one batch'
    finder.index(media)
    assert 'encode' in capsys.readouterr().err
    finder.search(QUERY)
    assert capsys.readouterr().err == '', 'nine files are encoded once more to be matched'


def test_kept_tokens_spare_the_second_reading(place, monkeypatch):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu').index(media)
    expected = finder.search(QUERY)
    sizes = encoded_by(finder, monkeypatch)
    finder.index(media, keep_tokens=True)
    assert sum(sizes) == 9, 'entries without tokens are encoded again'
    sizes.clear()
    finder.index(media)
    found = finder.search(QUERY)
    assert sizes == []
    assert [item.path for item in found] == [item.path for item in expected]
    np.testing.assert_allclose([item.score for item in found], [item.score for item in expected], rtol=1e-5)


def test_only_new_and_changed_files_are_encoded(place, monkeypatch):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu').index(media)
    sizes = encoded_by(finder, monkeypatch)
    before = {path: entry.feature for path, entry in finder.encoded.entries.items()}
    finder.index(media)
    finder.index([media / 'still.png'])
    assert sizes == []
    os.replace(media / 'clips/clip1.mp4', media / 'clips/renamed.mp4')
    shutil.copy(media / 'clips/clip2.mp4', media / 'clips/clip0.mp4')
    finder.index(media)
    assert sum(sizes) == 2
    after = {os.path.basename(path): entry.feature for path, entry in finder.encoded.entries.items()}
    assert torch.equal(after['clip0.mp4'], after['clip2.mp4'])
    assert torch.allclose(after['renamed.mp4'], before[str(media / 'clips/clip1.mp4')])
    assert 'clip1.mp4' not in after and len(after) == 9
    finder.index(media / 'clips/clip3.mp4')
    assert len(finder) == 9, 'files outside of what is indexed stay'


def test_unreadable_files_are_listed_and_left_out(place):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu')
    finder.num_workers = 1
    (media / 'broken.mp4').write_bytes(b'not a video')
    (media / 'empty.png').touch()
    finder.index(media)
    assert len(finder) == 9
    assert finder.skipped[str(media / 'empty.png')] == 'the file is empty'
    assert 'not a readable video' in finder.skipped[str(media / 'broken.mp4')]
    (media / 'still.png').write_bytes(b'')
    finder.index(media)
    assert len(finder) == 8, 'what has become unreadable leaves the index'
    (media / 'clips/clip0.mp4').unlink()
    assert str(media / 'clips/clip0.mp4') not in [item.path for item in finder.search(QUERY, top=9)]
    assert finder.skipped == {str(media / 'clips/clip0.mp4'): 'no such file'}


@pytest.mark.parametrize('keep_tokens', [False, True])
def test_index_file(place, monkeypatch, tmp_path, keep_tokens):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu')
    finder.index(media, save_to=tmp_path / 'index.safetensors', keep_tokens=keep_tokens)
    with safe_open(tmp_path / 'index.safetensors', 'pt') as file:
        assert any(key.endswith('.tokens') for key in file.keys()) == keep_tokens
    again = RetrievalInferencer(config, checkpoint, device='cpu').load(tmp_path / 'index.safetensors')
    assert again.search(QUERY) == finder.search(QUERY)
    third = RetrievalInferencer(config, checkpoint, device='cpu')
    sizes = encoded_by(third, monkeypatch)
    write_video(media / 'new.mp4', np.zeros((4, 32, 32, 3), np.uint8))
    third.index(media, save_to=tmp_path / 'index.safetensors')
    assert sizes == [1] and len(third) == 10
    assert len(again.load(tmp_path / 'index.safetensors')) == 10


def test_an_interrupted_indexing_keeps_what_it_has(place, monkeypatch, tmp_path):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu')
    encode, calls = finder.model.encode_vision, []

    def interrupt(clips):
        calls.append(len(clips))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(clips)

    monkeypatch.setattr(finder.model, 'encode_vision', interrupt)
    with pytest.raises(KeyboardInterrupt):
        finder.index(media, save_to=tmp_path / 'index.safetensors')
    done = sum(calls[:2])
    calls += [0] * 3
    finder = RetrievalInferencer(config, checkpoint, device='cpu')
    sizes = encoded_by(finder, monkeypatch)
    finder.index(media, save_to=tmp_path / 'index.safetensors')
    assert 0 < done < 9 and sum(sizes) == 9 - done


def test_an_index_of_another_model_is_refused(place, tmp_path):
    config, checkpoint, media = place
    path = tmp_path / 'index.safetensors'
    RetrievalInferencer(config, checkpoint, device='cpu').index(media / 'still.png', save_to=path)
    write_trained(config, tmp_path / 'epoch_9.pth', seed=4)
    (tmp_path / 'base.pth').write_bytes((config.parents[2] / 'work/base.pth').read_bytes() + b'.')
    base = dict(source=str(tmp_path / 'base.pth'))
    for options, differing in (
        (dict(checkpoint=tmp_path / 'epoch_9.pth'), ['checkpoint: index epoch_2.pth (sha256']),
        (dict(checkpoint='base'), ['checkpoint: index epoch_2.pth', 'this model none']),
        (dict(checkpoint='base', base_checkpoint=base), ['checkpoint: ', 'base: index base.pth (sha256']),
        (dict(checkpoint=checkpoint, frame_aware=False), ['config: index clips.py (sha256']),
    ):
        other = RetrievalInferencer(config, device='cpu', **options)
        with pytest.raises(IndexMismatchError) as error:
            other.index(media, save_to=path)
        assert all(part in str(error.value) for part in ['was made by another model', *differing])
    moved = RetrievalInferencer(
        config, checkpoint, device='cpu', base_checkpoint=dict(source=str(config.parents[2] / 'work/base.pth'))
    )
    assert len(moved.load(path)) == 1, 'where the base lies does not matter'


def test_adapters_have_indexes_of_their_own(place, tmp_path):
    config, checkpoint, media = place
    write_trained(config, tmp_path / 'epoch_9.pth', seed=4)
    finder = RetrievalInferencer(config, checkpoint, device='cpu', adapters=dict(later=tmp_path / 'epoch_9.pth'))
    assert finder.adapters == ('default', 'later')
    finder.index(media)
    with pytest.raises(ValueError, match='the index is empty; .* with this adapter, as for default'):
        finder.search(QUERY, adapter='later')
    finder.index(media, save_to=tmp_path / 'later.safetensors', adapter='later').index(media, adapter=None)
    found = {name: finder.search(QUERY, top=9, adapter=name) for name in (None, 'later', 'default')}
    assert found['default'] == finder.search(QUERY, top=9)
    for name, path in (('default', checkpoint), ('later', tmp_path / 'epoch_9.pth')):
        fresh = RetrievalInferencer(config, path, device='cpu').index(media)
        assert fresh.search(QUERY, top=9) == found[name], 'bit for bit'
        assert fresh.search(QUERY, top=9, rerank=0) == finder.search(QUERY, top=9, rerank=0, adapter=name)
    assert len({tuple(item.score for item in items) for items in found.values()}) == 3
    # This base holds all heads too.
    assert finder.kept == ()
    base = RetrievalInferencer(config, 'base', device='cpu', adapter=None).index(media)
    assert base.search(QUERY, top=9) == found[None]
    with pytest.raises(IndexMismatchError, match='checkpoint: index epoch_9.pth'):
        finder.load(tmp_path / 'later.safetensors')
    again = RetrievalInferencer(config, device='cpu', adapters=dict(later=tmp_path / 'epoch_9.pth'))
    assert again.load(tmp_path / 'later.safetensors').search(QUERY, top=9) == found['later']
    with pytest.raises(ValueError, match="there is no adapter 'latr'; did you mean later?"):
        finder.index(media, adapter='latr')


def test_number_formats(place, tmp_path):
    config, checkpoint, media = place
    plain = RetrievalInferencer(config, checkpoint, device='cpu').index(media, save_to=tmp_path / 'a.safetensors')
    short = RetrievalInferencer(config, checkpoint, device='cpu', dtype='bfloat16')
    with pytest.raises(IndexMismatchError, match='config: '):
        short.load(tmp_path / 'a.safetensors')
    short.index(media, keep_tokens=True)
    for rerank in (0, 9):
        scores, others = (
            {item.path: item.score for item in finder.search(QUERY, top=9, rerank=rerank)} for finder in (plain, short)
        )
        found = [others[path] for path in scores]
        assert found != list(scores.values())
        np.testing.assert_allclose(found, list(scores.values()), atol=0.1)
    with pytest.raises(ValueError, match="dtype='half'; choose from"):
        RetrievalInferencer(config, checkpoint, device='cpu', dtype='half')


def test_without_matching_head_features_decide(place):
    config, _, media = place
    finder = RetrievalInferencer(
        config, 'base', device='cpu', itm_head=None, frame_aware=False, adapter=dict(modalities=('vision', 'text'))
    ).index(media)
    assert finder.search(QUERY, top=9) == finder.search(QUERY, top=9, rerank=False)


def test_errors(place, tmp_path):
    config, checkpoint, media = place
    finder = RetrievalInferencer(config, checkpoint, device='cpu')
    with pytest.raises(ValueError, match='the index is empty'):
        finder.search(QUERY)
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        finder.index(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r'no video or image in it; known suffixes: \.avi'):
        finder.index(config.parent)
    with pytest.raises(ValueError, match='clips.py: neither a video nor an image'):
        finder.index([config])
    with pytest.raises(ValueError, match='must be named'):
        finder.index(media, save_to='index.pkl')
    with pytest.raises(IndexMismatchError, match='is not a retrieval index'):
        shutil.copy(checkpoint, tmp_path / 'a.pth')
        from vlpeft.checkpoint.files import write_safetensors

        write_safetensors(dict(a=torch.ones(1)), tmp_path / 'a.safetensors')
        finder.load(tmp_path / 'a.safetensors')
    (tmp_path / 'b.safetensors').write_bytes(b'junk')
    with pytest.raises(CheckpointError, match='b.safetensors'):
        finder.load(tmp_path / 'b.safetensors')
    answers = tmp_path / 'vqa.py'
    answers.write_text(f'model = {vqa_config()!r}\n')
    with pytest.raises(ValueError, match='a GenerativeVQA does not retrieve'):
        RetrievalInferencer(answers, 'base')
    assert retrieval_inferencer.RERANKED == 32
