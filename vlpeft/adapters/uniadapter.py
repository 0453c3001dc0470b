r"""UniAdapter: one bottleneck per depth, its down-projection shared by vision, text and their fusion.

    d   = Dropout(ReLU(W_down LN(x) + b))
    a_v = s · Up_v(d)                                vision block, x = the stream before the FFN
    a_t = s · Up_t(d)                                text block,   x = self-attention output
    a_m = s · LN_cross(Up_m(d) + Up_t(d))            text block,   x = cross-attention output

Each is added to the stream after the block's FFN, or to the FFN's output before it joins the stream where the library
keeps what blocks return; a multimodal pass adds a_t + a_m, of which a_t is the *query residual*.
The optional key/value adapter adds s·W₂W₁E to the keys and values of every cross-attention.

Lu et al., "UniAdapter: Unified Parameter-Efficient Transfer Learning for Cross-modal Modeling", ICLR 2024.
"""

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tower

from .base import Adapter
from .uniadapter_layer import MODALITIES, KeyValueAdapter, UniAdapterLayer

# Whatever is not the vision tower reads or writes text.
VISION = 'vision'
# What each term reads: kind and tap of a sub-layer.
SOURCES = dict(vision=('ffn', 'x'), text=('self_attn', 'y'), multimodal=('cross_attn', 'y'))
KV_OPTION = 'UniAdapter with kv_bottleneck'
INITS = ('zero_text', 'normal', 'identity')
SHARING = ('towers', 'last_blocks', 'none')


