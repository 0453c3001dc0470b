"""README's table of methods and backbones: recipes are what their cells say, lines run, what it denies is refused."""

import re

import pytest
import torch

from tests import tiny_epalm, tiny_vl, towers
from tests.docs.markdown_pages import code_blocks, section, table_rows
from tests.tiny import random_batch, random_questions, randomise, shrink_blip_model, write_vocabulary
from tests.vl_workspace import shrink_vl_model
from tests.workspace import ROOT
from vlpeft.adaptation.trainable import declared_texts
from vlpeft.engine.config_file import read_config
from vlpeft.registry import MODELS

#: What the first word of a row says of the adapter and of what trains, as in a config.
METHODS = dict(
    UniAdapter=dict(adapter=dict(type='UniAdapter')),
    VL=dict(adapter=dict(type='VLPET')),
    eP=dict(adapter=dict(type='EPALM', levels=6, start=19, end=31)),
    LoRA=dict(adapter=dict(type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v']))),
    bottlenecks=dict(adapter=dict(type='Bottleneck', targets=dict())),
    heads=dict(adapter=None, trainable='heads'),
    full=dict(adapter=None, trainable='all'),
)
BACKBONES = {
    'BLIP, retrieval': dict(type='Retriever', text='BlipTextEncoder'),
    'BLIP, questions': dict(type='GenerativeVQA', text='BlipTextEncoder'),
    'CLIP, retrieval': dict(type='Retriever', text='ClipTextEncoder'),
    'BART, text generation': dict(type='VLSeq2Seq', lm='bart'),
    'T5, text generation': dict(type='VLSeq2Seq', lm='t5'),
    'OPT, text generation': dict(type='PerceptualLM', lm='opt'),
}
HEAD, *ROWS = table_rows(section((ROOT / 'README.md').read_text(), 'what-runs'))
CELLS = {(re.search(r'\w+', row[0])[0], backbone): cell for row in ROWS for backbone, cell in zip(HEAD[1:], row[1:])}
LINES = (ROOT / 'docs/combinations.md').read_text()


def target(cell: str) -> str:
    return re.fullmatch(r'\[[✓○]\]\((.+)\)', cell)[1]


def cells(mark: str) -> list:
    return [pytest.param(*key, id='-'.join(key)) for key, cell in CELLS.items() if mark in cell]


def config_of(method: str, backbone: str, tmp_path):
    """The recipe that a cell links to, or the config that its line is."""
    cell = CELLS[method, backbone]
    if '✓' in cell:
        return read_config(ROOT / target(cell))
    page, anchor = target(cell).split('#')
    assert page == 'docs/combinations.md'
    (line,) = code_blocks(section(LINES, anchor), 'python')
    path = tmp_path / 'mine.py'
    path.write_text(line)
    return read_config(path)


def assert_is(model, method: str, backbone: str) -> None:
    """The model of a config is of the method and backbone of its cell."""
    wanted = BACKBONES[backbone]
    assert model.type == wanted['type']
    if 'text' in wanted:
        assert model.text.type == wanted['text']
    else:
        assert model.lm == 'facebook/opt-2.7b' or model.lm.model_type == wanted['lm']
    adapters = model.get('adapter') or []
    adapters = [part['type'] for part in (adapters if isinstance(adapters, list) else [adapters])]
    # Beside 'heads' it may name norms, as VL-PET does.
    assert declared_texts(model.get('trainable', 'heads'))[0] == METHODS[method].get('trainable', 'heads')
    if METHODS[method]['adapter'] is None:
        assert adapters == []
    else:
        assert METHODS[method]['adapter']['type'] in adapters


def test_the_table_is_complete():
    assert set(HEAD[1:]) == set(BACKBONES) and {key[0] for key in CELLS} == set(METHODS)
    assert all(cell == '–' or re.match(r'\[[✓○]\]', cell) for cell in CELLS.values())
    linked = {target(cell).partition('#')[2] for cell in CELLS.values() if '○' in cell}
    assert len(linked) == len(code_blocks(LINES, 'python')), 'a line that no cell leads to'


@pytest.mark.parametrize('method, backbone', cells('✓'))
def test_recipes_are_what_their_cells_say(method, backbone, tmp_path):
    # tests/apis/test_zoo_files.py builds every recipe at full size.
    assert_is(config_of(method, backbone, tmp_path).model, method, backbone)


def shrink(model, backbone: str, root) -> tuple:
    """Gives a config's model a tiny geometry; a batch for it."""
    if backbone.startswith('CLIP'):
        tiny = towers.dual_config(towers.write_clip_vocabulary(root / 'vocabulary'))
        model.update({name: tiny[name] for name in ('vision', 'text', 'vocabulary', 'itc_head')})
        return towers.letter_batch()
    if backbone.startswith('BLIP'):
        shrink_blip_model(model, root)
        write_vocabulary(root / 'vocabulary')
        return (random_questions if 'questions' in backbone else random_batch)()
    if backbone.startswith('OPT'):
        tiny = tiny_epalm.perceptual_config('opt', tiny_epalm.write_vocabulary(root / 'opt'))
        model.update({key: tiny[key] for key in ('lm', 'vocab_size', 'vocabulary', 'encoder')})
        for part in model.adapter or ():
            if part.type == 'EPALM':
                part.update(start=1, end=tiny_epalm.LAYERS - 1)
        return torch.randn(3, 1, 3, 16, 16, dtype=torch.float64), tiny_epalm.random_samples()
    shrink_vl_model(model, root)
    tiny_vl.write_tokenizer(root / model.lm.model_type, model.lm.model_type)
    return tiny_vl.random_samples()


@pytest.mark.parametrize('method, backbone', cells('○'))
def test_lines_build_and_train(method, backbone, tmp_path):
    model = config_of(method, backbone, tmp_path).model
    assert_is(model, method, backbone)
    model.base_checkpoint = None
    with torch.device('meta'):
        assert MODELS.build(model.copy()).declared
    batch = shrink(model, backbone, tmp_path)
    model.base_checkpoint = None
    small = randomise(MODELS.build(model).double())
    losses = small.train()(*batch, mode='loss')
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    gradients = {name: param.grad for name, param in small.named_parameters() if name in small.declared}
    idle = [name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()]
    # VL-T5's boxes are zeros where there are none, and so is the gradient of the map that reads them.
    idle += [name for name, grad in gradients.items() if name.startswith('adapter.') and not grad.any()]
    assert gradients and idle == []


@pytest.mark.parametrize('method, backbone', cells('–'))
def test_what_the_table_denies_is_refused(method, backbone, tmp_path):
    ready = next(name for name in METHODS if '✓' in CELLS[name, backbone])
    cfg = config_of(ready, backbone, tmp_path)
    for key, value in dict(METHODS[method], base_checkpoint=None).items():
        cfg.model[key] = value
    with torch.device('meta'), pytest.raises(ValueError, match='attaches to|needs a tower|has one module'):
        MODELS.build(cfg.model)
