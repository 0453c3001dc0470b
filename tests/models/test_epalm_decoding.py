"""Cached decoding equals full recomputation; what a token can learn of its successors and its batch."""

import math

import pytest
import torch
from torch import nn

from tests.slow_decoding import slow_mean, slow_search
from tests.tiny_epalm import (
    END,
    LAYERS,
    TODAYS,
    VOCAB,
    WAYS,
    WINDOWED,
    build_perceptual,
    random_texts,
    random_vectors,
    write_vocabulary,
)
from tests.waits import OnDevice, on_device
from vlpeft.models.continuation import Continuation
from vlpeft.models.decoding import beam_search
from vlpeft.models.tokenizer import Tokens

# visual row, end, rows that a cached step runs
MODES = [('causal', LAYERS - 1, 1), ('full', LAYERS - 1, 2), ('full', LAYERS, 1), ('causal', 4, 1)]
NEW = 6


class Lively(nn.Module):
    """A head whose tokens differ from text to text and from step to step, which a random model's own do not."""

    def __init__(self, lm):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.table = torch.randn(
            lm.config.word_embed_proj_dim if hasattr(lm.config, 'word_embed_proj_dim') else lm.config.hidden_size,
            VOCAB,
            generator=generator,
        ).to(lm.dtype)

    def forward(self, hidden):
        return torch.sin(5 * hidden) @ self.table


def build(dtype=torch.float64, **options):
    model = build_perceptual(dtype, **options)
    model.lm.set_output_embeddings(Lively(model.lm))
    return model


def search(model, tokens, vectors, beams, cached, watch=lambda ids, origin, logits: None):
    step = Continuation(model.reader, tokens, model.lead(vectors), beams, cached)

    def watched(ids, origin):
        logits = step(ids, origin)
        watch(ids, origin, logits)
        return logits

    return [kept[0].ids for kept in beam_search(watched, tokens.ids[:, -1:], beams, END, 1 + NEW)]


def compare(model, tokens, vectors, beams, close):
    """Returns the rows that the first and the last layer saw in each cached call."""
    found, widths = [], ([], [])
    slow = search(model, tokens, vectors, beams, False, lambda ids, origin, logits: found.append(logits))
    blocks = model.towers['lm'].block_modules
    handles = [
        block.register_forward_pre_hook(
            lambda module, args, kwargs, seen=seen: seen.append((args or [kwargs['hidden_states']])[0].shape[1]),
            with_kwargs=True,
        )
        for block, seen in zip((blocks[0], blocks[-1]), widths)
    ]
    logits = []
    fast = search(model, tokens, vectors, beams, True, lambda ids, origin, new: logits.append(new))
    for handle in handles:
        handle.remove()
    assert fast == slow and len(logits) == len(found) and len({tuple(row) for row in fast}) == len(fast)
    for ours, theirs in zip(logits, found):
        torch.testing.assert_close(ours, theirs, rtol=close, atol=close)
    return widths


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('visual_row, end, rows', MODES)
@pytest.mark.parametrize('lm', ['opt', 'opt_post'])
def test_cached_decoding_equals_full_recomputation(lm, visual_row, end, rows, beams, left):
    model = build(lm=lm, visual_row=visual_row, adapter=dict(end=end))
    first, last = compare(model, random_texts(left=left), random_vectors(model), beams, 1e-9)
    assert len(first) > 3 and set(first[1:]) == {1} and set(last[1:]) == {rows}


@pytest.mark.parametrize('visual_row', ['causal', 'full'])
@pytest.mark.parametrize('lm', ['opt', 'gpt2', 'llama'])
def test_in_single_precision_and_without_prompt(lm, visual_row):
    model = build(torch.float32, lm=lm, visual_row=visual_row, adapter=dict(prompt_length=0))
    compare(model, random_texts(left=True), random_vectors(model), 3, 1e-4)


