"""Loading into a model: what is filled, resized, reported and refused."""

import fabricated
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.fit import fit
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.translate import translate

BASE_PARTS = ('vision', 'text')


class Holder(nn.Module):
    """A module tree with given keys and shapes, filled with NaN."""

    def __init__(self, state):
        super().__init__()
        for key, tensor in state.items():
            *path, leaf = key.split('.')
            node = self
            for name in path:
                if name not in node._modules:
                    node.add_module(name, nn.Module())
                node = node._modules[name]
            node.register_parameter(leaf, nn.Parameter(torch.full(tensor.shape, float('nan'))))


@pytest.fixture
def base():
    torch.manual_seed(0)
    return fabricated.base()


def official(base):
    return dict(model={**base['blip'], **fabricated.official_leftovers(base['blip'])})


def offered(content, target, dialect=None, origin='checkpoint'):
    return fit(translate(Checkpoint.of(content, origin), dialect), target)


def test_base_into_adapted_model(base, tmp_path):
    model = Holder({**base['ours'], **fabricated.adapters()['ours']})
    path = tmp_path / 'model_base.pth'
    checkpoint = official(base)
    checkpoint['model'].update(fabricated.decoder()['blip'])
    torch.save(checkpoint, path)
    report = load_into(model, Checkpoint.read(path), strict_parts=BASE_PARTS)
    state = model.state_dict()
    for key, tensor in base['ours'].items():
        assert torch.equal(state[key], tensor), key
    assert all(value.isnan().all() for key, value in state.items() if key not in base['ours'])
    assert sorted(report.loaded) == sorted(base['ours'])
    assert report.unexpected == [] and report.resized == {}
    assert {part: len(r.missing) for part, r in report.parts.items()} == dict(
        vision=0, text=0, itc_head=0, itm_head=0, adapter=fabricated.DEPTH * 12 + 10, temporal_embedding=1
    )
    text = str(report)
    row = next(line.split() for line in text.splitlines() if line.split()[0] == 'vision')
    assert row == ['vision', str(len(report.parts['vision'].loaded)), '0', '0', '0']
    for part in (
        str(path),
        'blip layout',
        'missing in adapter: adapter.layers.0.norm.weight',
        'and 30 more',
        'the model has no decoder: decoder.bert',
    ):
        assert part in text


@pytest.mark.parametrize('grid', [3, 1])
def test_vision_positions_are_resized_bicubically(base, grid):
    wanted = {**base['ours'], 'vision.pos_embed': torch.empty(1, 1 + grid**2, fabricated.WIDTH)}
    model = Holder(wanted)
    report = load_into(model, Checkpoint.of(official(base)), strict_parts=BASE_PARTS)
    source = base['ours']['vision.pos_embed']
    patches = source[:, 1:].transpose(1, 2).reshape(1, -1, 2, 2)
    expected = F.interpolate(patches, (grid, grid), mode='bicubic', align_corners=False).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.vision.pos_embed.data, torch.cat([source[:, :1], expected], 1))
    shapes = f'(1, 5, 8) -> (1, {1 + grid**2}, 8)'
    assert report.resized == {'vision.pos_embed': shapes} and 'vision.pos_embed' in report.loaded
    assert f'resized: vision.pos_embed {shapes}' in str(report)


def test_temporal_embedding_is_resized_linearly(base):
    ramp = torch.linspace(0, 1, 4)[None, :, None].expand(1, 4, fabricated.WIDTH)
    fitted, _ = offered(
        {**base['ours'], 'temporal_embedding.table': ramp},
        {**base['ours'], 'temporal_embedding.table': torch.empty(1, 8, fabricated.WIDTH)},
    )
    values = fitted['temporal_embedding.table'][0, :, 0]
    torch.testing.assert_close(values, ((torch.arange(8) + 0.5) / 2 - 0.5).clamp(0, 3) / 3)


