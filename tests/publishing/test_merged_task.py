"""Task models whose method is merged: their bases, read by stock libraries, compute what the adapted models did."""

import re

import pytest
import torch
from mmengine.config import Config
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

import vlpeft
from tests.apis.tiny_answerers import write_answerer, write_checkpoint
from tests.commands import run_script
from tests.tiny import random_batch
from tests.workspace import write_child, write_workspace
from vlpeft import CaptionInferencer, RetrievalInferencer, VQAInferencer
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.write import to_layout

LORA = dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn', 'ffn']))
EXPORT = 'tools/model_converters/export.py'


def merge(*arguments):
    return run_script(EXPORT, *arguments)


def retriever(folder, adapter, layout=None, **model):
    """Config and checkpoint of a retriever; its base is in a ``layout``."""
    config = write_workspace(folder / 'work', adapter=adapter, frame_aware=False, **model)
    if layout is not None:
        base = folder / 'work/base.pth'
        bare = vlpeft.get_model(config, 'base', adapter=None)
        torch.save(to_layout(layout, bare.state_dict(), bare).content, base)
    return config, write_checkpoint(config, folder / 'run.pth', 3)


@torch.no_grad()
def features(model):
    clips, samples = random_batch(dtype=torch.float32)
    tokens = model.tokenizer([sample.text for sample in samples], 'cpu')
    return model.encode_vision(clips).feature, model.encode_text(tokens)


