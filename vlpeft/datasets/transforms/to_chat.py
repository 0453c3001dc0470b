"""Questions and captions of any set as conversations."""

from string import Formatter

from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .seq2seq import DrawTarget

TARGETS = ('drawn', 'most_common')


@TRANSFORMS.register_module()
class ToChat(BaseTransform):
    r"""Ask a sample of a set of questions or captions in a conversation, for :class:`PackChat`.

    Adds ``turns``, ``images`` and ``videos``. In training, where the sample has ``answers`` with ``weights`` or a
    ``caption``, the answer is a turn of the assistant; in a test there is none.

    Args:
        prompt: What the user says: a ``str.format`` template over the fields of the sample, such as
            ``'{question}\nAnswer with one word.'`` or ``'Describe the image.'``.
        target: 'drawn' draws one of several answers anew at every access, by their weights (:class:`DrawTarget`);
            'most_common' takes the one of the largest weight, of equal ones the first. Defaults to 'drawn'.
        system: System text. Defaults to None.

    Raises:
        ValueError: A malformed template or an unknown ``target``; on use: the sample lacks a field.
    """

    def __init__(self, prompt: str, target: str = 'drawn', system: str | None = None) -> None:
        if target not in TARGETS:
            raise ValueError(f'ToChat: target is {target!r}; valid: {", ".join(TARGETS)}')
        try:
            self.fields = [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
        except ValueError as error:
            raise ValueError(f'ToChat: prompt {prompt!r}: {error}') from error
        if not all(name.isidentifier() for name in self.fields):
            raise ValueError(f'ToChat: prompt {prompt!r}: fields must be plain names like {{question}}')
        self.prompt, self.target, self.system = prompt, target, system
        self.draw = DrawTarget()

    def transform(self, results: dict) -> dict | None:
        absent = [name for name in self.fields if name not in results]
        if absent:
            raise ValueError(
                f"ToChat: prompt {self.prompt!r} asks for '{absent[0]}'; the sample has {', '.join(sorted(results))}"
            )
        if not {'path', 'paths'} & results.keys():
            raise ValueError(f'ToChat: the sample names no image or video; it has {", ".join(sorted(results))}')
        paths = results['paths'] if 'paths' in results else [results['path']]
        kind = results.get('media', 'image')
        if kind == 'audio':
            raise ValueError(f'ToChat: {results["path"]} is a sound, which no model of image and text hears')
        asked = self.prompt.format_map({name: results[name] for name in self.fields})
        turns = [] if self.system is None else [_said('system', self.system)]
        turns.append(dict(role='user', content=[*(dict(type=kind) for _ in paths), dict(type='text', text=asked)]))
        if 'caption' in results or 'weights' in results:
            answer = self._answer(results)
            if not answer:
                return None  # none of its answers counts, so another sample takes its place
            turns.append(_said('assistant', answer))
        shown = dict(images=[], videos=[]) | {f'{kind}s': list(paths)}
        return dict(results, turns=turns, **shown)

    def _answer(self, results: dict) -> str:
        if self.target == 'most_common' and 'weights' in results:
            weights = results['weights']
            best = max(range(len(weights)), key=weights.__getitem__, default=None)
            return results['answers'][best] if best is not None and weights[best] > 0 else ''
        return self.draw.transform(dict(results))['target']


def _said(role: str, text: str) -> dict:
    return dict(role=role, content=[dict(type='text', text=text)])
