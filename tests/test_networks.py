"""Layers, DCGAN, U-Net and PatchGAN against NumPy, Keras' layers and TensorFlow's plain operations."""

import numpy as np
import pytest

import gan_core as core
from gan_core import tf
from lab import networks

RNG = np.random.default_rng(0)
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
    kernel = tf.constant([0.0, 0, 0, 0, 1, 2, 0, 0, 0])  # the pixel + 2 x its right neighbour
    kernel = tf.reshape(kernel, (3, 3, 1, 1))
    y = networks.conv(x, kernel, tf.constant([0.5]))[0, ..., 0]
    np.testing.assert_array_equal(y, np.array([[5, 8, 3], [14, 17, 6], [23, 26, 9]]) + 0.5)
    assert networks.conv(x, kernel, tf.constant([0.5]), stride=2).shape == (1, 2, 2, 1)


def upsampled_then_convolved(x, kernel, bias):
    return networks.conv(tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2), kernel, bias)


@pytest.mark.parametrize("height, width", [(7, 7), (2, 2), (3, 5), (1, 1)])
def test_upsampled_conv_is_upsampling_then_convolution(height, width):
    inputs = [images(2, height, width, 5), images(3, 3, 5, 4, seed=1), images(4, seed=2)]
    weights = images(2, 2 * height, 2 * width, 4, seed=3)
    expected = values_and_gradients(upsampled_then_convolved, inputs, weights)
    assert_close(values_and_gradients(networks.upsampled_conv, inputs, weights), expected)


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

    assert_close(slope(networks.upsampled_conv), slope(upsampled_then_convolved))


@pytest.mark.parametrize("layer", [networks.conv, networks.upsampled_conv])
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
    kernel, bias = networks.glorot(np.random.default_rng(0), 3, 3, 40, 30)
    limit = np.sqrt(6 / (9 * (40 + 30)))
    assert np.abs(kernel).max() <= limit and np.std(kernel) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert bias.shape == (30,) and not np.any(bias)
    assert tuple(networks.glorot(np.random.default_rng(0), 5, 2)[0].shape) == (5, 2)


def test_leaky_relu_is_that_of_the_dense_networks():
    x = images(50)
    np.testing.assert_allclose(networks.leaky_relu(x), core.ACTIVATIONS["leaky_relu"](x), rtol=1e-6)


def test_a_layer_begins_at_its_kernel():
    first, second = networks.glorot(RNG, 3, 3, 2, 4), networks.glorot(RNG, 3, 3, 4, 5) + networks.norm_weights(5)
    last = networks.glorot(RNG, 5, 1)
    found = networks.layers(first + second + last)
    assert [[id(w) for w in layer] for layer in found] == [[id(w) for w in layer] for layer in (first, second, last)]


# ---- batch norm

X = 3 + 2 * images(4, 3, 5, 6, seed=5)
SCALE, OFFSET = 1 + 0.3 * images(6, seed=6), images(6, seed=7)


def test_batch_norm_against_numpy_in_float64():
    x = X.numpy().astype(np.float64)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y, moments = networks.batch_norm(X, SCALE, OFFSET)
    np.testing.assert_allclose(y, SCALE * (x - mean) / np.sqrt(variance + 1e-3) + OFFSET, rtol=1e-4, atol=1e-5)
    assert_close(moments, [mean, variance])
    other = [np.full(6, 2.0, np.float32), np.full(6, 9.0, np.float32)]
    y, used = networks.batch_norm(X, SCALE, OFFSET, other)
    np.testing.assert_allclose(y, SCALE * (x - 2) / np.sqrt(9.001) + OFFSET, rtol=1e-4, atol=1e-5)
    assert used[0] is other[0] and used[1] is other[1]


