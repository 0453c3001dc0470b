"""The geometry of a tower that transformers builds, from a directory or a hub name."""

from vlpeft.models.hub import source_options


def tower_config(name: str, part: str, option: str):
    """transformers' config of one tower.

    Args:
        name: Directory or hub name of a model whose ``config.json`` has it.
        part: Where a config of several towers has this one's, ``'vision_config'`` or ``'text_config'``.
        option: For messages, such as ``'vision.config'``.

    Raises:
        ValueError: The directory or hub name cannot be found.
    """
    from transformers import AutoConfig

    files = source_options(name, option, ('config.json',))
    geometry = AutoConfig.from_pretrained(name, trust_remote_code=False, **files)
    return getattr(geometry, part, geometry)
