"""The sets of every recipe are found and built; without data each is a refused set, and no recipe a mistake."""

import pytest

from tests.datasets import epalm_files, seq2seq_files
from tests.workspace import ROOT
from vlpeft.datasets.checking import check, read_sets
from vlpeft.engine.launch import load_config

RECIPES = sorted(
    path.relative_to(ROOT / 'configs') for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts
)


@pytest.mark.parametrize('method', sorted({path.parts[0] for path in RECIPES}))
def test_sets_of_recipes(method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for recipe in RECIPES:
        if recipe.parts[0] != method:
            continue
        cfg = load_config(str(ROOT / 'configs' / recipe)).to_dict()
        if 'train_dataloader' not in cfg and 'test_dataloader' not in cfg:
            continue
        sets = read_sets(cfg)
        assert all('does not exist' in entry.error or 'no such file' in entry.error for entry in sets), recipe
        assert {split for entry in sets for split in entry.splits} == {
            split for split in ('train', 'val', 'test') if cfg.get(f'{split}_dataloader')
        }
        written = str(cfg)
        assert all(entry.config['type'] in written for entry in sets)


@pytest.mark.parametrize(
    'recipe, tree, files',
    [
        ('vl_pet/vlpet-large_bart-base_image', seq2seq_files, 13),
        ('vl_pet/vlpet-large_bart-base_video', seq2seq_files, 6),
        ('vl_pet/vlpet-large_bart-base_vqa_online', seq2seq_files, 4),
        ('epalm/epalm_opt-2.7b_vit-b_nocaps', epalm_files, 5),
        ('epalm/epalm_opt-2.7b_timesformer_msvd-qa', epalm_files, 2),
    ],
)
def test_files_of_recipes(recipe, tree, files, tmp_path, monkeypatch):
    """Stored features, images and clips of generated sets; the sets share pictures, and nothing else is found."""
    tree.write_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    report = check(load_config(str(ROOT / f'configs/{recipe}.py')).to_dict(), tmp_path / 'out', workers=1)
    assert report.files == files
    assert set(report.counts) <= {'duplicate_file', 'overlap_path', 'overlap_content', 'captions_in_both'}
    assert all(entry['samples'] for entry in report.sets)
