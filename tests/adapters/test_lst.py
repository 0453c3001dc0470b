"""Ladder side-tuning equals its equations written out, and keeps nothing of the base for the backward pass."""

import copy

import pytest
import torch
from torch import nn

import vlpeft
from tests.majors import CACHE, FIVE
from tests.slow_side import linear, side_network
from tests.tiny import build_retriever, build_vqa, random_batch, random_questions, write_vocabulary
from tests.tiny_seq2seq import build_lm, random_texts
from tests.tiny_vl import build_vl, random_samples
from tests.tiny_vl import write_tokenizer as write_vl_tokenizer
from vlpeft.adapters import LST
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

CONFIG = dict(type='LST', reduction=2, heads=2, ffn_ratio=2)
CLOSE = dict(rtol=1e-8, atol=1e-9)


def attach(model, config=CONFIG, **options):
    adapter = vlpeft.attach(model, config, check_after=0, **options)
    randomise(adapter.sets, seed=1)
    return adapter


def kept(model, run, *paths):
    """What leaves the modules of a bare model at ``paths``; what enters the first of them stands first."""
    found, handles = [], []
    first = model.get_submodule(paths[0])
    handles.append(first.register_forward_pre_hook(lambda module, args: found.append(args[0])))
    for path in paths:
        handles.append(
            model.get_submodule(path).register_forward_hook(
                lambda module, args, out: found.append(out[0] if isinstance(out, tuple) else out)
            )
        )
    run()
    for handle in handles:
        handle.remove()
    return [value.detach() for value in found]


def leaves(network):
    return {name: param.detach().clone().requires_grad_() for name, param in network.named_parameters()}


def compare(network, params):
    assert network.state_dict().keys() == params.keys()
    for name, param in network.named_parameters():
        torch.testing.assert_close(
            param.grad, params[name].grad, msg=lambda text, name=name: f'{name}: {text}', **CLOSE
        )


@pytest.mark.parametrize('backbone', ['bart', 't5'])
def test_encoder_and_decoder_equal_the_equations(backbone):
    model, plain = build_lm(backbone), build_lm(backbone).requires_grad_(False)
    adapter = attach(model)
    ids, mask, target = random_texts()
    labels = torch.randint(3, 40, target.shape)
    given = dict(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False)
    layers = 'layers' if backbone == 'bart' else 'block'
    paths = [[f'{name}.{layers}.{i}' for i in range(2)] for name in ('encoder', 'decoder')]
    inner = plain.model if backbone == 'bart' else plain
    states = [kept(inner, lambda: plain(**given), *own) for own in paths]

    params = {name: leaves(network) for name, network in adapter.sets['default'].networks.items()}
    real = mask.bool()
    z = side_network(params['encoder'], states[0][0], states[0][1:], lambda b, i, j: i == j or real[b, j], 2)
    z = side_network(
        params['decoder'], states[1][0], states[1][1:], lambda b, i, j: j <= i, 2, z, lambda b, i, j: real[b, j]
    )
    out = linear(params['decoder'], 'up', z)
    # T5 ties its head to the embeddings, and scales by the square root of the width.
    expected = plain.lm_head(out if backbone == 'bart' else out * 16**-0.5)

    logits = adapter(**given).logits
    torch.testing.assert_close(logits, expected, **CLOSE)
    for values in (logits, expected):
        nn.functional.cross_entropy(values.flatten(0, 1), labels.flatten()).backward()
    for name, network in adapter.sets['default'].networks.items():
        compare(network, params[name])
    assert not any(param.grad is not None for param in model.parameters())


@pytest.mark.parametrize('output', ['replace', 'add'])
def test_a_decoder_and_a_vision_tower_equal_the_equations(output):
    for name, root, final, causal in (
        ('gpt2', 'transformer.h', 'transformer.ln_f', True),
        ('vit', 'layers', 'ln1', False),
    ):
        subject = SUBJECTS[name]
        plain = subject.model().requires_grad_(False)
        adapter = attach(subject.model(), dict(CONFIG, output=output, targets=dict(depths=[-1])))
        stream, _, *outputs, last = kept(plain, lambda: subject.run(plain), f'{root}.0', f'{root}.1', final)
        real = subject.inputs(3)['attention_mask'].bool() if causal else torch.ones(3, 5, dtype=torch.bool)
        (network,) = adapter.sets['default'].networks.values()
        params = leaves(network)
        sees = (lambda b, i, j: i == j or (j <= i and real[b, j])) if causal else (lambda b, i, j: True)
        expected = linear(params, 'up', side_network(params, stream, outputs, sees, 2))
        expected = expected + last if output == 'add' else expected
        expected = plain.lm_head(expected) if causal else expected
        found = subject.run(adapter)
        torch.testing.assert_close(found, expected, **CLOSE)
        for values in (found, expected):
            values.square().sum().backward()
        compare(network, params)


