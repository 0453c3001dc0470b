"""Sites: named places in a frozen backbone where a method may attach.

A *tap* says where a tensor passes, a *sub-layer* names the taps of one attention or feed-forward branch, a *block*
groups its sub-layers, an *outer part* is what lies before the first block or leads out of the last one, and a *tower*
has all of them. They are plain data: families write them, methods read them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

#: Of sub-layers.
KINDS = ('self_attn', 'cross_attn', 'ffn')
#: Of parts outside of all blocks, in forward order.
OUTSIDE = ('patch_embed', 'connector')


class SiteError(ValueError):
    """A method asked for a site that the backbones do not publish, a site was never reached, or what a method returned
    cannot stand at its site.
    """


@dataclass(frozen=True)
class Tap:
    """One tensor passing in or out of a submodule.

    Attributes:
        path: Module path below the tower's root.
        side: ``'input'`` (an argument) or ``'output'`` (the first, if there are several).
        keyword: Name of that argument where callers pass it by keyword. Defaults to None.
        span: ``(start, stop)`` of the last dimension, for a part of a fused projection. Defaults to None (all of it).
        argument: Index of that argument where callers pass it by position; None where they never do. Defaults to 0.
        shape_of: Path of a module whose output is (B, L, …), where this tensor passes flattened to (B · L, D); methods
            see and return it unflattened. Defaults to None, it is not flattened.
        grid: Whether this tensor passes as (B, D, H, W), as it leaves a convolution; methods see and return
            (B, H · W, D). Defaults to False.
    """

    path: str
    side: str
    keyword: str | None = None
    span: tuple[int, int] | None = None
    argument: int | None = 0
    shape_of: str | None = None
    grid: bool = False

    def beside(self, keyword: str) -> 'Tap':
        """Another keyword argument of the same module: None passes there where its caller does not give it."""
        return replace(self, keyword=keyword, argument=None, span=None)


@dataclass(frozen=True)
class LinearSite:
    """A linear map, or the rows ``span`` of a fused one (``y = x Wᵀ + b``).

    Attributes:
        path: Path of the module below the tower's root.
        in_features, out_features: Widths of this map (of the span, if fused).
        span: ``(start, stop)`` rows of a fused weight. Defaults to None.
        shape_of: As for :class:`Tap`, where tensors pass the map flattened. Defaults to None.
    """

    path: str
    in_features: int
    out_features: int
    span: tuple[int, int] | None = None
    shape_of: str | None = None

    @property
    def input(self) -> Tap:
        """The map's input."""
        return Tap(self.path, 'input', shape_of=self.shape_of)

    @property
    def output(self) -> Tap:
        """The map's output; of a fused projection its own part."""
        return Tap(self.path, 'output', span=self.span, shape_of=self.shape_of)


@dataclass(frozen=True)
class SubLayer:
    """One residual branch of a block.

    Attributes:
        kind: ``'self_attn'``, ``'cross_attn'`` or ``'ffn'``.
        x: Residual-stream input of the branch, (B, L, D).
        h: Its output after LayerScale, before dropout, DropPath and the residual add, (B, L, D); None where that
            passes no module (BEiT's LayerScale).
        y: The stream after the residual add (and after the norm, if post-norm), (B, L, D).
        linears: By role: ``q, k, v, o`` of an attention, whose keys and values may be narrower than its queries;
            ``fc1, fc2`` of a plain FFN, W_2 φ(W_1 x); ``gate, up, down`` of a gated one, W_down (φ(W_gate x) ⊙ W_up x).
        context: Encoder states of a cross-attention, (B, S, Dc); or an object whose ``states()`` gives those of C
            contexts, each of B / C consecutive samples, and their mask (C, S). Defaults to None.
        context_mask: Mask of these, (B, 1, L or 1, S), as :class:`Block` has it of the tokens. Defaults to None.
    """

    kind: str
    x: Tap
    h: Tap | None
    y: Tap
    linears: Mapping[str, LinearSite]
    context: Tap | None = None
    context_mask: Tap | None = None

    def branch(self, wanted_by: str) -> Tap:
        """Where h passes.

        Raises:
            SiteError: It passes no module; the message names the method.
        """
        if self.h is None:
            raise SiteError(
                f'{wanted_by} edits the output of {self.kind}, which passes no module in this backbone '
                f'({self.x.path} …); its linears are: {", ".join(self.linears)}'
            )
        return self.h


