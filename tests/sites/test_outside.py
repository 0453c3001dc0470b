"""Parts of towers outside of their blocks: connectors and patch embeddings."""

import copy

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import vlpeft
from tests.majors import FIVE
from vlpeft.sites import CONNECTORS, SiteError, Targets, below, connects, find_towers
from vlpeft.testing import SUBJECTS
from vlpeft.testing.backbones import pictures, texts
from vlpeft.testing.subjects import randomise

CONNECTOR = dict(type='LoRA', rank=2, alpha=6, targets=dict(kinds=['connector']))
PATCHES = dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['patch_embed']))
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)


def llava():
    """CLIP, the projector and Llama; 4 picture tokens of id 39."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SIZES, image_size=16, patch_size=8),
        text_config=LlamaConfig(**{**SIZES, 'hidden_size': 24}, vocab_size=40, max_position_embeddings=64),
        image_token_index=39,
        image_seq_length=4,
    )
    return randomise(LlavaForConditionalGeneration(config).double().eval(), seed=0)


def llava_batch():
    ids = torch.tensor([[39, 39, 39, 39, 5, 6, 7], [39, 39, 39, 39, 8, 9, 10]])
    return dict(input_ids=ids, pixel_values=pictures(2).double(), attention_mask=torch.ones_like(ids))


def siglip2():
    from transformers import Siglip2VisionConfig, Siglip2VisionModel

    config = Siglip2VisionConfig(**SIZES, num_patches=16, patch_size=4)
    return randomise(Siglip2VisionModel(config).eval(), seed=0)


def siglip2_batch():
    """Pictures of 4 x 3 and 2 x 5 patches, padded to 12."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1] * 12, [1] * 10 + [0] * 2])
    shapes = torch.tensor([[4, 3], [2, 5]])
    values = torch.randn(2, 12, 48, generator=generator)
    return dict(pixel_values=values, pixel_attention_mask=mask, spatial_shapes=shapes)


def attached(model, config, **options):
    adapter = vlpeft.attach(model, copy.deepcopy(config), check_after=0, **options)
    randomise(adapter.sets, seed=1)
    return adapter


def test_where_they_are():
    found = find_towers(llava())
    path, up = 'model.vision_tower.vision_model', '../../'
    if FIVE:
        path, up = 'model.vision_tower', '../'
    assert found.paths == dict(vision=path, lm='model.language_model')
    connector = found['vision'].outside['connector']
    assert {role: site.path for role, site in connector.linears.items()} == dict(
        fc1=f'{up}multi_modal_projector.linear_1', fc2=f'{up}multi_modal_projector.linear_2'
    )
    assert (connector.in_features, connector.out_features) == (16, 24)
    assert not found['lm'].outside
    assert 'patch_embed, connector (fc1 fc2)' in repr(found)
    # Without the model that holds it a tower has none.
    assert 'connector' not in find_towers(llava().model.vision_tower)['vision'].outside


def test_only_those_who_name_them_get_them():
    towers = find_towers(SUBJECTS['clip'].model())
    for targets in ({}, dict(linears=['fc1', 'o']), dict(kinds=['self_attn'])):
        assert all(depth is not None for _, depth, *_ in Targets(**targets).linears(towers, 'T'))
    both = dict(kinds=['connector', 'self_attn', 'patch_embed'], depths=[0])
    order = [(tower.name, depth, part.kind) for tower, depth, part in Targets(**both).parts(towers, 'T')]
    assert order == [
        ('text', 0, 'self_attn'),
        ('text', None, 'connector'),
        ('vision', None, 'patch_embed'),
        ('vision', 0, 'self_attn'),
        ('vision', None, 'connector'),
    ]


@pytest.mark.parametrize('path', ['model', ''], ids=['held', 'itself'])
def test_lora_of_a_projector_is_that_of_its_weights(path):
    model = llava() if path else llava().model
    adapter = attached(model, CONNECTOR)
    outputs = adapter(**llava_batch())
    changed = copy.deepcopy(adapter.model)
    attention = {name: unit for name, unit in adapter.sets['default'].layers.items()}
    assert sorted(attention) == ['vision_connector_fc1', 'vision_connector_fc2']
    plain = llava() if path else llava().model
    projector = (plain.model if path else plain).multi_modal_projector
    with torch.no_grad():
        for role, linear in dict(fc1=projector.linear_1, fc2=projector.linear_2).items():
            unit = adapter.sets['default'].layers[f'vision_connector_{role}']
            linear.weight += 3 * unit.up.weight @ unit.down.weight
    torch.testing.assert_close(outputs[0], plain(**llava_batch())[0], rtol=1e-9, atol=1e-10)
    # A copy of the model carries the method along, its own.
    with torch.no_grad():
        (changed.model if path else changed).multi_modal_projector.linear_1.weight.zero_()
    torch.testing.assert_close(adapter(**llava_batch())[0], outputs[0], rtol=0, atol=0)


