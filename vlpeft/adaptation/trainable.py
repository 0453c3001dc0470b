"""Parts of a model that train beside its method, by declaration: module or parameter paths, each with a role."""

from collections.abc import Iterable, Mapping

from torch import nn

from vlpeft.nearest import suggestion
from vlpeft.sites import SiteError


def trained_parts(model: nn.Module, declared: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Names of the parameters that a declaration covers, and their roles.

    Args:
        model: The model.
        declared: Paths of modules or parameters; as a mapping with the role under which each is counted. Without one it
            is the last part of the path.

    Raises:
        SiteError: There is no such module or parameter, or it holds none.
    """
    if isinstance(declared, str):
        raise SiteError(f'trainable={declared!r} is one text; give a list of paths, [{declared!r}]')
    roles = declared if isinstance(declared, Mapping) else {path: path.rpartition('.')[2] for path in declared}
    first = {id(param): name for name, param in model.named_parameters()}
    # A tensor that has several names, as tied embeddings do, is found by each of them, and called by its first.
    names = {name: first[id(param)] for name, param in model.named_parameters(remove_duplicate=False)}
    found: dict[str, str] = {}
    for path, role in roles.items():
        covered = [own for name, own in names.items() if name == path or name.startswith(f'{path}.')]
        if not covered:
            known = [name for name, _ in model.named_modules() if name] + list(names)
            raise SiteError(f'trainable names {path!r}, which holds no parameter of the model{suggestion(path, known)}')
        found.update(dict.fromkeys(covered, role))
    return found


def mirror(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """A module whose parameters are some of a model's, the same tensors under the same names."""
    root = nn.Module()
    for name in names:
        *path, leaf = name.split('.')
        here = root
        for part in path:
            if part not in here._modules:
                here.add_module(part, nn.Module())
            here = here._modules[part]
        here.register_parameter(leaf, model.get_parameter(name))
    return root
