"""Writes the Keras files of the tests, and inputs and outputs beside them.

    pip install keras torch h5py && KERAS_BACKEND=torch python make.py
"""
import json
import os

os.environ.setdefault("KERAS_BACKEND", "torch")
import h5py
import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(7)


def sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(max_value=6.0),
            layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
            layers.LeakyReLU(negative_slope=0.2),
            layers.SeparableConv2D(6, 3, activation="silu"),
            layers.MaxPooling2D(1),
            layers.BatchNormalization(scale=False),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(5, activation="softmax"),
        ],
        name="cnn",
    )


def functional():
    a = keras.Input((6,), name="a")
    b = keras.Input((6,), name="b")
    shared = layers.Dense(6, activation="tanh", name="shared")
    left, right = shared(a), shared(b)
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, layers.Dense(6, activation="elu")(inner_in), name="inner")
    residual = layers.Add()([inner(left), a])
    both = layers.Concatenate()([residual, right])
    both = layers.LayerNormalization()(both)
    first = layers.Dense(3, activation="softmax", name="first")(both)
    second = layers.Dense(2, name="second")(layers.Activation("sigmoid")(both))
    return keras.Model([a, b], [first, second], name="branched")


def recurrent():
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(9, 4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(4, activation="tanh")),
            layers.GRU(3, return_sequences=True),
            layers.GRU(3, reset_after=False, return_sequences=True, go_backwards=True),
            layers.SimpleRNN(3),
            layers.Dense(2),
        ],
        name="recurrent",
    )


def bidirectional_gru():
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Bidirectional(layers.GRU(2), merge_mode="sum"),
            layers.Dense(2),
        ],
        name="both_ways",
    )


def axes():
    x = keras.Input((4, 3, 2))
    normal = layers.BatchNormalization(axis=1)
    both = layers.Concatenate(axis=-2)([normal(x), layers.Identity()(x)])
    flat = layers.Flatten()(layers.BatchNormalization(axis=-2)(both))
    scores = layers.Dense(3, activation="gelu")(flat)
    return keras.Model(x, {"image": both, "scores": scores}, name="axes")


def unsupported():
    return keras.Sequential(
        [keras.Input((4, 8)), layers.GroupNormalization(2, name="groups"), layers.Flatten()],
        name="unsupported",
    )




rng = np.random.default_rng(3)
for make in [sequential, functional, recurrent, bidirectional_gru, unsupported, axes]:
    model = make()
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        value = rng.normal(0, 0.5, variable.shape)
        if "variance" in variable.path:
            value = np.abs(value) + 0.5
        variable.assign(value.astype("float32"))
    name = make.__name__
    model.save(f"{name}.keras")
    model.save(f"{name}.h5")
    inputs = [
        rng.integers(0, 9, (2, *i.shape[1:])).astype("float32")
        if name == "recurrent"
        else rng.normal(0, 1, (2, *i.shape[1:])).astype("float32")
        for i in model.inputs
    ]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    with open(f"{name}.json", "w") as file:
        json.dump(
            {
                "inputs": [{"shape": i.shape, "data": np.round(i.ravel(), 7).tolist()} for i in inputs],
                "outputs": [[float(f"{v:.8g}") for v in o.detach().cpu().numpy().ravel()] for o in outputs],
            },
            file,
        )
