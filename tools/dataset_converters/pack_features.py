"""Pack a folder of one HDF5 file per image into one HDF5 file, or unpack one."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from vlpeft.datasets.conversion.feature_report import EXIT_CODES, report
from vlpeft.datasets.features_file import FeatureFolder, PackedFeatures, file_origin, folder_origin, stored_names
from vlpeft.datasets.readers import ClipError, FeatureReader, HDF5Reader, PackedHDF5Reader
from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps

BATCH = 64
EPILOG = f"""
SRC is a folder of {{name}}.h5 files (HDF5Reader), which is packed into the file DST (PackedHDF5Reader), or a packed
file, which is unpacked into the folder DST. All features must have the shape of the first. Then everything in DST is
read back and compared with SRC. Run it again after an interruption: what is stored stays, the rest is done.
{EXIT_CODES}

Example: python tools/dataset_converters/pack_features.py data/COCO/clip_features/data_clip_RN101_att data/COCO/rn101.h5
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, metavar='SRC', help='folder to pack, or packed file to unpack')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write, or folder')
    parser.add_argument('--no-verify', action='store_true', help='do not read everything back')
    return parser.parse_args(argv)


def copy(reader: FeatureReader, names: Sequence[str], writer) -> dict[str, str]:
    """Store the features of ``names``; returns reasons by name of what could not be read."""
    failures = {}
    with Steps('copying', len(names)) as steps:
        for start in range(0, len(names), BATCH):
            batch = {}
            for name in names[start : start + BATCH]:
                try:
                    batch[name] = reader.read(name)
                except ClipError as error:
                    failures[name] = error.reason
                steps.step()
            if batch:
                writer.write(list(batch), np.stack(list(batch.values())))
    return failures


def verify(source: FeatureReader, copied: FeatureReader, names: Sequence[str]) -> dict[str, str]:
    """Compare what both hold; returns reasons by name of what differs."""
    failures = {}
    with Steps('verifying', len(names)) as steps:
        for name in names:
            if not np.array_equal(source.read(name), copied.read(name)):
                failures[name] = 'DIFFERS from the source; delete the destination and run again'
            steps.step()
    return failures


def open_both(src: Path, dst: Path) -> tuple[FeatureReader, FeatureReader, list[str], object]:
    """Reader of SRC, reader of DST, names in SRC, writer of DST.

    Raises:
        ValueError: SRC is not there or holds no features, or DST holds others.
        ClipError: The packed file, or the first file of the folder, cannot be read.
    """
    if not src.exists():
        raise ValueError(f'no folder or file {src}')
    if src.is_file():
        source = PackedHDF5Reader(str(src))
        return source, HDF5Reader(str(dst)), source.names(), FeatureFolder(dst, file_origin(src))
    names = stored_names(src)
    if not names:
        raise ValueError(f'no *.h5 in {src}')
    first = HDF5Reader(str(src)).read(names[0])
    writer = PackedFeatures(dst, names, first.shape, folder_origin(src), first.dtype)
    return HDF5Reader(str(src), first.shape), PackedHDF5Reader(str(dst)), names, writer


def run(args: argparse.Namespace) -> int:
    source, copied, names, writer = open_both(args.src, args.dst)
    with closing(writer):
        todo = writer.missing(names)
        failures = copy(source, todo, writer)
    stored, before = len(todo) - len(failures), len(names) - len(todo)
    if not args.no_verify:
        failures.update(verify(source, copied, [name for name in names if name not in failures]))
    return report(stored, before, args.dst, failures)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return run(args)
    except (ClipError, ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(run_main(main))
