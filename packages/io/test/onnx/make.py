"""Writes the ONNX files of this folder and what onnxruntime makes of them: pip install onnx onnxruntime. Afterwards:
npx biome check --write packages/io"""

import json
import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(3)


def net(name, shape, opset=13):
    """A function that adds nodes, and the lists that they and their constants go into."""
    nodes, constants = [], []

    def weight(*dims, low=-0.5, high=0.5):
        key = f"w{len(constants)}"
        values = rng.uniform(low, high, dims).astype(np.float32)
        constants.append(numpy_helper.from_array(values, key))
        return key

    def whole(values):
        key = f"w{len(constants)}"
        constants.append(numpy_helper.from_array(np.array(values, np.int64), key))
        return key

    def add(op, *inputs, **attributes):
        output = f"/{name}/{op}_{len(nodes)}"
        nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def norm(x, channels):
        positive = dict(low=0.5, high=1.5)
        return add("BatchNormalization", x, weight(channels, **positive), weight(channels), weight(channels),
                   weight(channels, **positive), epsilon=1e-5)

    def save(*outputs):
        graph = helper.make_graph(
            nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        del model.graph.value_info[:]
        onnx.checker.check_model(model, full_check=True)
        path = os.path.join(HERE, f"{name}.onnx")
        onnx.save(model, path)
        return path

    return add, weight, whole, norm, save


def expect(path, x):
    """What the file gives for x, computed as it is written."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ys = session.run(None, {"x": x})
    numbers = lambda a: {"shape": list(a.shape), "data": [float(f"{v:.9g}") for v in a.ravel()]}
    with open(path.replace(".onnx", ".json"), "w") as f:
        json.dump({"x": numbers(x), "y": [numbers(y) for y in ys]}, f, separators=(",", ":"))
        f.write("\n")


def images():
    """As PyTorch writes them: channels first, symmetrical paddings, transposed dense kernels."""
    add, weight, whole, norm, save = net("images", [3, 11, 10])
    x = norm(add("Conv", "x", weight(8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), 8)
    x = add("Relu", x)
    x = add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    short = add("Conv", x, weight(8, 8, 1, 1), weight(8))
    y = add("Conv", x, weight(8, 2, 3, 3), weight(8), pads=[1, 1, 1, 1], group=4)
    y = add("Clip", y, weight(low=0, high=0), weight(low=6, high=6))
    y = add("Conv", y, weight(16, 1, 3, 3), weight(16), pads=[1, 1, 1, 1], group=8)
    y = add("LeakyRelu", y, alpha=0.2)
    y = norm(add("Conv", y, weight(8, 16, 1, 1)), 8)
    z = add("Add", y, short)
    gate = add("Sigmoid", add("Conv", add("GlobalAveragePool", z), weight(8, 8, 1, 1), weight(8)))
    z = add("Mul", z, gate)
    z = add("Mul", z, weight(1, 8, 1, 1))
    both = add("Concat", z, x, axis=1)
    pooled = add("AveragePool", both, kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 0, 0], count_include_pad=1)
    pooled = add("Slice", pooled, whole([1, 0]), whole([13, -1]), whole([1, 3]))
    flat = add("Flatten", pooled)
    h = add("Tanh", add("Gemm", flat, weight(6, 12 * 3 * 2), weight(6), transB=1))
    out = add("Softmax", add("Add", add("MatMul", h, weight(6, 5)), weight(5)), axis=1)
    mean = add("ReduceMean", both, axes=[2, 3], keepdims=0)
    again = add("Gemm", add("Reshape", both, whole([-1, 16 * 9])), weight(16 * 9, 4))
    path = save(out, mean, again, add("Transpose", both, perm=[0, 2, 3, 1]), pooled, flat)
    expect(path, rng.uniform(-1, 1, [2, 3, 11, 10]).astype(np.float32))


def sequences():
    add, weight, whole, norm, save = net("sequences", [4, 12])
    x = add("Conv", "x", weight(6, 4, 3), weight(6), pads=[1, 1])
    x = norm(add("Elu", x), 6)
    x = add("MaxPool", x, kernel_shape=[2], strides=[2])
    y = add("Transpose", x, perm=[0, 2, 1])
    y = add("Add", add("MatMul", y, weight(6, 3)), weight(3))
    z = add("Squeeze", add("GlobalMaxPool", x), whole([2]))
    path = save(y, z, add("Softmax", add("Flatten", add("Unsqueeze", x, whole([1])))))
    expect(path, rng.uniform(-1, 1, [3, 4, 12]).astype(np.float32))


def quantized(name, activations):
    """A network that onnxruntime's own tool quantised, with activations of either sign."""
    add, weight, whole, norm, save = net("float", [2, 8, 8])
    x = add("Relu", add("Conv", "x", weight(4, 2, 3, 3), weight(4), pads=[1, 1, 1, 1]))
    y = add("Relu", add("Conv", x, weight(4, 1, 3, 3), weight(4), pads=[1, 1, 1, 1], group=4))
    z = add("MaxPool", add("Add", x, y), kernel_shape=[2, 2], strides=[2, 2])
    path = save(add("Gemm", add("Flatten", z), weight(5, 64), weight(5), transB=1))

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": rng.uniform(-1, 1, [8, 2, 8, 8]).astype(np.float32)}]

        def get_next(self):
            return self.left.pop() if self.left else None

    result = os.path.join(HERE, f"{name}.onnx")
    quantize_static(path, result, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=activations, weight_type=QuantType.QInt8)
    os.remove(path)
    expect(result, rng.uniform(-1, 1, [2, 2, 8, 8]).astype(np.float32))


images()
sequences()
quantized("u8s8", QuantType.QUInt8)
quantized("s8s8", QuantType.QInt8)
