"""SigLIP's and SigLIP 2's text model, as transformers builds it.

Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023; Tschannen et al., "SigLIP 2", 2025.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor

from vlpeft.models.tokenizer import SiglipTokenizer
from vlpeft.registry import MODELS

from .transformers_config import tower_config


@MODELS.register_module()
class SiglipTextEncoder(BaseModule):
    """SigLIP's text transformer, for contrastive retrieval: it has no cross-attention.

    Tokens see each other in both directions, padding included: texts are padded to the full length, and the state of
    the last position stands for the text, as in training.

    Weights come from the model's ``base_checkpoint``, as for every tower; keys are those of transformers.

    Args:
        config: Geometry: entries of transformers' ``SiglipTextConfig`` where they differ from SigLIP-base's, or the hub
            name or directory of a SigLIP or SigLIP 2 whose ``config.json`` has them. Defaults to None, SigLIP-base's.
    """

    tokenizer_type = SiglipTokenizer

    def __init__(self, config: None | dict | str = None) -> None:
        super().__init__()
        from transformers import SiglipTextConfig, SiglipTextModel

        if isinstance(config, str):
            geometry = tower_config(config, 'text_config', 'text.config')
        else:
            geometry = SiglipTextConfig(**(config or {}))
        self.width, self.vocab_size = geometry.hidden_size, geometry.vocab_size
        self.text_length = geometry.max_position_embeddings
        model = SiglipTextModel(geometry)
        # Since transformers 5 the wrapper around the tower is gone; without it the keys are the same.
        self.text_model = getattr(model, 'text_model', model)

    def init_weights(self) -> None:
        """transformers has drawn them in the constructor."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (P, L, D) of token ids (P, L), after the final norm.

        Args:
            ids: Padded on the right to the full length.
            mask: Not used: the model was trained to read its padding.
        """
        x = self.text_model.embeddings(input_ids=ids)
        x = self.text_model.encoder(inputs_embeds=x, attention_mask=None).last_hidden_state
        return self.text_model.final_layer_norm(x)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """The last position's state through the head: states (P, L, D) to (P, E)."""
        return self.text_model.head(states[:, -1])

    def probe_input(self) -> dict[str, Tensor]:
        """Keyword arguments of the smallest pass."""
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.text_model.final_layer_norm.weight.device)
        return dict(ids=ids, mask=torch.ones_like(ids))
