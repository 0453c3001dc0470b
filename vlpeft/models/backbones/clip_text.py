"""CLIP's text model, as transformers builds it.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor

from vlpeft.models.tokenizer import ClipTokenizer
from vlpeft.registry import MODELS


@MODELS.register_module()
class ClipTextEncoder(BaseModule):
    """CLIP's causal text transformer, for contrastive retrieval: it has no cross-attention.

    Weights come from the model's ``base_checkpoint``, as for every tower; keys are those of transformers.

    Args:
        config: Geometry: entries of transformers' ``CLIPTextConfig`` where they differ from CLIP ViT-B's, or the hub
            name or directory of a CLIP whose ``config.json`` has them. Defaults to None, CLIP ViT-B's.
    """

    tokenizer_type = ClipTokenizer

    def __init__(self, config: None | dict | str = None) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel

        geometry = (
            CLIPTextConfig.from_pretrained(config) if isinstance(config, str) else CLIPTextConfig(**(config or {}))
        )
        self.width, self.vocab_size = geometry.hidden_size, geometry.vocab_size
        whole = CLIPTextModel(geometry)
        # In transformers 5 it is one module.
        self.text_model = getattr(whole, 'text_model', whole)

    def probe_input(self) -> dict[str, Tensor]:
        """Keyword arguments of the smallest pass."""
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.text_model.final_layer_norm.weight.device)
        return dict(ids=ids, mask=torch.ones_like(ids))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (P, L, D) of token ids (P, L), after the final norm.

        Args:
            ids: Right-padded.
            mask: Not needed: a token sees only its predecessors, and padding has none after it.
        """
        # transformers builds this mask in single precision only.
        x = self.text_model.embeddings(input_ids=ids)
        length = ids.shape[1]
        causal = torch.full((length, length), float('-inf'), dtype=x.dtype, device=x.device).triu(1)[None, None]
        x = self.text_model.encoder(inputs_embeds=x, attention_mask=causal).last_hidden_state
        return self.text_model.final_layer_norm(x)

    @staticmethod
    def pool(states: Tensor, mask: Tensor) -> Tensor:
        """The state (P, D) of the end token, the last that exists in each text; states (P, L, D), mask (P, L)."""
        rows = torch.arange(len(states), device=states.device)
        return states[rows, mask.sum(1) - 1]