@dataclass(frozen=True)
class Block:
    """One transformer layer; ``input`` is the first tap that each of its forward passes reaches.

    Attributes:
        depth: Index in the tower, from 0.
        input: Its input stream, (B, L, D).
        sublayers: By kind.
        mask: Its self-attention mask (B, 1, L or 1, L), as it enters the attention: additive, 0 where a token may be
            seen, or boolean, True there; no tensor passes where all tokens are real. Defaults to None: the block
            receives no mask that tells padding from tokens.
    """

    depth: int
    input: Tap
    sublayers: Mapping[str, SubLayer]
    mask: Tap | None = None


@dataclass(frozen=True)
class OuterPart:
    """A part of a backbone outside of its blocks: the patch embedding, or the connector, which leads out of a tower
    into a shared space or into another tower.

    Attributes:
        kind: ``'patch_embed'`` or ``'connector'``.
        h: Its output, (B, L, D'), or (B, D') where it acts on one pooled vector.
        out_features: D'.
        x: Its input, (B, L, D) or (B, D). Defaults to None: what enters are no tokens, as with the pixels that enter a
            convolution.
        in_features: D. Defaults to None, as for ``x``.
        linears: Its linear maps by role: ``proj`` of a single one, ``fc1, fc2`` of two with an activation between,
            ``gate, up, down`` of a gated one. Defaults to none.
        modules: Paths of the modules that are the whole part, norms and bare parameters among them. Defaults to none:
            it is its linear maps.
    """

    kind: str
    h: Tap
    out_features: int
    x: Tap | None = None
    in_features: int | None = None
    linears: Mapping[str, LinearSite] = field(default_factory=dict)
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entrance:
    """The call through which embeddings enter a tower of text: further rows can join them there.

    Beside them pass, by the names of transformers, ``attention_mask``, ``position_ids``, ``cache_position`` and
    ``past_key_values`` or, in transformers 5, ``cache``; where the tower embeds tokens itself, ``input_ids`` in place
    of the embeddings.

    Attributes:
        embeddings: They pass here, (B, L, W), before any projection and before learned positions are added.
        width: W.
        words: Path of the word embeddings below the module that is called. Defaults to None: they lie outside of it,
            and embeddings are all that enters.
        positions: Path of the learned positions that are added to them. Defaults to None: relative or rotary ones, or
            the embeddings have them already.
        position_ids: Where the numbers of these positions pass. Defaults to None: they are counted from the first row.
        cache_class: Of the cache of keys and values: ``'DynamicCache'`` and ``'EncoderDecoderCache'`` of transformers,
            or ``'SelfCache'`` of vlpeft. Defaults to None: the tower keeps none.
        heads: Heads of keys and values in that cache. Defaults to None.
        has_wide_masks: Whether the masks are (B, 1, L, L): ``attention_mask``, alike in all rows, tells padding,
            ``causal_attention_mask`` hides successors; without that one, a causal tower's ``attention_mask`` does both.
            Defaults to False: ``attention_mask`` is (B, L).
        is_read: Whether a decoder attends to the tower's output, with a mask that its caller gives beside it. Defaults
            to False.
        scale: By what the tower multiplies embeddings that have entered, words and further rows alike. Defaults to 1.
    """

    embeddings: Tap
    width: int
    words: str | None = None
    positions: str | None = None
    position_ids: Tap | None = None
    cache_class: str | None = None
    heads: int | None = None
    has_wide_masks: bool = False
    is_read: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Patches:
    """The rows of a vision transformer: its patches, and what stands before them.

    Attributes:
        first: Rows before those of the patches: class and register tokens.
        fixed: Why no further rows can pass its blocks. Defaults to None: they can.
        rotary: Path of the module that turns queries and keys (B, heads, rows, E) of all rows but the first. Defaults
            to None.
    """

    first: int
    fixed: str | None = None
    rotary: str | None = None


