"""The last step of a pipeline: what the collate and the model receive."""

from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from ...registry import TRANSFORMS

RETRIEVAL_FIELDS = ('text', 'texts', 'text_ids', 'clip_id')
QUESTION_FIELDS = ('question', 'answers', 'weights', 'question_id', 'gold', 'question_type', 'answer_type')
FIELDS = ('name', 'frame_indices', *RETRIEVAL_FIELDS, *QUESTION_FIELDS)


@TRANSFORMS.register_module()
class PackClip(BaseTransform):
    """Pack a clip and its annotation as ``dict(inputs=uint8 (T, 3, H, W), data_samples=BaseDataElement)``.

    Fields of ``data_samples``: ``name``, ``frame_indices`` and

    * retrieval: ``clip_id`` and ``text`` (training) or ``texts`` and ``text_ids`` (test);
    * question answering: ``question`` and ``answers`` with ``weights`` (training) or ``question_id`` and, where known,
      ``gold``, ``question_type`` and ``answer_type`` (test).
    """

    def transform(self, results: dict) -> dict:
        sample = BaseDataElement(**{key: results[key] for key in FIELDS if key in results})
        return dict(inputs=results['clip'].contiguous(), data_samples=sample)
