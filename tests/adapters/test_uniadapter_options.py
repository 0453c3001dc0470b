"""UniAdapter's sharing, modalities and scale."""

from itertools import combinations

import pytest
import torch

from tests.slow_blip import SlowUniAdapter
from tests.tiny import DEPTH, WIDTH, build_retriever, random_batch, retriever_config, write_vocabulary
from tests.towers import build, dual_config
from tests.watching import watch
from vlpeft.adapters.uniadapter_layer import MODALITIES
from vlpeft.models import count_parameters
from vlpeft.models.backbones import CrossContext
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]
BASE = dict(type='UniAdapter', bottleneck=4)
OWNERS = dict(
    up_vision={'vision'}, up_text={'text', 'multimodal'}, up_multimodal={'multimodal'}, norm_cross={'multimodal'}
)


@pytest.fixture
def vocabulary(tmp_path):
    return write_vocabulary(tmp_path / 'vocabulary')


def added(model, multimodal):
    """What the text blocks of a pass add to norm(x + h), and what they read, by depth."""
    tower, captures = model.towers['text'], []
    for block in tower.blocks:
        self_attn, cross_attn, ffn = (block.sublayers[kind] for kind in ('self_attn', 'cross_attn', 'ffn'))
        captures.append([watch(model.text, tap) for tap in (self_attn.y, cross_attn.y, ffn.x, ffn.h, ffn.y)])
    states = model.encode_vision(random_batch()[0]).tokens.flatten(1, 2)
    ids = torch.arange(5).repeat(3, 1) + 1
    model.text(ids, torch.ones_like(ids), CrossContext(model.text.project_context(states)) if multimodal else None)
    for depth, (s, c, x, h, y) in enumerate(captures):
        norm = model.text.encoder.layer[depth].output.LayerNorm
        yield depth, s.value, c.value, y.value - norm(x.value + h.value)


@pytest.mark.parametrize('subset', SUBSETS)
def test_only_the_chosen_terms_are_added(subset):
    model = build_retriever(adapter=dict(BASE, modalities=subset))
    slow = SlowUniAdapter(dict(model.named_parameters()))
    for multimodal in (False, True):
        for depth, s, c, found in added(model, multimodal):
            expected = torch.zeros_like(found)
            if 'text' in subset:
                expected = expected + slow(s, depth, 'text')
            if multimodal and 'multimodal' in subset:
                expected = expected + slow(c, depth, 'multimodal')
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    clips = random_batch()[0]
    seen = model.encode_vision(clips).feature
    with model.switch.use(None):
        assert torch.equal(model.encode_vision(clips).feature, seen) == ('vision' not in subset)


def test_without_the_query_residual_a_multimodal_pass_adds_its_own_term_alone():
    model = build_retriever(adapter=dict(BASE, query_residual=False))
    slow = SlowUniAdapter(dict(model.named_parameters()))
    for depth, s, _, found in added(model, False):
        torch.testing.assert_close(found, slow(s, depth, 'text'), rtol=1e-8, atol=1e-10)
    for depth, _, c, found in added(model, True):
        torch.testing.assert_close(found, slow(c, depth, 'multimodal'), rtol=1e-8, atol=1e-10)
    with pytest.raises(ValueError, match='query_residual=False is about'):
        build_retriever(adapter=dict(BASE, query_residual=False, modalities=('vision', 'text')))


@pytest.mark.parametrize('share', ['towers', 'none'])
@pytest.mark.parametrize('subset', SUBSETS)
def test_nothing_is_built_that_gets_no_gradient(vocabulary, subset, share):
    """Under DDP an unused parameter is an error."""
    adapter = dict(BASE, modalities=subset, share=share, learn_scale=True)
    model = build_retriever(vocabulary=vocabulary, adapter=adapter)
    model.train()
    sum(model(*random_batch(), mode='loss').values()).backward()
    params = dict(model.named_parameters())
    assert all(params[name].grad is not None for name in model.declared)
    for name, users in OWNERS.items():
        built = any(f'.{name}.' in key for key in params)
        assert built == bool(users & set(subset)), name


def test_keys_and_draws_of_shared_modules_do_not_depend_on_the_options():
    torch.manual_seed(0)
    layer = MODELS.build(retriever_config(adapter=BASE)).adapter.layers[0]
    assert set(layer.state_dict()) == {
        f'{name}.{wb}'
        for wb in ('weight', 'bias')
        for name in ('norm', 'norm_cross', 'down', 'up_text', 'up_multimodal', 'up_vision')
    }
    keys = {key for key in MODELS.build(retriever_config(adapter=dict(BASE, share='none'))).adapter.state_dict()}
    assert {key.rsplit('.', 3)[0] for key in keys} == {'layers.vision', 'layers.text'}


