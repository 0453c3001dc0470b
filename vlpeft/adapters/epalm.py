r"""eP-ALM: a frozen language model perceives through one token that is rewritten before each of its later layers.

    v_k = A_k p_k + b_k                        p_k: the encoder's class token after each of its last K blocks
    h[0] ← v_{level(i)}                        before each layer i with s ≤ i < e
    level(i) = min(⌊(i - s) / step⌋, K - 1)    step = max(⌊(e - s) / K⌋, 1)

A_k is one map per level or shared by all. A soft prompt (``soft_prompt.py``) stands before the text in all layers.

Shukor et al., "eP-ALM: Efficient Perceptual Augmentation of Language Models", ICCV 2023.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tower

from .base import Adapter
from .bottleneck_layer import check_size
from .lead_rows import PROMPT_ROWS
from .soft_prompt import SoftPrompt

LM, ENCODER = 'lm', 'encoder'
#: Keyword argument that the caller of the language model passes: the vectors (B, K, Dv) of the encoder.
PERCEPTION = 'perception'


def injection_levels(levels: int, start: int, end: int) -> list[int]:
    """Which level each of the layers ``start`` … ``end - 1`` reads, in their order.

    Args:
        levels: K.
        start, end: s and e.
    """
    step = max((end - start) // levels, 1)
    return [min(offset // step, levels - 1) for offset in range(end - start)]


class Perceiver(nn.Module):
    """Rewrites row 0 with one level.

    Args:
        connector: (A, b).
        level: k.
    """

    def __init__(self, connector: nn.Linear, level: int) -> None:
        super().__init__()
        self.connector, self.level = connector, level

    def overwrite(self, hidden: Tensor, perception: Tensor) -> Tensor:
        """Replaces row 0 of a layer's input ``hidden`` (B, L, D); ``perception`` is (B, K, Dv)."""
        token = self.connector(perception[:, self.level]).to(hidden.dtype)
        return torch.cat([token[:, None], hidden[:, 1:]], 1)


@ADAPTERS.register_module()
class EPALM(Adapter):
    """eP-ALM on the towers ``lm`` and ``encoder``; the defaults of its forms are those released for OPT-2.7B.

    ``levels=0`` leaves a soft prompt alone, ``prompt_length=0`` the connectors alone.

    Args:
        towers: The frozen backbones by name.
        levels: K, class tokens of the encoder's last blocks. Defaults to 6.
        start, end: s and e, the layers s ≤ i < e of the language model perceive; 19 and 31 of 32 as released. Default
            to None, for ``levels=0``.
        shared_connector: Whether one connector serves all levels. Defaults to False.
        prompt_length: P. Defaults to 10.
        prompt_mlp: Whether an MLP makes the prompt. Defaults to True.

    Raises:
        SiteError: A tower is missing, or the language model is no decoder-only one.
        ValueError: Layers that do not exist, or fewer layers than levels, so that the deepest would never be read.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        levels: int = 6,
        start: int | None = None,
        end: int | None = None,
        shared_connector: bool = False,
        prompt_length: int = 10,
        prompt_mlp: bool = True,
    ) -> None:
        super().__init__(towers)
        for name in (LM, ENCODER):
            if name not in towers:
                raise SiteError(f'EPALM needs a tower "{name}"; there are: {", ".join(towers)}')
        lm = towers[LM]
        if not lm.is_decoder_only:
            raise SiteError(f'EPALM: tower "{LM}" ({type(lm.module).__name__}) is no decoder-only language model')
        for option, size in dict(levels=levels, prompt_length=prompt_length).items():
            check_size(option, size, least=0)
        self.levels, self.start, self.end, self.prompt_length = levels, start, end, prompt_length
        if levels:
            self._check_layers(len(lm.blocks))
        connectors = min(levels, 1) if shared_connector else levels
        self.connector = nn.ModuleList(nn.Linear(towers[ENCODER].width, lm.width) for _ in range(connectors))
        words, scale = lm.entrance.width, lm.entrance.scale
        hidden = words if prompt_mlp else None
        self.prompt = SoftPrompt(prompt_length, words, hidden, scale=scale) if prompt_length else None

    def _check_layers(self, depth: int) -> None:
        start, end = self.start, self.end
        if start is None or end is None or not 0 <= start < end <= depth:
            raise ValueError(
                f'EPALM: start={start}, end={end}; choose 0 <= start < end <= {depth}, the layers of the language model'
            )
        if self.levels > end - start:
            raise ValueError(
                f'EPALM: levels={self.levels}, but only {end - start} layers (start={start}, end={end}) '
                'would read one each; the deepest levels would never be used'
            )

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        lm = towers[LM]
        if self.prompt is not None:
            embeddings = lm.entrance.embeddings
            yield Binding(LM, 0, (embeddings.beside(PROMPT_ROWS),), embeddings, self.prompt.fill)
        if not self.levels:
            return
        for depth, level in enumerate(injection_levels(self.levels, self.start, self.end), self.start):
            block = lm.blocks[depth].input
            unit = Perceiver(self.connector[level % len(self.connector)], level)
            yield Binding(LM, depth, (block.beside(PERCEPTION),), block, unit.overwrite)

    def last_token(self, perception: Tensor) -> Tensor:
        """The perceptual token (B, D) of layer e - 1, of ``perception`` (B, K, Dv)."""
        level = injection_levels(self.levels, self.start, self.end)[-1]
        return self.connector[level % len(self.connector)](perception[:, level])

    def prompt_rows(self, tower: str) -> int:
        return self.prompt_length if tower == LM else 0

    def role_of(self, name: str) -> str:
        return 'soft_prompt' if name.startswith('prompt.') else 'connector'
