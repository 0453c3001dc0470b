"""Files of the baselines in VL-PET's code, on BART: names typed out from its description, values random."""

import pytest
import torch
from torch.nn import functional as F

from tests.tiny_vl import FEATURES, build_vl, random_samples, vl_config, write_tokenizer
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.trained import load_trained
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import DEPTH, WIDTH

RANK, BOTTLENECK = 4, 6
# Alpha over rank: a quarter in the release, 32 / 128.
SCALE = 0.25
TASKS = dict(vl_pet=('vqa', 'gqa', 'nlvr', 'caption'), vl_pet_video=('tvqa', 'how2qa', 'tvc', 'yc2c'))
# The module whose output the adapter of this name follows.
ADAPTERS = {
    'encoder.layers.{i}.attn_adapter': 'encoder.layers.{i}.self_attn.out_proj',
    'encoder.layers.{i}.ff_adapter': 'encoder.layers.{i}.fc2',
    'decoder.layers.{i}.self_attn_adapter': 'decoder.layers.{i}.self_attn.out_proj',
    'decoder.layers.{i}.enc_attn_adapter': 'decoder.layers.{i}.encoder_attn.out_proj',
    'decoder.layers.{i}.ff_adapter': 'decoder.layers.{i}.fc2',
}
MAPS = [
    f'{attention}.{projection}'
    for attention in (
        'encoder.layers.{i}.self_attn',
        'decoder.layers.{i}.self_attn',
        'decoder.layers.{i}.encoder_attn',
    )
    for projection in ('q_proj', 'v_proj')
]
VISUAL = dict(feat_embedding='feature', absolute_vis_pos_embedding='position', img_order_embedding='image')
SETTINGS = dict(
    adapter=dict(
        adapter=dict(type='Bottleneck', bottleneck=BOTTLENECK, targets=dict(towers=['encoder', 'decoder'])),
        trainable=['heads', dict(parts='norms', towers=['encoder', 'decoder'])],
    ),
    lora=dict(
        adapter=dict(
            type='LoRA',
            rank=RANK,
            alpha=SCALE * RANK,
            targets=dict(towers=['encoder', 'decoder'], kinds=['self_attn', 'cross_attn'], linears=['q', 'v']),
        )
    ),
    full=dict(trainable='all'),
)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64) * 0.3


def released(method, tasks):
    """A whole file, and what the method holds once: names below ``model.`` without a task -> its tensors."""
    torch.manual_seed(7)
    state = {f'module.{key}': value.detach() for key, value in build_vl('bart').lm.state_dict().items()}
    state['module.final_logits_bias'] = torch.zeros(1, len(state['module.model.shared.weight'])).double()
    visual = 'module.model.encoder.visual_embedding'
    for name, width in (('feat_embedding', FEATURES), ('absolute_vis_pos_embedding', 5)):
        state[f'{visual}.{name}.0.weight'], state[f'{visual}.{name}.0.bias'] = draw(WIDTH, width), draw(WIDTH)
        state[f'{visual}.{name}.1.weight'], state[f'{visual}.{name}.1.bias'] = 1 + draw(WIDTH), draw(WIDTH)
    state[f'{visual}.img_order_embedding.weight'] = draw(2, WIDTH)
    state[f'{visual}.obj_order_embedding.weight'] = state['module.model.shared.weight']
    once = {}
    for i in range(DEPTH):
        for place in ADAPTERS if method == 'adapter' else ():
            name = place.format(i=i)
            once[name] = (draw(BOTTLENECK, WIDTH), draw(BOTTLENECK), draw(WIDTH, BOTTLENECK), draw(WIDTH))
            leaves = ('down_sampler.weight', 'down_sampler.bias', 'up_sampler.weight', 'up_sampler.bias')
            for task in tasks:
                for leaf, value in zip(leaves, once[name]):
                    state[f'module.model.{name}.adapters.{task}.{leaf}'] = value
        for place in MAPS if method == 'lora' else ():
            name = place.format(i=i)
            once[name] = (draw(RANK, WIDTH), draw(WIDTH, RANK))
            for task in tasks:
                state[f'module.model.{name}.lora_As.{task}'], state[f'module.model.{name}.lora_Bs.{task}'] = once[name]
    return state, once


def adapted_slowly(vocabulary, state, method, once):
    """A model without method that holds the file's other weights, and hooks that compute the method."""
    model = build_vl('bart', vocabulary)
    plain = {key.removeprefix('module.'): value for key, value in state.items()}
    with torch.no_grad():
        for name, param in model.lm.named_parameters():
            param.copy_(plain[name])
        for name, param in model.visual_embedding.named_parameters():
            part, _, rest = name.partition('.')
            theirs = next(key for key, ours in VISUAL.items() if ours == part)
            param.copy_(plain[f'model.encoder.visual_embedding.{theirs}.{rest}'])
    for name, tensors in once.items():
        if method == 'adapter':
            place = next(place for place in ADAPTERS for i in range(DEPTH) if place.format(i=i) == name)
            depth = name.split('.')[2]
            module = model.lm.model.get_submodule(ADAPTERS[place].format(i=depth))

            def hook(module, args, h, tensors=tensors):
                down, down_bias, up, up_bias = tensors
                return h + F.gelu(h @ down.T + down_bias, approximate='tanh') @ up.T + up_bias
        else:
            module = model.lm.model.get_submodule(name)

            def hook(module, args, y, tensors=tensors):
                return y + SCALE * args[0] @ tensors[0].T @ tensors[1].T

        module.register_forward_hook(hook)
    return model


