"""BART and T5 small enough for tests, and a method attached to them without any task model."""

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.tiny import randomise
from vlpeft.adapters import ComposedAdapter
from vlpeft.registry import ADAPTERS
from vlpeft.sites import AdapterSwitch, Attachment, checkpoint_blocks, describe
from vlpeft.testing import SUBJECTS
from vlpeft.testing.backbones import VOCAB

BACKBONES = ('bart', 't5')


def build_lm(backbone: str, dtype=torch.float64, seed: int = 0) -> nn.Module:
    """A randomised HF model in eval mode, weights N(0, 0.2)."""
    return SUBJECTS[backbone].model(dtype, seed)


class AdaptedLM(nn.Module):
    """An HF encoder-decoder carrying a method.

    Args:
        lm: The model.
        adapter: Config of a method, a list of them, or None.
    """

    def __init__(self, lm: nn.Module, adapter) -> None:
        super().__init__()
        self.lm = lm.requires_grad_(False)
        self.towers = {name: describe(getattr(lm, f'get_{name}')(), name) for name in ('encoder', 'decoder')}
        self.switch, self.attachments, self.adapter = AdapterSwitch(), [], None
        if adapter is not None:
            self.adapter = (
                ComposedAdapter(self.towers, adapter)
                if isinstance(adapter, list)
                else ADAPTERS.build(adapter, default_args=dict(towers=self.towers))
            )
            self.attachments.append(Attachment(self.adapter.bindings(self.towers), self.towers, self.switch))

    def forward(self, ids: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V)."""
        return self.lm(input_ids=ids, attention_mask=mask, decoder_input_ids=target, use_cache=False).logits


def build_adapted(backbone: str, adapter, dtype=torch.float64, checkpointing: bool = False) -> AdaptedLM:
    """A randomised model carrying a randomised method, in eval mode."""
    model = AdaptedLM(build_lm(backbone, dtype), adapter).to(dtype).eval()
    if model.adapter is not None:
        randomise(model.adapter, seed=1)
    for tower in model.towers.values() if checkpointing else ():
        checkpoint_blocks(tower, model.switch)
    return model


def random_texts(batch: int = 2, length: int = 5, target: int = 3, seed: int = 0):
    """Right-padded ids (B, L) of different lengths, mask (B, L), decoder ids (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCAB, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    for i in range(batch):
        mask[i, length - 2 * i :] = 0
    return ids.masked_fill(mask == 0, 1), mask, torch.randint(3, VOCAB, (batch, target), generator=generator)


class KeepDouble(TorchFunctionMode):
    """Inside this scope T5 is as exact as its dtype.

    transformers rounds its attention weights and the variances of its norms to single precision, in a double model too.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        rounds = func is Tensor.float or (func is Tensor.to and len(args) > 1 and args[1] is torch.float32)
        if rounds and args[0].dtype is torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))