def test_the_shapes_released_for_t5_base():
    """Side blocks of T5-base at reduction 4: 12 attentions of 12 heads with 16 dimensions, FFN 768, no bias."""
    from transformers import T5Config, T5ForConditionalGeneration

    with torch.device('meta'):
        config = T5Config(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
        model = T5ForConditionalGeneration(config)
        method = LST(vlpeft.find_towers(model), bias=False)
    attention, ffn, down, norms = 4 * 192**2, 2 * 192 * 768, 768 * 192 + 192, 2 * 192
    blocks = 12 * (2 * ffn + 3 * attention + 5 * norms)
    rest = 26 * down + 24 + 2 * norms + 192 * 768 + 768
    assert sum(param.numel() for param in method.parameters()) == blocks + rest == 16_397_208
    # With VL-T5's visual projector of 1.58 M the paper's 7.46 %.
    total = sum(param.numel() for param in model.parameters())
    share = (16_397_208 + 1_582_848) / (total + 16_397_208 + 1_582_848)
    assert round(100 * share, 2) == pytest.approx(7.46, abs=0.011)


class Saved:
    """Counts what autograd keeps, and what of it while a block of the base runs."""

    def __init__(self, model, towers):
        self.bytes, self.in_blocks, self.inside = 0, 0, False
        for tower in towers.values():
            for block in tower.block_modules:
                block.forward = self.watched(block.forward)
        self.own = {param.untyped_storage().data_ptr() for param in model.parameters()}

    def watched(self, forward):
        def run(*args, **kwargs):
            self.inside = True
            try:
                return forward(*args, **kwargs)
            finally:
                self.inside = False

        return run

    def pack(self, tensor):
        if tensor.untyped_storage().data_ptr() not in self.own:
            self.bytes += tensor.numel() * tensor.element_size()
            self.in_blocks += self.inside
        return tensor

    def of(self, run):
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor):
            loss = run().square().sum()
        loss.backward()
        return self


@pytest.mark.parametrize('backbone', ['bart', 't5'])
def test_nothing_of_the_base_is_kept_even_before_trained_embeddings(backbone):
    ids, mask, target = random_texts()
    found = {}
    for name, config in (('lst', CONFIG), ('lora', dict(type='LoRA', rank=2, targets={}))):
        model = build_lm(backbone)
        embeddings = 'model.shared' if backbone == 'bart' else 'shared'
        adapter = attach(model, config, trainable=[embeddings])
        watch = Saved(model, adapter.towers)
        given = dict(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False)
        found[name] = watch.of(lambda: adapter(**given).logits)
        assert model.get_submodule(embeddings).weight.grad.any()
    assert found['lst'].in_blocks == 0 < found['lora'].in_blocks
    assert found['lst'].bytes < found['lora'].bytes


def test_the_cache_follows_beams_and_crops():
    for name in ('bart', 't5', 'llama'):
        subject = SUBJECTS[name]
        adapter = attach(subject.model())
        options = dict(max_new_tokens=6, num_beams=4, num_return_sequences=3, pad_token_id=1, eos_token_id=None)
        options.update(do_sample=False, return_dict_in_generate=True, output_scores=True)
        cached, whole = (adapter.generate(**subject.prompts(3), **options, use_cache=use) for use in (True, False))
        assert torch.equal(cached.sequences, whole.sequences)
        torch.testing.assert_close(cached.sequences_scores, whole.sequences_scores, rtol=1e-6, atol=1e-8)


def test_a_cache_of_other_passes_is_refused():
    subject = SUBJECTS['gpt2']
    adapter = attach(subject.model())
    given = subject.prompts(2)
    with adapter.use(None):
        cache = adapter(**given, use_cache=True)[CACHE]
    mask = torch.ones(2, 5, dtype=torch.long)
    with pytest.raises(SiteError, match='the cache holds 5 tokens, of which the side network of LST has seen 1;'):
        adapter(input_ids=given['input_ids'][:, :1], attention_mask=mask, **{CACHE: cache})
    with pytest.raises(SiteError, match='LST cannot keep keys and values in a cache of StaticLayer'):
        adapter.generate(**given, max_new_tokens=3, cache_implementation='static', pad_token_id=1)


