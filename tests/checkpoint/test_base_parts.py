"""A base of several files: each fills its own part, and what is left open or misnamed is an error."""

import hashlib
import logging
from collections import Counter

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from tests.tiny import SIZE, build_retriever, retriever_config
from tests.towers import ARCH, VISION, build
from vlpeft.checkpoint import Checkpoint, CheckpointError, checkpoint, translate
from vlpeft.checkpoint import base as base_loading
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS

ADAPTER = dict(type='UniAdapter', bottleneck=4)


@pytest.fixture
def files(tmp_path):
    """An EVA-02 as mmpretrain saves classifiers, of twice the image size, and a BLIP; with their state dicts."""
    eva = build(retriever_config(vision=dict(VISION['eva02'], img_size=2 * SIZE)), torch.float32, seed=1).vision
    backbone = {f'backbone.{key}': value for key, value in eva.state_dict().items()}
    torch.save(dict(state_dict={**backbone, 'head.fc.weight': torch.ones(3, 16)}, meta={}), tmp_path / 'eva.pth')
    blip = build_retriever(torch.float32, seed=2)
    state = {key: value.detach() for key, value in blip.named_parameters()}
    torch.save(get_dialect('blip').from_vlpeft(state), tmp_path / 'blip.pth')
    return dict(vision=str(tmp_path / 'eva.pth'), text=str(tmp_path / 'blip.pth')), eva, blip


def mixed(base):
    return MODELS.build(retriever_config(vision=VISION['eva02'], adapter=ADAPTER, base_checkpoint=base))


def test_each_file_fills_its_part_only(files):
    paths, eva, blip = files
    model = mixed({name: dict(source=path) for name, path in paths.items()})
    found, wanted = dict(model.vision.named_parameters()), dict(eva.named_parameters())
    assert set(found) == set(wanted)
    for name, value in found.items():
        if name != 'pos_embed':
            assert torch.equal(value, wanted[name]), name
    assert found['pos_embed'].shape[1] == 5 and wanted['pos_embed'].shape[1] == 17
    assert torch.equal(found['pos_embed'][:, 0], wanted['pos_embed'][:, 0])
    for name, value in model.text.named_parameters():
        assert torch.equal(value, dict(blip.text.named_parameters())[name])
    assert not torch.equal(model.itc_head.text_proj.weight, blip.itc_head.text_proj.weight)
    hashes = [file_sha256(paths[name]) for name in ('vision', 'text')]
    assert model.base == dict(name='eva.pth + blip.pth', sha256=hashlib.sha256(''.join(hashes).encode()).hexdigest())


def test_heads_may_have_a_source_and_a_file_counts_once(files):
    paths, _, blip = files
    parts = dict(paths, itc_head=paths['text'])
    model = mixed({name: dict(source=path) for name, path in reversed(parts.items())})
    assert torch.equal(model.itc_head.text_proj.weight, blip.itc_head.text_proj.weight)
    assert model.base['name'] == 'eva.pth + blip.pth'
    whole = MODELS.build(
        retriever_config(base_checkpoint={name: dict(source=paths['text']) for name in ('vision', 'text')})
    )
    assert whole.base == dict(name='blip.pth', sha256=file_sha256(paths['text']))


def test_faults_are_named(files):
    paths = files[0]
    takes = r'a source for each of the backbones vision, text and, if wanted, of the heads itc_head, itm_head'
    for base, message in [
        (dict(text=dict(source=paths['text'])), f'names text; it takes source=.*{takes}'),
        (dict({name: dict(source=path) for name, path in paths.items()}, sound=dict(source='x')), 'text, sound; it t'),
        (dict(source=paths['text'], vision=dict(source=paths['vision'])), 'a source of its own and also vision'),
        (dict(vision=dict(source=paths['text']), text=dict(source=paths['text'])), 'blip.pth'),
        (dict(vision=dict(source=paths['vision'], sha256='0' * 64), text=dict(source=paths['text'])), 'sha256'),
    ]:
        with pytest.raises(CheckpointError, match=message):
            mixed(base)


def test_a_vision_backbone_is_read_and_written_as_mmpretrain_names_it():
    vision = MODELS.build(dict(VISION['dinov2'], arch=ARCH))
    state = {f'vision.{key}': value for key, value in vision.state_dict().items()}
    model = nn.ModuleDict(dict(vision=vision, text=nn.Linear(1, 1)))
    others = {'text.weight': torch.ones(1, 1), 'adapter.y': torch.ones(1)}
    written = to_layout('mmpretrain_backbone', {**state, **others}, model)
    assert set(written.content['state_dict']) == {f'backbone.{key}' for key in vision.state_dict()}
    assert written.left_out == {'the layout holds vision alone': list(others)}
    assert translate.translate(Checkpoint.of(written.content)).state == state


def test_clips_layout_is_read_only():
    with pytest.raises(CheckpointError, match='read only'):
        get_dialect('clip').from_vlpeft({})


def test_reports_name_only_what_is_missing_or_unread(files):
    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    lines, logger = [], MMLogger.get_current_instance()
    logger.addHandler(handler := Lines())
    base = {name: dict(source=files[0]['text']) for name in ('vision', 'text')}
    MODELS.build(retriever_config(adapter=ADAPTER, base_checkpoint=base))
    logger.removeHandler(handler)
    text = '\n'.join(lines)
    assert 'missing in' not in text and 'unexpected in' not in text
    assert 'not read, only text is taken from this file: vision.cls_token' in text


def test_a_file_goes_each_step_once(files, monkeypatch):
    """From the file to the model: fetched, read, recognised, translated, held against the model, hashed."""
    steps = Counter()

    def counted(module, name):
        step = getattr(module, name)

        def count(*args, **kwargs):
            steps[name] += 1
            return step(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    for module, name in (
        (base_loading, 'fetch'),
        (checkpoint, 'read_checkpoint'),
        (translate, 'detect'),
        (base_loading, 'translate'),
        (base_loading, 'fit'),
        (base_loading, 'fit_model'),
        (base_loading, 'file_identity'),
        (base_loading, 'put'),
    ):
        counted(module, name)
    paths = files[0]
    mixed({name: dict(source=path) for name, path in paths.items()})
    once = ('fetch', 'read_checkpoint', 'detect', 'translate', 'file_identity', 'put')
    assert steps == dict.fromkeys((*once, 'fit'), len(paths))
    steps.clear()
    MODELS.build(retriever_config(base_checkpoint=dict(source=paths['text'])))
    assert steps == dict.fromkeys((*once, 'fit_model'), 1)
