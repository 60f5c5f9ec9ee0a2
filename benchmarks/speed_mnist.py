"""Time per step of the MNIST GANs beside Keras and PyTorch as tutorials use them, in one run.

    MNIST_NPZ=mnist.npz python benchmarks/speed_mnist.py             torch is worth installing
    MNIST_NPZ=mnist.npz python benchmarks/speed_mnist.py --repeats 5

The same networks, batch (300 dense, 32 DCGAN) and Adam everywhere, those of `mnist_mlp.py --recipe dnn` and of
`mnist_dcgan.py --recipe classic`; one update of D on real and fake images and one of G per step, batches drawn from
all 60,000 images. Keras is driven by `train_on_batch`, PyTorch by its eager loop, as tutorials do; tutorials with
Keras update D twice a step, once on real images and once on fakes, which `predict` makes in inference mode. Ours
computes the DCGAN's upsampling convolutions with 4/9 of the products (`upsampled_conv` in lab/networks.py), the
others as they are written. With `--only`, our contenders also print by how much their memory grows over as many steps
again. They need the digit classifier, which is trained before the first measurement if it is not kept yet; that takes
a minute or two.
"""

from dataclasses import replace

import numpy as np
import psutil
from side_by_side import Contender, main, timed

from lab import pictures, runs

BATCHES, LATENT = {"dense": 300, "dcgan": 32}, 100


class InThirds(runs.Run):
    """A run in memory that plays its only period in thirds: one to warm up, one to be timed, one to watch memory.

    Nothing is evaluated between them. The second thread draws ahead from one third into the next, so that in each of
    them as many batches are drawn as are played.
    """

    def play(self, loop, games, batches, period):
        if not period.count:  # before training
            return super().play(loop, games, batches, period)
        self.seconds, self.megabytes = [], []  # training time and memory after each third
        for third in period.chunks(period.count // 3):
            losses = super().play(loop, games, batches, third)
            self.seconds.append(self.train_seconds)
            self.megabytes.append(psutil.Process().memory_info().rss / 1e6)
        return losses


def ours(kind: str, steps: int, **settings: str) -> float:
    """This project's loop with its drawing thread, without compilation and evaluation."""
    from experiments import mnist_dcgan, mnist_mlp

    script, recipe = {"dense": (mnist_mlp, mnist_mlp.DNN), "dcgan": (mnist_dcgan, mnist_dcgan.CLASSIC)}[kind]
    run, three = InThirds(), 3 * steps
    script.train(
        replace(recipe, batch=BATCHES[kind], steps=three, eval_every=three, log_samples=100, **settings), run
    )
    _, before, after = run.megabytes
    print(f"memory {after:.0f} MB, {after - before:+.0f} MB over the last {steps} steps")
    return (run.seconds[1] - run.seconds[0]) / steps


def real_images() -> np.ndarray:
    """`[60000, 28, 28]` float32 in [-1, 1]."""
    return pictures.load(None).train.astype(np.float32) / 127.5 - 1


def keras_train_on_batch(kind: str, steps: int) -> float:
    import keras
    from keras import layers

    def leaky(slope):
        return layers.LeakyReLU(negative_slope=slope)

    def up(channels):
        convolution = layers.Conv2D(channels, 3, padding="same")
        return [layers.UpSampling2D(), convolution, layers.BatchNormalization(), layers.Activation("relu")]

    if kind == "dense":
        hidden = [layers.Dense(128), leaky(0.01), layers.Dense(128), leaky(0.01)]
        g = [*hidden, layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))]
        d = [layers.Flatten(), layers.Dense(128), leaky(0.01)]
    else:
        g = [layers.Dense(7 * 7 * 128, activation="relu"), layers.Reshape((7, 7, 128)), *up(128), *up(64)]
        g += [layers.Conv2D(1, 3, padding="same", activation="tanh")]
        d = []
        for channels in (32, 64, 128, 256):
            d += [layers.Conv2D(channels, 3, strides=2, padding="same")]
            d += [layers.BatchNormalization()] if channels > 32 else []
            d += [leaky(0.2), layers.Dropout(0.25)]
        d += [layers.Flatten()]
    g = keras.Sequential([keras.Input((LATENT,)), *g])
    d = keras.Sequential([keras.Input((28, 28, 1)), *d, layers.Dense(1, activation="sigmoid")])
    d.compile(loss="binary_crossentropy", optimizer="adam")
    z = keras.Input((LATENT,))
    d.trainable = False
    both = keras.Model(z, d(g(z)))
    both.compile(loss="binary_crossentropy", optimizer="adam")
    batch, real = BATCHES[kind], real_images()[..., None]
    ones, zeros = np.ones((batch, 1)), np.zeros((batch, 1))
    both.train_on_batch(np.zeros((batch, LATENT)), ones)  # Keras 3 asks only in its first step what is trainable
    d.trainable = True

    def step():
        d.train_on_batch(real[np.random.randint(0, len(real), batch)], ones)
        z = np.random.normal(size=(batch, LATENT))
        d.train_on_batch(g.predict(z, verbose=0), zeros)
        both.train_on_batch(z, ones)

    return timed(lambda steps: [step() for _ in range(steps)], steps)


