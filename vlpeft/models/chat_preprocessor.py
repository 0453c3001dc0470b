"""Joins samples of conversations to a batch on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from vlpeft.chat import join
from vlpeft.registry import MODELS


@MODELS.register_module()
class ChatDataPreprocessor(BaseDataPreprocessor):
    """Joins the tensors of samples, moves them to the device and casts floats to the dtype of the model.

    Texts are padded on the right where there are labels (training) or an encoder reads them, and on the left where a
    decoder goes on from their end; all other tensors at the end of every dimension but the first, along which they are
    joined: samples may have images of different sizes, several or none. Copies may overlap with computation.

    Args:
        pad_token_id: Padding of the ids, as the tokenizer of the model has it.
        encoder_decoder: Whether the language model has an encoder and a decoder. Defaults to False.
        dtype: Dtype of pictures, such as 'bfloat16'. Defaults to None: the one to which the model is cast.

    Raises:
        ValueError: A negative ``pad_token_id`` or an unknown dtype; on use: samples that were collated already.
    """

    def __init__(self, pad_token_id: int, encoder_decoder: bool = False, dtype: str | None = None) -> None:
        super().__init__(non_blocking=True)
        if pad_token_id < 0:
            raise ValueError(f'ChatDataPreprocessor: pad_token_id must be a token, got {pad_token_id}')
        found = None if dtype is None else getattr(torch, dtype, None)
        if dtype is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
            raise ValueError(f'ChatDataPreprocessor: dtype must be a floating type such as bfloat16, got {dtype!r}')
        self.pad_token_id, self.encoder_decoder, self.dtype = pad_token_id, encoder_decoder, found
        self.register_buffer('like', torch.zeros(()), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Returns ``inputs``, one dict of tensors, and ``data_samples``, a list.

        Args:
            data: ``inputs``, a list of the samples' dicts, and ``data_samples``, as
                :func:`vlpeft.engine.functions.collate_chat` gives them.
            training: Unused: whether there are labels decides.
        """
        samples = data['inputs']
        if not isinstance(samples, Sequence):
            raise ValueError(
                "ChatDataPreprocessor joins the samples itself: set collate_fn=dict(type='vlpeft.collate_chat') in the "
                'loader'
            )
        trained = any('labels' in sample for sample in samples)
        joined = join(samples, self.pad_token_id, left=not trained and not self.encoder_decoder)
        dtype = self.like.dtype if self.dtype is None else self.dtype
        joined = self.cast_data(joined)
        joined = {name: value.to(dtype) if value.is_floating_point() else value for name, value in joined.items()}
        return dict(data, inputs=joined)
