"""VLMEvalKit's tables: what a row becomes, what is refused, and predictions written back into them."""

import base64
import csv
import io

import numpy as np
import pytest
from PIL import Image

from tests import tiny_vlms
from tests.commands import run_script
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

COLUMNS = ('index', 'image', 'question', 'hint', 'A', 'B', 'C', 'answer', 'category', 'l2-category')


def picture(seed, kind='PNG'):
    """Base64 text of a picture, and its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode(), pixels


def write(path, rows, columns=COLUMNS):
    """As pandas' ``to_csv(sep='\\t', index=False)`` does."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns, delimiter='\t', lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def build(path, **kwargs):
    return DATASETS.build(dict(type='VLMEvalTSV', ann_file=str(path), test_mode=True, **kwargs))


def samples(path, **kwargs):
    dataset = build(path, **kwargs)
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def pixels_of(url):
    head, _, text = url.partition(',')
    return head, np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


FIRST, PIXELS = picture(0)
ROWS = [
    dict(
        index=4,
        image=FIRST,
        question='What is "it"?',
        A='oak',
        B='fir',
        answer='B',
        category='tree',
        hint='Look.\nWell.',
    ),
    dict(index=2, image='4', question='And here?', A='ash', B='elm', C='yew', answer='C'),
    dict(index=9, image=[FIRST, picture(1)[0]], question='Written?', answer=['exit', 'an exit']),
]


def test_rows_become_questions(tmp_path):
    write(tmp_path / 'bench.tsv', ROWS)
    first, second, third = samples(tmp_path / 'bench.tsv')
    head, pixels = pixels_of(first['path'])
    assert head == 'data:image/png;base64' and (pixels == PIXELS).all()
    assert first['question'] == (
        'Hint: Look.\nWell.\nQuestion: What is "it"?\nOptions:\nA. oak\nB. fir\n'
        'Please select the correct answer from the options above.'
    )
    assert (first['gold'], first['choices']) == (['B'], {'A': 'oak', 'B': 'fir'})
    assert (first['question_id'], first['question_type'], first['name']) == (4, 'tree', 'bench.tsv#4')
    assert second['path'] == first['path'] and second['gold'] == ['C'] and 'question_type' not in second
    assert third['question'] == 'Written?' and third['gold'] == ['exit', 'an exit'] and 'choices' not in third
    assert (pixels_of(third['paths'][1])[1] == picture(1)[1]).all() and len(third['paths']) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bench.tsv']


def test_a_row_goes_through_the_processor_of_a_model_with_its_choices(tmp_path):
    write(tmp_path / 'bench.tsv', ROWS[:1])
    processor = tiny_vlms.processor('llava', tmp_path / 'processor')
    ask = [
        dict(type='ToChat', prompt='{question}'),
        dict(type='PackChat', processor=processor, extra_fields=['choices']),
    ]
    packed = build(tmp_path / 'bench.tsv', pipeline=ask)[0]
    sample = packed['data_samples']
    assert packed['inputs']['pixel_values'].ndim == 4 and 'labels' not in packed['inputs']
    assert (sample.choices, sample.gold, sample.question_id) == ({'A': 'oak', 'B': 'fir'}, ['B'], 4)


def test_pictures_by_path_and_indices_that_are_no_numbers(tmp_path):
    columns = ('index', 'image_path', 'question')
    write(tmp_path / 'bench.tsv', [dict(index='a1', image_path='x/1.jpg', question='?')], columns)
    (sample,) = samples(tmp_path / 'bench.tsv')
    assert sample['path'] == str(tmp_path / 'x/1.jpg') and sample['question_id'] == 'a1' and 'gold' not in sample
    write(tmp_path / 'bench.tsv', [dict(index='a1', image_path='../1.jpg', question='?')], columns)
    with pytest.raises(AnnotationError, match='bench.tsv:2: .*outside the data root'):
        samples(tmp_path / 'bench.tsv')


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(index=''), r"bench.tsv:2: 'index' is empty"),
        (dict(index=2), r"bench.tsv:3: index '2' was already used at .*bench.tsv:2"),
        (dict(question=' '), "bench.tsv:2: 'question' is empty"),
        (dict(image=''), "bench.tsv:2: needs 'image' or 'image_path'"),
        (dict(image='77'), "bench.tsv:2: 'image' is neither a picture as base64 text nor the index of a row .*: 77"),
        (dict(image='http://example.org/' + 'a' * 80), "bench.tsv:2: 'image' is no base64 text of a jpeg, png"),
        (dict(image=FIRST[:-1]), "bench.tsv:2: 'image' is no base64 text"),
        (dict(image=FIRST[:80] + '*' * 4), "bench.tsv:2: 'image' is no base64 text"),
        (dict(image=f"['{FIRST}', __import__('os')]"), "bench.tsv:2: 'image' looks like a list and is none of texts"),
        (dict(A=''), 'bench.tsv:2: there is one choice, B; a question has two or more, or none'),
        (dict(answer='D'), "bench.tsv:2: 'answer' must be one of the letters A, B, got D"),
        (dict(answer='fir'), "bench.tsv:2: 'answer' must be one of the letters A, B, got fir"),
    ],
)
def test_what_is_refused_and_where(tmp_path, change, message):
    first = dict(ROWS[0], hint='', **{key: change[key] for key in ()})
    write(tmp_path / 'bench.tsv', [dict(first, **change), dict(first, index=2)])
    with pytest.raises(AnnotationError, match=message):
        samples(tmp_path / 'bench.tsv')


