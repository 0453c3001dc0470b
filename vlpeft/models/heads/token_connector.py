"""What leads tokens of an encoder into a language model, as rows before its texts.

    v = W p + b,   or   v = W_2 GELU(W_1 p + b_1) + b_2 with an MLP

Patches through one map: Merullo et al., "Linearly Mapping from Image to Text Space", ICLR 2023; through an MLP: Liu et
al., "Improved Baselines with Visual Instruction Tuning", CVPR 2024.
"""

from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = ('patches', 'levels')


class TokenConnector(nn.Module):
    """Maps tokens from the encoder's width to that of the language model's embeddings.

    Args:
        in_features: Dv.
        out_features: W.
        tokens: Which tokens become rows: the ``'patches'`` behind the encoder's last block, or the ``'levels'``, the
            class token after each of its last blocks. Defaults to ``'patches'``.
        levels: K, how many of these. Defaults to None, for patches.
        hidden: Width of the MLP. Defaults to None, one linear map.

    Raises:
        ValueError: Unknown ``tokens``, ``levels`` beside patches or missing beside levels, or a width below 1.
    """

    roles = {'': 'connector'}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tokens: str = 'patches',
        levels: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        if tokens not in TOKENS:
            raise ValueError(f'connector.tokens={tokens!r}; choose from {TOKENS}')
        if (tokens == 'levels') != (levels is not None) or levels is not None and levels < 1:
            raise ValueError(
                f"connector.tokens={tokens!r}, levels={levels!r}; levels, an integer of at least 1, goes with 'levels'"
            )
        if hidden is not None and hidden < 1:
            raise ValueError(f'connector.hidden={hidden!r}; it is an integer of at least 1, or None')
        self.tokens, self.levels = tokens, levels
        self.maps = nn.ModuleDict(
            dict(proj=nn.Linear(in_features, out_features))
            if hidden is None
            else dict(fc1=nn.Linear(in_features, hidden), fc2=nn.Linear(hidden, out_features))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Rows (B, R, W) of tokens (B, R, Dv)."""
        first, *rest = self.maps.values()
        rows = first(tokens)
        for second in rest:
            rows = second(F.gelu(rows))
        return rows
