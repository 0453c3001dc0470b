"""What stays of stock language models; the slot in those that the slow restatement does not know."""

import copy
import inspect

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny_epalm import (
    LAYERS,
    LMS,
    TODAYS,
    VOCAB,
    WINDOW,
    build_perceptual,
    perceptual_config,
    random_texts,
    random_vectors,
)
from vlpeft.adapters.epalm import injection_levels
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import MODELS
from vlpeft.sites import checkpoint_blocks


def stock(model, name):
    # Scores are capped where they are written out alone.
    attention = 'eager' if name == 'gemma2' else 'sdpa'
    config = AutoConfig.for_model(**LMS[name], vocab_size=VOCAB)
    lm = AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(model.lm.dtype).eval()
    lm.load_state_dict(model.lm.state_dict())
    return lm


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('name', LMS)
def test_without_the_method_it_is_the_stock_model(name, left):
    model = build_perceptual(lm=name)
    tokens = random_texts(left=left)
    lm = stock(model, name)
    expected = torch.zeros(*tokens.ids.shape, VOCAB).double()
    for row, there in enumerate(tokens.mask.bool()):
        expected[row, there] = lm(input_ids=tokens.ids[row : row + 1, there]).logits[0]
    with model.switch.use(None):
        logits = model.logits(random_vectors(model), tokens)
    real = tokens.mask.bool()
    torch.testing.assert_close(logits[real], expected[real], rtol=1e-11, atol=1e-11)
    assert not torch.allclose(model.logits(random_vectors(model), tokens)[real], expected[real], atol=0.1)


@pytest.mark.parametrize('name', LMS)
def test_the_stock_models_own_passes_keep_every_bit(name):
    model = build_perceptual(lm=name)
    tokens, lm = random_texts(), stock(model, name)

    def outputs(lm):
        generated = lm.generate(tokens.ids[:, :3], max_new_tokens=4, do_sample=False, pad_token_id=1, eos_token_id=2)
        # Gemma 2 gives NaN at padding.
        return lm(input_ids=tokens.ids, attention_mask=tokens.mask).logits.nan_to_num(), generated

    expected = outputs(lm)
    assert set(model.lm.state_dict()) == set(lm.state_dict())
    assert all(torch.equal(*pair) for pair in zip(outputs(model.lm), expected))
    model.detach_adapter()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.lm.modules())
    assert all(torch.equal(*pair) for pair in zip(outputs(model.lm), expected))


def gpt2_pieces(lm, tokens, positions):
    body = lm.transformer

    def run(block, x, mask):
        out = block(x, attention_mask=mask)
        return out[0] if isinstance(out, tuple) else out

    blocks = [lambda x, mask, block=block: run(block, x, mask) for block in body.h]
    return body.wte(tokens) + body.wpe(positions), blocks, body.ln_f


def rotary_of(body, x, positions):
    """Keyword arguments of a layer, those of transformers 4 and of 5 among them."""
    if hasattr(body, 'rotary_emb_local'):
        parts = dict(position_embeddings_global=body.rotary_emb, position_embeddings_local=body.rotary_emb_local)
        return lambda depth: {name: part(x, positions) for name, part in parts.items()}
    if 'layer_type' in inspect.signature(body.rotary_emb.forward).parameters:
        kinds = body.config.layer_types
        return lambda depth: dict(position_embeddings=body.rotary_emb(x, positions, kinds[depth]))
    return lambda depth: dict(position_embeddings=body.rotary_emb(x, positions))


