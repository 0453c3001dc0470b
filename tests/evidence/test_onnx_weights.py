"""Weights out of graphs, against the networks that the graphs were made from, by hand as exporters do."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from vlpeft.evidence.onnx_weights import read_weights


def write_graph(path, nodes, arrays):
    graph = helper.make_graph(
        nodes,
        'g',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph), path)
    return path


def test_products_get_the_names_of_their_linear_maps(tmp_path):
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    head = np.ones((4, 5), np.float32)
    nodes = [
        helper.make_node('MatMul', ['x', 'onnx::MatMul_7'], ['/net/layer.0/fc1/MatMul_output_0']),
        helper.make_node('Add', ['/net/layer.0/fc1/MatMul_output_0', 'net.layer.0.fc1.bias'], ['h']),
        helper.make_node('MatMul', ['h', 'onnx::MatMul_8'], ['logits']),
    ]
    arrays = {'onnx::MatMul_7': matrix, 'onnx::MatMul_8': head, 'net.layer.0.fc1.bias': np.zeros(4, np.float32)}
    found = read_weights(write_graph(tmp_path / 'a.onnx', nodes, arrays))
    assert found.keys() == {'net.layer.0.fc1.weight', 'net.layer.0.fc1.bias', 'logits.weight'}
    assert torch.equal(found['net.layer.0.fc1.weight'], torch.from_numpy(matrix).T)


def test_eight_bits_are_undone(tmp_path):
    """w = (q - zero) scale, for signed products and unsigned tables."""
    product, table = np.array([[-128, 0, 127]], np.int8).T, np.array([[0, 128, 255]], np.uint8)
    arrays = {
        'onnx::MatMul_7_quantized': product,
        'onnx::MatMul_7_zero_point': np.array(3, np.int8),
        'onnx::MatMul_7_scale': np.array(0.5, np.float32),
        'embed.weight_quantized': table,
        'embed.weight_zero_point': np.array(128, np.uint8),
        'embed.weight_scale': np.array(0.25, np.float32),
    }
    inputs = ['x', 'onnx::MatMul_7_quantized', 'x_zero', 'onnx::MatMul_7_zero_point']
    nodes = [helper.make_node('MatMulInteger', inputs, ['/fc/MatMul_output_0_output_quantized'])]
    found = read_weights(write_graph(tmp_path / 'a.onnx', nodes, arrays))
    assert found.keys() == {'fc.weight', 'embed.weight'}
    assert found['fc.weight'].tolist() == [[-65.5, -1.5, 62.0]]
    assert found['embed.weight'].tolist() == [[-32.0, 0.0, 31.75]]
