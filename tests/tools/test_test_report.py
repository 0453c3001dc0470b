"""vlpeft test --report: the page of a real run, what result.json gets, and that nothing is lost when the page fails."""

import json
from html import escape

import pytest
import torch
from mmengine.runner import Runner

from tests.commands import run_script
from tests.toy_tasks import toy_config, write_sets
from tests.workspace import write_workspace
from vlpeft.engine.report import KeepGallery, metrics_with_loops, run_facts, write_run_report
from vlpeft.engine.run_config import RunConfig
from vlpeft.evaluation.result import add_intervals, result_of
from vlpeft.models.tasks.frames import frame_key_weights


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('report') / 'workspace')


def run_test(config, work, *options):
    """``vlpeft test`` of the base, of which the heads have their initial values."""
    return run_script('tools/test.py', config, 'none', '--allow-random', '--work-dir', work, *options)


def test_page_and_result(workspace, tmp_path):
    folder = tmp_path / 'deep' / 'report'
    done = run_test(workspace, tmp_path / 'run', '--report', folder)
    assert done.returncode == 0, done.stderr
    assert f'report: {folder}/index.html' in done.stdout
    page, result = (folder / 'index.html').read_text(), json.loads((folder / 'result.json').read_text())
    rows = result['predictions']['retrieval']
    texts = {row['query_id']: row for row in rows if row['direction'] == 't2v'}
    clips = {row['query_id']: row for row in rows if row['direction'] == 'v2t'}
    lines = [json.loads(line) for line in (workspace.parent / 'data/test.jsonl').read_text().splitlines()]
    assert [clip['file'] for clip in clips.values()] == [line['video'] for line in lines]
    assert [clip['truth'] for clip in clips.values()] == [line['caption'] for line in lines]
    told = [(text['query'], text['truth']) for text in texts.values()]
    assert told == [(text, [line['video']]) for line in lines for text in line['caption']]
    # Each of the first clips that a text finds is on the page by name, with weights below its frames.
    assert page.count('class="weights"') >= 4 and all(line['video'] in page for line in lines)
    assert page.count('cannot be shown') == 0
    low, high = result['intervals']['retrieval/t2v_R@1']
    assert low <= result['metrics']['retrieval/t2v_R@1'] <= high
    assert result['resampled'] == {'retrieval': '7 files with 17 queries'}
    assert set(result['intervals']) | set(result['no_intervals']) == set(result['metrics'])
    assert {'method', 'base', 'test set', 'date', 'versions'} <= set(result['run'])
    assert '(JSONLRetrieval, 7 samples)' in result['run']['test set'] and result['run']['versions'] in page


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path):
    workspace = write_workspace(tmp_path / 'workspace')
    (tmp_path / 'workspace/data/clip6.mp4').write_bytes(b'no video')
    skip = ('--cfg-options', 'test_dataloader.dataset.skip_unreadable=True')
    done = run_test(workspace, tmp_path / 'run', '--report', tmp_path / 'report', *skip)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'report/result.json').read_text())
    ((file, reason),) = result['left_out']['retrieval'].items()
    page = (tmp_path / 'report/index.html').read_text()
    assert file == 'clip6.mp4' and result['metrics']['retrieval/left_out'] == 1
    assert 'One file could not be read' in page and f'<li>clip6.mp4: {escape(reason)}' in page


def test_weights_on_the_page_are_those_that_the_model_uses(workspace, tmp_path):
    config = RunConfig.read(workspace)
    config.merge_from_dict(dict(work_dir=str(tmp_path), experiment_name=str(tmp_path)))
    runner = Runner.from_cfg(config)
    runner.test()
    ((_, loop),) = metrics_with_loops(runner)
    assert loop.gallery is None and loop.frame_weights(0, 0) is None  # large, so kept for a report alone
    runner.register_hook(KeepGallery())
    runner.test()
    model, dataset = runner.model, runner.test_dataloader.dataset
    with torch.no_grad():
        for text, clip in ((0, 0), (3, 5)):
            item = dataset[clip]
            data = model.data_preprocessor(dict(inputs=item['inputs'][None], data_samples=[item['data_samples']]))
            frames = model.encode_vision(data['inputs']).frames
            feature = model.encode_text(model.tokenizer([dataset.texts[text]], torch.device('cpu')))
            keys = frame_key_weights(feature, frames, 5, 1).reshape(2, 5)
            assert loop.frame_weights(text, clip) == pytest.approx(keys[:, 1].tolist(), abs=1e-5)
    assert loop.frame_weights(0, 99) is None


def test_several_tasks_with_metrics_of_ones_own_have_a_section_each(tmp_path):
    sizes = dict(vqa=8, gqa=12, caption=4)
    write_sets(tmp_path, **sizes)
    config = toy_config(tmp_path, 'run', tuple(sizes), epochs=1)
    config.val_evaluator.vqa = [dict(type='ToyError', prefix='vqa'), dict(type='ToyError', prefix='other')]
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.test_cfg = dict(type='MultiTaskTestLoop')
    runner = Runner.from_cfg(config)
    figures = runner.test()
    metrics = [metric for metric, _ in metrics_with_loops(runner)]
    result = result_of('several.py', 'none', figures, metrics, run_facts(runner))
    add_intervals(result, metrics)
    assert set(result['no_intervals']) == set(figures) and not result['intervals']
    names = ', '.join(result['predictions'])
    assert names == 'vqa, vqa/other, gqa/toy, caption/toy'
    for task, size in sizes.items():
        assert f'{task}.jsonl (ToySet, {size} samples)' in result['run']['test set']
    page = write_run_report(tmp_path / 'report', runner, result).read_text()
    assert page.count('<section id="s') == 4 and page.count('href="#s') == 4
    assert '12 predictions without a truth' in page and 'gqa/toy/error' in page


def test_a_folder_that_cannot_be_written_is_refused_before_the_test(workspace, tmp_path):
    (tmp_path / 'taken').write_text('a file')
    (tmp_path / 'folder.json').mkdir()
    for option, named in (
        (('--report', tmp_path / 'taken'), 'taken'),
        (('--out', tmp_path / 'taken' / 'result.json'), 'taken'),
        (('--out', tmp_path / 'folder.json'), 'folder.json'),
    ):
        done = run_test(workspace, tmp_path / 'run', *option)
        assert done.returncode == 1 and str(tmp_path / named) in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'run').exists()


def test_a_report_that_fails_loses_nothing(workspace, tmp_path):
    (tmp_path / 'report' / 'index.html' / 'in the way').mkdir(parents=True)
    out = tmp_path / 'result.json'
    done = run_test(workspace, tmp_path / 'run', '--report', tmp_path / 'report', '--out', out)
    assert done.returncode == 1 and 'Is a directory' in done.stderr
    assert f'metrics and predictions are in {out}; only the page of the report' in done.stdout
    result = json.loads(out.read_text())
    assert 'retrieval/mean_R' in result['metrics'] and result['intervals']
    assert len(result['predictions']['retrieval']) == 17


def test_lines_of_predictions_name_what_was_found(workspace, tmp_path):
    out = tmp_path / 'found.jsonl'
    done = run_script(
        'tools/test.py', workspace, 'none', '--allow-random', '--out', out, '--work-dir', tmp_path / 'run'
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    files = {f'clip{i}.mp4' for i in range(7)}
    assert {name for row in rows if row['direction'] == 't2v' for name, _ in row['top']} == files
    assert {name for row in rows if row['direction'] == 'v2t' for name, _ in row['top']} <= {
        row.get('query') for row in rows
    }
