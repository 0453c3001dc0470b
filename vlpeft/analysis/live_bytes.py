"""Bytes that tensors hold while something runs. On the device ``meta`` shapes are all that is computed: what a pass
would take is known without taking it.
"""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations inside its ``with`` block make, until nothing holds them any more. Tensors
    made before do not count, and what a kernel takes and gives back itself is not seen.

    Attributes:
        now: Bytes held.
        peak: Most bytes that were held at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        for given in tree_iter((args, kwargs)):
            if isinstance(given, Tensor):
                self._known.setdefault(given.untyped_storage(), None)
        out = func(*args, **(kwargs or {}))
        for made in tree_iter(out):
            if isinstance(made, Tensor) and (storage := made.untyped_storage()) not in self._known:
                self._hold(storage)
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        # A storage keeps its Python object as long as it lives.
        self._known[storage] = weakref.finalize(storage, self._release, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _release(self, size: int) -> None:
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """On ``meta``, attention is computed as on a kind of device: of itself it keeps the maps, as no fused kernel does.

    Args:
        keeps_dropped: Whether dropout rules a fused kernel out, as on CPUs.
    """

    def __init__(self, keeps_dropped: bool) -> None:
        super().__init__()
        self.keeps_dropped = keeps_dropped

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            return self._attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        is_fused = query.ndim == 4 and not (attn_mask is not None and attn_mask.requires_grad)
        if not query.is_meta or not is_fused or (dropout_p and self.keeps_dropped) or kwargs.get('enable_gqa'):
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal=is_causal, **kwargs
            )
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(~attn_mask, float('-inf'))
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return attend(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=kwargs.get('scale'))[0]


#: What autocast computes in few bits, and what in float32; as torch's lists for GPUs, as far as models here use them.
PRODUCTS = {
    functional.linear,
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
    functional.scaled_dot_product_attention,
    torch.matmul,
    torch.bmm,
    torch.baddbmm,
    torch.addmm,
    torch.einsum,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.bmm,
}
IN_FLOAT32 = {
    functional.layer_norm,
    functional.softmax,
    functional.log_softmax,
    functional.cross_entropy,
    torch.softmax,
    torch.log_softmax,
    Tensor.softmax,
    Tensor.log_softmax,
}


class Autocast(TorchFunctionMode):
    """Autocast for ``meta``, which torch has not.

    Args:
        dtype: Of products.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self._weights: dict[Tensor, Tensor] = {}

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in PRODUCTS or func in IN_FLOAT32:
            cast = partial(self._cast, dtype=self.dtype if func in PRODUCTS else torch.float32)
            args, kwargs = tree_map(cast, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _cast(self, given: Any, dtype: torch.dtype) -> Any:
        if not isinstance(given, Tensor) or not given.is_floating_point() or given.dtype == dtype:
            return given
        if not (given.is_leaf and given.requires_grad):
            return given.to(dtype)
        # Weights that train are cast once.
        if given not in self._weights:
            self._weights[given] = given.to(dtype)
        return self._weights[given]
