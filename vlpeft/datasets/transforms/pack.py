"""The last step of a pipeline: what the collate and the model receive."""

from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from ...registry import TRANSFORMS

FIELDS = ('text', 'texts', 'text_ids', 'clip_id', 'name', 'frame_indices')


@TRANSFORMS.register_module()
class PackClip(BaseTransform):
    """Pack a clip and its annotation as ``dict(inputs=uint8 (T, 3, H, W), data_samples=BaseDataElement)``.

    Fields of ``data_samples``: ``clip_id``, ``name``, ``frame_indices`` and ``text`` (training) or ``texts`` and
    ``text_ids`` (test).
    """

    def transform(self, results: dict) -> dict:
        sample = BaseDataElement(**{key: results[key] for key in FIELDS if key in results})
        return dict(inputs=results['clip'].contiguous(), data_samples=sample)
