"""Keys of a base file inside a part that it fills, for which the model has no place: an error, unless listed.

Such a tensor was part of the network that was trained: without it the part computes something else.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from .errors import CheckpointError
from .report import LoadReport, shorten

#: Our key below its part -> the setting with which the model has it, and with which it has not.
_SETTINGS = [
    (r'.+\.gamma_?[12](\.weight)?', 'layer_scale_init_value=1e-5', 'layer_scale_init_value=0.'),
    (r'pre_norm\..+', 'pre_norm=True', 'pre_norm=False'),
    (r'ln1\..+', 'final_norm=True', 'final_norm=False'),
    (r'.+\.ffn\.w(12|3)\..+', "layer_cfgs=dict(ffn_type='swiglu_fused')", "layer_cfgs=dict(ffn_type='origin')"),
    (r'.+\.attn\.qkv\.bias', 'qkv_bias=True', 'qkv_bias=False'),
    (r'lm_head\.weight', 'tie_word_embeddings=False', 'tie_word_embeddings=True'),
]
_BLOCK = re.compile(r'(.+?\.)(\d+)\..+')


def check_read(
    report: LoadReport,
    buffers: Collection[str],
    parts: Iterable[str],
    unused: Sequence[str] = (),
    option: str | None = None,
) -> None:
    """Makes sure that nothing inside a part was left in the file; listed keys move to ``report.ignored``.

    Args:
        report: Of the loading.
        buffers: Names of the model's buffers. One that was not asked for is a constant of the geometry.
        parts: Parts that the file was named for.
        unused: Keys or patterns (``*``) that may be left in it. Defaults to ().
        option: The config entry that ``unused`` comes from, for the message. Defaults to None: there is none.

    Raises:
        CheckpointError: There are keys left, and what to set; or a pattern of ``unused`` fits none.
    """
    missed = set(unused)
    for name in parts:
        part = report.parts[name]
        constants = [key for key in part.unexpected if key in buffers]
        fits = {key: [pattern for pattern in unused if fnmatchcase(key, pattern)] for key in part.unexpected}
        missed.difference_update(*fits.values())
        for reason, found in (
            ('constants of the geometry', constants),
            ('listed as unused', [key for key in part.unexpected if fits[key]]),
        ):
            if found:
                report.ignored.setdefault(reason, []).extend(found)
        left = [key for key in part.unexpected if key not in constants and not fits[key]]
        if left:
            listed = f'; or list them as {option}=[…], if they may be left out' if option else ''
            raise CheckpointError(
                f'{report.origin} ({report.dialect} layout) has {len(left)} keys of {name} that the model has no place '
                f'for: {shorten(left)}. {advice(name, left, part.missing, part.loaded)}{listed}'
            )
        part.unexpected = []
    if missed:
        raise CheckpointError(
            f'{option} lists {", ".join(sorted(missed))}, and {report.origin} ({report.dialect} '
            'layout) has no unread keys of that name'
        )


def advice(name: str, unread: Sequence[str], unfilled: Sequence[str], loaded: Sequence[str]) -> str:
    """What to set so that file and model agree on a part.

    Args:
        name: Of the part.
        unread: Our keys that only the file has.
        unfilled: Those that only the model has.
        loaded: Those that both have.
    """
    in_file, in_model = (_blocks([*loaded, *keys], (unread or unfilled)[0]) for keys in (unread, unfilled))
    if min(in_file, in_model) and in_file != in_model:
        return f'The file has {in_file} blocks, the model {in_model}'
    settings = [
        setting[column]
        for column, keys in ((1, unread), (2, unfilled))
        for setting in _SETTINGS
        if any(re.fullmatch(setting[0], key.removeprefix(f'{name}.')) for key in keys)
    ]
    if settings:
        return 'If the file is the right one, set ' + ', '.join(f'{name}.{setting}' for setting in settings)
    return f'Check the settings of {name}: the file belongs to another network'


def _blocks(keys: Iterable[str], like: str) -> int:
    """Number of blocks among keys that share with ``like`` the name before the first number."""
    stem = match[1] if (match := _BLOCK.fullmatch(like)) else None
    found = (match for match in map(_BLOCK.fullmatch, keys) if match and match[1] == stem)
    return 1 + max((int(match[2]) for match in found), default=-1)
