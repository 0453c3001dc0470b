"""What the converters of MSRVTT-QA and MSVD-QA share."""

import argparse
from collections.abc import Mapping

from vlpeft.datasets.base_qa import most_frequent_answers
from vlpeft.datasets.conversion.splits import Size, convert, write
from vlpeft.datasets.video_folder import VideoFolder
from vlpeft.datasets.video_qa import read_questions

ANSWERS = 1500


def convert_video_qa(args: argparse.Namespace, sizes: Mapping[str, Size], mapping: str | None = None) -> int:
    """Convert the splits of the command line and, with 'train', write the list of answers.

    Args:
        args: From :func:`~vlpeft.datasets.conversion.splits.parse_args`.
        sizes: Size of every split.
        mapping: MSVD's ``youtube_mapping.txt``. Defaults to None.

    Returns:
        Exit code.
    """
    files = VideoFolder(str(args.media))

    def load(split: str) -> list[dict]:
        questions = read_questions(str(args.src / f'{split}_qa.json'), mapping)
        return [
            dict(
                video=files.find(video),
                question=question['question'],
                answer=question['gold'][0],
                question_id=question['question_id'],
            )
            for _, video, question in questions
        ]

    code = convert(args, sizes, load, noun='questions', name='{}_qa.jsonl')
    train = args.dst / 'train_qa.jsonl'
    if 'train' in args.splits and train.is_file():
        questions = ((where, question) for where, _, question in read_questions(str(train)))
        answers, path = most_frequent_answers(questions, ANSWERS), args.dst / 'answer_list.json'
        print(f'answers: {len(answers):,} -> {path} ({write(path, answers)})')
    return code