def test_lora_of_a_projector_trains():
    adapter = attached(llava(), CONNECTOR)
    adapter(**llava_batch()).logits.square().sum().backward()
    grads = {name: param.grad for name, param in adapter.named_parameters()}
    assert len(grads) == 4
    assert all(grad.any() for grad in grads.values())
    assert adapter.never_hit() == []
    assert 'model.multi_modal_projector.linear_2' in str(adapter)


def test_folders_of_peft(tmp_path):
    """A projector's LoRA goes to the peft package and back."""
    model, of_q = llava(), dict(CONNECTOR, targets=dict(towers=['lm'], linears=['q']))
    lora = [dict(CONNECTOR, targets=dict(kinds=['connector'], linears=['fc2'])), of_q]
    adapter = attached(model, lora)
    expected = adapter(**llava_batch()).logits
    adapter.save(tmp_path / 'ours', format='peft')
    adapter.detach()
    theirs = peft.PeftModel.from_pretrained(model, tmp_path / 'ours')
    assert any('multi_modal_projector' in name for name in load_file(tmp_path / 'ours/adapter_model.safetensors'))
    torch.testing.assert_close(theirs(**llava_batch()).logits, expected, rtol=1e-9, atol=1e-10)
    again = vlpeft.load_adapter(llava(), tmp_path / 'ours', check_after=0)
    torch.testing.assert_close(again(**llava_batch()).logits, expected, rtol=0, atol=0)
    kinds = {kind for config in _listed(again.configs['default']) for kind in config['targets']['kinds']}
    assert kinds == {'connector', 'self_attn'}


def _listed(config):
    return config if isinstance(config, list) else [config]


