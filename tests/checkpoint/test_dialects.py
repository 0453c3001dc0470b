"""Every layout: to our keys, back, what is left behind, and refusals. Names come from ``fabricated``, typed by hand."""

import fabricated
import pytest
import torch
from fabricated import assert_same
from torch.nn import functional as F

from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect, dialect_names, get_dialect
from vlpeft.checkpoint.dialects.keymap import KeyMap
from vlpeft.registry import DIALECTS


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def released(base, adapters):
    """A checkpoint as UniAdapter's code saves it."""
    weights = {**base['blip'], **adapters['released']}
    return dict(
        model={**weights, **fabricated.official_leftovers(weights), **fabricated.released_aliases(weights)},
        optimizer={},
        config={},
        epoch=4,
    )


def test_registered_with_a_description():
    assert dialect_names() == [
        'ast',
        'augreg',
        'bert',
        'blip',
        'clip',
        'epalm',
        'mmpretrain',
        'mmpretrain_backbone',
        'timesformer',
        'timm_vit',
        'transformers_causal_lm',
        'transformers_seq2seq',
        'transformers_vit',
        'uniadapter',
        'vl_pet',
        'vl_pet_video',
        'vlpeft',
    ]
    for name in dialect_names():
        assert DIALECTS.get(name).__doc__.splitlines()[0]
        assert get_dialect(name).name == name
    with pytest.raises(CheckpointError, match=f"'coca'; there are: {', '.join(dialect_names())}"):
        get_dialect('coca')


def test_blip_both_ways():
    base = fabricated.base()
    leftovers = fabricated.official_leftovers(base['blip'])
    decoder = fabricated.decoder()
    base = {layout: {**base[layout], **decoder[layout]} for layout in ('ours', 'blip')}
    checkpoint = dict(model={**base['blip'], **leftovers})
    dialect = detect(checkpoint['model'])
    assert dialect.name == 'blip'
    assert_same(dialect.to_vlpeft(checkpoint['model']), base['ours'])
    ignored = dialect.ignored_keys(checkpoint['model'])
    assert sorted(key for keys in ignored.values() for key in keys) == sorted(leftovers)

    state = {
        **base['ours'],
        **fabricated.adapters()['ours'],
        'queue.ids': torch.zeros(3),
        'momentum.vision.x': torch.ones(1),
    }
    written = dialect.from_vlpeft(state)
    position_ids = written['model'].pop('text_encoder.embeddings.position_ids')
    assert torch.equal(written['model'].pop('text_decoder.bert.embeddings.position_ids'), position_ids)
    assert position_ids.dtype == torch.int64 and position_ids.tolist() == [list(range(fabricated.POSITIONS))]
    assert_same(written['model'], base['blip'])
    dropped = {key for keys in dialect.dropped_keys(state).values() for key in keys}
    assert dropped == set(state) - set(base['ours'])


def test_vqa_file_without_heads_and_flat_file():
    blip = {k: v for k, v in fabricated.base()['blip'].items() if k.startswith(('visual_encoder', 'text_encoder'))}
    state = detect(blip).to_vlpeft(blip)
    assert len(state) == len(blip) and {key.split('.')[0] for key in state} == {'vision', 'text'}


def test_unknown_foreign_keys_keep_their_names():
    checkpoint = dict(model={**fabricated.base()['blip'], 'cls_head.0.weight': torch.zeros(2)})
    assert 'cls_head.0.weight' in get_dialect('blip').to_vlpeft(checkpoint['model'])


