"""What is not what it says it is: arguments of the handle, folders edited by hand, models changed while merged."""

import copy
import json
import re
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

import vlpeft
from vlpeft.adaptation import AdapterFolderError
from vlpeft.adapters import LoRA
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

LORA = dict(type='LoRA', rank=2, targets={})
SUBJECT = SUBJECTS['llama']


def _attached(trainable=None):
    model = SUBJECT.model(torch.float32)
    adapter = vlpeft.attach(model, LORA, trainable=trainable)
    randomise(adapter.sets, seed=1)
    return model, adapter


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(check_after=-1), 'check_after=-1'),
        (dict(check_after=True), 'check_after=True'),
        (dict(strict='no'), "strict='no'"),
        (dict(towers='model'), "towers='model'; write towers=dict(name='module.path')"),
        (dict(towers=dict(lm=None)), "towers={'lm': None}"),
        (dict(towers={5: 'model'}), "towers={5: 'model'}"),
    ],
)
def test_arguments_of_another_type_are_refused_by_name(options, text):
    model = SUBJECT.model(torch.float32)
    with pytest.raises(ValueError, match=re.escape(text)):
        vlpeft.attach(model, LORA, **options)
    vlpeft.attach(model, LORA)


def test_a_type_that_is_no_method_and_a_method_given_as_its_class():
    model = SUBJECT.model(torch.float32)
    for kind in ('torch.nn.Linear', torch.nn.Linear, 5):
        with pytest.raises(ValueError, match='is no method'):
            vlpeft.attach(model, dict(type=kind, in_features=1, out_features=1))
    assert "set 'default': LoRA, active" in str(vlpeft.attach(model, dict(LORA, type=LoRA)))


def test_sets_per_sample_are_a_list_and_rows_a_number():
    _, adapter = _attached()
    for names in (None, 'default', {'default'}):
        with pytest.raises(ValueError, match='give a list'):
            adapter.per_sample(names)
    for rows in (0, -1, 1.5, '2', True, None):
        with pytest.raises(ValueError, match='rows_each='):
            adapter.per_sample(['default'], rows_each=rows)
    adapter.remove('default')
    with pytest.raises(ValueError, match=re.escape('adapter.add(name, config)')):
        adapter.save('nowhere')


def test_nothing_else_is_loaded_while_a_set_is_merged():
    model, adapter = _attached()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {key: value + 1 for key, value in adapter.state_dict().items()}
    adapter.merge()
    with pytest.raises(ValueError, match='cannot load other weights while'):
        adapter.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        adapter.double().float()
        adapter.unmerge()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    adapter.load_state_dict(state)
    adapter.merge()
    model.load_state_dict(before)
    with pytest.warns(UserWarning, match='written to while a set was merged'):
        adapter.unmerge()


def _edited(folder, change, tensors=None):
    """Both files of a folder, changed alike, without the manifest that would tell."""
    record = json.loads((folder / 'adapter_config.json').read_text())
    change(record)
    state = load_file(folder / 'adapter_model.safetensors')
    state = state if tensors is None else {key: tensors(value) for key, value in state.items()}
    (folder / 'adapter_config.json').write_text(json.dumps(record))
    save_file(state, folder / 'adapter_model.safetensors', dict(format='pt', vlpeft=json.dumps(record)))
    (folder / 'adapter_model.safetensors.manifest.json').unlink()


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda record: record.update(format_version=True), 'format_version True'),
        (lambda record: record.update(towers={}), "'towers' names none"),
        (lambda record: record['towers'].update(lm=5), "tower 'lm' is 5"),
        (lambda record: record['towers']['lm'].pop('width'), "tower 'lm' is"),
        (lambda record: record['parts'].update({'lm_head.weight': 5}), "part 'lm_head.weight' has role 5"),
        (lambda record: record['parts'].update({'gone.weight': 'head'}), 'trained tensors of the model itself'),
        (lambda record: record.update(base={}), "'base' is {}"),
        (lambda record: record['base'].update(fingerprint=5), "'base' is"),
        (lambda record: record['method'].update(rank='2'), "LoRA: rank='2'; it is an integer"),
        (lambda record: record.update(method=[1]), '1 is no method'),
        (lambda record: record['method'].update(targets=[]), 'targets=[]; it is a dict'),
    ],
)
def test_every_entry_of_a_folder_is_what_it_is_said_to_be(tmp_path, change, text):
    _, adapter = _attached(trainable=['lm_head'])
    adapter.save(tmp_path / 'set')
    _edited(tmp_path / 'set', change)
    model = SUBJECT.model(torch.float32)
    with pytest.raises(AdapterFolderError) as refusal:
        vlpeft.load_adapter(model, tmp_path / 'set')
    assert text in str(refusal.value)
    assert str(tmp_path / 'set') in str(refusal.value)
    vlpeft.attach(model, LORA)  # the model is as it was


@pytest.mark.parametrize('dtype', [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_trained_tensors_are_floating_point_numbers(tmp_path, dtype):
    _, adapter = _attached()
    adapter.save(tmp_path / 'set')
    _edited(tmp_path / 'set', lambda record: None, lambda value: value.to(dtype))
    with pytest.raises(AdapterFolderError, match=f'is of {dtype}'):
        vlpeft.load_adapter(SUBJECT.model(torch.float32), tmp_path / 'set')


def test_a_config_of_nested_brackets_is_no_json(tmp_path):
    (tmp_path / 'adapter_config.json').write_text('[' * 100_000)
    with pytest.raises(AdapterFolderError, match='no JSON'):
        vlpeft.load_adapter(SUBJECT.model(torch.float32), tmp_path)


def test_modules_that_take_the_place_of_adapted_ones_are_named():
    for put in (lambda old: torch.nn.Linear(old.in_features, old.out_features, bias=False), copy.deepcopy):
        model, adapter = _attached()
        attention = model.model.layers[0].self_attn
        attention.q_proj = put(attention.q_proj)
        for action in (
            adapter.merge,
            adapter.check_sites,
            lambda: adapter.use(None),
            lambda: adapter.per_sample([None]),
        ):
            with pytest.raises(ValueError, match=r'layers.0.self_attn.q_proj of tower "lm" is not the module that the'):
                action()
        adapter.detach()
    model, adapter = _attached()
    model.model.layers[0] = torch.compile(model.model.layers[0], backend='eager')
    with adapter.use(None):
        pass
    model.lm_head = torch.nn.Linear(1, 1)  # the method does not act there
    adapter.merge()