@dataclass(frozen=True)
class Tower:
    """A backbone as methods see it.

    Attributes:
        name: ``'vision'``, ``'text'``, ``'decoder'``, …
        width: D of the residual stream.
        blocks: In depth order.
        module: The backbone itself, a plain handle for hooks to resolve paths in.
        block_path: Path of the list of blocks below ``module``.
        norms: Paths of all its norms below ``module``. Defaults to None, not declared.
        entrance: Of a tower of text that can take embeddings. A decoder-only language model hands further keyword
            arguments on to its blocks, whose ``input`` is that of the whole block, and to their attentions: by names of
            their own, callers tell methods there (:meth:`Tap.beside`) what passes. Defaults to None.
        patches: Of a vision transformer. Defaults to None.
        causal: Whether a token sees only itself and its predecessors in self-attention. Defaults to False.
        packed: Whether the stream is (N, D), the tokens of all samples one after another, whose lengths pass beside it.
            Defaults to False: (B, L, D).
        records_blocks: Whether the library keeps what its blocks return, as transformers does for hidden states,
            before hooks could change it: what a method adds to the stream then belongs at the h of a branch, since an
            edit of a block's output may be missed. Defaults to False.
        is_windowed: Whether a token sees the last ones alone in some blocks (sliding windows), whose caches forget the
            others. Defaults to False.
        changes_in_place: Whether the model adds to the stream between its blocks in place (Qwen3-VL's DeepStack), so
            that what is kept of it must be a copy. Defaults to False.
        outside: Its parts outside of all blocks, by kind. Defaults to none.
        beside: Modules that lie not below ``module`` but beside it, in the model that holds both, by path: ``../proj``
            is that model's ``proj``, one level up. Defaults to none.
        final_norm: Path of the norm through which the last block's output leaves the tower. Defaults to None: there is
            none.
        idle: Why the last blocks of ``module`` are not among ``blocks``: the model that holds it uses nothing of what
            they compute, so that nothing in them could train. Defaults to None: all are.
        is_tested: Whether the tests of vlpeft compare sites in blocks of this class with what the blocks compute;
            others are verified (:func:`vlpeft.sites.verify`). Defaults to True.
        cache: The cache of keys and values, as it enters the first block; None passes where there is none. Defaults to
            None: the tower decodes without.
        probe: Of ``module``: keyword arguments of its call for the smallest pass that reaches every site, on its
            device. Defaults to None: it cannot be run alone.
    """

    name: str
    width: int
    blocks: tuple[Block, ...]
    module: nn.Module = field(repr=False, compare=False)
    block_path: str = ''
    norms: tuple[str, ...] | None = None
    entrance: Entrance | None = None
    patches: Patches | None = None
    causal: bool = False
    packed: bool = False
    records_blocks: bool = False
    is_windowed: bool = False
    changes_in_place: bool = False
    outside: Mapping[str, OuterPart] = field(default_factory=dict)
    beside: Mapping[str, nn.Module] = field(default_factory=dict, repr=False, compare=False)
    final_norm: str | None = None
    idle: str | None = None
    is_tested: bool = True
    cache: Tap | None = None
    probe: Callable[[nn.Module], Mapping[str, Any]] | None = field(default=None, repr=False, compare=False)

    def at(self, path: str) -> nn.Module:
        """The module at a path of a tap or a linear map."""
        return self.beside[path] if path in self.beside else self.module.get_submodule(path)

    @property
    def block_modules(self) -> nn.ModuleList:
        """The modules of all blocks, in order of depth."""
        return self.module.get_submodule(self.block_path)

    @property
    def is_decoder_only(self) -> bool:
        """Whether it is a language model that reads nothing but its own tokens."""
        keeps_cache = self.entrance is not None and self.entrance.cache_class is not None
        return keeps_cache and self.causal and 'cross_attn' not in self.blocks[0].sublayers

    def block_tap(self, depth: int, side: str) -> Tap:
        """The stream as it enters the module of a block (``'input'``) or leaves it (``'output'``), (B, L, D)."""
        return Tap(f'{self.block_path}.{depth}', side, 'hidden_states' if side == 'input' else None)

    def sublayer(self, depth: int, kind: str, wanted_by: str) -> SubLayer:
        """The sub-layer of that depth and kind.

        Raises:
            SiteError: It does not exist; the message names the method and the kinds there are.
        """
        sublayers = self.blocks[depth].sublayers
        if kind not in sublayers:
            raise SiteError(
                f'{wanted_by} attaches to {kind} of block {depth} of tower "{self.name}", '
                f'which has only: {", ".join(sublayers)}'
            )
        return sublayers[kind]

    def declared_norms(self, wanted_by: str) -> tuple[str, ...]:
        """Paths of the tower's norms.

        Raises:
            SiteError: Its family declares none.
        """
        if self.norms is None:
            raise SiteError(
                f'{wanted_by}: the family of {type(self.module).__name__} (tower "{self.name}") declares no norms'
            )
        return self.norms

    def check_tokens_may_mix(self, wanted_by: str, instead: str) -> None:
        """Refuses a unit that mixes the tokens of a sample, such as a mean over them.

        Args:
            wanted_by: The method, with the option that mixes tokens.
            instead: What to choose here.

        Raises:
            SiteError: The tower is causal or packed.
        """
        if self.causal:
            raise SiteError(
                f'{wanted_by} mixes the tokens of a sample, but tower "{self.name}" is causal: a token would see its '
                f'successors, and decoding with a cache would differ from decoding without; {instead}'
            )
        if self.packed:
            raise SiteError(
                f'{wanted_by} mixes the tokens of a sample, but the stream of tower "{self.name}" is packed: it holds '
                f'the tokens of all samples in one sequence; {instead}'
            )
