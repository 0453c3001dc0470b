"""Folders of Hugging Face PEFT load into our LoRA and ours into the real ``peft``: equal outputs and gradients."""

import copy
import json
import warnings

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import vlpeft
from tests.tiny import randomise
from tests.tiny_epalm import LMS, VOCAB
from tests.tiny_epalm import random_texts as lm_texts
from tests.tiny_seq2seq import build_lm
from tests.tiny_seq2seq import random_texts as seq2seq_texts
from tests.towers import VISION
from vlpeft.adaptation import AttachedAdapter
from vlpeft.adaptation.peft_folder import is_peft_folder, patterns
from vlpeft.adaptation.peft_folder.maps import Part, targets_of
from vlpeft.checkpoint import CheckpointError
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import MODELS
from vlpeft.sites import Targets, describe

CONFIG, WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'
#: For each model names of maps as peft's users write them.
TARGETS = dict(
    bart=['q_proj', 'v_proj', 'fc1'],
    t5=['q', 'v', 'wo'],
    opt=['q_proj', 'out_proj', 'fc2'],
    gpt2=['c_attn', 'c_proj'],
    llama=['q_proj', 'k_proj', 'down_proj'],
    vit=['qkv', 'attn.proj', 'ffn.layers.1'],
)
#: Its maps that compute queries, keys and values at once.
FUSED = dict(gpt2='c_attn', vit='qkv')


def build(name):
    """A tiny model of random weights in single precision."""
    if name in ('bart', 't5'):
        return build_lm(name, torch.float32)
    if name in LMS:
        return randomise(build_causal_lm(LMS[name], VOCAB).eval())
    model = MODELS.build(VISION['clip'])
    model.eval()
    return randomise(model)


def run(model):
    """Its output for a fixed batch."""
    base = model.model if isinstance(model, AttachedAdapter) else model
    base = base.get_base_model() if isinstance(base, PeftModel) else base
    if not hasattr(base, 'config'):
        return model(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))[0]
    if base.config.is_encoder_decoder:
        ids, mask, target = seq2seq_texts()
        return model(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False).logits
    tokens = lm_texts()
    return model(input_ids=tokens.ids, attention_mask=tokens.mask, use_cache=False).logits


def gradients(model):
    """Output, and the gradients of a scalar that weighs its entries differently."""
    model.zero_grad()
    output = run(model)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    (output * weights).mean().backward()
    return output.detach()


def assert_close(found, expected):
    """1e-6 of the largest entry."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * max(1.0, expected.abs().max().item()))


def in_peft(model, targets, **settings):
    """A copy of the model that the real peft adapts, with random A and B."""
    settings = dict(dict(r=3, lora_alpha=5, fan_in_fan_out='c_attn' in targets, init_lora_weights=False), **settings)
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(target_modules=targets, **settings)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, param in adapted.named_parameters():
            if 'lora_' in name:
                param.copy_(torch.randn(param.shape, generator=generator) * 0.2)
    return adapted


def loaded_by_peft(model, folder, **options):
    """A copy of the model with the folder; a tensor that is missing or left over is a warning of peft."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        # With transformers 5 peft asks models for something by its former name.
        warnings.filterwarnings('ignore', '.*is_gradient_checkpointing', FutureWarning)
        return PeftModel.from_pretrained(copy.deepcopy(model), folder, **options).eval()


def ours_as_theirs(adapter, read=lambda param: param):
    """A and B of our set under peft's keys, by the definition of a fused map: copies of A, rows of B.

    A of a fused map is a list of its parts' tensors, and so is B.
    """
    found = {}
    for binding in adapter.sets['default'].bindings(adapter.towers):
        path = '.'.join(filter(None, (adapter.paths[binding.tower], binding.write.path)))
        for matrix, linear in (('A', binding.unit.down), ('B', binding.unit.up)):
            key = f'base_model.model.{path}.lora_{matrix}.weight'
            found.setdefault(key, []).append((binding.write.span, read(linear.weight)))
    return {
        key: [tensor for _, tensor in sorted(parts, key=lambda part: part[0] or (0, 0))] for key, parts in found.items()
    }


