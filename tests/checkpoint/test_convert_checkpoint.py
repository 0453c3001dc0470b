"""tools/model_converters/convert_checkpoint.py on a real config and real files."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import fabricated
import pytest
import released_uniadapter
import tiny_retriever
import torch
from fabricated import assert_same

from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.checkpoint.identity import base_identity
from vlpeft.engine.messages import run_main

TOOL = Path(__file__).parents[2] / 'tools/model_converters/convert_checkpoint.py'
spec = importlib.util.spec_from_file_location('convert_checkpoint', TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def place(tmp_path):
    """A folder with a config, an official base and an adapter-only checkpoint trained on it."""
    torch.manual_seed(0)
    base, adapters = fabricated.base(), fabricated.adapters()
    model = tiny_retriever.config(
        adapter=tiny_retriever.ADAPTER,
        temporal_frames=fabricated.FRAMES,
        base_checkpoint=dict(source='https://example.invalid/never_fetched.pth'),
    )
    (tmp_path / 'cfg.py').write_text(f'model = {model!r}\n')
    torch.save(dict(model={**base['blip'], **fabricated.official_leftovers(base['blip'])}), tmp_path / 'base.pth')
    heads = {key: value + 1 for key, value in base['ours'].items() if key.startswith(('itc_head.', 'itm_head.'))}
    trained = {**adapters['ours'], **heads}
    torch.save(
        dict(state_dict=trained, meta=dict(epoch=1, base=base_identity(tmp_path / 'base.pth'))), tmp_path / 'task.pth'
    )
    return tmp_path, base, adapters, trained


def convert(place, src, dst, *options):
    command = [str(place / src), str(place / dst), '--config', str(place / 'cfg.py'), *options]
    return run_main(lambda: tool.main(command))


def test_base_through_our_layouts_and_back(place):
    place, base, _, _ = place
    assert convert(place, 'base.pth', 'ours.pth') == 0
    ours = read_checkpoint(place / 'ours.pth')
    assert_same(ours['state_dict'], base['ours'])
    assert ours['meta']['converted_from'] == base_identity(place / 'base.pth')
    assert convert(place, 'ours.pth', 'ours.safetensors') == 0
    assert convert(place, 'ours.safetensors', 'back.pth', '--from', 'safetensors', '--to', 'blip') == 0
    model = read_checkpoint(place / 'back.pth')['model']
    del model['text_encoder.embeddings.position_ids']
    assert_same(model, base['blip'])


def test_adapters_with_their_base_to_the_released_layout(place, capsys):
    place, base, adapters, trained = place
    assert convert(place, 'task.pth', 'released.pth', '--base', str(place / 'base.pth'), '--to', 'uniadapter') == 0
    released = read_checkpoint(place / 'released.pth')
    expected = {**base['ours'], **trained}
    assert_same(get_dialect('uniadapter').to_vlpeft(released['model']), expected)
    assert 'not written' not in capsys.readouterr().out
    assert convert(place, 'released.pth', 'again.safetensors') == 0
    assert_same(read_checkpoint(place / 'again.safetensors')['state_dict'], expected)
    assert convert(place, 'released.pth', 'plain.pth', '--to', 'blip') == 0
    assert "not written, BLIP's own layout holds no adapter: " in capsys.readouterr().out


@pytest.mark.parametrize('tied', [True, False])
def test_a_released_question_answerer_through_our_layouts_and_back(tmp_path, tied):
    torch.manual_seed(0)
    released = released_uniadapter.vqa()
    torch.save(dict(model=released), tmp_path / 'released.pth')
    (tmp_path / 'cfg.py').write_text(f'model = {released_uniadapter.vqa_config(tied)!r}\n')
    for src, dst, to in (
        ('released.pth', 'ours.safetensors', 'safetensors'),
        ('ours.safetensors', 'ours.pth', 'vlpeft'),
        ('ours.pth', 'back.pth', 'uniadapter'),
    ):
        assert convert(tmp_path, src, dst, '--to', to) == 0
    tables = [
        key
        for key in read_checkpoint(tmp_path / 'ours.pth')['state_dict']
        if key.startswith('decoder.') and key.endswith(('word_embeddings.weight', 'decoder.weight'))
    ]
    assert len(tables) == (1 if tied else 2)
    assert_same(
        read_checkpoint(tmp_path / 'back.pth')['model'],
        {key: value for key, value in released.items() if not key.startswith('adapters_dec.')},
    )


def test_adapter_only_keeps_its_base_record(place):
    place, _, _, trained = place
    assert convert(place, 'task.pth', 'a.safetensors') == 0
    exported = read_checkpoint(place / 'a.safetensors')
    assert_same(exported['state_dict'], trained)
    assert exported['meta']['base'] == base_identity(place / 'base.pth')


def test_geometry_of_the_config_decides(place, capsys):
    place = place[0]
    assert convert(place, 'base.pth', 'big.pth', '--cfg-options', 'model.vision.img_size=16') == 0
    assert read_checkpoint(place / 'big.pth')['state_dict']['vision.pos_embed'].shape == (1, 17, 8)
    assert 'resized: vision.pos_embed (1, 5, 8) -> (1, 17, 8)' in capsys.readouterr().out


@pytest.mark.parametrize(
    'src, dst, options, message',
    [
        ('base.pth', 'cfg.py', (), 'must end in'),
        ('base.pth', 'a.safetensors', ('--to', 'blip'), 'must end in .pth or .pt or .bin'),
        ('base.pth', 'base.pth', (), 'base.pth exists; give --force'),
        ('nowhere.pth', 'a.pth', (), 'nowhere.pth'),
        ('task.pth', 'a.pth', ('--to', 'uniadapter'), 'name the base with --base'),
        ('base.pth', 'a.pth', ('--to', 'uniadapter'), 'use the blip layout'),
        ('base.pth', 'a.pth', ('--from', 'mmpretrain'), 'is not in the mmpretrain layout'),
        (
            'base.pth',
            'a.pth',
            ('--cfg-options', 'model.text.vocab_size=9'),
            'word_embeddings.weight: (20, 8) -> (9, 8)',
        ),
    ],
)
def test_refusals_write_nothing(place, capsys, src, dst, options, message):
    place = place[0]
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    try:
        assert convert(place, src, dst, *options) == 1
    except SystemExit as usage:
        assert usage.code == 2
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_wrong_base_is_refused(place, capsys):
    place, base, _, _ = place
    torch.save(dict(model={key: value + 1 for key, value in base['blip'].items()}), place / 'other.pth')
    assert convert(place, 'task.pth', 'a.pth', '--base', str(place / 'other.pth'), '--to', 'uniadapter') == 1
    error = capsys.readouterr().err
    assert 'trained on another base' in error and base_identity(place / 'base.pth')['sha256'] in error
    assert not (place / 'a.pth').exists()


def test_force_and_command_line(place):
    place = place[0]
    (place / 'ours.safetensors').write_bytes(b'old')
    command = [
        sys.executable,
        str(TOOL),
        str(place / 'base.pth'),
        str(place / 'ours.safetensors'),
        '--config',
        str(place / 'cfg.py'),
        '--force',
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'wrote' in done.stdout and 'blip layout' in done.stdout
    size = int.from_bytes((place / 'ours.safetensors').read_bytes()[:8], 'little')
    header = json.loads((place / 'ours.safetensors').read_bytes()[8 : 8 + size])
    assert header['vision.cls_token']['shape'] == [1, 1, 8]


def test_help_describes_every_layout(capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['--help'])
    text = capsys.readouterr().out
    for name in ('blip', 'mmpretrain', 'uniadapter', 'vlpeft', 'safetensors'):
        assert f'\n  {name}  ' in text or f'\n  {name:11}  ' in text
