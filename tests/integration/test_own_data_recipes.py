"""The recipes for own data at tiny geometry, on the two files that docs/own_data.md asks for: train, validate, test."""

import json
import math

import pytest
import torch
from mmengine.runner import Runner

from tests import tiny_epalm
from tests.docs.markdown_pages import code_blocks, section
from tests.media import write_image
from tests.siglip import shrink_siglip_model
from tests.tiny import shrink_blip_model, write_blip_bases
from tests.vl_workspace import shrink_vl_model, write_vl_workspace
from tests.workspace import ROOT
from vlpeft.engine.run_config import RunConfig

RECIPES = sorted(path.name for path in (ROOT / 'configs/own_data').glob('*.py'))


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    root = write_vl_workspace(tmp_path_factory.mktemp('own'))
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
    write_blip_bases(root)
    tiny_epalm.write_vocabulary(root / 'opt')
    model = tiny_epalm.build_perceptual(torch.float32)
    for part in ('lm', 'encoder'):
        prefix = 'encoder.' if part == 'encoder' else ''
        state = {prefix + key: value for key, value in getattr(model, part).state_dict().items()}
        torch.save(state, root / f'opt_{part}.pth')
    return root


def shrink_model(model, root):
    if model.type == 'Retriever' and model.text.type == 'SiglipTextEncoder':
        return shrink_siglip_model(model, root)
    if model.type in ('Retriever', 'GenerativeVQA'):
        return shrink_blip_model(model, root)
    if model.type == 'VLSeq2Seq':
        return shrink_vl_model(model, root)
    tiny = tiny_epalm.perceptual_config('opt', str(root / 'opt'))
    model.update({key: tiny[key] for key in ('lm', 'vocab_size', 'vocabulary', 'encoder')})
    model.adapter.update(start=1, end=tiny_epalm.LAYERS - 1)
    model.base_checkpoint = {part: dict(source=str(root / f'opt_{part}.pth')) for part in ('lm', 'encoder')}
    for task in model.tasks.values():
        task.max_new_tokens = 4


@pytest.mark.parametrize('recipe', RECIPES)
def test_trains_validates_and_tests(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(workspace)
    cfg = RunConfig.read(ROOT / 'configs/own_data' / recipe)
    shrink_model(cfg.model, workspace)
    tower = cfg.model.get('vision') or cfg.model.get('encoder')
    size = tower.get('img_size') or tower.config.image_size
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=2)
        for step in loader.dataset.pipeline:
            if 'size' in step:
                step.size = size
            if 'num_frames' in step:
                step.num_frames = min(step.num_frames, 2)
    if cfg.test_evaluator.type == 'CaptionMetric':
        cfg.val_evaluator.tokenizer = cfg.test_evaluator.tokenizer = 'python'
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
    page = section((ROOT / 'docs/own_data.md').read_text(), recipe.split('_')[0])
    shown = '\n'.join(code_blocks(page, 'text')).partition('test, ')[2]
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
