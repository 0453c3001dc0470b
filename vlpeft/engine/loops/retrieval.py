"""Two-stage retrieval over a whole set: features and top-k, then matching scores of the top-k pairs.

Each process encodes and scores its own clips; features and pair scores are shared, and each process ranks its share of
the queries, so that every query counts once on any number of processes. A pair that both directions want is scored
once. A pair's score is match logit + beta · similarity of the features; pairs outside of a query's top-k score -100.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop, ValLoop
from torch import Tensor
from torch.utils.data import DataLoader

from vlpeft.engine.console import FOR_PEOPLE
from vlpeft.engine.progress import Steps
from vlpeft.engine.task_model import task_model
from vlpeft.engine.token_store import TokenStore, announce
from vlpeft.evaluation.functional import best_positive_ranks, best_positive_ranks_in_folds
from vlpeft.models.finite import NonFiniteError, check_finite, label
from vlpeft.models.tasks.frames import frame_weights
from vlpeft.models.tasks.reranker import ClipBank, TextBank, score_pairs
from vlpeft.registry import LOOPS

UNSCORED = -100.0
#: Pairs that are re-ranked in a pass.
PAIRS_PER_BATCH = 256
SHOWN = 10


class Gallery(NamedTuple):
    """Features of the whole set in the order of ``clip_ids`` and ``text_ids``: ``clips`` (C, E), ``frames`` (C, T, E),
    ``texts`` (n, E), unpadded ``tokens``, and ``text_to_clip`` (n,), the row of each text's clip; ``clip_labels`` for
    messages, and for readers ``clip_names`` and the ``words`` of the texts.
    """

    clip_ids: list[int]
    text_ids: list[int]
    clips: Tensor
    frames: Tensor
    texts: Tensor
    tokens: list[Tensor]
    text_to_clip: Tensor
    clip_labels: list[str]
    clip_names: list[str]
    words: list[str]


class TwoStageRetrieval:
    """What the validation and test loops share.

    Args:
        k_test: Candidates per query that are re-ranked; larger than the gallery is clamped with a note.
            0 ranks by features alone. Defaults to 128.
        clips_per_chunk: Clips whose keys and values are held at a time. Defaults to 8.
        amp: Whether to compute under bfloat16 autocast. Defaults to False.
        beta: Weight of the features' cosine similarity, which is added to the match logit. Defaults to 0.
        folds: Also rank within each of this many folds of the set's clips, in their order, by the same scores; 5 gives
            COCO's 1k figures. A query's candidates in its fold are those of its k_test candidates that belong to it.
            Defaults to None.
        token_dtype: Format of the vision tokens that the first stage keeps for re-ranking: ``'float32'``, as they are
            computed, or ``'bfloat16'``, half of that, which moves scores a little. Defaults to ``'float32'``.
        token_folder: Where they are kept, in files without a name that go with the run; a folder on a local disk.
            Defaults to None: memory.

    Raises:
        ValueError: A number is out of range; ``k_test`` is not 0, but the model has no matching head; it is 0 and
            ``beta`` is not; there is no such ``token_dtype``, or the folder cannot be written to.
    """

    #: Stages have bars of their own.
    shows_progress = True
    #: Features of the last evaluation, where ``keeps_gallery`` is set; they are large.
    gallery: Gallery | None

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        k_test: int = 128,
        clips_per_chunk: int = 8,
        amp: bool = False,
        beta: float = 0.0,
        folds: int | None = None,
        token_dtype: str = 'float32',
        token_folder: str | None = None,
    ) -> None:
        self.check_arguments(k_test, clips_per_chunk, folds=folds, token_dtype=token_dtype, token_folder=token_folder)
        super().__init__(runner, dataloader, evaluator)
        self.k_test, self.clips_per_chunk = k_test, clips_per_chunk
        self.amp, self.beta, self.folds = amp, beta, folds
        self.token_dtype, self.token_folder = token_dtype, token_folder
        self.keeps_gallery, self.gallery = False, None
        #: Why files were left out of the last evaluation, by name.
        self.left_out: dict[str, str] = {}
        if k_test and not self.model.matches:
            raise ValueError(
                f'k_test={k_test} re-ranks by matching, for which a model with itm_head=None has no head; '
                f'set {self.phase}_cfg.k_test=0 to rank by features'
            )
        if beta and not k_test:
            raise ValueError(
                f'beta={beta} weighs the features in re-ranking, which {self.phase}_cfg.k_test=0 leaves out'
            )

    @staticmethod
    def check_arguments(
        k_test: int = 128,
        clips_per_chunk: int = 8,
        amp: bool = False,
        beta: float = 0.0,
        folds: int | None = None,
        token_dtype: str = 'float32',
        token_folder: str | None = None,
    ) -> None:
        """Whether the values can be; what starts a run calls it before anything is built.

        Raises:
            ValueError: One cannot.
        """
        TokenStore.check_arguments(token_dtype, token_folder)
        if k_test < 0:
            raise ValueError(f'k_test={k_test} must be 0 (rank by features alone) or the number of candidates')
        for name, value in dict(clips_per_chunk=clips_per_chunk, folds=1 if folds is None else folds).items():
            if value < 1:
                raise ValueError(f'{name}={value} must be at least 1')

    @property
    def model(self):
        """The model without the wrapper of a run of several processes."""
        return task_model(self.runner)

    def run(self) -> dict[str, float]:
        """Evaluates between the hooks of the phase."""
        self.runner.call_hook(f'before_{self.phase}')
        self.runner.call_hook(f'before_{self.phase}_epoch')
        metrics = self.evaluate()
        self.runner.call_hook(f'after_{self.phase}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.phase}')
        return metrics

    def evaluate(self) -> dict[str, float]:
        """Runs both stages and the metrics.

        Raises:
            ValueError: No clip of the set could be read, or there is no room for the vision tokens.
            NonFiniteError: Features or match logits are NaN or infinite; names the first clip.
        """
        self.runner.model.eval()
        device = next(self.model.parameters()).device
        own = len(self.dataloader.batch_sampler.sampler)
        with (
            TokenStore(own, self.token_dtype, self.token_folder) as tokens,
            torch.no_grad(),
            torch.autocast(device.type, torch.bfloat16, enabled=self.amp),
        ):
            with Steps('encode', len(self.dataloader)) as steps:
                gallery, left_out = self._encode(steps, tokens)
            chosen, scores = self._rerank(gallery, tokens, device)
        self._rank(gallery, chosen, scores)
        self.gallery = gallery if self.keeps_gallery else None
        self.left_out = left_out
        size = len(gallery.texts) + len(gallery.text_to_clip.unique())
        metrics = self.evaluator.evaluate(size)
        if left_out:
            metrics['retrieval/left_out'] = len(left_out)
            listed = ', '.join(f'{name} ({reason})' for name, reason in sorted(left_out.items())[:20])
            self.runner.logger.warning(f'{len(left_out)} unreadable clips are left out of the metrics: {listed}')
        return metrics

    def frame_weights(self, text_id: int, clip_id: int) -> list[float] | None:
        """How much each frame of a clip counts for a text (:func:`frame_weights`); None of models that are not
        frame-aware, of single frames, of ids that were not evaluated, and where no gallery is kept.
        """
        kept = self.gallery
        if kept is None or not self.model.frame_aware or kept.frames.shape[1] == 1:
            return None
        try:
            text, clip = kept.text_ids.index(text_id), kept.clip_ids.index(clip_id)
        except ValueError:
            return None
        return frame_weights(kept.texts[text][None], kept.frames[clip][None])[0].tolist()

    def _encode(self, steps: Steps, tokens: TokenStore):
        """First stage. Returns the gallery and {name: reason} left out, and puts this process's clips into ``tokens``,
        by their rows in the gallery.
        """
        clips, texts, left_out, faults = {}, {}, {}, {}
        announced = not self.k_test
        for index, batch in enumerate(self.dataloader):
            self.runner.call_hook(f'before_{self.phase}_iter', batch_idx=index, data_batch=batch)
            data = self.model.data_preprocessor(batch)
            readable = [i for i, sample in enumerate(data['data_samples']) if 'unreadable' not in sample]
            left_out.update(
                {sample.name: sample.unreadable for sample in data['data_samples'] if 'unreadable' in sample}
            )
            out = None
            if readable:
                samples = [data['data_samples'][i] for i in readable]
                out = self.model(data['inputs'][readable], samples, mode='tensor')
                owners = [sample.clip_id for sample in samples for _ in sample.texts]
                faults.update(_faults(out, samples))
                for i, clip in enumerate(out['clip_ids']):
                    clips[clip] = (
                        out['features'][i].float().cpu(),
                        out['frames'][i].float().cpu(),
                        label(samples[i]),
                        samples[i].get('name', f'clip {clip}'),
                    )
                words = [text for sample in samples for text in sample.texts]
                for i, text in enumerate(out['text_ids']):
                    texts[text] = (out['text_features'][i].float().cpu(), out['text_tokens'][i], owners[i], words[i])
            if not announced:
                self._announce(tokens, None if out is None else out['tokens'][0])
                announced = True
            if out is not None and self.k_test:
                for clip, states in zip(out['clip_ids'], out['tokens']):
                    tokens.put(clip, states)
            self.runner.call_hook(f'after_{self.phase}_iter', batch_idx=index, data_batch=batch, outputs=[])
            steps.step()
        if not announced:  # no batch is this process's, but the others wait for it
            self._announce(tokens, None)
        parts = all_gather_object((clips, texts, left_out, faults))
        faults = {clip: fault for part in parts for clip, fault in part[3].items()}
        if faults:  # on every process, so that none waits for another
            raise NonFiniteError(*faults[min(faults)])
        all_clips = {clip: value for part in parts for clip, value in part[0].items()}
        all_texts = {text: value for part in parts for text, value in part[1].items()}
        left_out = {name: reason for part in parts for name, reason in part[2].items()}
        # A clip that sampler padding gave to several processes is scored by the first of them.
        owner = {clip: rank for rank, part in reversed(list(enumerate(parts))) for clip in part[0]}
        clip_order, text_order = sorted(all_clips), sorted(all_texts)
        if not clip_order:
            raise ValueError(f'no clip of the set could be read; {len(left_out)} were left out')
        position = {clip: i for i, clip in enumerate(clip_order)}
        gallery = Gallery(
            clip_order,
            text_order,
            torch.stack([all_clips[clip][0] for clip in clip_order]),
            torch.stack([all_clips[clip][1] for clip in clip_order]),
            torch.stack([all_texts[text][0] for text in text_order]),
            [all_texts[text][1] for text in text_order],
            torch.tensor([position[all_texts[text][2]] for text in text_order]),
            [all_clips[clip][2] for clip in clip_order],
            [all_clips[clip][3] for clip in clip_order],
            [all_texts[text][3] for text in text_order],
        )
        tokens.rename({clip: position[clip] for clip in clips if owner[clip] == get_rank()})
        return gallery, left_out

    def _announce(self, tokens: TokenStore, one: Tensor | None) -> None:
        """Tells after the first batch what the whole set will take, or refuses it."""
        line = announce(tokens, one, f'{self.phase}_cfg')
        if line is not None:
            self.runner.logger.info(line)

    def _clamped(self, gallery_size: int, direction: str) -> int:
        if self.k_test > gallery_size:
            text = f'k_test={self.k_test} is clamped to the {gallery_size} candidates of {direction}'
            self.runner.logger.info(text, extra=FOR_PEOPLE)
        return min(self.k_test, gallery_size)

    def _rerank(self, gallery: Gallery, own_tokens: TokenStore, device: torch.device):
        """Second stage. Returns the candidates of each direction (n, k) and the scores {clip: {text: logit}}."""
        similarity = gallery.texts @ gallery.clips.T
        chosen = dict(
            t2v=similarity.topk(self._clamped(len(gallery.clips), 't2v'), dim=1).indices,
            v2t=similarity.T.topk(self._clamped(len(gallery.texts), 'v2t'), dim=1).indices,
        )
        wanted = torch.zeros(similarity.T.shape, dtype=torch.bool)
        wanted.scatter_(1, chosen['v2t'], True)
        wanted.T.scatter_(1, chosen['t2v'], True)
        pairs = {clip: wanted[clip].nonzero().flatten().tolist() for clip in own_tokens if wanted[clip].any()}
        with Steps('re-rank', sum(map(len, pairs.values()))) as steps:
            scores = score_pairs(
                self.model,
                ClipBank(own_tokens, gallery.frames.to(device)),
                TextBank(gallery.tokens, gallery.texts.to(device)),
                pairs,
                self.clips_per_chunk,
                PAIRS_PER_BATCH,
                device,
                steps.step,
            )
        parts = all_gather_object({clip: (pairs[clip], scores[clip]) for clip in pairs})
        matrix = torch.full(similarity.T.shape, UNSCORED)
        for part in parts:  # the same on every process
            for clip, (texts, logits) in part.items():
                if not torch.isfinite(logits).all():
                    raise NonFiniteError('match logits', gallery.clip_labels[clip])
                matrix[clip, texts] = logits + self.beta * similarity[texts, clip]
        return chosen, (similarity.T if self.k_test == 0 else matrix)

    def _rank(self, gallery: Gallery, chosen: dict[str, Tensor], matrix: Tensor) -> None:
        """Ranks this process's share of the queries of both directions."""
        positives: dict[str, Sequence[list[int]]] = dict(
            t2v=[[clip] for clip in gallery.text_to_clip.tolist()], v2t=[[] for _ in gallery.clips]
        )
        for text, clip in enumerate(gallery.text_to_clip.tolist()):
            positives['v2t'][clip].append(text)
        ids = dict(t2v=(gallery.text_ids, gallery.clip_ids), v2t=(gallery.clip_ids, gallery.text_ids))
        folds = self._folds(gallery) if self.folds else {}
        for direction, scores in (('t2v', matrix.T), ('v2t', matrix)):
            query_ids, item_ids = ids[direction]
            mine = [query for query in range(get_rank(), len(scores), get_world_size()) if positives[direction][query]]
            rows = scores[mine]
            if self.k_test:
                # A pair may be scored for the other direction only.
                candidates = torch.zeros(rows.shape, dtype=torch.bool).scatter_(1, chosen[direction][mine], True)
                rows = rows.masked_fill(~candidates, UNSCORED)
            own_positives = [positives[direction][query] for query in mine]
            results = [
                dict(_told(gallery, right, direction, query), direction=direction, query_id=query_ids[query], rank=rank)
                for query, right, rank in zip(mine, own_positives, best_positive_ranks(rows, own_positives).tolist())
            ]
            top = rows.topk(min(SHOWN, rows.shape[1]), dim=1)
            for result, items, values in zip(results, top.indices.tolist(), top.values.tolist()):
                result['top'] = [(item_ids[item], round(value, 4)) for item, value in zip(items, values)]
            if self.folds:
                query_folds, item_folds = folds[direction]
                own_folds = [query_folds[query] for query in mine]
                fold_ranks = best_positive_ranks_in_folds(rows, own_positives, own_folds, item_folds)
                for result, fold, rank in zip(results, own_folds, fold_ranks.tolist()):
                    result.update(fold=fold, fold_rank=rank)
            self.evaluator.process(data_samples=results)

    def _folds(self, gallery: Gallery) -> dict[str, tuple]:
        """Folds of queries and items of each direction; clips that were left out stay members of theirs."""
        of_clips = [clip * self.folds // len(self.dataloader.dataset) for clip in gallery.clip_ids]
        of_texts = [of_clips[clip] for clip in gallery.text_to_clip.tolist()]
        return dict(t2v=(of_texts, of_clips), v2t=(of_clips, of_texts))


def _told(gallery: Gallery, right: Sequence[int], direction: str, query: int) -> dict:
    """What a query is, and what would be ``right``, rows of the gallery's clips or texts."""
    if direction == 't2v':
        return dict(query=gallery.words[query], truth=[gallery.clip_names[clip] for clip in right])
    return dict(file=gallery.clip_names[query], truth=[gallery.words[text] for text in right])


def _faults(out: dict[str, Tensor], samples: list) -> dict[int, tuple]:
    """The first clip of a batch whose features or those of its texts are not finite, {clip_id: (what, whose)}."""
    owners = [sample for sample in samples for _ in sample.texts]
    for what, key, of in (
        ('features of the clip', 'features', samples),
        ('features of its frames', 'frames', samples),
        ('features of its captions', 'text_features', owners),
    ):
        try:
            check_finite(what, out[key])
        except NonFiniteError as error:
            return {of[error.sample].clip_id: (what, label(of[error.sample]))}
    return {}


@LOOPS.register_module()
class RetrievalValLoop(TwoStageRetrieval, ValLoop):
    """Validates retrieval in two stages; arguments as in :class:`TwoStageRetrieval`."""

    phase = 'val'


@LOOPS.register_module()
class RetrievalTestLoop(TwoStageRetrieval, TestLoop):
    """Tests retrieval in two stages; arguments as in :class:`TwoStageRetrieval`."""

    phase = 'test'
