"""Heads of language models as transformers saves them: T5 v1.1's own, and Llama's that only looks tied."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.tiny_epalm import LMS, VOCAB, perceptual_config
from tests.tiny_vl import LM, build_vl, vl_config
from tests.tiny_vl import VOCAB as VOCABS
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS

NEW = 100
UNTIED = dict(LM['t5'], feed_forward_proj='gated-gelu', tie_word_embeddings=False)
IDS, DECODED = torch.tensor([[3, 7, 12, 1], [9, 4, 1, 0]]), torch.tensor([[0, 5, 11], [0, 8, 2]])


def drawn(model):
    """Weights N(0, 0.3), tied tables once."""
    generator = torch.Generator().manual_seed(3)
    for param in model.parameters():
        param.data.copy_(torch.randn(param.shape, generator=generator) * 0.3)
    return model.eval()


def saved_t5(folder, **options):
    """A T5 that transformers wrote, without the rows that the task's tokens need."""
    options = {**UNTIED, **options}
    lm = T5ForConditionalGeneration(T5Config(**options, vocab_size=VOCABS['t5'] - NEW))
    if not options['tie_word_embeddings']:
        # transformers 5 ties it until it has read a file.
        lm.lm_head.weight = torch.nn.Parameter(lm.lm_head.weight.detach().clone())
    lm = drawn(lm)
    lm.save_pretrained(folder)
    return lm, str(folder / 'model.safetensors')


@torch.no_grad()
def logits(lm):
    mask = (IDS != 0).long()
    return lm(input_ids=IDS, attention_mask=mask, decoder_input_ids=DECODED, use_cache=False).logits


def test_t5_v11_keeps_its_own_head(tmp_path):
    theirs, path = saved_t5(tmp_path)
    assert not torch.equal(theirs.lm_head.weight, theirs.shared.weight)
    model = MODELS.build(vl_config('t5', lm=UNTIED, base_checkpoint=dict(lm=dict(source=path))))
    model.eval()
    rows = VOCABS['t5'] - NEW
    assert model.grown == {'lm.shared.weight': rows, 'lm.lm_head.weight': rows}
    expected = logits(theirs)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits(model.lm)[..., :rows], expected)


def test_t5_v11_is_written_as_from_pretrained_reads_it(tmp_path):
    ours = build_vl('t5', dtype=torch.float32, lm=UNTIED)
    written = to_layout('transformers_seq2seq', ours.state_dict(), ours).content
    ours.lm.config.save_pretrained(tmp_path)
    torch.save(written, tmp_path / 'pytorch_model.bin')
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(theirs), logits(ours.lm))
    assert set(written) == {name for name, _ in ours.lm.named_parameters()}


def test_a_model_whose_head_is_tied_refuses_the_file_and_the_reverse(tmp_path):
    _, untied = saved_t5(tmp_path / 'untied')
    _, tied = saved_t5(tmp_path / 'tied', tie_word_embeddings=True)
    for lm, path, message in [
        (
            dict(UNTIED, tie_word_embeddings=True),
            untied,
            r'untied.*lm\.shared\.weight and lm\.lm_head\.weight are one.*a model with tie_word_embeddings=False',
        ),
        (UNTIED, tied, r'(?s)tied.*lm\.lm_head\.weight.*set lm\.tie_word_embeddings=True'),
    ]:
        with pytest.raises(CheckpointError, match=message):
            MODELS.build(vl_config('t5', lm=lm, base_checkpoint=dict(lm=dict(source=path))))


@pytest.mark.parametrize('tied', [False, True])
def test_an_untied_head_with_the_values_of_the_embeddings_is_read_and_written(tmp_path, tied):
    theirs = drawn(LlamaForCausalLM(LlamaConfig(**{**LMS['llama'], 'vocab_size': VOCAB})))
    theirs.lm_head.weight.data.copy_(theirs.model.embed_tokens.weight)
    weights = {key: value.clone() for key, value in theirs.state_dict().items()}
    model = MODELS.build(dict(perceptual_config('llama'), lm=dict(LMS['llama'], tie_word_embeddings=tied)))
    report = load_into(model, Checkpoint.of(weights), strict_parts=('lm',))
    assert report.unexpected == [] and report.ignored == {} and len(report.loaded) == (74 if tied else 75)
    written = to_layout('transformers_causal_lm', model.state_dict(), model).content
    model.lm.config.save_pretrained(tmp_path)
    torch.save(written, tmp_path / 'pytorch_model.bin')
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert ('lm_head.weight' in written) != tied
    with torch.no_grad():
        torch.testing.assert_close(again(IDS).logits, theirs(IDS).logits)


def test_a_layout_of_one_table_refuses_a_model_of_two():
    from tests.checkpoint.test_vl_pet_checkpoints import adapter_config

    model = build_vl('t5', lm=UNTIED, adapter=adapter_config('large'))
    with pytest.raises(CheckpointError, match='vl_pet layout has one tensor for shared.weight and lm_head.weight'):
        get_dialect('vl_pet').from_vlpeft(model.state_dict())
