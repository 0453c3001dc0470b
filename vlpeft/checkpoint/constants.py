"""Which tensors of a model no file has to give: buffers that its geometry determines."""

from torch import nn

#: Ends of the names of buffers that were learned: what batch norms have counted.
STATISTICS = ('running_mean', 'running_var')


def constants(model: nn.Module) -> frozenset[str]:
    """Names of the buffers that are constants of the geometry; some files hold them, perhaps for another one."""
    names = (name for name, _ in model.named_buffers(remove_duplicate=False))
    return frozenset(name for name in names if not name.endswith(STATISTICS))
