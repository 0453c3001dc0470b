"""What families share: handles on linear maps, and the taps of a pre-norm block.

y = x + h(norm(x))     first for the attention, then for the FFN, whose x is the attention's y
"""

from torch import nn

from ..schema import Block, LinearSite, SubLayer, Tap

Linears = dict[str, LinearSite]


def linear(module: nn.Module, path: str) -> LinearSite:
    """The ``nn.Linear`` at ``path``."""
    found = module.get_submodule(path)
    return LinearSite(path, found.in_features, found.out_features)


def fused_qkv(path: str, width: int) -> Linears:
    """Queries, keys and values of a projection that computes all three."""
    return {role: LinearSite(path, width, width, span=(i * width, (i + 1) * width)) for i, role in enumerate('qkv')}


def pre_norm_block(
    depth: int,
    norms: tuple[str, str],
    branches: tuple[str | None, str | None],
    end: str,
    attention: Linears,
    ffn: Linears,
) -> Block:
    """A block of self-attention and FFN.

    Args:
        depth: Its index.
        norms: Paths of the two norms, whose inputs are the residual stream.
        branches: Paths of the modules whose outputs are the branches' h; None where no module's output is.
        end: Path of the module whose output is the stream after the FFN.
        attention, ffn: Linear maps of the branches.
    """
    stream, middle = (Tap(path, 'input') for path in norms)
    h_attention, h_ffn = (path and Tap(path, 'output') for path in branches)
    sublayers = dict(
        self_attn=SubLayer('self_attn', x=stream, h=h_attention, y=middle, linears=attention),
        ffn=SubLayer('ffn', x=middle, h=h_ffn, y=Tap(end, 'output'), linears=ffn),
    )
    return Block(depth, stream, sublayers)
