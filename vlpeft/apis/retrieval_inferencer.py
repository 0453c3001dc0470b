"""Searching folders of videos and images by text."""

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import print_log
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vlpeft.checkpoint.identity import base_identity
from vlpeft.datasets import ClipError
from vlpeft.datasets.transforms import CleanText
from vlpeft.engine.progress import stream_console
from vlpeft.models.finite import check_finite, naming
from vlpeft.models.known_words import words_of
from vlpeft.models.tasks import Retriever
from vlpeft.models.tasks.reranker import ClipBank, TextBank, score_pairs
from vlpeft.registry import MODELS, TRANSFORMS

from .adapted_inferencer import AdaptedInferencer
from .media_files import MediaFile, PathLike, find_media
from .retrieval_index import EncodedFile, RetrievalIndex, check_name
from .texts import check_readable

RERANKED = 32
CLIPS_PER_CHUNK = 8


class Found(NamedTuple):
    """A file that answers a text, and its score: the match logit if it was re-ranked, else the cosine similarity."""

    path: str
    score: float


class RetrievalInferencer(AdaptedInferencer):
    """Indexes videos and images once and searches them by text.

    Frames are picked and resized as the config's test pipeline does, texts are cleaned as it does. Each adapter has an
    index of its own.

    Args:
        model: A retrieval model: name in the zoo, or path of a config file.
        checkpoint: Path or URL of the trained parts; 'base' for the base alone. Defaults to None, what the zoo
            publishes for the model.
        device, dtype, adapters: As of :class:`AdaptedInferencer`.
        **overrides: Settings of the config's ``model``, as for :func:`vlpeft.get_model`.

    Attributes:
        skipped: Path and reason of each file that the last call could not read.

    Raises:
        ValueError: The config's model does not retrieve; there is no such device or number format.
        ZooError, FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`.

    Examples:
        >>> from vlpeft import RetrievalInferencer
        >>> finder = RetrievalInferencer('quickstart_uniadapter', 'epoch_5.pth').index('videos')
        >>> finder.search('a red circle slides sideways', top=1)
        [Found(path='/home/me/videos/a.mp4', score=2.31)]
    """

    def read_config(self, cfg: Config, name: str) -> None:
        """How files and texts are read, and what of the config decides the encoding."""
        kind = MODELS.get(cfg.model.type)
        if kind is not None and not issubclass(kind, Retriever):
            raise ValueError(f'{name}: a {cfg.model.type} does not retrieve; choose a config of a Retriever')
        loader = cfg.test_dataloader
        self.batch_size, self.num_workers = loader.batch_size, loader.num_workers
        steps = [TRANSFORMS.build(step) for step in loader.dataset.pipeline]
        self.pipeline = Compose(steps)
        self.cleaners = [step for step in steps if isinstance(step, CleanText)]
        self.skipped: dict[str, str] = {}
        self._identity = _config_identity(cfg, self.dtype)
        self._indexes: dict[str | None, RetrievalIndex] = {}

    @property
    def encoded(self) -> RetrievalIndex:
        """The index of the adapter that acts where no name is given."""
        return self._index_of(self._chosen(...))

    def _index_of(self, adapter: str | None) -> RetrievalIndex:
        if adapter not in self._indexes:
            weights = dict(checkpoint=self._checkpoint_identity(adapter), base=self.model.base)
            self._indexes[adapter] = RetrievalIndex(dict(config=self._identity, **weights))
        return self._indexes[adapter]

    def _checkpoint_identity(self, adapter: str | None) -> dict[str, str] | None:
        """Of what was trained; switched off, of the parts that keep the values of the first checkpoint."""
        files = self._adapters.files
        if adapter is not None:
            return base_identity(files[adapter])
        if not self.kept:
            return None
        first = base_identity(next(iter(files.values())))
        digest = hashlib.sha256(f'{first["sha256"]} switched off'.encode()).hexdigest()
        return dict(name=f'{first["name"]}, switched off', sha256=digest)

    def index(
        self,
        files: PathLike | Sequence[PathLike],
        save_to: PathLike | None = None,
        keep_tokens: bool = False,
        adapter: Any = ...,
    ) -> 'RetrievalInferencer':
        """Encodes what is new or has changed; files that have gone from an indexed folder leave the index.

        Unreadable files are left out, logged, and listed in ``skipped``.

        Args:
            files: A folder, searched with the folders below it; a file; or a list of files.
            save_to: Index file (``.safetensors``): read first if it exists, and written at the end, also when the call
                is interrupted. Defaults to None.
            keep_tokens: Keep the vision tokens too, so that re-ranking need not read and encode its candidates again: T
                · N · D floats a file, 4.8 MB for BLIP-base on 8 frames of 224 px. Defaults to False.
            adapter: Whose index; None for the base alone. Defaults to the first that was given.

        Returns:
            Itself.

        Raises:
            FileNotFoundError: A path does not exist.
            ValueError: No video or image found, ``save_to`` has another suffix, or there is no such adapter.
            IndexMismatchError: ``save_to`` holds the index of another model.
        """
        adapter = self._chosen(adapter)
        encoded = self._index_of(adapter)
        media = find_media(files)
        if save_to is not None:
            check_name(save_to)
            if Path(save_to).exists():
                self.load(save_to, adapter)
        named = [files] if isinstance(files, (str, Path)) else files
        # A changed file goes at once: should it be unreadable now, its old features would be wrong.
        encoded.drop_changed(media, {Path(os.path.abspath(path)) for path in named})
        wanted = [file for path, file in media.items() if encoded.lacks(path, keep_tokens)]
        try:
            self.skipped = {}
            with self._adapters.using(adapter):
                for entry in self._encode(wanted, keep_tokens, 'encode'):
                    encoded.entries[entry.file.path] = entry
        finally:
            if save_to is not None:
                self.save(save_to, adapter)
        return self

    def search(self, text: str, top: int = 5, rerank: bool | int = True, adapter: Any = ...) -> list[Found]:
        """The files that fit a text best.

        Args:
            text: What to look for.
            top: Results. Defaults to 5.
            rerank: How many candidates, found by their features, are matched with the text and ordered by the match;
                True for 32, False for none. A model without matching head uses features alone. Defaults to True.
            adapter: Which acts, in its index; None for the base alone. Defaults to the first that was given.

        Returns:
            Best first, at most ``top``.

        Raises:
            ValueError: Nothing is indexed, ``text`` is blank or has no word that the model knows, ``top`` is less than
                1, ``rerank`` is negative, or there is no such adapter.
            TypeError: ``text`` is no text.
            NonFiniteError: A similarity or a match is NaN or infinite; names the first file.
        """
        check_query(text)
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise ValueError(f'search: top={top} must be at least 1, a whole number')
        if not isinstance(rerank, int) or rerank < 0:
            raise ValueError(f'search: rerank={rerank} must be 0 (no matching) or the number of candidates')
        adapter = self._chosen(adapter)
        indexed = self._index_of(adapter)
        if not indexed.entries:
            filled = [str(name) for name, index in self._indexes.items() if index.entries]
            other = f' with this adapter, as for {", ".join(filled)}' if filled else ''
            raise ValueError(f'the index is empty; call index(folder) or load(file) first{other}')
        if unknown := self.unknown_words(text):
            print_log(
                f'search {text!r}: the vocabulary of the model does not know {_listed(unknown)}, so the results answer '
                'the other words alone',
                'current',
                logging.WARNING,
            )
        text = self._clean(text)
        with self._adapters.using(adapter):
            found = self._found(text, indexed, top, RERANKED if rerank is True else int(rerank))
        return sorted(found, key=lambda item: -item.score)[:top]

    def _found(self, text: str, indexed: RetrievalIndex, top: int, candidates: int) -> list[Found]:
        with torch.no_grad():
            feature = self.model.encode_text(self.model.tokenizer([text], self.device))[0].float().cpu()
        similarity = indexed.features() @ feature
        with naming(list(indexed.entries)):
            check_finite('similarities', similarity)
        rerank = candidates > 0 and self.model.matches
        best = similarity.topk(min(max(candidates, top) if rerank else top, len(similarity)))
        entries = list(indexed.entries.values())
        chosen = [entries[i] for i in best.indices.tolist()]
        if rerank:
            return self._match(text, feature, chosen)
        return [Found(entry.file.path, score) for entry, score in zip(chosen, best.values.tolist())]

    def unknown_words(self, text: str) -> list[str]:
        """The words of a query that the model's vocabulary does not know, of which it so cannot tell anything.

        Args:
            text: What to look for.

        Raises:
            ValueError: It is blank, or the vocabulary knows no word of it.
            TypeError: It is no text.
        """
        check_query(text)
        words = words_of(self._clean(text))
        unknown = self.model.tokenizer.unknown_words(words)
        if not words:
            raise ValueError(f'search: the text {text!r} has no word')
        if set(unknown) >= {*words}:
            raise ValueError(
                f'search: the vocabulary of the model knows no word of the text {text!r}: {_listed(unknown)} '
                f'{"is" if len(unknown) == 1 else "are"} unknown to it; say it in other words'
            )
        return unknown

    def save(self, path: PathLike, adapter: Any = ...) -> None:
        """Writes the index (``.safetensors``) of an adapter with the identity of the model: hashes of config,
        checkpoint and base.
        """
        self._index_of(self._chosen(adapter)).save(path)

    def load(self, path: PathLike, adapter: Any = ...) -> 'RetrievalInferencer':
        """Reads an index for the adapter that made it; files indexed before stay.

        Returns:
            Itself.

        Raises:
            IndexMismatchError: Another model made it.
            FileNotFoundError, CheckpointError: There is no such file, or it is damaged.
        """
        self._index_of(self._chosen(adapter)).load(path)
        return self

    def __len__(self) -> int:
        return len(self.encoded.entries)

    def _clean(self, text: str) -> str:
        for step in self.cleaners:
            text = step.transform(dict(text=text))['text']
        return text

    @torch.no_grad()
    def _encode(self, files: Sequence[MediaFile], keep_tokens: bool, bar: str | None = None) -> Iterator[EncodedFile]:
        """Encodes files; ``bar`` is what a progress bar says, which several batches have."""
        if not files:
            return
        loader = DataLoader(
            _Clips(files, self.pipeline), self.batch_size, num_workers=self.num_workers, collate_fn=list
        )
        shows = bar is not None and len(loader) > 1
        for batch in track(loader, bar, console=stream_console(True)) if shows else loader:
            shapes: dict[tuple[int, ...], list] = defaultdict(list)
            for file, clip in batch:
                if isinstance(clip, str):
                    self.skipped[file.path] = clip
                    print_log(f'skipped {file.path}: {clip}', 'current', logging.WARNING)
                else:
                    shapes[clip.shape].append((file, clip))
            for group in shapes.values():
                inputs = torch.stack([clip for _, clip in group])
                inputs = self._in_format(self.model.data_preprocessor(dict(inputs=inputs))['inputs'])
                states = self.model.encode_vision(inputs)
                tokens = states.tokens.flatten(1, 2).float().cpu() if keep_tokens else [None] * len(group)
                feature, frames = (value.float().cpu() for value in (states.feature, states.frames))
                for (file, _), *encoded in zip(group, feature, frames, tokens):
                    yield EncodedFile(file, *encoded)

    def _match(self, text: str, feature: Tensor, chosen: Sequence[EncodedFile]) -> list[Found]:
        self.skipped = {}
        ready = [entry for entry in chosen if entry.tokens is not None]
        ready += self._encode([entry.file for entry in chosen if entry.tokens is None], keep_tokens=True)
        texts = TextBank([torch.tensor(self.model.tokenizer.ids([text])[0])], self._in_format(feature[None]))
        shapes: dict[tuple, list] = defaultdict(list)
        for entry in ready:
            shapes[entry.tokens.shape, entry.frames.shape].append(entry)
        found = []
        for group in shapes.values():
            clips = ClipBank(
                {i: self._in_format(entry.tokens) for i, entry in enumerate(group)},
                self._in_format(torch.stack([entry.frames for entry in group])),
            )
            scores = score_pairs(
                self.model,
                clips,
                texts,
                {i: [0] for i in range(len(group))},
                CLIPS_PER_CHUNK,
                CLIPS_PER_CHUNK,
                self.device,
            )
            with naming([entry.file.path for entry in group]):
                check_finite('match logits', torch.cat([scores[i] for i in range(len(group))]))
            found += [Found(entry.file.path, scores[i].item()) for i, entry in enumerate(group)]
        return found


