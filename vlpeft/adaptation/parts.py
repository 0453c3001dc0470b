"""What the parts of a model are called: words for kinds of parameters, wherever in the model they are."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import nn

from vlpeft.nearest import suggestion
from vlpeft.sites import OuterPart, SiteError, SubLayer, Targets, Tower, below, branch_modules, is_below, norm_sites

#: The words, and the role under which their parameters are counted.
WORDS = dict(
    all='backbone',
    heads='head',
    connectors='connector',
    norms='layer_norm',
    biases='bias',
    embeddings='embedding',
    position_biases='position_bias',
)
#: What a table of embeddings that is no ``nn.Embedding`` is called by its module.
_ROWS = ('embed', 'embedding', 'embeddings', 'token', 'tokens')
WANTED_BY = 'trainable'


def _below(names: Iterable[str], paths: Iterable[str]) -> bool:
    return any(is_below(path, name) for name in names for path in paths)


class ModelParts:
    """The parameters of a model by words and paths. Each has one name here, its first; it is found by all it has.

    Args:
        model: The model.
        towers: Its backbones by name.
        paths: Where each of them is in the model.
        heads: Paths of its heads and their roles. Defaults to None: what lies outside of all towers and connectors, and
            an output embedding that is not tied to the words'.
        idle: Module paths that run without gradient, so that nothing below them trains.
        apart: Module paths that are no parts of the model, such as that of its method.
    """

    def __init__(
        self,
        model: nn.Module,
        towers: Mapping[str, Tower],
        paths: Mapping[str, str],
        heads: Mapping[str, str] | None = None,
        idle: Sequence[str] = (),
        apart: Sequence[str] = (),
    ) -> None:
        self.model, self.paths, self._heads, self.idle = model, dict(paths), heads, tuple(idle)
        first = {id(param): name for name, param in model.named_parameters()}
        self.names: dict[str, list[str]] = {}
        for name, param in model.named_parameters(remove_duplicate=False):
            if not apart or not _below([name], apart):
                self.names.setdefault(first[id(param)], []).append(name)
        self.all_towers = list(towers)
        self.towers = {name: tower for name, tower in towers.items() if not _below([paths[name]], self.idle)}

    @property
    def has_declared_heads(self) -> bool:
        """Whether the model says what its heads are; it may have none."""
        return self._heads is not None

    def named(self, text: str) -> dict[str, str]:
        """Names of the parameters that a word or a path means, and the role under which each is counted.

        Raises:
            SiteError: It is neither, or means no parameter that could train.
        """
        if text == 'heads':
            found = self.heads()
        elif text == 'all':
            found = dict.fromkeys(self.names, WORDS['all']) | (self.heads() if self.has_declared_heads else {})
        elif text in WORDS:
            found = dict.fromkeys(self._of_kind(text), WORDS[text])
        else:
            found = dict.fromkeys(self.under([text]), text.rpartition('.')[2])
            if not found:
                known = [*WORDS, *(name for name, _ in self.model.named_modules() if name)]
                known += [name for names in self.names.values() for name in names]
                raise SiteError(
                    f'{WANTED_BY} names {text!r}, which holds no parameter of the model{suggestion(text, known)}'
                )
        trains = {name: role for name, role in found.items() if not self.idle or not _below([name], self.idle)}
        # A task model may have no heads, or only such.
        if found and not trains and not (text == 'heads' and self.has_declared_heads):
            raise SiteError(f'{WANTED_BY} names {text!r}, which runs without gradient in this model')
        return trains

    def under(self, paths: Collection[str]) -> list[str]:
        """Names of the parameters below some module paths, or that are called so."""
        return [first for first, names in self.names.items() if _below(names, paths)]

    def inside(
        self,
        text: str,
        towers: Sequence[str] | None,
        kinds: Sequence[str] | None,
        depths: Sequence[int] | None,
        linears: Sequence[str] | None,
    ) -> set[str]:
        """Names of the parameters in a selection of the towers, by the words of :class:`vlpeft.sites.Targets`; a
        connector may lie beside its tower, where the text must mean it.

        Raises:
            SiteError: It names what the towers do not have, or a tower that runs without gradient.
        """
        if idle := [name for name in towers or () if name in self.all_towers and name not in self.towers]:
            raise SiteError(f'{WANTED_BY} names tower {idle[0]!r}, which runs without gradient')
        targets = Targets(towers, kinds, depths, linears)
        chosen: dict[str, None] = {}
        if linears is not None:
            for tower, _, _, role, site in targets.linears(self.towers, WANTED_BY):
                if site.span is not None:
                    raise SiteError(
                        f'{WANTED_BY}: {role} of tower "{tower.name}" is a part of {site.path}, which trains as a '
                        'whole or not at all; leave linears out, or use a method, which has parameters of its own'
                    )
                chosen[below(self.paths[tower.name], site.path)] = None
        else:
            for tower, depth, part in targets.parts(self.towers, WANTED_BY):
                if isinstance(part, OuterPart):
                    paths = _outer(part)
                elif kinds is not None:
                    paths = _branch(tower, depth, part)
                else:
                    paths = [''] if depths is None else [f'{tower.block_path}.{depth}']
                    paths += _outer(tower.outside.get('connector')) if text == 'connectors' else []
                chosen.update(dict.fromkeys(below(self.paths[tower.name], path) for path in paths))
        return set(self.under(chosen))

    def heads(self) -> dict[str, str]:
        """Names of the parameters of all heads, and their roles."""
        if self._heads is not None:
            return {name: role for path, role in self._heads.items() for name in self.under([path])}
        inside = {*self.under(self.paths.values()), *self._of_kind('connectors')}
        outputs = set()
        for module in (self.model, *(tower.module for tower in self.towers.values())):
            output = module.get_output_embeddings() if hasattr(module, 'get_output_embeddings') else None
            outputs |= {id(param) for param in output.parameters()} if isinstance(output, nn.Module) else set()
        tables = set(self._of_kind('embeddings'))
        return {
            name: WORDS['heads']
            for name in self.names
            if name not in inside or (id(self.model.get_parameter(name)) in outputs and name not in tables)
        }

    def _of_kind(self, word: str) -> list[str]:
        if word == 'connectors':
            return self.under(
                [
                    below(self.paths[name], path)
                    for name, tower in self.towers.items()
                    for path in _outer(tower.outside.get('connector'))
                ]
            )
        if word == 'norms':
            return self.under(
                [
                    below(self.paths[name], path)
                    for name, tower in self.towers.items()
                    for path in tower.declared_norms(f'{WANTED_BY}: norms')
                ]
            )
        return [first for first, names in self.names.items() if any(self._kind(name) == word for name in names)]

    def _kind(self, name: str) -> str | None:
        """What a parameter is by one of its names."""
        path, _, leaf = name.rpartition('.')
        is_table = isinstance(self.model.get_submodule(path), nn.Embedding)
        # What is added to each token alike is a vector; what is added to attention scores is a table by positions.
        if leaf == 'bias' or (leaf.endswith('_bias') and self.model.get_parameter(name).ndim < 2):
            return 'biases'
        if 'bias' in leaf or (is_table and 'bias' in path.rpartition('.')[2]):
            return 'position_biases'
        if is_table or leaf.rpartition('_')[2] in _ROWS:
            return 'embeddings'
        return None


def _outer(part: OuterPart | None) -> list[str]:
    """Module paths of a part outside of all blocks."""
    if part is None:
        return []
    return [*part.modules, part.h.path, *(site.path for site in part.linears.values())]


def _branch(tower: Tower, depth: int, sub: SubLayer) -> list[str]:
    """Module paths of a sub-layer, its norms among them where the family declares any."""
    norms = norm_sites(tower, WANTED_BY) if tower.norms is not None else ()
    own = [norm.path for norm in norms if (norm.depth, norm.kind) == (depth, sub.kind)]
    return [*branch_modules(tower, depth, sub), *own]