def torch_eager(kind: str, steps: int) -> float:
    import torch
    from torch import nn

    if kind == "dense":
        g = [nn.Linear(LATENT, 128), nn.LeakyReLU(), nn.Linear(128, 128), nn.LeakyReLU(), nn.Linear(128, 784)]
        g += [nn.Tanh(), nn.Unflatten(1, (1, 28, 28))]
        d = [nn.Flatten(), nn.Linear(784, 128), nn.LeakyReLU(), nn.Linear(128, 1)]
    else:
        g = [nn.Linear(LATENT, 128 * 49), nn.ReLU(), nn.Unflatten(1, (128, 7, 7))]
        for inputs, outputs in ((128, 128), (128, 64)):
            g += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1)]
            g += [nn.BatchNorm2d(outputs), nn.ReLU()]
        g += [nn.Conv2d(64, 1, 3, padding=1), nn.Tanh()]
        d, inputs = [], 1
        for channels in (32, 64, 128, 256):
            d += [nn.Conv2d(inputs, channels, 3, 2, 1)]
            d += [nn.BatchNorm2d(channels)] if channels > 32 else []
            d += [nn.LeakyReLU(0.2), nn.Dropout(0.25)]
            inputs = channels
        d += [nn.Flatten(), nn.Linear(1024, 1)]
    g, d = nn.Sequential(*g), nn.Sequential(*d)
    adam_d, adam_g = torch.optim.Adam(d.parameters()), torch.optim.Adam(g.parameters())
    loss, batch, real = nn.BCEWithLogitsLoss(), BATCHES[kind], torch.tensor(real_images()[:, None])
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step():
        x, z = real[torch.randint(0, len(real), (batch,))], torch.randn(batch, LATENT)
        fake = g(z)
        adam_d.zero_grad()
        (loss(d(x), ones) + loss(d(fake.detach()), zeros)).backward()
        adam_d.step()
        d.requires_grad_(False)  # G's turn needs no gradients of D's weights
        adam_g.zero_grad()
        loss(d(fake), ones).backward()
        adam_g.step()
        d.requires_grad_(True)

    return timed(lambda steps: [step() for _ in range(steps)], steps)


CONTENDERS = {
    "ours, dense": Contender(lambda: ours("dense", 1000), "tensorflow", "dense"),
    "Keras train_on_batch, dense": Contender(lambda: keras_train_on_batch("dense", 60), "tensorflow", "dense"),
    "PyTorch eager, dense": Contender(lambda: torch_eager("dense", 300), "torch", "dense"),
    "ours, DCGAN": Contender(lambda: ours("dcgan", 100), "tensorflow", "dcgan"),
    "ours in bfloat16, DCGAN": Contender(lambda: ours("dcgan", 100, precision="bfloat16"), "tensorflow", "dcgan"),
    "Keras train_on_batch, DCGAN": Contender(lambda: keras_train_on_batch("dcgan", 40), "tensorflow", "dcgan"),
    "PyTorch eager, DCGAN": Contender(lambda: torch_eager("dcgan", 60), "torch", "dcgan"),
}


if __name__ == "__main__":
    main(__doc__, __file__, CONTENDERS)
