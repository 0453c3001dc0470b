"""Adapter folders: what was saved comes back on a fresh model, and whatever else it is, it is refused in one line."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.adaptation import AdapterFolderError
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.manifest import manifest_of

LORA = dict(type='LoRA', rank=2, targets=dict(linears=['o', 'fc1', 'fc2']))
SHORT = dict(linears=['o', 'down'])


def config(name):
    return dict(LORA, targets=SHORT) if name == 'llama' else LORA


def saved(name, folder, method=None, **options):
    model = PLAIN[name].model()
    adapter = vlpeft.attach(model, method or config(name), **options)
    randomise(adapter.sets, seed=1)
    adapter.save(folder)
    return model, adapter


@pytest.mark.parametrize('name', PLAIN)
def test_saved_on_one_model_it_is_the_same_on_another(name, tmp_path, logged):
    model, _ = saved(name, tmp_path / 'a')
    fresh = PLAIN[name].model()
    adapter = vlpeft.load_adapter(fresh, tmp_path / 'a')
    assert torch.equal(PLAIN[name].run(fresh), PLAIN[name].run(model))
    assert all(param.requires_grad for param in adapter.parameters())
    assert not [record for record in logged if record.levelname == 'WARNING']
    # Saved again it is the same file, tensor by tensor.
    adapter.save(tmp_path / 'b')
    first, second = (load_file(tmp_path / x / 'adapter_model.safetensors') for x in 'ab')
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / 'a/adapter_config.json').read_text() == (tmp_path / 'b/adapter_config.json').read_text()


def test_the_config_says_what_it_belongs_to(tmp_path):
    model, adapter = saved('bart', tmp_path, trainable=dict(lm_head='output'))
    record = json.loads((tmp_path / 'adapter_config.json').read_text())
    # One tensor with the word embeddings, by whose name it is kept.
    assert record['method'] == LORA and record['parts'] == {'model.shared.weight': 'output'}
    assert record['towers']['decoder'] == {'class': 'BartDecoder', 'path': 'model.decoder', 'depth': 2, 'width': 16}
    assert record['parameters'] == adapter.counts()['trainable']
    assert record['base']['name'] == 'BartForConditionalGeneration' and len(record['base']['fingerprint']) == 64
    keys = load_file(tmp_path / 'adapter_model.safetensors')
    assert all('model.' not in key for key in keys if key.startswith('adapter.'))


class Wrapper(nn.Module):
    """A library that has moved its modules."""

    def __init__(self, model):
        super().__init__()
        self.backbone = nn.ModuleDict(dict(language=model))

    def forward(self, **inputs):
        return self.backbone['language'](**inputs)


def test_it_survives_that_modules_are_renamed(tmp_path):
    model, _ = saved('t5', tmp_path)
    renamed = Wrapper(PLAIN['t5'].model())
    vlpeft.load_adapter(renamed, tmp_path)
    assert torch.equal(PLAIN['t5'].run(renamed), PLAIN['t5'].run(model))


def test_trained_parts_of_the_model_come_along(tmp_path):
    model, _ = saved('llama', tmp_path / 'first', trainable=['lm_head'])
    fresh = PLAIN['llama'].model()
    with torch.no_grad():
        fresh.lm_head.weight.zero_()
    adapter = vlpeft.load_adapter(fresh, tmp_path / 'first')
    assert torch.equal(fresh.lm_head.weight, model.lm_head.weight) and adapter.part_roles == {
        'lm_head.weight': 'lm_head'
    }
    other = vlpeft.attach(PLAIN['llama'].model(), config('llama'))
    with pytest.raises(AdapterFolderError, match=r'such as lm_head\.weight, which do not train here; attach with'):
        other.load(tmp_path / 'first', 'second')
    assert list(other.sets) == ['default']


def test_several_sets_on_one_model(tmp_path):
    for i, name in enumerate('ab'):
        adapter = vlpeft.attach(PLAIN['gpt2'].model(), dict(LORA, rank=i + 1))
        randomise(adapter.sets, seed=i)
        adapter.save(tmp_path / name)
    model = PLAIN['gpt2'].model()
    adapter = vlpeft.load_adapter(model, tmp_path / 'a', name='a')
    adapter.load(tmp_path / 'b', 'b')
    for name in 'ab':
        alone = PLAIN['gpt2'].model()
        vlpeft.load_adapter(alone, tmp_path / name)
        with adapter.use(name):
            assert torch.equal(PLAIN['gpt2'].run(model), PLAIN['gpt2'].run(alone))


def test_another_base_is_said_loudly_and_the_same_base_in_bfloat16_is_not(tmp_path, logged):
    vlpeft.attach(PLAIN['llama'].model(torch.float32), config('llama')).save(tmp_path)
    for dtype, seed, warned in ((torch.bfloat16, 0, False), (torch.float32, 5, True)):
        logged.clear()
        vlpeft.load_adapter(PLAIN['llama'].model(dtype, seed), tmp_path)
        said = [record.getMessage() for record in logged if record.levelname == 'WARNING']
        assert bool(said) is warned
        assert not warned or 'weights of the model are not those that it was trained on' in said[0]


def test_every_difference_of_geometry_is_named(tmp_path):
    saved('llama', tmp_path)
    import transformers

    other = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8, vocab_size=40
        )
    )
    with pytest.raises(
        AdapterFolderError,
        match="trained on another model: tower 'lm' has depth 3 instead of 2; tower 'lm' has width 8 instead of 16",
    ):
        vlpeft.load_adapter(other, tmp_path)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in other.modules())
    with pytest.raises(AdapterFolderError, match=r"no tower 'lm' \(there are encoder, decoder\)"):
        vlpeft.load_adapter(PLAIN['bart'].model(), tmp_path)


def edit(folder, **changes):
    """The same change in both files, as one save would have made it."""
    from vlpeft.checkpoint.files import read_checkpoint, write_safetensors

    path = folder / 'adapter_model.safetensors'
    checkpoint = read_checkpoint(path)
    record = {**checkpoint['meta'], **{key: value for key, value in changes.items() if key != 'state'}}
    state = checkpoint['state_dict']
    changes.get('state', lambda state: None)(state)
    write_safetensors(state, path, record)
    (folder / 'adapter_config.json').write_text(json.dumps(record, indent=2) + '\n')


FIRST = 'adapter.layers.lm_0_self_attn_o.up.weight'


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(state=lambda s: s.pop(FIRST)), f'lacks {FIRST}'),
        (dict(state=lambda s: s.update(extra=torch.ones(1))), 'has extra, for which there is no place'),
        (dict(state=lambda s: s.update({FIRST: torch.ones(3, 2)})), rf'{FIRST} is \(3, 2\) instead of \(16, 2\)'),
        (dict(state=lambda s: s[FIRST].fill_(float('nan'))), f'{FIRST} is not finite'),
        (dict(format='other'), 'is the config of no adapter that vlpeft or HF PEFT wrote'),
        (dict(format_version=2), 'format_version 2; this vlpeft .* reads 1'),
        (dict(towers=[]), "'towers' is missing or no dict"),
        (dict(method=dict(type='os.system', command='true')), "'os.system' is no registered type"),
        (dict(method=dict(type='antigravity')), "'antigravity' is no registered type"),
        (dict(method=[dict(LORA, targets=SHORT), dict(type='this')]), "'this' is no registered type"),
        (
            dict(method=dict(type='Bottleneck', targets={}, act_cfg=dict(type='webbrowser.open', url='x'))),
            "'webbrowser.open' is no registered type",
        ),
    ],
)
def test_what_a_folder_may_not_be(changes, message, tmp_path):
    saved('llama', tmp_path)
    edit(tmp_path, **changes)
    model = PLAIN['llama'].model()
    bare = PLAIN['llama'].run(model)
    with pytest.raises(AdapterFolderError, match=message):
        vlpeft.load_adapter(model, tmp_path)
    assert torch.equal(PLAIN['llama'].run(model), bare)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert 'antigravity' not in sys.modules and 'this' not in sys.modules


def test_damaged_and_missing_files(tmp_path):
    model = PLAIN['llama'].model()
    with pytest.raises(AdapterFolderError, match='is no adapter folder: it has no adapter_config.json'):
        vlpeft.load_adapter(model, tmp_path)
    saved('llama', tmp_path / 'a')
    config_file, weights = (tmp_path / 'a' / name for name in ('adapter_config.json', 'adapter_model.safetensors'))
    text, data = config_file.read_text(), weights.read_bytes()
    config_file.write_text(text[:40])
    with pytest.raises(AdapterFolderError, match='no JSON'):
        vlpeft.load_adapter(model, tmp_path / 'a')
    config_file.write_text(text.replace('"rank": 2', '"rank": 3'))
    with pytest.raises(AdapterFolderError, match='are not of one save'):
        vlpeft.load_adapter(model, tmp_path / 'a')
    config_file.write_text(text)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match='is damaged'):
        vlpeft.load_adapter(model, tmp_path / 'a')
    weights.unlink()
    with pytest.raises(AdapterFolderError, match=r'has no adapter_model\.safetensors'):
        vlpeft.load_adapter(model, tmp_path / 'a')


def test_numbers_that_are_not_finite_are_not_saved_over_good_ones(tmp_path):
    _, adapter = saved('llama', tmp_path)
    before = (tmp_path / 'adapter_model.safetensors').read_bytes()
    with torch.no_grad():
        next(adapter.parameters())[0, 0] = float('inf')
    with pytest.raises(AdapterFolderError, match='1 tensors of set .* are not finite, .*; nothing was written'):
        adapter.save(tmp_path)
    assert (tmp_path / 'adapter_model.safetensors').read_bytes() == before
    assert manifest_of(tmp_path / 'adapter_model.safetensors').is_file()


def test_a_config_that_json_cannot_hold(tmp_path):
    adapter = vlpeft.attach(PLAIN['gpt2'].model(), dict(type='Bottleneck', targets={}, act_cfg=dict(type=nn.ReLU)))
    with pytest.raises(AdapterFolderError, match='which JSON cannot; name types as texts'):
        adapter.save(tmp_path)
    with pytest.raises(AdapterFolderError, match=r"format='onnx'; choose from \('vlpeft', 'peft'\)"):
        adapter.save(tmp_path, format='onnx')
