"""Low-rank methods equal those of Hugging Face PEFT on copied weights: outputs and gradients."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, VeraConfig, get_peft_model

import vlpeft
from tests.adaptation.test_peft_folder import assert_close, build, gradients, run

#: For each model the maps as PEFT names them, and as targets here.
MAPS = dict(
    bart=(['q_proj', 'fc1'], dict(linears=['q', 'fc1'])),
    t5=(['q', 'wo'], dict(linears=['q', 'fc2'])),
    # Of transposed maps, each with a weight of its own.
    gpt2=(['c_proj', 'c_fc'], dict(linears=['o', 'fc1', 'fc2'])),
    llama=(['k_proj', 'down_proj'], dict(linears=['k', 'down'])),
)
FUSED = (['c_attn'], dict(linears=['q', 'k', 'v']))


def draw(module, chosen):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, param in module.named_parameters():
            if any(part in name for part in chosen):
                param.copy_(torch.randn(param.shape, generator=generator) * 0.2 + (name.endswith('magnitude')))


def units(adapter):
    """Name of the map in the model, rows of a fused one, and our module."""
    for binding in adapter.sets['default'].bindings(adapter.towers):
        path = '.'.join(filter(None, (adapter.paths[binding.tower], binding.write.path)))
        yield path, binding.write.span, binding.unit


def compare(theirs, ours, pairs):
    """Copies tensors of theirs into ours, and compares outputs and the gradients of both.

    Args:
        theirs, ours: The two models.
        pairs: From their map, the rows and our unit to pairs (their tensor, ours, whether it is one for all rows).
    """
    base = dict(theirs.get_base_model().named_modules())
    found = [(span, pair) for path, span, unit in units(ours) for pair in pairs(base[path], unit)]
    assert found
    with torch.no_grad():
        for span, (their, our, is_shared) in found:
            our.copy_(their if span is None or is_shared else their[span[0] : span[1]])
    expected = gradients(theirs)
    assert_close(gradients(ours), expected)
    summed = {}
    for span, (their, our, is_shared) in found:
        if our.grad is not None:
            parts = summed.setdefault(id(their), (their, {}))[1]
            parts[span] = our.grad if span is None or not is_shared else parts.get(None, 0) + our.grad
            if span is not None and is_shared:
                parts[None] = parts.pop(span)
    assert summed
    for their, parts in summed.values():
        grad = torch.cat([parts[span] for span in sorted(parts, key=lambda span: span or (0, 0))])
        assert their.grad.abs().max() > 0
        assert_close(grad, their.grad)
    return expected


def matrices(module, unit):
    yield module.lora_A['default'].weight, unit.down.weight, True
    yield module.lora_B['default'].weight, unit.up.weight, False


def with_magnitude(module, unit):
    yield from matrices(module, unit)
    yield module.lora_magnitude_vector['default'].weight, unit.magnitude, False


@pytest.mark.parametrize('name, maps', [*((name, maps) for name, maps in MAPS.items()), ('gpt2', FUSED)])
@pytest.mark.parametrize('use_rslora', [False, True])
def test_dora(name, maps, use_rslora):
    model = build(name)
    bare, fused = run(model), maps is FUSED
    settings = dict(r=3, lora_alpha=5, use_dora=True, use_rslora=use_rslora, fan_in_fan_out=name == 'gpt2')
    theirs = get_peft_model(copy.deepcopy(model), LoraConfig(target_modules=maps[0], **settings)).eval()
    scaling = dict(scaling='rslora') if use_rslora else {}
    ours = vlpeft.attach(model, dict(type='DoRA', rank=3, alpha=5, targets=maps[1], **scaling))
    # Both start at the base, with the lengths of its rows.
    assert_close(run(ours), bare)
    for path, span, unit in units(ours):
        lengths = theirs.get_base_model().get_submodule(path).lora_magnitude_vector['default'].weight
        assert_close(unit.magnitude, lengths if span is None else lengths[span[0] : span[1]])
    draw(theirs, ('lora_A', 'lora_B'))
    with torch.no_grad():
        for _, param in theirs.named_parameters():
            if 'magnitude' in _:
                param.mul_(torch.linspace(0.5, 1.5, len(param)))
    expected = compare(theirs, ours, with_magnitude)
    assert (expected - bare).abs().max() > 0.1
    assert fused == any(span is not None for _, span, _ in units(ours))


@pytest.mark.parametrize('name', MAPS)
def test_vera(name):
    """The shared matrices are the same for the same seed, too."""
    model, (theirs_of, targets) = build(name), MAPS[name]
    config = VeraConfig(r=6, target_modules=theirs_of, projection_prng_key=7, fan_in_fan_out=name == 'gpt2')
    theirs = get_peft_model(copy.deepcopy(model), config).eval()
    ours = vlpeft.attach(model, dict(type='VeRA', rank=6, seed=7, targets=targets))
    shared = ours.sets['default'].projection
    assert torch.equal(shared.down, theirs.base_model.vera_A['default'])
    assert torch.equal(shared.up, theirs.base_model.vera_B['default'])
    for _, _, unit in units(ours):
        assert not unit.b.any() and (unit.d == 0.1).all()
    draw(theirs, ('vera_lambda',))

    def vectors(module, unit):
        yield module.vera_lambda_b['default'], unit.b, False
        yield module.vera_lambda_d['default'], unit.d, True

    bare = run(model.requires_grad_(False))
    expected = compare(theirs, ours, vectors)
    assert (expected - bare).abs().max() > 0.01


@pytest.mark.parametrize('name', MAPS)
def test_pissa(name):
    """PEFT takes B₀A₀ out of the weight; here it is taken out of the change."""
    model, (theirs_of, targets) = build(name), MAPS[name]
    config = LoraConfig(
        r=3, lora_alpha=5, target_modules=theirs_of, init_lora_weights='pissa', fan_in_fan_out=name == 'gpt2'
    )
    theirs = get_peft_model(copy.deepcopy(model), config).eval()
    ours = vlpeft.attach(model, dict(type='LoRA', rank=3, alpha=5, init='pissa', targets=targets))
    base = theirs.get_base_model()
    for path, _, unit in units(ours):
        module = base.get_submodule(path)
        for their, our in ((module.lora_A, unit.down), (module.lora_B, unit.up)):
            # Singular vectors are known up to their sign.
            assert_close(our.weight.abs(), their['default'].weight.abs())

    with torch.no_grad():
        for path, _, unit in units(ours):
            module = base.get_submodule(path)
            unit.first_down.weight.copy_(module.lora_A['default'].weight)
            unit.first_up.weight.copy_(module.lora_B['default'].weight)
            # What PEFT leaves of W is rounded to single precision, which more than a digit of 1e-6 would show.
            rest = ours.model.get_submodule(path).weight.double()
            product = 5 / 3 * unit.first_up.weight.double() @ unit.first_down.weight.double()
            rest = rest - (product.T if name == 'gpt2' else product)
            assert_close(module.base_layer.weight, rest.float())
            module.base_layer.weight.data = rest
    theirs.double(), ours.double()
    before = run(theirs)
    compare(theirs, ours, matrices)
    draw(theirs, ('lora_A', 'lora_B'))
    expected = compare(theirs, ours, matrices)
    assert (expected - before).abs().max() > 0.1


@pytest.mark.parametrize('name, maps', [('bart', MAPS['bart']), ('gpt2', FUSED)])
def test_biases_of_the_adapted_maps(name, maps):
    """PEFT's ``lora_only`` trains them in place; here they are offsets."""
    model = build(name)
    config = LoraConfig(
        r=4, lora_alpha=5, target_modules=maps[0], bias='lora_only', use_rslora=True, fan_in_fan_out=name == 'gpt2'
    )
    theirs = get_peft_model(copy.deepcopy(model), config).eval()
    ours = vlpeft.attach(model, dict(type='LoRA', rank=4, alpha=5, scaling='rslora', bias='adapted', targets=maps[1]))
    assert next(iter(units(ours)))[2].scale == pytest.approx(5 / math.sqrt(4))
    before = {name: bias.detach().clone() for name, bias in theirs.named_parameters() if bias.requires_grad}
    draw(theirs, ('lora_A', 'lora_B'))
    for key, param in theirs.named_parameters():
        if key in before and key.endswith('bias'):
            param.data += torch.linspace(-1, 1, len(param))

    offsets = [(path, span, unit.offset) for path, span, unit in units(ours) if hasattr(unit, 'offset')]

    def bias_of(path, span):
        bias = theirs.get_base_model().get_submodule(path).base_layer.bias
        return bias, slice(None) if span is None else slice(*span)

    with torch.no_grad():
        for path, span, offset in offsets:
            bias, rows = bias_of(path, span)
            offset.copy_(torch.linspace(-1, 1, len(bias))[rows])
    compare(theirs, ours, lambda module, unit: () if hasattr(unit, 'offset') else matrices(module, unit))
    assert len(offsets) == len([*units(ours)]) / 2
    for path, span, offset in offsets:
        bias, rows = bias_of(path, span)
        assert_close(offset.grad, bias.grad[rows])
