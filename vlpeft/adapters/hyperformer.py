r"""Hyperformer: adapters whose weights a small network generates, for each task and layer.

    h ← h + W_up φ(W_down h + b_down) + b_up
    u = LN(M₂ ReLU(M₁ [e_task; e_depth] + c₁) + c₂)
    W_s = reshape(G_s u + g_s),   b_s = G'_s u + g'_s       s: down and up, of each kind of sub-layer

h is a sub-layer's output before dropout and the residual add. Each tower has one such network and one embedding for
each of its depths; the embeddings of the tasks are the same for all towers.

Karimi Mahabadi et al., "Parameter-efficient Multi-task Fine-tuning for Transformers via Shared Hypernetworks",
ACL 2021.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, SubLayer, Targets, Tower

from .base import Adapter
from .bottleneck_layer import GELU, activation_of, check_size, draw_normal
from .tasks import check_tasks


class TaskEmbeddings(nn.Module):
    """A vector for each task, drawn from N(0, 1)."""

    def __init__(self, tasks: Sequence[str], width: int) -> None:
        super().__init__()
        # One tensor each: a batch of one task leaves those of the others, and their moments, alone.
        self.vectors = nn.ParameterDict({task: nn.Parameter(torch.randn(width)) for task in tasks})


class Generator(nn.Module):
    """A linear map, weight (out, in) and bias (out), of a vector."""

    def __init__(self, width: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.shape = (out_features, in_features)
        self.weight = nn.Linear(width, out_features * in_features)
        self.bias = nn.Linear(width, out_features)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        return self.weight(u).view(self.shape), self.bias(u)


class HyperNet(nn.Module):
    """What generates the adapters of a tower.

    Args:
        tower: The tower.
        kinds: Of the sub-layers that it adapts.
        tasks: Embeddings of the tasks.
        sizes: ``bottleneck``, and the widths ``embedding``, ``hidden`` and ``projection`` of the network.
        act_cfg: φ.
    """

    def __init__(
        self, tower: Tower, kinds: Sequence[str], tasks: TaskEmbeddings, sizes: Mapping[str, int], act_cfg: Mapping
    ) -> None:
        super().__init__()
        # In a tuple: they are the method's, which holds them once.
        self.shared = (tasks,)
        width, inner = sizes['embedding'], sizes['projection']
        self.depths = nn.Embedding(len(tower.blocks), width)
        self.project = nn.Sequential(
            nn.Linear(2 * width, sizes['hidden']), nn.ReLU(), nn.Linear(sizes['hidden'], inner)
        )
        self.norm = nn.LayerNorm(inner, eps=1e-6)
        self.activation = activation_of(act_cfg)
        self.generators = nn.ModuleDict(
            {
                kind: nn.ModuleDict(
                    dict(
                        down=Generator(inner, tower.width, sizes['bottleneck']),
                        up=Generator(inner, sizes['bottleneck'], tower.width),
                    )
                )
                for kind in kinds
            }
        )
        draw_normal(self)
        nn.init.normal_(self.depths.weight, std=0.02)

    def add(self, h: Tensor, task: str, depth: int, kind: str) -> Tensor:
        """Output ``h`` (…, D) of a sub-layer with what the adapter of its place and a task makes of it."""
        u = self.norm(self.project(torch.cat([self.shared[0].vectors[task], self.depths.weight[depth]])))
        generators = self.generators[kind]
        code = self.activation(F.linear(h, *generators['down'](u)))
        return h + F.linear(code, *generators['up'](u))


@ADAPTERS.register_module()
class Hyperformer(Adapter):
    """Hyperformer; the defaults are those of VL-PET's code for BART.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets` but ``linears``.
        tasks: Names of the tasks. A pass needs to know its own.
        bottleneck: r. Defaults to 96.
        embedding: Width of e_task and e_depth. Defaults to 512.
        hidden: Rows of M₁. Defaults to 128.
        projection: Width of u. Defaults to 8.
        act_cfg: φ. Defaults to the tanh form of GELU.

    Raises:
        SiteError: The targets name a tower, kind or depth that does not exist, or linear maps.
        ValueError: ``tasks`` is no list of different names, or a size is no positive integer.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        tasks: Sequence[str],
        bottleneck: int = 96,
        embedding: int = 512,
        hidden: int = 128,
        projection: int = 8,
        act_cfg: Mapping = GELU,
    ) -> None:
        super().__init__(towers)
        sizes = dict(bottleneck=bottleneck, embedding=embedding, hidden=hidden, projection=projection)
        for option, size in sizes.items():
            check_size(option, size)
        self.tasks, self.targets = check_tasks('Hyperformer', tasks), targets
        self.task_embeddings = TaskEmbeddings(self.tasks, embedding)
        kinds: dict[str, dict[str, None]] = {}
        for tower, _, sublayer in self._sublayers(towers):
            kinds.setdefault(tower.name, {})[sublayer.kind] = None
        self.nets = nn.ModuleDict(
            {
                name: HyperNet(towers[name], list(found), self.task_embeddings, sizes, act_cfg)
                for name, found in kinds.items()
            }
        )

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for tower, depth, sublayer in self._sublayers(towers):
            write, given = sublayer.branch('Hyperformer'), dict(depth=depth, kind=sublayer.kind)
            yield Binding(tower.name, depth, (), write, self.nets[tower.name].add, tasks=self.tasks, given=given)

    def task_of(self, name: str) -> str | None:
        return name.rpartition('.')[2] if name.startswith('task_embeddings.') else None

    def _sublayers(self, towers: Mapping[str, Tower]) -> Iterator[tuple[Tower, int, SubLayer]]:
        if self.targets.get('linears') is not None:
            raise SiteError(
                f'Hyperformer acts on whole sub-layers, but its targets name linears {self.targets["linears"]}'
            )
        return Targets(**self.targets).sublayers(towers, 'Hyperformer')