def test_batch_norm_is_keras_layer_in_training_and_inference():
    import keras

    layer = keras.layers.BatchNormalization()
    layer.build(X.shape)
    layer.gamma.assign(SCALE)
    layer.beta.assign(OFFSET)
    statistics = [tf.Variable(tf.zeros(6)), tf.Variable(tf.ones(6))]
    for shift in range(3):
        x = X + shift
        y, moments = networks.batch_norm(x, SCALE, OFFSET)
        core.update_average(statistics, moments, KERAS_MOMENTUM)
        assert_close([y], [layer(x, training=True).numpy()], 1e-4)
    assert_close(statistics, [layer.moving_mean.numpy(), layer.moving_variance.numpy()])
    assert_close([networks.batch_norm(X, SCALE, OFFSET, statistics)[0]], [layer(X, training=False).numpy()], 1e-4)


def test_batch_norm_has_the_gradients_of_the_formula():
    weights = images(*X.shape, seed=8)

    def run(norm):
        with tf.GradientTape() as outer:
            outer.watch([X, SCALE, OFFSET])
            first = values_and_gradients(lambda *inputs: norm(*inputs)[0], [X, SCALE, OFFSET], weights)
            squared = sum(tf.reduce_sum(tf.tanh(g)) for g in first[1:])
        return first + outer.gradient(squared, [X, SCALE])

    assert_close(run(networks.batch_norm), run(plain_norm), 2e-4)


def test_running_statistics_worked_by_hand():
    statistics = [tf.Variable(tf.zeros(1)), tf.Variable(tf.ones(1))]
    x = tf.reshape(tf.constant([1.0, 3, 5, 7]), (2, 1, 2, 1))  # mean 4, biased variance 5
    for _ in range(2):
        core.update_average(statistics, networks.batch_norm(x, [1.0], [0.0])[1], 0.8)
    # mean: 0, .8, 1.44; variance: 1, 1.8, 2.44
    np.testing.assert_allclose([float(s[0]) for s in statistics], [1.44, 2.44], rtol=1e-6)


# ---- dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    bits = np.arange(256, dtype=np.uint8).reshape(2, 128)  # every byte once: 64 of them are below a quarter
    y = networks.dropout(tf.fill((2, 8, 16, 1), 3.0), bits, 0.25).numpy()
    assert (y == 0).sum() == 64 and (y.ravel()[:64] == 0).all() and np.allclose(y[y > 0], 4) and y.mean() == 3
    x = images(2, 4)
    assert networks.dropout(x, None, 0.25) is x
    np.testing.assert_array_equal(networks.dropout(x, np.zeros(8, np.uint8), 0.0), x)


def test_dropout_has_the_two_values_of_keras_layer():
    import keras

    x = images(100, 100)
    ours = networks.dropout(x, np.random.default_rng(0).integers(0, 256, x.shape, np.uint8), 0.25).numpy()
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
        networks.fused_adam_update(fused, [gradient], tf.constant(step), adam)
        core.adam_update(formula, [gradient], tf.constant(step), adam)
        optimizer.apply([gradient], [theirs])
    assert_close([fused.weights[0]], [theirs.numpy()])
    for ours, expected in zip(fused, formula, strict=True):
        assert_close(ours, [expected[0].numpy()])


def test_fused_adam_scales_its_rate():
    gradient, player = images(5, seed=1), core.new_player([tf.Variable(tf.zeros(5))])
    networks.fused_adam_update(player, [gradient], tf.constant(1), core.Adam(0.1), factor=0.25)
    np.testing.assert_allclose(player.weights[0], -0.025 * np.sign(gradient), rtol=1e-4)  # Adam's first step


# ---- DCGAN

D_MAPS, G_MAPS = (32, 64, 128, 256), (128, 128, 64)
SIDES = pytest.mark.parametrize("side, sizes", [(28, [6272, 3136, 2048, 1024]), (8, [512, 256, 128, 256])])


