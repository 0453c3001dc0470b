"""The last step of a pipeline of conversations: the processor of the model, run on one sample in the worker."""

import logging
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import Tensor

from vlpeft.chat import ChatError, encode, render_prompt, render_template

from ...registry import TRANSFORMS
from ..processors import check_options, load_processor
from .chat_media import ChatMedia
from .pack import FIELDS

TRAIN_ON, TOO_LONG, VIDEOS_AS = ('all', 'last'), ('refuse', 'drop'), ('video', 'images')


@TRANSFORMS.register_module()
class PackChat(BaseTransform):
    """Pack a conversation as ``dict(inputs={name: Tensor}, data_samples=BaseDataElement)``.

    Needs ``turns`` (:mod:`vlpeft.chat.conversation`), ``images`` and ``videos``, as :class:`JSONLChat` and
    :class:`ToChat` give them. Where the last turn is the assistant's (training), ``inputs`` hold the prompt, the
    answers and ``labels`` (1, L), -100 but in answers and their end tokens; where it is the user's (test), the prompt
    up to where the assistant speaks, token for token what training had there. All else in ``inputs`` is as the
    processor returns it, of batch dimension 1. ``data_samples`` has what there is of the fields that
    :class:`PackSample` packs.

    Args:
        processor: Hub name or folder of the processor. It is loaded at first use, once in each process.
        prompt: For families without chat template (PaliGemma, BLIP-2, Florence-2) or in place of it: a ``str.format``
            template with ``{question}`` and, where the image tokens must be written, ``{images}``. Defaults to None,
            the processor's chat template.
        answer: With ``prompt``: template with ``{answer}``. Defaults to '{answer}'.
        system: System text of conversations that have none. Defaults to None.
        train_on: 'all' answers or the 'last' one. Defaults to 'all'.
        encoder_decoder: Whether the language model has an encoder, which reads the prompt, and a decoder, whose labels
            are the answer alone (BLIP-2 with T5, Florence-2). Defaults to False.
        max_length: Largest number of tokens, those of images included. Nothing is ever cut. Defaults to None, any.
        too_long: What becomes of longer samples: 'refuse' raises, 'drop' takes another sample in training. Defaults to
            'refuse'.
        image_options: Options of the image processor by name, such as ``dict(max_pixels=401408)``, ``size`` or
            ``crop_to_patches``. Defaults to None.
        video_options: Likewise of the video processor. Defaults to None.
        videos_as: 'video', or 'images': each frame an image, for families without videos. Defaults to 'video'.
        num_frames: Frames T of a video. Defaults to 8.
        sampling: How they are chosen, see :class:`LoadClip`. Defaults to 'middle'.
        reader: Config of the video reader. Defaults to dict(type='DecordReader').
        image_reader: Config of the image reader. Defaults to dict(type='ImageReader').
        task: Task of the sample, for models of several tasks. Defaults to None.
        extra_fields: Further fields which the model and the metrics get. Defaults to ().

    Raises:
        ValueError: An unknown choice or field of a template; on use: no such processor, an option that it does not
            have, a sample that it refuses or that is too long.
        ClipError: On use: an image or a video cannot be read.
    """

    def __init__(
        self,
        processor: str,
        prompt: str | None = None,
        answer: str = '{answer}',
        system: str | None = None,
        train_on: str = 'all',
        encoder_decoder: bool = False,
        max_length: int | None = None,
        too_long: str = 'refuse',
        image_options: Mapping[str, Any] | None = None,
        video_options: Mapping[str, Any] | None = None,
        videos_as: str = 'video',
        num_frames: int = 8,
        sampling: str = 'middle',
        reader: dict = dict(type='DecordReader'),
        image_reader: dict = dict(type='ImageReader'),
        task: str | None = None,
        extra_fields: Sequence[str] = (),
    ) -> None:
        for name, value, valid in (
            ('train_on', train_on, TRAIN_ON),
            ('too_long', too_long, TOO_LONG),
            ('videos_as', videos_as, VIDEOS_AS),
        ):
            if value not in valid:
                raise ValueError(f'PackChat: {name} is {value!r}; valid: {", ".join(valid)}')
        if max_length is not None and max_length < 1:
            raise ValueError(f'PackChat: max_length must be at least 1, got {max_length}')
        if prompt is not None:
            _check_template('prompt', prompt, 'question', ('question', 'images'))
        if prompt is None and answer != '{answer}':
            raise ValueError(
                "PackChat: 'answer' belongs to 'prompt'; with a chat template the template renders answers"
            )
        _check_template('answer', answer, 'answer', ('answer',))
        self.source, self.prompt, self.answer, self.system = processor, prompt, answer, system
        self.train_on, self.encoder_decoder = train_on, encoder_decoder
        self.max_length, self.too_long = max_length, too_long
        self.options = dict(image=dict(image_options or {}), video=dict(video_options or {}))
        self.videos_as = videos_as
        self.media = ChatMedia(num_frames, sampling, reader, image_reader)
        self.task = task
        self.packed = [name for name in (*FIELDS, *extra_fields) if name != 'task']
        self._checked = False

    @property
    def readers(self) -> dict[str, Any]:
        """Readers of images and videos by kind."""
        return self.media.clips.readers

    @property
    def num_frames(self) -> int:
        """Frames of a video."""
        return self.media.clips.num_frames

    @property
    def processor(self) -> Any:
        """The processor of transformers, loaded and checked at first use.

        Raises:
            ValueError: See the class.
        """
        processor = load_processor(self.source)
        if not self._checked:
            for kind, options in self.options.items():
                check_options(processor, kind, options)
            if self.prompt is None and not _has_template(processor):
                raise ValueError(
                    f'PackChat: processor {self.source!r} ({type(processor).__name__}) has no chat template; give '
                    "prompt='…{question}…', as its model was trained"
                )
            self._checked = True
        return processor

    def transform(self, results: dict) -> dict | None:
        inputs = self.inputs(results)
        length = tokens_of(inputs)
        if self.max_length is not None and length > self.max_length:
            said = f'{_name(results)} has {length:,} tokens, images included, more than max_length={self.max_length:,}'
            # A test that leaves samples out would report a figure of others.
            if self.too_long == 'refuse' or not _for_training(results['turns']):
                raise ValueError(
                    f'PackChat: {said}; nothing is cut: raise it, give smaller images (image_options), or '
                    "in training leave such samples out with too_long='drop'"
                )
            print_log(f'{said}: another sample takes its place', logger='current', level=logging.WARNING)
            return None
        task = {} if self.task is None else dict(task=self.task)
        sample = BaseDataElement(**task, **{name: results[name] for name in self.packed if name in results})
        return dict(inputs=inputs, data_samples=sample)

    def inputs(self, results: Mapping[str, Any]) -> dict[str, Tensor]:
        """Tensors of a sample, whatever its length.

        Raises:
            ValueError, ClipError: See the class.
        """
        turns, processor = list(results['turns']), self.processor
        if self.system is not None and turns[0]['role'] != 'system':
            turns.insert(0, dict(role='system', content=[dict(type='text', text=self.system)]))
        options = {f'{kind}s_kwargs': dict(options) for kind, options in self.options.items() if options}
        images, videos = [self.media.image(path) for path in results['images']], []
        found = [self.media.video(path, _part(results)) for path in results['videos']]
        try:
            if found and self.videos_as == 'images':
                turns, images = _as_images(turns, images, [frames for frames, _ in found])
            elif found:
                if getattr(processor, 'video_processor', None) is None:
                    raise ChatError(
                        f"{type(processor).__name__} takes no videos; videos_as='images' shows their frames"
                    )
                videos = [frames for frames, _ in found]
                known = dict(do_sample_frames=False, video_metadata=[known for _, known in found])
                options['videos_kwargs'] = known | options.get('videos_kwargs', {})
            if self.prompt is None:
                rendered = render_template(processor, turns, self.train_on == 'last')
            else:
                rendered = render_prompt(processor, turns, self.prompt, self.answer)
            return encode(processor, rendered, images, videos, self.encoder_decoder, options)
        except ChatError as error:
            raise ValueError(f'PackChat: {_name(results)}: {error}') from error


