"""A frozen vision backbone as a source of grid features: images in, cells out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.constants import constants
from vlpeft.checkpoint.fit import fit
from vlpeft.checkpoint.report import LoadReport
from vlpeft.checkpoint.translate import translate
from vlpeft.checkpoint.unread import check_read
from vlpeft.quiet import no_info_logs
from vlpeft.registry import MODELS

from .vision import Seen
from .visual_embedding import pool_grid


class GridTower(nn.Module):
    """Cells of images from any mmpretrain backbone that gives a feature map or tokens.

    Of CLIP's ResNets (``mmpretrain.ModifiedResNet``) the attention pooling is removed, which leaves the 7 x 7 map that
    VL-PET's released features are.

    Args:
        backbone: Config of the backbone, such as ``dict(type='mmpretrain.VisionTransformer', out_type='raw', …)``.
        pool: Side of the grid after adaptive max-pooling (7 -> 6: a 2 x 2 window, stride 1). Defaults to None.
    """

    def __init__(self, backbone: Mapping, pool: int | None = None) -> None:
        super().__init__()
        with DefaultScope.overwrite_default_scope('mmpretrain'), no_info_logs():
            self.vision = MODELS.build(dict(backbone))
        if hasattr(self.vision, 'attnpool'):
            self.vision.attnpool = nn.Identity()
        self.pool = pool
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> 'GridTower':
        """Stays in evaluation mode: it is frozen, statistics of batch norms included."""
        return super().train(False)

    def load(self, path: str | Path) -> LoadReport:
        """Fill the backbone from a checkpoint: its own names, under any one prefix (``backbone.``, ``visual.``, …), or
        any dialect that has a vision tower.

        Raises:
            CheckpointError: The layout is unknown, the backbone would not be filled whole, or it has no place for keys
                of its file.
        """
        fixed = constants(self)
        target = {name: value for name, value in self.state_dict().items() if name not in fixed}
        checkpoint = Checkpoint.read(path)
        own = _under_one_prefix(checkpoint.weights, [name.partition('.')[2] for name in target])
        if own:
            checkpoint = replace(checkpoint, weights=own)
        source = translate(checkpoint, 'mmpretrain_backbone' if own else None)
        state, report = fit(source, target, strict_parts=('vision',))
        check_read(report, fixed, ('vision',))
        self.load_state_dict(state, strict=False)
        return report

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Cells (B, N, F) of normalised images (B, 3, H, W).

        Raises:
            ValueError: The backbone gives no cells, or ``pool`` meets cells that make no square.
        """
        cells = to_cells(self.vision(images), self.vision)
        return cells if self.pool is None else pool_grid(cells, self.pool)


def to_cells(output: Tensor | Sequence[Tensor] | Seen, backbone: nn.Module) -> Tensor:
    """Cells (B, N, F) in the output of a backbone, of several levels in the last: a map (B, F, h, w) row by row, or
    tokens (B, K + N, F) without the first K, its ``num_extra_tokens``.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(output, Seen):
        output = output.tokens
    output = output[-1] if isinstance(output, (tuple, list)) else output
    if output.ndim == 4:
        return output.flatten(2).transpose(1, 2)
    if output.ndim == 3:
        return output[:, backbone.num_extra_tokens :]
    raise ValueError(
        f'the vision tower {type(backbone).__name__} gives {tuple(output.shape)}, no cells of a grid; a '
        "transformer gives them with out_type='raw' or 'featmap'"
    )


def _under_one_prefix(weights: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """The weights of a backbone in mmpretrain's layout, if all of ``names`` share a prefix in the file; else empty.

    What the file has besides inside the same modules is among them.
    """
    prefixes = {key[: -len(names[0])] for key in weights if key.endswith(names[0])}
    modules = {name.partition('.')[0] for name in names}
    for prefix in sorted(prefixes, key=len):
        if all(prefix + name in weights for name in names):
            below = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            return {f'backbone.{key}': value for key, value in below.items() if key.partition('.')[0] in modules}
    return {}