def new_dcgan(side, inputs=6, channels=1, norm=True, seed=0):
    """Weights of D and of G, drawn in this order from one random generator."""
    rng = np.random.default_rng(seed)
    d = networks.dcgan_discriminator_weights(rng, side, channels, D_MAPS, norm)
    return d, networks.dcgan_generator_weights(rng, inputs, side, G_MAPS, channels)


def parameters(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


def test_parameters_are_the_tutorials():
    d, g = new_dcgan(28, inputs=100)
    assert (parameters(g), parameters(d)) == (855_809, 389_761)
    assert parameters(g + networks.dcgan_statistics(g)) == 856_193


@SIDES
def test_shapes_of_both_networks(side, sizes):
    d, g = new_dcgan(side)
    fakes, g_moments = networks.dcgan_generator(tf.random.stateless_normal((3, 6), (0, 0)), g)
    assert fakes.shape == (3, side, side, 1) and np.abs(fakes).max() <= 1
    assert networks.dcgan_mask_sizes(side, D_MAPS) == sizes
    bits = np.zeros((3, sum(sizes)), np.uint8)
    logits = networks.dcgan_discriminator(fakes, d, bits, 0.0)
    assert logits.shape == (3,) and len(g_moments) == 4
    np.testing.assert_allclose(networks.dcgan_discriminator(fakes, d), logits, rtol=1e-5)  # nothing dropped


@pytest.mark.parametrize("channels, norm", [(1, True), (3, True), (11, False)])
def test_dcgan_of_any_number_of_channels_and_inputs(channels, norm):
    d, g = new_dcgan(12, inputs=16, channels=channels, norm=norm)
    fakes, _ = networks.dcgan_generator(images(2, 16), g)
    assert fakes.shape == (2, 12, 12, channels)
    assert networks.dcgan_discriminator(fakes, d).shape == (2,)
    assert (len(networks.layers(d)[0]), len(d)) == (2, 16 if norm else 10)


def test_samples_at_inference_do_not_depend_on_their_batch():
    _, g = new_dcgan(8)
    statistics, z = networks.dcgan_statistics(g), images(5, 6)
    core.update_average(statistics, networks.dcgan_generator(z, g)[1], 0.5)
    fakes, used = networks.dcgan_generator(z, g, statistics)
    np.testing.assert_allclose(networks.dcgan_generator(z[:2], g, statistics)[0], fakes[:2], atol=1e-5)
    assert np.abs(networks.dcgan_generator(z[:2], g)[0] - fakes[:2]).max() > 1e-2  # in training they do
    assert all(a is b for a, b in zip(used, statistics, strict=True))


# Both networks in TensorFlow's plain operations: naive upsampling, batch norm by its formula, masks by hand.


def plain_norm(x, scale, offset):
    mean = tf.reduce_mean(x, (0, 1, 2))  # tf.nn.moments stops a gradient: its second derivatives are wrong
    variance = tf.reduce_mean((x - mean) ** 2, (0, 1, 2))
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3), [mean, variance]


def plain_generator(z, w):
    h, seen = tf.reshape(tf.nn.relu(z @ w[0] + w[1]), (-1, 2, 2, 128)), []
    for k in (2, 6):
        h = tf.nn.conv2d(tf.repeat(tf.repeat(h, 2, 1), 2, 2), w[k], 1, "SAME") + w[k + 1]
        h, moments = plain_norm(h, w[k + 2], w[k + 3])
        h, seen = tf.nn.relu(h), seen + moments
    return tf.tanh(tf.nn.conv2d(h, w[10], 1, "SAME") + w[11]), seen


def plain_discriminator(x, w, bits, norm):
    keep, h, used = tf.cast(bits >= 64, tf.float32) / 0.75, x, 0
    for layer, k in enumerate((0, 2, 6, 10) if norm else (0, 2, 4, 6)):
        h = tf.nn.conv2d(h, w[k], 2, "SAME") + w[k + 1]
        if norm and layer:
            h, _ = plain_norm(h, w[k + 2], w[k + 3])
        h = tf.maximum(h, 0.2 * h)
        size = int(np.prod(h.shape[1:]))
        h = h * tf.reshape(keep[:, used : used + size], h.shape)
        used += size
    return (tf.reshape(h, (len(x), -1)) @ w[-2] + w[-1])[:, 0]


