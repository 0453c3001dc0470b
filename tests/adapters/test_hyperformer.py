"""Hyperformer against its closed form and a slow restatement: every weight generated anew for each token."""

import pytest
import torch
from torch.nn import functional as F

import vlpeft
from tests.slow_seq2seq import SlowVLPET, check_formulas, gelu_tanh, linear, slow_logits
from tests.tiny_seq2seq import BACKBONES, build_adapted, build_lm, random_texts
from vlpeft.sites import SiteError
from vlpeft.testing.backbones import DEPTH, WIDTH

SIZES = dict(bottleneck=3, embedding=5, hidden=7, projection=4)
TASKS = ['vqa', 'caption']
BASE = dict(type='Hyperformer', tasks=TASKS, targets=dict(), **SIZES)
EXACT = dict(rtol=1e-8, atol=1e-10)
KINDS = ('self_attn', 'cross_attn', 'ffn')


class SlowHyperformer(SlowVLPET):
    """h + up(φ(down(h))) of one token at a time, for ``task``."""

    task = ''

    def embedding(self, tower, depth):
        name = f'nets.{tower}'
        e = torch.cat([self.state[f'task_embeddings.vectors.{self.task}'], self.state[f'{name}.depths.weight'][depth]])
        u = linear(torch.clamp(linear(e, self.state, f'{name}.project.0'), min=0), self.state, f'{name}.project.2')
        u = (u - u.mean()) / torch.sqrt(((u - u.mean()) ** 2).mean() + 1e-6)
        return u * self.state[f'{name}.norm.weight'] + self.state[f'{name}.norm.bias']

    def generated(self, v, tower, depth, kind, side):
        name, u = f'nets.{tower}.generators.{kind}.{side}', self.embedding(tower, depth)
        flat, bias = linear(u, self.state, f'{name}.weight'), linear(u, self.state, f'{name}.bias')
        # Row after row of a matrix of outputs by inputs.
        rows = [flat[i * len(v) : (i + 1) * len(v)] for i in range(len(bias))]
        return torch.stack([row @ v for row in rows]) + bias

    def branch(self, place, x, h, real):
        tower, depth, kind = place.split('_', 2)
        where = (tower, int(depth), kind)
        return torch.stack([t + self.generated(gelu_tanh(self.generated(t, *where, 'down')), *where, 'up') for t in h])


def expected_logits(model, task, *batch):
    pet = SlowHyperformer(dict(model.adapter.named_parameters()), BASE)
    pet.task = task
    return slow_logits(model, pet, *batch)


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_whole_model_equals_the_formulas(backbone, task):
    model, batch = build_adapted(backbone, BASE), random_texts()
    params = [param for name, param in model.adapter.named_parameters() if model.adapter.task_of(name) in (None, task)]
    assert len(params) == len(list(model.adapter.parameters())) - 1
    with model.switch.task(task):
        check_formulas(model, expected_logits(model, task, *batch), batch, params, **EXACT)


def test_in_single_precision_the_loss_is_the_formulas():
    model, batch = build_adapted('bart', BASE, dtype=torch.float32), random_texts()
    with model.switch.task('vqa'):
        found = model(*batch)
    expected = expected_logits(model, 'vqa', *batch)
    losses = [F.cross_entropy(logits.transpose(1, 2), batch[2]) for logits in (found, expected)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_generated_is_what_a_plain_adapter_of_those_weights_does():
    """With generators that ignore their input and give constant weights, it is a Bottleneck of these weights."""
    model, batch = build_adapted('bart', BASE), random_texts()
    plain = build_adapted('bart', dict(type='Bottleneck', bottleneck=3, targets=dict()))
    with torch.no_grad():
        for name, param in model.adapter.named_parameters():
            if '.generators.' in name and name.endswith('.weight'):
                param.zero_()
        for tower, net in model.adapter.nets.items():
            for kind, sides in net.generators.items():
                for depth in range(DEPTH):
                    layer = plain.adapter.layers[f'{tower}_{depth}_{kind}']
                    for side, generator in sides.items():
                        one = getattr(layer, side)
                        one.weight.copy_(generator.weight.bias.view(one.weight.shape))
                        one.bias.copy_(generator.bias.bias)
        with model.switch.task('caption'):
            torch.testing.assert_close(model(*batch), plain(*batch), **EXACT)


def test_the_number_of_parameters():
    r, e, m, p, d, towers = *SIZES.values(), WIDTH, dict(encoder=2, decoder=3)
    net = DEPTH * e + (2 * e * m + m) + (m * p + p) + 2 * p
    generators = 2 * (p + 1) * d * r + (p + 1) * (d + r)
    expected = len(TASKS) * e + sum(net + kinds * generators for kinds in towers.values())
    assert sum(param.numel() for param in build_adapted('bart', BASE).adapter.parameters()) == expected


def test_the_start():
    torch.manual_seed(0)
    adapter = vlpeft.attach(build_lm('bart'), dict(BASE, embedding=512, hidden=128)).sets['default']
    assert adapter.task_embeddings.vectors['vqa'].std().item() == pytest.approx(1, rel=0.15)
    net = adapter.nets['encoder']
    assert net.project[0].weight.std().item() == pytest.approx(0.02, rel=0.1) and not net.project[0].bias.any()
    assert net.depths.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_towers_have_networks_of_their_own_and_tasks_serve_both():
    adapter = vlpeft.attach(build_lm('bart'), dict(BASE, targets=dict(kinds=['ffn'])), check_after=0)
    towers = {name: adapter.tower_of(f'sets.default.{name}') for name, _ in adapter.sets['default'].named_parameters()}
    assert towers['nets.encoder.depths.weight'] == 'encoder' and towers['nets.decoder.norm.bias'] == 'decoder'
    assert towers['task_embeddings.vectors.vqa'] == 'shared'
    assert not any('self_attn' in name for name in towers)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(tasks=[]), ValueError, r'Hyperformer: tasks=\[\]; it is a list of different names'),
        (dict(projection=0), ValueError, 'projection=0; it is an integer of at least 1'),
        (dict(targets=dict(linears=['q'])), SiteError, 'Hyperformer acts on whole sub-layers, but its targets name'),
        (dict(targets=dict(towers=['vision'])), SiteError, r"Hyperformer: unknown towers \['vision'\]"),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        vlpeft.attach(build_lm('bart'), dict(BASE, **options))
