"""eval_metric.py on files of other codes, against figures that are worked out by hand."""

import json

import pytest

from tools.analysis_tools.eval_metric import main
from vlpeft.engine.messages import run_main


def write(path, content):
    lines = path.suffix == '.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in content) if lines else json.dumps(content))
    return str(path)


def test_vqa_server_files(tmp_path):
    """Ten annotators: an answer that three or more gave is right; one that one gave scores 0.3 (the mean over the ways
    to leave one of ten out of min(1, others / 3)).
    """
    pred = write(tmp_path / 'a.json', [dict(question_id=1, answer='red'), dict(question_id=2, answer='two')])
    annotations = [
        dict(question_id=1, answer_type='other', answers=[dict(answer='red')] * 4 + [dict(answer='pink')] * 6),
        dict(question_id=2, answer_type='number', answers=[dict(answer='2')] + [dict(answer='three')] * 9),
    ]
    ann = write(tmp_path / 'b.json', dict(annotations=annotations))
    assert main([pred, '--metric', 'VQAMetric', '--ann', ann, '--json', str(tmp_path / 'c.json')]) == 0
    result = json.loads((tmp_path / 'c.json').read_text())
    assert result['metrics']['vqa/answer_type/other'] == pytest.approx(100)
    assert result['metrics']['vqa/answer_type/number'] == pytest.approx(100 * 0.9 / 3)
    assert [row['score'] for row in result['predictions']['vqa']] == pytest.approx([1.0, 0.3])


def test_coco_captions(tmp_path, capsys):
    pred = write(tmp_path / 'a.json', [dict(image_id=7, caption='a cat sleeps'), dict(image_id=9, caption='a dog')])
    captions = [
        dict(image_id=7, caption='a cat sleeps'),
        dict(image_id=7, caption='a cat'),
        dict(image_id=9, caption='a dog'),
    ]
    ann = write(tmp_path / 'b.json', dict(images=[], annotations=captions))
    assert main([pred, '--metric', 'CaptionMetric', '--ann', ann, '--options', 'tokenizer=python']) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if 'caption/BLEU-1' in line)
    assert '100.00' in line


def test_lines_with_options(tmp_path, capsys):
    """'hello' and 'help' are two slips of five letters apart: 1 - 2/5."""
    pred = write(tmp_path / 'a.jsonl', [dict(question_id='x', prediction='help')])
    ann = write(tmp_path / 'b.jsonl', [dict(question_id='x', answers=['hello'])])
    assert main([pred, '--metric', 'ANLSMetric', '--ann', ann, '--options', 'threshold=0.9']) == 0
    assert '60.00' in capsys.readouterr().out
    assert main([pred, '--metric', 'ANLSMetric', '--ann', ann, '--options', 'threshold=0.3']) == 0
    assert '0.00' in capsys.readouterr().out


@pytest.mark.parametrize(
    'pred, ann, message',
    [
        ([dict(question_id=1, answer='a')], [dict(question_id=2, answer='a')], '2 ids are in one file only'),
        ([dict(question=1, answer='a')], [dict(question_id=1, answer='a')], 'entry 0 has no id, which is one of'),
        ([dict(question_id=1, text='a')], [dict(question_id=1, answer='a')], 'entry 0 has no text'),
        ([dict(question_id=1, answer=3)], [dict(question_id=1, answer='a')], 'the answer 3 is no text'),
        (
            [dict(question_id=1, answer='a'), dict(question_id=1, answer='b')],
            [dict(id=1, answer='a')],
            'has two answers',
        ),
        ([dict(question_id=1, answer='a')], [dict(question_id=1)], 'entry 0 has no truth'),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, answer=3)], 'the truth 3 is no text'),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, answers=[])], 'the truth is empty'),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, answers=[dict(answer=None)])], 'the truth None is no'),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, answer='a')] * 2, "there was a truth of '1' already"),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, label=dict(a=1))], 'are for LabelScoreMetric'),
        (
            [dict(question_id=1, answer='a')],
            [dict(question_id=1, answer='a', choices=5)],
            'choices is 5, not an object',
        ),
        ([dict(question_id=1, answer='a')], [dict(question_id=1, answer='a', question_type=5)], 'is 5, not a text'),
        ('nothing', [dict(question_id=1, answer='a')], 'holds no list of objects'),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, capsys, pred, ann, message):
    arguments = [
        write(tmp_path / 'a.json', pred),
        '--metric',
        'OpenEndedMetric',
        '--ann',
        write(tmp_path / 'b.json', ann),
    ]
    assert run_main(lambda: main(arguments)) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    'options, truth, message',
    [
        (['--options', 'normalize=vqa'], dict(label=dict(a=1)), "takes no 'normalize'; did you mean normalise"),
        ([], dict(label=dict(a='x')), "the score of 'a' is 'x', not a finite number"),
        ([], dict(label=dict(a=float('nan'))), "the score of 'a' is nan, not a finite number"),
        ([], dict(answer='a'), 'takes labels with scores'),
    ],
)
def test_labels_and_options_are_checked(tmp_path, capsys, options, truth, message):
    pred = write(tmp_path / 'a.json', [dict(question_id=1, answer='a')])
    ann = write(tmp_path / 'b.json', [dict(question_id=1, **truth)])
    assert run_main(lambda: main([pred, '--metric', 'LabelScoreMetric', '--ann', ann, *options])) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1 and 'not expected' not in error
