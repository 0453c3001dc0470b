"""The Audio Spectrogram Transformer: a distilled DeiT on overlapping patches of a log-mel spectrogram.

Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021.
"""

from mmpretrain.models.backbones import DistilledVisionTransformer
from torch import Tensor

from vlpeft.registry import MODELS


@MODELS.register_module()
class AST(DistilledVisionTransformer):
    """AST without classifier; the defaults are the base model for ten seconds, 12 x 101 patches.

    The 87,725,264 parameters of the released transformer are these 86,187,264 and DeiT's two classifiers of 1,000 image
    classes, which AST has and never uses.

    Args:
        num_frames: Frames of the spectrogram. Defaults to 1024.
        num_bins: Its mel bins. Defaults to 128.
        patch_size: Side of a patch. Defaults to 16.
        stride: Distance of neighbouring patches. Defaults to 10, an overlap of 6.
        arch: Name or sizes of the transformer, as mmpretrain's ``VisionTransformer`` takes them. Defaults to
            ``'deit-base'``.
    """

    def __init__(
        self,
        num_frames: int = 1024,
        num_bins: int = 128,
        patch_size: int = 16,
        stride: int = 10,
        arch: str | dict = 'deit-base',
    ) -> None:
        # mmcv pads what the last patch does not reach, unless told otherwise.
        super().__init__(
            arch,
            img_size=(num_bins, num_frames),
            patch_size=patch_size,
            in_channels=1,
            out_type='raw',
            patch_cfg=dict(stride=stride, padding=0),
        )

    def forward(self, fbanks: Tensor) -> tuple[Tensor]:
        """Normalised tokens (B, 2 + N, D): class token, distillation token, patches frequency by frequency.

        Args:
            fbanks: Spectrograms (B, frames, bins).
        """
        return super().forward(fbanks.transpose(1, 2)[:, None])
