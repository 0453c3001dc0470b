"""From annotations to the text pairs of a sequence-to-sequence model: what the encoder reads, what it should write."""

from string import Formatter

import torch
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS


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
