"""One rule for everything that takes a checkpoint: what it must fill, what it must have read, and what is said."""

import json
import logging
import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

import vlpeft
from tests.commands import run_script
from tests.tiny import build_retriever
from tests.workspace import LORA, write_child, write_workspace
from tools.model_converters import convert_checkpoint
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.coverage import random_parts
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.engine.messages import run_main
from vlpeft.engine.run_config import RunConfig
from vlpeft.registry import MODELS

BOTH = 'LoRA of a Retriever, the config is UniAdapter of a Retriever'
UNIADAPTER = dict(type='UniAdapter', bottleneck=4)


def make_runner(config, folder, name, **options) -> Runner:
    cfg = RunConfig.read(config)
    cfg.merge_from_dict(
        dict({'train_cfg.max_epochs': 1}, **options, work_dir=str(folder / name), experiment_name=f'{folder}/{name}')
    )
    return Runner.from_cfg(cfg)


class Notes(logging.Handler):
    """Keeps what is logged, warnings apart."""

    def __init__(self, logger):
        super().__init__()
        self.lines, self.warnings = [], []
        logger.addHandler(self)

    def emit(self, record):
        self.lines.append(record.getMessage())
        if record.levelno >= logging.WARNING:
            self.warnings.append(record.getMessage())


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Configs of three methods on one base, a checkpoint of LoRA and one of heads as runs leave them, and a whole
    UniAdapter in the released layout with its model."""
    folder = tmp_path_factory.mktemp('methods')
    config = write_workspace(folder / 'work', sampling='middle')
    configs = dict(
        uniadapter=config,
        lora=write_child(folder / 'lora.py', config, adapter=dict(LORA, _delete_=True)),
        heads=write_child(folder / 'heads.py', config, adapter=None),
        bare=write_child(folder / 'bare.py', config, base_checkpoint=None),
    )
    for name in ('lora', 'heads'):
        make_runner(configs[name], folder, name).train()
    model = build_retriever(torch.float32, seed=4, adapter=UNIADAPTER, frame_aware=True)
    released = folder / 'released.pth'
    torch.save(get_dialect('uniadapter').from_vlpeft(model.state_dict()), released)
    configs['on_released'] = write_child(folder / 'on_released.py', config, base_checkpoint=dict(source=str(released)))
    checkpoints = {name: folder / name / 'epoch_1.pth' for name in ('lora', 'heads')}
    return folder, configs, dict(checkpoints, released=released), model


def run_test(place, config, checkpoint, *options):
    """Runs tools/test.py; returns (exit code, metrics or None, everything printed)."""
    folder, configs, checkpoints, _ = place
    out = folder / 'out.json'
    out.unlink(missing_ok=True)
    arguments = [configs[config], checkpoints.get(checkpoint, checkpoint), '--out', out, '--work-dir', folder / 'test']
    done = run_script('tools/test.py', *arguments, *options)
    return done.returncode, json.loads(out.read_text())['metrics'] if out.exists() else None, done.stdout + done.stderr


def test_another_method_is_refused_by_the_test_tool(place):
    code, metrics, text = run_test(place, 'uniadapter', 'lora')
    assert code != 0 and metrics is None and 't2v_R@1: ' not in text
    line = text.strip().splitlines()[-1]
    assert BOTH in line and 'epoch_1.pth' in line
    assert re.search(r'leaves 24 parameters unfilled: adapter \(24\): adapter.layers.0', line)
    assert re.search(r'\d+ of its keys would not be read: adapter \(\d+\): adapter\.', line)


def test_every_other_way_in_keeps_the_same_rule(place, tmp_path, capsys):
    folder, configs, checkpoints, _ = place
    for name, options in (('start', {}), ('resume', dict(resume=True))):
        runner = make_runner(configs['uniadapter'], tmp_path, name, load_from=str(checkpoints['lora']), **options)
        before = {key: value.clone() for key, value in runner.model.state_dict().items()}
        with pytest.raises(CheckpointError, match=BOTH):
            runner.train()
        assert all(value.equal(before[key]) for key, value in runner.model.state_dict().items())
    for load in (vlpeft.get_model, vlpeft.RetrievalInferencer):
        with pytest.raises(CheckpointError, match=BOTH):
            load(str(configs['uniadapter']), str(checkpoints['lora']))
    target = tmp_path / 'converted.pth'
    command = [str(checkpoints['lora']), str(target), '--config', str(configs['uniadapter'])]
    assert run_main(lambda: convert_checkpoint.main(command)) == 1
    assert BOTH in capsys.readouterr().err and not target.exists()
    # A file of heads leaves the method random, a released one is read by no other method.
    for config, checkpoint, message in (
        ('uniadapter', 'heads', 'holds heads of a Retriever, the config is UniAdapter .* leaves 24 parameters'),
        ('lora', 'released', 'holds the uniadapter layout, the config is LoRA .* 24 of its keys would not be read'),
        ('heads', 'lora', 'holds LoRA of a Retriever, the config is heads of a Retriever: .* would not be read'),
    ):
        with pytest.raises(CheckpointError, match=message):
            vlpeft.get_model(str(configs[config]), str(checkpoints[checkpoint]))


def test_training_may_start_from_a_part_and_says_what_is_new(place, tmp_path):
    folder, configs, checkpoints, _ = place
    runner = make_runner(configs['uniadapter'], tmp_path, 'from heads', load_from=str(checkpoints['heads']))
    notes = Notes(runner.logger)
    runner.train()
    news = [line for line in notes.warnings if 'come from no file' in line]
    assert len(news) == 1 and '24 parameters of UniAdapter of a Retriever' in news[0] and 'adapter (24)' in news[0]
    saved = torch.load(tmp_path / 'from heads/epoch_1.pth')
    assert saved['meta']['method'] == 'UniAdapter of a Retriever'
    # Heads that the model does not have are left out with a warning.
    cfg = write_child(tmp_path / 'features.py', configs['heads'], itm_head=None, frame_aware=False)
    cfg.write_text(cfg.read_text() + 'val_cfg = dict(k_test=0)\n')
    runner = make_runner(cfg, tmp_path, 'features', load_from=str(checkpoints['heads']))
    notes = Notes(runner.logger)
    runner.train()
    assert any('does not have are left out: itm_head (2)' in line for line in notes.warnings)


def test_a_released_file_as_base_fills_the_method(place):
    _, configs, checkpoints, wanted = place
    model = MODELS.build(RunConfig.read(configs['on_released']).model)
    for key, value in wanted.named_parameters():
        assert model.get_parameter(key).equal(value), key
    assert model.base['name'] == 'released.pth'
    notes = Notes(MMLogger.get_current_instance())
    other = vlpeft.get_model(str(configs['lora']), 'base', base_checkpoint=dict(source=str(checkpoints['released'])))
    assert other.vision.cls_token.equal(wanted.vision.cls_token)
    unread, random = notes.warnings
    assert re.search(r'released.pth holds 24 keys that LoRA of a Retriever does not read: adapter \(24\)', unread)
    assert re.search(r'parameters of LoRA of a Retriever come from no file .*: adapter \(\d+\): adapter', random)
    for key, value in wanted.momentum.named_buffers():
        assert model.momentum.get_buffer(key).equal(value), key


def test_a_released_file_alone_is_enough(place, tmp_path):
    folder, configs, checkpoints, _ = place
    code, metrics, text = run_test(place, 'on_released', 'none')
    assert code == 0, text
    assert 'come from no file' not in text and 'missing in' not in text and 'unexpected in' not in text
    code, alone, text = run_test(place, 'bare', 'released')
    assert code == 0, text
    assert alone == metrics and 'missing in' not in text and 'unexpected in' not in text
    # Training starts from it, and what no base brings back is in the checkpoint.
    runner = make_runner(configs['bare'], tmp_path, 'alone', load_from=str(checkpoints['released']))
    notes = Notes(runner.logger)
    runner.train()
    assert not any('come from no file' in line or 'not read' in line for line in notes.warnings)
    saved = torch.load(tmp_path / 'alone/epoch_1.pth')
    assert saved['meta']['base'] is None and 'vision.layers.0.attn.qkv.weight' in saved['state_dict']
    again = make_runner(configs['bare'], tmp_path, 'again', load_from=str(tmp_path / 'alone/epoch_1.pth'))
    assert again.test() == runner.val_loop.run()


def test_what_is_random_is_an_error_of_the_test_tool_unless_allowed(place):
    code, metrics, text = run_test(place, 'uniadapter', 'none')
    assert code != 0 and metrics is None
    line = text.strip().splitlines()[-1]
    assert '24 parameters of UniAdapter of a Retriever come from no file' in line and '--allow-random' in line
    code, metrics, text = run_test(place, 'uniadapter', 'none', '--allow-random')
    assert code == 0 and metrics
    assert any(line.startswith('warning: 24') and 'adapter (24)' in line for line in text.splitlines())
    code, with_heads, text = run_test(place, 'uniadapter', 'heads', '--allow-random')
    assert code == 0 and with_heads != metrics
    assert any(line.startswith('warning: 24') and 'adapter (24)' in line for line in text.splitlines())


def test_frozen_weights_that_are_not_the_bases_are_saved(place, tmp_path):
    """A run that starts from other frozen weights than its base's comes back as it was."""
    _, configs, checkpoints, wanted = place
    runner = make_runner(configs['uniadapter'], tmp_path, 'a', load_from=str(checkpoints['released']))
    assert not runner.model.vision.cls_token.equal(wanted.vision.cls_token)
    runner.train()
    assert runner.model.vision.cls_token.equal(wanted.vision.cls_token)
    again = make_runner(configs['uniadapter'], tmp_path, 'b', load_from=str(tmp_path / 'a/epoch_1.pth'))
    again.load_or_resume()
    for key, value in runner.model.named_parameters():
        assert again.model.get_parameter(key).equal(value), key


