"""What ``vlpeft.attach`` returns: adapter sets on a model that stays what it is, for any training loop.

The handle is a module whose parameters are those that train, and whose call is the model's, so that it goes where a
model goes: into an optimizer, ``transformers.Trainer``, DistributedDataParallel or Lightning. The model itself keeps
its class, its keys and its weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlpeft.adapters import ComposedAdapter
from vlpeft.sites import SiteError, Tower, attached_to, in_eval_mode, is_below, parameters_of

from .counts import count_by_role
from .handle_class import blank, called_like
from .merging import Merged
from .model_checks import TowerChecks
from .parts import ModelParts
from .sets import AdapterSets, build_adapter
from .trainable import Trainable, check_gradients_reach, mirror, trained_parts
from .training_check import TrainingCheck


class AttachedAdapter(nn.Module):
    """Adapter sets on a model. Made by :func:`vlpeft.attach` and :func:`vlpeft.load_adapter`.

    What it has not itself, such as ``generate`` and ``config``, is the model's.

    Args:
        model: The model. It is frozen but for ``trainable``.
        towers: Its backbones by name.
        paths: Where each of them is in the model.
        trainable: Parts of the model that train too, see :mod:`vlpeft.adaptation.trainable`. Defaults to none.
        check_after: After how many steps of an optimizer the gradients are judged. 0 for never.
        strict: Whether tensors that do not train are an error rather than a warning.

    Attributes:
        model: The model.
        towers: Its backbones by name.
        sets: The methods by the names of their sets.
        configs: Their configs.
        parts: The parts of the model that train beside them.
        is_detached: Whether it was taken off.
        part_roles: Roles of these by the names of their parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        towers: Mapping[str, Tower],
        paths: Mapping[str, str],
        trainable: Trainable = None,
        check_after: int = 1,
        strict: bool = False,
    ) -> None:
        super().__init__()
        if attached_to(model):
            raise SiteError(
                'the model carries an adapter already; add another set to its handle with adapter.add(name, config), '
                'or take it off with adapter.detach()'
            )
        # Not registered: the handle's parameters are those that train.
        self.__dict__['model'] = model
        self.towers, self.paths = dict(towers), dict(paths)
        self.sets = nn.ModuleDict()
        self.configs: dict[str, dict | list[dict]] = {}
        self.part_roles = trained_parts(ModelParts(model, self.towers, self.paths), trainable)
        self.parts = mirror(model, self.part_roles)
        self.hooks = AdapterSets(towers)
        self._checks = TowerChecks(self.towers, self.hooks.switch, self.sets)
        self.merged: dict[str, Merged] = {}
        self._serves: dict[str, dict[str, str]] = {}
        self.is_detached = False
        self._requires_grad = {name: param.requires_grad for name, param in model.named_parameters()}
        for name, param in model.named_parameters():
            param.requires_grad_(name in self.part_roles)
        self._training_check = (
            TrainingCheck(self._in_use, self.parameters, check_after, strict) if check_after else None
        )
        self.__class__ = called_like(AttachedAdapter, type(model))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if 'model' not in self.__dict__:
                raise
            return getattr(self.__dict__['model'], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's call."""
        return self.model(*args, **kwargs)

    def train(self, mode: bool = True) -> 'AttachedAdapter':
        """Switches the model and the methods."""
        super().train(mode)
        self.model.train(mode)
        return self

    def _apply(self, fn, recurse: bool = True) -> 'AttachedAdapter':
        """Moves and converts the model together with the methods."""
        super()._apply(fn, recurse)
        self.model._apply(fn, recurse)
        return self

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict | None = None) -> None:
        """That of transformers' models, in the form that hooks and switched sets need.

        Args:
            gradient_checkpointing_kwargs: Of ``torch.utils.checkpoint.checkpoint``. Defaults to None.

        Raises:
            SiteError: They ask for the reentrant form, which gives parts of a frozen model no gradient.
        """
        self._recompute(gradient_checkpointing_kwargs)

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict | None = None, **options: Any
    ) -> None:
        """:meth:`gradient_checkpointing_enable` by its name in transformers 5, with its further options."""
        self._recompute(activation_checkpointing_kwargs, **options)

    def _recompute(self, given: dict | None, **options: Any) -> None:
        asked = dict(given or {})
        if asked.get('use_reentrant'):
            raise SiteError('use_reentrant=True gives adapters in a frozen model no gradient; leave it out')
        asked.update(use_reentrant=False, context_fn=self.hooks.switch.contexts)
        if hasattr(self.model, 'activation_checkpointing_enable'):
            self.model.activation_checkpointing_enable(activation_checkpointing_kwargs=asked, **options)
        else:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=asked, **options)

    # Sets

    def add(self, name: str, config: dict | Sequence[dict] | None) -> None:
        """Builds a method and attaches it as a further set, which acts inside ``use(name)``.

        Args:
            name: A name that is not taken, without dots.
            config: ``dict(type='LoRA', …)``, or a list of such. None for no method, where parts of the model train.

        Raises:
            ValueError: The name is taken or has a dot.
            SiteError: The method asks for what the model does not have.
        """
        if not config and not self.part_roles:
            raise SiteError(
                'no method is given and no part of the model is declared trainable, so nothing would train; give a '
                "config such as dict(type='LoRA', …), or trainable=…"
            )
        self.put(name, config or [], build_adapter(config, self.towers), is_new=True)

    def put(self, name: str, config: dict | Sequence[dict], adapter: nn.Module, is_new: bool = False) -> None:
        """Attaches a built method, which starts from the model's weights if it is new. Arguments and errors of
        :meth:`add`.
        """
        if not isinstance(name, str) or not name or '.' in name:
            raise ValueError(f'{name!r} is no name for a set; choose a text without dots')
        if name in self.sets:
            raise ValueError(f'there is a set {name!r} already; sets: {", ".join(self.sets)}')
        self._must_be_free_to(f'add {name!r}')
        check_gradients_reach(self.part_roles, adapter, self.towers, self.paths)
        like = next(param for tower in self.towers.values() for param in tower.module.parameters())
        # As in mixed precision the trained weights stay in single precision where the model's are shorter.
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        adapter.to(like.device, dtype).train(self.model.training)
        if is_new and not like.is_meta:
            adapter.start_from(self.towers)
        self.hooks.attach(adapter, name)
        self.sets[name], self.configs[name] = adapter, config
        self._serves[name] = self.hooks.towers_of(adapter, name)

    def load(self, folder: str | Path, name: str) -> None:
        """Reads an adapter folder, of vlpeft or of HF PEFT, as a further set.

        Args:
            folder: What :meth:`save` wrote.
            name: Of the new set.

        Raises:
            AdapterFolderError: The folder is damaged, or the adapter belongs to another model.
        """
        from .folder import read_folder

        read_folder(self, Path(folder), name)

    def remove(self, name: str) -> None:
        """Takes a set off, hooks and parameters; if it was the one that acts, none does."""
        self._known(name)
        self._must_be_free_to(f'remove {name!r}')
        self.hooks.detach(name)
        del self.sets[name], self.configs[name], self._serves[name]
        if self.hooks.switch.active == name:
            self.hooks.switch.active = None

    def detach(self) -> None:
        """Takes everything off: the model is bit for bit what it was, without a hook, and trains what it trained."""
        self.unmerge()
        self.is_detached = True
        self.hooks.detach_all()
        self._checks.remove()
        if self._training_check is not None:
            self._training_check.stop()
        for name, param in self.model.named_parameters():
            param.requires_grad_(self._requires_grad[name])

    def use(self, name: str | None) -> AbstractContextManager[None]:
        """Inside the ``with`` block the named set acts; with None the bare model.

        Raises:
            ValueError: There is no such set.
            SiteError: A set is merged into the weights.
        """
        if name is not None:
            self._known(name)
        self._must_be_free_to('switch sets')
        self.hooks.check_hooks()
        return self.hooks.switch.use(name)

    def per_sample(self, names: Sequence[str | None], rows_each: int = 1) -> AbstractContextManager[None]:
        """Inside the ``with`` block each sample of a batch has a set of its own.

        Args:
            names: For each sample the name of its set, None for the bare model.
            rows_each: How many rows, side by side, a sample may have in some towers, as with beams (``num_beams``) and
                frames. Defaults to 1.

        Raises:
            ValueError: There is no such set, ``names`` is no list, or ``rows_each`` no size.
            SiteError: A set is merged, a method changes rows together, or a tower packs the tokens of all samples.
        """
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise ValueError(f'per_sample({names!r}): give a list with the name of a set, or None, for each sample')
        if isinstance(rows_each, bool) or not isinstance(rows_each, int) or rows_each < 1:
            raise ValueError(f'per_sample: rows_each={rows_each!r}; it is an integer of at least 1')
        for name in {name for name in names if name is not None}:
            self._known(name)
            mixed = [part for part in self.methods(name) if not part.rows_independent]
            if mixed:
                raise SiteError(
                    f'set {name!r}: {type(mixed[0]).__name__} does not act on the samples of a batch one by one, so it '
                    'cannot be chosen per sample'
                )
            for edit in self.hooks.attachments[name].edits:
                if self.towers[edit.tower].packed:
                    raise SiteError(
                        f'set {name!r} acts on tower "{edit.tower}", through which the tokens of all samples pass as '
                        'one sequence, so it cannot be chosen per sample; sets that leave out that tower can'
                    )
        self._must_be_free_to('switch sets')
        self.hooks.check_hooks()
        return self.hooks.switch.per_sample(names, rows_each)

    def task(self, name: str) -> AbstractContextManager[None]:
        """Inside the ``with`` block batches are of the named task, which methods need that have something of their own
        for each task. Without it, or with a task that they do not know, their pass is a :class:`SiteError`.
        """
        return self.hooks.switch.task(name)

    def penalty(self) -> Tensor | None:
        """The term that a loop of one's own adds to its loss, of the set that acts; None if its methods have none."""
        active = self.hooks.switch.active
        return self.sets[active].penalty() if active in self.sets else None

    def methods(self, name: str) -> list[nn.Module]:
        """The methods of a set, in the order in which they act."""
        adapter = self.sets[name]
        return list(adapter.parts) if isinstance(adapter, ComposedAdapter) else [adapter]

    def _known(self, name: str | None) -> None:
        there = ', '.join(self.sets) or 'none, adapter.add(name, config) makes one'
        if name is None:
            raise ValueError(f'no set acts here; name one of {there}')
        if not isinstance(name, str) or name not in self.sets:
            raise ValueError(f'there is no set {name!r}; sets: {there}')

    # Merging

    def merge(self, name: str | None = None) -> None:
        """Adds a set's change to the weights of the model, which then runs at its own speed.

        Args:
            name: Of the set. Defaults to None: the one that acts.

        Raises:
            SiteError: The change is not linear, a map is quantised, or a set is merged already.
        """
        self._must_be_free_to('merge')
        self.hooks.check_hooks()
        name = self.hooks.switch.active if name is None else name
        self._known(name)
        self.merged[name] = Merged(self.sets[name], self.towers)
        self.hooks.switch.active = None

    def unmerge(self) -> None:
        """Restores the weights bit for bit; the set acts beside them again."""
        for name, merged in self.merged.items():
            merged.undo()
            self.hooks.switch.active = name
        self.merged = {}

    def _must_be_free_to(self, action: str) -> None:
        if self.is_detached:
            raise SiteError(f'cannot {action}: the adapter was detached; attach one anew with vlpeft.attach')
        if self.merged:
            raise SiteError(f'cannot {action} while set {next(iter(self.merged))!r} is merged; call unmerge() first')

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As of any module.

        Raises:
            SiteError: A set is merged, whose former values the model would keep.
        """
        if self.merged:
            self._must_be_free_to('load other weights')
        return super().load_state_dict(state_dict, *args, **kwargs)

    # What there is

    def counts(self) -> dict:
        """Parameters of model and sets, as :func:`vlpeft.adaptation.counts.count_by_role` counts them."""
        return count_by_role(self.all_parameters(), self.role_of, self.tower_of)

    def all_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of the model and of all sets, each once."""
        for name, param in self.model.named_parameters():
            yield f'model.{name}', param
        for name, param in self.sets.named_parameters():
            yield f'sets.{name}', param

    def role_of(self, name: str) -> str:
        """The role under which a parameter is counted."""
        kind, _, rest = name.partition('.')
        if kind == 'model':
            return self.part_roles.get(rest, 'backbone')
        own, _, rest = rest.partition('.')
        return self.sets[own].role_of(rest)

    def tower_of(self, name: str) -> str:
        """The tower that a parameter serves; ``'shared'`` if several do, ``'rest'`` outside all towers."""
        kind, _, rest = name.partition('.')
        if kind == 'model':
            inside = [tower for tower, root in self.paths.items() if is_below(root, rest)]
            return inside[0] if inside else 'rest'
        own, _, rest = rest.partition('.')
        return self._serves[own][rest]

    @torch.no_grad()
    def check_sites(self) -> None:
        """Runs each tower that the acting set changes once, alone, on the smallest input. No weights are needed: on
        ``meta`` a method is tried on a large model at no cost.

        Raises:
            SiteError: A site is not reached, or the family of a tower describes no input to run it with.
            ValueError: No set acts.
        """
        name = self.hooks.switch.active
        self._known(name)
        self.hooks.check_hooks()
        with in_eval_mode(self.model):
            self.hooks.check(self.sets[name], lambda: self.hooks.run_towers(name), name)

    def never_hit(self) -> list[str]:
        """Sites that no forward pass has reached since they were attached."""
        return self.hooks.never_hit()

    def _in_use(self) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
        """What an optimizer is to hold: the trained tensors of the model, and of the sets that have acted, for the
        tasks that they have acted for.
        """
        for path, module in self.parts.named_modules():
            for name, param in module.named_parameters(path, recurse=False):
                yield f'parts.{name}', param, module
        for own, adapter in self.sets.items():
            edits = self.hooks.attachments[own].edits
            if any(edit.hits for edit in edits):
                units = {id(param): edit.unit for edit in edits for param in parameters_of(edit.unit)}
                served = {None, *(task for edit in edits for task in edit.served)}
                for name, param in adapter.named_parameters():
                    if param.requires_grad and adapter.task_of(name) in served:
                        yield f'sets.{own}.{name}', param, units.get(id(param), adapter)

    def save(self, folder: str | Path, name: str | None = None, format: str = 'vlpeft') -> None:
        """Writes a set and the trained parts: ``adapter_model.safetensors`` and ``adapter_config.json``.

        Args:
            folder: Made where it does not exist.
            name: Of the set. Defaults to None: the one that acts.
            format: ``'vlpeft'``, or ``'peft'`` for a folder that HF PEFT loads. Defaults to ``'vlpeft'``.

        Raises:
            AdapterFolderError: The set has no form in that format.
            SiteError: It is merged into the weights.
        """
        from .folder import write_folder

        self._must_be_free_to('save')
        name = self.hooks.switch.active if name is None else name
        self._known(name)
        write_folder(self, Path(folder), name, format)

    def save_pretrained(self, folder: str | Path) -> None:
        """:meth:`save` under the name that transformers' models have for it; the model's own would write the base."""
        self.save(folder)

    def __reduce_ex__(self, protocol: int) -> tuple:
        """For pickles and copies: the class is made anew from that of the model."""
        return blank, (AttachedAdapter, type(self.model)), self.__dict__

    def __repr__(self) -> str:
        from .report import describe_adapter

        return describe_adapter(self)