def llama_pieces(lm, tokens, positions):
    body = lm.model

    def run(depth, x, mask):
        lead = positions.new_zeros(1, x.shape[1] - positions.shape[1])
        rotary = rotary_of(body, x, torch.cat([lead, positions], 1))(depth)
        output = body.layers[depth](x, attention_mask=mask, **rotary)
        return output[0] if isinstance(output, tuple) else output

    words = body.embed_tokens(tokens)
    if lm.config.model_type in ('gemma', 'gemma2'):
        # In transformers 4 the model multiplies what it is given, in 5 the word embeddings do.
        words = body.embed_tokens.weight[tokens] * lm.config.hidden_size**0.5
    if lm.config.model_type == 'granite':
        words = words * lm.config.embedding_multiplier
    return words, [lambda x, mask, depth=depth: run(depth, x, mask) for depth in range(LAYERS)], body.norm


def head_of(lm, hidden):
    logits = lm.lm_head(hidden)
    if lm.config.model_type == 'gemma2':
        logits = 3 * torch.tanh(logits / 3)
    return logits / 2 if lm.config.model_type == 'granite' else logits


def looks_back(name, depth):
    """Over how many rows a layer looks back; None for all."""
    kinds = LMS[name].get('layer_types')
    if name == 'mistral' or kinds and kinds[depth] == 'sliding_attention':
        return WINDOW
    return None


def additive(seen, lead, look):
    if look is not None:
        rows = range(len(seen))
        near = [[j < lead or i < lead or j > i - look for j in rows] for i in rows]
        seen = seen & torch.tensor(near)
    return torch.zeros(seen.shape).double().masked_fill(~seen, torch.finfo(torch.float64).min)[None, None]


