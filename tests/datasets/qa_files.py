"""Small question answering sets of real images and clips, in every layout that is read."""

import json
from pathlib import Path

from tests import media

IMAGES = [
    'train2014/COCO_train2014_000000000009.jpg',
    'val2014/COCO_val2014_000000000042.jpg',
    'test2015/COCO_test2015_000000000001.jpg',
]


def write_json(path, content) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content), encoding='utf-8')
    return str(path)


def write_lines(path, lines) -> str:
    Path(path).write_text(''.join(json.dumps(line) + '\n' for line in lines), encoding='utf-8')
    return str(path)


def ten(**counts) -> list[str]:
    """Annotators' answers."""
    return [answer for answer, count in counts.items() for _ in range(count)]


def official(subset: str, rows) -> tuple[dict, dict]:
    """visualqa.org's question and annotation files of (question id, image id, question, answers, type, kind)."""
    questions = [dict(question_id=number, image_id=image, question=text) for number, image, text, *_ in rows]
    annotations = [
        dict(
            question_id=number,
            image_id=image,
            question_type=type_,
            answer_type=kind,
            answers=[
                dict(answer_id=i, answer=answer, answer_confidence='yes') for i, answer in enumerate(answers, start=1)
            ],
        )
        for number, image, _, answers, type_, kind in rows
    ]
    return (
        dict(data_subtype=subset, task_type='Open-Ended', questions=questions),
        dict(data_subtype=subset, annotations=annotations),
    )


def write_coco(root: Path) -> Path:
    """BLIP's, visualqa.org's and VL-T5's files over three images, and Visual Genome beside them."""
    for image in IMAGES:
        (root / 'coco' / image).parent.mkdir(parents=True, exist_ok=True)
        media.write_image(root / 'coco' / image)
    (root / 'visual_genome' / 'image').mkdir(parents=True)
    media.write_image(root / 'visual_genome' / 'image' / '1.jpg')
    coco = root / 'coco'
    train = [
        (9000, 9, 'What is on the table?', ten(cup=6, mug=3, glass=1), 'what is', 'other'),
        (9001, 9, 'Is it red?', ten(yes=10), 'is it', 'yes/no'),
    ]
    val = [(42000, 42, 'How many dogs: 1, 2?', ten(two=3, three=7), 'how many', 'number')]
    for year, rows, image in (('train2014', train, IMAGES[0]), ('val2014', val, IMAGES[1])):
        questions, annotations = official(year, rows)
        write_json(coco / f'v2_OpenEnded_mscoco_{year}_questions.json', questions)
        write_json(coco / f'v2_mscoco_{year}_annotations.json', annotations)
        write_json(
            coco / f'vqa_{year[:-4]}.json',
            [dict(question_id=row[0], question=row[2], answer=row[3], image=image, dataset='vqa') for row in rows],
        )
    test = [dict(question_id=1, image_id=1, question='Who?')]
    write_json(
        coco / 'v2_OpenEnded_mscoco_test-dev2015_questions.json', dict(data_subtype='test-dev2015', questions=test)
    )
    write_json(coco / 'vqa_test.json', [dict(question_id=1, question='Who?', image=IMAGES[2], dataset='vqa')])
    write_json(
        coco / 'vg_qa.json',
        [
            dict(
                question_id=986769,
                question='How many people are there?',
                answer='two',
                image='image/1.jpg',
                dataset='vg',
            )
        ],
    )
    write_json(coco / 'answer_list.json', ['yes', 'cup', '2', 'three'])
    write_json(
        coco / 'karpathy_train.json',
        [
            dict(
                img_id='COCO_train2014_000000000009',
                question_id=9000,
                sent='What is on the table?',
                label=dict(cup=1.0, mug=0.9),
                question_type='what is',
                answer_type='other',
            ),
            dict(img_id='COCO_val2014_000000000042', question_id=42000, question='How many dogs?', label={}),
        ],
    )
    return root


def write_videos(folder: Path, names) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frames = media.numbered_frames(20)
    for name in names:
        codec = dict(codec='mpeg4') if name.endswith('.avi') else {}
        media.write_video(folder / name, frames, **codec)


def published(rows, first_id: int = 0) -> list[dict]:
    """Entries of ``{split}_qa.json`` from (video id, question, answer)."""
    return [
        dict(answer=answer, category_id=0, id=first_id + i, question=question, video_id=video)
        for i, (video, question, answer) in enumerate(rows)
    ]