def check_query(text: str) -> None:
    """Refuses what no model can search.

    Raises:
        ValueError: It is blank.
        TypeError: It is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f'search: text={text!r} must be a text')
    if not text.strip():
        raise ValueError(f'search: the text {text!r} is blank; say what to look for')
    check_readable(text, 'search: the text')


def _listed(words: Sequence[str]) -> str:
    return ', '.join(map(repr, words))


class _Clips(Dataset):
    """Files to (file, uint8 clip (T, 3, H, W)), or (file, reason) where one cannot be read."""

    def __init__(self, files: Sequence[MediaFile], pipeline: Compose) -> None:
        self.files, self.pipeline = files, pipeline

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[MediaFile, Tensor | str]:
        file = self.files[number]
        try:
            return file, self.pipeline(dict(path=file.path, media=file.media, name=file.path))['inputs']
        except ClipError as error:
            return file, error.reason


def _config_identity(cfg: Config, dtype: torch.dtype | None) -> dict[str, str]:
    """Of what decides the encoding: the model, without where its base lies, the pipeline, and the number format."""
    model = {key: value for key, value in cfg.model.to_dict().items() if key != 'base_checkpoint'}
    pipeline = [step.to_dict() for step in cfg.test_dataloader.dataset.pipeline]
    parts = [model, pipeline, *([] if dtype is None else [str(dtype)])]
    text = json.dumps(parts, sort_keys=True, default=str)
    return dict(name=Path(cfg.filename).name, sha256=hashlib.sha256(text.encode()).hexdigest())
