"""The file that the servers of NoCaps and of COCO captions take."""

import json
from typing import Any

from vlpeft.registry import METRICS

from .submissions import Submission


@METRICS.register_module()
class CaptionSubmission(Submission):
    """Writes the captions for a server: ``[{"image_id": int, "caption": str}, …]``.

    A result has ``sample_id``, the image's number, and ``pred_caption``; an unreadable image gets an empty caption. The
    metric ``captions`` counts them. Arguments and errors: :class:`Submission`; the file ends with '.json', the prefix
    is 'caption_submission'.
    """

    default_prefix = 'caption_submission'
    key_fields = ('sample_id',)
    prediction_field = 'pred_caption'
    counts = 'captions'

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        number = sample['sample_id']
        if not isinstance(number, int):
            raise ValueError(f'the server identifies images by integers, got sample_id={number!r}')
        return dict(caption=prediction)

    def content(self, results: list[dict]) -> str:
        return json.dumps([dict(image_id=result['sample_id'], caption=result['caption']) for result in results])
