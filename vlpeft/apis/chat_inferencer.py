"""Conversations about images and videos, answered by image-text-to-text models."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from vlpeft.datasets import ClipError
from vlpeft.models.finite import naming
from vlpeft.zoo.model_index import ZooModel

from .adapted_inferencer import AdaptedInferencer
from .build import BASE_ONLY
from .chat_model import base_of, find_chat_model
from .chat_questions import Asked, Files, conversation, is_conversation, pairs
from .chat_settings import Answering, answering
from .folder_adapters import FolderAdapters, is_adapter_folder
from .hub_folder import is_hub_folder
from .media_files import PathLike
from .named_adapters import NamedAdapters
from .text_inferencer import progress


class Reply(NamedTuple):
    """What a model answers.

    Attributes:
        files: Paths of all images and videos of the conversation.
        question: The last text of the user.
        answer: None where the conversation could not be used.
        score: Where scores were asked for, from 0 to 1: of a written answer the geometric mean of its tokens'
            probabilities, the end token among them; of one of ``choices`` its probability among them.
        error: Why there is no answer.
    """

    files: tuple[str, ...]
    question: str
    answer: str | None
    score: float | None
    error: str | None = None


class ChatInferencer(AdaptedInferencer):
    """Answers questions in conversations about images and videos.

    Prompts are those of the training: made by the config's ``PackChat`` of the same turns. Single questions are asked
    in the words of the config's data (``ToChat``), if it has any; conversations are taken as they are.

    Args:
        model: A config of :class:`ImageTextLM`: a name of the zoo or a file; a folder or hub name of an
            image-text-to-text model of transformers; or an adapter folder that names such a model.
        checkpoint: Path or URL of the trained parts; or an adapter folder, made by ``vlpeft.attach(…).save`` or HF
            PEFT; 'base' for the model alone. Defaults to None: what the zoo publishes, and nothing for a model of
            transformers.
        device, dtype: As of :class:`AdaptedInferencer`; a model of transformers has the ``dtype`` of its config.
        adapters: Checkpoints, or adapter folders, by name. Defaults to None.
        packing: Settings of :class:`PackChat` in place of the config's, such as ``prompt`` for a family without chat
            template, ``num_frames`` or ``image_options``. Defaults to None.
        task: Which of several tasks of a config. Defaults to None, the only one.
        **overrides: Settings of the config's ``model``; of a model of transformers ``attn_implementation``,
            ``quantization`` and ``processor``.

    Raises:
        ValueError: The model holds no conversations; checkpoints and adapter folders are mixed; a wrong setting.
        ZooError, FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`.
        AdapterFolderError: A folder is damaged, or belongs to another model.

    Examples:
        >>> from vlpeft import ChatInferencer
        >>> ask = ChatInferencer('vlm/lora_qwen2.5-vl-3b_own-chat', 'epoch_1.pth')
        >>> ask('hinge.jpg', 'Which part is broken?').answer
        'the left hinge'
        >>> chat = ask.chat(('before.jpg', 'after.jpg'))
        >>> chat.say('What changed?').answer
        'The lid is open.'
        >>> chat.say('Since when?').answer
        'Monday'
    """

    def __init__(
        self,
        model: PathLike,
        checkpoint: PathLike | None = None,
        device: str | None = None,
        dtype: str | None = None,
        adapters: Mapping[str, PathLike] | None = None,
        packing: Mapping[str, Any] | None = None,
        task: str | None = None,
        **overrides: Any,
    ) -> None:
        self._reads = threading.RLock()
        self._asked = dict(task=task, packing=dict(packing or {}))
        if is_adapter_folder(model) and not is_hub_folder(model):
            if checkpoint is not None:
                raise ValueError(f'{model} is an adapter folder, and so checkpoint={str(checkpoint)!r} has no place')
            model, checkpoint = base_of(model), model
        given = [path for path in (checkpoint, *(adapters or {}).values()) if path not in (None, BASE_ONLY)]
        self.by_folders = any(is_adapter_folder(path) for path in given)
        super().__init__(model, checkpoint, device, dtype, adapters, **overrides)

    def read_config(self, cfg: Config, name: str) -> None:
        """Nothing more: :meth:`load_config` has told how it reads."""

    def load_config(self, model: PathLike, overrides: Mapping[str, Any]) -> tuple[Config, ZooModel | None]:
        """The config behind a name, or one that is made for a model of transformers."""
        found = find_chat_model(model, overrides, **self._asked)
        self.packing = found.packing
        if not found.is_config:
            self.by_folders = True
        elif self.by_folders:
            # The method is the folder's.
            for name in ('adapter', 'trainable'):
                found.cfg.model.pop(name, None)
        return found.cfg, found.entry

    def find_checkpoint(self, model: PathLike, entry: ZooModel | None, checkpoint: PathLike | None) -> Path | None:
        """As of configs; an adapter folder is its own file, and a model of transformers needs none."""
        if self.by_folders:
            return None if checkpoint in (None, BASE_ONLY) else self.find_file(checkpoint)
        return super().find_checkpoint(model, entry, checkpoint)

    def find_file(self, path: PathLike) -> Path:
        """The local file or folder of an adapter.

        Raises:
            ValueError: It is of the other kind.
        """
        if self.by_folders != is_adapter_folder(path):
            kinds = ('adapter folder', 'checkpoint') if self.by_folders else ('checkpoint', 'adapter folder')
            raise ValueError(
                f'{path} is no {kinds[0]}: '
                + ('here methods are those of adapter folders' if self.by_folders else "the method is the config's")
            )
        return Path(path).expanduser() if self.by_folders else super().find_file(path)

    def make_adapters(self, cfg: Config, base_first: bool) -> NamedAdapters | FolderAdapters:
        """By checkpoints or by folders."""
        if self.by_folders:
            return FolderAdapters(self.model, 'vlm', base_first)
        return super().make_adapters(cfg, base_first)

    def __call__(
        self,
        files: Any = None,
        text: str | None | list[str | None] = None,
        scores: bool = False,
        adapter: Any = ...,
        batch_size: int | None = None,
        **settings: Any,
    ) -> Reply | list[Reply]:
        """Answers a question, or several.

        Args:
            files: What is shown: a path of an image or video, a tuple of several, None for nothing; a list of these for
                several questions. Or, without ``text``, a conversation (a record of any of
                :mod:`vlpeft.chat.layouts`, or a list of turns), or a list of conversations.
            text: What the user says, or a list. Files stand before it, unless it has a placeholder such as ``<image>``
                for each. Left out where the config's data ask the same of every file.
            scores: Whether answers have scores. Defaults to False.
            adapter: Name of the adapter that acts; None for the model alone. Defaults to the first that was given.
            batch_size: Conversations at a time. Defaults to None, the config's; drawn answers are made one by one.
            **settings: Of :func:`~vlpeft.apis.chat_settings.answering`: ``max_new_tokens``, ``num_beams``,
                ``temperature`` with ``seed`` and ``top_p``, ``choices`` with ``chosen_by``.

        Returns:
            The reply; a list where lists were given, in their order. Of several, those whose files cannot be read, or
            whose texts are refused, have the reason as ``error``.

        Raises:
            ValueError: A blank text; numbers of files and texts that do not fit; a wrong setting; no such adapter; or
                no conversation can be used.
            ClipError: The file of the only question cannot be read.
            ChatError: A conversation is malformed.
            NonFiniteError: The logits of a conversation are NaN or infinite.
        """
        if text is None and (is_conversation(files) or _are_conversations(files)):
            single = is_conversation(files)
            asked = [conversation(one) for one in ([files] if single else files)]
        else:
            items, single = pairs(files, text)
            asked = [self.packing.request.asked(*item) for item in items]
        found = self.reply(asked, scores, adapter, batch_size, **settings)
        return found[0] if single else found

    @property
    def media(self) -> tuple[str, ...]:
        """Kinds of files that the model takes, 'image', and 'video' where it or ``packing`` has a way for them."""
        pack = self.packing.pack
        has_videos = pack.videos_as == 'images' or getattr(pack.processor, 'video_processor', None) is not None
        return ('image', 'video') if has_videos else ('image',)

    def chat(self, files: Files = None) -> 'Chat':
        """A dialogue that keeps its turns.

        Args:
            files: What the first question shows: a path of an image or video, or several. Defaults to None, nothing.
        """
        return Chat(self, files)

    def reply(
        self, asked: Sequence[Asked], scores: bool, adapter: Any, batch_size: int | None, **settings: Any
    ) -> list[Reply]:
        """Replies to conversations, in their order. Arguments and errors: of the call."""
        chosen = self._chosen(adapter)
        how = answering(self.model.tasks[self.packing.task], **settings)
        size = self.packing.batch_size if batch_size is None else batch_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f'batch_size={size!r}; it is a number of conversations, at least 1')
        size = size if how.sampling is None else 1
        found, errors = [], []
        with progress('answer', len(asked), size) as show:
            for start in range(0, len(asked), size):
                batch = [self._packed(one) for one in asked[start : start + size]]
                errors += [sample for sample in batch if isinstance(sample, Exception)]
                found += self._answered(asked[start : start + size], batch, chosen, how, scores)
                show(len(batch))
        if len(errors) == len(found):
            if len(errors) == 1:
                raise errors[0]
            raise ValueError(f'none of {len(found)} conversations can be used; the first: {errors[0]}')
        return found

    def preprocess(self, asked: Asked) -> dict[str, Any]:
        """A packed sample: what the processor makes of a conversation, up to where the model speaks.

        Raises:
            ClipError: A file cannot be read.
            ValueError: The processor refuses it, or it is too long; or a text holds a special token.
        """
        with self._reads:
            return self.packing.pack(asked.sample())

    def _packed(self, asked: Asked) -> dict[str, Any] | Exception:
        try:
            return self.preprocess(asked)
        except (ClipError, ValueError) as error:
            return error

    @torch.no_grad()
    def forward(
        self, samples: Sequence[Mapping[str, Any]], how: Answering, scores: bool = False
    ) -> list[tuple[str, float | None]]:
        """Answers to packed samples, with their scores where these are asked for, by the adapter that acts."""
        batch = dict(inputs=[one['inputs'] for one in samples], data_samples=[one['data_samples'] for one in samples])
        data = self.model.data_preprocessor(batch)
        inputs = self.model.cast(data['inputs'])
        with self.model.switch.task(self.packing.task), naming(data['data_samples']):
            if scores:
                best = [found[0] for found in self.model.candidates(inputs, how.task, how.sampling)]
                return [(one.text, one.probability) for one in best]
            return [(text, None) for text in self.model.answer(inputs, how.task, how.sampling)]

    def _answered(
        self, asked: Sequence[Asked], batch: Sequence, adapter: str | None, how: Answering, scores: bool
    ) -> Iterator[Reply]:
        # By what they show: GLM-4V cannot tell images from videos in one batch.
        kinds: dict[frozenset[str], list[int]] = {}
        for row, sample in enumerate(batch):
            if not isinstance(sample, Exception):
                kinds.setdefault(frozenset(sample['inputs']), []).append(row)
        answers: dict[int, tuple[str, float | None]] = {}
        for rows in kinds.values():
            with self._adapters.using(adapter):
                answers.update(zip(rows, self.forward([batch[row] for row in rows], how, scores)))
        for row, (one, sample) in enumerate(zip(asked, batch)):
            yield Reply(one.files, one.text, *(answers[row] if row in answers else (None, None, _reason(one, sample))))


class Chat:
    """A dialogue with a model.

    Args:
        inferencer: The model.
        files: What the first question shows. Defaults to None, nothing.

    Attributes:
        so_far: The conversation up to the last answer's question, None before the first.
    """

    def __init__(self, inferencer: ChatInferencer, files: Files = None) -> None:
        self.inferencer, self.files = inferencer, files
        self.so_far: Asked | None = None
        self._answer: str | None = None

    def say(self, text: str | None = None, files: Files = None, **settings: Any) -> Reply:
        """Says something and keeps it with the answer; where that fails nothing has been said.

        Args:
            text: What the user says. Left out where the config's data ask the same of every file.
            files: Images and videos that this turn shows. Defaults to None: those of the dialogue, in its first turn.
            **settings: As of a call of :class:`ChatInferencer`: ``scores``, ``adapter``, ``max_new_tokens``, …

        Raises:
            Exception: As of a call.
        """
        first = self.so_far is None
        shown = files if not first or files is not None else self.files
        asked = self.inferencer.packing.request.asked(shown, text, first)
        if not first:
            asked = self.so_far.then(self._answer, asked)
        options = dict(dict(scores=False, adapter=..., batch_size=None), **settings)
        (reply,) = self.inferencer.reply([asked], **options)
        self.so_far, self._answer = asked, reply.answer
        return reply

    @property
    def turns(self) -> list[dict]:
        """All turns, as :mod:`vlpeft.chat.conversation` has them."""
        if self.so_far is None:
            return []
        return [*self.so_far.turns, dict(role='assistant', content=[dict(type='text', text=self._answer)])]


def _reason(asked: Asked, error: Exception) -> str:
    """Why a conversation cannot be used; the only file need not be named."""
    return error.reason if isinstance(error, ClipError) and error.reason and len(asked.files) == 1 else str(error)


def _are_conversations(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_conversation(one) for one in value)
