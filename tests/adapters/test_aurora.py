"""Aurora: shared factors, the query gate, counts of the paper."""

import pytest
import torch

import vlpeft
from tests.adapters.test_uniadapter import multimodal_pass
from tests.slow_blip import SlowBlip
from tests.tiny import DEPTH, WIDTH, build_retriever, random_batch
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

ATTENTIONS = dict(kinds=['self_attn', 'cross_attn'])


def test_it_starts_at_the_base():
    subject = SUBJECTS['blip_text']
    bare = subject.run(subject.model().requires_grad_(False))
    for core in ('diagonal', 'full'):
        adapter = vlpeft.attach(subject.model(), dict(type='Aurora', core=core, query_gate=True, targets=ATTENTIONS))
        assert torch.equal(subject.run(adapter), bare)


def test_factors_are_shared_by_all_maps_of_a_width():
    """Two towers of one width: one U, one V and one core, beside a vector for each map."""
    model = build_retriever(adapter=dict(type='Aurora', rank=3, targets=ATTENTIONS))
    assert [*model.adapter.downs] == [*model.adapter.ups] == [str(WIDTH)]
    maps = DEPTH * 4 * 3
    counts = count_parameters(model)
    assert counts['by_role']['adapter'] == 2 * 3 * WIDTH + 3 + maps * 3
    assert counts['by_tower']['shared'] == 2 * 3 * WIDTH + 3
    one_tower = vlpeft.attach(SUBJECTS['vit'].model(), dict(type='Aurora', rank=3, targets={}))
    assert 'shared' not in one_tower.counts()['by_tower']


@pytest.mark.parametrize('core, size', [('diagonal', 64), ('full', 64**3)])
def test_a_tenth_of_a_million_parameters_on_blip_base(core, size):
    """U and V of 768, p of 12 · 4 maps of the ViT and 12 · 8 of the text model."""
    sizes = dict(hidden=3072, heads=12, max_positions=512)
    text = dict(type='BlipTextEncoder', vocab_size=30524, width=768, depth=12, context_width=768, dropout=0.0, **sizes)
    vision = dict(type='mmpretrain.VisionTransformer', arch='b', img_size=224, patch_size=16, out_type='raw')
    with torch.device('meta'):
        towers = torch.nn.ModuleDict(dict(vision=MODELS.build(vision), text=MODELS.build(text)))
        adapter = vlpeft.attach(towers, dict(type='Aurora', core=core, targets=ATTENTIONS))
    assert adapter.counts()['trainable'] == 2 * 64 * 768 + size + 64 * 12 * 12
    assert core == 'full' or adapter.counts()['trainable'] == 107_584


class SlowGate:
    """What the gate adds, of one block's two outputs, in passes with pictures."""

    def __init__(self, state):
        self.state, self.scale = state, 0.1

    def __call__(self, x, i, term):
        side = dict(text='self', multimodal='cross')[term]
        scale, shift = (self.state[f'adapter.gates.text_{i}.{side}_{part}'] for part in ('scale', 'shift'))
        return torch.stack([self.scale * (row * scale + shift) for row in x])


@pytest.mark.parametrize('core', ['diagonal', 'full'])
def test_a_multimodal_pass_equals_the_slow_one(core):
    """Weights of the formula and the gate, one text at a time; gradients too."""
    config = dict(type='Aurora', rank=3, core=core, query_gate=True, targets=dict(ATTENTIONS, towers=['text']))
    model = build_retriever(adapter=config)
    found = multimodal_pass(model)
    slow = SlowBlip(model)
    state = dict(slow.state)
    u, v, middle = (state[f'adapter.{name}.weight'] for name in (f'downs.{WIDTH}', f'ups.{WIDTH}', 'core'))
    names = dict(q='self.query', k='self.key', v='self.value', o='output.dense')
    for depth in range(DEPTH):
        for kind, attention in (('self_attn', 'attention'), ('cross_attn', 'crossattention')):
            for role, name in names.items():
                p = state[f'adapter.layers.text_{depth}_{kind}_{role}.p']
                if core == 'diagonal':
                    change = sum(middle[r] * p[r] * torch.outer(v[:, r], u[r]) for r in range(3))
                else:
                    change = sum(
                        middle[i, j, k] * p[k] * torch.outer(v[:, j], u[i])
                        for i in range(3)
                        for j in range(3)
                        for k in range(3)
                    )
                key = f'text.encoder.layer.{depth}.{attention}.{name}.weight'
                state[key] = state[key] + change
    slow.state, slow.adapter = state, SlowGate(state)
    ids = torch.arange(5) + 1
    slow_vision = SlowBlip(build_retriever(adapter=config))
    slow_vision.adapter.present = False
    expected = torch.stack(
        [
            slow.text(ids, torch.stack([slow_vision.vision(frame) for frame in clip]).flatten(0, 1))
            for clip in random_batch()[0]
        ]
    )
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    trained = dict(model.adapter.named_parameters())
    weights = torch.linspace(0.5, 1.5, WIDTH, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((weights * output).square().sum(), list(trained.values())) for output in (found, expected)
    )
    for name, grad, wanted in zip(trained, ours, theirs):
        assert wanted.any(), name
        torch.testing.assert_close(grad, wanted, rtol=1e-8, atol=1e-9)


def test_the_gate_stands_still_without_pictures():
    model = build_retriever(adapter=dict(type='Aurora', rank=3, query_gate=True, targets=dict(towers=['vision'])))
    ids = torch.arange(5).repeat(3, 1) + 1
    with_gate = model.text(ids, torch.ones_like(ids))
    with model.switch.use(None):
        assert torch.equal(model.text(ids, torch.ones_like(ids)), with_gate)
    assert not torch.allclose(multimodal_pass(model), with_gate)


def test_refusals():
    model = SUBJECTS['opt'].model()
    with pytest.raises(SiteError, match='Aurora with query_gate reads a cross-attention, but no block has one'):
        vlpeft.attach(model, dict(type='Aurora', query_gate=True, targets={}))
    with pytest.raises(ValueError, match="Aurora: core='cp'; choose from"):
        vlpeft.attach(model, dict(type='Aurora', core='cp', targets={}))
    adapter = vlpeft.attach(SUBJECTS['blip_text'].model(), dict(type='Aurora', query_gate=True, targets={}))
    with pytest.raises(SiteError, match='Aurora with query_gate cannot be merged'):
        adapter.merge()


def test_a_first_step_is_no_reason_for_a_warning(recwarn):
    """All wait for V, which starts at zero and belongs to all maps."""
    adapter = vlpeft.attach(SUBJECTS['bart'].model(), dict(type='Aurora', rank=2, targets={}), strict=True)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-3)
    for _ in range(3):
        SUBJECTS['bart'].run(adapter).square().sum().backward()
        optimizer.step()
    assert not [warning for warning in recwarn if 'gradient' in str(warning.message)]
