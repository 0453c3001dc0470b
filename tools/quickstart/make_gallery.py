"""Writes a retrieval gallery (HTML) from a result of tools/test.py and the annotation file that was tested."""

import argparse
import json
from pathlib import Path

import numpy as np

from vlpeft.datasets.readers import PyAVReader
from vlpeft.visualization import ClipQuery, TextQuery, write_gallery

FRAMES = 8


def evenly(items: list, count: int) -> list:
    """``count`` items at even distances, so that nobody picks the pretty ones."""
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, min(count, len(items)))]


def read_queries(result: dict, lines: list[dict], count: int) -> tuple[list[TextQuery], list[ClipQuery]]:
    """Queries of a result.

    Args:
        result (dict): What ``tools/test.py --out`` wrote.
        lines (list[dict]): Annotations, one clip a line; captions are numbered in their order.
        count (int): Queries of each direction to keep.
    """
    clips = [line['video'] for line in lines]
    texts = [(text, line['video']) for line in lines for text in line['caption']]
    chosen = {
        direction: evenly([p for p in result['predictions']['retrieval'] if p['direction'] == direction], count)
        for direction in ('t2v', 'v2t')
    }
    text_queries = [
        TextQuery(*texts[p['query_id']], p['rank'], [(clips[item], score) for item, score in p['top']])
        for p in chosen['t2v']
    ]
    clip_queries = [
        ClipQuery(clips[p['query_id']], lines[p['query_id']]['caption'], p['rank'],
                  [(texts[item][0], score) for item, score in p['top']]) for p in chosen['v2t']
    ]
    return text_queries, clip_queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('result', type=Path, help='JSON file written by tools/test.py --out')
    parser.add_argument('annotations', type=Path, help='JSONL file of the test set')
    parser.add_argument('out', help='HTML file to write')
    parser.add_argument('--title', default='What the model finds', help='heading of the page')
    parser.add_argument('--queries', type=int, default=12, help='queries of each direction, default 12')
    args = parser.parse_args()
    result = json.loads(args.result.read_text())
    lines = [json.loads(line) for line in args.annotations.read_text().splitlines()]
    reader = PyAVReader()

    def load_frames(clip: str) -> np.ndarray:
        path = str(args.annotations.parent / clip)
        indices = np.linspace(0, reader.probe(path).num_frames - 1, FRAMES).round().astype(int)
        return reader.read(path, indices.tolist())

    text_queries, clip_queries = read_queries(result, lines, args.queries)
    recalls = ', '.join(f'{name} {result["metrics"][key]:.1f}' for name, key in (
        ('text-to-clip R@1', 'retrieval/t2v_R@1'), ('clip-to-text R@1', 'retrieval/v2t_R@1')))
    write_gallery(
        args.out, args.title, text_queries, clip_queries, load_frames,
        captions={line['video']: line['caption'][0] for line in lines},
        note=f'{len(lines)} test clips: {recalls}. The queries are taken at even distances from the test set. '
             'Scores are matching logits.')
    print(f'gallery: {args.out}')


if __name__ == '__main__':
    main()
