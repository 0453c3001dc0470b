r"""A frozen decoder-only language model that perceives: images, videos or sounds become text.

    ℓ = λ · (1/B) Σ_b Σ_t CE(LM([slot, prompt, pictures, text_b])_t, text_b,t+1)      summed over the tokens of a text

What the encoder sees reaches the language model through the slot of eP-ALM, or through a connector as rows before the
text, or not at all, for baselines that see the text alone.

Shukor et al., "eP-ALM: Efficient Perceptual Augmentation of Language Models", ICCV 2023.

Notation: B samples, L tokens of text, K vectors of width Dv from the encoder, P rows of prompt, W the width of
embeddings, V the vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vlpeft.adapters import EPALM, Adapter
from vlpeft.models.backbones import build_causal_lm, cls_levels
from vlpeft.models.backbones.grid_tower import to_cells
from vlpeft.models.backbones.lead import Lead
from vlpeft.models.backbones.slotted_lm import SlottedLM
from vlpeft.models.continuation import Continuation
from vlpeft.models.decoding import beam_search
from vlpeft.models.finite import naming
from vlpeft.models.heads import TokenConnector
from vlpeft.models.precision import at_least_float32
from vlpeft.models.tokenizer import CausalTokenizer, Tokens
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError, find_towers, shapes_suffice

from .base import AdaptedModel
from .candidates import Candidate, written
from .perceptual_task import PerceptualTask
from .seq2seq_task import only_task, tasks_of

PADDINGS = ('left', 'right')


class Targets(NamedTuple):
    """Whole texts and, per token, whether the loss counts it, (B, L)."""

    tokens: Tokens
    counted: Tensor


@MODELS.register_module()
class PerceptualLM(AdaptedModel):
    """A language model beside a frozen encoder; a batch holds one task.

    What the encoder sees reaches the language model by what is declared, one of:

    * :class:`vlpeft.adapters.EPALM` in ``adapter``: a slot that its later layers read;
    * ``connector``: rows before the text, which train, with any method in the language model or none;
    * ``encoder=None``: nothing does. The text is all there is, as for an ``EPALM`` with ``levels=0``.

    Args:
        lm: Geometry of the language model: entries of transformers' config with ``model_type``, or a directory or hub
            name; see :func:`build_causal_lm`.
        vocab_size: Rows of its word embeddings; 50,272 for OPT.
        vocabulary: Hub name or directory of the tokenizer.
        encoder: Config of the encoder, of those that :func:`cls_levels` knows; for the patches of a connector any that
            gives tokens. None for texts alone.
        tasks: Settings of :class:`PerceptualTask` by the name that samples carry as ``task``.
        connector: Options of :class:`vlpeft.models.heads.TokenConnector`, such as ``dict(tokens='patches')`` or
            ``dict(tokens='levels', levels=6, hidden=2048)``. Defaults to None, no rows of pictures.
        visual_row: What the slot sees: ``'causal'``, itself, or ``'full'``, everything, as released. Defaults to
            ``'causal'``.
        lm_loss_weight: λ. Defaults to 0.1.
        padding: Side on which prompts of different lengths are padded for decoding: ``'left'``, or ``'right'`` as
            released, where a short question's answer starts after its padding. Defaults to ``'left'``.
        released_dropout: Whether dropout and drop-path of the frozen parts act in training, as released. Defaults to
            False: they are in eval mode.
        lm_dtype: Of the language model's weights. Defaults to ``'float32'``.
        attn_implementation: Of the language model, ``'sdpa'`` or ``'eager'``; see :func:`build_causal_lm`. Defaults to
            None.
        data_preprocessor: Defaults to :class:`ClipDataPreprocessor`, for images and videos; spectrograms and stored
            vectors take :class:`FeatureDataPreprocessor`.
        **adaptation: Of :class:`AdaptedModel`. Methods act on the tower ``lm``. ``trainable='all'`` trains the language
            model too; the encoder never trains.

    Raises:
        SiteError: A method acts on the encoder, which runs without gradient.
        ValueError: Nothing leads from the encoder to the language model, or two things do; a language model that is not
            known; or an unknown choice.
    """

    no_grad_parts = ('encoder',)

    def __init__(
        self,
        lm: str | dict,
        vocab_size: int,
        vocabulary: str,
        encoder: dict | None,
        tasks: Mapping[str, dict],
        connector: dict | None = None,
        visual_row: str = 'causal',
        lm_loss_weight: float = 0.1,
        padding: str = 'left',
        released_dropout: bool = False,
        lm_dtype: str = 'float32',
        attn_implementation: str | None = None,
        data_preprocessor: dict | None = None,
        **adaptation,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='ClipDataPreprocessor'), **adaptation)
        if padding not in PADDINGS:
            raise ValueError(f'padding={padding!r}; choose from {PADDINGS}')
        self.visual_row, self.lm_loss_weight, self.padding = visual_row, lm_loss_weight, padding
        self.released_dropout = released_dropout
        self.tasks = tasks_of(PerceptualTask, tasks)
        self.lm = build_causal_lm(lm, vocab_size, lm_dtype, attn_implementation)
        self.encoder = None if encoder is None else MODELS.build(encoder)
        self.tokenizer = CausalTokenizer(vocabulary, None, vocab_size, self.lm.config.to_dict())
        towers = dict(lm='lm') if encoder is None else dict(lm='lm', encoder='encoder')
        if encoder is None:
            self.no_grad_parts = ()
        self.connector = None
        if connector is not None:
            if encoder is None:
                raise ValueError('connector leads from an encoder to the language model; encoder is None')
            found = find_towers(self, towers)
            self.connector = TokenConnector(found['encoder'].width, found['lm'].entrance.width, **connector)
        self.prompt_rows = 0
        self.assemble(towers, () if connector is None else ('connector',))

    def _build_adapter(self, config: dict | Sequence[dict] | None) -> Adapter | None:
        adapter = super()._build_adapter(config)
        parts = [] if adapter is None else list(adapter.modules())
        self._read_through([part for part in parts if isinstance(part, EPALM)])
        if adapter is None:
            return None
        if any(binding.tower == 'encoder' for binding in adapter.bindings(self.towers)):
            raise SiteError(
                "PerceptualLM's encoder runs without gradient, so no method can act there; give the other "
                "methods targets=dict(towers=['lm'], …)"
            )
        fillers = {part: part.prompt_rows('lm') for part in parts if isinstance(part, Adapter)}
        fillers = {type(part).__name__: rows for part, rows in fillers.items() if rows}
        if len(fillers) > 1:
            raise ValueError(
                f'{" and ".join(fillers)} would fill the same rows before the text; EPALM(prompt_length=0) leaves them '
                'to the other'
            )
        self.prompt_rows = sum(fillers.values())
        return adapter

    def _read_through(self, found: list[EPALM]) -> None:
        """Builds what runs the language model, whose hooks come before the method's: that overwrites what they leave in
        the slot.
        """
        if len(found) > 1:
            raise ValueError(f'PerceptualLM has one slot; adapter={self._adapter_config!r} has {len(found)} EPALM')
        if self.encoder is not None and not found and self.connector is None:
            raise ValueError(
                "nothing leads what the encoder sees to the language model: add dict(type='EPALM', …) to adapter, or "
                "connector=dict(tokens='patches'); for texts alone encoder=None"
            )
        if self.connector is not None and found and found[0].levels:
            raise ValueError(
                'EPALM and connector would both lead what the encoder sees to the language model; leave out one, or '
                'EPALM(levels=0)'
            )
        start, end = (found[0].start, found[0].end) if found and found[0].levels else (None, None)
        self.reader = SlottedLM(self.towers['lm'], start, end, self.visual_row)

    def detach_adapter(self) -> None:
        super().detach_adapter()
        if self.reader.attachment is not None:
            self.reader.attachment.detach()

    @property
    def epalm(self) -> EPALM | None:
        """The method, where it is a part of ``adapter``."""
        parts = () if self.adapter is None else self.adapter.modules()
        return next((part for part in parts if isinstance(part, EPALM)), None)

    @property
    def levels(self) -> int | None:
        """K, the class tokens of the encoder's last blocks that are asked for; None for patches."""
        if self.connector is not None:
            return self.connector.levels
        return 0 if self.epalm is None else self.epalm.levels

    def train(self, mode: bool = True) -> 'PerceptualLM':
        """Switches all but the frozen towers, unless they are to keep their dropout."""
        super().train(mode)
        if not self.released_dropout:
            if self.encoder is not None:
                self.encoder.eval()
            if not self.trains_all:
                self.lm.eval()
        return self

    def probe(self) -> None:
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.lm.device)
        vectors = None
        if self.encoder is not None:
            rows = 1 if self.levels is None else self.levels
            vectors = torch.zeros(1, rows, self.towers['encoder'].width, device=self.lm.device)
        for task in self.tasks:
            with self.switch.task(task), shapes_suffice(self.lm):
                self.logits(self.perceive(vectors), Tokens(ids, torch.ones_like(ids)))

    def forward(self, inputs: Tensor, data_samples: list, mode: str = 'tensor'):
        """MMEngine's entry.

        Args:
            inputs: What the encoder takes: normalised clips (B, T, 3, H, W), where a single frame is an image,
                spectrograms (B, 1, frames, bins), or its vectors (B, K, Dv), computed before. Not looked at without an
                encoder.
            data_samples: With ``task`` and ``text``, the prompt; for the loss with ``target``.
            mode: ``'loss'``, ``'predict'`` (samples with ``pred_answer`` or ``pred_caption``), ``'candidates'``
                (:meth:`candidates`, the first of which is predicted) or ``'tensor'`` (logits of the prompts (B, L, V)).

        Raises:
            ValueError: Another mode, or a batch of several or unknown tasks.
            NonFiniteError: Answering: a sample's logits are NaN or infinite.
        """
        task = only_task(data_samples, self.tasks)
        with self.switch.task(task):
            return self._forward(inputs, data_samples, mode, task)

    def _forward(self, inputs: Tensor, data_samples: list, mode: str, task: str):
        vectors = self.perceive(inputs)
        if mode == 'loss':
            targets = self.targets(data_samples, self.tasks[task], self.lm.device)
            return {f'loss_{task}': self.lm_loss_weight * self.text_losses(vectors, targets).mean()}
        prompts = self.prompts([sample.text for sample in data_samples], self.lm.device)
        if mode == 'tensor':
            return self.logits(vectors, prompts)
        if mode not in ('predict', 'candidates'):
            raise ValueError(f"PerceptualLM has modes 'loss', 'predict', 'candidates' and 'tensor', not {mode!r}")
        with naming(data_samples):
            if mode == 'candidates':
                return self.candidates(vectors, prompts, self.tasks[task])
            texts = self.answer(vectors, prompts, self.tasks[task])
        for sample, text in zip(data_samples, texts):
            sample.set_field(text, self.tasks[task].output)
        return data_samples

    def perceive(self, inputs: Tensor) -> Tensor | None:
        """Inputs of :meth:`forward` to vectors (B, K, Dv), for K the number of patches where these are asked for; None
        where nothing is.

        Raises:
            ValueError: Vectors of another shape.
        """
        if self.encoder is None:
            return None
        levels, width = self.levels, self.towers['encoder'].width
        if inputs.ndim == 3 and inputs.shape[1:] != (inputs.shape[1] if levels is None else levels, width):
            rows = 'patches' if levels is None else levels
            raise ValueError(f'vectors are {tuple(inputs.shape)}; the model takes (B, {rows}, {width})')
        if levels == 0:
            return None
        if inputs.ndim == 3:
            return inputs
        inputs = inputs[:, 0] if inputs.shape[1] == 1 else inputs
        with torch.no_grad():
            if levels is None:
                return to_cells(self.encoder(inputs), self.encoder)
            return cls_levels(self.encoder, inputs, levels)

    def lead(self, vectors: Tensor | None) -> Lead:
        """What stands before the texts; nothing of the method while its set is switched off."""
        acts = self.switch.active is not None
        prompt_rows = self.prompt_rows if acts else 0
        if vectors is None or self.connector is None and not acts:
            return Lead(None, prompt_rows)
        if self.connector is not None:
            return Lead(None, prompt_rows, pictures=self.connector(vectors))
        return Lead(vectors, prompt_rows, self.epalm.last_token(vectors))

    def logits(self, vectors: Tensor | None, tokens: Tokens) -> Tensor:
        """Next-token logits (B, L, V) of texts, given vectors (B, K, Dv) or None for texts alone."""
        return self.reader.logits(self.reader.read(self.reader.words(tokens.ids), tokens.mask, self.lead(vectors)))

    def prompts(self, texts: Sequence[str], device: torch.device) -> Tokens:
        """Texts to be continued."""
        return self.tokenizer.pad(self.tokenizer.prompts(texts), device, left=self.padding == 'left')

    def targets(self, data_samples: list, task: PerceptualTask, device: torch.device) -> Targets:
        """Whole texts, padded on the right."""
        prompts = self.tokenizer.prompts([sample.text for sample in data_samples])
        answers = self.tokenizer.targets([sample.target for sample in data_samples])
        tokens = self.tokenizer.pad([first + second for first, second in zip(prompts, answers)], device)
        counted = tokens.mask.bool()
        if task.loss_on == 'answer':
            lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
            counted = counted & (torch.arange(counted.shape[1], device=device) >= lengths[:, None])
        return Targets(tokens, counted)

    def text_losses(self, vectors: Tensor | None, targets: Targets) -> Tensor:
        """Sum of the tokens' negative log-likelihoods for each sample, (B,), at least in float32."""
        ids, mask = targets.tokens
        hidden = self.reader.read(self.reader.words(ids), mask, self.lead(vectors))
        # Vocabularies are large, and questions are not learned: logits of what is counted alone.
        counted = targets.counted[:, 1:]
        logits = at_least_float32(self.reader.logits(hidden[:, :-1][counted]))
        nll = F.cross_entropy(logits, ids[:, 1:][counted], reduction='none')
        return nll.new_zeros(len(ids)).index_add(0, counted.nonzero()[:, 0], nll)

    def answer(self, vectors: Tensor | None, prompts: Tokens, task: PerceptualTask) -> list[str]:
        """One text per prompt."""
        return [found[0].text for found in self.candidates(vectors, prompts, task)]

    @torch.no_grad()
    def candidates(self, vectors: Tensor | None, prompts: Tokens, task: PerceptualTask) -> list[list[Candidate]]:
        """For each prompt at most ``task.num_beams`` texts, best first, with scores by ``task.beam_rule``."""
        step = Continuation(self.reader, prompts, self.lead(vectors), task.num_beams)
        length = prompts.ids.shape[1]
        found = beam_search(
            step,
            prompts.ids[:, -1:],
            task.num_beams,
            self.tokenizer.end_id,
            1 + task.new_tokens(length),
            task.beam_rule,
            length,
        )
        return [[written(self.tokenizer.text(ids).strip(), *scores) for ids, *scores in kept] for kept in found]