@pytest.mark.parametrize('full', [True, False])
@pytest.mark.parametrize('name', ['gpt2', 'llama', *TODAYS])
def test_the_slot_in_other_models(name, full):
    """Their own blocks, called one by one on a sequence that grows where the slot comes in."""
    start, end = 2, LAYERS - 1
    model = build_perceptual(lm=name, visual_row='full' if full else 'causal', adapter=dict(start=start, end=end))
    vectors, tokens = random_vectors(model, 1), random_texts((5,))
    x, blocks, norm = (gpt2_pieces if name == 'gpt2' else llama_pieces)(
        stock(model, name), tokens.ids, torch.arange(5)[None]
    )
    lead = 2
    # The prompt reaches the first block as it is, also where the model multiplies what enters.
    prompt = model.adapter.prompt
    x = torch.cat([prompt.mlp(prompt.table)[None], x], 1)
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    levels = dict(enumerate(injection_levels(3, start, end), start))
    for i, block in enumerate(blocks):
        if i in levels:
            token = model.adapter.connector[levels[i]](vectors[:, levels[i]])[:, None]
            if i == start:
                seen = torch.nn.functional.pad(seen, (1, 0, 1, 0), value=True)
                seen[0, 1:] = full
                lead = 3
                x = torch.cat([token, x], 1)
            x = torch.cat([token, x[:, 1:]], 1)
        x = block(x, additive(seen, lead, looks_back(name, i)))
    expected = head_of(model.lm, norm(x))[:, 3:]
    torch.testing.assert_close(model.logits(vectors, tokens), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('name', ['gpt2', 'llama', *TODAYS])
def test_rows_of_pictures_are_tokens_of_the_text(name):
    """They have the first positions and fall out of windows, and the first block gets what the connector gives."""
    model = build_perceptual(lm=name, connector=dict(tokens='patches', hidden=5), adapter=None)
    vectors, tokens, lm = random_vectors(model, 1), random_texts((5,)), stock(model, name)
    maps = {part: value.double() for part, value in model.connector.named_parameters()}
    inner = vectors @ maps['maps.fc1.weight'].T + maps['maps.fc1.bias']
    inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
    rows = inner @ maps['maps.fc2.weight'].T + maps['maps.fc2.bias']
    positions = torch.arange(9)[None]
    if name == 'gpt2':
        x, blocks, norm = gpt2_pieces(lm, tokens.ids, positions[:, 4:])
        rows = rows + lm.transformer.wpe(positions[:, :4])
    else:
        x, blocks, norm = llama_pieces(lm, tokens.ids, positions)
    x = torch.cat([rows, x], 1)
    seen = torch.ones(9, 9, dtype=torch.bool).tril()
    for depth, block in enumerate(blocks):
        x = block(x, additive(seen, 0, looks_back(name, depth)))
    torch.testing.assert_close(model.logits(vectors, tokens), head_of(model.lm, norm(x))[:, 4:], rtol=1e-10, atol=1e-10)


def gradients(model):
    model.logits(random_vectors(model), random_texts()).square().sum().backward()
    return {name: param.grad for name, param in model.named_parameters() if param.grad is not None}


@pytest.mark.parametrize('name', LMS)
def test_checkpointing_gives_the_same_gradients(name):
    plain = build_perceptual(lm=name)
    saving = copy.deepcopy(plain)
    checkpoint_blocks(saving.towers['lm'], saving.switch)
    expected = gradients(plain)
    assert set(expected) == set(plain.declared)
    for key, grad in gradients(saving).items():
        torch.testing.assert_close(grad, expected[key], rtol=1e-10, atol=1e-12)


def test_a_copy_reads_its_own_method():
    model = build_perceptual()
    tokens, vectors = random_texts(), random_vectors(model)
    before, twin = model.logits(vectors, tokens), copy.deepcopy(model)
    for part in ('connector', 'prompt'):
        with torch.no_grad():
            next(getattr(twin.adapter, part).parameters()).mul_(-3)
        assert torch.equal(model.logits(vectors, tokens), before)
        changed = twin.logits(vectors, tokens)
        assert not torch.allclose(changed, before, atol=1e-2)
        twin = copy.deepcopy(model)


def test_compiled_blocks_read_the_slot():
    model = build_perceptual(torch.float32)
    tokens, vectors = random_texts(), random_vectors(model)
    expected = model.logits(vectors, tokens)
    with model.switch.use(None):
        bare = model.logits(vectors, tokens)
    for block in model.towers['lm'].block_modules[:3]:
        block.compile(backend='aot_eager')
    torch.testing.assert_close(model.logits(vectors, tokens), expected, rtol=1e-4, atol=1e-4)
    with model.switch.use(None):
        torch.testing.assert_close(model.logits(vectors, tokens), bare, rtol=1e-4, atol=1e-4)


def test_a_directory_gives_the_geometry(tmp_path):
    AutoModelForCausalLM.from_config(build_causal_lm(LMS['opt'], VOCAB, 'float16').config).save_pretrained(tmp_path)
    lm = build_causal_lm(str(tmp_path), VOCAB + 3)
    assert lm.dtype == torch.float32 and lm.config.num_hidden_layers == LAYERS
    assert len(lm.get_input_embeddings().weight) == VOCAB + 3


@pytest.mark.parametrize(
    'kind, message',
    [
        ('t5', r"lm.model_type='t5'; choose from .*, …"),
        ('lama', r"lm.model_type='lama'; choose from .*llama"),
        ('bart', r"lm.model_type='bart' is no language model whose blocks vlpeft knows: .*BartForCausalLM"),
        ('mamba', r"lm.model_type='mamba' is no language model whose blocks vlpeft knows"),
        ('cohere', r"lm.model_type='cohere' is no language model .* act side by side"),
    ],
)
def test_what_is_no_known_language_model(kind, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(perceptual_config(), lm=dict(model_type=kind)))


@pytest.mark.parametrize('lm', LMS)
def test_a_model_on_the_meta_device_has_the_shapes_and_sites_of_a_real_one(lm):
    config = perceptual_config(lm)
    with torch.device('meta'):
        shapes = MODELS.build(config)
    real = MODELS.build(config)
    assert {key: value.shape for key, value in shapes.state_dict().items()} == {
        key: value.shape for key, value in real.state_dict().items()
    }
    assert shapes.declared == real.declared and all(param.is_meta for param in shapes.parameters())