def theirs(adapted, read=lambda param: param):
    """The same of a model of peft."""
    return {name.replace('.default', ''): read(param) for name, param in adapted.named_parameters() if 'lora_' in name}


def edit(folder, **settings):
    path = folder / CONFIG
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **settings)))


@pytest.mark.parametrize('name', TARGETS)
def test_a_folder_of_peft_computes_the_same_here(name, tmp_path):
    model = build(name)
    adapted = in_peft(model, TARGETS[name])
    adapted.save_pretrained(tmp_path)
    assert is_peft_folder(tmp_path)
    expected = gradients(adapted)
    bare = run(model)
    adapter = vlpeft.load_adapter(model, tmp_path)
    assert_close(gradients(adapter), expected)
    assert (expected - bare).abs().max() > 0.1
    ours = ours_as_theirs(adapter, lambda param: param.grad)
    for key, grad in theirs(adapted, lambda param: param.grad).items():
        parts = ours.pop(key)
        assert len(parts) == (3 if FUSED.get(name, 'none') in key else 1)
        assert grad.abs().max() > 0
        assert_close(sum(parts) if 'lora_A' in key else torch.cat(parts), grad)
    assert not ours
    adapter.detach()
    assert torch.equal(run(model), bare)


@pytest.mark.parametrize('name', TARGETS)
def test_a_folder_of_ours_computes_the_same_in_peft(name, tmp_path):
    """At all sites; the parts of a fused map, each with a change of its own, are blocks of one."""
    model = build(name)
    base = copy.deepcopy(model)
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=3, alpha=5, targets=dict()))
    randomise(adapter.sets, seed=1)
    adapter.save(tmp_path, format='peft')
    adapted = loaded_by_peft(base, tmp_path, is_trainable=True)
    assert_close(gradients(adapted), gradients(adapter))
    ours = ours_as_theirs(adapter, lambda param: param.grad)
    assert ours.keys() == theirs(adapted).keys()
    for key, grad in theirs(adapted, lambda param: param.grad).items():
        parts = ours[key]
        if 'lora_A' in key:
            assert_close(grad, torch.cat(parts))
        else:
            rows, columns = 0, 0
            for part in parts:
                assert_close(grad[rows : rows + len(part), columns : columns + part.shape[1]], part)
                rows, columns = rows + len(part), columns + part.shape[1]


