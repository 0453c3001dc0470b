"""Store the grid features of a frozen vision backbone for all images of one or more folders."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.datasets.conversion.feature_report import EXIT_CODES, report
from vlpeft.datasets.features_file import FeatureFolder, PackedFeatures
from vlpeft.datasets.readers import ClipError
from vlpeft.datasets.transforms import LoadImages
from vlpeft.engine import config_file
from vlpeft.engine.arguments import Overrides, existing_config
from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps
from vlpeft.models.backbones.grid_tower import GridTower
from vlpeft.models.data_preprocessor import ClipDataPreprocessor

SUFFIXES = ('.jpg', '.jpeg', '.png')
EPILOG = f"""
CONFIG is a Python config with a backbone and the normalisation it was trained with (RGB order, values 0 to 255):
  model = dict(type='mmpretrain.ModifiedResNet', depth=101, output_dim=512)    # CLIP's, as VL-PET's features
  data_preprocessor = dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
Any backbone of mmpretrain will do that gives a map or tokens, and a whole classifier, whose backbone is taken.

Images (jpg, png; subfolders are not searched) are named by their stems and resized to exactly SIZE x SIZE, bicubic.
DST is one file, with --layout packed (for PackedHDF5Reader), or a folder, with --layout files ({{name}}.h5 for
HDF5Reader).
Run it again after an interruption: what is stored stays, the rest is done. New images are added.
{EXIT_CODES}

Example: python tools/dataset_converters/extract_features.py data/coco/train2014 data/coco/val2014 data/coco/rn101.h5 \\
    --layout packed --pool 6 --config rn101.py --checkpoint rn101.pth
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, nargs='+', metavar='SRC', help='folders of images')
    parser.add_argument('dst', type=Path, metavar='DST', help='folder or file to write')
    parser.add_argument('--config', type=existing_config, required=True, help='config with model and data_preprocessor')
    parser.add_argument('--checkpoint', required=True, help='weights of the backbone: a path or URL')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        default={},
        metavar='KEY=VALUE',
        help='override config entries, such as model.backbone.out_type=raw',
    )
    parser.add_argument('--layout', choices=['files', 'packed'], default='packed', help='default: packed')
    parser.add_argument('--size', type=int, default=224, help='side of the resized images in pixels (default: 224)')
    parser.add_argument(
        '--pool',
        type=int,
        metavar='SIDE',
        help='max-pool the grid to SIDE x SIDE cells (7 to 6 as '
        'the model otherwise does in every step); default: as the backbone gives it',
    )
    parser.add_argument('--batch-size', type=int, default=64, help='images per pass (default: 64)')
    parser.add_argument('--workers', type=int, default=4, help='processes that read images (default: 4)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s')
    return parser.parse_args(argv)


class Images(Dataset):
    """(name, uint8 (3, S, S)) of every image, or (name, reason) of an unreadable one."""

    def __init__(self, paths: dict[str, Path], size: int) -> None:
        self.paths = list(paths.items())
        self.load = LoadImages(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, Tensor | str]:
        name, path = self.paths[index]
        try:
            return name, self.load(dict(path=str(path)))['features'][0]
        except ClipError as error:
            return name, error.reason


def find_images(folders: Sequence[Path]) -> dict[str, Path]:
    """Images by stem, in the order of folders and names.

    Raises:
        ValueError: No folder, no image, or two images of one stem.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f'no folder {folder}')
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            if path.stem in found:
                raise ValueError(f'{found[path.stem]} and {path} have the same stem, which names their features')
            found[path.stem] = path
    if not found:
        raise ValueError(f'no image ({", ".join(SUFFIXES)}) in {", ".join(map(str, folders))}')
    return found


def read_config(path: str, options: dict) -> tuple[dict, dict]:
    """Backbone, and mean and std.

    Raises:
        ValueError: A key is missing.
    """
    config = config_file.read_config(path)
    config.merge_from_dict(options)
    norm = config.get('data_preprocessor', {})
    missing = [key for key in ('mean', 'std') if key not in norm]
    if 'model' not in config or missing:
        raise ValueError(
            f'{path}: expected model=dict(type=…) and data_preprocessor=dict(mean=…, std=…); there are '
            f'{", ".join(config) or "no keys"}'
        )
    backbone = config.model.get('backbone', config.model)
    return backbone.to_dict(), dict(mean=list(norm['mean']), std=list(norm['std']))


def extract(tower: GridTower, normalise: ClipDataPreprocessor, loader: DataLoader, writer) -> dict[str, str]:
    """Store what the loader gives; returns reasons by name of what could not be read."""
    failures = {}
    with Steps('extracting', len(loader.dataset)) as steps:
        for batch in loader:
            failures.update({name: value for name, value in batch if isinstance(value, str)})
            good = {name: value for name, value in batch if not isinstance(value, str)}
            if good:
                cells = tower(normalise(dict(inputs=torch.stack(list(good.values()))))['inputs']).half()
                if not torch.isfinite(cells).all():
                    raise ValueError(
                        f'features of {", ".join(good)} overflow float16; use a backbone with a norm at '
                        'its end (final_norm=True)'
                    )
                writer.write(list(good), cells.cpu().numpy())
            steps.step(len(batch))
    return failures


def run(args: argparse.Namespace) -> int:
    paths = find_images(args.src)
    backbone, norm = read_config(args.config, args.cfg_options)
    tower = GridTower(backbone, args.pool)
    checkpoint = fetch(args.checkpoint)
    print(tower.load(checkpoint))
    tower, normalise = tower.to(args.device), ClipDataPreprocessor(**norm).to(args.device)
    made_by = dict(model=backbone, checkpoint=file_sha256(checkpoint), size=args.size, pool=args.pool, **norm)
    if args.layout == 'files':
        writer = FeatureFolder(args.dst, made_by)
    else:
        shape = tower(torch.zeros(1, 3, args.size, args.size, device=args.device)).shape[1:]
        writer = PackedFeatures(args.dst, list(paths), tuple(shape), made_by)
    with closing(writer):
        todo = writer.missing(paths)
        loader = DataLoader(
            Images({name: paths[name] for name in todo}, args.size),
            args.batch_size,
            num_workers=args.workers,
            collate_fn=list,
        )
        failures = extract(tower, normalise, loader, writer)
    return report(
        len(todo) - len(failures),
        len(paths) - len(todo),
        args.dst,
        {str(paths[name]): reason for name, reason in failures.items()},
    )


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return run(args)
    except (ValueError, OSError, CheckpointError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(run_main(main))
