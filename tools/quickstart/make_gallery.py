"""Writes a retrieval gallery (HTML) from a result of tools/test.py and the set that was tested."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from vlpeft.engine.messages import run_main
from vlpeft.visualization import ClipQuery, TextQuery, write_gallery
from vlpeft.visualization.choose import evenly

FRAMES = 8


def read_records(source: str) -> list[dict]:
    """Clips of a test set as the set itself numbers them, with ``name``, ``texts``, ``clip_id`` and ``text_ids``.

    Args:
        source: A config (``.py``), whose ``test_dataloader`` says which set it is, or a file of own data, media beside
            it.
    """
    import vlpeft  # noqa: F401
    from vlpeft.engine.config_file import read_config
    from vlpeft.registry import DATASETS

    data = (
        read_config(source).test_dataloader.dataset
        if source.endswith('.py')
        else dict(type='JSONLRetrieval', ann_file=source, test_mode=True)
    )
    dataset = DATASETS.build(dict(data, pipeline=[]))
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def read_queries(result: dict, records: list[dict], count: int) -> tuple[list[TextQuery], list[ClipQuery]]:
    """Queries of a result.

    Args:
        result: What ``tools/test.py --out`` wrote.
        records: See :func:`read_records`.
        count: Queries of each direction to keep.

    Raises:
        ValueError: The result is of a set with other clips.
    """
    clips = {record['clip_id']: record for record in records}
    texts = {
        number: (text, record['name'])
        for record in records
        for number, text in zip(record['text_ids'], record['texts'])
    }
    predictions = result['predictions']['retrieval']
    known = dict(t2v=texts, v2t=clips)
    other = [p for p in predictions if p['query_id'] not in known[p['direction']]]
    if other:
        raise ValueError(
            f'the result has the {other[0]["direction"]} query {other[0]["query_id"]}, which is not in '
            f'the set of {len(clips)} clips and {len(texts)} captions: was another set tested?'
        )
    chosen = {direction: evenly([p for p in predictions if p['direction'] == direction], count) for direction in known}
    text_queries = [
        TextQuery(*texts[p['query_id']], p['rank'], [(clips[item]['name'], score) for item, score in p['top']])
        for p in chosen['t2v']
    ]
    clip_queries = [
        ClipQuery(
            clips[p['query_id']]['name'],
            clips[p['query_id']]['texts'],
            p['rank'],
            [(texts[item][0], score) for item, score in p['top']],
        )
        for p in chosen['v2t']
    ]
    return text_queries, clip_queries


def frame_loader(records: list[dict]):
    """A function from the name of a clip to its frames, uint8 (T, H, W, 3); an image twice, because a page plays at
    least two.
    """
    from vlpeft.datasets.transforms import LoadClip

    load, by_name = LoadClip(FRAMES, reader=dict(type='PyAVReader')), {record['name']: record for record in records}

    def load_frames(name: str) -> np.ndarray:
        frames = load.transform(dict(by_name[name]))['clip'].permute(0, 2, 3, 1).numpy()
        return frames if len(frames) > 1 else np.repeat(frames, 2, axis=0)

    return load_frames


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('result', type=Path, help='JSON file written by tools/test.py --out')
    parser.add_argument('source', help='own data that was tested (JSON lines or list, media beside it), or the config')
    parser.add_argument('out', help='HTML file to write')
    parser.add_argument('--title', default='What the model finds', help='heading of the page')
    parser.add_argument('--queries', type=int, default=12, help='queries of each direction, default 12')
    args = parser.parse_args(argv)
    result, records = json.loads(args.result.read_text()), read_records(args.source)
    text_queries, clip_queries = read_queries(result, records, args.queries)
    recalls = ', '.join(
        f'{name} {result["metrics"][key]:.1f}'
        for name, key in (('text-to-clip R@1', 'retrieval/t2v_R@1'), ('clip-to-text R@1', 'retrieval/v2t_R@1'))
    )
    write_gallery(
        args.out,
        args.title,
        text_queries,
        clip_queries,
        frame_loader(records),
        captions={record['name']: record['texts'][0] for record in records},
        note=f'{len(records)} test clips: {recalls}. The queries are taken at even distances from the test set. '
        'Scores are matching logits, or similarities where the model does not match.',
    )
    print(f'gallery: {args.out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
