"""Convert NoCaps' validation captions to one JSON-lines file for all images and one for each domain."""

import sys
from functools import cache

from vlpeft.datasets.annotations import AnnotationError
from vlpeft.datasets.coco_caption import read_coco_captions
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.records import field
from vlpeft.engine.messages import run_main

SIZES = {
    'val': Size(4500, 45000),
    'in-domain': Size(648, 6480),
    'near-domain': Size(2938, 29380),
    'out-domain': Size(914, 9140),
}
FILE = 'nocaps_val_4500_captions.json'
SOURCES = f"""
SRC holds {FILE}, and the images in val/.

DST/{{split}}.jsonl gets one {{"image": "0013ea2087020901.jpg", "caption": ["...", ten of them]}} a line, for
JSONLCaption with data_prefix=dict(media='val'): val is all images, the others are those whose "domain" is of that
name, so that each can be scored by itself. Other numbers than the known ones are reported. COCOCaption reads
{FILE} without conversion, and nocaps_test_image_info.json, whose captions are not public.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), 'val', 'nocaps.py data/nocaps data/nocaps', argv)

    @cache
    def images() -> list[tuple[str, dict, list[str]]]:
        return list(read_coco_captions(str(args.src / FILE)))

    return convert(
        args,
        SIZES,
        lambda split: [
            _line(where, image, captions)
            for where, image, captions in images()
            if split in ('val', field(where, image, 'domain', str))
        ],
        strict=False,
    )


def _line(where: str, image: dict, captions: list[str]) -> dict:
    if not captions:
        raise AnnotationError(f'{where}: no captions')
    return dict(image=field(where, image, 'file_name', str), caption=captions)


if __name__ == '__main__':
    sys.exit(run_main(main))