def trained_part(state, method):
    """What the released code trains: chosen by names, as it does."""

    def trains(key):
        if 'visual_embedding' in key:
            return 'obj_order' not in key
        if method == 'lora':
            return 'lora_' in key or (key.endswith('.bias') and 'final_logits' not in key)
        return 'adapter' in key or 'layer_norm' in key or 'layernorm' in key

    return {key: value for key, value in state.items() if trains(key)}


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp('bart'), 'bart')


@pytest.mark.parametrize('prefix', ['module.', ''])
@pytest.mark.parametrize('layout', TASKS)
@pytest.mark.parametrize('method', SETTINGS)
def test_a_whole_file_loads_computes_and_is_saved_back(vocabulary, method, layout, prefix):
    state, once = released(method, TASKS[layout])
    file = {prefix + key.removeprefix('module.'): value for key, value in state.items()}
    # Full fine-tuning names no task.
    layout = 'vl_pet' if method == 'full' else layout
    assert detect(file).name == layout
    model = build_vl('bart', vocabulary, seed=3, **SETTINGS[method])
    report = load_trained(model, Checkpoint.of(file, 'LAST.pth'))
    assert report.dialect == layout and not report.unexpected and not report.missing
    features, samples = random_samples()
    expected = adapted_slowly(vocabulary, state, method, once)(features, samples, mode='loss')['loss_vqa']
    found = model(features, samples, mode='loss')['loss_vqa']
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    if once:
        plain = adapted_slowly(vocabulary, state, method, {})(features, samples, mode='loss')['loss_vqa']
        assert (plain - expected).abs() > 1e-3
    written = to_layout(layout, unique_state(model), model).content
    assert set(written) == set(state)
    assert all(torch.equal(written[key], value) for key, value in state.items())


@pytest.mark.parametrize('layout', TASKS)
@pytest.mark.parametrize('method', ['adapter', 'lora'])
def test_the_trained_part_on_its_base_is_the_whole(tmp_path, method, layout):
    state, _ = released(method, TASKS[layout])
    part = trained_part(state, method)
    # The base as it was before: all that trains was another value then, and the method was not there.
    base = {key.removeprefix('module.'): value.float() for key, value in state.items() if 'adapter' not in key}
    base = {key: value for key, value in base.items() if 'visual_embedding' not in key and 'lora_' not in key}
    base = {key: value + 1 if f'module.{key}' in part else value.clone() for key, value in base.items()}
    torch.save(base, tmp_path / 'bart.bin')
    config = vl_config('bart', base_checkpoint=dict(lm=dict(source=str(tmp_path / 'bart.bin'))), **SETTINGS[method])
    model = MODELS.build(config)
    before = {name: param.clone() for name, param in model.named_parameters()}
    report = load_trained(model, Checkpoint.of(part, 'pet.pth'))
    assert report.dialect == layout and not report.unexpected and not report.missing
    whole = MODELS.build(vl_config('bart', **SETTINGS[method]))
    load_trained(whole, Checkpoint.of(state))
    changed = 0
    for name, param in model.named_parameters():
        assert torch.equal(param, whole.get_parameter(name)), name
        changed += not torch.equal(param, before[name])
    assert changed >= len(report.loaded) - 1
    trained = {name: param.detach() for name, param in model.named_parameters() if name in report.loaded}
    written = to_layout(layout, trained, model).content
    assert set(written) == set(part) and all(written[key].equal(part[key].float()) for key in part)


def test_tasks_that_do_not_share_the_method_are_refused():
    for method, leaf in (('adapter', 'attn_adapter.adapters.gqa.up_sampler.bias'), ('lora', 'q_proj.lora_Bs.gqa')):
        state, _ = released(method, TASKS['vl_pet'])
        key = next(key for key in state if key.endswith(leaf))
        with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
            load_trained(build_vl('bart', **SETTINGS[method]), Checkpoint.of({**state, key: state[key] + 1}))


def test_a_baseline_that_is_not_known_is_refused_by_its_names():
    state, _ = released('full', ())
    name = 'module.model.encoder.layers.0.attn_adapter.adapters.vqa.down_sampler.W'
    with pytest.raises(CheckpointError, match=r'1 of its keys would not be read: lm \(1\): .*down_sampler.W'):
        load_trained(build_vl('bart', **SETTINGS['full']), Checkpoint.of({**state, name: draw(2)}))


def test_t5_has_full_fine_tuning_and_no_names_for_the_others(vocabulary):
    model = build_vl('t5', trainable='all')
    file = to_layout('vl_pet', unique_state(model), model).content
    assert 'module.encoder.visual_embedding.feat_embedding.0.weight' in file and 'module.shared.weight' in file
    again = build_vl('t5', seed=5, trainable='all')
    load_trained(again, Checkpoint.of(file))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())
    lora = build_vl('t5', adapter=SETTINGS['lora']['adapter'])
    with pytest.raises(CheckpointError, match='vl_pet layout has no place for .* keys: adapter.layers.encoder_0'):
        to_layout('vl_pet', unique_state(lora), lora)
