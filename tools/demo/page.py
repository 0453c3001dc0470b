"""Serves a page in which models search, answer and describe, with their adapter and without."""

import argparse
import sys
from importlib.util import find_spec

from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s
  %(prog)s --search uniadapter/blip_msrvtt work_dirs/uniadapter/blip_msrvtt/epoch_5.pth holiday/
  %(prog)s --ask mine.py work_dirs/mine/epoch_5.pth --caption ours.py work_dirs/ours/epoch_20.pth --port 8080

Without --search, --ask and --caption the trained runs of the quickstart are shown, those that are below
work_dirs/quickstart. CONFIG is a file, a name of the zoo, or a path below its configs; CHECKPOINT is a file or URL, or
"zoo" for the published one. The page needs Gradio: pip install -e '.[demo]'"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = dict(nargs=2, metavar=('CONFIG', 'CHECKPOINT'))
    parser.add_argument(
        '--search',
        nargs=3,
        metavar=('CONFIG', 'CHECKPOINT', 'FOLDER'),
        help='retrieval model, and the folder of videos and images that it searches, with the folders below it',
    )
    parser.add_argument('--ask', help='model that answers questions', **model)
    parser.add_argument('--caption', help='model that describes pictures, videos or sounds', **model)
    parser.add_argument('--port', type=int, default=7860, help='0 takes a free one (default: %(default)s)')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='whom the page is for: this machine alone by default; 0.0.0.0 serves everyone who reaches this machine',
    )
    parser.add_argument('--device', help='default: the GPU if there is one')
    args = parser.parse_args(argv)
    if not 0 <= args.port < 2**16:
        parser.error(f'--port must be from 0 to {2**16 - 1}, got {args.port}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Listen, load, serve."""
    args = parse_args(argv)
    from vlpeft.demo.address import address_of, listen, local_names
    from vlpeft.demo.sources import DemoError, choose_sources

    if find_spec('gradio') is None:
        raise DemoError("the page needs Gradio: pip install -e '.[demo]'")
    sources, missing = choose_sources(args.search, args.ask, args.caption)
    with listen(args.host, args.port) as server:
        print(f'{address_of(server)}  is the page, as soon as the models are loaded; Ctrl-C ends it', flush=True)
        if local_names(server) is None:
            print('Everyone who reaches this machine can open it, and see the files that it searches.', flush=True)
        from vlpeft.demo.assemble import build_tabs
        from vlpeft.quiet import no_info_logs

        with no_info_logs():
            tabs = build_tabs(sources, args.device)
        from vlpeft.demo.server import serve_tabs

        serve_tabs(tabs, missing, server)


if __name__ == '__main__':
    sys.exit(run_main(main))
