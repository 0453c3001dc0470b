"""BART and T5: sites are where the families say, also under decoding with a cache; norms and masks are declared."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BartConfig, BartModel, T5Config, T5ForConditionalGeneration, T5Model

from tests.majors import CACHE
from tests.tiny import build_retriever, randomise, retriever_config
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, KeepDouble, build_adapted, build_lm, random_texts
from tests.towers import VISION, build
from tests.watching import watch
from vlpeft.adapters.gates import real_tokens
from vlpeft.sites import SiteError, describe
from vlpeft.testing.backbones import DEPTH

KINDS = dict(encoder=('self_attn', 'ffn'), decoder=('self_attn', 'cross_attn', 'ffn'))
VLPET = dict(type='VLPET', bottleneck=8, value_bottleneck=4)


def run(model):
    with torch.no_grad(), KeepDouble():
        return model(*random_texts())


@pytest.mark.parametrize('tower', KINDS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_x_and_h_make_y(backbone, tower):
    model = build_adapted(backbone, None)
    module = model.towers[tower].module
    assert len(model.towers[tower].blocks) == DEPTH
    captures = []
    for block in model.towers[tower].blocks:
        assert tuple(block.sublayers) == KINDS[tower]
        captures += [([watch(module, tap) for tap in (sub.x, sub.h, sub.y)], sub) for sub in block.sublayers.values()]
    run(model)
    for (x, h, y), sub in captures:
        norm = module.get_submodule(sub.y.path) if backbone == 'bart' else nn.Identity()
        torch.testing.assert_close(norm(x.value + h.value), y.value, rtol=1e-12, atol=1e-12)
        assert h.value.abs().max() > 0.1
    # The stream is one: where a branch ends the next begins.
    for (_, _, y), (x, _, _) in zip([taps for taps, _ in captures], [taps for taps, _ in captures[1:]]):
        assert torch.equal(y.value, x.value)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_linear_sites_are_reached_and_are_the_maps_they_name(backbone):
    model = build_adapted(backbone, None)
    names = dict(self_attn='qkvo', cross_attn='qkvo', ffn=['fc1', 'fc2'])
    for tower in model.towers.values():
        captures = []
        for block in tower.blocks:
            for kind, sub in block.sublayers.items():
                assert list(sub.linears) == list(names[kind])
                captures += [
                    (watch(tower.module, site.input), watch(tower.module, site.output), site)
                    for site in sub.linears.values()
                ]
        run(model)
        for x, y, site in captures:
            torch.testing.assert_close(y.value, tower.module.get_submodule(site.path)(x.value))
            assert (x.value.shape[-1], y.value.shape[-1]) == (site.in_features, site.out_features)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_roles_of_attention_maps_are_not_mixed_up(backbone):
    paths = dict(bart=dict(q='q_proj', k='k_proj', v='v_proj', o='out_proj'), t5=dict(zip('qkvo', 'qkvo')))[backbone]
    for tower in build_adapted(backbone, None).towers.values():
        for block in tower.blocks:
            for kind in ('self_attn', 'cross_attn'):
                for role, site in getattr(block.sublayers.get(kind), 'linears', {}).items():
                    assert site.path.rpartition('.')[2] == paths[role]


@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_context_is_the_encoders_output_at_every_step(backbone):
    model = build_adapted(backbone, None)
    ids, mask, target = random_texts()
    with torch.no_grad():
        states = model.lm.get_encoder()(input_ids=ids, attention_mask=mask)[0]
        cross = [block.sublayers['cross_attn'] for block in model.towers['decoder'].blocks]
        captures = [watch(model.towers['decoder'].module, sub.context) for sub in cross]
        cache = None
        for step in range(3):
            out = model.lm(
                encoder_outputs=(states,),
                attention_mask=mask,
                decoder_input_ids=target[:, step : step + 1],
                **{CACHE: cache},
                use_cache=True,
            )
            cache = out[CACHE]
            for capture in captures:
                assert torch.equal(capture.value, states)
                capture.value = None


@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_cached_decoding_holds_adapted_values(backbone, beams):
    """The value projection runs once per layer and sequence, and its adapted result is what the cache keeps."""
    model = build_adapted(backbone, VLPET)
    ids, mask, _ = random_texts()
    decoder, calls = model.towers['decoder'], []
    for block in decoder.blocks:
        path = block.sublayers['cross_attn'].linears['v'].path
        decoder.module.get_submodule(path).register_forward_hook(lambda *_, path=path: calls.append(path))

    def generate(use_cache):
        calls.clear()
        out = model.lm.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=beams,
            do_sample=False,
            max_new_tokens=4,
            min_new_tokens=4,
            use_cache=use_cache,
            return_dict_in_generate=True,
            output_scores=True,
        )
        return out.sequences, torch.stack(out.scores), len(calls)

    tokens, scores, count = generate(True)
    slow_tokens, slow_scores, slow_count = generate(False)
    assert (count, slow_count) == (DEPTH, 4 * DEPTH)
    assert torch.equal(tokens, slow_tokens)
    torch.testing.assert_close(scores, slow_scores, rtol=1e-5, atol=1e-6)
    with model.switch.use(None):
        assert not torch.allclose(generate(True)[1], scores, atol=1e-2)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_inputs_are_found_by_keyword_and_by_position(backbone):
    lm = build_lm(backbone)
    tower = describe(lm.get_encoder(), 'encoder')
    block = tower.blocks[0]
    captures = [watch(tower.module, tap) for tap in (block.input, block.mask)]
    attention = tower.module.get_submodule(block.input.path)
    x, mask = torch.randn(2, 5, 16).double(), torch.zeros(2, 1, 5, 5).double()
    position = torch.arange(5)
    if backbone == 'bart':
        calls = [lambda: attention(x, None, None, mask), lambda: attention(hidden_states=x, attention_mask=mask)]
    else:
        calls = [
            lambda: attention(x, mask, cache_position=position),
            lambda: attention(hidden_states=x, attention_mask=mask, cache_position=position),
        ]
    for call in calls:
        call()
        assert captures[0].value is x and captures[1].value is mask
        captures[0].value = captures[1].value = None


@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_mask_marks_the_real_tokens(backbone):
    """Additive, or boolean in transformers 5."""
    model = build_adapted(backbone, None)
    tower = model.towers['encoder']
    captures = [watch(tower.module, block.mask) for block in tower.blocks]
    run(model)
    real = random_texts()[1].bool()
    assert not real.all()
    for capture in captures:
        assert torch.equal(real_tokens(capture.value), real)
    with torch.no_grad():
        model.lm(input_ids=torch.ones(1, 3, dtype=torch.long) * 5, decoder_input_ids=torch.ones(1, 1, dtype=torch.long))
    assert all(c.value is None or real_tokens(c.value).all() for c in captures)


def is_norm(module):
    return type(module).__name__ in ('LayerNorm', 'T5LayerNorm')


def check_norms(tower):
    assert len(set(tower.norms)) == len(tower.norms)
    assert set(tower.norms) == {name for name, module in tower.module.named_modules() if is_norm(module)}
    assert tower.declared_norms('NormTuning') == tower.norms


@pytest.mark.parametrize('backbone', BACKBONES)
def test_declared_norms_are_all_there_are(backbone):
    for tower in build_adapted(backbone, None).towers.values():
        check_norms(tower)


@pytest.mark.parametrize('name', ['clip', 'dinov2', 'dinov2_giant', 'beit', 'eva02'])
def test_declared_norms_of_vision_transformers(name):
    check_norms(build(retriever_config(vision=VISION[name])).towers['vision'])


def test_declared_norms_of_blip(tmp_path):
    from tests.tiny import build_vqa, write_vocabulary

    model = build_vqa(vocabulary=write_vocabulary(tmp_path / 'vocabulary'))
    assert set(model.towers) == {'vision', 'text', 'decoder'}
    for tower in model.towers.values():
        check_norms(tower)
    assert describe(build_retriever().vision, 'vision').norms[-1] == 'ln1'


def test_encoder_norms_have_the_published_sizes():
    with torch.device('meta'):
        bart = BartModel(BartConfig(d_model=768, encoder_layers=6, decoder_layers=1, encoder_ffn_dim=3072))
        t5 = T5Model(T5Config(d_model=768, num_layers=12, num_decoder_layers=1, d_ff=3072, num_heads=12))
    for lm, size in ((bart, 19_968), (t5, 19_200)):
        tower = describe(lm.get_encoder(), 'encoder')
        assert sum(p.numel() for path in tower.norms for p in lm.get_encoder().get_submodule(path).parameters()) == size


def test_undeclared_norms_are_an_error_that_names_the_family():
    tower = replace(build(retriever_config(vision=VISION['beit'])).towers['vision'], norms=None)
    message = r'NormTuning: the family of BEiTViT \(tower "vision"\) declares no norms'
    with pytest.raises(SiteError, match=message):
        tower.declared_norms('NormTuning')


GATED = T5Config(vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, feed_forward_proj='gated-gelu')


def test_maps_of_a_gated_ffn():
    """Gate and up are not mixed up: wo gets gelu(gate) ⊙ up."""
    model = AdaptedLM(randomise(T5ForConditionalGeneration(GATED).double().eval()), None)
    for tower in model.towers.values():
        captures = []
        for block in tower.blocks:
            linears = block.sublayers['ffn'].linears
            assert list(linears) == ['gate', 'up', 'down']
            assert [(site.in_features, site.out_features) for site in linears.values()] == [
                (16, 24),
                (16, 24),
                (24, 16),
            ]
            taps = (linears['gate'].output, linears['up'].output, linears['down'].input)
            captures.append([watch(tower.module, tap) for tap in taps])
        run(model)
        for gate, up, inner in captures:
            expected = nn.functional.gelu(gate.value, approximate='tanh') * up.value
            torch.testing.assert_close(inner.value, expected, rtol=1e-12, atol=1e-12)
            assert inner.value.abs().max() > 0.01


@pytest.mark.parametrize('asked, roles', [(['fc1'], ['gate', 'up']), (['fc2'], ['down']), (['up'], ['up'])])
def test_methods_on_a_gated_ffn(asked, roles):
    """The names of a plain FFN choose the maps that lead into a gated one and out of it."""
    lora = dict(type='LoRA', rank=2, targets=dict(towers=['encoder'], kinds=['ffn'], linears=asked))
    for adapter in (VLPET, lora):
        model = AdaptedLM(randomise(T5ForConditionalGeneration(GATED).eval()), adapter)
        randomise(model.adapter, seed=1)
        adapted = run(model)
        assert not model.attachments[0].never_hit()
        with model.switch.use(None):
            assert not torch.allclose(run(model), adapted, atol=1e-3)
    assert set(model.adapter.layers) == {f'encoder_{depth}_ffn_{role}' for depth in range(2) for role in roles}


@pytest.mark.parametrize('backbone', BACKBONES)
def test_checkpointing_refuses_a_cache(backbone):
    model = build_adapted(backbone, VLPET, checkpointing=True)
    ids, mask, target = random_texts()
    with pytest.raises(SiteError, match='pass use_cache=False in training'):
        model.lm(input_ids=ids, attention_mask=mask, decoder_input_ids=target)
    with torch.no_grad():
        assert model.lm(input_ids=ids, attention_mask=mask, decoder_input_ids=target)[CACHE] is not None