@pytest.mark.parametrize('kind', ['clip', 'siglip'])
def test_patch_tokens_that_leave_a_convolution(kind):
    """Bottleneck at the patch embedding restated: patches cut out, mapped, changed, and put back into the grid."""
    subject = SUBJECTS[kind]
    adapter = attached(subject.model(), PATCHES)
    layer = adapter.sets['default'].layers['vision_patch_embed']
    plain = subject.model()
    conv = plain.vision_model.embeddings.patch_embedding

    class Restated(nn.Module):
        weight = conv.weight

        def forward(self, pixels):
            batch, size, patch = len(pixels), pixels.shape[-1], conv.kernel_size[0]
            out = pixels.new_zeros(batch, conv.out_channels, size // patch, size // patch)
            for row in range(size // patch):
                for column in range(size // patch):
                    cut = pixels[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
                    token = cut.flatten(1) @ conv.weight.flatten(1).T
                    token = token if conv.bias is None else token + conv.bias
                    inner = nn.functional.gelu(layer.down(token), approximate='tanh')
                    out[:, :, row, column] = token + layer.up(inner)
            return out

    plain.vision_model.embeddings.patch_embedding = Restated()
    with torch.no_grad():
        torch.testing.assert_close(subject.run(adapter), subject.run(plain), **_close(subject))


def _close(subject):
    return dict(rtol=1e-9, atol=1e-10) if subject.dtype == torch.float64 else dict(rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', ['vit', 'beit', 'eva02', 'dinov2_giant', 'timesformer'])
def test_patch_tokens_of_modules_that_return_them(kind):
    subject = SUBJECTS[kind]
    adapter, plain = attached(subject.model(), PATCHES), subject.model()
    layer, embed = adapter.sets['default'].layers['vision_patch_embed'], plain.patch_embed

    def restated(pixels):
        tokens = embed.projection(pixels).flatten(2).transpose(1, 2)
        inner = nn.functional.gelu(layer.down(tokens), approximate='tanh')
        return tokens + layer.up(inner), (2, 2)

    embed.forward = restated
    with torch.no_grad():
        torch.testing.assert_close(subject.run(adapter), subject.run(plain), rtol=1e-9, atol=1e-10)


def test_linear_patch_embedding_takes_lora():
    """SigLIP 2 embeds flat patches by a linear map."""
    adapter = attached(siglip2(), dict(CONNECTOR, targets=dict(kinds=['patch_embed'])))
    with torch.no_grad():
        found = adapter(**siglip2_batch())
        plain, unit = siglip2(), adapter.sets['default'].layers['vision_patch_embed_proj']
        linear = find_towers(plain)['vision'].module.embeddings.patch_embedding
        linear.weight += 3 * unit.up.weight @ unit.down.weight
        expected = plain(**siglip2_batch())
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(siglip2()(**siglip2_batch()).pooler_output, expected.pooler_output)


def test_sites_of_siglip2():
    """x + h = y in each branch, and the mask is that of padded patches."""
    model = siglip2().double()
    tower, taken = find_towers(model)['vision'], {}

    def keep(tap, key):
        module = tower.at(tap.path)
        if tap.side == 'output':
            module.register_forward_hook(lambda _, __, out: taken.update({key: out[0] if type(out) is tuple else out}))
        else:
            module.register_forward_pre_hook(
                lambda _, args, kwargs: taken.update({key: args[0] if args else kwargs[tap.keyword]}), with_kwargs=True
            )

    for block in tower.blocks:
        for kind, sub in block.sublayers.items():
            for name in 'xhy':
                keep(getattr(sub, name), (block.depth, kind, name))
    batch = siglip2_batch()
    model(**dict(batch, pixel_values=batch['pixel_values'].double()))
    for depth in range(2):
        for kind in ('self_attn', 'ffn'):
            x, h, y = (taken[depth, kind, name] for name in 'xhy')
            torch.testing.assert_close(x + h, y)


def test_padded_patches_of_siglip2_enter_no_masked_mean():
    adapter = attached(siglip2(), dict(type='Gate', granularity='small', mean='masked', targets={}))
    batch = siglip2_batch()
    changed = batch['pixel_values'].clone()
    changed[1, 10:] += 5
    with torch.no_grad():
        expected, found = (
            adapter(**dict(batch, pixel_values=v)).pooler_output for v in (batch['pixel_values'], changed)
        )
    torch.testing.assert_close(found, expected)


REFUSALS = [
    (dict(type='LoRA', targets=dict(kinds=['patch_embed'])), 'LoRA acts on linear maps, but the patch_embed of tower'),
    (dict(PATCHES, form='parallel'), 'what enters the patch_embed of tower "vision" are no tokens'),
    (dict(type='Gate', targets=dict(kinds=['connector'])), 'acts on the sub-layers of blocks, but its targets name'),
    (dict(CONNECTOR, targets=dict(kinds=['connector'], depths=[0])), r'depths=\[0\] choose blocks, but'),
    (dict(CONNECTOR, targets=dict(kinds=['connector'], linears=['q'])), 'unknown linears of tower'),
    (dict(CONNECTOR, targets=dict(kinds=['connector', 'ffn'], linears=['fc1'])), "choose none of kind 'connector'"),
    (dict(CONNECTOR, targets=dict(kinds=['projector'])), "'patch_embed', 'connector'"),
]


@pytest.mark.parametrize(('config', 'message'), REFUSALS, ids=[message[:20] for _, message in REFUSALS])
def test_what_is_refused(config, message):
    with pytest.raises(SiteError, match=message):
        vlpeft.attach(SUBJECTS['clip'].model(), config)


def test_maps_of_a_connector_and_a_gated_ffn_are_named_alike():
    """In LLaVA ``fc1`` is a map of the projector, and gate and up of Llama's FFN."""
    towers = dict(find_towers(llava()))
    chosen = Targets(kinds=['ffn', 'connector'], depths=[0], linears=['fc1']).linears(towers, 'T')
    assert [(tower.name, part.kind, role) for tower, _, part, role, _ in chosen] == [
        ('vision', 'ffn', 'fc1'),
        ('vision', 'connector', 'fc1'),
        ('lm', 'ffn', 'gate'),
        ('lm', 'ffn', 'up'),
    ]


def other_models():
    """Of LLaVA's kind: how each is built, what its pictures are, and its projector's roles."""
    import transformers as hf

    clip = hf.CLIPVisionConfig(**SIZES, image_size=16, patch_size=8)
    siglip = hf.SiglipVisionConfig(**SIZES, image_size=16, patch_size=8)
    llama = hf.LlamaConfig(**SIZES, vocab_size=40)
    qwen = hf.Qwen2Config(**SIZES, num_key_value_heads=2, vocab_size=40)
    gemma = hf.GemmaConfig(**SIZES, num_key_value_heads=2, head_dim=4, vocab_size=40)
    grid = dict(image_grid_pinpoints=[[16, 16]])
    tiles = dict(pixel_values=torch.stack([pictures(2)] * 2, 1), image_sizes=torch.tensor([[16, 16]] * 2))
    return dict(
        next=(
            hf.LlavaNextModel(hf.LlavaNextConfig(vision_config=clip, text_config=llama, **grid)),
            tiles,
            ['fc1', 'fc2'],
        ),
        onevision=(
            hf.LlavaOnevisionModel(hf.LlavaOnevisionConfig(vision_config=siglip, text_config=qwen, **grid)),
            tiles,
            ['fc1', 'fc2'],
        ),
        paligemma=(
            hf.PaliGemmaModel(hf.PaliGemmaConfig(vision_config=siglip, text_config=gemma, projection_dim=16)),
            dict(pixel_values=pictures(2)),
            ['proj'],
        ),
    )


@pytest.mark.parametrize('name', ['next', 'onevision', 'paligemma'])
def test_projectors_of_other_models(name):
    model, batch, roles = other_models()[name]
    randomise(model.eval(), seed=0)
    adapter = attached(model, CONNECTOR)
    assert list(adapter.towers['vision'].outside['connector'].linears) == roles
    with torch.no_grad():
        found = model.get_image_features(**batch)
        with adapter.use(None):
            bare = model.get_image_features(**batch)
    # In transformers 5 they are one of several outputs.
    found, bare = (getattr(out, 'pooler_output', out) for out in (found, bare))
    assert adapter.never_hit() == []
    assert not torch.allclose(found[0], bare[0])


class Holder(nn.Module):
    """Somebody's model: a tower below a module of its own, and a map beside that."""

    def __init__(self):
        super().__init__()
        self.eyes = nn.ModuleDict(dict(tower=SUBJECTS['vit'].build()))
        self.bridge = nn.Linear(16, 7)

    def forward(self, x):
        return self.bridge(self.eyes.tower(x)[0].mean(1))


@pytest.fixture
def declared():
    known = dict(CONNECTORS)
    yield
    CONNECTORS.clear()
    CONNECTORS.update(known)


def test_a_connector_of_ones_own(declared):
    connects(f'{Holder.__module__.partition(".")[0]}.Holder', tower='eyes', proj='bridge')
    model = nn.ModuleDict(dict(inner=Holder()))
    found = find_towers(model)
    assert found['vision'].outside['connector'].linears['proj'].path == '../../bridge'
    adapter = attached(model.inner, CONNECTOR)
    with torch.no_grad():
        before = adapter(pictures(2))
        adapter.merge()
        torch.testing.assert_close(adapter(pictures(2)), before, rtol=1e-4, atol=1e-5)


def test_a_connector_that_is_not_there(declared):
    connects(f'{Holder.__module__.partition(".")[0]}.Holder', tower='eyes', proj='bridges')
    with pytest.raises(
        SiteError, match='the connector of tower "vision" is not where test_outside.Holder has it: .*bridges'
    ):
        find_towers(Holder())
    with pytest.raises(SiteError, match="connects: 'a.b.C' is no class of a top-level module; write it as a.C"):
        connects('a.b.C', tower='eyes', proj='bridge')


def test_the_connector_of_the_model_stands_for_that_of_the_tower(declared):
    """A model that leads out of SigLIP elsewhere does not use its pooling head."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.siglip = SiglipVisionModel(SiglipVisionConfig(**SIZES, image_size=16, patch_size=8))
            self.proj = nn.Linear(16, 5)

    assert find_towers(Model())['vision'].outside['connector'].linears['fc1'].path == 'head.mlp.fc1'
    connects(f'{Model.__module__.partition(".")[0]}.Model', tower='siglip', proj='proj')
    assert list(find_towers(Model())['vision'].outside['connector'].linears) == ['proj']


@pytest.mark.parametrize(
    ('root', 'path', 'name'),
    [('', 'a.b', 'a.b'), ('m', 'a', 'm.a'), ('m', '', 'm'), ('', '', ''), ('m.n', '../a', 'm.a'), ('m', '../a', 'a')],
)
def test_names(root, path, name):
    assert below(root, path) == name


def test_pooled_vectors_pass_a_projection():
    """CLIP's text projection sees (B, D): rows are samples, so that sets can be chosen per sample."""
    subject = SUBJECTS['clip']
    adapter = attached(subject.model(), CONNECTOR)
    inputs = dict(texts(2), pixel_values=pictures(2))
    with torch.no_grad():
        first = adapter(**inputs)
        with adapter.use(None):
            bare = adapter(**inputs)
        with adapter.per_sample(['default', None]):
            mixed = adapter(**inputs)
    for name in ('text_embeds', 'image_embeds'):
        torch.testing.assert_close(mixed[name], torch.stack([first[name][0], bare[name][1]]))
        assert not torch.allclose(first[name], bare[name])