def assert_gradients_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        # a bias before batch norm has gradient 0, of which float32 leaves some 1e-7
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * float(np.abs(b).max()) + 1e-6)


def test_generator_and_its_gradients_are_those_of_plain_operations():
    _, g = new_dcgan(8)
    z, weights = images(8, 6), images(8, 8, 8, 1, seed=1)

    def run(network):
        with tf.GradientTape() as tape:
            fakes, moments = network(z, g)
            loss = tf.reduce_mean(fakes * weights)
        return [fakes, *moments], tape.gradient(loss, g)

    (found, gradients), (expected, expected_gradients) = run(networks.dcgan_generator), run(plain_generator)
    assert_close(found, expected, 1e-4)
    assert_gradients_close(gradients, expected_gradients)


@pytest.mark.parametrize("norm", [True, False])
def test_discriminator_and_gradients_of_its_loss_and_r1_are_those_of_plain_operations(norm):
    """R1's gradient goes twice through batch norm and dropout."""
    d, _ = new_dcgan(8, norm=norm)
    x = images(8, 8, 8, 1)
    bits = np.random.default_rng(1).integers(0, 256, (8, sum(networks.dcgan_mask_sizes(8, D_MAPS))), np.uint8)

    def run(network):
        with tf.GradientTape() as tape:
            with tf.GradientTape() as slope_tape:
                slope_tape.watch(x)
                logits = network(x)
            penalty = tf.reduce_mean(tf.reduce_sum(slope_tape.gradient(logits, x) ** 2, (1, 2, 3)) / 2)
            total = penalty + tf.reduce_mean(tf.math.softplus(logits))
        return [logits, penalty], tape.gradient(total, d)

    found, gradients = run(lambda x: networks.dcgan_discriminator(x, d, bits, 0.25))
    expected, expected_gradients = run(lambda x: plain_discriminator(x, d, bits, norm))
    assert_close(found, expected, 1e-4)
    assert_gradients_close(gradients, expected_gradients)


# ---- U-Net and PatchGAN


@pytest.mark.parametrize(("size", "levels"), [((8, 8, 1), 2), ((28, 28, 1), 2), ((64, 32, 3), 3), ((256, 256, 3), 6)])
def test_unet_keeps_the_size_and_halves_as_often_as_it_can(size, levels):
    assert networks.unet_depth(*size[:2]) == levels
    if size[0] > 64:
        return
    weights = networks.unet_weights(np.random.default_rng(0), size, 4)
    x = tf.random.stateless_uniform((2, *size), (0, 1), -1, 1)
    bits = tf.zeros((2, sum(networks.unet_mask_sizes(size, 4))), tf.uint8)
    y = networks.unet(x, weights, bits, 0.5)
    assert y.shape == x.shape and float(tf.reduce_max(tf.abs(y))) <= 1
    assert float(tf.reduce_max(tf.abs(y - networks.unet(x, weights)))) > 1e-4  # all dropped: another picture


