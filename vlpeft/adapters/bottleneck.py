r"""Bottleneck adapters: a small two-layer map at the output of chosen branches or linear maps.

    f(u) = [LN] W_up φ(W_down [LN] u + b_down) + b_up
    sequential:  h ← h + s · f(h)          on the branch
                 y ← y + s · f(y)          on the stream
    parallel:    h ← h + s · f(x)

h is a sub-layer's output before dropout and the residual add, x its input on the residual stream, y the stream after
the add (and after the norm, if post-norm); at a linear map h and x are its output and its input, so that the parallel
form on the values of a cross-attention is VL-PET's value adapter. Each task may have both maps or one for itself.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019 (sequential, after attention and FFN);
Pfeiffer et al., "AdapterFusion: Non-Destructive Task Composition for Transfer Learning", EACL 2021 (on the stream after
the FFN); He et al., "Towards a Unified View of Parameter-Efficient Transfer Learning", ICLR 2022 (parallel form, s);
Sung et al., "VL-Adapter: Parameter-Efficient Transfer Learning for Vision-and-Language Tasks", CVPR 2022 (sequential,
one for all tasks, one for each, or half of it shared).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Tap, Tower

from .base import Adapter
from .bottleneck_layer import GELU, INITS, SHARES, BottleneckLayer, PerTask, check_choice
from .places import Place, branches, places
from .tasks import check_tasks

FORMS = ('sequential', 'parallel')
POSITIONS = ('branch', 'stream')
LAYER_INITS = (*INITS, 'clamped')


class BottleneckAdapter(Adapter):
    """What bottlenecks of any kind of map have in common: where they are, and which tensors they see and change.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Without ``linears`` the outputs of sub-layers, connectors
            and patch embeddings are adapted, with it the outputs of linear maps.
        form: ``'sequential'`` or ``'parallel'``.
        position: ``'branch'`` or ``'stream'``.
        tasks: Tasks that have maps of their own; None for none.
        share: Which map all tasks have in common, ``'none'``, ``'down'`` or ``'up'``.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        form: str,
        position: str,
        tasks: Sequence[str] | None,
        share: str,
    ) -> None:
        super().__init__(towers)
        name = type(self).__name__
        for option, value, choices in (
            ('form', form, FORMS),
            ('position', position, POSITIONS),
            ('share', share, SHARES),
        ):
            check_choice(name, option, value, choices)
        if position == 'stream' and (form == 'parallel' or targets.get('linears') is not None):
            raise ValueError(f"{name}: position='stream' is that of the sequential form at whole sub-layers")
        if tasks is None and share != 'none':
            raise ValueError(f'{name}: share={share!r} is about tasks; name them with tasks=[…]')
        self.tasks = () if tasks is None else check_tasks(name, tasks)
        self.targets, self.form, self.position = targets, form, position

    def build(self, towers: Mapping[str, Tower], layer: Callable[[int, int], BottleneckLayer]) -> None:
        """Makes ``layers``, one at each place, by a function of the widths of u and f(u)."""
        self.layers = nn.ModuleDict()
        for place in self._places(towers):
            width = place.in_features if self.form == 'parallel' else place.out_features
            self.layers[place.key] = layer(width, place.out_features)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self._places(towers):
            layer = self.layers[place.key]
            edit, reads, write = layer.add_sequential, (), place.write
            if self.form == 'parallel':
                edit, reads = layer.add_parallel, (place.source,)
            elif self.position == 'stream':
                edit, reads, write = self._on_stream(towers[place.tower], place, layer)
            yield Binding(place.tower, place.depth, reads, write, edit, tasks=self.tasks)

    def _on_stream(self, tower: Tower, place: Place, layer: BottleneckLayer) -> tuple[Callable, tuple, Tap]:
        """Where y passes no module that could change it, x + h is y: these backbones norm what enters a branch."""
        if place.stream.side == 'output' and not tower.records_blocks:
            return layer.add_sequential, (), place.stream
        return layer.add_to_sum, (place.source,), place.write

    def _places(self, towers: Mapping[str, Tower]) -> Iterator[Place]:
        name = type(self).__name__
        if self.position == 'stream':
            return branches(self.targets, towers, name)
        return places(self.targets, towers, name, reads_source=self.form == 'parallel')

    def task_of(self, name: str) -> str | None:
        """The task in ``layers.{place}.{side}.{task}.…``."""
        if not self.tasks:
            return None
        _, key, side, own, *_ = name.split('.')
        return own if isinstance(getattr(self.layers[key], side), PerTask) else None


@ADAPTERS.register_module()
class Bottleneck(BottleneckAdapter):
    """Bottleneck adapters at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Without ``linears`` the outputs of sub-layers, connectors
            and patch embeddings are adapted, with it the outputs of linear maps.
        bottleneck: r. Defaults to 96.
        form: ``'sequential'`` or ``'parallel'``. Defaults to ``'sequential'``.
        scale: s. Defaults to 1.
        init: ``'normal'``: weights N(0, 0.02), biases zero; ``'zero_up'``: torch's default, then the up-projection
            zero, so that training starts at the base; ``'clamped'``, as in eP-ALM's release: all from N(0, 1e-3),
            clamped to ±2e-3. Defaults to ``'normal'``.
        act_cfg: φ. Defaults to the tanh form of GELU.
        position: Of the sequential form: ``'branch'``, at h, or ``'stream'``, at y. Defaults to ``'branch'``.
        norm_before: Whether a LayerNorm precedes the down-projection. Defaults to False.
        norm_after: Whether a LayerNorm follows the up-projection. Defaults to False.
        residual: Whether s · f is added to h, or takes its place. Defaults to True.
        tasks: Names of tasks that have maps of their own; a pass then needs to know its task. Defaults to None: the
            same maps for every task.
        share: Which map the tasks have in common all the same: ``'none'``, ``'down'`` or ``'up'``. Defaults to
            ``'none'``.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist.
        ValueError: An unknown choice, or options that do not go together.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        bottleneck: int = 96,
        form: str = 'sequential',
        scale: float = 1.0,
        init: str = 'normal',
        act_cfg: Mapping = GELU,
        position: str = 'branch',
        norm_before: bool = False,
        norm_after: bool = False,
        residual: bool = True,
        tasks: Sequence[str] | None = None,
        share: str = 'none',
    ) -> None:
        super().__init__(towers, targets, form, position, tasks, share)
        check_choice('Bottleneck', 'init', init, LAYER_INITS)
        if position == 'stream' and not residual:
            raise ValueError("Bottleneck: residual=False replaces a branch's output, which position='stream' has not")
        norms = (norm_before, norm_after)

        def layer(in_features: int, out_features: int) -> BottleneckLayer:
            return BottleneckLayer(
                in_features, out_features, bottleneck, scale, init, act_cfg, norms, residual, self.tasks, share
            )

        self.build(towers, layer)
