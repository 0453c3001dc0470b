"""A setting that a class does not take is one line with its place, in every command that builds a part of a config."""

import pytest

from tests.commands import run_script

MODEL = """
model = dict(
    type='ImageTextLM',
    model=dict(model_type='llava'),
    processor='nowhere',
    tasks=dict(chat=dict(max_tokens=4)),
    {wrong}
)
data = dict(type='JSONLChat', data_root='.', ann_fil='train.jsonl', pipeline=[])
train_dataloader = dict(dataset=data)
"""
COMMANDS = {
    'analysis_tools/count_params.py': (),
    'analysis_tools/estimate_memory.py': (),
    'model_converters/export.py': ('run.pth', 'out'),
}


@pytest.mark.parametrize('tool', COMMANDS)
def test_of_a_model(tmp_path, tool):
    config = tmp_path / 'config.py'
    config.write_text(MODEL.format(wrong="proccessor='nowhere'"))
    done = run_script(f'tools/{tool}', config, *COMMANDS[tool])
    assert done.returncode == 1
    assert "model.proccessor: ImageTextLM takes no 'proccessor'; did you mean processor?" in done.stderr
    assert 'Traceback' not in done.stderr


def test_of_a_task(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(MODEL.format(wrong=''))
    done = run_script('tools/analysis_tools/count_params.py', config)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "tasks.chat: there is no setting 'max_tokens'; did you mean max_new_tokens?" in done.stderr


def test_of_a_data_set(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(MODEL.format(wrong=''))
    done = run_script('tools/analysis_tools/check_dataset.py', config)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "train_dataloader.dataset.ann_fil: JSONLChat takes no 'ann_fil'; did you mean ann_file?" in done.stderr