@ADAPTERS.register_module()
class UniAdapter(Adapter):
    """UniAdapter: one bottleneck per depth shared by the vision and text towers and their fusion.

    Args:
        towers: ``vision`` and ``text`` (and ``decoder``).
        bottleneck: r. Defaults to 128.
        kv_bottleneck: Width of the key/value adapters of the cross-attentions, one pair per text tower. Defaults to
            None, no such adapters.
        share: ``'towers'``: one module per depth for all towers, which must be of equal depth and width;
            ``'last_blocks'``: likewise counted from the last block, so that the first blocks of a deeper tower have
            modules of their own; ``'none'``: each tower has modules of its own (text and fusion still share theirs).
            Defaults to ``'towers'``.
        modalities: Terms that are added, of ``'vision'``, ``'text'`` and ``'multimodal'``. What only the others use is
            not built. Defaults to all.
        query_residual: Whether a pass that meets vision adds a_t too, beside a_m; text-only passes have it either way.
            Defaults to True.
        init: ``'zero_text'``, that of the released retrieval: Up_t starts at zero, Up_v and Up_m as N(0, 0.02), W_down
            kaiming-uniform with a = √5, so the model starts near the base but not at it; ``'normal'``, that of the
            released question answering: all four maps start as N(0, 0.02); ``'identity'``: as ``'zero_text'``, but Up_v
            and LN_cross's gain start at zero too and the model starts exactly at the base (but for key/value
            adapters). Biases start at zero. Defaults to ``'zero_text'``.
        train_cross_norm: Whether LN_cross is trained; the released code froze it by accident. Defaults to True.
        scale: s. Defaults to 0.1.
        learn_scale: Whether s is trained, one for each module. Defaults to False.
        dropout: Rate inside the bottleneck. Defaults to 0.

    Raises:
        SiteError: Towers that share modules differ in depth or width, or one lacks a needed site.
        ValueError: Unknown ``init``, ``share`` or ``modalities``; ``'identity'`` with a frozen LN_cross (it could
            never leave zero); or no query residual without the two terms that it is about.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        bottleneck: int = 128,
        kv_bottleneck: int | None = None,
        share: str = 'towers',
        modalities: Sequence[str] = MODALITIES,
        query_residual: bool = True,
        init: str = 'zero_text',
        train_cross_norm: bool = True,
        scale: float = 0.1,
        learn_scale: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(towers)
        self._check(init, share, modalities, train_cross_norm)
        if not query_residual and not {'text', 'multimodal'} <= set(modalities):
            raise ValueError(
                f"UniAdapter: query_residual=False is about 'text' beside 'multimodal', and modalities={modalities!r}"
            )
        self.kv_bottleneck, self.share, self.query_residual = kv_bottleneck, share, query_residual
        self.terms = {name: self._terms(name, modalities) for name in towers if self._terms(name, modalities)}

        def stack(names: Sequence[str]) -> nn.ModuleList:
            depths = {name: len(towers[name].blocks) for name in names}
            deepest = max(names, key=depths.get)
            return nn.ModuleList(
                UniAdapterLayer(
                    towers[deepest].width,
                    bottleneck,
                    {term for name in names if below_last < depths[name] for term in self.terms[name]},
                    scale,
                    learn_scale,
                    dropout,
                )
                for below_last in reversed(range(depths[deepest]))
            )

        if share == 'none':
            self.layers = nn.ModuleDict({name: stack([name]) for name in self.terms})
        else:
            self._check_shapes({name: towers[name] for name in self.terms}, share)
            self.layers = stack(list(self.terms))
        for layer in self.modules():
            if isinstance(layer, UniAdapterLayer):
                layer.reset(init)
                if not train_cross_norm and 'up_multimodal' in layer.ups:
                    layer.norm_cross.requires_grad_(False)
        if kv_bottleneck is not None:
            self.kv_adapters = nn.ModuleDict()
            for name in (name for name in towers if name != VISION):
                linears = towers[name].sublayer(0, 'cross_attn', KV_OPTION).linears
                self.kv_adapters[name] = nn.ModuleDict(
                    {
                        key: KeyValueAdapter(linears[role].in_features, linears[role].out_features, kv_bottleneck)
                        for key, role in (('key', 'k'), ('value', 'v'))
                    }
                )

    @staticmethod
    def _check(init: str, share: str, modalities: Sequence[str], train_cross_norm: bool) -> None:
        if init == 'released':
            raise ValueError(
                "UniAdapter: init='released' differs by task; the release starts retrieval with "
                "init='zero_text' and question answering with init='normal'"
            )
        for option, value, choices in (('init', init, INITS), ('share', share, SHARING)):
            if value not in choices:
                raise ValueError(f'UniAdapter: {option}={value!r}; choose from {choices}')
        if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
            raise ValueError(f'UniAdapter: modalities={modalities!r}; choose one or more of {MODALITIES}')
        if init == 'identity' and not train_cross_norm:
            raise ValueError(
                "UniAdapter: init='identity' zeroes LN_cross's gain, which train_cross_norm=False would "
                'keep at zero for ever'
            )

    @staticmethod
    def _check_shapes(towers: Mapping[str, Tower], share: str) -> None:
        shapes = {name: (len(tower.blocks), tower.width) for name, tower in towers.items()}
        same_width = len({width for _, width in shapes.values()}) == 1
        if same_width and (share == 'last_blocks' or len(set(shapes.values())) == 1):
            return
        rule = 'one module per depth for all towers' if share == 'towers' else 'modules that serve several towers'
        hint = "share='last_blocks' pairs their blocks from the last one down, and " if same_width else ''
        raise SiteError(
            f'UniAdapter with share={share!r} has {rule}, but these differ in (depth, width): {shapes}; {hint}with '
            "share='none' each tower has modules of its own"
        )

    @staticmethod
    def _terms(tower: str, modalities: Sequence[str]) -> list[str]:
        """The terms that blocks of a tower add, in that order."""
        possible = (VISION,) if tower == VISION else ('text', 'multimodal')
        return [term for term in possible if term in modalities]

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for name, terms in self.terms.items():
            layers = self.layers[name] if self.share == 'none' else self.layers
            for depth, layer in enumerate(layers[len(layers) - len(towers[name].blocks) :]):
                ffn = towers[name].sublayer(depth, 'ffn', 'UniAdapter')
                write = ffn.branch('UniAdapter') if towers[name].records_blocks else ffn.y
                for term in terms:
                    kind, tap = SOURCES[term]
                    sublayer = towers[name].sublayer(depth, kind, f"UniAdapter with '{term}' in its modalities")
                    reads, edit = (getattr(sublayer, tap),), layer.term(term)
                    if term == 'text' and not self.query_residual:
                        reads += (towers[name].sublayer(depth, 'cross_attn', 'UniAdapter').y,)
                        edit = layer.add_text_alone
                    yield Binding(name, depth, reads, write, edit)
        if self.kv_bottleneck is not None:
            for name, pair in self.kv_adapters.items():
                for depth in range(len(towers[name].blocks)):
                    linears = towers[name].sublayer(depth, 'cross_attn', KV_OPTION).linears
                    for key, role in (('key', 'k'), ('value', 'v')):
                        yield Binding(name, depth, (linears[role].input,), linears[role].output, pair[key].add)

    def role_of(self, name: str) -> str:
        return 'kv_adapter' if name.startswith('kv_adapters.') else 'adapter'