@pytest.mark.parametrize('layout', ['blip', 'vlpeft'])
@pytest.mark.parametrize('adapter', [
    LORA,
    dict(type='IA3', targets={}),
    dict(type='SSF', targets={}),
    dict(type='BitFit', targets={}),
    dict(type='DoRA', rank=2, targets=dict(kinds=['self_attn'])),
], ids=lambda adapter: adapter['type'])  # fmt: skip
def test_a_retriever(tmp_path, adapter, layout):
    config, checkpoint = retriever(tmp_path, adapter, None if layout == 'vlpeft' else layout)
    done = merge(config, checkpoint, tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert f'base in the {layout} layout; largest difference' in done.stdout
    adapted, merged = vlpeft.get_model(config, checkpoint), vlpeft.get_model(tmp_path / 'out')
    assert merged.adapter is None
    for one, other in zip(features(merged), features(adapted)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    bare = vlpeft.get_model(config, 'base', adapter=None)
    assert not torch.allclose(features(bare)[0], features(adapted)[0], atol=1e-3)
    # The file of the base is one of its layout: the base's config reads it as it read the former one.
    (file,) = [*(tmp_path / 'out').glob('base.pth'), *(tmp_path / 'out').glob('base/*.safetensors')]
    assert set(Checkpoint.read(file).weights) == set(Checkpoint.read(tmp_path / 'work/base.pth').weights)
    alone = vlpeft.get_model(config, 'base', adapter=None, base_checkpoint=dict(source=str(file)))
    torch.testing.assert_close(alone.text.state_dict(), merged.text.state_dict(), rtol=0, atol=0)


def test_it_finds_what_the_adapted_model_finds(tmp_path):
    config, checkpoint = retriever(tmp_path, LORA)
    assert merge(config, checkpoint, tmp_path / 'out').returncode == 0
    videos = tmp_path / 'work/data'
    adapted = RetrievalInferencer(config, checkpoint).index(videos).search('a red square', top=7)
    merged = RetrievalInferencer(tmp_path / 'out').index(videos).search('a red square', top=7)
    assert [found.path for found in merged] == [found.path for found in adapted]
    assert [found.score for found in merged] == pytest.approx([found.score for found in adapted], rel=1e-4)


@pytest.mark.parametrize('kind', ['bart', 't5', 'epalm'])
def test_a_language_model_is_a_folder_of_transformers(tmp_path, kind):
    made = write_answerer(tmp_path / 'made', kind)
    method = dict(LORA, targets=dict(towers=['lm'] if kind == 'epalm' else ['encoder', 'decoder']))
    config = tmp_path / 'made/lora.py'
    text = made.config.read_text() + f'model["adapter"] = {method!r}\n'
    if kind == 'epalm':
        text += 'model["connector"] = dict(tokens="patches")\n'
    config.write_text(text)
    checkpoint = write_checkpoint(config, tmp_path / 'run.pth', 3)
    done = merge(config, checkpoint, tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    lm = vlpeft.get_model(config, checkpoint)
    stock = (AutoModelForCausalLM if kind == 'epalm' else AutoModelForSeq2SeqLM).from_pretrained(tmp_path / 'out/lm')
    ids = torch.tensor([[3, 5, 7, 9]])
    given = dict(input_ids=ids) if kind == 'epalm' else dict(input_ids=ids, decoder_input_ids=ids)
    with torch.no_grad():
        torch.testing.assert_close(stock.eval()(**given).logits, lm.lm(**given).logits, rtol=1e-4, atol=1e-4)
    ask = VQAInferencer(tmp_path / 'out')
    assert [one.answer for one in ask(made.files, 'what is it')] == [
        one.answer for one in VQAInferencer(config, checkpoint)(made.files, 'what is it')
    ]


def test_parts_that_train_beside_are_in_the_base_too(tmp_path):
    config, _ = retriever(tmp_path, LORA)
    config = write_child(tmp_path / 'norms.py', config, trainable=['heads', dict(parts='norms', towers=['vision'])])
    checkpoint = write_checkpoint(config, tmp_path / 'run.pth', 4)
    assert merge(config, checkpoint, tmp_path / 'out').returncode == 0
    for one, other in zip(features(vlpeft.get_model(tmp_path / 'out')), features(vlpeft.get_model(config, checkpoint))):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('adapter, message', [
    (dict(type='UniAdapter', bottleneck=4), 'UniAdapter cannot be merged: .* vlpeft publish writes it beside its base'),
    (dict(type='Bottleneck', bottleneck=4, targets={}), 'Bottleneck cannot be merged'),
    (None, 'changes nothing of its base'),
])  # fmt: skip
def test_what_cannot_be_merged_is_refused_by_name(tmp_path, adapter, message):
    config, checkpoint = retriever(tmp_path, adapter)
    done = merge(config, checkpoint, tmp_path / 'out')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert not (tmp_path / 'out').exists() and not list(tmp_path.glob('.writing*'))


def test_a_model_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    config, checkpoint = retriever(tmp_path, LORA)
    from vlpeft.adaptation import merging

    put = merging._put

    def slightly_wrong(rows, scale, added):
        put(rows, scale, None if added is None else added * 1.01)

    monkeypatch.setattr(merging, '_put', slightly_wrong)
    done = merge(config, checkpoint, tmp_path / 'out')
    assert done.returncode == 1 and 'computes something else' in done.stderr and not (tmp_path / 'out').exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    config, checkpoint = retriever(tmp_path, LORA)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/notes.txt').write_text('mine')
    assert '--overwrite to replace it' in merge(config, checkpoint, tmp_path / 'out').stderr
    assert 'so it is not replaced' in merge(config, checkpoint, tmp_path / 'out', '--overwrite').stderr
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['notes.txt']


def test_captions_of_a_merged_model(tmp_path):
    made = write_answerer(tmp_path / 'made', 'bart_caption')
    config = tmp_path / 'made/lora.py'
    config.write_text(
        made.config.read_text() + f'model["adapter"] = {dict(LORA, targets=dict(towers=["encoder"]))!r}\n'
    )
    checkpoint = write_checkpoint(config, tmp_path / 'run.pth', 3)
    assert merge(config, checkpoint, tmp_path / 'out').returncode == 0
    assert Config.fromfile(tmp_path / 'out/vlpeft_recipe.json').model.adapter is None
    expected = [one.caption for one in CaptionInferencer(config, checkpoint)(made.files)]
    assert [one.caption for one in CaptionInferencer(tmp_path / 'out')(made.files)] == expected
