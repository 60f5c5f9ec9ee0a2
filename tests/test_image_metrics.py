"""Each image metric on its own: identity, symmetry or its absence, a closed form or another implementation, monotone,
unequal sizes, meaning, errors. Ten clouds of features stand for what a digit classifier computes from ten digits. A
random value may differ by 4 standard errors, and its line says of what; seeds are fixed, so that a test that passes
keeps passing.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import sqrtm
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax, xlogy

import metrics
from lab import image_metrics

few = settings(max_examples=40, deadline=None, database=None)
CENTRES = np.random.default_rng(7).normal(0, 6, (10, 8))  # ten modes, about 20 apart, of width 1


def normal(shape, seed=0):
    return np.random.default_rng([seed, 23]).normal(size=shape)


def digits(n, seed=0, classes=10):
    """Labels [n] and features [n, 8] of the first `classes` modes."""
    labels = np.random.default_rng([seed, 29]).integers(0, classes, n)
    return labels, CENTRES[labels] + normal((n, 8), seed)


def between_the_modes(n, seed=0):
    """A blurred generator's features: the mean of two digits, mostly of different classes."""
    return (digits(n, seed)[1] + digits(n, seed + 100)[1]) / 2


def strokes(n, seed=0):
    """Images [n, 12, 12] of a bright bar on black: as MNIST's, most pixels are 0 exactly and the others grey."""
    rng = np.random.default_rng([seed, 31])
    images = np.zeros((n, 12, 12))
    for image, row, left in zip(images, rng.integers(0, 10, n), rng.integers(0, 6, n), strict=True):
        image[row : row + 2, left : left + 6] = rng.integers(100, 256, (2, 6)) / 255
    return images


def blur(images, width):
    return np.clip(uniform_filter(images, (0, width, width)), 0, 1)  # clip: its rounding leaves some at -1e-16


def refused(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "expected" in str(error.value) and "\n" not in str(error.value)


# ---- what every metric of two sets must do


PAIR_METRICS = [
    image_metrics.pixel_kl,
    image_metrics.frechet_digit_distance,
    image_metrics.precision_recall,
    lambda a, b: image_metrics.nearest_neighbours(a, b)[0],
    lambda a, b: image_metrics.parzen_log_likelihood(a, b, 0.2),
]


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_trailing_axes_types_and_read_only_arrays_make_no_difference(metric):
    real, fake = strokes(40), strokes(30, seed=1)
    real.flags.writeable = fake.flags.writeable = False
    plain = metric(real.reshape(40, -1), fake.reshape(30, -1))
    for a, b in [(real, fake), (real[..., None], fake[..., None]), (real.tolist(), fake.tolist())]:
        np.testing.assert_array_equal(metric(a, b), plain)
    np.testing.assert_allclose(metric(real.astype(np.float32), fake.astype(np.float32)), plain, rtol=1e-4)


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_what_is_no_set_of_images_is_refused_by_name(metric):
    x = strokes(20)
    first, second = ("real|samples", "fake|among|test")
    for a, b, name in [
        (x, np.where(x == 0, np.nan, x), f"({second}).*: got NaN or infinite"),
        (np.where(x == 0, np.inf, x), x, f"({first}).*: got NaN or infinite"),
        (x[:0], x, f"({first}).*: got shape"),
        (x, 3.0, f"({second}).*: got shape"),
        ("abc", x, f"({first}).*: got str"),
    ]:
        refused(lambda a=a, b=b: metric(a, b), name)
    if metric is not image_metrics.pixel_kl:  # which compares pixels, of however many an image has
        refused(lambda: metric(x, x[:, :6]), f"({second}).*: got 72 numbers a row, expected 144 as in ({first})")


@pytest.mark.parametrize("metric", PAIR_METRICS[2:])
def test_blocks_of_any_height_give_the_same(metric, monkeypatch):
    real, fake = digits(90)[1], digits(70, seed=1)[1]
    whole = metric(real, fake)
    for numbers in (1, 70 * 13, 90 * 90 - 1):  # one row; several, the last block smaller; all but one
        monkeypatch.setattr(image_metrics, "_BLOCK", numbers)
        for got, expected in zip(metric(real, fake), whole, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10)


# ---- labels


def test_purity_by_hand():
    clusters, classes = [0, 0, 0, 1, 1, 3], [5, 5, 2, 2, 0, 1]  # 2 of 3, 1 of 2, 1 of 1
    assert image_metrics.purity(clusters, classes) == pytest.approx(4 / 6, rel=1e-12)
    assert image_metrics.purity(classes, classes) == 1
    for wrong in (([0], [0, 1]), ([], [])):
        with pytest.raises(ValueError, match="expected"):
            image_metrics.purity(*wrong)


def test_label_kl_by_hand():
    real, fake = [0, 1, 1, 0], [0, 0, 1, 0]  # masses 1/2 1/2; counts 3 1, smoothed (3.5 1.5) / 5
    assert image_metrics.label_kl(real, fake, 2) == pytest.approx(-np.log(4 * 0.7 * 0.3) / 2, rel=1e-12)
    assert image_metrics.label_kl(real, fake, 2, smoothing=0) == pytest.approx(np.log(4 / 3) / 2, rel=1e-12)
    reverse = image_metrics.label_kl(real, fake, 2, smoothing=0, reverse=True)
    assert reverse == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), rel=1e-12)
    assert type(reverse) is float


