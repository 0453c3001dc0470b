"""A training step of VL-PET on BART or T5, beside the plain restatement that starts from the same weights."""

from dataclasses import dataclass

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.engine.optim import HFAdamW
from vlpeft.registry import MODELS

from .plain_vl_pet import PlainAdamW, PlainVLPET, joined_gradients, split_heads
from .ways import Pair, Way
from .words import random_texts

CLIP = 5.0
MAX_TEXT, MAX_TARGET, HEADS = 20, 10, 4


@dataclass
class Seq2SeqGeometry:
    """Sizes of a language model with vision tokens; the defaults are those of the base models and CLIP-RN101."""

    family: str
    width: int = 768
    #: Blocks of the encoder and of the decoder; BART-base has 6, T5-base 12.
    depth: int = 6
    heads: int = 12
    hidden: int = 3072
    bottleneck: int = 96
    scale: float = 1.0
    features: int = 2048
    cells: int = 49
    grid: int = 6
    #: Words of the tokenizer; 200 are added, and T5 has 100 of them from the start.
    words: int = 50265

    def lm(self) -> dict:
        """The language model's config, without dropout, which no two ways of computing draw alike."""
        if self.family == 't5':
            return dict(
                model_type='t5',
                d_model=self.width,
                d_kv=self.width // self.heads,
                d_ff=self.hidden,
                num_layers=self.depth,
                num_heads=self.heads,
                dropout_rate=0.0,
                decoder_start_token_id=0,
            )
        towers = ('encoder', 'decoder')
        return dict(
            model_type='bart',
            d_model=self.width,
            **{f'{tower}_layers': self.depth for tower in towers},
            **{f'{tower}_attention_heads': self.heads for tower in towers},
            **{f'{tower}_ffn_dim': self.hidden for tower in towers},
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
        )


class _Clipped:
    """An optimiser of ours behind clipping, as the recipes' wrapper takes a step."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.params, self.optimizer = params, HFAdamW(params, lr=1e-3, weight_decay=0.01)
        self.zero_grad = self.optimizer.zero_grad

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.params, CLIP)
        self.optimizer.step()


def vl_pet(geometry: Seq2SeqGeometry, vocabulary: str, batch: int) -> Pair:
    """A step of VL-PET large on ``batch`` questions with the features of an image each."""
    config = dict(
        type='VLSeq2Seq',
        lm=geometry.lm(),
        vocab_size=geometry.words + 200,
        vocabulary=vocabulary,
        feature_width=geometry.features,
        grid=geometry.grid,
        tasks=dict(vqa=dict(max_text=MAX_TEXT, max_target=MAX_TARGET)),
        trainable=['heads', dict(parts='norms', towers=['encoder'])],
    )
    sizes = dict(bottleneck=geometry.bottleneck, value_bottleneck=geometry.bottleneck, heads=HEADS)
    model = MODELS.build({**config, 'adapter': dict(type='VLPET', scale=geometry.scale, **sizes)}).train()
    bare = MODELS.build(config).train()
    bare.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith('adapter.')})
    plain = PlainVLPET(bare, split_heads(dict(model.adapter.named_parameters()), HEADS), HEADS, geometry.scale)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, 1, geometry.cells, geometry.features, generator=generator)
    questions, answers = random_texts(batch, (3, 6), 999), random_texts(batch, (1, 1), 999)
    samples = [
        BaseDataElement(task='vqa', text=f'vqa: {question}', target=answer, weight=0.3 + 0.7 * (number % 2))
        for number, (question, answer) in enumerate(zip(questions, answers))
    ]

    def gradients(of: nn.Module) -> dict[str, Tensor]:
        return {name: param.grad for name, param in of.named_parameters() if param.requires_grad}

    def plain_gradients() -> dict[str, Tensor]:
        method = joined_gradients(plain.weights, HEADS)
        return {**gradients(bare), **{f'adapter.{name}': value for name, value in method.items()}}

    return Pair(
        ours=Way(
            lambda: model(features, samples, mode='loss'),
            lambda: gradients(model),
            [*model.parameters(), *model.buffers()],
            _Clipped([param for param in model.parameters() if param.requires_grad]),
        ),
        plain=Way(
            lambda: plain.loss(features, samples, MAX_TEXT, MAX_TARGET),
            plain_gradients,
            [*plain.parameters(), *bare.buffers()],
            PlainAdamW(plain.parameters(), lr=1e-3, clip=CLIP),
        ),
    )
