"""A run of a tiny project, really trained and tested, in a folder that tells who trained it where."""

import json
from pathlib import Path

from mmengine.config import Config

from tests.commands import run_script
from tests.workspace import write_workspace

PUBLISH = 'tools/model_converters/publish_model.py'
USER = 'quentinx'
TOKEN = 'hf_abcdefghijklmnopqrstuvwxyz'


def trained(folder: Path, **model):
    """Trains and tests in ``folder``/home/USER/project.

    Returns:
        Config, checkpoint and result.
    """
    root = folder / 'home' / USER / 'project'
    config = write_workspace(root, **model)
    with config.open('a') as file:
        file.write(
            f'work_dir = {str(root / "runs")!r}\nrandomness = dict(seed=7)\n'
            f'visualizer = dict(name={TOKEN!r}, save_dir={str(root / "vis")!r})\n'
        )
    done = run_script('tools/train.py', config)
    assert done.returncode == 0, done.stderr
    checkpoint, result = root / 'runs/epoch_2.pth', root / 'result.json'
    done = run_script('tools/test.py', config, checkpoint, '--out', result)
    assert done.returncode == 0, done.stderr
    return config, checkpoint, result


def publish(*arguments):
    return run_script(PUBLISH, *arguments)


def with_intervals(result: Path, out: Path) -> Path:
    """The result with an interval of each metric, two to both sides."""
    content = json.loads(result.read_text())
    content['intervals'] = {name: [value - 2, value + 2] for name, value in content['metrics'].items()}
    out.write_text(json.dumps(content))
    return out


def base_of(config: Path) -> dict:
    return dict(source=Config.fromfile(config).model.base_checkpoint.source)