def test_label_kl_of_equal_distributions_is_zero_and_it_is_not_symmetric():
    labels = digits(500)[0]
    assert image_metrics.label_kl(labels, labels, smoothing=0) == pytest.approx(0, abs=1e-12)
    half = digits(500, classes=5)[0]
    assert image_metrics.label_kl(labels, half) > 2 * image_metrics.label_kl(half, labels)


def test_label_kl_takes_real_frequencies_as_exact():
    real, fake = digits(50)[0], digits(300, seed=1)[0]
    # nothing is added to the real counts, however many images they come from
    assert image_metrics.label_kl(np.tile(real, 100), fake) == pytest.approx(
        image_metrics.label_kl(real, fake), rel=1e-12
    )
    assert image_metrics.label_kl([1, 2], [1, 2, 3], 4) < np.inf
    assert image_metrics.label_kl([1, 2], [1, 2, 3], 4, reverse=True) == np.inf


def test_label_kl_of_a_perfect_sampler_is_its_documented_floor():
    rng, n, runs = np.random.default_rng(1), 10_000, 200
    distribution = np.linspace(0.8, 1.2, 10) / 10
    real = np.repeat(np.arange(10), np.rint(60_000 * distribution).astype(int))
    scores = [image_metrics.label_kl(real, rng.choice(real, n)) for _ in range(runs)]
    floor = metrics.kl_floor(np.bincount(real), n)
    assert np.mean(scores) == pytest.approx(floor.mean, abs=4 * floor.std * np.sqrt(1 / runs + 1 / 1000))
    # 2 n KL is chi-squared with 9 degrees of freedom: mean 9 / 20,000 = .00045, deviation sqrt(18) / 20,000
    assert np.mean(scores) == pytest.approx(0.00045, abs=4 * np.sqrt(18) / 20_000 / np.sqrt(runs))


@pytest.mark.parametrize("reverse", [False, True])
def test_label_kl_rises_with_every_class_that_is_missing(reverse):
    real = np.repeat(np.arange(10), 1000)
    fakes = [np.resize(np.arange(k), 10_080) for k in range(10, 0, -1)]  # 10,080 = 4 x 2520: equal classes
    scores = [image_metrics.label_kl(real, fake, reverse=reverse) for fake in fakes]
    assert np.diff(scores).min() > 0.1  # the smallest one, reverse: ln(10 / 9) = .105, less the smoothing
    if reverse:  # k of 10 equal classes left: ln(10 / k)
        unsmoothed = image_metrics.label_kl(real, real[:1000], smoothing=0, reverse=True)
        assert unsmoothed == pytest.approx(np.log(10), rel=1e-12)