def test_towers_of_other_shapes_have_modules_of_their_own(vocabulary):
    arch = dict(embed_dims=24, num_layers=DEPTH + 1, num_heads=2, feedforward_channels=32)
    config = retriever_config(vocabulary, adapter=dict(BASE, share='none', kv_bottleneck=3))
    config['vision']['arch'], config['text']['context_width'] = arch, 24
    config['itc_head']['vision_width'] = 24
    model = build(config)
    assert [len(model.adapter.layers[name]) for name in ('vision', 'text')] == [DEPTH + 1, DEPTH]
    towers = count_parameters(model)['by_tower']
    assert 'shared' not in towers and sum(towers.values()) == sum(p.numel() for p in model.parameters())
    r = 4
    vision = 2 * 24 + 24 * r + r + 24 * r + 24
    text = 4 * WIDTH + WIDTH * r + r + 2 * (WIDTH * r + WIDTH)
    kv = 2 * (24 * 3 + 3 + 3 * WIDTH + WIDTH + 1)
    assert sum(p.numel() for p in model.adapter.parameters()) == (DEPTH + 1) * vision + DEPTH * text + kv
    losses = model(*random_batch(), mode='loss')
    sum(losses.values()).backward()
    assert all(param.grad is not None for name, param in model.named_parameters() if name in model.declared)


def test_only_towers_that_share_need_equal_shapes():
    config = retriever_config(adapter=dict(BASE, modalities=('text', 'multimodal')))
    config['vision']['arch'] = dict(config['vision']['arch'], num_layers=DEPTH + 1)
    assert len(MODELS.build(config).adapter.layers) == DEPTH


def test_the_last_blocks_of_towers_of_other_depths_share(vocabulary):
    """The text's last block reads the module of the vision tower's last block, and so on down."""
    config = retriever_config(vocabulary, adapter=dict(BASE, share='last_blocks'))
    config['vision']['arch'] = dict(config['vision']['arch'], num_layers=DEPTH + 2)
    model = build(config)
    owners = {}
    for binding in model.adapter.bindings(model.towers):
        layer = binding.edit.__self__
        number = next(n for n, one in enumerate(model.adapter.layers) if one is layer)
        owners.setdefault(number, set()).add((binding.tower, binding.depth))
    shared = {depth + 2: {('vision', depth + 2), ('text', depth)} for depth in range(DEPTH)}
    assert owners == {0: {('vision', 0)}, 1: {('vision', 1)}, **shared}
    first = {key.split('.')[0] for key in model.adapter.layers[0].state_dict()}
    assert first == {'norm', 'down', 'up_vision'}
    sum(model(*random_batch(), mode='loss').values()).backward()
    assert all(param.grad is not None for name, param in model.named_parameters() if name in model.declared)


def test_the_last_blocks_of_equal_towers_are_all_blocks():
    models = []
    for share in ('towers', 'last_blocks'):
        torch.manual_seed(0)
        models.append(MODELS.build(retriever_config(adapter=dict(BASE, share=share))).adapter.state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())


def test_the_scale_can_be_learned():
    fixed, learned = (build_retriever(adapter=dict(BASE, learn_scale=learn)) for learn in (False, True))
    learned.load_state_dict({k: v for k, v in fixed.state_dict().items() if 'momentum.' not in k}, strict=False)
    fresh = MODELS.build(retriever_config(adapter=dict(BASE, learn_scale=True))).adapter.layers
    assert all(layer.scale.shape == (1,) and layer.scale.item() == pytest.approx(0.1) for layer in fresh)
    clips = random_batch()[0]
    expected = fixed.encode_vision(clips).feature
    with torch.no_grad():
        for layer in learned.adapter.layers:
            layer.scale.fill_(0.1)
    found = learned.encode_vision(clips).feature
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    found[0, 0].backward()
    assert all(layer.scale.grad.abs() > 0 for layer in learned.adapter.layers)


@pytest.mark.parametrize('subset', SUBSETS)
def test_identity_starts_at_the_base_for_every_choice_of_modalities(subset):
    model = MODELS.build(retriever_config(adapter=dict(BASE, modalities=subset, init='identity'))).double()
    model.eval()
    clips = random_batch()[0]
    seen = model.encode_vision(clips).feature
    with model.switch.use(None):
        assert torch.equal(model.encode_vision(clips).feature, seen)
    assert all(part.abs().max() < 1e-12 for *_, part in added(model, True))


def test_a_text_tower_without_cross_attention_needs_the_multimodal_term_left_out():
    with pytest.raises(
        SiteError,
        match="UniAdapter with 'multimodal' in its modalities attaches to cross_attn of "
        'block 0 of tower "text", which has only: self_attn, ffn',
    ):
        MODELS.build(dual_config(adapter=dict(BASE, share='none')))
    with pytest.raises(SiteError, match='UniAdapter with kv_bottleneck attaches to cross_attn'):
        MODELS.build(dual_config(adapter=dict(BASE, share='none', modalities=('text',), kv_bottleneck=2)))
    assert len(MODELS.build(dual_config(adapter=dict(BASE, modalities=('text',)))).adapter.layers) == 3


def test_a_multimodal_term_that_no_pass_reaches_is_an_error():
    config = retriever_config(adapter=BASE, itm_head=None)
    with pytest.raises(
        SiteError,
        match=r'no forward pass reaches 2 of its sites, such as '
        r'text.0:encoder.layer.0.output \(add_multimodal\)',
    ):
        MODELS.build(config)
