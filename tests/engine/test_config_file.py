"""Python configs are programs; reading YAML and JSON configs runs nothing, whatever they and their bases say."""

import json

import pytest
from mmengine.config import Config

from vlpeft.engine.config_file import ConfigFileError, read_config
from vlpeft.engine.launch import load_config


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_yaml_and_json_say_what_python_says(tmp_path):
    """Bases, values of bases and predefined texts as MMEngine's reader has them."""
    written(tmp_path, 'base.yml', 'lr: 0.5\nmodel: {type: Retriever, text: {width: 4, depth: 2}}\n')
    written(tmp_path, 'middle.json', json.dumps(dict(_base_='base.yml', model=dict(text=dict(depth=3)))))
    path = written(
        tmp_path,
        'top.yaml',
        '_base_: [middle.json]\nwork_dir: "runs/{{ fileBasenameNoExtension }}"\n'
        'optimizer: {type: mmengine.AdamW, lr: {{_base_.lr}} }\n',
    )
    cfg = read_config(path)
    assert cfg.model.to_dict() == dict(type='Retriever', text=dict(width=4, depth=3))
    assert cfg.work_dir == 'runs/top' and cfg.optimizer.lr == 0.5
    # `lr` is only used while the file is read; overriding what was made from it counts.
    assert load_config(str(path), {'model.text.width': 8}).model.text.width == 8
    assert cfg.to_dict() == Config.fromfile(path).to_dict()


RUN = "!!python/object/apply:os.mkdir ['{marker}']"


@pytest.mark.parametrize(
    'name, text, problem',
    [
        ('a.yaml', f'model: 1\nlr: {RUN}\n', r'a\.yaml:2: not plain YAML .*python/object'),
        ('a.yml', f'_base_: {RUN}\n', r'a\.yml:1: not plain YAML'),
        ('a.yaml', '_base_: run.yml\n', r'run\.yml:1: not plain YAML'),
        ('a.yaml', '_base_: run.py\n', r"'run\.py' is no YAML or JSON"),
        ('a.json', '{"_base_": ["mmpretrain::resnet/resnet18_8xb32_in1k.py"]}', 'is no YAML or JSON'),
        ('a.yaml', 'x: {custom_imports: {imports: [run]}}\n', r'x\.custom_imports imports modules'),
        ('a.json', '{"hooks": [{"type": "os.mkdir", "path": "{marker}"}]}', r"hooks\.0\.type='os\.mkdir'"),
        ('a.yaml', 'model: {type: mmengine.load, file: x.pkl}\n', r"model\.type='mmengine\.load'"),
        ('a.yaml', 'optim_wrapper: {constructor: run.Runs}\n', r"constructor='run\.Runs'"),
        ('a.yaml', 'collate_fn: {type: vlpeft.testing}\n', r"collate_fn\.type='vlpeft\.testing'"),
        ('a.yaml', '_base_: named.json\nmodel: {type: {{_base_.name}} }\n', r"model\.type='os\.mkdir'"),
        ('a.yaml', 'runner_type: run.Runs\n', 'runner_type'),
        ('a.yaml', 'model: {type: X, _scope_: run}\n', r"model\._scope_='run'; choose from vlpeft"),
        ('a.yaml', 'source: "http://host/{{$HOME:x}}"\n', 'source asks for an environment variable'),
        ('a.yaml', 'a: [1, 2\nb: 3\n', r'a\.yaml:\d: not plain YAML'),
        ('a.json', '{"a": 1,\n}', r'a\.json:2: not plain JSON'),
        ('a.json', '[' * 100_000, 'not plain JSON'),
        (
            'a.yaml',
            'a: &a [1]\n'
            + ''.join(f'b{i}: &b{i} [{", ".join([f"*b{i - 1}" if i else "*a"] * 9)}]\n' for i in range(12)),
            'more than 100,000 settings',
        ),
        ('a.yaml', 'a: &a [*a]\n', 'holds itself'),
        ('a.yaml', '_base_: a.yaml\n', 'inherits itself'),
        ('a.yaml', 'just a text', 'holds no settings, but str'),
        ('a.yaml', '_base_: nowhere.yaml\n', r'nowhere\.yaml does not exist, which .*a\.yaml inherits'),
    ],
)
def test_what_only_a_program_may_is_refused(tmp_path, monkeypatch, name, text, problem):
    marker = tmp_path / 'marker'
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path, 'run.py', f'import os\nos.mkdir({str(marker)!r})\n')
    written(tmp_path, 'run.yml', RUN.replace('{marker}', str(marker)))
    written(tmp_path, 'named.json', '{"name": "os.mkdir"}')
    path = written(tmp_path, name, text.replace('{marker}', str(marker)))
    with pytest.raises((ConfigFileError, FileNotFoundError), match=problem) as error:
        read_config(path)
    assert '\n' not in str(error.value)
    assert not marker.exists()


def test_a_python_config_runs_but_its_yaml_base_does_not(tmp_path):
    marker = tmp_path / 'marker'
    written(tmp_path, 'base.yaml', RUN.replace('{marker}', str(marker)))
    path = written(tmp_path, 'top.py', "_base_ = 'base.yaml'\n")
    with pytest.raises(Exception, match='python/object'):
        read_config(path)
    assert not marker.exists()
    written(tmp_path, 'top.py', f'_base_ = []\n__import__("os").mkdir({str(marker)!r})\n')
    read_config(path)
    assert marker.exists()


def test_functions_that_join_samples_are_data(tmp_path):
    written(tmp_path, 'a.yaml', 'collate_fn: {type: vlpeft.collate_clips}\n')
    assert read_config(tmp_path / 'a.yaml').collate_fn.type == 'vlpeft.collate_clips'


@pytest.mark.parametrize('name', ['recipe', 'recipe.txt'])
def test_files_of_another_suffix_are_no_configs(tmp_path, name):
    with pytest.raises(ConfigFileError, match='is no config by its suffix; known: .py, .yaml, .yml, .json'):
        read_config(written(tmp_path, name, RUN))