@pytest.mark.parametrize('visual_row', ['causal', 'full'])
@pytest.mark.parametrize('lm', TODAYS)
def test_in_todays_models(lm, visual_row):
    model = build(lm=lm, visual_row=visual_row)
    first, last = compare(model, random_texts((6, 4, 2), left=True), random_vectors(model), 3, 1e-9)
    assert len(first) > 3 and set(last[1:]) == {1 if visual_row == 'causal' else 2}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('lm', ['opt', 'gpt2', 'llama', 'gemma2', 'mistral'])
def test_whichever_way_it_perceives(lm, way):
    if way == 'prefix' and lm in WINDOWED:
        pytest.skip('such a prefix is refused')
    model = build(lm=lm, **WAYS[way])
    vectors = None if model.encoder is None else random_vectors(model)
    # Scores that are written out pass through float32.
    first, _ = compare(model, random_texts(left=True), vectors, 2, 1e-3 if lm == 'gemma2' else 1e-9)
    assert len(first) > 3 and set(first[1:]) == {1}


def test_without_perception_nothing_is_rerun():
    model = build(visual_row='full')
    assert all(set(rows[1:]) == {1} for rows in compare(model, random_texts(left=True), None, 3, 1e-9))


def test_a_slot_that_is_carried_on_allows_no_cache():
    model = build(visual_row='full', adapter=dict(end=LAYERS - 2))
    vectors, tokens = random_vectors(model), random_texts(left=True)
    lengths, _ = compare(model, tokens, vectors, 3, 1e-9)
    assert lengths == [1 + 2 + 6 + n for n in range(len(lengths))]
    with pytest.raises(ValueError, match='can be cached for end >= layers - 1 only'):
        model.reader.new_cache(model.lead(vectors))


def test_greedy_search_by_its_definition():
    model = build()
    tokens, vectors = random_texts(left=True), random_vectors(model)
    for row, found in enumerate(search(model, tokens, vectors, 1, True)):
        ids = tokens.ids[row][tokens.mask[row].bool()][None]
        for expected in [*found, END][:NEW]:
            new = model.logits(vectors[row : row + 1], Tokens(ids, torch.ones_like(ids)))[0, -1].argmax()
            assert int(new) == expected
            ids = torch.cat([ids, new.view(1, 1)], 1)


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('beams', [1, 2, 3])
def test_the_padded_prompt_is_what_the_released_rule_counts(tmp_path, beams, left):
    """Both rules against a slow search over full passes; with right padding it stands before the answer."""
    vocabulary = write_vocabulary(tmp_path)
    found = {}
    for rule in ('default', 'released'):
        task = dict(num_beams=beams, max_new_tokens=NEW, beam_rule=rule)
        model = build(vocabulary=vocabulary, visual_row='full', tasks=dict(vqa=task))
        table = model.lm.get_output_embeddings().table
        table[:, 12:] = 0  # texts of few tokens end now and then
        tokens, vectors = random_texts((6, 4, 3, 5, 6, 2), left), random_vectors(model, 6)
        length, sizes = tokens.ids.shape[1], set()
        found[rule] = model.candidates(vectors, tokens, model.tasks['vqa'])
        for row, kept in enumerate(found[rule]):

            def log_probs(new, row=row):
                ids, mask = (
                    torch.cat([part[row : row + 1], fill], 1)
                    for part, fill in zip(
                        tokens, (torch.tensor([new], dtype=torch.long), torch.ones(1, len(new), dtype=torch.long))
                    )
                )
                return model.logits(vectors[row : row + 1], Tokens(ids, mask))[0, -1].log_softmax(-1).tolist()

            expected = slow_search(log_probs, beams, END, NEW, rule, length)
            assert [one.text for one in kept] == [model.tokenizer.text(ids).strip() for ids, _ in expected]
            assert [one.score for one in kept] == pytest.approx([score for _, score in expected], rel=1e-9)
            means = [slow_mean(log_probs, ids, END, NEW) for ids, _ in expected]
            assert [one.probability for one in kept] == pytest.approx([math.exp(mean) for mean in means], rel=1e-9)
            sizes |= {len(ids) for ids, _ in expected}
        assert NEW in sizes and len(sizes) > 1
        assert model.answer(vectors, tokens, model.tasks['vqa']) == [kept[0].text for kept in found[rule]]
    assert beams == 1 or found['default'] != found['released']


