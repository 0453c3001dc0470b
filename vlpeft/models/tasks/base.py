"""The life of an adapted model: build towers and heads, build the method, load the base, freeze, attach, check."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from vlpeft.adaptation.parts import ModelParts
from vlpeft.adaptation.sets import AdapterSets, build_adapter
from vlpeft.adaptation.tell import tell
from vlpeft.adaptation.trainable import Trainable, check_gradients_reach, declared_texts, trained_parts
from vlpeft.adapters import Adapter, ComposedAdapter
from vlpeft.checkpoint.base import Base, load_base
from vlpeft.quiet import no_info_logs
from vlpeft.registry import MODELS
from vlpeft.sites import (
    AdapterSwitch,
    SiteError,
    Tower,
    below,
    checkpoint_blocks,
    find_towers,
    is_below,
)


class AdaptedModel(BaseModel):
    """Base of task models. A subclass builds its parts, then calls :meth:`assemble` at the end of its constructor.

    After the constructor everything is final: weights loaded, method attached, trainables declared.

    Args:
        data_preprocessor: Its config.
        adapter: Config of a method, or of several that compose. Defaults to None, none.
        trainable: What trains beside the method: ``'heads'`` (with the task's own parts), ``'all'``, or a list of parts
            such as ``['heads', dict(parts='norms', towers=['encoder'])]``; see :mod:`vlpeft.adaptation.trainable`.
            Defaults to ``'heads'``.
        gradient_checkpointing: Names of towers whose blocks recompute their activations. Defaults to ().
        base_checkpoint: Arguments of :func:`vlpeft.checkpoint.base.load_base`, such as ``dict(source=…)``. Defaults to
            None, a base of random weights.

    Attributes:
        towers: The backbones as methods see them.
        tower_paths: Where each of them is in the model.
        backbones: Names of the attributes that hold the towers.
        heads: Trained parts by attribute name. A part's ``roles`` declare what of it trains, path -> role; without them
            all of it does, as ``'head'``.
        own_parts: What else trains, path -> role.
        no_grad_parts: Module paths that are only used without gradient, and so never train.
        roles: Names of parameters of the heads, of the method and of what else trains, and their roles.
        declared: Names of the parameters that train.
        left_out: Names of those of the heads that ``trainable`` leaves frozen.
        sets: The method's hooks, and which set acts.
        base: Name and hash of the loaded base, or None.
        base_keys: State-dict keys that it filled.
        grown: Those of which it has the first rows only, and how many.
        filled: State-dict keys that a file has filled, the base or a checkpoint.
    """

    own_parts: Mapping[str, str] = {}
    no_grad_parts: tuple[str, ...] = ()

    def __init__(
        self,
        data_preprocessor: dict,
        adapter: None | dict | Sequence[dict] = None,
        trainable: Trainable = 'heads',
        gradient_checkpointing: Sequence[str] = (),
        base_checkpoint: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor))
        self.trainable = trainable
        self._adapter_config, self._base_checkpoint = adapter, base_checkpoint
        self._gradient_checkpointing = tuple(gradient_checkpointing)
        self.towers: dict[str, Tower] = {}
        self.tower_paths: dict[str, str] = {}
        self.backbones: tuple[str, ...] = ()
        self.heads: dict[str, nn.Module] = {}
        self.base: dict | None = None
        self.base_keys: frozenset[str] = frozenset()
        self.grown: Mapping[str, int] = {}
        self.filled: set[str] = set()

    def assemble(self, towers: Mapping[str, str], heads: Sequence[str]) -> None:
        """Initialises, builds the method, loads, freezes, attaches and probes.

        Args:
            towers: Names of the backbones for methods, and where each is in the model; a path may be that of a module
                which holds the tower.
            heads: Attribute names of the parts that train.

        Raises:
            SiteError: A site is missing, or no pass reaches it; an unknown tower; or a parameter that no part declares.
        """
        found = find_towers(self, towers)
        tell(found)
        self.towers, self.tower_paths = dict(found), found.paths
        if unknown := [name for name in self._gradient_checkpointing if name not in self.towers]:
            raise SiteError(f'gradient_checkpointing names tower {unknown[0]!r}; there are {list(self.towers)}')
        self.backbones = tuple(dict.fromkeys(path.partition('.')[0] for path in self.tower_paths.values()))
        self.heads = {name: getattr(self, name) for name in heads}
        if not next(self.parameters()).is_meta:
            self.init_backbones()
        config = self._adapter_config
        self.adapter = self._build_adapter(config)
        # Before the base is read, so that what cannot be declared is said at once.
        self._declare()
        if self._base_checkpoint is not None:
            self.base, self.base_keys, self.grown = self.read_base()
        self.start_method(self.base_keys)
        self.sets = AdapterSets(self.towers)
        if self.adapter is not None:
            self.sets.attach(self.adapter)
            self.adapter_towers = self.sets.towers_of(self.adapter)
            self.check_sites()
        for name in self._gradient_checkpointing:
            checkpoint_blocks(self.towers[name], self.switch)

    def init_backbones(self) -> None:
        """Draws the weights of the backbones."""
        with no_info_logs():
            for name in self.backbones:
                getattr(self, name).init_weights()

    def read_base(self) -> Base:
        """Puts the base into the model. A task whose library reads it has done so when it built the backbone, and says
        what it was.
        """
        return load_base(self, **self._base_checkpoint)

    def _build_adapter(self, config: None | dict | Sequence[dict]) -> Adapter | None:
        return build_adapter(config, self.towers) if config else None

    def start_method(self, given: Collection[str]) -> None:
        """Sets what of the method starts from the weights of the backbones, once a file has filled them.

        Args:
            given: State-dict keys that it has filled. A method of which some are among them is as the file has it.
        """
        is_given = any(key.startswith('adapter.') for key in given)
        if self.adapter is not None and not is_given and not next(self.parameters()).is_meta:
            self.adapter.start_from(self.towers)

    def _head_roles(self) -> Iterator[tuple[str, str]]:
        """(path, role) of the heads and the task's own parts, as they declare them."""
        for name, head in self.heads.items():
            for path, role in getattr(head, 'roles', {'': 'head'}).items():
                yield below(name, path), role
        yield from self.own_parts.items()

    def _declare(self) -> None:
        """Freezes all but what is declared to train, and gives every parameter its role."""
        parts = ModelParts(
            self, self.towers, self.tower_paths, dict(self._head_roles()), idle=self.no_grad_parts, apart=('adapter',)
        )
        trained = trained_parts(parts, self.trainable)
        if self.adapter is not None:
            check_gradients_reach(trained, self.adapter, self.towers, self.tower_paths)
            trained.update(
                {f'adapter.{name}': self.adapter.role_of(name) for name, _ in self.adapter.named_parameters()}
            )
        self.roles = {**parts.heads(), **trained}
        could = {name for name, param in self.named_parameters() if param.requires_grad}
        self.left_out = could & parts.named('heads').keys() - trained.keys()
        placed = {*self.backbones, *self.heads, 'adapter', *(path.partition('.')[0] for path in self.own_parts)}
        for name, param in self.named_parameters():
            part = name.partition('.')[0]
            if part not in placed:
                raise SiteError(
                    f'{type(self).__name__}: parameter {name} is in no tower and no head; declare whether it trains: '
                    f"own_parts = dict({part}='…')"
                )
            # What a method or a part of the task's own builds frozen is declared frozen by it.
            param.requires_grad_(name in trained and (part in self.backbones or param.requires_grad))
        self.declared = frozenset(name for name, param in self.named_parameters() if param.requires_grad)

    @property
    def trains_all(self) -> bool:
        """Whether the backbones train as such, rather than single parts of them."""
        return 'all' in declared_texts(self.trainable)

    @property
    def switch(self) -> AdapterSwitch:
        """Which adapter set acts."""
        return self.sets.switch

    def detach_adapter(self) -> None:
        """Removes every hook: the towers are bit for bit what they were."""
        self.sets.detach_all()

    @property
    def method(self) -> str:
        """What trains, as checkpoints record it and messages name it, such as ``'UniAdapter of a Retriever'``."""
        composed = isinstance(self.adapter, ComposedAdapter)
        parts = self.adapter.parts if composed else [] if self.adapter is None else [self.adapter]
        names = [type(part).__name__ for part in parts]
        if self.trains_all:
            names.append('all weights')
        return f'{" + ".join(names or declared_texts(self.trainable)) or "nothing"} of a {type(self).__name__}'

    def init_weights(self) -> None:
        """Everything was initialised in the constructor, before the base was loaded."""

    def parse_losses(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """MMEngine's sum of the losses, with the method's own term if it has one."""
        penalty = None if self.adapter is None else self.adapter.penalty()
        return super().parse_losses(losses if penalty is None else dict(losses, loss_penalty=penalty))

    def probe(self) -> None:
        """Small forward passes that reach every site which the task uses. They run wherever the weights are, ``meta``
        among the places.

        By default each tower that the method changes runs alone, on the input that its family describes. A task
        overrides this where it leaves a part of a tower unused, or does not run it by its ``forward``.
        """
        self.sets.run_towers()

    @torch.no_grad()
    def check_sites(self) -> None:
        """Runs :meth:`probe`.

        Raises:
            SiteError: Names the sites that were never reached: the method would silently adapt nothing there.
        """
        training = self.training
        self.eval()
        self.sets.check(self.adapter, self.probe)
        self.train(training)

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
        if name in self.roles:
            return self.roles[name]
        part, _, rest = name.partition('.')
        if part in self.backbones:
            return 'backbone'
        return self.adapter.role_of(rest) if part == 'adapter' else self.own_parts.get(part, 'head')

    def tower_of(self, name: str) -> str:
        """The tower that a parameter serves; ``shared`` if several do, ``heads`` outside all towers."""
        part, _, rest = name.partition('.')
        if part in self.backbones:
            holders = [tower for tower, path in self.tower_paths.items() if is_below(path, name)]
            return holders[0] if holders else 'shared'
        return self.adapter_towers[rest] if part == 'adapter' else 'heads'
