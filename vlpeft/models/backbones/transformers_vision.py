"""Vision towers as transformers builds them: CLIP, SigLIP, SigLIP 2, DINOv2 with and without registers."""

import inspect
import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from vlpeft.registry import MODELS

from .transformers_config import tower_config
from .vision import Seen

#: Parameters of the embeddings that become rows before those of the patches.
EXTRA_TOKENS = ('cls_token', 'class_embedding', 'distillation_token', 'register_tokens')
EXAMPLES = ('clip_vision_model', 'siglip_vision_model', 'siglip2_vision_model', 'dinov2', 'vit')
#: Names of the norm behind the last block.
FINAL_NORMS = ('post_layernorm', 'layernorm', 'norm')


@MODELS.register_module()
class TransformersVision(BaseModule):
    """A vision tower of transformers, in the protocol of :mod:`vlpeft.models.backbones.vision`.

    Weights come from the task model's ``base_checkpoint``, as for every tower; keys are transformers' own.

    Args:
        config: Geometry: entries of transformers' config with ``model_type`` (``'clip_vision_model'``,
            ``'siglip_vision_model'``, ``'siglip2_vision_model'``, ``'dinov2'``, ``'dinov2_with_registers'``, ``'vit'``,
            …), or the hub name or directory of a model whose ``config.json`` has them; of a model of several towers
            they are those of its vision tower.

    Raises:
        ValueError: Neither a folder nor a model on the hub; an unknown model type; or, when it is called, a model whose
            output is not one token for each patch behind its extra tokens.
    """

    def __init__(self, config: dict | str) -> None:
        super().__init__()
        from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, AutoModel

        if isinstance(config, str):
            geometry = tower_config(config, 'vision_config', 'vision.config')
        elif (kind := config.get('model_type')) in CONFIG_MAPPING:
            geometry = AutoConfig.for_model(**config)
        else:
            raise ValueError(
                f'vision.config has model_type={kind!r}; it is one of transformers, such as {", ".join(EXAMPLES)}'
            )
        # Poolers of classifiers were trained with them, and most files lack them.
        takes = inspect.signature(MODEL_MAPPING[type(geometry)].__init__).parameters
        model = AutoModel.from_config(
            geometry, **(dict(add_pooling_layer=False) if 'add_pooling_layer' in takes else {})
        )
        # Since transformers 5 the wrapper around CLIP's and SigLIP's towers is gone; without it the keys are the same.
        self.vision_model = getattr(model, 'vision_model', model)
        self.embed_dims, self.patch_size = geometry.hidden_size, geometry.patch_size
        self.is_padded = geometry.model_type == 'siglip2_vision_model'
        side = math.isqrt(geometry.num_patches) * self.patch_size if self.is_padded else geometry.image_size
        self.img_size = (side, side) if isinstance(side, int) else tuple(side)

    @property
    def num_extra_tokens(self) -> int:
        """Rows before those of the patches."""
        own = dict(self.vision_model.embeddings.named_parameters(recurse=False))
        return sum(own[name].numel() // self.embed_dims for name in EXTRA_TOKENS if name in own)

    @property
    def layers(self) -> nn.ModuleList:
        """Its blocks, in order of depth."""
        return next(module for module in self.vision_model.modules() if isinstance(module, nn.ModuleList))

    def init_weights(self) -> None:
        """transformers has drawn them in the constructor."""

    def forward(self, images: Tensor) -> Seen:
        """Tokens as the library returns them, and what it pools them to; without a pooler the class token or the mean.

        Args:
            images: Normalised, (B, 3, H, W).

        Raises:
            ValueError: The output is not one token for each patch behind the extra tokens.
        """
        output = self._run(images)
        tokens = output.last_hidden_state
        rows = self.num_extra_tokens + math.prod(side // self.patch_size for side in images.shape[2:])
        if tokens.shape[1:] != (rows, self.embed_dims):
            raise ValueError(
                f'{type(self.vision_model).__name__} makes {tuple(tokens.shape)} of images {tuple(images.shape)}, not '
                f'(B, {rows}, {self.embed_dims}): one token for each patch of {self.patch_size} pixels'
            )
        pooled = output.pooler_output
        return Seen(tokens, self._first_or_mean(tokens) if pooled is None else pooled)

    def _run(self, images: Tensor):
        if not self.is_padded:
            return self.vision_model(pixel_values=images)
        patches, shapes = to_patches(images, self.patch_size)
        mask = torch.ones(patches.shape[:2], dtype=torch.long, device=images.device)
        return self.vision_model(patches, mask, shapes)

    def pool(self, stream: Tensor) -> Tensor:
        """What the tower would pool to if it ended behind some block: ``stream`` (B, K + N, D) to (B, D).

        Raises:
            ValueError: Its last norm is not known.
        """
        tower = self.vision_model
        norm = next((getattr(tower, name) for name in FINAL_NORMS if hasattr(tower, name)), None)
        if norm is None:
            raise ValueError(f'{type(tower).__name__} has no norm behind its blocks of a known name: {FINAL_NORMS}')
        tokens = norm(stream)
        head = getattr(tower, 'head', None)
        return head(tokens) if isinstance(head, nn.Module) else self._first_or_mean(tokens)

    def _first_or_mean(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0] if self.num_extra_tokens else tokens.mean(1)


def to_patches(images: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Patches as SigLIP 2 takes them: row by row, colours last; and the grid of each image, on the CPU.

    Args:
        images: (B, 3, H, W); H and W are multiples of ``size``.
        size: Side of a patch in pixels.

    Returns:
        (B, H/size · W/size, size · size · 3) and (B, 2).

    Raises:
        ValueError: A side is no such multiple.
    """
    batch, _, height, width = images.shape
    if height % size or width % size:
        raise ValueError(f'images are {height} x {width} pixels, not multiples of the patch size {size}')
    grid = images.unflatten(3, (-1, size)).unflatten(2, (-1, size))
    patches = grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return patches, torch.tensor([[height // size, width // size]], device='cpu').repeat(batch, 1)
