"""Folds of the retrieval loop on a real small run: 7 clips and 10 captions in 2 folds."""

import pytest
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.workspace import write_workspace
from vlpeft.engine.run_config import RunConfig

FOLDS = [[0, 1, 2, 3], [4, 5, 6]]
OWNERS = [0, 0, 1, 1, 2, 2, 3, 4, 5, 6]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('folds') / 'workspace')


def run(workspace, name, k_test, indices=None, **test_cfg):
    """Metrics and predictions of a test on all clips or on those of ``indices``."""
    config = RunConfig.read(workspace)
    config.merge_from_dict(dict(work_dir=str(workspace.parent / name), experiment_name=f'{workspace} {name}'))
    config.test_cfg.update(k_test=k_test, **test_cfg)
    if indices:
        config.test_dataloader.dataset.indices = indices
    runner = Runner.from_cfg(config)
    return runner.test(), runner.test_evaluator.metrics[0].predictions


@pytest.mark.parametrize('k_test', [0, 10])
def test_figures_are_the_mean_over_the_folds_as_sets_of_their_own(workspace, k_test):
    """Exact where no pair is left unscored: by features alone, and with all pairs re-ranked."""
    whole, _ = run(workspace, f'whole {k_test}', k_test, folds=2)
    parts = [run(workspace, f'{indices} {k_test}', k_test, indices)[0] for indices in FOLDS]
    for name in parts[0]:
        found = whole[name.replace('retrieval/', 'retrieval/2fold_')]
        assert found == pytest.approx((parts[0][name] + parts[1][name]) / 2), name


def test_candidates_of_a_query_are_those_in_its_fold(workspace):
    """Ranks within folds read off the scores of all items, with -100 for those that are no candidates."""
    metrics, predictions = run(workspace, 'k 3', 3, folds=2)
    plain, rows = run(workspace, 'k 3 plain', 3)
    assert {key: value for key, value in metrics.items() if '2fold' not in key} == plain
    unscored = 0
    for row, bare in zip(predictions, rows):
        assert {key: row[key] for key in bare} == bare
        clip = OWNERS[row['query_id']] if row['direction'] == 't2v' else row['query_id']
        fold = next(number for number, clips in enumerate(FOLDS) if clip in clips)
        clip_of = (lambda item: item) if row['direction'] == 't2v' else OWNERS.__getitem__
        scores = {item: score for item, score in row['top'] if clip_of(item) in FOLDS[fold]}
        best = max(score for item, score in scores.items() if clip_of(item) == clip)
        unscored += best == -100
        ahead = [item for item, score in scores.items() if clip_of(item) != clip and score >= best]
        assert (row['fold'], row['fold_rank']) == (fold, 1 + len(ahead))
    assert unscored
