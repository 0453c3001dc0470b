r"""Image-text-to-text models of transformers, such as LLaVA, Qwen-VL, PaliGemma and SmolVLM, on conversations.

    ℓ = Σ_b Σ_t CE(p(answer_b,t | prompt_b, answer_b,<t)) / Σ_b T_b                 'token', over all processes
    ℓ = (1/B) Σ_b w_b · (1/T_b) Σ_t CE(p(answer_b,t | prompt_b, answer_b,<t))       'sample'

Notation: B samples, L tokens of input, images' among them, T_b counted tokens of a sample, V the vocabulary.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch.nn import functional as F

from vlpeft.checkpoint.base import Base
from vlpeft.checkpoint.coverage import check_whole_base
from vlpeft.models.answer_tokens import AnswerTokens
from vlpeft.models.backbones.counted_logits import counted_logits, is_encoder_decoder, special_token
from vlpeft.models.backbones.image_text_lm import (
    build_image_text_lm,
    image_text_config,
    load_image_text_lm,
)
from vlpeft.models.finite import check_finite, label, naming, only_numbers
from vlpeft.models.fixed_states import leave_out_of_states
from vlpeft.models.hub_weights import check_source, weights_at
from vlpeft.models.precision import at_least_float32
from vlpeft.models.trained_float32 import train_in_float32
from vlpeft.registry import MODELS
from vlpeft.sites import below, find_towers

from .base import AdaptedModel
from .candidates import Candidate, among, written
from .image_text_task import ImageTextTask
from .sampling import Sampling
from .seq2seq_task import only_task, tasks_of


@MODELS.register_module()
class ImageTextLM(AdaptedModel):
    """A model of transformers' ``AutoModelForImageTextToText``, for any number of tasks; a batch holds samples of one.

    Args:
        model: Its geometry: entries of transformers' config with ``model_type``, or a directory or hub name whose
            ``config.json`` has them.
        processor: Hub name or directory of its processor, by which answers become texts. Defaults to None: that of
            ``model``, where this is a name.
        tasks: Settings of :class:`ImageTextTask` by the name that samples carry as ``task``.
        dtype: Of its weights, whatever their file has. Single parts of it that train are kept in float32 all the same
            (:mod:`vlpeft.models.trained_float32`). Defaults to ``'bfloat16'``.
        attn_implementation: Of transformers: ``'sdpa'``, ``'eager'``, ``'flash_attention_2'``, … Defaults to None,
            ``'sdpa'`` in each part of the model that has it, else ``'eager'``.
        quantization: Entries of transformers' ``BitsAndBytesConfig`` for a base in 8 or 4 bits, such as
            ``dict(load_in_4bit=True, bnb_4bit_quant_type='nf4')``. Defaults to None.
        backbone_dropout: Whether dropout of the frozen model acts in training. Defaults to False: it is in eval mode.
        base_checkpoint: ``dict(source=…, sha256=…, unused=…)`` of safetensors weights, see :func:`weights_at`;
            ``unused`` lists keys that may stay unread. Defaults to None, a base of random weights.
        data_preprocessor: Defaults to :class:`ChatDataPreprocessor` with the model's padding.
        **adaptation: Of :class:`AdaptedModel`: ``adapter``, ``trainable``, ``gradient_checkpointing``.

    Raises:
        ValueError: An unknown model type or setting of a task, a quantised base without weights, or no processor.
        CheckpointError: The base's weights do not fit the model, wholly and without rest.
        SiteError: As of :class:`AdaptedModel`.

    Attributes:
        vlm: transformers' model.
    """

    def __init__(
        self,
        model: str | dict,
        tasks: Mapping[str, dict],
        processor: str | None = None,
        dtype: str = 'bfloat16',
        attn_implementation: str | None = None,
        quantization: Mapping[str, Any] | None = None,
        backbone_dropout: bool = False,
        base_checkpoint: Mapping[str, Any] | None = None,
        data_preprocessor: dict | None = None,
        **adaptation,
    ) -> None:
        config = image_text_config(model)
        super().__init__(data_preprocessor or joined_as(config), base_checkpoint=base_checkpoint, **adaptation)
        if processor is None and not isinstance(model, str):
            raise ValueError('ImageTextLM: model is a geometry, so processor=… must name the folder or hub name of one')
        self.tasks = tasks_of(ImageTextTask, tasks)
        self.answers = AnswerTokens(processor or model)
        self.backbone_dropout = backbone_dropout
        if base_checkpoint is not None:
            self.vlm, self._read = _with_weights(model, dtype, attn_implementation, quantization, **base_checkpoint)
        else:
            self.vlm = build_image_text_lm(model, dtype, attn_implementation)
            if quantization is not None and not self.vlm.device.type == 'meta':
                raise ValueError(
                    'ImageTextLM: quantization is of given weights; set base_checkpoint=dict(source=…), or leave it out'
                )
        self.vlm.requires_grad_(False)
        self.assemble({name: below('vlm', path) for name, path in find_towers(self.vlm).paths.items()}, ())
        if not self.trains_all:
            train_in_float32(self, [name for name in self.declared if name.startswith('vlm.')])
        if quantization is not None:
            leave_out_of_states(self, self.base_keys - self.declared)

    #: For checks of configs.
    check_source = staticmethod(check_source)

    def init_backbones(self) -> None:
        """Weights that are given stay."""
        if self._base_checkpoint is None:
            super().init_backbones()

    def read_base(self) -> Base:
        """What the constructor has read."""
        self.filled |= self._read.keys
        return self._read

    def train(self, mode: bool = True) -> 'ImageTextLM':
        """Switches all but the frozen model, unless it is to keep its dropout."""
        super().train(mode)
        if not self.backbone_dropout and not self.trains_all:
            self.vlm.eval()
        return self

    def forward(self, inputs: Mapping[str, Any], data_samples: list, mode: str = 'tensor'):
        """MMEngine's entry.

        Args:
            inputs: What the model's processor makes of B samples, by name; for the loss with ``labels`` (B, L), which
                are -100 where nothing is counted, for predictions prompts alone, padded on the left unless the model
                is an encoder-decoder.
            data_samples: With ``task``; for the loss perhaps with ``weight``.
            mode: ``'loss'``, ``'predict'`` (samples with ``pred_answer`` or ``pred_caption``), ``'candidates'``
                (:meth:`candidates`, the first of which is predicted) or ``'tensor'`` (logits (B, L, V)).

        Raises:
            ValueError: Another mode, a batch of several or unknown tasks, labels that count no token of a sample, or
                prompts that are none.
            NonFiniteError: Answering: a sample's logits are NaN or infinite.
        """
        task = only_task(data_samples, self.tasks)
        with self.switch.task(task):
            return self._forward(self.cast(inputs), data_samples, mode, task)

    def _forward(self, inputs: dict[str, Any], data_samples: list, mode: str, task: str):
        labels = inputs.pop('labels', None)
        if mode == 'tensor':
            return self.vlm(**inputs, use_cache=False).logits
        if mode == 'loss':
            return {f'loss_{task}': self.loss(inputs, labels, data_samples, self.tasks[task])}
        if mode not in ('predict', 'candidates'):
            raise ValueError(f"ImageTextLM has modes 'loss', 'predict', 'candidates' and 'tensor', not {mode!r}")
        if labels is not None:
            raise ValueError('the inputs hold labels, and so answers; predictions are made from prompts alone')
        with naming(data_samples):
            if mode == 'candidates':
                return self.candidates(inputs, self.tasks[task])
            texts = self.answer(inputs, self.tasks[task])
        for sample, text in zip(data_samples, texts):
            sample.set_field(text, self.tasks[task].output)
        return data_samples

    def cast(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Pixels in the number format of the frozen model."""
        weights = (param for param in self.vlm.parameters() if param.is_floating_point() and not param.requires_grad)
        dtype = next((param.dtype for param in weights), self.vlm.dtype)
        return {
            name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in inputs.items()
        }

    def loss(self, inputs: Mapping[str, Any], labels: Tensor | None, data_samples: list, task: ImageTextTask) -> Tensor:
        """The task's loss, see the module's equations; at least in float32."""
        if labels is None:
            raise ValueError(f'the inputs hold no labels, only {", ".join(inputs)}; a loss needs them')
        logits, wanted, rows = counted_logits(self.vlm, inputs, labels)
        counts = torch.bincount(rows, minlength=len(labels))
        if not counts.all():
            sample = label(data_samples[int((counts == 0).nonzero()[0])])
            raise ValueError(f'{sample}: its labels count no token, so there is nothing to learn')
        nll = F.cross_entropy(at_least_float32(logits), wanted, reduction='none')
        if task.loss == 'token':
            # Gradients are averaged over processes, so each divides by the mean of their counts.
            count = counts.sum().to(nll.dtype)
            all_reduce(count)
            return nll.sum() * get_world_size() / count
        weights = torch.tensor([sample.get('weight', 1.0) for sample in data_samples], dtype=nll.dtype)
        return (nll * (weights.to(nll.device) / counts)[rows]).sum() / len(labels)

    @torch.no_grad()
    def answer(self, inputs: Mapping[str, Any], task: ImageTextTask, sampling: Sampling | None = None) -> list[str]:
        """One text per sample; with ``sampling`` one that is drawn."""
        if task.choices is not None:
            return [found[0].text for found in self._choose(inputs, task)]
        found = self._generate(inputs, task, sampling)
        return self.answers.texts(self._new_tokens(found.sequences, inputs['input_ids']))

    @torch.no_grad()
    def candidates(
        self, inputs: Mapping[str, Any], task: ImageTextTask, sampling: Sampling | None = None
    ) -> list[list[Candidate]]:
        """The texts found for each sample, best first, with their scores.

        Returns:
            Of ``choices`` all, with log p of what they are chosen by; else one text per beam, with the scores of
            transformers' beam search; of greedy search and ``sampling`` one, with the mean of log p of its tokens.
        """
        if task.choices is not None:
            return self._choose(inputs, task)
        beams, prompts = task.num_beams, inputs['input_ids']
        if beams > 1:
            found = self._generate(inputs, task, None, num_return_sequences=beams, output_scores=True)
            ids, scores = self._new_tokens(found.sequences, prompts), found.sequences_scores
        else:
            found = self._generate(inputs, task, sampling, output_logits=True)
            ids = self._new_tokens(found.sequences, prompts)[:, -len(found.logits) :]
            scores = self._mean_log_probs(found.logits, ids)
        # Both kinds of score are means over tokens.
        kept = [written(text, score, score) for text, score in zip(self.answers.texts(ids), scores.tolist())]
        return [kept[i : i + beams] for i in range(0, len(kept), beams)]

    def _generate(self, inputs: Mapping[str, Any], task: ImageTextTask, sampling: Sampling | None, **asked: Any):
        """transformers' ``generate``, with a cache."""
        from transformers import GenerationConfig

        if not is_encoder_decoder(self.vlm.config) and not bool(inputs['attention_mask'][:, -1].all()):
            raise ValueError('prompts of different lengths are padded on the left, so that answers stand next to them')
        drawn = {} if sampling is None else sampling.settings()
        config = GenerationConfig(**self._settings(task) | drawn, **asked, return_dict_in_generate=True)
        checked = [only_numbers(len(inputs['input_ids']))]
        with nullcontext() if sampling is None else sampling.seeded(inputs['input_ids'].device):
            return self.vlm.generate(**inputs, generation_config=config, logits_processor=checked)

    @staticmethod
    def _new_tokens(sequences: Tensor, prompts: Tensor) -> Tensor:
        """What was written: some families return it behind the prompts."""
        length = prompts.shape[1]
        asked = prompts.repeat_interleave(len(sequences) // len(prompts), 0)
        return sequences[:, length:] if torch.equal(sequences[:, :length], asked) else sequences

    def _settings(self, task: ImageTextTask) -> dict[str, Any]:
        """Of the search, and the special tokens."""
        ends = self.answers.ends(special_token(self.vlm, 'eos_token_id'))
        pad = special_token(self.vlm, 'pad_token_id')
        return dict(
            max_new_tokens=task.max_new_tokens,
            num_beams=task.num_beams,
            do_sample=False,
            use_cache=True,
            eos_token_id=ends,
            pad_token_id=ends[0] if pad is None else pad,
            bos_token_id=special_token(self.vlm, 'bos_token_id'),
            decoder_start_token_id=special_token(self.vlm, 'decoder_start_token_id'),
        )

    def _mean_log_probs(self, logits: Sequence[Tensor], ids: Tensor) -> Tensor:
        """(B,) of the T tokens (B, T) that greedy search has found by T logits (B, V), their end tokens included."""
        steps = [at_least_float32(step).log_softmax(-1).gather(1, own) for step, own in zip(logits, ids.split(1, 1))]
        log_probs = torch.cat(steps, 1)
        ends = torch.tensor(self.answers.ends(special_token(self.vlm, 'eos_token_id')), device=ids.device)
        is_end = torch.isin(ids, ends).long()
        after = is_end.cumsum(1) > is_end
        return log_probs.masked_fill(after, 0).sum(1) / (~after).sum(1)

    def _choose(self, inputs: Mapping[str, Any], task: ImageTextTask) -> list[list[Candidate]]:
        is_decoders = is_encoder_decoder(self.vlm.config)
        ids = [self.answers.ids(text, inputs['input_ids'], is_decoders) for text in task.choices]
        if task.chosen_by == 'first_token':
            firsts = [own[0] for own in ids]
            if len(set(firsts)) < len(firsts):
                raise ValueError(
                    f'choices={task.choices!r}: some begin with the same token, by which they cannot be told apart; '
                    "set chosen_by='score'"
                )
            logits, *_ = counted_logits(self.vlm, *self.answers.behind(inputs, firsts[:1], is_decoders))
            scores = at_least_float32(logits).log_softmax(-1)[:, firsts]
        else:
            scores = torch.stack([self._log_likelihood(inputs, own, is_decoders) for own in ids], 1)
        check_finite('log-likelihoods of the choices', scores)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        return [among([task.choices[index] for index in row], own) for row, own in zip(order.tolist(), scores.tolist())]

    def _log_likelihood(self, inputs: Mapping[str, Any], ids: Sequence[int], is_decoders: bool) -> Tensor:
        """(B,), the sum of log p of the tokens of an answer."""
        logits, wanted, rows = counted_logits(self.vlm, *self.answers.behind(inputs, ids, is_decoders))
        own = at_least_float32(logits).log_softmax(-1).gather(1, wanted[:, None])[:, 0]
        return own.new_zeros(len(inputs['input_ids'])).index_add(0, rows, own)


def joined_as(config) -> dict[str, Any]:
    """Config of the preprocessor for a model of some geometry; what stands in padding is masked."""
    text = config.get_text_config(decoder=True)
    ends = text.eos_token_id
    pads = [getattr(part, 'pad_token_id', None) for part in (config, text)]  # some of transformers 5 have none
    known = (*pads, *(ends if isinstance(ends, list) else [ends]), 0)
    pad = next(token for token in known if token is not None and token >= 0)
    return dict(type='ChatDataPreprocessor', pad_token_id=pad, encoder_decoder=is_encoder_decoder(config))


def _with_weights(
    model: str | dict,
    dtype: str,
    attn_implementation: str | None,
    quantization: Mapping[str, Any] | None,
    source: str | None = None,
    sha256: str | None = None,
    unused: Sequence[str] = (),
):
    """transformers' model with the weights of a base, and what that gave by the names of a task model."""
    if source is None:
        raise ValueError(
            'ImageTextLM: base_checkpoint names no source; write dict(source=…), a folder, hub name or URL'
        )
    file, identity = weights_at(source, sha256)
    loaded = load_image_text_lm(model, file, dtype, attn_implementation, quantization)
    check_whole_base(str(file), type(loaded.vlm).__name__, loaded.missing, loaded.unexpected, loaded.misfits, unused)
    names = {name for name, _ in loaded.vlm.named_parameters(remove_duplicate=False)} | set(loaded.vlm.state_dict())
    return loaded.vlm, Base(identity, frozenset(below('vlm', name) for name in names), {})