def test_unet_and_patchgan_are_those_of_plain_operations():
    def conv(x, kernel, bias, stride=1):
        return tf.nn.conv2d(x, kernel, stride, "SAME").numpy() + bias

    def twice(x):
        return np.repeat(np.repeat(x, 2, 1), 2, 2)

    def norm(x, scale, offset):
        mean, variance = (moment((1, 2), keepdims=True) for moment in (x.mean, x.var))
        return scale * (x - mean) / np.sqrt(variance + 1e-3) + offset

    def leaky(x):
        return np.maximum(x, 0.2 * x)

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 8, 8, 1)).astype("f")
    weights = networks.unet_weights(rng, (8, 8, 1), 4), networks.patchgan_weights(rng, 1, 4)
    for weight in tf.nest.flatten(weights):
        weight.assign_add(0.3 * rng.standard_normal(weight.shape))
    u, d = ([w.numpy() for w in of_network] for of_network in weights)

    skip = leaky(conv(x, *u[:2], 2))  # 4 x 4 pixels
    h = leaky(norm(conv(skip, *u[2:4], 2), *u[4:6]))  # 2 x 2
    h = np.maximum(norm(conv(twice(h), *u[6:8]), *u[8:10]), 0)
    h = np.tanh(conv(twice(np.concatenate([h, skip], 3)), *u[10:]))
    np.testing.assert_allclose(networks.unet(x, weights[0]), h, rtol=1e-3, atol=1e-4)

    h = leaky(norm(conv(leaky(conv(x, *d[:2], 2)), *d[2:4], 2), *d[4:6]))
    np.testing.assert_allclose(networks.patchgan(x, weights[1]), conv(h, *d[6:]).ravel(), rtol=1e-3, atol=1e-4)


def test_skip_carries_the_input_past_a_closed_bottleneck():
    weights = networks.unet_weights(np.random.default_rng(0), (8, 8, 1), 4)
    x = tf.random.stateless_uniform((2, 8, 8, 1), (0, 1), -1, 1)
    weights[4].assign(tf.zeros_like(weights[4]))  # scale of the inner level's norm: it says the same of every image
    assert float(tf.reduce_max(tf.abs(tf.subtract(*networks.unet(x, weights))))) > 1e-2
    inner = weights[10]  # the last kernel: from the level below, then from the skip
    inner.assign(tf.concat([inner[:, :, :4], tf.zeros_like(inner[:, :, 4:])], axis=2))
    y = networks.unet(x, weights)
    np.testing.assert_allclose(y[0], y[1], atol=1e-6)


def test_dropped_values_are_those_of_the_bits():
    """Bytes of 255 drop nothing at rate 1/2: values double, as with twice the norm's scale and offset."""
    size = (8, 8, 1)
    weights = networks.unet_weights(np.random.default_rng(0), size, 4)
    x = tf.random.stateless_uniform((1, *size), (0, 1), -1, 1)
    bits = tf.fill((1, sum(networks.unet_mask_sizes(size, 4))), tf.constant(255, tf.uint8))
    *_, scale, offset = weights[6:10]
    kept = networks.unet(x, weights, bits, 0.5)
    scale.assign(2 * scale)
    offset.assign(2 * offset)
    np.testing.assert_allclose(kept, networks.unet(x, weights), rtol=1e-5, atol=1e-6)


def test_instance_norm_is_batch_norm_of_one_image():
    x = 3 + 2 * tf.random.stateless_normal((3, 5, 4, 2), (0, 1))
    scale, offset = tf.constant([1.5, 0.5]), tf.constant([-1.0, 2.0])
    normed = networks.instance_norm(x, scale, offset)
    for k in range(3):
        np.testing.assert_allclose(
            normed[k], networks.batch_norm(x[k : k + 1], scale, offset)[0][0], rtol=1e-4, atol=1e-5
        )


def test_patchgan_looks_at_patches_of_22_pixels():
    """A logit's gradient reaches 22 x 22 pixels and no others; instance norm, which sees all, is left out."""
    weights = networks.patchgan_weights(np.random.default_rng(0), 1, 4)
    x = tf.random.stateless_normal((1, 64, 64, 1), (0, 1))
    with pytest.MonkeyPatch.context() as patch, tf.GradientTape() as tape:
        patch.setattr(networks, "instance_norm", lambda x, *norm: x)
        tape.watch(x)
        logits = networks.patchgan(x, weights)
        one = logits[16 * 8 + 8]
    assert logits.shape == (16 * 16,)
    touched = np.argwhere(tape.gradient(one, x).numpy()[0, ..., 0])
    assert (np.ptp(touched, axis=0) + 1 == 22).all()
