"""Convert Flickr30K annotations on Karpathy's splits to one JSON-lines file per split."""

import sys

from vlpeft.datasets.conversion.karpathy import load_images
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.engine.messages import run_main

SIZES = dict(train=Size(29000, 145000), val=Size(1014, 5070), test=Size(1000, 5000))
SOURCES = """
SRC holds dataset_flickr30k.json (Karpathy's), or flickr30k_train.json, flickr30k_val.json and flickr30k_test.json
(BLIP's); and the images in flickr30k-images/.

DST/{split}.jsonl gets one {"image": "flickr30k-images/1000092795.jpg", "caption": ["...", ...]} a line, for
JSONLRetrieval; paths are relative to the folder that holds flickr30k-images/.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__, SOURCES, list(SIZES), list(SIZES), '.', 'flickr30k.py data/flickr30k data/flickr30k', argv
    )
    return convert(
        args, SIZES, lambda split: load_images(args.src, 'dataset_flickr30k.json', f'flickr30k_{split}.json', split)
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