def tokens_of(inputs: Mapping[str, Tensor]) -> int:
    """Number of tokens of a sample: ids, or labels where there are more."""
    return max(inputs[name].shape[1] for name in ('input_ids', 'labels') if name in inputs)


def _has_template(processor: Any) -> bool:
    return bool(getattr(processor, 'chat_template', None) or processor.tokenizer.chat_template)


def _for_training(turns: Sequence[dict]) -> bool:
    return turns[-1]['role'] == 'assistant'


def _name(results: Mapping[str, Any]) -> str:
    key = results.get('sample_id', results.get('question_id'))
    shown = f' ({results["name"]})' if results.get('name') else ''
    return f'sample{"" if key is None else f" {key!r}"}{shown}'


def _part(results: Mapping[str, Any]) -> dict[str, float]:
    return {key: results[key] for key in ('start', 'end') if key in results}


def _as_images(turns: Sequence[dict], images: Sequence, videos: Sequence) -> tuple[list[dict], list]:
    """Turns and images with each video as the images that it is made of."""
    from PIL import Image

    stills, clips, shown, changed = iter(images), iter(videos), [], []
    for turn in turns:
        content = []
        for part in turn['content']:
            new = []
            if part['type'] == 'image':
                new = [next(stills)]
            elif part['type'] == 'video':
                new = [Image.fromarray(frame) for frame in next(clips)]
            content += [dict(type='image') for _ in new] or [part]
            shown += new
        changed.append(dict(turn, content=content))
    return changed, shown


def _check_template(name: str, template: str, needed: str, known: Sequence[str]) -> None:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ValueError(f'PackChat: {name} {template!r}: {error}') from error
    if unknown := [field for field in fields if field not in known]:
        raise ValueError(f"PackChat: {name} {template!r} has the field '{unknown[0]}'; fields are {', '.join(known)}")
    if needed not in fields:
        raise ValueError(f"PackChat: {name} {template!r} lacks the field '{{{needed}}}'")
