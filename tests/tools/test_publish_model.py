"""publish_model.py on a checkpoint as a run leaves it."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.apis.tiny_zoo import write_trained
from tests.workspace import LORA, ROOT, write_child, write_workspace
from tools.model_converters.publish_model import main
from vlpeft.apis.publishing.publish import publish
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint
from vlpeft.checkpoint.manifest import manifest_of
from vlpeft.engine.messages import run_main

SECRET = b'someone'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """(checkpoint of a run, its model, its config)."""
    folder = tmp_path_factory.mktemp('run')
    config = write_workspace(folder / 'work')
    return folder / 'epoch_2.pth', write_trained(config, folder / 'epoch_2.pth'), config


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_only_what_was_trained_is_published(run, tmp_path, capsys, suffix):
    src, model, _ = run
    path = publish(src, tmp_path / f'tiny{suffix}', model)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'tiny-{digest[:8]}{suffix}'
    assert path.stat().st_mode & 0o044 == 0o044, 'others may read it'
    checkpoint = read_checkpoint(path)
    assert set(checkpoint) == {'state_dict', 'meta'}
    assert set(checkpoint['state_dict']) == set(model.declared)
    for key, value in checkpoint['state_dict'].items():
        assert torch.equal(value, model.get_parameter(key)), key
    meta = checkpoint['meta']
    assert (
        meta['base'] == model.base
        and meta['epoch'] == 2
        and set(meta) == {'base', 'epoch', 'iter', 'method', 'vlpeft_version'}
    )
    assert meta['method'] == 'UniAdapter of a Retriever'
    assert SECRET in src.read_bytes() and SECRET not in path.read_bytes()
    entry = yaml.safe_load(capsys.readouterr().out.split('for the metafile:\n')[1])
    assert entry['Weights'].endswith(path.name)
    assert (entry['SHA256'], entry['Size']) == (digest, path.stat().st_size)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_publishing_again_changes_nothing(run, tmp_path, capsys, suffix):
    path = publish(run[0], tmp_path / f'tiny{suffix}', run[1])
    stamp = path.stat().st_mtime_ns
    shutil.copy(run[0], tmp_path / 'copy.pth')
    for _ in range(12):
        assert publish(tmp_path / 'copy.pth', tmp_path / f'tiny{suffix}', run[1]) == path
        assert f'{path} is there already' in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / 'copy.pth', path, manifest_of(path)])
    assert path.stat().st_mtime_ns == stamp
    assert publish(run[0], tmp_path / f'elsewhere/tiny{suffix}', run[1]).read_bytes() == path.read_bytes()


def number_bytes(path: Path) -> int:
    """Of a safetensors file, without its header, whose length its first 8 bytes tell."""
    content = path.read_bytes()
    return len(content) - 8 - int.from_bytes(content[:8], 'little')


def test_half_precision_is_half_as_many_bytes_of_rounded_numbers(run, tmp_path):
    src, model, _ = run
    whole, half = (publish(src, tmp_path / f'{name}.safetensors', model, name == 'half') for name in ('whole', 'half'))
    read = {name: read_checkpoint(path)['state_dict'] for name, path in (('whole', whole), ('half', half))}
    assert set(read['half']) == set(read['whole']) and 2 * number_bytes(half) == number_bytes(whole)
    for key, value in read['whole'].items():
        assert read['half'][key].dtype == torch.float16 and torch.equal(read['half'][key], value.half()), key


def test_a_number_too_large_for_half_precision_is_refused(run, tmp_path):
    src, model, _ = run
    checkpoint = torch.load(src, weights_only=False)
    key = next(iter(checkpoint['state_dict']))
    checkpoint['state_dict'][key].view(-1)[0] = 70_000.0
    write_checkpoint(checkpoint, tmp_path / 'large.pth')
    with pytest.raises(CheckpointError, match=f'{key} has values that half precision cannot hold'):
        publish(tmp_path / 'large.pth', tmp_path / 'half.safetensors', model, half=True)


def test_command_line(run, tmp_path):
    command = [
        sys.executable,
        'tools/model_converters/publish_model.py',
        run[0],
        tmp_path / 'tiny.pth',
        '--config',
        run[2],
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (path,) = tmp_path.glob('*.pth')
    assert f'wrote {path}' in done.stdout and publish(run[0], tmp_path / 'tiny.pth', run[1]) == path


def test_a_damaged_file_of_that_name_is_not_overwritten(run, tmp_path, capsys):
    path = publish(run[0], tmp_path / 'tiny.pth', run[1])
    path.write_bytes(b'damaged')
    assert run_main(lambda: main([str(run[0]), str(tmp_path / 'tiny.pth'), '--config', str(run[2])])) == 1
    assert 'holds something else' in capsys.readouterr().err and path.read_bytes() == b'damaged'


def test_refusals(run, tmp_path, capsys):
    torch.save(
        dict(
            model={
                'visual_encoder.cls_token': torch.ones(1),
                'text_encoder.x': torch.ones(1),
                'vision_proj.weight': torch.ones(1),
            }
        ),
        tmp_path / 'blip.pth',
    )
    torch.save(dict(state_dict={'momentum.x': torch.ones(1)}), tmp_path / 'empty.pth')
    for name, message in (
        ('blip.pth', 'is in the blip layout; convert it first'),
        ('empty.pth', 'no trained weights'),
        ('nowhere.pth', 'nowhere.pth'),
    ):
        assert run_main(lambda: main([str(tmp_path / name), str(tmp_path / 'out.pth'), '--config', str(run[2])])) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(run[0]), str(tmp_path / 'out'), '--config', str(run[2])])
    assert 'must end in .pth' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['blip.pth', 'empty.pth']


def test_a_checkpoint_that_does_not_fit_its_config_is_not_published(run, tmp_path, capsys):
    config = write_child(tmp_path / 'lora.py', run[2], adapter=dict(LORA, _delete_=True))
    assert run_main(lambda: main([str(run[0]), str(tmp_path / 'out.pth'), '--config', str(config)])) == 1
    error = capsys.readouterr().err
    assert 'a method that it does not name, the config is LoRA of a Retriever' in error and 'adapter.layers' in error
    checkpoint = torch.load(run[0])
    del checkpoint['state_dict']['adapter.layers.1.down.bias']
    torch.save(checkpoint, tmp_path / 'part.pth')
    assert run_main(lambda: main([str(tmp_path / 'part.pth'), str(tmp_path / 'out.pth'), '--config', str(run[2])])) == 1
    assert 'leaves 1 parameters unfilled: adapter (1): adapter.layers.1.down.bias' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['lora.py', 'part.pth']
