"""Layers by hand against NumPy, Keras' layers and TensorFlow's plain operations."""

import numpy as np
import pytest

import gan_conv as conv
import gan_core as core
from gan_core import tf

KERAS_MOMENTUM = 0.99


def images(*shape, seed=0, dtype=np.float32):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def values_and_gradients(function, inputs, weights):
    """function(*inputs) and the gradients of its sum, weighted, with respect to each input."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = function(*inputs)
    return [y, *tape.gradient(y, inputs, output_gradients=weights)]


def assert_close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.abs(b).max()))


# ---- convolutions


def test_convolution_worked_by_hand():
    x = tf.reshape(tf.range(1.0, 10.0), (1, 3, 3, 1))
    kernel = tf.reshape(
        tf.constant([0.0, 0, 0, 0, 1, 2, 0, 0, 0]), (3, 3, 1, 1)
    )  # the pixel + 2 x its right neighbour
    y = conv.conv(x, kernel, tf.constant([0.5]))[0, ..., 0]
    np.testing.assert_array_equal(y, np.array([[5, 8, 3], [14, 17, 6], [23, 26, 9]]) + 0.5)
    assert conv.conv(x, kernel, tf.constant([0.5]), stride=2).shape == (1, 2, 2, 1)


def upsampled_then_convolved(x, kernel, bias):
    return conv.conv(tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2), kernel, bias)


@pytest.mark.parametrize("height, width", [(7, 7), (2, 2), (3, 5), (1, 1)])
def test_upsampled_conv_is_upsampling_then_convolution(height, width):
    inputs = [images(2, height, width, 5), images(3, 3, 5, 4, seed=1), images(4, seed=2)]
    weights = images(2, 2 * height, 2 * width, 4, seed=3)
    expected = values_and_gradients(upsampled_then_convolved, inputs, weights)
    assert_close(values_and_gradients(conv.upsampled_conv, inputs, weights), expected)


def test_upsampled_conv_has_second_derivatives():
    inputs = [images(2, 3, 3, 2), images(3, 3, 2, 2, seed=1), images(2, seed=2)]

    def slope(function):  # d of the squared gradient with respect to x, as in a gradient penalty
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs[0])
                y = tf.reduce_sum(tf.tanh(function(*inputs)))
            squared = tf.reduce_sum(inner.gradient(y, inputs[0]) ** 2)
        return outer.gradient(squared, inputs)

    assert_close(slope(conv.upsampled_conv), slope(upsampled_then_convolved))


@pytest.mark.parametrize("layer", [conv.conv, conv.upsampled_conv])
def test_gradients_agree_with_central_differences(layer):
    inputs = [images(1, 3, 3, 2), images(3, 3, 2, 2, seed=1), images(2, seed=2)]

    def value(*inputs):
        return tf.reduce_sum(tf.tanh(layer(*inputs)))

    for i, gradient in enumerate(values_and_gradients(value, inputs, tf.ones([]))[1:]):
        direction = images(*inputs[i].shape, seed=4)
        ends = [value(*inputs[:i], inputs[i] + h * direction, *inputs[i + 1 :]) for h in (1e-2, -1e-2)]
        numeric = float(ends[0] - ends[1]) / 2e-2  # float32: rounding 1e-5 / 2e-2, curvature 1e-4
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(numeric, abs=5e-3, rel=5e-3)


def test_glorot_is_keras_default():
    kernel, bias = conv.glorot(np.random.default_rng(0), 3, 3, 40, 30)
    limit = np.sqrt(6 / (9 * (40 + 30)))
    assert np.abs(kernel).max() <= limit and np.std(kernel) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert bias.shape == (30,) and not np.any(bias)
    assert tuple(conv.glorot(np.random.default_rng(0), 5, 2)[0].shape) == (5, 2)


def test_leaky_relu_is_that_of_the_dense_networks():
    x = images(50)
    np.testing.assert_allclose(conv.leaky_relu(x), core.ACTIVATIONS["leaky_relu"](x), rtol=1e-6)


def test_groups_of_a_flat_list():
    assert conv.groups([1, 2, 3, 4, 5], 2, 3) == [[1, 2], [3, 4, 5]]


# ---- batch norm

NORMS = pytest.mark.parametrize("norm", [conv.batch_norm, conv.fused_batch_norm])
X = 3 + 2 * images(4, 3, 5, 6, seed=5)
SCALE, OFFSET = 1 + 0.3 * images(6, seed=6), images(6, seed=7)


@NORMS
def test_batch_norm_against_numpy_in_float64(norm):
    x = X.numpy().astype(np.float64)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y, moments = norm(X, SCALE, OFFSET)
    np.testing.assert_allclose(y, SCALE * (x - mean) / np.sqrt(variance + 1e-3) + OFFSET, rtol=1e-4, atol=1e-5)
    assert_close(moments, [mean, variance])
    other = [np.full(6, 2.0, np.float32), np.full(6, 9.0, np.float32)]
    y, used = norm(X, SCALE, OFFSET, other)
    np.testing.assert_allclose(y, SCALE * (x - 2) / np.sqrt(9.001) + OFFSET, rtol=1e-4, atol=1e-5)
    assert used[0] is other[0] and used[1] is other[1]


@NORMS
def test_batch_norm_is_keras_layer_in_training_and_inference(norm):
    import keras

    layer = keras.layers.BatchNormalization()
    layer.build(X.shape)
    layer.gamma.assign(SCALE)
    layer.beta.assign(OFFSET)
    statistics = conv.new_statistics(6)
    for shift in range(3):
        x = X + shift
        y, moments = norm(x, SCALE, OFFSET)
        conv.update_statistics(statistics, moments, KERAS_MOMENTUM)
        assert_close([y], [layer(x, training=True).numpy()], 1e-4)
    assert_close(statistics, [layer.moving_mean.numpy(), layer.moving_variance.numpy()])
    assert_close([norm(X, SCALE, OFFSET, statistics)[0]], [layer(X, training=False).numpy()], 1e-4)


def test_fused_batch_norm_has_the_gradients_of_the_formula():
    weights = images(*X.shape, seed=8)

    def run(norm):
        with tf.GradientTape() as outer:
            outer.watch([X, SCALE, OFFSET])
            first = values_and_gradients(lambda *inputs: norm(*inputs)[0], [X, SCALE, OFFSET], weights)
            squared = sum(tf.reduce_sum(tf.tanh(g)) for g in first[1:])
        return first + outer.gradient(squared, [X, SCALE])

    assert_close(run(conv.fused_batch_norm), run(conv.batch_norm), 2e-4)


def test_running_statistics_worked_by_hand():
    statistics = conv.new_statistics(1)
    x = tf.reshape(tf.constant([1.0, 3, 5, 7]), (2, 1, 2, 1))  # mean 4, biased variance 5
    for norm in (conv.batch_norm, conv.fused_batch_norm):
        conv.update_statistics(statistics, norm(x, [1.0], [0.0])[1], 0.8)
    # mean: 0, .8, 1.44; variance: 1, 1.8, 2.44
    np.testing.assert_allclose([float(s[0]) for s in statistics], [1.44, 2.44], rtol=1e-6)


# ---- dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    bits = np.arange(256, dtype=np.uint8).reshape(2, 128)  # every byte once: 64 of them are below a quarter
    y = conv.dropout(tf.fill((2, 8, 16, 1), 3.0), bits, 0.25).numpy()
    assert (y == 0).sum() == 64 and (y.ravel()[:64] == 0).all() and np.allclose(y[y > 0], 4) and y.mean() == 3
    x = images(2, 4)
    assert conv.dropout(x, None, 0.25) is x
    np.testing.assert_array_equal(conv.dropout(x, np.zeros(8, np.uint8), 0.0), x)


def test_dropout_has_the_two_values_of_keras_layer():
    import keras

    x = images(100, 100)
    ours = conv.dropout(x, np.random.default_rng(0).integers(0, 256, x.shape, np.uint8), 0.25).numpy()
    keras_y = keras.layers.Dropout(0.25, seed=0)(x, training=True).numpy()
    for y in (ours, keras_y):
        np.testing.assert_allclose(y[y != 0], (x / 0.75)[y != 0], rtol=1e-6)
        assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)  # standard error .0043


# ---- Adam


def test_fused_adam_is_keras_adam_and_the_formula():
    import keras

    start, gradients = images(7, 3), [1e-3 * images(7, 3, seed=10 + k) for k in range(5)]
    adam = core.Adam(1e-2, 0.5, 0.99)
    fused, formula = (core.new_player([tf.Variable(start)]) for _ in range(2))
    theirs, optimizer = tf.Variable(start), keras.optimizers.Adam(1e-2, 0.5, 0.99)
    optimizer.build([theirs])
    for step, gradient in enumerate(gradients, start=1):
        conv.fused_adam_update(fused, [gradient], tf.constant(step), adam)
        core.adam_update(formula, [gradient], tf.constant(step), adam)
        optimizer.apply([gradient], [theirs])
    assert_close([fused.weights[0]], [theirs.numpy()])
    for ours, expected in zip(fused, formula, strict=True):
        assert_close(ours, [expected[0].numpy()])


def test_fused_adam_scales_its_rate():
    gradient, player = images(5, seed=1), core.new_player([tf.Variable(tf.zeros(5))])
    conv.fused_adam_update(player, [gradient], tf.constant(1), core.Adam(0.1), factor=0.25)
    np.testing.assert_allclose(player.weights[0], -0.025 * np.sign(gradient), rtol=1e-4)  # Adam's first step
