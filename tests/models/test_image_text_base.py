"""Bases of image-text-to-text models: safetensors files of transformers by folder, file or URL, whole or refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import tiny_vlms
from tests.apis.tiny_zoo import FileServer
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.coverage import random_parts
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.models.hub_weights import check_source
from vlpeft.models.tasks import ImageTextLM

PLAIN = dict(type='BaseDataPreprocessor')
INDEX = 'model.safetensors.index.json'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A folder with one file."""
    folder = tmp_path_factory.mktemp('whole')
    tiny_vlms.build('llava', seed=3).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """A folder with several."""
    folder = tmp_path_factory.mktemp('shards')
    tiny_vlms.build('llava', seed=3).save_pretrained(folder, max_shard_size='60KB')
    assert len(list(folder.glob('model-*.safetensors'))) > 3
    return folder


def build(source, geometry=None, unused=(), sha256=None, **options):
    base = dict(source=str(source), unused=unused, sha256=sha256)
    return ImageTextLM(
        model=geometry or tiny_vlms.config('llava'),
        processor='nowhere',
        tasks={},
        dtype=options.pop('dtype', 'float32'),
        base_checkpoint=base,
        data_preprocessor=PLAIN,
        **options,
    )


def assert_has(model, expected):
    for key, value in expected.items():
        torch.testing.assert_close(model.vlm.state_dict()[key], value, rtol=0, atol=0, msg=key)


def test_a_folder_a_file_and_shards_give_the_same_model(whole, shards):
    expected = tiny_vlms.build('llava', seed=3).state_dict()
    for source in (whole, whole / 'model.safetensors', shards, shards / INDEX):
        model = build(source)
        assert_has(model, expected)
        assert random_parts(model) == [] and model.frozen_keys() == set(model.state_dict())
    # The geometry of the folder itself.
    assert_has(build(whole, str(whole)), expected)


@pytest.mark.parametrize('name', [name for name in tiny_vlms.FAMILIES if name not in ('aya_vision', 'llava')])
def test_every_family_comes_back_from_its_shards(name, tmp_path):
    saved = tiny_vlms.build(name, seed=3)
    saved.save_pretrained(tmp_path, max_shard_size='60KB')
    model = build(tmp_path, tiny_vlms.config(name))
    assert_has(model, saved.state_dict())
    assert random_parts(model) == []
    special = saved.generation_config.eos_token_id
    assert model.vlm.generation_config.eos_token_id == special


def test_the_identity_is_the_hash_of_the_files(whole, shards, tmp_path):
    one = build(whole).base
    assert one == dict(name=whole.name, sha256=file_sha256(whole / 'model.safetensors'))
    several = build(shards)
    assert several.base['name'] == shards.name and several.base['sha256'] != one['sha256']
    assert build(shards, sha256=several.base['sha256']).base == several.base
    with pytest.raises(CheckpointError, match='is not the expected file'):
        build(shards, sha256=one['sha256'])
    # One tensor of one shard is another.
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = sorted(tmp_path.glob('model-*.safetensors'))[0]
    state = load_file(path)
    key = next(iter(state))
    save_file({**state, key: state[key] + 1}, path, dict(format='pt'))
    assert build(tmp_path).base['sha256'] != several.base['sha256']


def test_weights_come_from_urls(shards, tmp_path, monkeypatch):
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'cache'))
    server = FileServer(shards)
    try:
        model = build(f'{server.url}/{INDEX}')
    finally:
        server.close()
    assert_has(model, tiny_vlms.build('llava', seed=3).state_dict())
    assert model.base == dict(build(shards).base, name=INDEX)


def test_files_of_former_releases_are_renamed(tmp_path):
    """As LLaVA's were before transformers 4.52, and as they are called in the model."""
    now = tiny_vlms.build('llava', seed=3).state_dict()
    former = {
        key.replace('model.language_model.', 'language_model.model.')
        .replace('model.vision_tower.', 'vision_tower.')
        .replace('model.multi_modal_projector.', 'multi_modal_projector.')
        .replace('lm_head.', 'language_model.lm_head.'): value
        for key, value in now.items()
    }
    assert not now.keys() & former.keys()
    for state in (former, now):
        save_file(state, tmp_path / 'model.safetensors', dict(format='pt'))
        assert_has(build(tmp_path), now)


def changed(whole, folder, change):
    state = load_file(whole / 'model.safetensors')
    change(state)
    save_file(state, folder / 'model.safetensors', dict(format='pt'))
    return folder


def norm(state):
    return next(key for key in state if key.endswith('language_model.norm.weight') or key.endswith('model.norm.weight'))


