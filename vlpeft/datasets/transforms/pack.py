"""The last step of a pipeline: what the collate, the model and the metrics receive."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from ...registry import TRANSFORMS

#: All that a packed sample may carry beside its ``inputs``; each has what there is of these. A model adds its answer
#: as ``pred_answer`` or ``pred_caption``, a test set ``unreadable``, the reason, where another clip stands in.
FIELDS = dict(
    task="its task, by which the model knows how to train and to answer: PackSample's `task`",
    name='the clip, or the stored features, as the annotations name it',
    frame_indices='numbers of the frames that `LoadClip` read',
    text='retrieval, training: a caption; for language models: all that the encoder reads, or the prompt',
    texts='retrieval, test: all captions of the clip',
    text_ids='retrieval, test: their numbers in the set',
    clip_id="retrieval: the clip's number in the set; TVC and YC2C: the moment's id",
    question='questions: as asked',
    answers='questions, training: the distinct answers',
    weights='questions, training: their weights',
    question_id='questions, test: the id of the question',
    gold="questions, test: all annotators' answers, where public",
    label='questions, test: scores of answers, where the set has them',
    question_type='questions, test: the type under which figures are also reported',
    answer_type='questions, test: likewise',
    target='language models, training: the text to be written',
    weight='language models, training: the weight of its loss',
    sample_id='captions, test: the id of what is described',
    references='captions, test: all captions, where public',
    vid_name='TVC and YC2C: the video',
    ts='TVQA, How2QA and TVC: the time stamp as annotated',
)
#: What sets give to, and steps tell, the steps of a pipeline alone.
WORKING_FIELDS = (
    *('path', 'paths', 'names', 'media', 'start', 'end', 'sample_idx'),
    *('clip', 'features', 'waveform', 'sample_rate'),
    *('caption', 'statement', 'choices', 'subtitles'),
)


@TRANSFORMS.register_module()
class PackSample(BaseTransform):
    """Pack a sample as ``dict(inputs=Tensor, data_samples=BaseDataElement)``.

    ``inputs`` are the ``clip``, uint8 (T, 3, H, W), an image being one frame; without one the ``features``: stored ones
    (I, N, F) of I images, N cells and F channels; images (I, 3, H, W); or the filter-bank energies of a sound (1,
    frames, bins). ``data_samples`` has what there is of ``FIELDS``.

    Args:
        task: Task of the sample, for models of several tasks. Defaults to None, for those that have one.
        extra_fields: Further fields, of a set or a step of your own, which the model and the metrics get too. Defaults
            to ().

    Raises:
        ValueError: On use: the sample has a field that is none of these, or neither a clip nor features.
    """

    def __init__(self, task: str | None = None, extra_fields: Sequence[str] = ()) -> None:
        self.task, self.extra_fields = task, tuple(extra_fields)
        self.packed = [name for name in (*FIELDS, *self.extra_fields) if name != 'task']
        self.known = {*self.packed, *WORKING_FIELDS}

    def transform(self, results: dict) -> dict:
        unknown = [name for name in results if name not in self.known]
        if unknown:
            raise ValueError(
                f"PackSample: a sample has no field '{unknown[0]}'; its fields are {', '.join(self.packed)}, and for "
                f'steps of the pipeline alone {", ".join(WORKING_FIELDS)}. Name a field of a set of your own in '
                'extra_fields'
            )
        inputs = results.get('clip', results.get('features'))
        if inputs is None:
            raise ValueError(
                "PackSample: the sample has neither 'clip' nor 'features', which steps before it load; it has "
                f'{", ".join(results)}'
            )
        task = {} if self.task is None else dict(task=self.task)
        sample = BaseDataElement(**task, **{name: results[name] for name in self.packed if name in results})
        return dict(inputs=inputs.contiguous(), data_samples=sample)
