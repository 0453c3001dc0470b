"""Exported folders: loaded by stock transformers and by peft, they answer as the adapted model did."""

import json
import re

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import vlpeft
from tests import tiny_vlms
from tests.commands import run_script
from vlpeft.registry import MODELS

SCRIPT = 'tools/model_converters/export.py'
LORA = dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn', 'ffn']))
BOTTLENECK = dict(type='Bottleneck', bottleneck=4, targets=dict(towers=['lm'], kinds=['ffn']))


def trained(folder, name='llava', dtype='float32', **options):
    """The base's folder, a config on it, and a checkpoint of a run: paths, and the model that was trained."""
    base = folder / 'base'
    tiny_vlms.build(name).to(getattr(torch, dtype)).save_pretrained(base)
    tiny_vlms.processor(name, base)
    model = dict(
        type='ImageTextLM',
        model=str(base),
        dtype=dtype,
        tasks=dict(vqa=dict()),
        base_checkpoint=dict(source=str(base)),
        data_preprocessor=dict(type='BaseDataPreprocessor'),
        **dict(dict(adapter=LORA), **options),
    )
    (folder / 'config.py').write_text(f'model = {model!r}\n')
    task = MODELS.build(model).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key in task.declared:
            param = task.get_parameter(key)
            param.add_(0.05 * torch.randn(param.shape, generator=generator).to(param.dtype))
    state = {key: task.get_parameter(key).detach() for key in task.declared}
    torch.save(dict(state_dict=state, meta=dict(base=task.base)), folder / 'run.pth')
    return task


def export(folder, *arguments, out='out', source=('config.py', 'run.pth')):
    return run_script(SCRIPT, *(folder / part for part in source), folder / out, *arguments)


def logits(model, name='llava'):
    dtype = next(model.parameters()).dtype
    batch = tiny_vlms.batch(name, ('what colour is it ?',))
    given = {key: value.to(dtype) if value.is_floating_point() else value for key, value in batch.items()}
    with torch.no_grad():
        return model(**given).logits.float()


def close(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize('name', ['llava', 'qwen2_5_vl', 'smolvlm'])
def test_merged(tmp_path, name):
    task = trained(tmp_path, name, trainable=['heads', dict(parts='norms', towers=['lm'])])
    expected = logits(task.vlm, name)
    done = export(tmp_path, '--max-shard-size', '40KB')
    assert done.returncode == 0, done.stderr
    assert 'weights in float32; largest difference of its logits' in done.stdout
    assert done.stdout.endswith('on a picture and a question)\n')
    folder = tmp_path / 'out'
    found = AutoModelForImageTextToText.from_pretrained(folder).eval()
    close(logits(found, name), expected)
    bare = AutoModelForImageTextToText.from_pretrained(tmp_path / 'base').eval()
    assert not torch.allclose(logits(bare, name), expected, atol=1e-2)
    assert found.state_dict().keys() == bare.state_dict().keys()
    assert len(list(folder.glob('*.safetensors'))) > 1 and (folder / 'generation_config.json').is_file()
    kinds = [type(AutoProcessor.from_pretrained(place)) for place in (folder, tmp_path / 'base')]
    assert kinds[0] is kinds[1]
    assert json.loads((folder / 'config.json').read_text())['architectures'] == [type(found).__name__]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith('.')] == []


def test_merged_in_half_precision(tmp_path):
    task = trained(tmp_path, dtype='bfloat16')
    expected = logits(task.vlm)
    assert export(tmp_path).returncode == 0
    found = AutoModelForImageTextToText.from_pretrained(tmp_path / 'out', dtype='auto').eval()
    assert found.dtype == torch.bfloat16
    assert (logits(found) - expected).abs().max() < 0.1 * expected.abs().max()


def test_a_trained_connector_beside_half_precision(tmp_path):
    task = trained(tmp_path, dtype='bfloat16', trainable=['connectors'])
    name = 'model.multi_modal_projector.linear_1.weight'
    assert task.vlm.get_parameter(name).dtype == torch.float32
    expected = logits(task.vlm)
    done = export(tmp_path)
    assert done.returncode == 0, done.stderr
    found = AutoModelForImageTextToText.from_pretrained(tmp_path / 'out', dtype='auto').eval()
    assert torch.equal(found.get_parameter(name), task.vlm.get_parameter(name).bfloat16())
    assert (logits(found) - expected).abs().max() < 0.1 * expected.abs().max()


def test_a_lora_for_peft(tmp_path):
    from peft import PeftModel

    task = trained(tmp_path)
    expected = logits(task.vlm)
    done = export(tmp_path, '--format', 'peft')
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'adapter_config.json',
        'adapter_model.safetensors',
    ]
    base = AutoModelForImageTextToText.from_pretrained(tmp_path / 'base')
    close(logits(PeftModel.from_pretrained(base, tmp_path / 'out').eval()), expected)


@pytest.mark.parametrize('form', ['merged', 'peft'])
def test_an_adapter_folder_of_a_loop_of_ones_own(tmp_path, form):
    from peft import PeftModel

    trained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / 'base').eval()
    parts = dict(parts='connectors') if form == 'merged' else None
    handle = vlpeft.attach(model, LORA, trainable=parts)
    with torch.no_grad():
        for param in handle.parameters():
            param.add_(0.05 * torch.randn(param.shape, generator=torch.Generator().manual_seed(2)))
    handle.save(tmp_path / 'adapter')
    expected = logits(model)
    done = export(tmp_path, '--format', form, source=('base', 'adapter'))
    assert done.returncode == 0, done.stderr
    if form == 'merged':
        found = AutoModelForImageTextToText.from_pretrained(tmp_path / 'out').eval()
    else:
        base = AutoModelForImageTextToText.from_pretrained(tmp_path / 'base')
        found = PeftModel.from_pretrained(base, tmp_path / 'out').eval()
    close(logits(found), expected)


@pytest.mark.parametrize(
    'options, arguments, message',
    [
        (dict(adapter=BOTTLENECK), [], 'Bottleneck cannot be merged: .* keep the adapter beside its base'),
        (dict(adapter=BOTTLENECK), ['--format', 'peft'], 'Bottleneck cannot be written as a folder of peft; LoRA can'),
        (dict(trainable='norms'), ['--format', 'peft'], 'a folder of peft holds a LoRA alone, and .* export it merged'),
        (
            {},
            ['--cfg-options', 'model.quantization.load_in_4bit=True'],
            'the base is quantised, .* --cfg-options model.quantization=None',
        ),
        ({}, ['--cfg-options', 'work_dir=x'], 'only settings of model have a say here'),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path, options, arguments, message):
    trained(tmp_path, **options)
    done = export(tmp_path, *arguments)
    assert done.returncode and re.search(message, done.stderr), done.stderr
    assert 'Traceback' not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['base', 'config.py', 'run.pth']


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    trained(tmp_path)
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'notes.txt').write_text('mine')
    assert 'is not empty; choose another folder, or --overwrite' in export(tmp_path).stderr
    assert 'holds neither config.json nor adapter_config.json' in export(tmp_path, '--overwrite').stderr
    assert [path.name for path in folder.iterdir()] == ['notes.txt']
    (folder / 'notes.txt').unlink()
    assert export(tmp_path).returncode == 0
    (folder / 'model-00009-of-00009.safetensors').write_text('of an earlier model')
    assert export(tmp_path, '--overwrite').returncode == 0
    assert not (folder / 'model-00009-of-00009.safetensors').exists()
    assert 'is a file; name a folder' in export(tmp_path, out='run.pth').stderr