@pytest.mark.parametrize('name', TARGETS)
def test_from_peft_and_back_every_tensor_is_the_same(name, tmp_path):
    model = build(name)
    in_peft(model, TARGETS[name]).save_pretrained(tmp_path / 'theirs')
    vlpeft.load_adapter(model, tmp_path / 'theirs').save(tmp_path / 'back', format='peft')
    before, after = load_file(tmp_path / 'theirs' / WEIGHTS), load_file(tmp_path / 'back' / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    with safe_open(tmp_path / 'back' / WEIGHTS, framework='pt') as file:
        assert file.metadata() == {'format': 'pt'}
    told = [json.loads((tmp_path / folder / CONFIG).read_text()) for folder in ('theirs', 'back')]
    for key in ('peft_type', 'r', 'lora_alpha', 'lora_dropout', 'fan_in_fan_out', 'bias', 'auto_mapping', 'task_type'):
        assert told[0][key] == told[1][key], key


@pytest.mark.parametrize('name', TARGETS)
def test_to_peft_and_back_every_tensor_is_the_same(name, tmp_path):
    """Also where two parts of a fused map are adapted, and a third is not."""
    model = build(name)
    fresh = copy.deepcopy(model)
    config = dict(type='LoRA', rank=3, alpha=7, dropout=0.1, targets=dict(kinds=['self_attn'], linears=['q', 'v']))
    adapter = vlpeft.attach(model, config)
    randomise(adapter.sets, seed=1)
    adapter.save(tmp_path, format='peft')
    back = vlpeft.load_adapter(fresh, tmp_path)
    found = back.configs['default']
    towers = list(adapter.towers)
    assert found == dict(config, targets=dict(towers=towers, kinds=['self_attn'], linears=['q', 'v']))
    before, after = adapter.sets['default'].state_dict(), back.sets['default'].state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize('name', FUSED)
def test_blocks_that_peft_has_trained_further(name, tmp_path):
    """What was zero beside the blocks is none any more, and belongs to the other parts."""
    model = build(name)
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
    randomise(adapter.sets, seed=1)
    adapter.save(tmp_path, format='peft')
    adapter.detach()
    adapted = loaded_by_peft(model, tmp_path)
    with torch.no_grad():
        for key, param in theirs(adapted).items():
            if 'lora_B' in key:
                assert (param == 0).float().mean() == 2 / 3
                param += 0.1
    expected = run(adapted)
    with safe_open(tmp_path / WEIGHTS, framework='pt') as file:
        texts = file.metadata()
    adapted.save_pretrained(tmp_path)
    assert_close(run(again := vlpeft.load_adapter(model, tmp_path)), expected)
    assert again.configs['default']['targets']['linears'] == ['q', 'k', 'v']
    again.detach()
    # And with the record of the blocks, which a tool may have kept: it does not hold any more.
    save_file(load_file(tmp_path / WEIGHTS), tmp_path / WEIGHTS, metadata=texts)
    assert_close(run(vlpeft.load_adapter(model, tmp_path)), expected)


def test_numbers_that_differ_from_map_to_map(tmp_path):
    """Each rank and α becomes a LoRA of its own, and each selection that is no product of kinds and depths."""
    model = build('bart')
    settings = dict(
        r=4,
        lora_alpha=6,
        rank_pattern={'fc1': 2, r'^model.encoder.layers.0.self_attn.q_proj': 5},
        alpha_pattern={r'decoder\.layers\.1\.self_attn\.v_proj': 3},
        lora_dropout=0.25,
    )
    adapted = in_peft(model, ['q_proj', 'v_proj', 'fc1'], **settings)
    adapted.save_pretrained(tmp_path / 'a')
    expected = gradients(adapted)
    adapter = vlpeft.load_adapter(model, tmp_path / 'a')
    assert_close(gradients(adapter), expected)
    configs = adapter.configs['default']
    assert {(config['rank'], config['alpha']) for config in configs} == {(4, 6), (2, 6), (5, 6), (4, 3)}
    assert all(config['dropout'] == 0.25 for config in configs)
    assert dict(towers=['encoder', 'decoder'], kinds=['ffn'], linears=['fc1']) in [c['targets'] for c in configs]
    adapter.save(tmp_path / 'b', format='peft')
    adapter.detach()
    assert_close(run(loaded_by_peft(model, tmp_path / 'b')), expected)
    before, after = (load_file(tmp_path / part / WEIGHTS) for part in 'ab')
    assert before.keys() == after.keys() and all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize(
    'targets, settings',
    [
        (['q_proj', 'k_proj'], dict(use_rslora=True)),
        (['q_proj'], dict(layers_to_transform=[1, 6])),
        (['q_proj'], dict(layers_to_transform=3, layers_pattern='layers')),
        (['v_proj', 'o_proj'], dict(exclude_modules=['layers.0.self_attn.v_proj'])),
        (r'.*\.(2|5)\.self_attn\.(q|o)_proj', dict()),
        (['q_proj', 'down_proj'], dict(exclude_modules=r'.*[0-5]\.self_attn.*')),
        (r'(?i)(?!.*mlp).*\.(?P<depth>\d)\..*\b([QKV])_PROJ', dict()),
        (['q_proj', 'v_proj'], dict(init_lora_weights='gaussian', task_type='CAUSAL_LM')),
    ],
)
def test_ways_to_choose_maps(targets, settings, tmp_path):
    model = build('llama')
    adapted = in_peft(model, targets, **settings)
    adapted.save_pretrained(tmp_path / 'a')
    adapter = vlpeft.load_adapter(model, tmp_path / 'a')
    assert_close(run(adapter), run(adapted))
    assert {key: parts[0].shape for key, parts in ours_as_theirs(adapter).items()} == {
        key: param.shape for key, param in theirs(adapted).items()
    }
    adapter.save(tmp_path / 'b', format='peft')
    adapter.detach()
    assert_close(run(loaded_by_peft(model, tmp_path / 'b')), run(adapted))


def test_rank_stabilised_scales_stay_what_they_are(tmp_path):
    """With ranks of their own in the file, and blocks of a fused projection, whose ranks add up."""
    model = build('llama')
    adapted = in_peft(model, ['q_proj', 'v_proj'], use_rslora=True, rank_pattern={'v_proj': 2})
    adapted.save_pretrained(tmp_path / 'a')
    adapter = vlpeft.load_adapter(model, tmp_path / 'a')
    assert {(c['rank'], c['alpha'], c['scaling']) for c in adapter.configs['default']} == {
        (3, 5, 'rslora'),
        (2, 5, 'rslora'),
    }
    assert_close(run(adapter), run(adapted))
    adapter.save(tmp_path / 'b', format='peft')
    told = json.loads((tmp_path / 'b' / CONFIG).read_text())
    assert (told['use_rslora'], told['r'], told['lora_alpha'], told['alpha_pattern']) == (True, 3, 5, {})
    model = build('gpt2')
    config = dict(type='LoRA', rank=3, alpha=5, scaling='rslora', targets=dict(kinds=['self_attn'], linears=['q', 'v']))
    adapter = vlpeft.attach(model, config)
    randomise(adapter.sets, seed=1)
    expected = run(adapter)
    adapter.save(tmp_path / 'c', format='peft')
    adapter.detach()
    assert_close(run(loaded_by_peft(model, tmp_path / 'c')), expected)
    back = vlpeft.load_adapter(model, tmp_path / 'c')
    assert torch.equal(run(back), expected)
    assert back.configs['default'] == dict(config, targets=dict(towers=['lm'], **config['targets']))


@torch.no_grad()
def spread_lengths(model):
    for key, param in model.named_parameters():
        if 'magnitude' in key:
            param.copy_(torch.linspace(0.5, 1.5, len(param)))


@pytest.mark.parametrize('name', TARGETS)
def test_dora_goes_back_and_forth(name, tmp_path):
    """From PEFT and back every tensor is the same; of a fused projection ours may be parts."""
    model = build(name)
    bare = copy.deepcopy(model)
    adapted = in_peft(model, TARGETS[name], use_dora=True, rank_pattern={TARGETS[name][0]: 2})
    spread_lengths(adapted)
    adapted.save_pretrained(tmp_path / 'theirs')
    adapter = vlpeft.load_adapter(model, tmp_path / 'theirs')
    assert {config['type'] for config in adapter.configs['default']} == {'DoRA'}
    assert_close(run(adapter), run(adapted))
    adapter.save(tmp_path / 'back', format='peft')
    before, after = load_file(tmp_path / 'theirs' / WEIGHTS), load_file(tmp_path / 'back' / WEIGHTS)
    assert before.keys() == after.keys() and all(torch.equal(after[key], before[key]) for key in before)
    adapter.detach()
    assert_close(run(loaded_by_peft(model, tmp_path / 'back')), run(adapted))
    # Ours, of two parts where there are three.
    adapter = vlpeft.attach(model, lora(3, type='DoRA', alpha=5, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
    randomise(adapter.sets, seed=1)
    spread_lengths(adapter)
    expected = run(adapter)
    adapter.save(tmp_path / 'ours', format='peft')
    assert_close(run(loaded_by_peft(bare, tmp_path / 'ours')), expected)
    again = vlpeft.load_adapter(bare, tmp_path / 'ours')
    assert torch.equal(run(again), expected)
    assert again.configs['default']['targets']['linears'] == ['q', 'v']


def test_lengths_of_dora_that_do_not_fit(tmp_path):
    in_peft(build('bart'), ['q_proj'], use_dora=True).save_pretrained(tmp_path)
    whole = load_file(tmp_path / WEIGHTS)
    key = next(key for key in whole if 'magnitude' in key)
    save_file(dict(whole, **{key: torch.ones(3)}), tmp_path / WEIGHTS)
    refused(build('bart'), tmp_path, 'lora_magnitude_vector (3,) instead of (16,)')
    save_file(whole, tmp_path / WEIGHTS)
    edit(tmp_path, use_dora=False)
    refused(build('bart'), tmp_path, 'lora_magnitude_vector is no LoRA of a linear map')


@pytest.mark.parametrize('name', ['bart', 'gpt2'])
def test_pissa_becomes_a_lora_of_twice_the_rank(name, tmp_path):
    model = build(name)
    bare = copy.deepcopy(model)
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=3, alpha=5, init='pissa', targets=dict(kinds=['self_attn'])))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for param in adapter.parameters():
            if param.requires_grad:
                param += torch.randn(param.shape, generator=generator) * 0.1
    assert (run(adapter) - run(bare)).abs().max() > 0.05
    adapter.save(tmp_path, format='peft')
    told = json.loads((tmp_path / CONFIG).read_text())
    ranks = {told['r'], *told['rank_pattern'].values()}
    assert ranks == ({6} if name == 'bart' else {6, 18}) and told['init_lora_weights'] is True
    assert_close(run(loaded_by_peft(bare, tmp_path)), run(adapter))
    assert_close(run(vlpeft.load_adapter(bare, tmp_path)), run(adapter))


def test_a_selection_in_as_few_targets_as_describe_it():
    lm = build('bart')
    towers = {name: describe(getattr(lm, f'get_{name}')(), name) for name in ('encoder', 'decoder')}

    def sites(**targets):
        return {
            (tower.name, depth, sub.kind, role, site)
            for tower, depth, sub, role, site in Targets(**targets).linears(towers, 'test')
        }

    everything = sites()
    for wanted, count in (
        (sites(linears=['q', 'v']), 1),
        (sites(kinds=['self_attn', 'ffn'], depths=[1]), 1),
        (sites(towers=['decoder'], kinds=['cross_attn'], linears=['k']), 1),
        (sites(towers=['encoder'], linears=['q']) | sites(towers=['decoder'], linears=['v']), 2),
        (everything - sites(towers=['encoder'], kinds=['self_attn'], depths=[0], linears=['q']), None),
        (everything, 1),
    ):
        found = targets_of([Part(*site) for site in wanted], towers)
        chosen = [site for targets in found for site in sites(**targets)]
        assert set(chosen) == wanted and len(chosen) == len(wanted)
        assert count is None or len(found) == count


class Student(nn.Module):
    """Its teacher's maps have longer names that end with its own."""

    def __init__(self) -> None:
        super().__init__()
        self.vit, self.teacher = build('vit'), nn.ModuleDict(dict(vit=build('vit')))

    def forward(self, images):
        return (self.vit(images)[0] + self.teacher.vit(images)[0],)


def test_modules_whose_names_end_alike_are_left_alone(tmp_path):
    model = Student()
    bare = copy.deepcopy(model)
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=2, targets=dict()), towers=dict(vision='vit'))
    randomise(adapter.sets, seed=1)
    adapter.save(tmp_path, format='peft')
    adapted = loaded_by_peft(bare, tmp_path)
    assert {key.split('.')[2] for key in theirs(adapted)} == {'vit'}
    assert_close(run(adapted), run(adapter))
    again = vlpeft.load_adapter(copy.deepcopy(bare), tmp_path, towers=dict(vision='vit'))
    assert torch.equal(run(again), run(adapter))