def test_uniadapter_both_ways():
    base, adapters = fabricated.base(), fabricated.adapters()
    checkpoint = released(base, adapters)
    dialect = detect(checkpoint['model'])
    assert dialect.name == 'uniadapter'
    assert_same(dialect.to_vlpeft(checkpoint['model']), {**base['ours'], **adapters['ours']})
    dead = next(keys for reason, keys in dialect.ignored_keys(checkpoint['model']).items() if reason.startswith('dead'))
    assert len(dead) == fabricated.DEPTH * 12 and all(key.startswith('adapters_dec.') for key in dead)

    trained = {
        'momentum.itc_head.vision_proj.weight': torch.randn(4, 8),
        'momentum.adapter.layers.1.down.bias': torch.randn(3),
    }
    state = {**base['ours'], **adapters['ours'], **trained, 'queue.ids': torch.zeros(3)}
    written = dialect.from_vlpeft(state)
    assert sorted(written) == ['config', 'epoch', 'model', 'optimizer']
    model = written['model']
    expected = {**base['blip'], **adapters['released']}
    aliases = {k: v for k, v in fabricated.released_aliases(expected).items() if not k.startswith('adapters_dec')}
    live = {k: v for k, v in model.items() if not k.split('.')[0].endswith('_m')}
    for tower in ('text_encoder', 'text_encoder_m'):
        assert model[f'{tower}.embeddings.position_ids'].tolist() == [list(range(fabricated.POSITIONS))]
    del live['text_encoder.embeddings.position_ids']
    assert_same(live, {**expected, **aliases})

    assert torch.equal(model['vision_proj_m.weight'], trained['momentum.itc_head.vision_proj.weight'])
    for alias in (
        'adapters_m.1',
        'visual_encoder_m.adapters.1',
        'visual_encoder_m.blocks.1.adapter',
        'text_encoder_m.encoder.layer.1.adapter',
    ):
        assert torch.equal(model[f'{alias}.down_proj.bias'], trained['momentum.adapter.layers.1.down.bias'])
    for key, tensor in expected.items():
        part, _, rest = key.partition('.')
        if part in ('visual_encoder', 'text_encoder'):
            assert torch.equal(model[f'{part}_m.{rest}'], tensor), 'frozen parts have identical momentum copies'
    assert not any(key.startswith(('itm_head_m', 'temp_m', 'time_embed_m')) for key in model)
    assert_same(dialect.to_vlpeft(written['model']), {**base['ours'], **adapters['ours']})


@pytest.mark.parametrize(
    'alias', ['visual_encoder.adapters.1', 'visual_encoder.blocks.1.adapter', 'text_encoder.encoder.layer.1.adapter']
)
def test_disagreeing_aliases_are_an_error(alias):
    checkpoint = released(fabricated.base(), fabricated.adapters())
    key = f'{alias}.up_proj.bias'
    checkpoint['model'][key] = checkpoint['model'][key] + 1e-6
    with pytest.raises(CheckpointError) as error:
        get_dialect('uniadapter').to_vlpeft(checkpoint['model'])
    assert key in str(error.value) and 'adapters.1.up_proj.bias' in str(error.value)


def test_aliases_alone_are_enough():
    base, adapters = fabricated.base(), fabricated.adapters()
    checkpoint = released(base, adapters)
    for key in [key for key in checkpoint['model'] if key.startswith(('adapters.', 'visual_encoder.adapters.'))]:
        del checkpoint['model'][key]
    assert_same(detect(checkpoint['model']).to_vlpeft(checkpoint['model']), {**base['ours'], **adapters['ours']})


def test_layouts_refuse_what_they_cannot_hold():
    ours = fabricated.base()['ours']
    lora = {'adapter.lora.0.a.weight': torch.zeros(2)}
    with pytest.raises(CheckpointError, match='uniadapter layout has no place for 1 keys: adapter.lora.0.a.weight'):
        get_dialect('uniadapter').from_vlpeft({**ours, **lora})
    with pytest.raises(CheckpointError, match='use the blip layout'):
        get_dialect('uniadapter').from_vlpeft(ours)
    with pytest.raises(CheckpointError, match='blip layout has no place .* vision.layers.0.gamma1.weight'):
        get_dialect('blip').from_vlpeft({**ours, 'vision.layers.0.gamma1.weight': torch.zeros(1)})


def test_mmpretrain_both_ways():
    base = fabricated.base()
    mm = base['mmpretrain']
    checkpoint = dict(
        meta={},
        state_dict={
            **mm,
            'head.temp': mm['temp'].clone(),
            'head.image_queue': torch.zeros(3),
            'vision_neck_m.weight': torch.zeros(3),
            'text_backbone.embeddings.position_ids': torch.zeros(1, 4),
        },
    )
    dialect = detect(checkpoint['state_dict'])
    assert dialect.name == 'mmpretrain'
    assert_same(dialect.to_vlpeft(checkpoint['state_dict']), base['ours'])
    vqa = {key.replace('text_backbone', 'multimodal_backbone'): value for key, value in mm.items()}
    assert_same(detect(vqa).to_vlpeft(vqa), base['ours'])
    checkpoint['state_dict']['head.temp'] += 1
    with pytest.raises(CheckpointError, match='temp != head.temp'):
        dialect.to_vlpeft(checkpoint['state_dict'])

    written = dialect.from_vlpeft({**base['ours'], **fabricated.adapters()['ours']})['state_dict']
    assert_same(dialect.to_vlpeft(written), base['ours'])
    tail = 'embeddings.LayerNorm.bias'
    assert torch.equal(written[f'text_backbone_m.{tail}'], mm[f'text_backbone.{tail}'])


