"""The whole sequence-to-sequence model with vision restated slowly: cell by cell, sample by sample, token by token."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from tests.slow_seq2seq import layer_norm, linear, rms_norm, slow_model


class SlowVL:
    """BART or T5 reading text and features, with VL-PET.

    Args:
        lm: Parameters of the language model by transformers' names.
        visual: Parameters of the visual embedding by ours.
        adapter: Parameters of VL-PET by ours; empty for none.
        config: transformers' config.
        tokenizer: :class:`Seq2SeqTokenizer`.
        grid: Side of the pooled grid.
        options: Arguments of VL-PET.
    """

    def __init__(
        self,
        lm: Mapping[str, Tensor],
        visual: Mapping[str, Tensor],
        adapter: Mapping[str, Tensor],
        config,
        tokenizer,
        grid: int,
        options: dict,
    ) -> None:
        self.visual, self.config, self.tokenizer, self.grid = visual, config, tokenizer, grid
        self.bart = config.model_type == 'bart'
        self.table = lm['model.shared.weight' if self.bart else 'shared.weight']
        self.slow = slow_model(lm, config, adapter, options, options.get('heads', 1))

    @classmethod
    def of(cls, model, options: dict) -> 'SlowVL':
        """Of the parameters of a ``VLSeq2Seq``."""
        adapter = {} if model.adapter is None else dict(model.adapter.named_parameters())
        return cls(
            dict(model.lm.named_parameters()),
            dict(model.visual_embedding.named_parameters()),
            adapter,
            model.lm.config,
            model.tokenizer,
            model.visual_embedding.grid,
            options,
        )

    def vision(self, features: Tensor) -> Tensor:
        """Vision tokens (I · grid², D) of one sample's features (I, N, F)."""
        norm = layer_norm if self.bart else rms_norm
        tokens = []
        for image, cells in enumerate(features):
            side = round(len(cells) ** 0.5)
            square, window = cells.view(side, side, -1), side - self.grid + 1
            for k in range(self.grid**2):
                row, column = divmod(k, self.grid)
                cell = square[row : row + window, column : column + window].flatten(0, 1).max(0).values
                token = norm(linear(cell, self.visual, 'feature.0'), self.visual, 'feature.1')
                token = token + norm(self.visual['position.0.bias'], self.visual, 'position.1')
                tokens.append(token + self.visual['image.weight'][image] + self.table[len(self.table) - 1 - k])
        return torch.stack(tokens)

    def logits(self, features: Tensor, samples: Sequence) -> Iterator[tuple[Tensor, Tensor]]:
        """For each sample the logits (L, V) of its target's tokens (L,); texts are padded as in the batch."""
        texts = self.tokenizer.ids([sample.text for sample in samples])
        longest = max(map(len, texts))
        for sample, ids, cells in zip(samples, texts, features):
            padded = torch.tensor(ids + [self.config.pad_token_id] * (longest - len(ids)))
            real, vision = torch.arange(longest) < len(ids), self.vision(cells)
            states = self.slow.encoder(padded, real, vision)
            target = self.tokenizer.ids([sample.target])[0]
            shifted = torch.tensor([self.config.decoder_start_token_id, *target[:-1]])
            real = torch.cat([real, torch.ones(len(vision), dtype=torch.bool)])
            yield self.slow.logits(shifted, states, real), torch.tensor(target)

    def loss(self, features: Tensor, samples: Sequence, by: str) -> Tensor:
        """The loss by ``'sample'`` or by ``'token'``."""
        total, tokens = 0, 0
        for (logits, target), sample in zip(self.logits(features, samples), samples):
            nll = -torch.stack([torch.log_softmax(row, 0)[token] for row, token in zip(logits, target)]).sum()
            tokens += len(target)
            total = total + (nll if by == 'token' else nll / len(target) * sample.weight)
        return total / (tokens if by == 'token' else len(samples))


def check_gradients(trained: Mapping[str, Tensor], found: Tensor, expected: Tensor, rtol: float) -> None:
    """The gradients of both losses by every trained parameter are equal."""
    grads, slow_grads = (
        torch.autograd.grad(loss, list(trained.values()), allow_unused=True) for loss in (found, expected)
    )
    reached = 0
    for name, grad, slow in zip(trained, grads, slow_grads):
        # Constants added to all keys cancel in the softmax; boxes are zero, so their weight gets no gradient.
        if slow is None or name.endswith('k_proj.bias'):
            assert slow is not None or grad is None or not grad.any(), name
            continue
        torch.testing.assert_close(grad, slow, rtol=rtol, atol=rtol * float(slow.abs().max()), msg=name)
        reached += bool(grad.abs().max() > 0)
    assert reached > 10