def test_weights_that_do_not_fit_are_refused(whole, tmp_path):
    lacking = changed(whole, tmp_path, lambda state: state.pop(norm(state)))
    with pytest.raises(CheckpointError, match='1 weights of the model are not in it: .*norm.weight'):
        build(lacking)
    other = changed(whole, tmp_path, lambda state: state.update({norm(state): torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r'1 weights have other shapes: .*norm.weight, which is \(32,\)'):
        build(other)
    more = changed(whole, tmp_path, lambda state: state.update({'other.weight': torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r'1 keys of it would not be read: other.weight; .*unused=\[…\]'):
        build(more)
    assert_has(build(more, unused=['other.*']), tiny_vlms.build('llava', seed=3).state_dict())
    with pytest.raises(CheckpointError, match='unused lists nothing, and .* has no unread keys of that name'):
        build(more, unused=['nothing', 'other.*'])


def test_a_geometry_that_is_not_the_files_is_refused(whole):
    """Entries that no shape tells, in a part and at the top; what is written otherwise but equal is no other."""
    own = tiny_vlms.config('llava')
    assert_has(
        build(whole, geometry={**own, 'architectures': ['Another']}), tiny_vlms.build('llava', seed=3).state_dict()
    )
    for part, name, value in (('text_config', 'rms_norm_eps', 0.25), ('vision_config', 'hidden_act', 'relu')):
        other = {**own, part: {**own[part], name: value}}
        with pytest.raises(CheckpointError, match=rf'{part}\.{name} is {value!r} and there .*hub name'):
            build(whole, geometry=other)
    with pytest.raises(CheckpointError, match='vision_feature_layer is -1 and there -2'):
        build(whole, geometry={**own, 'vision_feature_layer': -1})


def test_what_is_no_safetensors_is_refused_in_one_line(whole, shards, tmp_path):
    torch.save(load_file(whole / 'model.safetensors'), tmp_path / 'pytorch_model.bin')
    for source in (tmp_path, tmp_path / 'pytorch_model.bin'):
        for refuse in (build, lambda source: check_source(str(source))):
            with pytest.raises(CheckpointError, match='safetensors files only, since pickles can run code') as error:
                refuse(source)
            assert '\n' not in str(error.value)
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(CheckpointError, match='has none of model.safetensors, .*; it holds nothing'):
        build(empty)
    with pytest.raises(ValueError, match='there is no such folder'):
        build(tmp_path / 'absent')
    with pytest.raises(FileNotFoundError, match='not found'):
        build(tmp_path / 'absent.safetensors')
    (empty / INDEX).write_text((shards / INDEX).read_text())
    with pytest.raises(CheckpointError, match='lists model-00001.*which is not beside it'):
        build(empty)
    (empty / INDEX).write_text(json.dumps(dict(weight_map=dict(a='pytorch_model.bin'))))
    (empty / 'pytorch_model.bin').write_bytes((tmp_path / 'pytorch_model.bin').read_bytes())
    with pytest.raises(CheckpointError, match='lists pytorch_model.bin; weights .* safetensors files only'):
        build(empty)


def test_a_damaged_file_is_named(whole, tmp_path):
    content = (whole / 'model.safetensors').read_bytes()
    (tmp_path / 'model.safetensors').write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match='model.safetensors'):
        build(tmp_path)


def test_an_index_that_promises_what_its_files_do_not_hold_is_refused(shards, tmp_path):
    listed = json.loads((shards / INDEX).read_text())['weight_map']
    first, second = sorted(set(listed.values()))[:2]
    files = {name: load_file(shards / name) for name in set(listed.values())}

    def written(folder, **changes):
        folder.mkdir()
        for name, tensors in (files | changes).items():
            save_file(tensors, folder / name, dict(format='pt'))
        (folder / INDEX).write_text((shards / INDEX).read_text())
        return folder

    key, value = next(iter(files[first].items()))
    lacking = {name: tensor for name, tensor in files[first].items() if name != key}
    with pytest.raises(CheckpointError, match=f'lists 1 tensors with {first} that it lacks: {key}'):
        build(written(tmp_path / 'lacking', **{first: lacking or dict(other=value)}))
    with pytest.raises(CheckpointError, match=f'lists {key} with {first}, and {second} holds it, too'):
        build(written(tmp_path / 'twice', **{second: files[second] | {key: torch.zeros_like(value)}}))
    (tmp_path / 'twice' / first).write_bytes((shards / first).read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=f'{first}: .*incomplete'):
        build(tmp_path / 'twice')


def test_the_type_of_the_weights_is_that_of_the_config(whole):
    model = build(whole, dtype='bfloat16')
    assert {param.dtype for param in model.vlm.parameters()} == {torch.bfloat16}


def test_quantisation_is_checked():
    geometry = tiny_vlms.config('llava')
    options = dict(processor='x', tasks={}, data_preprocessor=PLAIN)
    with pytest.raises(ValueError, match='quantization is of given weights'):
        ImageTextLM(model=geometry, quantization=dict(load_in_4bit=True), **options)
    with torch.device('meta'):
        counted = ImageTextLM(model=geometry, quantization=dict(load_in_4bit=True), **options)
    assert sum(param.numel() for param in counted.vlm.parameters()) == sum(
        param.numel() for param in tiny_vlms.build('llava').parameters()
    )


@pytest.mark.parametrize(
    'entries, expected',
    [
        (dict(load_in_4bits=True), "quantization has no 'load_in_4bits'; choose from load_in_8bit, load_in_4bit"),
        (dict(bnb_4bit_quant_type='nf4'), 'names no number of bits'),
        (dict(load_in_4bit=True, load_in_8bit=True), 'names no number of bits'),
    ],
)
def test_entries_of_quantisation_are_checked(whole, entries, expected):
    with pytest.raises(ValueError, match=expected):
        build(whole, quantization=entries)
