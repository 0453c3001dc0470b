"""Retrieval of clips (and images, T = 1) by text and back: contrastive features, then matching of pairs.

Notation: B clips, T frames each, N tokens per frame, class and register tokens first, S = T · N, D width, P text-clip
pairs.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor
from torch.distributed.nn.functional import all_gather as all_gather_with_grad
from torch.nn import functional

from vlpeft.models.backbones import CrossContext, Projected, check_vision_tower, see
from vlpeft.models.frozen_outputs import FrozenOutputs
from vlpeft.models.heads import Features, sample_negatives
from vlpeft.models.momentum import MomentumWeights
from vlpeft.models.tokenizer import Tokens
from vlpeft.registry import MODELS

from .base import AdaptedModel
from .frames import TemporalEmbedding, frame_key_weights


class VisionStates(NamedTuple):
    """Output of the vision tower: ``tokens`` (B, T, N, D), ``pooled`` (B, D) mean over the frames of what the
    tower pools each to, ``frames`` (B, T, E) unit-length features of each frame, ``feature`` (B, E) of the clip.
    """

    tokens: Tensor
    pooled: Tensor
    frames: Tensor
    feature: Tensor


@MODELS.register_module()
class Retriever(AdaptedModel):
    """Text-to-clip and clip-to-text retrieval with ITC features and, where texts can meet clips, ITM re-ranking.

    Args:
        vision: Vision tower (:mod:`vlpeft.models.backbones.vision`): :class:`TransformersVision`, or an mmpretrain ViT,
            BEiT or EVA-02 with ``out_type='raw'``.
        text: :class:`BlipTextEncoder`, or without matching :class:`ClipTextEncoder` or :class:`SiglipTextEncoder`.
        vocabulary: Hub name or directory of the text tower's tokenizer. Defaults to ``'bert-base-uncased'``.
        itc_head: Contrastive head, :class:`ITCHead` or :class:`SigmoidITCHead`.
        itm_head: Matching head; None trains and ranks by features alone (``k_test=0``) and never runs cross-attention.
        momentum: Arguments of :class:`MomentumWeights`, for a head that compares with them. Defaults to its defaults.
        frame_aware: Weights cross-attention keys by each frame's likeness to the text. Defaults to False.
        temporal_frames: Size of a learned temporal embedding. Defaults to None, no such embedding.
        train_temporal: Whether it is trained; the released code froze it by accident. Defaults to True.
        negative_all_rank: Hard negatives from all processes rather than one's own. Defaults to True.
        max_text_length: In tokens; SigLIP reads texts of its full length only. Defaults to 35.
        data_preprocessor: Defaults to :class:`ClipDataPreprocessor`'s defaults.
        **adaptation: Of :class:`AdaptedModel`: ``adapter``, ``trainable``, ``gradient_checkpointing``,
            ``base_checkpoint``.

    Raises:
        ValueError: The vision tower does not keep to the protocol; matching with a text tower that has no
            cross-attention; an option that only cross-attention uses without matching; ``momentum`` for a head that
            does without; or a ``max_text_length`` that the text tower does not take.
    """

    def __init__(
        self,
        vision: dict,
        text: dict,
        itc_head: dict,
        itm_head: dict | None,
        vocabulary: str = 'bert-base-uncased',
        momentum: dict | None = None,
        frame_aware: bool = False,
        temporal_frames: int | None = None,
        train_temporal: bool = True,
        negative_all_rank: bool = True,
        max_text_length: int = 35,
        data_preprocessor: dict | None = None,
        **adaptation,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='ClipDataPreprocessor'), **adaptation)
        self.vision = MODELS.build(vision)
        check_vision_tower(self.vision)
        self.text = MODELS.build(text)
        self.itc_head = MODELS.build(itc_head)
        self.itm_head = None if itm_head is None else MODELS.build(itm_head)
        self._check_matching(frame_aware=frame_aware, temporal_frames=temporal_frames)
        self._check_text_length(max_text_length)
        if momentum is not None and not self.itc_head.uses_momentum:
            raise ValueError(f'Retriever: {type(self.itc_head).__name__} has no use for momentum={momentum!r}')
        self.temporal_embedding = (
            None
            if temporal_frames is None
            else TemporalEmbedding(temporal_frames, self.vision.embed_dims, train_temporal)
        )
        self.tokenizer = self.text.tokenizer_type(vocabulary, max_text_length, self.text.vocab_size)
        self.frame_aware, self.negative_all_rank = frame_aware, negative_all_rank
        heads = ('itc_head', 'itm_head') if self.matches else ('itc_head',)
        self.own_parts = {} if temporal_frames is None else dict(temporal_embedding='temporal')
        self.assemble(dict(vision='vision', text='text'), heads)
        self.momentum = None
        if self.itc_head.uses_momentum:
            self.momentum = MomentumWeights(**(momentum or {}))
            self.momentum.copy_from(self)
        self.queue = self.itc_head.make_queue()

    @property
    def matches(self) -> bool:
        """Whether text-clip pairs are matched by cross-attention, rather than compared by features alone."""
        return self.itm_head is not None

    def _check_matching(self, **cross_attention_options) -> None:
        if self.matches and not hasattr(self.text, 'project_context'):
            raise ValueError(
                f'Retriever: itm_head needs a text tower with cross-attention, which '
                f'{type(self.text).__name__} has not; set itm_head=None'
            )
        idle = [name for name, value in cross_attention_options.items() if value]
        if idle and not self.matches:
            raise ValueError(f'Retriever: {", ".join(idle)} act on cross-attention, which itm_head=None leaves out')

    def _check_text_length(self, length: int) -> None:
        wanted = getattr(self.text, 'text_length', length)
        if length != wanted:
            raise ValueError(
                f'Retriever: {type(self.text).__name__} was trained on texts padded to {wanted} tokens; set '
                f'max_text_length={wanted}, not {length}'
            )

    def probe(self) -> None:
        param = next(self.vision.parameters())
        states = self.encode_vision(param.new_zeros(1, 1, 3, *self.vision.img_size))
        ids = torch.zeros(1, 2, dtype=torch.long, device=param.device)
        tokens = Tokens(ids, torch.ones_like(ids))
        self.encode_text(tokens)
        if self.matches:
            self.text(*tokens, CrossContext(self.text.project_context(states.tokens.flatten(1, 2))))

    def forward(self, inputs: Tensor, data_samples, mode: str = 'tensor'):
        """MMEngine's entry.

        Args:
            inputs: Normalised frames (B, T, 3, H, W).
            data_samples: List of samples; :class:`Tokens` in mode ``'features'``.
            mode: ``'loss'``, ``'tensor'`` (:meth:`extract`) or ``'features'`` (:class:`Features` of B pairs).

        Raises:
            ValueError: Another mode; retrieval is predicted over a whole set, by the retrieval loops.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'tensor':
            return self.extract(inputs, data_samples)
        if mode == 'features':
            return Features(self.encode_vision(inputs).feature, self.encode_text(data_samples))
        raise ValueError(
            f"Retriever has modes 'loss', 'tensor' and 'features', not {mode!r}; evaluate it with "
            'RetrievalValLoop or RetrievalTestLoop'
        )

    def encode_vision(self, clips: Tensor) -> VisionStates:
        """Frames (B, T, 3, H, W) to states; the T frames pass the tower as one batch of B · T images."""
        tokens, each = (states.unflatten(0, (-1, clips.shape[1])) for states in see(self.vision, clips.flatten(0, 1)))
        pooled = each.mean(1)
        frames = self.itc_head.project_vision(each.detach()).detach()
        feature = self.itc_head.project_vision(pooled)
        if self.temporal_embedding is not None:
            tokens = self.temporal_embedding(tokens)
        return VisionStates(tokens, pooled, frames, feature)

    def encode_text(self, tokens: Tokens) -> Tensor:
        """Unit-length features (B, E) of a text-only pass."""
        return self.itc_head.project_text(self.text.pool(self.text(*tokens), tokens.mask))

    def match(self, tokens: Tokens, context: CrossContext) -> Tensor:
        """``[ENC]`` states (P, D) of a multimodal pass."""
        ids = tokens.ids.clone()
        ids[:, 0] = self.tokenizer.encode_id
        return self.text(ids, tokens.mask, context)[:, 0]

    def key_weights(self, text: Tensor, frames: Tensor, tokens_per_frame: int) -> Tensor | None:
        """Frame-aware factors for P pairs, or None where the model does not use them or there is one frame."""
        if not self.frame_aware or frames.shape[1] == 1:
            return None
        return frame_key_weights(text.detach(), frames, tokens_per_frame, self.vision.num_extra_tokens)

    def loss(self, clips: Tensor, data_samples: list) -> dict[str, Tensor]:
        """``loss_itc`` and, with matching, ``loss_itm`` of B pairs."""
        tokens = self.tokenizer([sample.text for sample in data_samples], clips.device)
        ids = torch.tensor([sample.clip_id for sample in data_samples]).to(clips.device, non_blocking=True)
        if self.momentum is not None:
            self.itc_head.clamp_temperature()
        frozen = FrozenOutputs(self.vision)
        with nullcontext() if self.momentum is None else frozen.keep():
            vision = self.encode_vision(clips)
        online = Features(vision.feature, self.encode_text(tokens))
        if self.momentum is None:
            losses = dict(loss_itc=self.itc_head.loss(online, ids))
        else:
            self.momentum.update(self)
            with frozen.reuse():
                momentum = self.momentum.call(self, clips, tokens, mode='features')
            losses = dict(loss_itc=self.itc_head.loss(online, momentum, ids, self.queue))
        if self.matches:
            losses['loss_itm'] = self._matching_loss(vision, tokens, online, ids)
        return losses

    def _matching_loss(self, vision: VisionStates, tokens: Tokens, online: Features, ids: Tensor) -> Tensor:
        batch, per_frame = len(ids), vision.tokens.shape[2]
        gather = self.negative_all_rank and get_world_size() > 1
        if gather:
            missing = self.tokenizer.max_length - tokens.ids.shape[1]
            tokens = Tokens(*(functional.pad(value, (0, missing)) for value in tokens))
        own = dict(
            states=vision.tokens.flatten(1, 2),
            frames=vision.frames,
            clip_feature=online.vision.detach(),
            text_feature=online.text.detach(),
            text_ids=tokens.ids,
            text_mask=tokens.mask,
            ids=ids,
        )
        pool = self._gather(own) if gather else own
        temperature = self.itc_head.temperature.detach()
        to_clips = own['text_feature'] @ pool['clip_feature'].T / temperature
        to_texts = own['clip_feature'] @ pool['text_feature'].T / temperature
        clip, clip_valid = sample_negatives(to_clips, ids, pool['ids'])
        text, text_valid = sample_negatives(to_texts, ids, pool['ids'])
        # Keys and values of each clip are projected once. They are read where they are by its own text and by the hard
        # one; only the hard clips of the texts are looked up.
        if gather:
            layers = self.text.project_context(torch.cat([own['states'], pool['states'][clip]]))
            own_layers, hard_layers, index = layers.rows(slice(batch)), layers.rows(slice(batch, None)), None
        else:
            own_layers = hard_layers = self.text.project_context(own['states'])
            index = clip

        def match(texts: dict[str, Tensor], frames: Tensor, layers: Projected, index: Tensor | None) -> Tensor:
            weights = self.key_weights(texts['text_feature'], frames, per_frame)
            tokens = Tokens(texts['text_ids'], texts['text_mask'])
            return self.match(tokens, CrossContext(layers, index=index, key_weights=weights))

        keys = ('text_feature', 'text_ids', 'text_mask')
        both = {key: torch.stack([own[key], pool[key][text]], 1).flatten(0, 1) for key in keys}
        of_clips = match(both, vision.frames.repeat_interleave(2, 0), own_layers, None)
        of_texts = match(own, pool['frames'][clip], hard_layers, index)
        states = torch.cat([of_clips[::2], of_texts, of_clips[1::2]])
        return self.itm_head.loss(states, clip_valid, text_valid)

    @staticmethod
    def _gather(own: dict[str, Tensor]) -> dict[str, Tensor]:
        """Everyone's candidates for hard negatives; gradients of vision tokens flow back to their owners."""
        pool = {key: torch.cat(all_gather(value.contiguous())) for key, value in own.items() if key != 'states'}
        return dict(pool, states=torch.cat(all_gather_with_grad(own['states'].contiguous())))

    def extract(self, clips: Tensor, data_samples: list) -> dict[str, list]:
        """First stage of evaluation: per clip its tokens and features, per caption its ids and feature.

        Returns:
            ``clip_ids``, ``tokens`` [(S, D)] (S = 0 without matching), ``features`` (B, E), ``frames`` (B, T, E),
            ``text_ids``, ``text_tokens`` [1-D ids], ``text_features`` (n, E).
        """
        vision = self.encode_vision(clips)
        # The caller keeps them for the whole set, so those that nothing will read are left out.
        tokens = vision.tokens.flatten(1, 2)[:, : None if self.matches else 0]
        texts = [text for sample in data_samples for text in sample.texts]
        ids = self.tokenizer.ids(texts)
        return dict(
            clip_ids=[sample.clip_id for sample in data_samples],
            tokens=list(tokens),
            features=vision.feature,
            frames=vision.frames,
            text_ids=[index for sample in data_samples for index in sample.text_ids],
            text_tokens=[torch.tensor(row) for row in ids],
            text_features=self.encode_text(self.tokenizer.pad(ids, clips.device)),
        )
