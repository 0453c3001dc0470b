"""Times reading of videos and images: clips a second by decoding library and by number of worker processes.

Videos (H.264 mp4 with moving shapes over noise) and images (JPEG) are made in a temporary folder. A sample is what the
recipes load: T frames from the middles of T equal parts of a video, or an image, resized for the model. They pass
through MMEngine's data loader, in turn for all readers; figures are medians over passes, with files in the operating
system's cache. Before that, frames that the libraries read at the same places are compared.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import av
import numpy as np
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from vlpeft.benchmarks.interleave import interleaved
from vlpeft.engine.arguments import Positive
from vlpeft.engine.messages import run_main

READERS = dict(decord=('decord', 'DecordReader'), pyav=('av', 'PyAVReader'))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--videos', type=int, action=Positive, default=24, help='default: 24')
    parser.add_argument('--seconds', type=int, action=Positive, default=10, help='of a video, at 25 fps (default: 10)')
    parser.add_argument('--size', type=int, action=Positive, nargs=2, default=[320, 240], metavar=('W', 'H'))
    parser.add_argument('--frames', type=int, action=Positive, default=8, help='frames of a clip (default: 8)')
    parser.add_argument('--images', type=int, action=Positive, default=96, help='of 640 x 480 pixels (default: 96)')
    parser.add_argument(
        '--pixels', type=int, action=Positive, default=224, help='side of a frame in the end (default: 224)'
    )
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 1, 2], help='worker processes (default: 0 1 2)')
    parser.add_argument('--passes', type=int, action=Positive, default=3, help='timed passes of each (default: 3)')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


def installed() -> dict[str, str]:
    """Versions of the libraries that are there."""
    found = {}
    for name, (package, _) in READERS.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def draw(height: int, width: int, number: int) -> np.ndarray:
    """A frame (H, W, 3): a bright square that moves over noise."""
    frame = np.random.default_rng(number).integers(60, 120, (height, width, 3), dtype=np.uint8)
    left = 4 * number % max(width - height // 4, 1)
    frame[height // 3 : height // 3 + height // 4, left : left + height // 4] = (220, 180, 40)
    return frame


def write_media(folder: Path, args: argparse.Namespace) -> None:
    """Videos and images with annotations. The videos are copies of one: decoding does not depend on which it is."""
    width, height = args.size
    first = folder / 'video_0.mp4'
    with av.open(str(first), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.options = {'preset': 'veryfast'}
        for number in range(25 * args.seconds):
            frame = av.VideoFrame.from_ndarray(draw(height, width, number), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    videos = [str(first)]
    for number in range(1, args.videos):
        path = folder / f'video_{number}.mp4'
        path.write_bytes(first.read_bytes())
        videos.append(str(path))
    images = [str(folder / f'image_{number}.jpg') for number in range(args.images)]
    for number, path in enumerate(images):
        Image.fromarray(draw(480, 640, number)).save(path, quality=90)
    for media, paths in dict(video=videos, image=images).items():
        lines = (
            json.dumps({media: Path(path).name, 'caption': f'number {number}'}) for number, path in enumerate(paths)
        )
        (folder / f'{media}.jsonl').write_text('\n'.join(lines), encoding='utf-8')


def loader(folder: Path, media: str, reader: str, workers: int, args: argparse.Namespace, resize: bool = True):
    """Test batches of a recipe. Workers are started afresh: forked ones would share decord's threads with this process,
    which has read with decord itself.
    """
    pipeline = [dict(type='LoadClip', num_frames=args.frames, reader=dict(type=reader))]
    pipeline += [dict(type='ClipResize', size=args.pixels)] if resize else []
    started = dict(persistent_workers=True, multiprocessing_context='spawn') if workers else {}
    return Runner.build_dataloader(
        dict(
            batch_size=8,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='vlpeft.collate_clips'),
            dataset=dict(
                type='JSONLRetrieval',
                data_root=str(folder),
                ann_file=f'{media}.jsonl',
                test_mode=True,
                pipeline=[*pipeline, dict(type='PackSample')],
            ),
            **started,
        ),
        seed=0,
    )


def run_through(batches: DataLoader) -> None:
    for _ in batches:
        pass


def differ_by(folder: Path, names: list[str], args: argparse.Namespace) -> float | None:
    """Largest mean difference of a frame's pixels, of 255, between the first library and any other."""
    clips = [loader(folder, 'video', READERS[name][1], 0, args, resize=False).dataset[0]['inputs'] for name in names]
    first, *others = (clip.float() for clip in clips)
    return max((float((first - other).abs().mean((1, 2, 3)).max()) for other in others), default=None)


def measure(args: argparse.Namespace) -> dict:
    versions = installed()
    if not versions:
        raise ValueError('no video reader is installed: decord or av')
    with tempfile.TemporaryDirectory(prefix='benchmark_readers_') as folder:
        write_media(Path(folder), args)
        counts = dict(video=args.videos, image=args.images)
        ways = {(name, workers): ('video', READERS[name][1]) for name in versions for workers in args.workers}
        ways.update({('image', workers): ('image', 'DecordReader') for workers in args.workers})
        loaders = {way: loader(Path(folder), media, reader, way[1], args) for way, (media, reader) in ways.items()}
        calls = {way: lambda batches=batches: run_through(batches) for way, batches in loaders.items()}
        seconds = interleaved(calls, args.passes, warm_up=1)
        rows = [
            dict(
                reader=way[0],
                workers=way[1],
                per_second=counts[ways[way][0]] / median(found),
                slowest=counts[ways[way][0]] / max(found),
                fastest=counts[ways[way][0]] / min(found),
            )
            for way, found in seconds.items()
        ]
        return dict(
            versions=versions,
            missing=[name for name in READERS if name not in versions],
            frames=args.frames,
            seconds=args.seconds,
            size=args.size,
            pixels=args.pixels,
            passes=args.passes,
            frames_differ_by=differ_by(Path(folder), list(versions), args),
            rows=rows,
        )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    init_default_scope('vlpeft')
    found = measure(args)
    if args.json:
        print(json.dumps(found))
        return
    width, height = args.size
    print(
        f'clips of {args.frames} frames out of {args.seconds} s of {width} x {height} H.264, and JPEGs of 640 x 480, '
        f'to {args.pixels} x {args.pixels} pixels; '
        + ', '.join(f'{name} {text}' for name, text in found['versions'].items())
    )
    for name in found['missing']:
        print(f'  {name} is not installed')
    for row in found['rows']:
        unit = 'images' if row['reader'] == 'image' else 'clips'
        print(
            f'  {row["reader"]:<7}{row["workers"]:>3} workers {row["per_second"]:10.1f} {unit}/s   '
            f'({row["slowest"]:.1f} to {row["fastest"]:.1f})'
        )
    if found['frames_differ_by'] is not None:
        print(f'  frames of the two libraries differ by at most {found["frames_differ_by"]:.2f} of 255 on average')


if __name__ == '__main__':
    sys.exit(run_main(main))
