"""Sizes of what methods add, against plain NumPy on the tensors of their state dicts, and for every method there is."""

import math

import numpy as np
import pytest
import torch

import vlpeft
from tests.contract.cells import METHODS, REFUSED
from tests.tiny import build_retriever, random_batch, write_vocabulary
from tests.tiny_epalm import perceptual_config
from vlpeft.adaptation.merging import Merged
from vlpeft.adapters.epalm import injection_levels
from vlpeft.analysis.adapter_measure import measure
from vlpeft.analysis.adapter_sizes import QUANTITIES, adapter_sizes
from vlpeft.registry import MODELS
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

#: A backbone where each method can stand.
PREFERRED = ('bart', 'vit', 'blip_text', 'opt', 't5')


def attached(method, subject='bart', seed=3):
    """(adapter, towers, state dict as arrays) with random weights everywhere."""
    base = SUBJECTS[subject]
    handle = vlpeft.attach(base.model(), method, towers=base.towers, check_after=0)
    (adapter,) = handle.sets.values()
    adapter.double()
    randomise(adapter, seed)
    state = {name: value.numpy() for name, value in adapter.state_dict().items()}
    return adapter, handle.towers, state


def of(adapter, towers, quantity, has_base=True):
    """{(tower, depth, part): value} of a quantity."""
    found, _ = adapter_sizes(adapter, towers, has_base)
    return {(size.tower, size.depth, size.part): size.value for size in found if size.quantity == quantity}


def weight(towers, tower, path):
    return towers[tower].at(path).weight.detach().numpy()


def fro(matrix):
    return math.sqrt((np.asarray(matrix) ** 2).sum())


def test_lora():
    method = dict(type='LoRA', rank=2, alpha=6, targets=dict(towers=['encoder'], linears=['q', 'fc1']))
    adapter, towers, state = attached(method)
    found, relative = (of(adapter, towers, name) for name in ('weight_change', 'relative_weight_change'))
    assert len(found) == len(relative) == 4
    for (tower, depth, part), value in found.items():
        kind, role = part.split()
        key = f'layers.{tower}_{depth}_{kind}_{role}'
        change = 3 * state[f'{key}.up.weight'] @ state[f'{key}.down.weight']
        path = towers[tower].blocks[depth].sublayers[kind].linears[role].path
        assert value == pytest.approx(fro(change), rel=1e-12)
        assert relative[tower, depth, part] == pytest.approx(fro(change) / fro(weight(towers, tower, path)), rel=1e-12)
    assert of(adapter, towers, 'weight_change', has_base=False) == pytest.approx(found)
    assert of(adapter, towers, 'relative_weight_change', has_base=False) == {}


def test_a_part_of_a_fused_map_is_compared_with_its_own_rows():
    adapter, towers, state = attached(dict(type='LoRA', rank=2, targets=dict(linears=['v'])), 'vit')
    (tower,) = towers
    width = towers[tower].width
    for (_, depth, part), value in of(adapter, towers, 'relative_weight_change').items():
        key = f'layers.{tower}_{depth}_self_attn_v'
        site = towers[tower].blocks[depth].sublayers['self_attn'].linears['v']
        rows = weight(towers, tower, site.path)[2 * width : 3 * width]
        assert part == 'self_attn v' and site.span == (2 * width, 3 * width)
        change = state[f'{key}.up.weight'] @ state[f'{key}.down.weight']
        assert value == pytest.approx(fro(change) / fro(rows), rel=1e-12)


def test_scales_change_weights():
    adapter, towers, state = attached(dict(type='IA3', targets=dict(towers=['encoder'], linears=['k', 'fc2'])))
    changes, scales = of(adapter, towers, 'weight_change'), of(adapter, towers, 'scale')
    for depth in range(2):
        linears = {
            role: weight(towers, 'encoder', towers['encoder'].blocks[depth].sublayers[kind].linears[role].path)
            for kind, role in (('self_attn', 'k'), ('ffn', 'fc2'))
        }
        of_k = state[f'layers.encoder_{depth}_self_attn_k.scale']
        of_fc2 = state[f'layers.encoder_{depth}_ffn_fc2.scale']
        expected = {
            'self_attn k': fro((of_k - 1)[:, None] * linears['k']),
            'ffn fc2': fro(linears['fc2'] * (of_fc2 - 1)),
        }
        for part, value in expected.items():
            assert changes['encoder', depth, part] == pytest.approx(value, rel=1e-12)
        assert scales['encoder', depth, 'self_attn k'] == pytest.approx(np.sqrt(((of_k - 1) ** 2).mean()), rel=1e-12)
    assert of(adapter, towers, 'weight_change', has_base=False) == {}
    assert of(adapter, towers, 'scale', has_base=False) == pytest.approx(scales)


