"""The layers of the Keras/TensorFlow DCGAN tutorial, built with real Keras 3 on its torch backend (own code):
KERAS_BACKEND=torch python keras_real.py OUT.onnx, or as a module: --from keras_real:make"""

import os

os.environ["KERAS_BACKEND"] = "torch"
import sys

import keras
import numpy as np
from keras import layers


def make():
    keras.utils.set_random_seed(0)
    up = lambda c, s, a=None: layers.Conv2DTranspose(
        c,
        5,
        strides=s,
        padding="same",
        use_bias=False,
        activation=a,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.08),
    )
    m = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(7 * 7 * 64, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((7, 7, 64)),
            up(32, 1),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            up(16, 2),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            up(1, 2, "tanh"),
        ]
    )
    for _ in range(20):
        m(np.random.RandomState(0).randn(32, 100).astype("float32"), training=True)
    return m


if __name__ == "__main__":
    make().export(sys.argv[1], format="onnx")
