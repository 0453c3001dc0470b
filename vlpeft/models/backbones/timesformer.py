"""TimeSformer: a video transformer whose blocks attend first over time, then over space.

    p ← p + W_t Attn_time(LN p)            each patch p to the same place in all frames
    x ← x + Attn_space(LN x)               each frame to itself; the class token is in every frame and gets the mean
    x ← x + MLP(LN x)

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, divided attention.
"""

import torch
from mmcv.cnn.bricks.transformer import FFN, PatchEmbed
from mmengine.model import BaseModule
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.registry import MODELS

EPS = 1e-6


class SpatialAttention(MultiheadAttention):
    """Attention within each frame, among its patches and a copy of the clip's class token."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """The branch's output (B, 1 + N T, D), the class token's being the mean over frames.

        Args:
            x: Normalised stream (B, 1 + N T, D): class token, then patches with time running fastest.
            frames: T.
        """
        patches = x[:, 1:].unflatten(1, (-1, frames)).transpose(1, 2)
        cls = x[:, None, :1].expand(-1, frames, -1, -1)
        h = super().forward(torch.cat([cls, patches], dim=2).flatten(0, 1)).unflatten(0, (-1, frames))
        return torch.cat([h[:, :, 0].mean(1, keepdim=True), h[:, :, 1:].transpose(1, 2).flatten(1, 2)], dim=1)


class DividedBlock(BaseModule):
    """One block of the equations above.

    Args:
        width: D.
        heads: Heads of both attentions.
        drop_path: Probability of dropping a branch: of a place's time, of a frame, of a clip's MLP.
    """

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        drop = dict(type='DropPath', drop_prob=drop_path)
        self.temporal_ln = nn.LayerNorm(width, EPS)
        self.temporal_attn = MultiheadAttention(width, heads, dropout_layer=drop)
        self.temporal_fc = nn.Linear(width, width)
        self.ln1 = nn.LayerNorm(width, EPS)
        self.attn = SpatialAttention(width, heads, dropout_layer=drop)
        self.ln2 = nn.LayerNorm(width, EPS)
        self.ffn = FFN(width, 4 * width, act_cfg=dict(type='GELU'), dropout_layer=drop)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """The stream (B, 1 + N T, D) after the block.

        Args:
            x: The stream before it.
            frames: T.
        """
        cls, patches = x[:, :1], x[:, 1:]
        times = self.temporal_ln(patches).unflatten(1, (-1, frames)).flatten(0, 1)
        patches = patches + self.temporal_fc(self.temporal_attn(times)).view_as(patches)
        x = torch.cat([cls, patches], dim=1)
        x = x + self.attn(self.ln1(x), frames)
        return self.ffn(self.ln2(x), identity=x)


@MODELS.register_module()
class TimeSformer(BaseModule):
    """TimeSformer with divided space-time attention; the defaults are its base size.

    ``temporal_fc`` starts at zero but in the first block, so that the others begin as those of an image transformer.

    Args:
        num_frames: Length of the time embedding, and of the clip that an image is repeated to. Clips may have any other
            length, to which the time embedding is resized (nearest). Defaults to 8.
        img_size: Height and width of the frames in pixels. Defaults to 224.
        patch_size: Defaults to 16.
        width: D. Defaults to 768.
        depth: Number of blocks. Defaults to 12.
        heads: Defaults to 12.
        drop_path_rate: That of the last block, growing linearly from 0; in training mode only. Defaults to 0.1.
    """

    def __init__(
        self,
        num_frames: int = 8,
        img_size: int = 224,
        patch_size: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_frames, self.width, self.depth = num_frames, width, depth
        self.patch_embed = PatchEmbed(embed_dims=width, kernel_size=patch_size, stride=patch_size, input_size=img_size)
        rows, columns = self.patch_embed.init_out_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + rows * columns, width))
        self.time_embed = nn.Parameter(torch.empty(1, num_frames, width))
        for table in (self.cls_token, self.pos_embed, self.time_embed):
            nn.init.trunc_normal_(table, std=0.02)
        self.layers = nn.ModuleList(
            DividedBlock(width, heads, drop_path_rate * index / max(depth - 1, 1)) for index in range(depth)
        )
        for layer in self.layers[1:]:
            nn.init.zeros_(layer.temporal_fc.weight)
            nn.init.zeros_(layer.temporal_fc.bias)
        self.ln1 = nn.LayerNorm(width, EPS)

    #: The class token.
    num_extra_tokens = 1

    def probe_input(self) -> dict[str, Tensor]:
        """Keyword arguments of the smallest pass: an image."""
        size = self.patch_embed.init_input_size
        return dict(inputs=self.pos_embed.new_zeros(1, 3, *size))

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalised tokens (B, 1 + N T, D), class token first.

        Args:
            inputs: Clips (B, T, 3, H, W) or images (B, 3, H, W).
        """
        is_image = inputs.ndim == 4
        clips = inputs[:, None] if is_image else inputs
        patches = self.patch_embed(clips.flatten(0, 1))[0] + self.pos_embed[:, 1:]
        patches = patches.unflatten(0, clips.shape[:2]).transpose(1, 2)
        patches = patches + self._times(self.num_frames if is_image else clips.shape[1])
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        x = torch.cat([cls, patches.flatten(1, 2)], dim=1)
        for layer in self.layers:
            x = layer(x, patches.shape[2])
        return self.ln1(x)

    def _times(self, frames: int) -> Tensor:
        return F.interpolate(self.time_embed.transpose(1, 2), size=frames, mode='nearest').transpose(1, 2)
