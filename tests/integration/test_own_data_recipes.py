"""The recipes for own data at tiny geometry, on the two files that docs/own_data asks for: train, validate, test."""

import json
import math

import pytest
from mmengine.runner import Runner

from tests.docs.markdown_pages import code_blocks, section
from tests.media import write_image
from tests.own_data_workspace import tiny_recipe
from tests.workspace import ROOT

RECIPES = sorted(path.name for path in (ROOT / 'configs/own_data').glob('*.py'))


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp('own')
    folder = root / 'data/own'
    folder.mkdir(parents=True)
    lines = [
        dict(image=f'{i}.png', caption=['a red car', 'a car'], question='which colour?', answer='red', id=i)
        for i in range(4)
    ]
    for i in range(4):
        write_image(folder / f'{i}.png', seed=i)
    (folder / 'train.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    (folder / 'test.jsonl').write_text(json.dumps(lines, indent=2))
    return root


@pytest.mark.parametrize('recipe', RECIPES)
def test_trains_validates_and_tests(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(workspace)
    cfg = tiny_recipe(f'own_data/{recipe}', workspace, batch_size=2)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir, cfg.experiment_name = str(tmp_path), f'own_{recipe}'.removesuffix('.py')
    runner = Runner.from_cfg(cfg)
    runner.train()
    # Four images with two captions each, or one question each, in batches of two.
    assert runner.iter == (2 if 'questions' in recipe else 4)
    assert list(tmp_path.glob('best_*.pth'))
    metrics = runner.test()
    figures = [value for value in metrics.values() if not isinstance(value, str)]
    assert figures and all(math.isfinite(value) for value in figures)
    # The page shows what is printed for each task: all figures by their names.
    page = (ROOT / f'docs/own_data/{recipe.split("_")[0]}.md').read_text()
    shown = '\n'.join(code_blocks(section(page, 'test'), 'text'))
    assert [name for name in metrics if f' {name.rpartition("/")[2]} ' not in shown] == []
    found = runner.test_evaluator.metrics[0].predictions
    if recipe.startswith('retrieval'):
        assert [(row['direction'], row['query_id']) for row in found] == [
            *(('t2v', i) for i in range(8)),
            *(('v2t', i) for i in range(4)),
        ]
    else:
        assert [row.get('question_id', row.get('sample_id')) for row in found] == (
            [f'{i}.png' for i in range(4)] if 'captions' in recipe else [0, 1, 2, 3]
        )