def test_dora_and_its_need_of_the_base():
    adapter, towers, state = attached(dict(type='DoRA', rank=2, targets=dict(towers=['encoder'], linears=['q'])))
    for (tower, depth, _), value in of(adapter, towers, 'weight_change').items():
        key = f'layers.encoder_{depth}_self_attn_q'
        base = weight(towers, tower, towers[tower].blocks[depth].sublayers['self_attn'].linears['q'].path)
        moved = base + state[f'{key}.up.weight'] @ state[f'{key}.down.weight']
        merged = state[f'{key}.magnitude'][:, None] * moved / np.linalg.norm(moved, axis=1, keepdims=True)
        assert value == pytest.approx(fro(merged - base), rel=1e-10)
    assert of(adapter, towers, 'weight_change', has_base=False) == {}


def test_norms_and_biases():
    method = [dict(type='NormTuning', targets={}), dict(type='BitFit', norms=False, targets=dict(linears=['o']))]
    adapter, towers, state = attached(method, 'vit')
    (tower,) = towers
    changes, biases = of(adapter, towers, 'relative_weight_change'), of(adapter, towers, 'bias_change')
    offsets = [value for key, value in state.items() if key.startswith('parts.1.')]
    assert biases[tower, 0, 'self_attn o'] == pytest.approx(fro(offsets[0]), rel=1e-12)
    block = towers[tower].block_modules[0]
    for name, kind in (('ln1', 'self_attn'), ('ln2', 'ffn')):
        gain = getattr(block, name).weight.detach().numpy()
        change = state[f'parts.0.layers.vision_0_{kind}_norm.scale'] * gain
        assert changes[tower, 0, name] == pytest.approx(fro(change) / fro(gain), rel=1e-12)


@pytest.mark.parametrize(
    'method',
    [
        [dict(type='LoRA', rank=2, targets=dict(linears=['o', 'fc2']))],
        [dict(type='VeRA', rank=4, targets=dict(linears=['q', 'v']))],
        [dict(type='Aurora', rank=3, core='full', targets=dict(linears=['q', 'v']))],
        [dict(type='SSF', targets=dict(linears=['fc1', 'o']))],
    ],
    ids=lambda method: method[0]['type'],
)
@torch.no_grad()
def test_weights_change_as_much_as_when_the_method_is_merged(method):
    adapter, towers, _ = attached(method)
    sizes = of(adapter, towers, 'weight_change')
    before = {name: tower.module.state_dict() for name, tower in towers.items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    Merged(adapter, towers)
    for (name, depth, part), value in sizes.items():
        kind, role = part.split()
        path = f'{towers[name].blocks[depth].sublayers[kind].linears[role].path}.weight'
        assert value == pytest.approx(fro(towers[name].module.state_dict()[path] - before[name][path]), rel=1e-9)


def test_bottlenecks_of_several_kinds():
    adapter, towers, state = attached(dict(type='Bottleneck', bottleneck=3, scale=0.5, targets=dict(kinds=['ffn'])))
    for (tower, depth, part), value in of(adapter, towers, 'bottleneck').items():
        key = f'layers.{tower}_{depth}_ffn'
        assert part == 'ffn'
        assert value == pytest.approx(0.5 * fro(state[f'{key}.up.weight'] @ state[f'{key}.down.weight']), rel=1e-10)

    method = dict(METHODS['bottleneck_per_task'])
    adapter, towers, state = attached(method)
    found = of(adapter, towers, 'bottleneck')
    key = 'layers.encoder_0_ffn'
    for task in ('one', 'two'):
        expected = fro(state[f'{key}.up.{task}.weight'] @ state[f'{key}.down.weight'])
        assert found['encoder', 0, f'ffn ({task})'] == pytest.approx(expected, rel=1e-10)

    adapter, towers, state = attached(dict(type='Compacter', bottleneck=4, targets=dict(kinds=['ffn'])))
    key = 'layers.encoder_0_ffn'
    down, up = (
        sum(np.kron(a, b) for a, b in zip(state[f'{key}.{side}.rule.phm_rule'], state[f'{key}.{side}.W']))
        for side in ('down', 'up')
    )
    assert of(adapter, towers, 'bottleneck')['encoder', 0, 'ffn'] == pytest.approx(fro(down @ up), rel=1e-10)


def test_uniadapter_by_its_terms():
    model = build_retriever(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3))
    state = {name: value.numpy() for name, value in model.adapter.state_dict().items()}
    found = of(model.adapter, model.towers, 'bottleneck')
    for depth in range(2):
        key = f'layers.{depth}'
        down, vision, text, both = (
            state[f'{key}.{name}.weight'] for name in ('down', 'up_vision', 'up_text', 'up_multimodal')
        )
        gain = state[f'{key}.norm_cross.weight'][:, None]
        assert found['vision', depth, 'ffn (vision)'] == pytest.approx(0.1 * fro(vision @ down), rel=1e-10)
        assert found['text', depth, 'ffn (text)'] == pytest.approx(0.1 * fro(text @ down), rel=1e-10)
        expected = 0.1 * fro(gain * ((both + text) @ down))
        assert found['text', depth, 'ffn (multimodal)'] == pytest.approx(expected, rel=1e-10)
    kv = [state[f'kv_adapters.text.key.{name}'] for name in ('up.weight', 'down.weight', 'scale')]
    expected = fro(kv[0] @ kv[1]) * abs(kv[2][0])
    assert of(model.adapter, model.towers, 'weight_change')['text', 1, 'cross_attn k'] == pytest.approx(
        expected, rel=1e-10
    )