def test_vlpeft_both_ways():
    state = {**fabricated.base()['ours'], **fabricated.adapters()['ours']}
    dialect = detect(state)
    assert dialect.name == 'vlpeft' and detect({'adapter.any.a': torch.zeros(1)}).name == 'vlpeft'
    assert_same(dialect.to_vlpeft(dialect.from_vlpeft(state)['state_dict']), state)


@pytest.mark.parametrize('key', ['connector.maps.proj.weight', 'vlm.model.norm.weight', 'itc_head.temperature'])
def test_a_file_of_one_trained_part_is_known(key):
    assert detect({key: torch.ones(1)}, 'run.pth').name == 'vlpeft'


def test_unknown_layout_lists_dialects_and_keys():
    weights = {f'stages.layer.{i}': torch.zeros(1) for i in range(9)}
    with pytest.raises(CheckpointError) as error:
        detect(weights, 'resnet.pth')
    for part in ('resnet.pth', ', '.join(dialect_names()), '9 keys', 'stages.layer.0', 'stages.layer.4'):
        assert part in str(error.value)
    assert 'stages.layer.5' not in str(error.value)
    with pytest.raises(CheckpointError, match='log.pth holds no weights; its entries are epoch, lr'):
        Checkpoint.of(dict(epoch=3, lr=0.1), 'log.pth')
    with pytest.raises(CheckpointError, match='several layouts .blip, vlpeft.'):
        detect({'vision.cls_token': torch.zeros(1), 'visual_encoder.cls_token': torch.zeros(1)})


def test_keymap_placeholders_and_escaping():
    keymap = KeyMap([('a.{i}.x.{wb}', 'b.{i}.y.{wb}'), ('c.{rest}', 'd.{i}.e.{rest}')][:1])
    assert keymap.to_theirs('a.11.x.bias') == 'b.11.y.bias' and keymap.to_ours('b.0.y.weight') == 'a.0.x.weight'
    for key in ('a.1.x.running_mean', 'a.one.x.bias', 'aa.1.x.bias', 'a.1.x.bias.more', 'a_1.x.bias'):
        assert keymap.to_theirs(key) is None


def official_vit(weights, images, heads):
    """BLIP's vision tower by its official names: pre-norm blocks, final norm on all tokens."""

    def w(name):
        return weights[f'visual_encoder.{name}']

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w(f'{name}.weight'), w(f'{name}.bias'), 1e-6)

    def linear(x, name):
        return x @ w(f'{name}.weight').T + w(f'{name}.bias')

    x = F.conv2d(images, w('patch_embed.proj.weight'), w('patch_embed.proj.bias'), stride=fabricated.PATCH)
    x = torch.cat([w('cls_token').expand(len(images), -1, -1), x.flatten(2).transpose(1, 2)], 1) + w('pos_embed')
    for i in range(fabricated.DEPTH):
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in linear(norm(x, f'blocks.{i}.norm1'), f'blocks.{i}.attn.qkv').chunk(3, -1)
        )
        attention = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
        x = x + linear(attention.transpose(1, 2).flatten(2), f'blocks.{i}.attn.proj')
        x = x + linear(F.gelu(linear(norm(x, f'blocks.{i}.norm2'), f'blocks.{i}.mlp.fc1')), f'blocks.{i}.mlp.fc2')
    return norm(x, 'norm')


def test_official_vision_weights_mean_the_same_in_mmpretrain():
    from mmpretrain.models import VisionTransformer

    weights = {key: 0.3 * value for key, value in fabricated.base()['blip'].items()}
    vit = VisionTransformer(
        arch=dict(
            embed_dims=fabricated.WIDTH,
            num_layers=fabricated.DEPTH,
            num_heads=2,
            feedforward_channels=fabricated.HIDDEN,
        ),
        img_size=8,
        patch_size=fabricated.PATCH,
        out_type='raw',
        final_norm=True,
    )
    state = get_dialect('blip').to_vlpeft(weights)
    vit.load_state_dict({k[len('vision.') :]: v for k, v in state.items() if k.startswith('vision.')})
    vit.eval()
    images = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(vit(images)[0], official_vit(weights, images, 2), rtol=1e-4, atol=1e-5)
