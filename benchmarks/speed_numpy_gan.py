"""Time per step of the NumPy GAN on the 8x8 digits beside the same GAN in TensorFlow and PyTorch, in one run.

    python benchmarks/speed_numpy_gan.py                torch is worth installing
    python benchmarks/speed_numpy_gan.py --repeats 5

The same step everywhere: G 32-32-64-64, D 64-64-32-1, Adam, D's step on 32 fakes and 32 real images, then G's on 64
fakes; drawing batches and latents is included. Ours computes in float64 and also measures D's errors; the others
compute in float32.
"""

import numpy as np
from side_by_side import Contender, main, timed

from lab import pictures

LATENT, PIXELS, HALF = 32, 64, 32


def real_images() -> np.ndarray:
    """`[1437, 64]` in [-1, 1]."""
    return pictures.load("digits").train.reshape(-1, PIXELS) / 127.5 - 1


def ours(steps: int) -> float:
    """Training as users run it; its clock stands still while fakes are evaluated."""
    from experiments import numpy_gan

    config = numpy_gan.Config(steps=steps, eval_every=steps)
    numpy_gan.train(config)  # warm-up
    return numpy_gan.train(config).run.records[-1]["train_seconds"] / steps


def tensorflow(steps: int, compiled: bool) -> float:
    import keras
    import tensorflow as tf
    from keras import layers

    g = [layers.Dense(32, "relu"), layers.Dense(64, "relu"), layers.Dense(PIXELS, "tanh")]
    d = [layers.Dense(64, "relu"), layers.Dense(32, "relu"), layers.Dense(1)]
    g, d = keras.Sequential([keras.Input((LATENT,)), *g]), keras.Sequential([keras.Input((PIXELS,)), *d])
    adam_d, adam_g, real = (
        keras.optimizers.Adam(1e-3),
        keras.optimizers.Adam(1e-3),
        tf.constant(real_images(), "float32"),
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    t, ones = tf.repeat([[0.0], [1.0]], HALF, axis=0), tf.ones((2 * HALF, 1))

    def step():
        x = tf.gather(real, tf.random.uniform([HALF], 0, len(real), tf.int32))
        images = tf.concat([g(tf.random.normal((HALF, LATENT))), x], 0)
        with tf.GradientTape() as tape:
            error = loss(t, d(images))
        adam_d.apply(tape.gradient(error, d.trainable_variables), d.trainable_variables)
        z = tf.random.normal((2 * HALF, LATENT))
        with tf.GradientTape() as tape:
            error = loss(ones, d(g(z)))
        adam_g.apply(tape.gradient(error, g.trainable_variables), g.trainable_variables)

    step = tf.function(step) if compiled else step
    return timed(lambda steps: [step() for _ in range(steps)], steps)


def torch_eager(steps: int) -> float:
    import torch
    from torch import nn

    g = nn.Sequential(
        nn.Linear(LATENT, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, PIXELS), nn.Tanh()
    )
    d = nn.Sequential(nn.Linear(PIXELS, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    adam_d, adam_g = torch.optim.Adam(d.parameters()), torch.optim.Adam(g.parameters())
    loss, real = nn.BCEWithLogitsLoss(), torch.tensor(real_images(), dtype=torch.float32)
    t, ones = torch.cat([torch.zeros(HALF, 1), torch.ones(HALF, 1)]), torch.ones(2 * HALF, 1)

    def step():
        x = real[torch.randint(0, len(real), (HALF,))]
        with torch.no_grad():
            fake = g(torch.randn(HALF, LATENT))
        adam_d.zero_grad()
        loss(d(torch.cat([fake, x])), t).backward()
        adam_d.step()
        d.requires_grad_(False)  # G's turn needs no gradients of D's weights
        adam_g.zero_grad()
        loss(d(g(torch.randn(2 * HALF, LATENT))), ones).backward()
        adam_g.step()
        d.requires_grad_(True)

    return timed(lambda steps: [step() for _ in range(steps)], steps)


CONTENDERS = {
    "ours, NumPy by hand": Contender(lambda: ours(4000), "numpy", "digits"),
    "PyTorch eager": Contender(lambda: torch_eager(1000), "torch", "digits"),
    "Keras Adam in tf.function": Contender(lambda: tensorflow(1000, True), "tensorflow", "digits"),
    "Keras, eager": Contender(lambda: tensorflow(100, False), "tensorflow", "digits"),
}


if __name__ == "__main__":
    main(__doc__, __file__, CONTENDERS)