def test_a_context_without_the_side_network_is_refused():
    adapter = attach(build_lm('bart'))
    ids, mask, target = random_texts()
    with adapter.use(None):
        states = adapter.get_encoder()(input_ids=ids, attention_mask=mask)
    with pytest.raises(SiteError, match='16 wide instead of 24: the encoder ran without the side network'):
        adapter(encoder_outputs=states, attention_mask=mask, decoder_input_ids=target)


def test_the_names_of_towers_change_nothing():
    subject, paths = SUBJECTS['bart'], dict(reads='model.encoder', writes='model.decoder')
    named, usual = attach(subject.model(), towers=paths), attach(subject.model())
    state = usual.sets['default'].state_dict()
    renamed = {key.replace('encoder', 'reads').replace('decoder', 'writes'): value for key, value in state.items()}
    named.sets['default'].load_state_dict(renamed)
    assert torch.equal(subject.run(named), subject.run(usual))


def test_recomputing_what_the_side_network_needs_is_refused():
    """transformers 5 runs a block's ``forward`` again, and no hook of the block."""
    adapter = attach(build_lm('bart'))
    ids, mask, target = random_texts()
    given = dict(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False)
    params = [param for param in adapter.parameters() if param.requires_grad]
    adapter.train()
    torch.manual_seed(0)
    expected = torch.autograd.grad(adapter(**given).logits.sum(), params, allow_unused=True)
    adapter.gradient_checkpointing_enable()
    if FIVE:
        torch.manual_seed(0)
        found = torch.autograd.grad(adapter(**given).logits.sum(), params, allow_unused=True)
        torch.testing.assert_close(found, expected)
        return
    with pytest.raises(SiteError, match='do not recompute blocks'):
        adapter(**given).logits.sum().backward()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(reduction=3), ValueError, 'reduction=3 and heads=2 do not divide 16, the width of tower "encoder"'),
        (dict(heads=3), ValueError, 'heads=3 do not divide 16'),
        (dict(heads=0), ValueError, 'heads=0; it is an integer of at least 1'),
        (dict(output='sum'), ValueError, "output='sum'; choose from"),
        (dict(targets=dict(kinds=['ffn'])), SiteError, 'LST reads whole blocks; its targets cannot name kinds'),
        (dict(targets=dict(depths=[7])), SiteError, 'unknown depths'),
    ],
)
def test_what_cannot_stand_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        vlpeft.attach(build_lm('bart'), dict(CONFIG, **options))


def test_beside_what_acts_inside_of_its_towers_it_is_refused():
    lora = dict(type='LoRA', rank=2, targets=dict(linears=['v']))
    prefix = dict(type='PrefixTuning', length=2)
    for other, tower in ((lora, 'encoder'), (prefix, 'decoder')):
        for config in ([CONFIG, other], [other, CONFIG]):
            message = f'{other["type"]} acts inside of tower "{tower}", which LST cuts off from gradients'
            with pytest.raises(SiteError, match=message):
                vlpeft.attach(build_lm('bart'), config)
    # In towers of their own both train.
    ids, mask, target = random_texts()
    given = dict(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False)
    side = dict(CONFIG, targets=dict(towers=['decoder']))
    encoder = dict(lora, targets=dict(towers=['encoder'], linears=['v']))
    adapter = vlpeft.attach(build_lm('bart'), [encoder, side], check_after=0)
    randomise(adapter.sets, seed=1)
    adapter(**given).logits.square().sum().backward()
    assert [name for name, param in adapter.named_parameters() if param.grad is None or not param.grad.any()] == []


def test_parts_that_it_lets_no_gradient_to_may_not_be_declared():
    for declared in ('norms', [dict(parts='biases', towers=['decoder'])], ['model.encoder.layers.0.fc1'], 'all'):
        with pytest.raises(SiteError, match='which the method cuts off from gradients'):
            vlpeft.attach(build_lm('bart'), CONFIG, trainable=declared)
        with pytest.raises(SiteError, match='which the method cuts off from gradients'):
            vlpeft.attach(build_lm('bart'), [CONFIG], trainable=declared)
    ids, mask, target = random_texts()
    adapter = vlpeft.attach(build_lm('bart'), CONFIG, trainable=['model.encoder.embed_tokens'], check_after=0)
    given = dict(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False)
    adapter(**given).logits.square().sum().backward()
    assert all(param.grad is not None and param.grad.any() for param in adapter.parts.parameters())


