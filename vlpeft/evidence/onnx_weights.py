"""Weights of a PyTorch model out of the ONNX graph that was exported from it.

An exporter keeps the names of biases, norms and tables. A linear map becomes a product with a nameless matrix, whose
place in the model is told by the name of the product: ``/backbone/encoder/layer.0/mlp/fc1/MatMul_output_0``. Products
in 8 bits hold (q - zero) times a scale.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_QUANTIZED = '_quantized'
_PRODUCTS = ('MatMul', 'MatMulInteger')
_OUTPUT = '/MatMul_output_0'


def read_weights(path: Path) -> dict[str, Tensor]:
    """All weights of a graph, float32, by the names of PyTorch; linear maps as (out, in).

    Tables of indices and constants of the export keep the names that they have there.

    Args:
        path: An ``.onnx`` file of float32 or dynamically quantised weights.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    values = {}
    for name, array in arrays.items():
        if name.endswith(_QUANTIZED):
            plain = name.removesuffix(_QUANTIZED)
            zero, scale = arrays[f'{plain}_zero_point'], arrays[f'{plain}_scale']
            values[plain] = (array.astype(np.float32) - zero.astype(np.float32)) * scale
        elif not name.endswith(('_zero_point', '_scale')):
            values[name] = array
    for node in graph.node:
        matrix = node.input[1].removesuffix(_QUANTIZED) if node.op_type in _PRODUCTS else None
        if matrix in values:
            place, found, _ = node.output[0].partition(_OUTPUT)
            if not found:
                # The last product has the name of the graph's output.
                place = node.output[0].removesuffix('_quantized').removesuffix('_output')
            values[f'{place.strip("/").replace("/", ".")}.weight'] = values.pop(matrix).T
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in values.items()}