def test_the_base_is_named(tmp_path):
    model = build('t5')
    model.config._name_or_path = 'google-t5/t5-tiny'
    vlpeft.attach(model, dict(type='LoRA', rank=2, targets=dict(linears=['q']))).save(tmp_path, format='peft')
    assert json.loads((tmp_path / CONFIG).read_text())['base_model_name_or_path'] == 'google-t5/t5-tiny'
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]


#: Python's re would look for hours.
SLOW = '(?:.|..)*[^a-z_]'
REFUSED = [
    (dict(peft_type='IA3'), 'peft_type="IA3"', 'only LORA'),
    (dict(use_dora=True), 'lacks lora_magnitude_vector'),
    (dict(bias='lora_only'), 'bias="lora_only"', 'must be "none"'),
    (dict(modules_to_save=['lm_head']), 'modules_to_save=["lm_head"]', 'must be off'),
    (dict(lora_bias=True), 'lora_bias=true', 'must be off'),
    (dict(trainable_token_indices=[0, 1]), 'trainable_token_indices=[0, 1]', 'must be off'),
    (dict(layer_replication=[[0, 2]]), 'layer_replication=[[0, 2]]', 'must be off'),
    (dict(use_qalora=True), 'use_qalora=true', 'must be off'),
    (dict(alora_invocation_tokens=[5]), 'alora_invocation_tokens=[5]', 'must be off'),
    (dict(a_setting_of_the_future=0.5), 'a_setting_of_the_future=0.5', 'must be off'),
    (dict(init_lora_weights='pissa'), 'init_lora_weights="pissa"', 'path_initial_model_for_weight_conversion'),
    (dict(init_lora_weights='pissa_niter_4'), 'init_lora_weights="pissa_niter_4"', 'other weights'),
    (dict(fan_in_fan_out=True), 'fan_in_fan_out=true', 'Linear, which stores (out, in)'),
    (dict(rank_pattern={'q_proj': 2}), 'A (3, 16) and B (16, 3)', '(2, 16) and (16, 2)'),
    (dict(rank_pattern={'(': 2}), 'rank_pattern=', 'no regular expression'),
    (dict(rank_pattern={SLOW: 2}), 'rank_pattern={', 'takes too long'),
    (dict(alpha_pattern={SLOW: 2}), 'alpha_pattern={', 'takes too long'),
    (dict(target_modules=SLOW), 'target_modules="(?:.|..)*', 'takes too long'),
    (dict(exclude_modules=SLOW), 'exclude_modules="(?:.|..)*', 'takes too long'),
    (dict(layers_to_transform=[0], layers_pattern=SLOW), 'layers_pattern="(?:.|..)*', 'takes too long'),
    (dict(target_modules='q|' * 100_001), 'target_modules="q|q', '200,002 characters, at most 200,000'),
    (dict(target_modules='(' * 5000 + ')' * 5000), 'target_modules="((', 'no regular expression'),
    (dict(target_modules='(?:q_proj){e<=1}'), 'target_modules=', "'{' means something else elsewhere"),
    (dict(target_modules=[['q_proj']]), 'target_modules=[["q_proj"]]', 'expected a list'),
    (dict(exclude_modules=5), 'exclude_modules=5', 'expected a list'),
    (dict(layers_pattern=[1]), 'layers_pattern=[1]', 'expected a list'),
    (dict(alpha_pattern=['q_proj']), 'alpha_pattern=["q_proj"]', 'object of numbers'),
    (dict(lora_alpha='much'), 'lora_alpha="much"', 'expected a number'),
    (dict(lora_dropout=1.0), 'lora_dropout=1.0', 'below 1'),
    (dict(target_modules=['q_proj']), 'target_modules=["q_proj"]', 'not chosen'),
    (dict(target_modules=None), 'target_modules=null', 'expected a list'),
    (dict(target_modules=['q_proj', 'v_proj', 'fc1', 'k_proj']), 'no tensors for 6 maps', 'k_proj'),
    (dict(layers_to_transform=[0]), 'target_modules=', 'layers.1'),
    (
        dict(auto_mapping=dict(base_model_class='BartModel', parent_library='transformers')),
        '"base_model_class": "BartModel"',
        'this model a BartForConditionalGeneration',
    ),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A valid one."""
    path = tmp_path_factory.mktemp('peft')
    in_peft(build('bart'), TARGETS['bart']).save_pretrained(path)
    return path


@pytest.fixture
def copied(folder, tmp_path):
    for name in (CONFIG, WEIGHTS):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


def refused(model, folder, *texts, **options):
    """The message is one line with all the texts, and the model carries nothing."""
    with pytest.raises(CheckpointError) as error:
        vlpeft.load_adapter(model, folder, **options)
    message = str(error.value)
    assert '\n' not in message and str(folder) in message
    assert all(text in message for text in texts), message
    hooks = [hook for module in model.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]
    assert not hooks and all(param.requires_grad for param in model.parameters())


@pytest.mark.parametrize('case', REFUSED, ids=[next(iter(case[0])) for case in REFUSED])
def test_a_setting_that_cannot_be_represented(case, copied, monkeypatch):
    monkeypatch.setattr(patterns, 'SECONDS', 0.3)
    settings, *texts = case
    edit(copied, **settings)
    refused(build('bart'), copied, *texts)


@pytest.mark.parametrize(
    'model, targets, settings, texts',
    [
        ('bart', ['q_proj'], dict(bias='all'), ['bias="all"']),
        ('bart', ['q_proj'], dict(modules_to_save=['fc1']), ['modules_to_save=["fc1"]']),
        (
            'opt',
            ['q_proj', 'embed_tokens'],
            {},
            ['embed_tokens.lora_embedding_A', 'model.decoder.layers.*.self_attn.q_proj'],
        ),
        ('llama', ['q_proj', 'lm_head'], {}, ['lm_head is no site', 'model.layers.*.self_attn.q_proj']),
        ('gpt2', ['c_attn'], dict(use_rslora=True, lora_bias=True), ['lora_bias=true']),
    ],
)
def test_what_the_real_peft_writes_and_we_refuse(model, targets, settings, texts, tmp_path):
    base = build(model)
    in_peft(base, targets, **settings).save_pretrained(tmp_path, save_embedding_layers=False)
    refused(base, tmp_path, *texts)


def test_files_that_are_missing_damaged_or_pickles(copied):
    model = build('bart')
    weights, whole = copied / WEIGHTS, load_file(copied / WEIGHTS)
    first = next(key for key in whole if 'lora_A' in key)
    partner = first.replace('lora_A', 'lora_B')
    save_file({key: tensor for key, tensor in whole.items() if key != partner}, weights)
    refused(model, copied, first.split('.lora_A')[0].removeprefix('base_model.model.'), 'lacks lora_B')
    save_file({key: tensor for key, tensor in whole.items() if key not in (first, partner)}, weights)
    refused(model, copied, 'no tensors for 1 maps')
    save_file(dict(whole, **{'base_model.model.model.shared.weight': torch.zeros(2)}), weights)
    refused(model, copied, 'base_model.model.model.shared.weight is no LoRA of a linear map')
    save_file(dict(whole, **{first: whole[first] / 0}), weights)
    refused(model, copied, f'{first} is not finite')
    save_file(dict(whole, **{first: torch.zeros(3, 5)}), weights)
    refused(model, copied, 'has A (3, 5)', '(3, 16)')
    save_file(whole, weights, metadata={'vlpeft_blocks': '{'})
    refused(model, copied, 'vlpeft_blocks cannot be read')
    weights.write_bytes(b'nothing')
    refused(model, copied, 'expected a safetensors file')
    weights.unlink()
    refused(model, copied, f'there is no {WEIGHTS}')
    torch.save(whole, copied / 'adapter_model.bin')
    refused(model, copied, 'adapter_model.bin is a pickle', 'save_pretrained')
    (copied / CONFIG).write_text('{')
    assert not is_peft_folder(copied)


def test_conv1d_needs_its_orientation(tmp_path):
    model = build('gpt2')
    in_peft(model, ['c_attn']).save_pretrained(tmp_path)
    edit(tmp_path, fan_in_fan_out=False)
    refused(model, tmp_path, 'fan_in_fan_out=false', 'Conv1D, which stores (in, out)')


def lora(rank=2, **options):
    return dict(dict(type='LoRA', rank=rank, targets=dict(kinds=['self_attn'], linears=['q'])), **options)


V = dict(kinds=['self_attn'], linears=['v'])


@pytest.mark.parametrize(
    'name, config, text',
    [
        ('bart', dict(type='Bottleneck', bottleneck=2, targets=dict(kinds=['ffn'])), 'Bottleneck cannot be written'),
        (
            'bart',
            [lora(), dict(type='Bottleneck', bottleneck=2, targets=dict(kinds=['ffn']))],
            'a list of several of one of them',
        ),
        ('bart', lora(bias='adapted'), 'LoRA with biases cannot be written'),
        ('bart', [lora(type='DoRA'), lora(targets=V)], 'DoRA + LoRA cannot be written'),
        ('bart', lora(type='VeRA'), 'VeRA cannot be written'),
        ('bart', lora(type='Aurora'), 'Aurora cannot be written'),
        ('bart', [lora(), lora(3)], 'two LoRAs change model.encoder.layers.0.self_attn.q_proj'),
        ('gpt2', [lora(), lora(alpha=6, targets=V)], 'c_attn have different scales alpha / rank (1, 3)'),
        ('bart', [lora(), lora(dropout=0.1, targets=V)], 'different dropout [0.0, 0.1]'),
    ],
)
def test_what_peft_has_no_form_for(name, config, text, tmp_path):
    adapter = vlpeft.attach(build(name), config)
    with pytest.raises(CheckpointError) as error:
        adapter.save(tmp_path / 'out', format='peft')
    assert text in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_tensors_that_are_not_finite_are_not_written(tmp_path):
    adapter = vlpeft.attach(build('bart'), lora())
    next(adapter.sets.parameters()).data[0, 0] = float('nan')
    with pytest.raises(CheckpointError, match='are not finite'):
        adapter.save(tmp_path / 'out', format='peft')
    assert not (tmp_path / 'out').exists()


def test_trained_parts_of_the_model_are_refused(tmp_path):
    adapter = vlpeft.attach(build('bart'), lora(), trainable=['model.encoder.layernorm_embedding'])
    with pytest.raises(CheckpointError, match='layernorm_embedding'):
        adapter.save(tmp_path / 'out', format='peft')


@pytest.mark.parametrize('name', FUSED)
def test_parts_of_different_ranks_in_blocks(name, tmp_path):
    model = build(name)
    bare = copy.deepcopy(model)
    adapter = vlpeft.attach(model, [lora(2, alpha=3), lora(4, alpha=6, targets=V)])
    randomise(adapter.sets, seed=1)
    adapter.save(tmp_path, format='peft')
    adapted = loaded_by_peft(bare, tmp_path)
    assert_close(run(adapted), run(adapter))
    told = json.loads((tmp_path / CONFIG).read_text())
    assert (told['r'], told['lora_alpha'], told['rank_pattern'], told['alpha_pattern']) == (6, 9, {}, {})
    back = vlpeft.load_adapter(bare, tmp_path)
    assert {(c['rank'], c['alpha'], *c['targets']['linears']) for c in back.configs['default']} == {
        (2, 3, 'q'),
        (4, 6, 'v'),
    }
    assert torch.equal(run(back), run(adapter))