def test_a_frozen_random_backbone_still_stops_training(place, tmp_path):
    runner = make_runner(place[1]['bare'], tmp_path, 'bare')
    with pytest.raises(RuntimeError, match=r'frozen but has random weights \(text.embeddings'):
        runner.train()


def test_parts_that_are_left_frozen_must_not_be_random(place, tmp_path):
    """Heads that are not declared to train and embeddings, in runs from scratch."""

    def runner_of(name, trainable, **options):
        config = write_child(tmp_path / f'{name}.py', place[1]['heads'], trainable=trainable, **options)
        return make_runner(config, tmp_path, name)

    towers = [dict(parts='all', towers=['vision', 'text'])]
    with pytest.raises(RuntimeError, match=r"heads are frozen but have random weights \(itc_head.*add 'heads' to"):
        runner_of('towers', towers, base_checkpoint=None).train()
    with pytest.raises(RuntimeError, match=r'frozen but has random weights \(text.embeddings'):
        runner_of('words', [dict(parts='all', but=['embeddings'])], base_checkpoint=None).train()
    # The base has heads.
    runner = runner_of('given', towers)
    runner.train()
    assert runner.model.left_out and {name.partition('.')[0] for name in runner.model.declared} == {'vision', 'text'}
    saved = torch.load(tmp_path / 'given/epoch_1.pth', weights_only=True)['state_dict']
    assert runner.model.declared <= set(saved)


def test_a_run_from_scratch_is_a_whole_base_for_the_next(place, tmp_path):
    _, configs, _, _ = place
    scratch = write_child(tmp_path / 'scratch.py', configs['heads'], trainable='all', base_checkpoint=None)
    runner = make_runner(scratch, tmp_path, 'scratch')
    notes = Notes(runner.logger)
    runner.train()
    assert any('all weights of a Retriever come from no file' in line for line in notes.warnings)
    base = dict(source=str(tmp_path / 'scratch/epoch_1.pth'))
    following = write_child(tmp_path / 'next.py', configs['heads'], base_checkpoint=base)
    model = MODELS.build(RunConfig.read(following).model)
    assert random_parts(model) == []
    for name, param in runner.model.named_parameters():
        assert model.get_parameter(name).equal(param), name