def test_gates_that_depend_on_no_input():
    adapter, towers, state = attached(dict(type='Gate', granularity='middle_y', middle_y='1+sigmoid(z)', targets={}))
    found = [size for size in adapter_sizes(adapter, towers, True)[0] if size.quantity == 'gate']
    gate = 1 + 1 / (1 + np.exp(-state['layers.encoder_0_ffn.gate.z']))
    (size,) = [size for size in found if (size.tower, size.depth, size.part) == ('encoder', 0, 'ffn')]
    assert (size.value, size.low, size.high) == pytest.approx((gate.mean(), gate.min(), gate.max()), rel=1e-10)

    adapter, towers, state = attached(dict(type='LST', reduction=2, heads=2))
    found = of(adapter, towers, 'gate')
    for depth in range(2):
        expected = 1 / (1 + np.exp(-state['networks.encoder.gates'][depth] / 0.1))
        (value,) = [
            value
            for (tower, at, part), value in found.items()
            if (tower, at) == ('encoder', depth) and part.endswith('ladder gate μ')
        ]
        assert value == pytest.approx(expected)

    method = dict(type='Aurora', rank=2, query_gate=True, targets=dict(towers=['decoder'], linears=['q']))
    adapter, towers, state = attached(method)
    (key,) = [key for key in state if key.endswith('decoder_1.cross_scale')]
    (value,) = [
        value
        for (_, depth, part), value in of(adapter, towers, 'gate').items()
        if depth == 1 and 'query gate, cross-attention' in part
    ]
    assert value == pytest.approx(0.1 * state[key].mean(), rel=1e-10)


def test_learned_rows():
    adapter, towers, state = attached(dict(type='PromptTuning', length=3, targets=dict(towers=['encoder'])))
    lengths = np.linalg.norm(state['prompts.encoder.table'], axis=1)
    (size,) = adapter_sizes(adapter, towers, True)[0]
    assert size.quantity == 'rows'
    scale = towers['encoder'].entrance.scale
    assert (size.value, size.low, size.high) == pytest.approx(
        (lengths.mean() / scale, lengths.min() / scale, lengths.max() / scale)
    )
    adapter, towers, state = attached(dict(type='PrefixTuning', length=3), 'opt')
    (tower,) = towers
    table = state[f'prefixes.{tower}.table'].reshape(3, 4, -1)  # keys and values of two blocks
    found = of(adapter, towers, 'rows')
    for (_, depth, part), value in found.items():
        rows = table[:, 2 * depth + part.endswith('values')]
        assert value == pytest.approx(np.linalg.norm(rows, axis=1).mean(), rel=1e-10)
    assert len(found) == 4
    adapter, towers, state = attached(dict(type='VPT', length=3), 'vit')
    (tower,) = towers
    lengths = np.linalg.norm(state[f'prompts.{tower}.1.table'], axis=1)
    assert of(adapter, towers, 'rows')[tower, 1, 'stream prompt'] == pytest.approx(lengths.mean(), rel=1e-10)