def test_adapter_checkpoint_fills_adapters_only(base):
    adapters = fabricated.adapters()['ours']
    model = Holder({**base['ours'], **adapters})
    report = load_into(model, Checkpoint.of(dict(state_dict=adapters, meta={})))
    assert sorted(report.loaded) == sorted(adapters)
    state = model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in adapters.items())
    assert set(report.missing) == set(base['ours'])


def test_unexpected_keys_are_reported(base):
    checkpoint = official(base)
    checkpoint['model'].update({'cls_head.weight': torch.zeros(2), 'text_encoder.pooler.dense.weight': torch.zeros(2)})
    _, report = offered(checkpoint, base['ours'])
    assert report.unexpected == ['text.pooler.dense.weight', 'cls_head.weight']
    assert 'unexpected in cls_head: cls_head.weight' in str(report)
    assert 'unexpected in text: text.pooler.dense.weight' in str(report)


def test_incomplete_base_is_refused(base):
    for gone, part, count in (
        ('text_encoder.encoder.layer.1.crossattention', 'text', 10),
        ('visual_encoder.norm.', 'vision', 2),
        ('text_encoder.', 'text', None),
    ):
        checkpoint = dict(model={k: v for k, v in base['blip'].items() if not k.startswith(gone)})
        model = Holder(base['ours'])
        with pytest.raises(CheckpointError, match=f'base.pth .*leaves {count or "[0-9]+"} keys of {part} unfilled'):
            load_into(model, Checkpoint.of(checkpoint, 'base.pth'), strict_parts=BASE_PARTS)
        assert all(value.isnan().all() for value in model.state_dict().values()), 'a refused file must change nothing'
        assert load_into(model, Checkpoint.of(checkpoint)).missing
    with pytest.raises(CheckpointError, match="'decoder' is not a part of the model; its parts: vision, text"):
        load_into(model, Checkpoint.of(official(base)), strict_parts=('decoder',))


def test_other_geometry_is_refused(base):
    wanted = {
        **base['ours'],
        'text.embeddings.word_embeddings.weight': torch.empty(30, fabricated.WIDTH),
        'vision.ln1.weight': torch.empty(9),
    }
    model = Holder(wanted)
    with pytest.raises(CheckpointError) as error:
        load_into(model, Checkpoint.of(official(base), 'big.pth'))
    for part in (
        'big.pth',
        'text.embeddings.word_embeddings.weight: (20, 8) -> (30, 8)',
        'vision.ln1.weight: (8,) -> (9,)',
    ):
        assert part in str(error.value)
    assert all(value.isnan().all() for value in model.state_dict().values())
    wider = {**base['ours'], 'vision.pos_embed': torch.empty(1, 10, 16)}
    with pytest.raises(CheckpointError, match=r'vision.pos_embed: \(1, 5, 8\) -> \(1, 10, 16\)'):
        offered(official(base), wider)
    oblong = {**base['ours'], 'vision.pos_embed': torch.empty(1, 7, 8)}
    with pytest.raises(CheckpointError, match=r'vision.pos_embed: \(1, 5, 8\) -> \(1, 7, 8\)'):
        offered(official(base), oblong)


def test_file_that_fills_nothing_is_refused(base, tmp_path):
    path = tmp_path / 'lora.pth'
    torch.save(dict(state_dict={'adapter.lora.a': torch.zeros(2)}), path)
    with pytest.raises(CheckpointError) as error:
        load_into(Holder(base['ours']), Checkpoint.read(path))
    for part in (str(path), 'vlpeft layout', 'fills nothing', 'adapter.lora.a', 'vision.cls_token'):
        assert part in str(error.value)


def test_named_dialect_must_fit(base):
    with pytest.raises(CheckpointError, match='base.pth is not in the mmpretrain layout; .*: visual_encoder'):
        offered(official(base), base['ours'], dialect='mmpretrain', origin='base.pth')
    both = {**base['blip'], 'adapter.other': torch.zeros(1)}
    assert offered(both, base['ours'], dialect='blip')[1].dialect == 'blip'