def test_label_kl_errors():
    for real, fake, options, message in [
        ([0, 10], [0, 1], {}, "real_labels: got 0 to 10, expected 0 to 9"),
        ([0, 1], [-1, 1], {}, "fake_labels: got -1 to 1, expected 0 to 9"),
        ([0, 1], [], {}, "fake_labels: got float64 of shape"),
        ([0.5, 1], [0, 1], {}, "real_labels: got float64 of shape"),
        ([0, 1], np.eye(10, dtype=int), {}, r"fake_labels: got int64 of shape \(10, 10\)"),  # one-hot
        ([0, 1], [0, 1], {"classes": 1}, "classes: got 1, expected 2"),
        ([0, 1], [0, 1], {"smoothing": -1}, "smoothing: got -1"),
    ]:
        refused(lambda real=real, fake=fake, options=options: image_metrics.label_kl(real, fake, **options), message)


# ---- pixels


def test_pixel_kl_by_hand():
    real, fake = [[0, 0.2], [0.9, 1]], [[0, 0.2], [0.1, 1]]  # two bins: 2 2 and 3 1, smoothed (.5 .5), (.7 .3)
    assert image_metrics.pixel_kl(real, fake, 2) == pytest.approx(-np.log(4 * 0.7 * 0.3) / 2, rel=1e-12)
    assert image_metrics.pixel_kl(real, fake, 2, smoothing=0) == pytest.approx(np.log(4 / 3) / 2, rel=1e-12)
    reverse = image_metrics.pixel_kl(real, fake, 2, reverse=True)
    assert reverse == pytest.approx(0.7 * np.log(1.4) + 0.3 * np.log(0.6), rel=1e-12)
    assert type(reverse) is float


