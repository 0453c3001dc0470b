r"""Vision-language tasks as text generation: an encoder-decoder reads ``[text, vision]`` and writes the answer.

    ℓ = (1/B) Σ_b w_b · (1/L_b) Σ_tokens CE(decoder(target_b), target_b)     'sample' (VQA, GQA, NLVR2, video)
    ℓ = Σ_b Σ_tokens CE(decoder(target_b), target_b) / Σ_b L_b              'token' (COCO captions)

Cho et al., "Unifying Vision-and-Language Tasks via Text Generation", ICML 2021 (VL-T5, VL-BART).

Notation: B samples, I images of N cells each, F width of their features, L text and S vision tokens, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch.nn import functional as F

from vlpeft.models.backbones import AppendedVision, VisualEmbedding, build_seq2seq_lm, given, to_cells
from vlpeft.models.finite import check_finite, naming, only_numbers
from vlpeft.models.precision import at_least_float32
from vlpeft.models.tokenizer import ORDER_TOKENS, Seq2SeqTokenizer, Tokens
from vlpeft.registry import MODELS

from .base import AdaptedModel
from .candidates import Candidate, among, written
from .seq2seq_task import Seq2SeqTask, only_task, tasks_of

TOWERS = dict(
    bart=dict(encoder='lm.model.encoder', decoder='lm.model.decoder'),
    t5=dict(encoder='lm.encoder', decoder='lm.decoder'),
)
IGNORED = -100


class Encoded(NamedTuple):
    """Encoder states (B, L + S, D) and their mask (B, L + S)."""

    states: Tensor
    mask: Tensor


@MODELS.register_module()
class VLSeq2Seq(AdaptedModel):
    """BART or T5 with vision tokens, for any number of tasks at once; a batch holds samples of one task.

    Args:
        lm: Geometry of the language model: entries of transformers' config with ``model_type``, or a directory or hub
            name; see :func:`build_seq2seq_lm`.
        vocab_size: Rows of its word embeddings, ``<extra_id_i>`` and ``<vis_extra_id_i>`` included: 50,465 for BART,
            32,200 for T5.
        vocabulary: Hub name or directory of the tokenizer.
        tasks: Settings of :class:`Seq2SeqTask` by the name that samples carry as ``task``.
        feature_width: F.
        grid: Side of the grid that features are pooled to. Defaults to 6, 36 vision tokens per image.
        vision: Frozen tower that computes features of images online, :class:`TransformersVision` or any backbone of
            mmpretrain that returns a grid or tokens (:func:`to_cells`); it stays in eval mode. Defaults to None:
            samples bring their features.
        data_preprocessor: Defaults to :class:`FeatureDataPreprocessor`, with ``vision`` to
            :class:`ClipDataPreprocessor`.
        **adaptation: Of :class:`AdaptedModel`: ``adapter``, ``trainable``, ``gradient_checkpointing``,
            ``base_checkpoint``.

    Raises:
        ValueError: More cells than order tokens.
    """

    def __init__(
        self,
        lm: str | dict,
        vocab_size: int,
        vocabulary: str,
        tasks: Mapping[str, dict],
        feature_width: int,
        grid: int = 6,
        vision: dict | None = None,
        data_preprocessor: dict | None = None,
        **adaptation,
    ) -> None:
        default = 'FeatureDataPreprocessor' if vision is None else 'ClipDataPreprocessor'
        super().__init__(data_preprocessor or dict(type=default), **adaptation)
        if grid**2 > ORDER_TOKENS:
            raise ValueError(f'grid={grid} makes {grid**2} tokens per image, but there are {ORDER_TOKENS} order tokens')
        self.tasks = tasks_of(Seq2SeqTask, tasks)
        self.lm = build_seq2seq_lm(lm, vocab_size)
        geometry = self.lm.config
        self.visual_embedding = VisualEmbedding(
            feature_width, geometry.d_model, geometry.model_type, getattr(geometry, 'layer_norm_epsilon', 1e-5), grid
        )
        self.vision = None if vision is None else MODELS.build(vision)
        self.encode = AppendedVision(self.lm)
        self.tokenizer = Seq2SeqTokenizer(vocabulary, None, vocab_size, geometry.to_dict())
        towers = dict(TOWERS[geometry.model_type], **({} if vision is None else dict(vision='vision')))
        self.no_grad_parts = () if vision is None else ('vision',)
        self.assemble(towers, ('visual_embedding',))

    def train(self, mode: bool = True) -> 'VLSeq2Seq':
        """Switches all but the vision tower, which is frozen: its statistics and features must not change."""
        super().train(mode)
        if self.vision is not None:
            self.vision.eval()
        return self

    def probe(self) -> None:
        table = self.lm.get_input_embeddings().weight
        ids = torch.zeros(1, 2, dtype=torch.long, device=table.device)
        mask = torch.ones_like(ids)
        if self.vision is None:
            features = table.new_zeros(1, 1, self.visual_embedding.cells, self.visual_embedding.feature[0].in_features)
        else:
            features = self.features(table.new_zeros(1, 1, 3, *self.vision.img_size))
        for task in self.tasks:
            with self.switch.task(task):
                self.logits(self.read(features, Tokens(ids, mask)), ids)

    def forward(self, inputs: Tensor, data_samples: list, mode: str = 'tensor'):
        """MMEngine's entry.

        Args:
            inputs: Features (B, I, N, F), or normalised images (B, I, 3, H, W) where the model has a vision tower.
            data_samples: With ``task`` and ``text``; for the loss with ``target`` and ``weight``.
            mode: ``'loss'``, ``'predict'`` (samples with ``pred_answer`` or ``pred_caption``), ``'candidates'``
                (:meth:`candidates`, the first of which is predicted) or ``'tensor'`` (:class:`Encoded`).

        Raises:
            ValueError: Another mode, or a batch of several or unknown tasks.
            NonFiniteError: Answering: a sample's logits are NaN or infinite.
        """
        task = only_task(data_samples, self.tasks)
        with self.switch.task(task):
            return self._forward(inputs, data_samples, mode, task)

    def _forward(self, inputs: Tensor, data_samples: list, mode: str, task: str):
        encoded = self.read(
            self.features(inputs),
            self.tokens([sample.text for sample in data_samples], self.tasks[task].max_text, inputs.device),
        )
        if mode == 'tensor':
            return encoded
        if mode == 'loss':
            return {f'loss_{task}': self.loss(encoded, data_samples, self.tasks[task])}
        if mode not in ('predict', 'candidates'):
            raise ValueError(f"VLSeq2Seq has modes 'loss', 'predict', 'candidates' and 'tensor', not {mode!r}")
        with naming(data_samples):
            if mode == 'candidates':
                return self.candidates(encoded, self.tasks[task])
            texts = self.answer(encoded, self.tasks[task])
        for sample, text in zip(data_samples, texts):
            sample.set_field(text, self.tasks[task].output)
        return data_samples

    def tokens(self, texts: Sequence[str], max_length: int | None, device: torch.device) -> Tokens:
        """Token ids and mask of texts, cut to ``max_length`` tokens."""
        return self.tokenizer.pad(self.tokenizer.ids(texts, max_length), device)

    def features(self, inputs: Tensor) -> Tensor:
        """Inputs of :meth:`forward` to features (B, I, N, F)."""
        if self.vision is None:
            return inputs
        return to_cells(self.vision(inputs.flatten(0, 1)), self.vision).unflatten(0, inputs.shape[:2])

    def read(self, features: Tensor, texts: Tokens) -> Encoded:
        """Runs the encoder on B texts with features (B, I, N, F)."""
        vision = self.visual_embedding(features, self.lm.get_input_embeddings())
        return Encoded(*self.encode(*texts, vision))

    def logits(self, encoded: Encoded, decoder_ids: Tensor) -> Tensor:
        """Next-token logits (B, L, V) of decoder inputs (B, L)."""
        return self.lm(
            encoder_outputs=(encoded.states,),
            attention_mask=given(encoded.mask),
            decoder_input_ids=decoder_ids,
            use_cache=False,
        ).logits

    def loss(self, encoded: Encoded, data_samples: list, task: Seq2SeqTask) -> Tensor:
        """The task's loss, see the module's equations."""
        device = encoded.states.device
        ids, mask = self.tokens([sample.target for sample in data_samples], task.max_target, device)
        start = ids.new_full((len(ids), 1), self.lm.config.decoder_start_token_id)
        logits = self.logits(encoded, torch.cat([start, ids[:, :-1]], 1))
        logits = at_least_float32(logits)
        nll = F.cross_entropy(logits.transpose(1, 2), ids.masked_fill(mask == 0, IGNORED), reduction='none')
        if task.loss == 'token':
            # Gradients are averaged over processes, so each divides by the mean of their counts.
            count = mask.sum().to(nll.dtype)
            all_reduce(count)
            return nll.sum() * get_world_size() / count
        weights = torch.tensor([sample.weight for sample in data_samples], dtype=nll.dtype, device=device)
        return (nll.sum(1) / mask.sum(1) * weights).mean()

    @torch.no_grad()
    def answer(self, encoded: Encoded, task: Seq2SeqTask) -> list[str]:
        """One text per sample."""
        if task.choices is not None:
            return [found[0].text for found in self._choose(encoded, task.choices)]
        return [text.strip() for text in self.tokenizer.texts(self._generate(encoded, task).sequences)]

    @torch.no_grad()
    def candidates(self, encoded: Encoded, task: Seq2SeqTask) -> list[list[Candidate]]:
        """The texts found for each sample, best first, with their scores.

        Returns:
            Of ``choices`` all, with log p of their first tokens; else one text per beam, with the scores of
            transformers' beam search; of greedy search one, with the mean of log p of its tokens.
        """
        if task.choices is not None:
            return self._choose(encoded, task.choices)
        beams = task.decoding['num_beams']
        if beams > 1:
            found = self._generate(encoded, task, num_return_sequences=beams, output_scores=True)
            scores = found.sequences_scores
            # Of a sum divided by (number of tokens) ** length_penalty the mean.
            counts = (~self._after_end(found.sequences[:, 1:], task)).sum(1)
            means = scores * counts ** (task.decoding.get('length_penalty', 1.0) - 1)
        else:
            found = self._generate(encoded, task, output_logits=True)
            scores = means = self._mean_log_probs(found, task)
        texts = self.tokenizer.texts(found.sequences)
        kept = [written(text.strip(), *own) for text, *own in zip(texts, scores.tolist(), means.tolist())]
        return [kept[i : i + beams] for i in range(0, len(kept), beams)]

    def _generate(self, encoded: Encoded, task: Seq2SeqTask, **asked):
        """transformers' ``generate``; what a task leaves open is not taken from the language model's own settings."""
        from transformers import GenerationConfig
        from transformers.modeling_outputs import BaseModelOutput

        own, settings = self.lm.generation_config, self._settings(task)
        # In transformers 5 they fill what a call leaves open, whatever else it says.
        self.lm.generation_config = GenerationConfig()
        try:
            return self.lm.generate(
                encoder_outputs=BaseModelOutput(encoded.states),
                attention_mask=encoded.mask,
                logits_processor=[only_numbers(len(encoded.states))],
                return_dict_in_generate=True,
                **settings,
                **asked,
            )
        finally:
            self.lm.generation_config = own

    def _settings(self, task: Seq2SeqTask) -> dict[str, Any]:
        config = self.lm.generation_config
        names = ('decoder_start_token_id', 'bos_token_id', 'eos_token_id', 'pad_token_id')
        return {**{name: getattr(config, name) for name in names}, **task.decoding}

    def _mean_log_probs(self, found, task: Seq2SeqTask) -> Tensor:
        """(B,) of sequences found by greedy search, their end tokens included."""
        log_probs = self.lm.compute_transition_scores(found.sequences, found.logits, normalize_logits=True)
        padding = self._after_end(found.sequences[:, -log_probs.shape[1] :], task)
        return log_probs.masked_fill(padding, 0).sum(1) / (~padding).sum(1)

    def _after_end(self, ids: Tensor, task: Seq2SeqTask) -> Tensor:
        """Where tokens (B, T) are padding, behind the end token."""
        ends = torch.isin(ids, torch.tensor(self._settings(task)['eos_token_id'], device=ids.device)).long()
        return ends.cumsum(1) > ends

    def _choose(self, encoded: Encoded, choices: Sequence[str]) -> list[list[Candidate]]:
        """Compares the first tokens of the choices, after the special tokens that start every target."""
        with_special = self.tokenizer.ids(choices)[0]
        firsts = [self.tokenizer.tokenizer(text, add_special_tokens=False)['input_ids'][0] for text in choices]
        prefix = [self.lm.config.decoder_start_token_id, *with_special[: with_special.index(firsts[0])]]
        ids = torch.tensor(prefix, device=encoded.states.device).expand(len(encoded.states), -1)
        logits = self.logits(encoded, ids)[:, -1]
        log_probs = at_least_float32(logits).log_softmax(-1)[:, firsts]
        check_finite('logits of the choices', log_probs)
        scores, order = log_probs.sort(dim=1, descending=True, stable=True)
        return [among([choices[index] for index in row], own) for row, own in zip(order.tolist(), scores.tolist())]