def gradients_of(model, losses):
    sum(losses.values()).backward()
    missing = [name for name, param in model.adapter.named_parameters() if param.grad is None or not param.grad.any()]
    frozen = [name for name, param in model.named_parameters() if param.grad is not None and name not in model.declared]
    assert missing == [] and frozen == []


@pytest.mark.parametrize('output', ['replace', 'add'])
def test_retrieval_and_answers_train_every_side_network(tmp_path, output):
    words = write_vocabulary(tmp_path)
    config = dict(CONFIG, output=output, dropout=0.0)
    model = build_retriever(vocabulary=words, adapter=config)
    gradients_of(model, model(*random_batch(), mode='loss'))
    model = build_vqa(vocabulary=words, adapter=config)
    assert set(model.adapter.networks) == {'vision', 'text', 'decoder'}
    gradients_of(model, model(*random_questions(), mode='loss'))


def test_each_pair_sees_its_own_clip():
    from vlpeft.models.backbones import CrossContext

    model = build_retriever(adapter=CONFIG)
    states = torch.randn(3, 4, 16, dtype=torch.float64)
    ids = torch.randint(5, 15, (4, 5))
    mask = torch.ones_like(ids)
    projected = model.text.project_context(states)
    index = torch.tensor([2, 0, 0, 1])
    together = model.text(ids, mask, CrossContext(projected, index=index))
    for row, clip in enumerate(index.tolist()):
        own = CrossContext(projected.rows(slice(clip, clip + 1)))
        alone = model.text(ids[row : row + 1], mask[row : row + 1], own)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-9, atol=1e-10)
    # All texts of one clip, which pass as one group.
    group = model.text(ids, mask, CrossContext(projected.rows(slice(0, 1))))
    torch.testing.assert_close(group[1:3], together[1:3], rtol=1e-9, atol=1e-10)
    assert not torch.allclose(group[0], together[0])
    # Several clips with as many texts each, and with any number.
    for contexts, counts, owners in ((2, None, [0, 0, 1, 1]), (3, [3, 0, 1], [0, 0, 0, 2])):
        grouped = model.text(ids, mask, CrossContext(projected.rows(slice(contexts)), counts=counts))
        looked_up = model.text(ids, mask, CrossContext(projected, index=torch.tensor(owners)))
        torch.testing.assert_close(grouped, looked_up, rtol=1e-9, atol=1e-10)
    with pytest.raises(SiteError, match='of which keys and values alone are given'):
        model.text(ids, mask, CrossContext(list(projected.rows(slice(0, 1)))))


@pytest.mark.parametrize('family', ['bart', 't5'])
def test_text_with_vision_trains_the_projector_through_the_side_network(tmp_path, family):
    words = write_vl_tokenizer(tmp_path, family)
    model = build_vl(family, words, adapter=dict(CONFIG, dropout=0.0))
    gradients_of(model, model(*random_samples(), mode='loss'))
    # The cells of a grid have no boxes, whose positions the map of these would learn.
    boxes = 'visual_embedding.position.0.weight'
    projector = [name for name in model.declared if not name.startswith('adapter.') and name != boxes]
    assert projector and all(model.get_parameter(name).grad.any() for name in projector)
    with torch.no_grad():
        found = model(*random_samples('caption'), mode='predict')
    assert len(found) == 3


def test_answers_are_written_with_the_cache_as_without(tmp_path):
    from vlpeft.models.backbones import CrossContext, SelfCache

    model = build_vqa(vocabulary=write_vocabulary(tmp_path), adapter=CONFIG)
    context = CrossContext(model.decoder.bert.project_context(torch.randn(3, 4, 16, dtype=torch.float64)))
    ids, mask = torch.randint(5, 15, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    whole = model.decoder(ids, mask, context)
    cache = SelfCache()
    model.decoder(ids[:, :3], mask[:, :3], context, cache)
    order = torch.tensor([2, 0, 0])
    cache.reorder(order)
    chosen = CrossContext(context.layers, index=order)
    steps = [model.decoder(ids[order, i : i + 1], mask[:, : i + 1], chosen, cache) for i in (3, 4, 5)]
    torch.testing.assert_close(torch.cat(steps, 1), whole[order, 3:], rtol=1e-9, atol=1e-10)


def test_dropout_acts_in_training_alone():
    subject = SUBJECTS['vit']
    adapter = attach(subject.model(), dict(CONFIG, dropout=0.5))
    twin = copy.deepcopy(adapter)
    assert torch.equal(subject.run(adapter), subject.run(twin))
    adapter.train()
    assert not torch.allclose(subject.run(adapter), subject.run(adapter))