def test_connectors_of_epalm():
    model = MODELS.build(perceptual_config())
    found = of(model.adapter, model.towers, 'connector')
    start, levels = model.adapter.start, injection_levels(model.adapter.levels, model.adapter.start, model.adapter.end)
    assert len(found) == len(levels) > 0
    for depth, level in enumerate(levels, start):
        expected = fro(model.adapter.connector[level].weight.detach().double().numpy())
        assert found['lm', depth, f'stream level {level}'] == pytest.approx(expected, rel=1e-9)
    assert len(of(model.adapter, model.towers, 'rows')) == 1


@pytest.mark.parametrize('method', METHODS)
def test_every_method_is_shown_or_says_why_not(method):
    subject = next((name for name in (*PREFERRED, *SUBJECTS) if (method, name) not in REFUSED), None)
    if subject is None:
        pytest.skip('no single backbone has its towers')
    adapter, towers, _ = attached(METHODS[method], subject)
    for has_base in (True, False):
        sizes, notes = adapter_sizes(adapter, towers, has_base)
        assert sizes or notes
        assert {size.quantity for size in sizes} <= set(QUANTITIES)
        assert all(math.isfinite(size.value) and size.tower in towers for size in sizes)
        # Whose gates depend on the input alone.
        assert sizes or method == 'gate_large' and '--data' in notes[0]


def test_what_is_measured_is_the_change_beside_what_it_changes(tmp_path):
    method = dict(type='LoRA', rank=2, targets=dict(towers=['text'], kinds=['self_attn'], linears=['q']))
    model = build_retriever(vocabulary=write_vocabulary(tmp_path), adapter=method)
    randomise(model.adapter, 5)
    linear = model.towers['text'].at(model.towers['text'].blocks[0].sublayers['self_attn'].linears['q'].path)
    unit = model.adapter.layers['text_0_self_attn_q']
    change = whole = 0.0

    def add_up(module, args, output):
        nonlocal change, whole
        (x,) = args
        change += float((x @ unit.down.weight.T @ unit.up.weight.T).square().sum())
        whole += float((x @ module.weight.T + module.bias).square().sum())

    handle = linear.register_forward_hook(add_up)
    sizes = measure(model, iter([raw_batch(), raw_batch()]), 1)
    handle.remove()
    (found,) = [size for size in sizes if size.depth == 0]
    assert (found.method, found.tower, found.part, found.quantity) == ('LoRA', 'text', 'self_attn q', 'measured_ratio')
    assert found.value == pytest.approx(math.sqrt(change / whole), rel=1e-9)
    assert all(edit.observer is None for edit in model.sets.attachments['default'].edits)


def test_gates_are_measured_after_their_activation(tmp_path):
    gate = dict(type='Gate', granularity='middle_x', scale=2.0, targets=dict(towers=['vision'], kinds=['ffn']))
    model = build_retriever(vocabulary=write_vocabulary(tmp_path), adapter=gate)
    values = []

    def weigh(module, args):
        x, u, _ = args
        scores = (x + u) @ module.linear.weight.T + module.linear.bias
        values.append(2 / (1 + torch.exp(-scores)).flatten())

    handle = model.adapter.layers['vision_0_ffn'].gate.register_forward_pre_hook(weigh)
    sizes = measure(model, iter([raw_batch()]), 1)
    handle.remove()
    (found,) = [size for size in sizes if size.quantity == 'measured_gate' and size.depth == 0]
    values = torch.cat(values)
    assert (found.tower, found.part) == ('vision', 'ffn')
    assert (found.value, found.low, found.high) == pytest.approx(
        (float(values.mean()), float(values.min()), float(values.max())), rel=1e-9
    )


def raw_batch():
    """As a loader gives it: bytes."""
    clips, samples = random_batch(3)
    frames = torch.randint(0, 256, clips.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return dict(inputs=frames, data_samples=samples)
