"""UniAdapter's formulas, initialisation and sharing."""

import pytest
import torch

from tests.slow_blip import SlowUniAdapter
from tests.tiny import DEPTH, WIDTH, build_retriever, random_batch, retriever_config, vqa_config
from vlpeft.adapters.uniadapter import KeyValueAdapter, UniAdapterLayer
from vlpeft.models import count_parameters
from vlpeft.models.backbones import CrossContext
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError


def multimodal_pass(model):
    states = model.encode_vision(random_batch()[0]).tokens.flatten(1, 2)
    ids = torch.arange(5).repeat(3, 1) + 1
    return model.text(ids, torch.ones_like(ids), CrossContext(model.text.project_context(states)))


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_each_modality_equals_its_closed_form(dtype, rtol):
    torch.manual_seed(0)
    layer = UniAdapterLayer(WIDTH, 4).to(dtype)
    for param in layer.parameters():
        torch.nn.init.normal_(param, std=0.4)
    slow = SlowUniAdapter({f'adapter.layers.0.{name}': param for name, param in layer.named_parameters()})
    x, y, c = torch.randn(3, 2, 5, WIDTH, dtype=dtype)
    torch.testing.assert_close(layer.add_vision(y, x), y + slow(x, 0, 'vision'), rtol=rtol, atol=rtol)
    torch.testing.assert_close(layer.add_text(y, x), y + slow(x, 0, 'text'), rtol=rtol, atol=rtol)
    torch.testing.assert_close(layer.add_multimodal(y, c), y + slow(c, 0, 'multimodal'), rtol=rtol, atol=rtol)


def test_key_value_adapter_is_a_scaled_low_rank_map():
    adapter = KeyValueAdapter(6, 4, 3).double()
    torch.nn.init.constant_(adapter.scale, 1.7)
    torch.nn.init.normal_(adapter.up.bias)
    context, projected = torch.randn(2, 5, 6).double(), torch.randn(2, 5, 4).double()
    product = adapter.up.weight @ adapter.down.weight
    expected = projected + 1.7 * (context @ product.T + adapter.up.bias)
    torch.testing.assert_close(adapter.add(projected, context), expected, rtol=1e-8, atol=1e-10)


def test_towers_share_one_module_per_depth():
    model = build_retriever(adapter=dict(type='UniAdapter', bottleneck=4))
    units = [(edit.tower, edit.edit.__name__, edit.unit) for edit in model.sets.attachments['default'].edits]
    assert len(units) == 3 * DEPTH
    for depth in range(DEPTH):
        assert {(tower, method) for tower, method, unit in units if unit is model.adapter.layers[depth]} == {
            ('vision', 'add_vision'),
            ('text', 'add_text'),
            ('text', 'add_multimodal'),
        }
    assert count_parameters(model)['by_tower']['shared'] == sum(p.numel() for p in model.adapter.parameters())


def test_the_released_retrieval_zeroes_only_the_text_up_projection():
    layer = MODELS.build(retriever_config(adapter=dict(type='UniAdapter', bottleneck=64))).adapter.layers[0]
    assert not layer.up_text.weight.any() and layer.up_vision.weight.any() and layer.up_multimodal.weight.any()
    for linear in (layer.up_vision, layer.up_multimodal):
        assert abs(linear.weight.std().item() - 0.02) < 0.002
    bound = 1 / WIDTH**0.5  # kaiming-uniform with a = sqrt(5)
    assert bound * 0.9 < layer.down.weight.abs().max() <= bound
    assert not any(linear.bias.any() for linear in (layer.down, layer.up_text, layer.up_vision, layer.up_multimodal))


@pytest.mark.parametrize('share', ['towers', 'none'])
def test_the_released_question_answering_zeroes_nothing(share):
    adapter = dict(type='UniAdapter', bottleneck=64, init='normal', share=share)
    layers = [
        layer
        for layer in MODELS.build(vqa_config(adapter=adapter)).adapter.modules()
        if isinstance(layer, UniAdapterLayer)
    ]
    assert len(layers) == DEPTH * (1 if share == 'towers' else 3)
    for layer in layers:
        for name in ('down', *layer.ups):
            linear = layer.get_submodule(name)
            # Of 64 · 16 draws the standard deviation is that of the law up to 0.02 / √2048.
            assert abs(linear.weight.std().item() - 0.02) < 0.002 and abs(linear.weight.mean().item()) < 0.003
            assert linear.weight.abs().max() > 0.05 and not linear.bias.any()


def test_identity_init_starts_at_the_base_with_finite_gradients():
    torch.manual_seed(0)
    model = MODELS.build(retriever_config(adapter=dict(type='UniAdapter', bottleneck=4, init='identity'))).double()
    model.eval()
    adapted = multimodal_pass(model)
    with model.switch.use(None):
        assert torch.equal(multimodal_pass(model), adapted)
    adapted.square().sum().backward()
    layer = model.adapter.layers[0]
    assert layer.norm_cross.weight.grad.abs().max() > 0 and layer.up_vision.weight.grad.abs().max() > 0
    assert all(p.grad is None or p.grad.abs().max() < 1e4 for p in model.adapter.parameters())


def test_cross_norm_can_be_frozen_as_released():
    model = MODELS.build(retriever_config(adapter=dict(type='UniAdapter', bottleneck=4, train_cross_norm=False)))
    frozen = {name for name, _ in model.named_parameters() if name.startswith('adapter.')} - model.declared
    assert frozen == {f'adapter.layers.{i}.norm_cross.{wb}' for i in range(DEPTH) for wb in ('weight', 'bias')}


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(init='zeros'), ValueError, r"init='zeros'; choose from \('zero_text', 'normal', 'identity'\)"),
        (
            dict(init='released'),
            ValueError,
            "retrieval with init='zero_text' and question answering with init='normal'",
        ),
        (dict(init='identity', train_cross_norm=False), ValueError, 'LN_cross'),
        (dict(share='down'), ValueError, r"share='down'; choose from \('towers', 'last_blocks', 'none'\)"),
        (
            dict(modalities=('vision', 'audio')),
            ValueError,
            r"'audio'\); choose one or more of \('vision', 'text', 'mult",
        ),
        (dict(modalities=()), ValueError, r'modalities=\(\); choose one or more'),
        (dict(modalities='text'), ValueError, r"modalities='text'; it is a list"),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(retriever_config(adapter=dict(type='UniAdapter', **options)))


def test_towers_of_other_shapes_are_an_error():
    config = retriever_config(adapter=dict(type='UniAdapter'))
    config['text']['depth'] = DEPTH + 1
    with pytest.raises(
        SiteError,
        match=r"differ in \(depth, width\): {'vision': \(2, 16\), 'text': \(3, 16\)}; "
        "share='last_blocks' pairs their blocks from the last one down, and with share='none' each tower has modules "
        'of its own',
    ):
        MODELS.build(config)