def test_pictures_have_a_largest_size(tmp_path):
    write(tmp_path / 'bench.tsv', ROWS[:1])
    size = len(base64.b64decode(FIRST))
    assert samples(tmp_path / 'bench.tsv', largest_image=size + 2)
    with pytest.raises(
        AnnotationError, match=f"bench.tsv:3: 'image' has .* bytes, more than largest_image={size - 9:,}"
    ):
        samples(tmp_path / 'bench.tsv', largest_image=size - 9)


def test_tables_that_are_none(tmp_path):
    path = tmp_path / 'bench.tsv'
    path.write_text('index,question\n1,?\n')
    with pytest.raises(AnnotationError, match="bench.tsv:1: no column 'index'; columns found: index,question"):
        samples(path)
    path.write_text('index\tquestion\n1\t?\tmore\n')
    with pytest.raises(AnnotationError, match='bench.tsv:2: more fields than the 2 columns'):
        samples(path)
    path.write_bytes('index\tquestion\n1\tforêt\n'.encode('latin-1'))
    with pytest.raises(AnnotationError, match='bench.tsv: not UTF-8'):
        samples(path)
    with pytest.raises(AnnotationError, match='does not exist'):
        samples(tmp_path / 'other.tsv')


def predictions(path, *lines):
    path.write_text(''.join(f'{{"question_id": {number}, "prediction": "{answer}"}}\n' for number, answer in lines))
    return path


def test_predictions_go_back_into_the_table(tmp_path):
    write(tmp_path / 'bench.tsv', ROWS)
    answers = predictions(tmp_path / 'answers.jsonl', (2, 'C'), (4, 'B. \\"fir\\"\\tor'), (9, ''), (2, 'C'))
    out = tmp_path / 'new' / 'mine.tsv'
    done = run_script('tools/dataset_converters/vlmeval_predictions.py', tmp_path / 'bench.tsv', answers, out)
    assert done.returncode == 0 and done.stdout == f'3 predictions -> {out}\n'
    with open(out, newline='', encoding='utf-8') as file:
        table = list(csv.DictReader(file, delimiter='\t'))
    assert [row['prediction'] for row in table] == ['B. "fir"\tor', 'C', '']
    assert [row['index'] for row in table] == ['4', '2', '9'] and 'image' not in table[0]
    assert table[0]['hint'] == 'Look.\nWell.' and table[2]['answer'] == "['exit', 'an exit']" and table[2]['A'] == ''


@pytest.mark.parametrize(
    'lines, message',
    [
        ([(4, 'B'), (2, 'C')], 'answers.jsonl: 1 indices are not in this file, such as 9'),
        ([(4, 'B'), (2, 'C'), (9, ''), (5, '')], 'bench.tsv: 1 indices are not in this file, such as 5'),
        ([(4, 'B'), (4, 'A')], 'answers.jsonl:2: another prediction of question 4 than before'),
    ],
)
def test_predictions_of_another_set_are_refused(tmp_path, lines, message):
    write(tmp_path / 'bench.tsv', ROWS)
    answers = predictions(tmp_path / 'answers.jsonl', *lines)
    done = run_script(
        'tools/dataset_converters/vlmeval_predictions.py', tmp_path / 'bench.tsv', answers, tmp_path / 'x.tsv'
    )
    assert done.returncode == 1 and message in done.stderr and not (tmp_path / 'x.tsv').exists()
