"""Stacks of transformers' blocks described by their structure: where their sites are, and that they are right."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import vlpeft
from tests import tiny_vlms
from tests.watching import watch
from vlpeft.sites import SiteError, find_towers, gain_offset, run_alone, verify

QKVO, PLAIN, GATED = list('qkvo'), ['fc1', 'fc2'], ['gate', 'up', 'down']
#: Where the tower is, without the wrapper that transformers 4 has around CLIP and SigLIP; its depth, that in use and
#: that of its module; width; linear maps of its FFN and of its connector; whether its stream is packed.
VISION = {
    'llava': ('model.vision_tower', 2, 3, 24, PLAIN, ['fc1', 'fc2'], False),
    'llava_siglip': ('model.vision_tower', 2, 3, 24, PLAIN, ['fc1', 'fc2'], False),
    'llava_dinov2': ('model.vision_tower', 2, 3, 24, PLAIN, ['fc1', 'fc2'], False),
    'llava_next': ('model.vision_tower', 2, 3, 24, PLAIN, ['fc1', 'fc2'], False),
    'llava_onevision': ('model.vision_tower', 2, 2, 24, PLAIN, ['fc1', 'fc2'], False),
    'qwen2_vl': ('model.visual', 2, 2, 24, PLAIN, ['fc1', 'fc2'], True),
    'qwen2_5_vl': ('model.visual', 2, 2, 24, GATED, ['fc1', 'fc2'], True),
    'qwen3_vl': ('model.visual', 2, 2, 24, PLAIN, ['fc1', 'fc2', 'level0_fc1', 'level0_fc2'], True),
    'idefics3': ('model.vision_model', 2, 2, 24, PLAIN, ['proj'], False),
    'smolvlm': ('model.vision_model', 2, 2, 24, PLAIN, ['proj'], False),
    'paligemma': ('model.vision_tower', 2, 2, 24, PLAIN, ['proj'], False),
    'paligemma2': ('model.vision_tower', 2, 2, 24, PLAIN, ['proj'], False),
    'gemma3': ('model.vision_tower', 2, 2, 24, PLAIN, [], False),
    'internvl': ('model.vision_tower', 2, 2, 24, PLAIN, ['fc1', 'fc2'], False),
    'mistral3': ('model.vision_tower', 2, 2, 24, GATED, ['fc1', 'fc2'], True),
    'glm4v': ('model.visual', 2, 2, 24, GATED, None, True),
    'ovis2': ('model.vision_tower.transformer', 2, 2, 24, GATED, ['proj'], False),
    'blip2_opt': ('vision_model', 2, 2, 24, PLAIN, None, False),
    'blip2_t5': ('vision_model', 2, 2, 24, PLAIN, None, False),
}
LMS = {
    **dict.fromkeys(VISION, [('lm', 'model.language_model', 2, GATED)]),
    **dict.fromkeys(('idefics3', 'smolvlm'), [('lm', 'model.text_model', 2, GATED)]),
    'blip2_opt': [('qformer', 'qformer', 2, PLAIN), ('lm', 'language_model', 2, PLAIN)],
    'blip2_t5': [
        ('qformer', 'qformer', 2, PLAIN),
        ('encoder', 'language_model.encoder', 2, PLAIN),
        ('decoder', 'language_model.decoder', 2, PLAIN),
    ],
    'florence2': [
        ('encoder', 'model.language_model.encoder', 2, PLAIN),
        ('decoder', 'model.language_model.decoder', 2, PLAIN),
    ],
}
#: Blocks by name: the norm that x enters, what h leaves, the norm that y of the attention enters, what h of the FFN
#: leaves. Of InternVL that is multiplied by a bare parameter.
LLAMA = ('input_layernorm', 'self_attn', 'post_attention_layernorm', 'mlp')
GEMMA = ('input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm')
CLIP = ('layer_norm1', 'self_attn', 'layer_norm2', 'mlp')
QWEN = ('norm1', 'attn', 'norm2', 'mlp')
PIECES = {
    **dict.fromkeys(
        [
            *(
                'LlamaDecoderLayer',
                'MistralDecoderLayer',
                'Qwen2DecoderLayer',
                'Qwen3DecoderLayer',
                'GemmaDecoderLayer',
            ),
            *('SmolLM3DecoderLayer', 'Phi3DecoderLayer', 'Qwen2VLDecoderLayer', 'Qwen2_5_VLDecoderLayer'),
            'Qwen3VLTextDecoderLayer',
        ],
        LLAMA,
    ),
    **dict.fromkeys(['Gemma2DecoderLayer', 'Gemma3DecoderLayer'], GEMMA),
    **dict.fromkeys(
        ['Olmo2DecoderLayer', 'Exaone4DecoderLayer'],
        ('self_attn', 'post_attention_layernorm', 'mlp', 'post_feedforward_layernorm'),
    ),
    'Glm4vTextDecoderLayer': (
        'input_layernorm',
        'post_self_attn_layernorm',
        'post_attention_layernorm',
        'post_mlp_layernorm',
    ),
    **dict.fromkeys(
        [
            *('CLIPEncoderLayer', 'SiglipEncoderLayer', 'Idefics2EncoderLayer', 'Idefics3EncoderLayer'),
            *('SmolVLMEncoderLayer', 'Blip2EncoderLayer', 'InstructBlipEncoderLayer', 'Siglip2EncoderLayer'),
        ],
        CLIP,
    ),
    **dict.fromkeys(['Qwen2VLVisionBlock', 'Qwen2_5_VLVisionBlock', 'Qwen3VLVisionBlock', 'Glm4vVisionBlock'], QWEN),
    'Dinov2Layer': ('norm1', 'layer_scale1', 'norm2', 'layer_scale2'),
    'InternVLVisionLayer': ('layernorm_before', 'attention', 'layernorm_after', 'mlp'),
    'PixtralAttentionLayer': ('attention_norm', 'attention', 'ffn_norm', 'feed_forward'),
    'Ovis2VisionEncoderLayer': ('rms_norm1', 'attention', 'rms_norm2', 'ffn'),
}
SIZES = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=40,
    vocab_size=50,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
CAUSAL = {
    'llama': {},
    'mistral': {},
    'qwen2': {},
    'qwen3': {},
    'gemma': {},
    'gemma2': dict(query_pre_attn_scalar=8, sliding_window=4),
    'gemma3_text': dict(query_pre_attn_scalar=8, sliding_window=4),
    'smollm3': {},
    'phi3': {},
    'olmo2': {},
    'exaone4': dict(sliding_window=4, sliding_window_pattern=2),
}


def double(inputs):
    return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}


def tiny(name):
    """A whole model in float64 and a batch of two questions about two pictures."""
    return tiny_vlms.build(name).double().requires_grad_(False), double(tiny_vlms.batch(name))


def causal(name, **options):
    config = AutoConfig.for_model(name, **SIZES, **CAUSAL.get(name, {}), **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config).double().eval().requires_grad_(False)
        for param in lm.parameters():
            param.normal_(0.0, 0.2) if param.ndim > 1 else param.add_(0.1 * torch.randn_like(param))
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 0, 0]])
    return lm, dict(input_ids=ids, attention_mask=(ids > 0).long(), use_cache=False)


def roles(part):
    return list(part.linears)


@pytest.mark.parametrize('name', LMS)
def test_towers_of_whole_models(name):
    model, found = tiny_vlms.build(name), None
    found = find_towers(model)
    expected = LMS[name]
    if name in VISION:
        path, used, depth, width, ffn, connector, packed = VISION[name]
        tower = found['vision']
        assert found.paths['vision'] in (path, f'{path}.vision_model')
        assert (len(tower.blocks), len(tower.block_modules), tower.width) == (used, depth, width)
        assert (tower.packed, tower.causal, tower.idle is not None) == (packed, False, used < depth)
        assert {kind: roles(sub) for kind, sub in tower.blocks[0].sublayers.items()} == dict(self_attn=QKVO, ffn=ffn)
        assert 'patch_embed' in tower.outside and tower.outside['patch_embed'].out_features == width
        assert connector == (roles(tower.outside['connector']) if 'connector' in tower.outside else None)
        expected = [('vision', found.paths['vision'], used, ffn), *expected]
    assert list(found) == [tower for tower, *_ in expected]
    for tower, path, depth, ffn in expected:
        assert found.paths[tower] == path and len(found[tower].blocks) == depth
        assert roles(found[tower].blocks[0].sublayers['ffn']) == ffn
        assert found[tower].causal == (tower in ('lm', 'decoder'))
        assert found[tower].is_decoder_only == (tower == 'lm')


def restated(tower):
    """x, h and y of each block by plain hooks on the modules that :data:`PIECES` names; h and y as copies."""
    seen = []
    for block in tower.block_modules[: len(tower.blocks)]:
        names, found = PIECES[type(block).__name__], {}
        seen.append(found)

        def entering(module, args, kwargs, key, found=found):
            found[key] = (args[0] if args else kwargs['hidden_states']).clone()

        def leaving(module, args, output, key, found=found):
            found[key] = (output[0] if isinstance(output, tuple) else output).clone()

        for key, name in dict(x=names[0], middle=names[2]).items():
            hook = lambda *given, key=key, entering=entering: entering(*given, key)  # noqa: E731
            getattr(block, name).register_forward_pre_hook(hook, with_kwargs=True)
        for key, name in dict(attention=names[1], ffn=names[3]).items():
            hook = lambda *given, key=key, leaving=leaving: leaving(*given, key)  # noqa: E731
            getattr(block, name).register_forward_hook(hook)
        block.register_forward_hook(lambda *given, leaving=leaving: leaving(*given, 'y'))
        if hasattr(block, 'lambda_1'):
            found['scales'] = (block.lambda_1, block.lambda_2)
    return seen


def check_stream(tower, run):
    taps = [
        {kind: [watch(tower.module, tap) if tap else None for tap in (sub.x, sub.h, sub.y)]}
        for block in tower.blocks
        for kind, sub in block.sublayers.items()
    ]
    seen = restated(tower)
    run()
    for depth, found in enumerate(seen):
        scales = found.get('scales', (1, 1))
        (attention,), (ffn,) = taps[2 * depth].values(), taps[2 * depth + 1].values()
        for h, scale, key in ((attention, scales[0], 'attention'), (ffn, scales[1], 'ffn')):
            found[key] = found[key] * scale
            assert (h[1] is None) == ('scales' in found)
            assert h[1] is None or torch.equal(h[1].value, found[key])
            assert found[key].abs().max() > 1e-3
        assert torch.equal(attention[0].value, found['x']) and torch.equal(attention[2].value, found['middle'])
        assert torch.equal(ffn[0].value, found['middle'])
        torch.testing.assert_close(found['x'] + found['attention'], found['middle'], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found['middle'] + found['ffn'], found['y'], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('name', VISION)
def test_x_and_h_make_y_of_the_blocks_own_pieces(name):
    model, inputs = tiny(name)
    towers = [tower for tower in find_towers(model).values() if type(tower.block_modules[0]).__name__ in PIECES]
    assert towers

    def run():
        model(**inputs)

    for tower in towers:
        check_stream(tower, run)


@pytest.mark.parametrize('name', CAUSAL)
def test_language_models_alone(name):
    lm, inputs = causal(name)
    found = find_towers(lm)
    assert found.paths == dict(lm='')
    tower = found['lm']
    norms = {path for path, module in lm.named_modules() if 'Norm' in type(module).__name__}
    assert set(tower.norms) == norms and len(tower.norms) == len(norms)
    assert (tower.width, tower.final_norm, tower.is_decoder_only) == (32, 'model.norm', True)
    assert (tower.entrance.width, tower.entrance.heads, tower.entrance.embeddings.path) == (32, 2, 'model')
    embeddings = watch(lm, tower.entrance.embeddings)
    words = lm.get_input_embeddings()(inputs['input_ids'])
    lm.model(inputs_embeds=words, use_cache=False)
    assert embeddings.value is words
    cache = watch(lm, tower.cache)
    kept = lm(**{**inputs, 'use_cache': True}).past_key_values
    assert cache.value is kept and kept.get_seq_length() == 6
    masks = [watch(lm, block.mask) for block in tower.blocks]
    check_stream(tower, lambda: lm(**inputs))
    assert all(mask.value is not None for mask in masks)
    # The same sites below the body alone.
    body = find_towers(lm.model)['lm']
    assert [block.sublayers['ffn'].y.path for block in tower.blocks] == [
        f'model.{block.sublayers["ffn"].y.path}' for block in body.blocks
    ]


@pytest.mark.parametrize('name', ['gemma2', 'gemma3_text', 'mistral'])
def test_a_prefix_is_refused_where_windows_slide_past_it(name):
    with pytest.raises(SiteError, match=r'PrefixTuning: tower "lm" lets tokens see the last ones alone in some blocks'):
        vlpeft.attach(causal(name)[0], dict(type='PrefixTuning', length=2))
    if name == 'mistral':
        vlpeft.attach(causal(name, sliding_window=None)[0], dict(type='PrefixTuning', length=2))


@pytest.mark.parametrize('name, offset', [('gemma', 1), ('gemma2', 1), ('gemma3_text', 1), ('llama', 0), ('qwen3', 0)])
def test_gains_of_norms_are_merged_though_gemmas_are_one_plus_weight(name, offset):
    lm, inputs = causal(name)
    tower = find_towers(lm)['lm']
    assert {gain_offset(tower.at(path)) for path in tower.norms} == {offset}
    adapter = vlpeft.attach(lm, dict(type='NormTuning', targets={}), check_after=0)
    adapter.double()
    for param in adapter.sets.parameters():
        nn.init.normal_(param, std=0.3)
    expected = adapter(**inputs).logits
    adapter.merge()
    # Gemma's norms compute in float32, whatever enters.
    close = dict(rtol=1e-3, atol=1e-5) if offset else dict(rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(adapter(**inputs).logits, expected, **close)
    adapter.unmerge()
    torch.testing.assert_close(adapter(**inputs).logits, expected, rtol=0, atol=0)


def test_offsets_of_other_norms():
    for norm in (nn.LayerNorm(7), nn.LayerNorm(8).bfloat16(), nn.RMSNorm(5)):
        nn.init.normal_(norm.weight, 1.0, 0.3)
        assert gain_offset(norm) == 0


@pytest.mark.parametrize('name', [*VISION, *CAUSAL])
def test_linear_sites_are_the_maps_they_name(name):
    model, inputs = tiny(name) if name in VISION else causal(name)
    sites = []
    for tower in find_towers(model).values():
        maps = [site for block in tower.blocks for sub in block.sublayers.values() for site in sub.linears.values()]
        for site in maps:
            sites.append((tower.at(site.path), watch(tower.module, site.input), watch(tower.module, site.output), site))
    model(**inputs)
    for linear, x, y, site in sites:
        start, stop = site.span or (0, site.out_features)
        assert (x.value.shape[-1], y.value.shape[-1]) == (site.in_features, site.out_features)
        bias = None if linear.bias is None else linear.bias[start:stop]
        expected = nn.functional.linear(x.value, linear.weight[start:stop], bias)
        torch.testing.assert_close(y.value, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('name', ['qwen2_vl', 'qwen2_5_vl', 'qwen3_vl', 'glm4v', 'blip2_opt', 'internvl', 'mistral3'])
@pytest.mark.parametrize('role', ['q', 'k'])
def test_without_queries_or_keys_an_attention_returns_the_mean_of_its_values(name, role):
    """So the rows of a fused map are those of the role: with others zeroed this would not hold."""
    tower = find_towers(tiny(name)[0])['vision']
    linears = tower.blocks[0].sublayers['self_attn'].linears
    site = linears[role]
    module = tower.at(site.path)
    start, stop = site.span or (0, site.out_features)
    module.weight[start:stop] = 0
    if module.bias is not None:
        module.bias[start:stop] = 0
    values, mixed = watch(tower.module, linears['v'].output), watch(tower.module, linears['o'].input)
    given = tower.probe(tower.module)
    given = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in given.items()}
    tower.module(**given)
    v = values.value
    assert v.shape[-2] > 1
    torch.testing.assert_close(mixed.value, v.mean(-2, keepdim=True).expand_as(v), rtol=1e-10, atol=1e-12)


def test_fused_queries_of_grouped_attention_are_narrower():
    lm, _ = causal('phi3')
    linears = find_towers(lm)['lm'].blocks[0].sublayers['self_attn'].linears
    assert {role: linears[role].span for role in 'qkv'} == dict(q=(0, 32), k=(32, 48), v=(48, 64))
    v, mixed = (watch(lm, tap) for tap in (linears['v'].output, linears['o'].input))
    # One token sees itself alone; two heads share each head of values.
    lm(input_ids=torch.tensor([[7]]), use_cache=False)
    heads = v.value.unflatten(-1, (2, 8)).repeat_interleave(2, -2)
    torch.testing.assert_close(mixed.value, heads.flatten(-2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('name', ['phi3', 'glm4v', 'mistral3', 'ovis2', 'qwen2_5_vl'])
def test_gate_and_up_are_the_factors_of_what_down_gets(name):
    model, inputs = causal(name) if name in CAUSAL else tiny(name)
    for tower in find_towers(model).values():
        linears = tower.blocks[0].sublayers['ffn'].linears
        taps = (linears['gate'].output, linears['up'].output, linears['down'].input)
        gate, up, inner = (watch(tower.module, tap) for tap in taps)
        model(**inputs)
        act = nn.functional.gelu if name == 'mistral3' and tower.name == 'vision' else nn.functional.silu
        torch.testing.assert_close(act(gate.value) * up.value, inner.value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('name', VISION)
def test_towers_run_on_meta(name):
    model = tiny_vlms.build(name).to('meta')
    lora = dict(type='LoRA', rank=2, targets={})
    adapter = vlpeft.attach(model, lora, check_after=0)
    adapter.check_sites()
    adapter.detach()
    connectors = [
        tower.name
        for tower in adapter.towers.values()
        if 'connector' in tower.outside and tower.outside['connector'].linears
    ]
    if connectors:
        lora['targets'] = dict(towers=connectors, kinds=['connector'])
        vlpeft.attach(model, lora, check_after=0).check_sites()


@pytest.mark.parametrize('place', ['cpu', 'meta'])
def test_a_connector_that_is_a_bare_parameter(place):
    """Gemma 3's: methods that change its output act there, and it trains as a whole."""
    model = tiny_vlms.build('gemma3').to(place)
    bottleneck = dict(type='Bottleneck', bottleneck=2, targets=dict(kinds=['connector']))
    adapter = vlpeft.attach(model, bottleneck, check_after=0, trainable=['connectors'])
    assert list(adapter.sets['default'].layers) == ['vision_connector']
    root = 'model.multi_modal_projector'
    assert list(adapter.part_roles) == [f'{root}.mm_input_projection_weight', f'{root}.mm_soft_emb_norm.weight']
    adapter.check_sites()
    if place == 'cpu':
        adapter(**tiny_vlms.batch('gemma3')).loss.backward()
        assert model.get_parameter(f'{root}.mm_input_projection_weight').grad.any()


@pytest.mark.parametrize('name, tower', [('blip2_opt', 'qformer'), ('blip2_opt', 'lm'), ('florence2', 'decoder')])
def test_post_norm_blocks_give_the_norm_of_x_and_h(name, tower):
    """The Q-Former's and BART's; OPT's here are pre-norm, its second half flattened."""
    found = find_towers(tiny_vlms.build(name).double())[tower]
    assert verify(replace(found, is_tested=False)) is None
    first = found.blocks[0].sublayers['ffn']
    wrong = replace(found.blocks[0], sublayers=dict(ffn=replace(first, h=first.x)))
    with pytest.raises(SiteError, match='does not fit .* at ffn of block 0'):
        verify(replace(found, blocks=(wrong,), is_tested=False))


def test_run_alone_reaches_every_site_on_meta_as_with_weights():
    tower = find_towers(tiny_vlms.build('qwen3_vl').to('meta'))['vision']
    before = tower.module.config._attn_implementation
    run_alone(tower)
    assert tower.module.config._attn_implementation == before
