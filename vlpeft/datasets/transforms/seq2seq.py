"""From annotations to the text pairs of a sequence-to-sequence model: what the encoder reads, what it should write."""

from string import Formatter

import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from ...registry import TRANSFORMS

FIELDS = (
    'name',
    'text',
    'target',
    'weight',
    'question_id',
    'gold',
    'label',
    'question_type',
    'answer_type',
    'sample_id',
    'references',
    'vid_name',
    'clip_id',
    'ts',
)


@TRANSFORMS.register_module()
class DrawTarget(BaseTransform):
    """Choose the ``target`` text of a training sample and its ``weight``.

    Of ``answers`` with ``weights`` one is drawn anew at every access, answer a with probability w_a / Σ w, and keeps
    its weight w_a. Without answers, or where all weights are 0, the target is '' with weight 0. A ``caption`` is a
    target of weight 1.
    """

    def transform(self, results: dict) -> dict:
        if 'caption' in results:
            target, weight = results['caption'], 1.0
        elif sum(results['weights']) > 0:
            drawn = int(torch.multinomial(torch.tensor(results['weights'], dtype=torch.float64), 1))
            target, weight = results['answers'][drawn], results['weights'][drawn]
        else:
            target, weight = '', 0.0
        results.update(target=target, weight=weight)
        return results


@TRANSFORMS.register_module()
class ComposeText(BaseTransform):
    """Compose ``text``, all that the encoder reads, task prompt included.

    Args:
        template: ``str.format`` template over the fields of the sample, such as ``'vqa: {question}'``.
        rstrip: Characters that are first removed from the end of the fields that are texts. Defaults to ''.

    Raises:
        ValueError: The template is malformed or has a field without a name; on use: the sample lacks a field.
    """

    def __init__(self, template: str, rstrip: str = '') -> None:
        try:
            self.fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
        except ValueError as error:
            raise ValueError(f"ComposeText: template '{template}': {error}") from error
        if not all(name.isidentifier() for name in self.fields):
            raise ValueError(f"ComposeText: template '{template}': fields must be plain names like {{question}}")
        self.template, self.rstrip = template, rstrip

    def transform(self, results: dict) -> dict:
        absent = [name for name in self.fields if name not in results]
        if absent:
            raise ValueError(
                f"ComposeText: template '{self.template}' asks for '{absent[0]}'; the sample has "
                f'{", ".join(sorted(results))}'
            )
        values = {name: results[name] for name in self.fields}
        stripped = {name: value.rstrip(self.rstrip) for name, value in values.items() if isinstance(value, str)}
        results['text'] = self.template.format_map({**values, **stripped})
        return results


@TRANSFORMS.register_module()
class PackText(BaseTransform):
    """Pack a clip or features with texts as ``dict(inputs=Tensor, data_samples=BaseDataElement)``.

    ``inputs`` are the ``clip``, uint8 (T, 3, H, W), an image being one frame; without one the ``features``: stored ones
    (I, N, F) of I images, N cells and F channels; images (I, 3, H, W); or the filter-bank energies of a sound (1,
    frames, bins).
    Fields of ``data_samples``: ``task``, ``name``, ``text`` and

    * in training: ``target`` and ``weight``;
    * for questions in a test: ``question_id`` and, where known, ``gold``, ``label``, ``question_type`` and
      ``answer_type``;
    * for captions in a test: ``sample_id`` and, where public, ``references``; ``vid_name``, ``clip_id`` and ``ts`` of
      VALUE's sets.

    Args:
        task: Task of the sample, by which the model knows how to train and to answer.
    """

    def __init__(self, task: str) -> None:
        self.task = task

    def transform(self, results: dict) -> dict:
        sample = BaseDataElement(task=self.task, **{key: results[key] for key in FIELDS if key in results})
        inputs = results['clip'] if 'clip' in results else results['features']
        return dict(inputs=inputs.contiguous(), data_samples=sample)
