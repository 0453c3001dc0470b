"""Times the two layouts of stored features: one HDF5 file per image against one packed file.

Writes the same random features in both into a temporary folder, reads them in random order through a dataset whose
pipeline is LoadFeatures, by MMEngine's data loader, in turn, and compares all tensors. Figures are medians over passes,
with the files in the operating system's cache as far as memory goes; with --cold they are dropped from it before each
pass, as if the set were larger than memory.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.progress import track
from torch.utils.data import DataLoader

from vlpeft.engine.messages import run_main

LAYOUTS = dict(files='one file per image', packed='one packed file')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--items', type=int, default=10000, help='images (default: 10000)')
    parser.add_argument('--cells', type=int, default=49, help='cells of an image (default: 49)')
    parser.add_argument('--dims', type=int, default=2048, help='dims of a cell, float16 (default: 2048)')
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64')
    parser.add_argument(
        '--workers',
        type=int,
        default=0,
        help='processes of the data loader (default: 0, none beside '
        'this one, which times reading without the transport between processes)',
    )
    parser.add_argument('--passes', type=int, default=3, help='timed passes over each layout (default: 3)')
    parser.add_argument('--cold', action='store_true', help='drop the files from the cache before each pass (Linux)')
    parser.add_argument(
        '--tmp',
        help="parent of the temporary folder (default: the system's); it needs 2 x items x "
        'cells x dims x 2 bytes, by default 4 GB',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


class NamesOnly(BaseDataset):
    """Samples that consist of a name."""

    def __init__(self, count: int, **kwargs) -> None:
        self.count = count
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        return [dict(name=name) for name in image_names(self.count)]


def image_names(count: int) -> list[str]:
    return [f'COCO_train2014_{number:012d}' for number in range(count)]


def generate(folder: Path, args: argparse.Namespace) -> dict[str, dict]:
    """Write both layouts; returns the configs of their readers."""
    from vlpeft.datasets.features_file import FeatureFolder, PackedFeatures

    size, names = args.cells * args.dims, image_names(args.items)
    # Image i gets the window of this noise that begins at i, so that all differ and none is slow to make.
    noise = np.random.default_rng(0).standard_normal(size + args.items).astype(np.float16)
    readers = dict(
        files=dict(type='HDF5Reader', root=str(folder / 'files')),
        packed=dict(type='PackedHDF5Reader', file=str(folder / 'packed.h5')),
    )
    with (
        closing(FeatureFolder(readers['files']['root'], {})) as files,
        closing(PackedFeatures(readers['packed']['file'], names, (args.cells, args.dims), {})) as packed,
    ):
        for start in track(range(0, args.items, 64), description='writing', disable=args.json):
            rows = range(start, min(start + 64, args.items))
            block = np.stack([noise[row : row + size].reshape(args.cells, args.dims) for row in rows])
            for writer in (files, packed):
                writer.write([names[row] for row in rows], block)
    return readers


def build_loader(reader: dict, args: argparse.Namespace) -> DataLoader:
    """A training loader in random order, the same for every reader."""
    return Runner.build_dataloader(
        dict(
            batch_size=args.batch_size,
            num_workers=args.workers,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=NamesOnly(args.items, pipeline=[dict(type='LoadFeatures', reader=reader)]),
        ),
        seed=0,
    )


def drop_from_cache(folder: Path) -> None:
    for path in folder.rglob('*.h5'):
        with path.open('rb') as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_of_a_pass(loader: DataLoader) -> float:
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def same_tensors(one: DataLoader, other: DataLoader) -> bool:
    return all(
        first['name'] == second['name'] and torch.equal(first['features'], second['features'])
        for first, second in zip(one, other, strict=True)
    )


def measure(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(dir=args.tmp, prefix='benchmark_features_') as folder:
        readers = generate(Path(folder), args)
        loaders = {layout: build_loader(reader, args) for layout, reader in readers.items()}
        same = same_tensors(*loaders.values())
        seconds = {layout: [] for layout in loaders}
        for _ in range(args.passes):
            for layout, loader in loaders.items():
                if args.cold:
                    drop_from_cache(Path(folder))
                seconds[layout].append(seconds_of_a_pass(loader))
    speed = {layout: args.items / median(times) for layout, times in seconds.items()}
    return dict(
        items=args.items,
        shape=(args.cells, args.dims),
        workers=args.workers,
        cold=args.cold,
        same_tensors=same,
        seconds=seconds,
        items_per_second=speed,
        ratio=speed['packed'] / speed['files'],
    )


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    init_default_scope('vlpeft')
    result = measure(args)
    if args.json:
        print(json.dumps(result))
        return 0 if result['same_tensors'] else 1
    size = args.items * args.cells * args.dims * 2 / 1e9
    print(
        f'{args.items:,} images of ({args.cells}, {args.dims}) float16, {size:.2f} GB; batches of {args.batch_size}, '
        f'{args.workers} workers, {"cold" if args.cold else "warm"} cache, {args.passes} passes each'
    )
    for layout, speed in result['items_per_second'].items():
        times = ', '.join(f'{value:.2f}' for value in result['seconds'][layout])
        print(f'  {LAYOUTS[layout]:20}{speed:10,.0f} items/s   ({times} s)')
    print(f'  ratio {result["ratio"]:.2f}, tensors {"are the same" if result["same_tensors"] else "DIFFER"}')
    return 0 if result['same_tensors'] else 1


if __name__ == '__main__':
    sys.exit(run_main(main))
