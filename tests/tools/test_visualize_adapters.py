"""vlpeft adapters: a checkpoint of a config with and without its base, an adapter folder, on data; and refusals."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import vlpeft
from tests.commands import run_script
from tests.workspace import LORA, write_child, write_workspace
from tools.analysis_tools import visualize_adapters
from tools.model_converters import export
from vlpeft.apis.build import empty_model
from vlpeft.visualization.depth_maps import draw_depth_maps, short

TOOL = 'tools/analysis_tools/visualize_adapters.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """(config, checkpoint) of a LoRA with random weights."""
    folder = tmp_path_factory.mktemp('run')
    config = write_workspace(folder, adapter=LORA, frame_aware=False)
    model = empty_model(config)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(param.shape, generator=generator) / 4
        for name, param in model.named_parameters()
        if name in model.declared
    }
    torch.save(dict(state_dict=state, meta={}), folder / 'trained.pth')
    return config, folder / 'trained.pth'


def shown(*arguments):
    done = run_script(TOOL, *arguments, '--json')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_checkpoint_with_its_base_and_without(run, tmp_path):
    whole = shown(*run, '--out', tmp_path / 'a.png')
    bare = shown(*run, '--out', tmp_path / 'b.png', '--no-base')
    state = torch.load(run[1], weights_only=True)['state_dict']
    change = (
        state['adapter.layers.text_1_self_attn_q.up.weight'] @ state['adapter.layers.text_1_self_attn_q.down.weight']
    )
    for found in (whole, bare):
        (size,) = [
            size
            for size in found['sizes']
            if (size['tower'], size['depth'], size['part']) == ('text', 1, 'self_attn q')
            and size['quantity'] == 'weight_change'
        ]
        assert size['value'] == pytest.approx(float(change.double().norm()), rel=1e-5)
    quantities = [{size['quantity'] for size in found['sizes']} for found in (whole, bare)]
    assert quantities == [{'weight_change', 'relative_weight_change'}, {'weight_change'}]
    assert np.asarray(Image.open(tmp_path / 'a.png')).std() > 10


def test_on_data_and_as_a_table(run, tmp_path):
    done = run_script(TOOL, *run, '--data', 2, '--out', tmp_path / 'c.png')
    assert done.returncode == 0, done.stderr
    assert done.stderr == '' and 'note:' not in done.stdout
    more = run_script(TOOL, *run, '--data', 99, '--out', tmp_path / 'c.png')
    assert re.search(r'note: the training data has \d batches, fewer than --data 99', more.stdout)
    for text in ('relative weight change', 'measured on data', 'vision self_attn q', 'picture:'):
        assert text in ' '.join(done.stdout.split())


def test_an_adapter_folder(tmp_path):
    from transformers import OPTConfig, OPTForCausalLM

    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=16)
    model = OPTForCausalLM(OPTConfig(vocab_size=30, **sizes))
    model.save_pretrained(tmp_path / 'model')
    handle = vlpeft.attach(model, dict(type='IA3', targets={}), check_after=0)
    for param in handle.sets['default'].parameters():
        torch.nn.init.constant_(param, 1.5)
    handle.save(tmp_path / 'adapter')
    found = shown(tmp_path / 'model', tmp_path / 'adapter', '--out', tmp_path / 'd.png')
    relative = [size['value'] for size in found['sizes'] if size['quantity'] == 'relative_weight_change']
    # A factor of 1.5 changes each weight by half of it.
    assert relative == pytest.approx([0.5] * 6)


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--data', '-1'], '--data must be at least 0, got -1'),
        (['--data', '1', '--no-base'], '--data runs the model'),
        (['--out', 'a.jpg'], 'must end with one of .png, .pdf, .svg'),
    ],
)
def test_wrong_arguments_are_one_line(run, arguments, said):
    done = run_script(TOOL, *run, *arguments)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_config_without_a_method_and_a_file_of_another_one(run, tmp_path):
    config, checkpoint = run
    heads = write_child(tmp_path / 'heads.py', config, adapter=None)
    done = run_script(TOOL, heads, checkpoint, '--no-base', '--out', tmp_path / 'e.png')
    assert done.returncode == 1 and 'has no method (model.adapter)' in done.stderr
    done = run_script(
        TOOL, config, checkpoint, '--no-base', '--out', tmp_path / 'e.png', '--cfg-options', 'model.adapter.rank=3'
    )
    assert done.returncode == 1 and 'does not fit the method of' in done.stderr
    assert not (tmp_path / 'e.png').exists()


def test_pictures_of_odd_grids(tmp_path):
    panels = {
        'a quantity with a name that is longer than usual, in some unit of its own': {
            'a tower with a long name, part of it': {0: 1.0, 30: -2.0, None: 3.0},
            'another': {None: float('nan')},
        },
        'constant': {'row': {0: 1e-9}},
    }
    draw_depth_maps(tmp_path / 'below/f.png', panels, title='t')
    image = np.asarray(Image.open(tmp_path / 'below/f.png').convert('L'), int)
    assert min(image[:, :2].min(), image[:, -2:].min(), image[:2].min(), image[-2:].min()) > 240
    assert [short(value) for value in (0, 0.0316, 1.2e-5, 1432.0, 12.34)] == ['0', '0.032', '1.2e-5', '1.4e3', '12.3']


@pytest.mark.parametrize('tool', [export, visualize_adapters])
def test_a_folder_without_an_adapter_is_refused_before_a_model_is_looked_for(tmp_path, capsys, tool):
    with pytest.raises(SystemExit):
        tool.parse_args(['owner/model', str(tmp_path), str(tmp_path / 'out')][: 2 + (tool is export)])
    assert f'{tmp_path} is a folder without an adapter' in capsys.readouterr().err
