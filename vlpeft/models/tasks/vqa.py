"""Visual question answering by generation (BLIP): the encoder of a question sees the clip, the decoder the question.

    ℓ = (1/B) Σ_questions Σ_answers w_a · Σ_tokens CE(decoder(answer), answer),   w_a = share of annotators who gave a

Notation: B clips, T frames each, S = T · N vision tokens, L question tokens, A answers, D width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vlpeft.models.backbones import CrossContext, KeyValue, Seen, SelfCache, check_vision_tower, see
from vlpeft.models.decoding import BEAM_RULES, beam_search
from vlpeft.models.finite import naming
from vlpeft.models.precision import at_least_float32
from vlpeft.models.tokenizer import CaptionTokenizer, Tokens
from vlpeft.registry import MODELS

from .answer_ranking import AnswerBank, Ranking, rank_answers
from .base import AdaptedModel
from .candidates import Candidate, among, written
from .frames import TemporalEmbedding, frame_key_weights
from .seq2seq_task import check_counts, check_settings

INFERENCES = ('rank', 'generate')
#: Of the training loss.
LABEL_SMOOTHING = 0.1


class QuestionContext(NamedTuple):
    """Encoded questions: cross-attention ``layers`` of the decoder for B questions, and their ``mask`` (B, L)."""

    layers: list[KeyValue]
    mask: Tensor

    def take(self, index: Tensor) -> CrossContext:
        """The context of P answers, ``index`` (P,) naming the question of each."""
        return CrossContext(self.layers, index=index, mask=self.mask)

    def grouped(self, counts: Sequence[int]) -> CrossContext:
        """The context of answers that stand in the order of the questions, ``counts`` (B,) of each."""
        return CrossContext(self.layers, mask=self.mask, counts=counts)


@MODELS.register_module()
class GenerativeVQA(AdaptedModel):
    """Answers questions about clips and images (T = 1) with BLIP's encoder and decoder.

    Args:
        vision: Vision tower (:mod:`vlpeft.models.backbones.vision`): :class:`TransformersVision`, or an mmpretrain ViT,
            BEiT or EVA-02 with ``out_type='raw'``.
        text: :class:`BlipTextEncoder`, reads the question beside the vision tokens.
        decoder: :class:`BlipTextDecoder`, writes the answer beside the question states.
        vocabulary: Hub name or directory of the tokenizer. Defaults to ``'bert-base-uncased'``.
        adapter: Method, list of methods, or None. Defaults to None.
        trainable: ``'heads'`` (adapter, and the LM head if ``train_lm_head``) or ``'all'``. Defaults to ``'heads'``.
        train_lm_head: Whether the decoder's vocabulary projection is trained; methods leave it frozen as released, the
            heads-only baseline has nothing else. It needs a decoder with ``tie_word_embeddings=False``. Defaults to
            False.
        frame_head: :class:`ITCHead` whose frozen projections, from the base, compare question and frames for
            frame-aware attention. Defaults to None, no such weights.
        temporal_frames: Size of a learned temporal embedding of the vision tokens. Defaults to None, none.
        loss_per_frame: Whether the loss is also divided by T, as released. Defaults to False.
        inference: ``'rank'`` chooses from a closed list by likelihood, ``'generate'`` writes freely. Defaults to
            ``'rank'``.
        shortlist: Answers per question whose likelihood is computed in full (k). Defaults to 128.
        score_smoothing: Label smoothing inside the ranking score; the release has 0.1. Defaults to 0.
        pairs_per_batch: Question-answer pairs scored in a pass. Defaults to 512.
        beams: Of ``'generate'``; 1 is greedy. Defaults to 3.
        beam_rule: What sums of log-likelihoods are divided by, ``'default'`` or ``'released'``; see
            :mod:`vlpeft.models.decoding`. Defaults to ``'default'``.
        max_answer_length: Of generated answers in tokens, the start token included. Defaults to 10.
        generate_with_padding: Whether generation also attends to the padding of questions, as released. Defaults to
            False.
        max_text_length: Of questions in tokens. Defaults to 35.
        data_preprocessor: Defaults to :class:`ClipDataPreprocessor`'s defaults.
        **adaptation: Of :class:`AdaptedModel`: ``adapter``, ``trainable``, ``gradient_checkpointing``,
            ``base_checkpoint``.

    Raises:
        ValueError: Unknown ``inference`` or ``beam_rule``; a number too small; the vision tower does not return all
            tokens; or ``train_lm_head`` with a tied decoder, whose word embeddings would train too.
    """

    def __init__(
        self,
        vision: dict,
        text: dict,
        decoder: dict,
        vocabulary: str = 'bert-base-uncased',
        train_lm_head: bool = False,
        frame_head: dict | None = None,
        temporal_frames: int | None = None,
        loss_per_frame: bool = False,
        inference: str = 'rank',
        shortlist: int = 128,
        score_smoothing: float = 0.0,
        pairs_per_batch: int = 512,
        beams: int = 3,
        beam_rule: str = 'default',
        max_answer_length: int = 10,
        generate_with_padding: bool = False,
        max_text_length: int = 35,
        data_preprocessor: dict | None = None,
        **adaptation,
    ) -> None:
        check_settings(inference=(inference, INFERENCES), beam_rule=(beam_rule, BEAM_RULES))
        check_counts(
            beams=(beams, 1),
            max_answer_length=(max_answer_length, 2),
            shortlist=(shortlist, 1),
            pairs_per_batch=(pairs_per_batch, 1),
        )
        super().__init__(data_preprocessor or dict(type='ClipDataPreprocessor'), **adaptation)
        self.vision = MODELS.build(vision)
        check_vision_tower(self.vision)
        self.text = MODELS.build(text)
        self.decoder = MODELS.build(decoder)
        if train_lm_head and self.decoder.tie_word_embeddings:
            raise ValueError(
                'GenerativeVQA: train_lm_head=True would also train the word embeddings, which are the '
                'same tensor; set decoder.tie_word_embeddings=False'
            )
        self.itc_head = None if frame_head is None else MODELS.build(frame_head)
        self.temporal_embedding = (
            None if temporal_frames is None else TemporalEmbedding(temporal_frames, self.vision.embed_dims)
        )
        self.tokenizer = CaptionTokenizer(vocabulary, max_text_length, self.text.vocab_size)
        self.score_smoothing, self.loss_per_frame = score_smoothing, loss_per_frame
        self.inference, self.shortlist, self.pairs_per_batch = inference, shortlist, pairs_per_batch
        self.beams, self.beam_rule, self.max_answer_length = beams, beam_rule, max_answer_length
        self.generate_with_padding = generate_with_padding
        self.answers: AnswerBank | None = None
        self.own_parts = {
            **({} if temporal_frames is None else dict(temporal_embedding='temporal')),
            **({'decoder.cls': 'head'} if train_lm_head else {}),
        }
        heads = ('itc_head',) if self.itc_head is not None else ()
        self.no_grad_parts = heads
        self.assemble(
            dict(vision='vision', text='text', decoder='decoder'),
            heads,
        )

    def forward(self, inputs: Tensor, data_samples: list, mode: str = 'tensor'):
        """MMEngine's entry.

        Args:
            inputs: Normalised frames (B, T, 3, H, W).
            data_samples: With ``question``; for the loss with ``answers`` and ``weights``.
            mode: ``'loss'``, ``'predict'`` (samples with ``pred_answer``), ``'candidates'`` (:meth:`candidates`, the
                first of which is predicted) or ``'tensor'`` (:class:`QuestionContext`).

        Raises:
            ValueError: Another mode.
            NonFiniteError: Answering: a question's scores are NaN or infinite.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        tokens = self.tokenizer([sample.question for sample in data_samples], inputs.device)
        if mode == 'tensor':
            return self.encode_question(inputs, tokens)
        if mode not in ('predict', 'candidates'):
            raise ValueError(f"GenerativeVQA has modes 'loss', 'predict', 'candidates' and 'tensor', not {mode!r}")
        with naming(data_samples):
            questions = self.encode_question(inputs, tokens)
            if mode == 'candidates':
                return self.candidates(questions)
            answers = self.answer(questions)
        for sample, answer in zip(data_samples, answers):
            sample.pred_answer = answer
        return data_samples

    def encode_vision(self, clips: Tensor) -> Seen:
        """Frames (B, T, 3, H, W) to tokens (B, T, N, D), before any temporal embedding, and pooled (B, T, D)."""
        frames = see(self.vision, clips.flatten(0, 1))
        return Seen(*(states.unflatten(0, (-1, clips.shape[1])) for states in frames))

    def encode_question(self, clips: Tensor, questions: Tokens) -> QuestionContext:
        """What the decoder attends to: keys and values of the question states, computed once per question."""
        tokens, pooled = self.encode_vision(clips)
        weights = self._key_weights(pooled, tokens.shape[2], questions)
        if self.temporal_embedding is not None:
            tokens = self.temporal_embedding(tokens)
        context = CrossContext(self.text.project_context(tokens.flatten(1, 2)), key_weights=weights)
        ids = questions.ids.clone()
        ids[:, 0] = self.tokenizer.encode_id
        states = self.text(ids, questions.mask, context)
        return QuestionContext(self.decoder.bert.project_context(states), questions.mask)

    @torch.no_grad()
    def _key_weights(self, pooled: Tensor, per_frame: int, questions: Tokens) -> Tensor | None:
        if self.itc_head is None or pooled.shape[1] == 1:
            return None
        text = self.itc_head.project_text(self.text(*questions)[:, 0])
        frames = self.itc_head.project_vision(pooled)
        return frame_key_weights(text, frames, per_frame, self.vision.num_extra_tokens)

    def loss(self, clips: Tensor, data_samples: list) -> dict[str, Tensor]:
        """``loss_vqa`` of B questions with any number of weighted answers each."""
        questions = self.tokenizer([sample.question for sample in data_samples], clips.device)
        counts = torch.tensor([len(sample.answers) for sample in data_samples])
        owner = torch.repeat_interleave(torch.arange(len(counts)), counts).to(clips.device, non_blocking=True)
        weights = torch.tensor([weight for sample in data_samples for weight in sample.weights], dtype=clips.dtype).to(
            clips.device, non_blocking=True
        )
        tokens = self.tokenizer([answer for sample in data_samples for answer in sample.answers], clips.device)
        ids = tokens.ids.clone()
        ids[:, 0] = self.tokenizer.decode_id
        context = self.encode_question(clips, questions).take(owner)
        logits = self.decoder(ids[:, :-1], tokens.mask[:, :-1], context)
        logits = at_least_float32(logits)
        targets = ids[:, 1:].masked_fill(tokens.mask[:, 1:] == 0, -100)
        nll = F.cross_entropy(
            logits.transpose(1, 2), targets, reduction='none', ignore_index=-100, label_smoothing=LABEL_SMOOTHING
        )
        count = len(data_samples) * (clips.shape[1] if self.loss_per_frame else 1)
        return dict(loss_vqa=(nll.sum(1) * weights).sum() / count)

    def set_answer_list(self, answers: Sequence[str]) -> None:
        """The closed list that ``inference='rank'`` chooses from, tokenised once."""
        self.answers = AnswerBank(list(answers), self.tokenizer.ids(answers))

    def answer(self, questions: QuestionContext) -> list[str]:
        """One answer per question. Raises as :meth:`candidates`."""
        if self.inference == 'generate':
            return [found[0].text for found in self.candidates(questions)]
        best = self._rank(questions, best_only=True).answers[:, 0]
        return [self.answers.texts[index] for index in best.tolist()]

    @torch.no_grad()
    def candidates(self, questions: QuestionContext) -> list[list[Candidate]]:
        """The answers found for each question, best first, with their scores.

        Returns:
            ``'rank'``: the shortlisted answers, each with its log-likelihood; ``'generate'``: at most ``beams`` texts,
            with scores by ``beam_rule``.

        Raises:
            ValueError: ``inference='rank'`` without an answer list.
        """
        if self.inference == 'generate':
            return self._generate(questions)
        ranking = self._rank(questions, best_only=False)
        return [
            among([self.answers.texts[index] for index in answers], scores)
            for answers, scores in zip(ranking.answers.tolist(), ranking.scores.tolist())
        ]

    def _rank(self, questions: QuestionContext, best_only: bool) -> Ranking:
        if self.answers is None:
            raise ValueError(
                "inference='rank' needs a closed answer list: the data set's answer_file or answers_from, "
                'or model.set_answer_list([…])'
            )
        return rank_answers(
            self.decoder,
            questions,
            self.answers,
            self.tokenizer.decode_id,
            self.shortlist,
            self.score_smoothing,
            self.pairs_per_batch,
            best_only,
        )

    def _generate(self, questions: QuestionContext) -> list[list[Candidate]]:
        if self.generate_with_padding:
            questions = questions._replace(mask=torch.ones_like(questions.mask))
        count, device = questions.mask.shape[0], questions.mask.device
        rows = torch.arange(count, device=device).repeat_interleave(self.beams)
        context = questions.take(rows)
        cache = SelfCache()

        def step(ids: Tensor, origin: Tensor | None) -> Tensor:
            if origin is not None:
                cache.reorder(origin)
            return self.decoder(ids[:, -1:], torch.ones_like(ids), context, cache)[:, -1]

        start = torch.full((count, 1), self.tokenizer.decode_id, device=device)
        found = beam_search(step, start, self.beams, self.tokenizer.end_id, self.max_answer_length, self.beam_rule)
        return [[written(self.tokenizer.text(ids), *scores) for ids, *scores in kept] for kept in found]