def change_of_earlier_logits(model):
    ids = random_texts((6,) * 2).ids
    other = ids.clone()
    other[:, -1] = 5 + ids[:, -1] % 7
    assert (ids != other).sum() == 2
    vectors, mask = random_vectors(model, 2), torch.ones_like(ids)
    logits = [model.logits(vectors, Tokens(text, mask)) for text in (ids, other)]
    assert (logits[0] - logits[1])[:, -1].abs().max() > 0.1
    return (logits[0] - logits[1])[:, :-1].abs().max()


@pytest.mark.parametrize('lm', ['opt', 'opt_post', 'gpt2', 'llama', 'qwen2', 'gemma2', 'gemma3'])
def test_what_the_future_leaks(lm):
    def leak(visual_row, end):
        return change_of_earlier_logits(build(lm=lm, visual_row=visual_row, adapter=dict(end=end)))

    assert leak('full', LAYERS - 1) > 1e-3
    assert leak('full', LAYERS) < 1e-12 and leak('causal', LAYERS - 1) < 1e-12 and leak('causal', 4) < 1e-12


def change_by_company(model, left):
    """How far logits of real tokens change when shorter texts share the batch with a longer one."""
    vectors, change = None if model.encoder is None else random_vectors(model), 0.0
    together = random_texts(left=left)
    logits = model.logits(vectors, together)
    for row, mask in enumerate(together.mask.bool()):
        alone = together.ids[row : row + 1, mask]
        own = None if vectors is None else vectors[row : row + 1]
        change = max(
            change,
            float(
                (model.logits(own, Tokens(alone, torch.ones_like(alone)))[0] - logits[row, mask]).detach().abs().max()
            ),
        )
    return change


def test_the_batch_changes_nothing_in_causal_mode():
    causal, full = build(), build(visual_row='full')
    assert change_by_company(causal, True) < 1e-12 and change_by_company(causal, False) < 1e-12
    assert change_by_company(full, True) > 1e-3 and change_by_company(full, False) > 1e-3
    for lm in ('gpt2', 'llama', *TODAYS):
        assert change_by_company(build(lm=lm), True) < 1e-12
    for way in WAYS:
        for lm in ('opt', 'gpt2', 'llama', *(() if way == 'prefix' else ('gemma3',))):
            assert change_by_company(build(lm=lm, **WAYS[way]), True) < 1e-12


def test_answers_do_not_depend_on_the_batch_with_left_padding():
    model = build()
    together, vectors = random_texts(left=True), random_vectors(model)
    found = search(model, together, vectors, 3, True)
    for row, mask in enumerate(together.mask.bool()):
        ids = together.ids[row : row + 1, mask]
        assert search(model, Tokens(ids, torch.ones_like(ids)), vectors[row : row + 1], 3, True) == found[row : row + 1]
    # The reason not to pad prompts on the right: answers start behind the padding.
    assert search(model, random_texts(left=False), vectors, 3, True) != found


@pytest.mark.parametrize('lm', ['opt', 'llama'])
@pytest.mark.parametrize('visual_row', ['causal', 'full'])
def test_a_cached_step_waits_for_the_device_once(lm, visual_row):
    """What the language model itself asks of masks would wait too."""
    model = build_perceptual(torch.float32, lm=lm, visual_row=visual_row)
    prompts = Tokens(*map(on_device, random_texts((3, 5))))
    step, waits = Continuation(model.reader, prompts, model.lead(random_vectors(model, batch=2)), 2), []

    def counted(ids, origin):
        waits.append(OnDevice.waits.total())
        return step(ids, origin)

    beam_search(counted, prompts.ids[:, -1:], 2, END, 1 + NEW)
    assert type(step.mask) is OnDevice and len(waits) > 3
    assert set(later - earlier for earlier, later in zip(waits[1:], waits[2:])) == {1}