@pytest.mark.parametrize("bins", [2, 32, 256])
def test_every_grey_level_falls_into_its_bin_in_both_precisions(bins):
    levels = np.arange(256)
    for shift in (-0.49, 0, 0.49):  # a pixel counts as its nearest level, so that nearly black is black
        pixels = np.clip((levels + shift) / 255, 0, 1)
        for precision in (np.float32, np.float64):
            for level in levels:  # at smoothing 0 a single pixel in another bin would be infinite
                one = pixels[level : level + 1].astype(precision)
                assert image_metrics.pixel_kl([level // (256 // bins) * (256 // bins) / 255], one, bins, 0) == 0


def test_pixel_kl_is_that_of_a_histogram_between_the_levels():
    real, fake = np.random.default_rng(2).beta([[[2]], [[3]]], 2, (2, 50, 3000))  # more pixels than one tile holds
    edges = (np.arange(0, 257, 8) - 0.5) / 255
    p, q = (np.histogram(images, edges)[0] + 0.5 for images in (real, fake))
    assert image_metrics.pixel_kl(real, fake) == pytest.approx(stats.entropy(p, q), rel=1e-12)


def test_pixel_kl_identity_order_sizes_and_no_symmetry():
    real, fake = strokes(300), blur(strokes(200, seed=1), 3)
    assert image_metrics.pixel_kl(real, real) == pytest.approx(0, abs=1e-12)
    kl = image_metrics.pixel_kl(real, fake)
    assert image_metrics.pixel_kl(real[::-1, ::-1], np.swapaxes(fake, 1, 2)) == kl
    assert abs(image_metrics.pixel_kl(fake, real) - kl) > 0.1 * kl
    assert image_metrics.pixel_kl(real, real[:150]) < 0.01 * kl


def test_pixel_kl_shows_what_is_wrong_with_the_brightness():
    real = strokes(1000)
    floor = image_metrics.pixel_kl(real, strokes(1000, seed=1))
    fake = strokes(1000, seed=2)
    noise = 0.2 * np.abs(normal(fake.shape))
    for bad in (blur(fake, 3), np.maximum(fake, 0.1), np.clip(fake + noise, 0, 1), fake * 0.7):
        assert image_metrics.pixel_kl(real, bad) > 20 * floor
    nearly_black = np.maximum(fake, (1 + np.tanh(-4)) / 2)
    assert image_metrics.pixel_kl(real, nearly_black) == image_metrics.pixel_kl(real, fake)


def test_pixel_kl_rises_with_blur():
    real, fake = strokes(500), strokes(500, seed=1)
    blurred = [(1 - share) * fake + share * blur(fake, 5) for share in (0, 0.3, 0.6, 1)]
    assert np.diff([image_metrics.pixel_kl(real, images) for images in blurred]).min() > 0


def test_pixel_kl_errors():
    x = strokes(3)
    for real, fake, bins, message in [
        (x, 2 * x - 1, 32, "fake_images: got pixels from -1 to .*, expected 0 to 1"),  # tanh, not rescaled
        (255 * x, x, 32, "real_images: got pixels from 0 to .*, expected 0 to 1"),
        (x, x, 1, "bins: got 1, expected a divisor of 256"),
        (x, x, 40, "bins: got 40, expected a divisor of 256"),
        (x, x, 0, "bins: got 0"),
    ]:
        refused(lambda real=real, fake=fake, bins=bins: image_metrics.pixel_kl(real, fake, bins), message)
    refused(lambda: image_metrics.pixel_kl(x, x, smoothing=-1), "smoothing: got -1")


# ---- how confident the classifier is


def test_confident_share_by_hand():
    probabilities = [[0.95, 0.05, 0], [0.05, 0.05, 0.9], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]]
    assert image_metrics.confident_share(probabilities) == 0.5  # .9 counts
    assert [image_metrics.confident_share(probabilities, x) for x in (0.3, 0.5, 0.95, 0.99)] == [1, 0.75, 0.25, 0]
    assert type(image_metrics.confident_share(probabilities)) is float


def test_confident_share_shows_blur_and_not_collapse():
    def share(features):
        return image_metrics.confident_share(
            softmax(-cdist(features, CENTRES, "sqeuclidean") / 20, axis=1).astype("f4")
        )

    assert share(digits(500)[1]) > 0.95
    assert share(between_the_modes(500)) < 0.6
    assert share(digits(500, classes=1)[1]) > 0.95


def test_confident_share_errors():
    for p, at_least, message in [
        ([[3.0, -1.0]], 0.9, "probabilities: got shape"),  # logits
        ([[0.5, 0.6]], 0.9, "probabilities: .* rows of sum 1"),
        ([[0.5, np.nan]], 0.9, "probabilities: got shape"),
        ([0.5, 0.5], 0.9, r"probabilities: got shape \(2,\)"),
        (np.ones((0, 10)), 0.9, "probabilities: got shape"),
        ([[1.0, 0]], 0, r"at_least: got 0, expected a number in \(0, 1\]"),
        ([[1.0, 0]], 90, "at_least: got 90"),
    ]:
        refused(lambda p=p, at_least=at_least: image_metrics.confident_share(p, at_least), message)


# ---- Frechet distance


def exactly(mean, std, n=40):
    """Features [n, d] whose sample mean and deviations are these and whose sample correlations are 0."""
    x = normal((n, len(mean)), seed=n)
    q = np.linalg.qr(x - x.mean(axis=0))[0]  # [n, d], columns orthonormal and of sum 0
    return q * np.sqrt(n - 1) * std + mean


def test_gaussian_moments_by_hand():
    mean, cov = image_metrics.gaussian_moments([[0, 0], [2, 4]])
    np.testing.assert_allclose(mean, [1, 2])
    np.testing.assert_allclose(cov, [[2, 4], [4, 8]])
    mean, cov = image_metrics.gaussian_moments([1, 2, 6])
    np.testing.assert_allclose((mean, cov[0]), [[3], [7]])
    refused(lambda: image_metrics.gaussian_moments([[1, 2]]), "features: got shape .* n >= 2")


def test_frechet_of_uncorrelated_features_by_hand():
    # sum (m - m')^2 + (s - s')^2 = 9 + 0 + 1, and 1 + 4 + 0
    real, fake = exactly([0, 1, 2], [1, 3, 2]), exactly([3, 1, 1], [2, 1, 2], n=25)
    assert image_metrics.frechet_digit_distance(real, fake) == pytest.approx(15, rel=1e-10)
    assert image_metrics.frechet_digit_distance([0, 2], [5, 13]) == pytest.approx(
        64 + 18, rel=1e-10
    )  # s = 2^1/2, 32^1/2


def test_frechet_is_that_of_scipys_sqrtm():
    real, fake = (normal((n, 6), n) @ normal((6, 6), n + 1) + normal(6, n + 2) for n in (80, 50))
    (m, c), (m2, c2) = (image_metrics.gaussian_moments(x) for x in (real, fake))
    expected = np.sum((m - m2) ** 2) + np.trace(c + c2 - 2 * sqrtm(c @ c2).real)
    assert image_metrics.frechet_digit_distance(real, fake) == pytest.approx(expected, rel=1e-10)


@few
@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_frechet_identity_symmetry_rotation_unit_and_shift(seed, scale):
    real, fake = normal((30, 4), seed), normal((20, 4), seed + 1) @ normal((4, 4), seed + 2)
    distance = image_metrics.frechet_digit_distance(real, fake)
    assert image_metrics.frechet_digit_distance(real, real) == pytest.approx(0, abs=1e-9)
    assert image_metrics.frechet_digit_distance(fake, real) == pytest.approx(distance, rel=1e-9)
    turn = np.linalg.qr(normal((4, 4), seed + 3))[0]
    assert image_metrics.frechet_digit_distance(real @ turn, fake @ turn) == pytest.approx(distance, rel=1e-9)
    assert image_metrics.frechet_digit_distance(scale * real, scale * fake) == pytest.approx(
        scale**2 * distance, rel=1e-9
    )
    shifted = fake - fake.mean(axis=0) + real.mean(axis=0)
    same_mean = image_metrics.frechet_digit_distance(real, shifted)
    assert image_metrics.frechet_digit_distance(real, shifted + [3, 0, 0, 4]) == pytest.approx(
        same_mean + 25, rel=1e-9
    )


def test_frechet_survives_singular_covariances():
    real, fake = normal((9, 3)), 2 * normal((7, 3), seed=1) + 1
    wider = np.linalg.qr(normal((40, 40)))[0][:3]  # 3 dimensions within 40, where sqrtm fails
    # rounding of eigenvalues at 1e-16 of the largest one shows as 1e-8 of its root, in 37 dimensions
    expected = pytest.approx(image_metrics.frechet_digit_distance(real, fake), abs=1e-5)
    assert image_metrics.frechet_digit_distance(real @ wider, fake @ wider) == expected
    assert image_metrics.frechet_digit_distance(real @ wider, real @ wider) == pytest.approx(0, abs=1e-5)
    # a dead unit of the classifier, and a generator of one image: |m - m'|^2 + tr C
    one = np.zeros((5, 3))
    mean, cov = image_metrics.gaussian_moments(real)
    assert image_metrics.frechet_digit_distance(real, one) == pytest.approx(mean @ mean + np.trace(cov), rel=1e-12)


def test_frechet_of_normals():
    n = 20_000  # N(0, I) against N(1, 4 I) in 4 dimensions: 4 x (1 + 1)
    distance = image_metrics.frechet_digit_distance(normal((n, 4)), 1 + 2 * normal((n, 4), seed=1))
    # Standard errors: 2 |m - m'| sqrt((1 + 4) / n) = .063 of the means, 2 x 2 sqrt((1 + 4) / 2n) = .045 of the rest
    assert distance == pytest.approx(8, abs=4 * np.hypot(0.063, 0.045))


def test_frechet_rises_with_noise_and_shows_collapse_and_its_floor_falls_with_n():
    real, fake = digits(2000)[1], digits(2000, seed=1)[1]
    scores = [
        image_metrics.frechet_digit_distance(real, fake + noise * normal((2000, 8), 2)) for noise in (0, 1, 2, 4)
    ]
    assert np.diff(scores).min() > 0
    assert image_metrics.frechet_digit_distance(real, digits(2000, seed=1, classes=1)[1]) > 100 * scores[0]
    assert image_metrics.frechet_digit_distance(real[:200], fake[:200]) > 4 * scores[0]


# ---- nearest neighbours


def test_nearest_neighbours_are_those_of_a_tree():
    samples, among = normal((1000, 5)) + 3, normal((600, 5), seed=1)
    distances, nearest = image_metrics.nearest_neighbours(samples, among)
    expected, indices = cKDTree(among).query(samples)
    np.testing.assert_allclose(distances, expected, rtol=1e-10)
    np.testing.assert_array_equal(nearest, indices)


def test_a_memorised_picture_is_at_distance_zero_exactly():
    among = np.random.default_rng(3).random((300, 28, 28, 1)).astype(np.float32)
    distances, nearest = image_metrics.nearest_neighbours(among[[17, 250]], among)
    np.testing.assert_array_equal(distances, [0, 0])
    np.testing.assert_array_equal(nearest, [17, 250])
    distances, nearest = image_metrics.nearest_neighbours(
        among, among
    )  # rounding is above 0 for some, below for others
    np.testing.assert_array_equal(distances, 0)
    np.testing.assert_array_equal(nearest, np.arange(300))
    changed = among[[17]].copy()
    changed[0, 0, 0] += np.float32(1e-3)  # one pixel, by less than a grey level
    assert image_metrics.nearest_neighbours(changed, among)[0] == pytest.approx(1e-3, rel=1e-3)


# ---- precision and recall


def loops(real, fake, k):
    """Precision as the paper defines it, point by point."""
    radii = [sorted(np.linalg.norm(real - x, axis=1))[k] for x in real]  # [0] is the point itself
    within = [any(np.linalg.norm(x - y) <= r for x, r in zip(real, radii, strict=True)) for y in fake]
    return np.mean(within)


def test_precision_recall_by_hand():
    # k = 1: radii of real 1 1 2, of fake 2 2 7; 2 lies within 1 of 1 and 4 within 2 of 3, but 11 nowhere
    assert image_metrics.precision_recall([0, 1, 3], [2, 4, 11], k=1) == (2 / 3, 1)
    # radii of fake 6 6 6: all real points lie further away
    assert image_metrics.precision_recall([0, 1, 3], [20, 26], k=1) == (0, 0)
    assert image_metrics.precision_recall([0, 1, 3], [10, 20, 30, 4], k=2)[1] == 1  # radius of 4: 16
    assert image_metrics.precision_recall([0, 2, 9], [4, -2.5], k=1) == (1 / 2, 1)  # on the border is within


@pytest.mark.parametrize("k", [1, 3, 8])
def test_precision_recall_is_that_of_plain_loops(k):
    real, fake = digits(120)[1][:, :3], 1.5 * digits(80, seed=1, classes=6)[1][:, :3]
    precision, recall = image_metrics.precision_recall(real, fake, k)
    assert (precision, recall) == (loops(real, fake, k), loops(fake, real, k))
    assert 0 < precision < 1 and 0 < recall < 1 and type(precision) is type(recall) is float
    assert image_metrics.precision_recall(fake, real, k) == (recall, precision)


def test_precision_recall_identity_also_of_repeated_points():
    real = digits(100)[1]
    assert image_metrics.precision_recall(real, real) == (1, 1)
    assert image_metrics.precision_recall(real, np.repeat(real, 5, axis=0)) == (
        1,
        1,
    )  # balls of radius 0 hold their point
    assert image_metrics.precision_recall(np.full((9, 7), 0.1), np.full((5, 7), 0.1)) == (1, 1)
    assert image_metrics.precision_recall(np.full((9, 7), 0.1), np.full((5, 7), 0.1 + 1e-6)) == (0, 0)


def test_precision_recall_rise_with_k():
    real, fake = digits(400)[1], digits(300, seed=1)[1]
    scores = np.array([image_metrics.precision_recall(real, fake, k) for k in (1, 2, 3, 5, 10)])
    assert (np.diff(scores, axis=0) > 0).all()


def test_precision_shows_blur_and_recall_shows_missing_modes():
    n = 1000
    real, fake = digits(n)[1], digits(n, seed=1)[1]
    precision, recall = image_metrics.precision_recall(real, fake)
    assert min(precision, recall) > 0.8  # the ceiling: in 8 dimensions a perfect sampler misses some balls
    assert precision == pytest.approx(
        recall, abs=4 * np.sqrt(2 * 0.2 * 0.8 / n)
    )  # two shares of n, for a perfect one
    for classes in (1, 5):
        collapsed_precision, collapsed_recall = image_metrics.precision_recall(real, digits(n, 2, classes)[1])
        assert collapsed_precision > 0.8
        # recall is at most the share of real digits in these classes
        assert collapsed_recall == pytest.approx(classes / 10, abs=0.2 * classes / 10 + 4 * np.sqrt(0.25 / n))
    assert image_metrics.precision_recall(real, between_the_modes(n, 2))[0] < 0.3
    assert image_metrics.precision_recall(real, fake + 3 * normal((n, 8), 3))[0] < 0.3
    assert image_metrics.precision_recall(real[:300], fake)[1] > 0.8  # unequal sizes


def test_precision_recall_errors():
    x = normal((5, 2))
    for real, fake, k in [(x, x[:3], 3), (x[:3], x, 3), (x, x, 0)]:
        most = min(len(real), len(fake)) - 1
        refused(
            lambda a=real, b=fake, k=k: image_metrics.precision_recall(a, b, k), f"k: got {k}, expected 1 to {most}"
        )
    refused(lambda: image_metrics.precision_recall(x, x[:1]), "fake_features: got shape .* n >= 2")


# ---- Parzen windows


def test_parzen_by_hand():
    # one sample, 2 dimensions: -|x|^2 / 2 sigma^2 - ln 2 pi sigma^2
    scores = image_metrics.parzen_log_likelihood([[0, 0]], [[0, 0], [3, 4]], 1)
    np.testing.assert_allclose(scores, [-np.log(2 * np.pi), -12.5 - np.log(2 * np.pi)], rtol=1e-12)
    scores = image_metrics.parzen_log_likelihood([[0, 0]], [[3, 4]], 0.5)
    np.testing.assert_allclose(scores, -50 - np.log(np.pi / 2), rtol=1e-12)
    # two samples at one place are one sample, and one of them far away leaves half
    assert image_metrics.parzen_log_likelihood([0, 0], [0], 1) == pytest.approx(-np.log(2 * np.pi) / 2, rel=1e-12)
    assert image_metrics.parzen_log_likelihood([0, 99], [0], 1) == pytest.approx(-np.log(8 * np.pi) / 2, rel=1e-12)


def test_parzen_is_that_of_logsumexp_for_every_sigma_at_once():
    samples, test, sigmas = strokes(60), strokes(40, seed=1), np.array([0.05, 0.2, 1])
    scores = image_metrics.parzen_log_likelihood(samples, test, sigmas)
    assert scores.shape == (3, 40)
    squares = cdist(test.reshape(40, -1), samples.reshape(60, -1), "sqeuclidean")
    for row, sigma in zip(scores, sigmas, strict=True):
        expected = logsumexp(-squares / (2 * sigma**2), axis=1) - np.log(60) - 72 * np.log(2 * np.pi * sigma**2)
        np.testing.assert_allclose(row, expected, rtol=1e-10)
        np.testing.assert_array_equal(image_metrics.parzen_log_likelihood(samples, test, sigma), row)


def test_parzen_is_scipys_kernel_density_in_one_dimension():
    samples, test = normal(200), np.linspace(-30, 30, 50)
    expected = stats.gaussian_kde(samples, 0.4 / samples.std(ddof=1)).logpdf(test)
    np.testing.assert_allclose(image_metrics.parzen_log_likelihood(samples, test, 0.4), expected, rtol=1e-10)


def test_parzen_of_a_normal_and_far_away():
    n, sigma = 20_000, 0.5  # the smoothed distribution is N(0, 1 + sigma^2)
    score = image_metrics.parzen_log_likelihood(normal(n), [0.0], sigma)
    # Kernels at 0 have mean .357 and deviation .291: a relative standard error of .82 / sqrt(n) of their mean
    assert score == pytest.approx(stats.norm(0, np.sqrt(1.25)).logpdf(0), abs=4 * 0.82 / np.sqrt(n))
    far = image_metrics.parzen_log_likelihood(np.zeros((3, 784)), np.ones((1, 784)), 0.01)  # where exp underflows
    assert far == pytest.approx(-784 / 0.0002 - 392 * np.log(2 * np.pi * 0.0001), rel=1e-12)


def test_parzen_window_chooses_sigma_on_validation_and_scores_test():
    samples, validation, test = normal((300, 2)), 3 * normal((200, 2), seed=1), normal((250, 2), seed=2)
    result = image_metrics.parzen_window(samples, validation, test)
    grid = np.logspace(-1, 0, 10)
    assert list(image_metrics.PARZEN_SIGMAS) == grid.tolist()
    on_validation = [image_metrics.parzen_log_likelihood(samples, validation, sigma).mean() for sigma in grid]
    on_test = [image_metrics.parzen_log_likelihood(samples, test, sigma).mean() for sigma in grid]
    assert result.sigma == grid[np.argmax(on_validation)] != grid[np.argmax(on_test)]
    scores = image_metrics.parzen_log_likelihood(samples, test, result.sigma)
    assert result.mean == pytest.approx(scores.mean(), rel=1e-12)
    assert result.standard_error == pytest.approx(stats.sem(scores), rel=1e-12)
    assert all(type(value) is float for value in result)
    assert image_metrics.parzen_window(samples, validation, test, 0.3).sigma == 0.3


def test_parzen_window_rises_with_real_samples_and_shows_collapse_and_noise():
    validation, test = digits(200, 1)[1], digits(500, 2)[1]
    scores = [image_metrics.parzen_window(digits(n)[1], validation, test).mean for n in (50, 200, 1000, 4000)]
    assert np.diff(scores).min() > 0
    bad = digits(4000, classes=1)[1], digits(4000)[1] + 3 * normal((4000, 8), 3), between_the_modes(4000)
    assert max(image_metrics.parzen_window(samples, validation, test).mean for samples in bad) < scores[0]


def test_parzen_errors():
    x = normal((5, 2))
    for sigma in (0, -1, np.nan, np.inf, [0.1, 0], [], [[0.1]]):
        refused(lambda sigma=sigma: image_metrics.parzen_log_likelihood(x, x, sigma), "sigma: got")
    refused(lambda: image_metrics.parzen_window(x, x, x[:1]), "test: got shape .* n >= 2")
    refused(lambda: image_metrics.parzen_window(x, x[:0], x), "test: got shape")
    refused(lambda: image_metrics.parzen_window(x, x, x, [0.0]), "sigma: got")


# ---- tuples of labels


def test_tuples_worked_by_hand():
    """(0, 1) twice, (1, 0) and (2, 2) once, of 9: p = (1/2, 1/4, 1/4), KL = 1/2 ln(9/2) + 1/2 ln(9/4)."""
    counts = image_metrics.tuple_counts([[0, 1], [2, 2], [0, 1], [1, 0]], classes=3)
    assert counts.tolist() == [0, 2, 0, 1, 0, 0, 0, 0, 1]
    assert metrics.uniform_kl(counts) == pytest.approx(0.5 * np.log(9 / 2) + 0.5 * np.log(9 / 4))
    assert image_metrics.tuple_counts([[1, 2, 3]]).argmax() == 123  # hundreds, tens, ones
    assert image_metrics.tuple_counts(np.array([[9, 9, 9]], np.uint8)).argmax() == 999  # no overflow


def test_drawn_triples_score_the_floor_of_a_perfect_sampler():
    """Its mean is exact: each mode is counted as often as a binomial number says."""
    share = np.arange(26_001) / 26_000
    exact = 1000 * stats.binom.pmf(np.arange(26_001), 26_000, 1 / 1000) @ xlogy(share, 1000 * share)  # .0194
    found = [
        metrics.uniform_kl(image_metrics.tuple_counts(np.random.default_rng(k).integers(10, size=(26_000, 3))))
        for k in range(20)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=5 * 0.0009 / 20**0.5)  # .0009: of a single one


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([0, 1],), "labels: got shape"),
        (([[0, 10]],), "0 to 10, expected 0 to 9"),
        (([[0.5, 1]],), "whole numbers"),
        (([[0, 0]], 1), "classes: got 1"),
    ],
)
def test_bad_tuples_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        image_metrics.tuple_counts(*arguments)


def test_mean_error_is_that_of_each_pixel():
    assert image_metrics.mean_error(np.array([[0.0, 1.0]]), np.array([[0.5, 0.0]])) == 0.75
