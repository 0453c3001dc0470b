"""Searches a folder of videos or images by text."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console

EPILOG = """examples:
  %(prog)s quickstart/uniadapter work_dirs/quickstart/uniadapter/epoch_3.pth \\
      data/quickstart/clips/videos 'a red circle slides sideways' --index work_dirs/quickstart/clips.safetensors
  %(prog)s heads_blip_msrvtt none holiday/ 'a dog on a beach' --html found.html"""
FRAMES = 8
Results = dict[str, list[tuple[str, float]]]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'config', help='config of a retrieval model: a file, a name of the zoo, or a path below its configs'
    )
    parser.add_argument(
        'checkpoint',
        help='checkpoint file or URL; "zoo" takes the published one, "none" loads nothing on top of the base',
    )
    parser.add_argument('folder', help='videos and images, those in folders below included')
    parser.add_argument('query', nargs='+', help='what to look for; quote each query')
    parser.add_argument(
        '--index',
        metavar='FILE.safetensors',
        help='keep the encoded files here: the next search encodes only new and changed ones',
    )
    parser.add_argument('--top', type=int, default=5, metavar='K', help='results of each query (default: 5)')
    parser.add_argument(
        '--rerank',
        type=int,
        default=32,
        metavar='N',
        help='candidates that are matched with the query; 0 orders by features alone, which is fast (default: 32)',
    )
    parser.add_argument(
        '--keep-tokens',
        action='store_true',
        help='keep what matching needs in the index, which makes searches fast and the index large',
    )
    parser.add_argument('--html', metavar='FILE.html', help='also write a page that plays the first five results')
    parser.add_argument('--device', help='default: the GPU if there is one')
    args = parser.parse_args(argv)
    for name, least in (('top', 1), ('rerank', 0)):
        if getattr(args, name) < least:
            parser.error(f'--{name} must be at least {least}, got {getattr(args, name)}')
    if blank := [query for query in args.query if not query.strip()]:
        parser.error(f'the query {blank[0]!r} is blank')
    return args


def show(results: Results, console: Console) -> None:
    """One table a query."""
    for query, found in results.items():
        table = Table('', 'score', 'file', title=query, title_justify='left')
        for place, (path, score) in enumerate(found, start=1):
            table.add_row(str(place), f'{score:.3f}', os.path.relpath(path))
        if not found:
            table.add_row('', '', 'nothing that can be read')
        console.print(table)


def write_page(path: str, results: Results) -> None:
    """A gallery of the results."""
    from vlpeft.visualization import TextQuery, write_gallery

    names = {clip: os.path.relpath(clip) for found in results.values() for clip, _ in found}
    queries = [TextQuery(query, None, None, found) for query, found in results.items()]
    write_gallery(path, 'What the model finds', queries, [], load_frames, names)


def load_frames(path: str) -> np.ndarray:
    """Eight frames at even distances; an image twice, because a page plays at least two."""
    from vlpeft.apis.media_files import MEDIA
    from vlpeft.datasets.readers import ImageReader, PyAVReader

    if MEDIA[Path(path).suffix.lower()] == 'image':
        return ImageReader().read(path, [0, 0])
    reader = PyAVReader()
    return reader.read(path, np.linspace(0, reader.probe(path).num_frames - 1, FRAMES).round().astype(int).tolist())


def main(argv: list[str] | None = None) -> int:
    """Index, search, print."""
    args = parse_args(argv)
    from vlpeft import RetrievalInferencer
    from vlpeft.apis.build import load_model_config
    from vlpeft.apis.media_files import find_media
    from vlpeft.engine.console import quiet_console
    from vlpeft.engine.report import check_writable

    # Refused before the model is built.
    load_model_config(args.config, {})
    find_media(args.folder)
    if args.html:
        check_writable(args.html)
    checkpoint = dict(zoo=None, none='base').get(args.checkpoint, args.checkpoint)
    with quiet_console(on_error=True):
        finder = RetrievalInferencer(args.config, checkpoint, args.device)
        for query in args.query:
            finder.unknown_words(query)  # refused before files are encoded, which may take long
        finder.index(args.folder, args.index, args.keep_tokens)
        results = {query: finder.search(query, args.top, args.rerank) for query in args.query}
    show(results, plain_console())
    if args.html:
        write_page(args.html, results)
        print(f'page: {args.html}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
