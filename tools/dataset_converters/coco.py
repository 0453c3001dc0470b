"""Convert COCO annotations on Karpathy's splits to one JSON-lines file per split."""

import sys

from vlpeft.datasets.conversion.karpathy import load_images
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.engine.messages import run_main

SIZES = dict(train=Size(113287, 566747), val=Size(5000, 25010), test=Size(5000, 25010))
SOURCES = """
SRC holds dataset_coco.json (Karpathy's; its 'restval' images are in train), or coco_karpathy_train.json,
coco_karpathy_val.json and coco_karpathy_test.json (BLIP's); and the images in train2014/ and val2014/.

DST/{split}.jsonl gets one {"image": "val2014/COCO_val2014_000000391895.jpg", "caption": ["...", ...]} a line, for
JSONLRetrieval; paths are relative to the folder that holds train2014/ and val2014/.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), '.', 'coco.py data/coco data/coco', argv)
    return convert(
        args, SIZES, lambda split: load_images(args.src, 'dataset_coco.json', f'coco_karpathy_{split}.json', split)
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
