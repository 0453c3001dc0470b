"""The life of an adapted model: build towers and heads, build the method, load the base, freeze, attach, check."""

import functools
from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModel
from torch import nn

from vlpeft.adapters import Adapter, ComposedAdapter
from vlpeft.checkpoint.base import load_base
from vlpeft.models.parameters import freeze
from vlpeft.quiet import no_info_logs
from vlpeft.registry import ADAPTERS, MODELS
from vlpeft.sites import AdapterSwitch, Attachment, SiteError, Tower, checkpoint_blocks, describe


class AdaptedModel(BaseModel):
    """Base of task models. A subclass builds its parts, then calls :meth:`assemble` at the end of its constructor.

    After the constructor everything is final: weights loaded, method attached, trainables declared.

    Attributes:
        towers: The backbones as methods see them.
        tower_paths: Where each of them is in the model.
        backbones: Names of the attributes that hold the towers.
        train_norms: Towers whose norms train.
        heads: Trained parts by attribute name.
        switch: Which adapter set acts.
        base: Name and hash of the loaded base, or None.
        base_keys: State-dict keys that it filled.
        grown: Those of which it has the first rows only, and how many.
        filled: State-dict keys that a file has filled, the base or a checkpoint.
        declared: Names of the parameters that train.
        own_roles: Roles of parameters that belong to the task model itself.
        trained_parts: Module paths inside towers that train as heads do.
        no_grad_parts: Module paths that are only used without gradient, and so never train.
    """

    own_roles: Mapping[str, str] = {}
    trained_parts: tuple[str, ...] = ()
    no_grad_parts: tuple[str, ...] = ()

    def __init__(self, data_preprocessor: dict) -> None:
        super().__init__(MODELS.build(data_preprocessor))
        self.switch = AdapterSwitch()
        self.attachments: list[Attachment] = []
        self.towers: dict[str, Tower] = {}
        self.tower_paths: dict[str, str] = {}
        self.backbones: tuple[str, ...] = ()
        self.train_norms: tuple[str, ...] = ()
        self.heads: dict[str, nn.Module] = {}
        self.base: dict | None = None
        self.base_keys: frozenset[str] = frozenset()
        self.grown: Mapping[str, int] = {}
        self.filled: set[str] = set()

    def assemble(
        self,
        towers: Mapping[str, str],
        heads: Sequence[str],
        adapter: None | dict | Sequence[dict],
        trainable: str,
        base_checkpoint: dict | None,
        gradient_checkpointing: Sequence[str] = (),
        train_norms: Sequence[str] = (),
    ) -> None:
        """Initialises, builds the method, loads, freezes, attaches and probes.

        Args:
            towers: Names of the backbones for methods, and where each is in the model.
            heads: Attribute names of the parts that train.
            adapter: Config of a method, or of several that compose. None for none.
            trainable: ``'heads'`` or ``'all'``.
            base_checkpoint: ``dict(source=path|url, sha256=None)``, or None for a base of random weights.
            gradient_checkpointing: Names of towers whose blocks recompute their activations.
            train_norms: Names of towers whose norms train beside the method. Defaults to ().

        Raises:
            SiteError: A site is missing, or no pass reaches it; an unknown tower.
        """
        self.towers = {name: describe(self.get_submodule(path), name) for name, path in towers.items()}
        for option, names in (('gradient_checkpointing', gradient_checkpointing), ('train_norms', train_norms)):
            if unknown := [name for name in names if name not in self.towers]:
                raise SiteError(f'{option} names tower {unknown[0]!r}; there are {list(self.towers)}')
        self.tower_paths, self.train_norms = dict(towers), tuple(train_norms)
        self.backbones = tuple(dict.fromkeys(path.partition('.')[0] for path in towers.values()))
        self.heads = {name: getattr(self, name) for name in heads}
        if not next(self.parameters()).is_meta:
            with no_info_logs():
                for name in self.backbones:
                    getattr(self, name).init_weights()
        self.trainable = trainable
        self.adapter = self._build_adapter(adapter)
        if base_checkpoint is not None:
            self.base, self.base_keys, self.grown = load_base(self, **base_checkpoint)
        freeze(self, trainable)
        self.declared = frozenset(name for name, param in self.named_parameters() if param.requires_grad)
        if self.adapter is not None:
            self.attachments.append(Attachment(self.adapter.bindings(self.towers), self.towers, self.switch))
            self.adapter_towers = self._find_adapter_towers()
            self.check_sites()
        for name in gradient_checkpointing:
            checkpoint_blocks(self.towers[name], self.switch)

    def _build_adapter(self, config: None | dict | Sequence[dict]) -> Adapter | None:
        if config is None:
            return None
        if isinstance(config, Mapping):
            return ADAPTERS.build(config, default_args=dict(towers=self.towers))
        return ComposedAdapter(self.towers, config)

    @functools.cached_property
    def trained_norms(self) -> frozenset[str]:
        """Names of the parameters of the norms that train.

        Raises:
            SiteError: A tower of ``train_norms`` whose family does not declare its norms.
        """
        return frozenset(
            f'{self.tower_paths[tower]}.{path}.{name}'
            for tower in self.train_norms
            for path in self.towers[tower].declared_norms('train_norms')
            for name, _ in self.towers[tower].module.get_submodule(path).named_parameters()
        )

    @property
    def method(self) -> str:
        """What trains, as checkpoints record it and messages name it, such as ``'UniAdapter of a Retriever'``."""
        composed = isinstance(self.adapter, ComposedAdapter)
        parts = self.adapter.parts if composed else [] if self.adapter is None else [self.adapter]
        names = [type(part).__name__ for part in parts]
        if self.trainable == 'all':
            names.append('all weights')
        return f'{" + ".join(names) or "heads"} of a {type(self).__name__}'

    def init_weights(self) -> None:
        """Everything was initialised in the constructor, before the base was loaded."""

    def probe(self) -> None:
        """One small forward pass that reaches every site a task uses."""
        raise NotImplementedError(f'{type(self).__name__} has no probe')

    @torch.no_grad()
    def check_sites(self) -> None:
        """Runs :meth:`probe`.

        Raises:
            SiteError: Names the sites that were never reached: the method would silently adapt nothing there.
        """
        training = self.training
        self.eval()
        self.probe()
        self.train(training)
        missed = [site for attachment in self.attachments for site in attachment.never_hit()]
        if missed:
            raise SiteError(
                f'{type(self.adapter).__name__}: no forward pass reaches {len(missed)} of its sites, such '
                f'as {", ".join(missed[:3])}'
            )

    def frozen_keys(self) -> set[str]:
        """State-dict keys of the parameters that never change and that the base brings back, which checkpoints leave
        out.
        """
        names: dict[int, set[str]] = {}
        for name, param in self.named_parameters(remove_duplicate=False):
            names.setdefault(id(param), set()).add(name)
        return {name for same in names.values() if not same & self.declared and same & self.base_keys for name in same}

    def role_of(self, name: str) -> str:
        """The role under which a parameter is counted."""
        part, _, rest = name.partition('.')
        if any(name.startswith(f'{path}.') for path in self.trained_parts):
            return 'head'
        if part in self.backbones:
            return 'layer_norm' if name in self.trained_norms else 'backbone'
        if part == 'adapter':
            return self.adapter.role_of(rest)
        if part in self.heads:
            return getattr(self.heads[part], 'roles', {}).get(rest.split('.')[0], 'head')
        return self.own_roles[part]

    def tower_of(self, name: str) -> str:
        """The tower that a parameter serves; ``shared`` if several do, ``heads`` outside all towers."""
        part = name.partition('.')[0]
        if part in self.backbones:
            holders = [tower for tower, path in self.tower_paths.items() if name.startswith(f'{path}.')]
            return holders[0] if holders else 'shared'
        return self.adapter_towers[name] if part == 'adapter' else 'heads'

    def _find_adapter_towers(self) -> dict[str, str]:
        users: dict[int, set] = {}
        for attachment in self.attachments:
            for edit in attachment.edits:
                for param in edit.unit.parameters():
                    users.setdefault(id(param), set()).add(edit.tower)
        return {
            f'adapter.{name}': next(iter(users[id(param)])) if len(users[id(param)]) == 1 else 'shared'
            for name, param in self.adapter.named_parameters()
        }
