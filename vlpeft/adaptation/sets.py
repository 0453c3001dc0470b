"""Adapter sets: methods under names on the same frozen towers, of which one acts at a time."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from vlpeft.adapters import Adapter, ComposedAdapter
from vlpeft.adapters.options import build_method
from vlpeft.sites import AdapterSwitch, Attachment, SiteError, Tower, parameters_of, run_alone

DEFAULT = 'default'


def build_adapter(config: dict | Sequence[dict] | None, towers: Mapping[str, Tower]) -> Adapter:
    """The method of a config, or several that compose.

    Args:
        config: ``dict(type='LoRA', …)``, or a list of such. None or an empty one for no method.
        towers: The frozen backbones by name.

    Raises:
        ValueError: It is no config.
        SiteError: The method asks for what the towers do not have.
    """
    config = [] if config is None else config
    for part in config if isinstance(config, (list, tuple)) else [config]:
        if not isinstance(part, Mapping) or not part.get('type'):
            raise ValueError(f"{part!r} is no method; write dict(type='LoRA', …), or a list of such")
    if isinstance(config, Mapping):
        return build_method(config, towers)
    return ComposedAdapter(towers, config)


class AdapterSets:
    """The hooks of named sets. The modules themselves belong to whoever attaches them, and are not parameters of this.

    Args:
        towers: The frozen backbones by name.

    Attributes:
        switch: Which set acts.
        attachments: The hooks of each set.
    """

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        self.towers = dict(towers)
        self.switch = AdapterSwitch()
        self.attachments: dict[str, Attachment] = {}

    def attach(self, adapter: Adapter, name: str = DEFAULT) -> None:
        """Hooks a method to its sites under a name.

        Raises:
            ValueError: The name is taken.
            SiteError: The method has no site to act on.
        """
        if name in self.attachments:
            raise ValueError(f'there is a set {name!r} already; sets: {", ".join(self.attachments)}')
        no_method = isinstance(adapter, ComposedAdapter) and not adapter.parts
        bindings = adapter.bindings(self.towers)
        self.attachments[name] = Attachment(bindings, self.towers, self.switch, name, may_be_empty=no_method)

    @property
    def tasks(self) -> list[str]:
        """The tasks for which some method has something of its own, in the order in which they are named."""
        return list(dict.fromkeys(task for name in self.attachments for task in self.tasks_of(name)))

    def tasks_of(self, name: str) -> list[str]:
        """Those of a set."""
        return list(dict.fromkeys(task for edit in self.attachments[name].edits for task in edit.tasks))

    def detach(self, name: str) -> None:
        """Removes every hook of a set."""
        self.attachments.pop(name).detach()

    def detach_all(self) -> None:
        """Removes every hook; the backbones are bit-identical to before."""
        for name in list(self.attachments):
            self.detach(name)

    def never_hit(self) -> list[str]:
        """Sites, of all sets, that no forward pass has reached."""
        return [site for attachment in self.attachments.values() for site in attachment.never_hit()]

    def check_hooks(self) -> None:
        """Refuses modules that were put in the place of those that a set acts on.

        Raises:
            SiteError: Names one.
        """
        for attachment in self.attachments.values():
            attachment.check_hooks()

    def run_towers(self, name: str = DEFAULT) -> None:
        """Runs each tower that a set changes alone, for each task, as of :func:`vlpeft.sites.run_alone`; decoders
        read what the encoder has returned, if there is one among them.
        """
        towers = [self.towers[tower] for tower in dict.fromkeys(edit.tower for edit in self.attachments[name].edits)]
        is_told = sum(tower.entrance is not None and tower.entrance.is_read for tower in towers) == 1
        for task in self.tasks_of(name) or (None,):
            states = None
            for tower in towers:
                with self.switch.task(task):
                    found = run_alone(tower, states)
                states = found if is_told and found is not None else states

    def check(self, adapter: Adapter, run: Callable[[], None], name: str = DEFAULT) -> None:
        """Refuses sites of a set that ``run`` does not reach; :meth:`never_hit` does not count these passes.

        Raises:
            SiteError: Names the sites that were not reached: the method would silently adapt nothing there.
        """
        edits = self.attachments[name].edits
        before = [(edit.hits, edit.served) for edit in edits]
        for edit in edits:
            edit.hits, edit.served = 0, set()
        try:
            run()
            missed = self.attachments[name].never_hit()
        finally:
            for edit, (hits, served) in zip(edits, before):
                edit.hits, edit.served = hits, served
        if missed:
            raise SiteError(
                f'{type(adapter).__name__}: no forward pass reaches {len(missed)} of its sites, such '
                f'as {", ".join(missed[:3])}'
            )

    def towers_of(self, adapter: nn.Module, name: str = DEFAULT) -> dict[str, str]:
        """The tower that each parameter of a set's module serves, ``'shared'`` if several do."""
        users: dict[int, set[str]] = {}
        for edit in self.attachments[name].edits:
            for param in parameters_of(edit.unit):
                users.setdefault(id(param), set()).add(edit.tower)
        found = {}
        for param_name, param in adapter.named_parameters():
            serves = users.get(id(param), set())
            found[param_name] = next(iter(serves)) if len(serves) == 1 else 'shared'
        return found
