"""Tiny sizes for the methods of recipes, for models of width 12 or 16; what a method does stays as its config says."""

#: Options that are sizes, where a config gives them.
SIZES = dict(bottleneck=4, kv_bottleneck=3, value_bottleneck=4, rank=2, length=3, hidden=6, embedding=6, projection=3)


def shrink_methods(adapter: dict | list | None) -> None:
    """Gives the methods of a config tiny sizes, in place."""
    for part in adapter if isinstance(adapter, list) else [adapter or {}]:
        part.update({name: size for name, size in SIZES.items() if part.get(name)})
        if part.get('type') == 'LST':
            part.update(reduction=2, heads=2)
