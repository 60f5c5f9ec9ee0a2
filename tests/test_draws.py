"""Random numbers are functions of (seed, stream, step); minibatches cover the data."""

import threading

import numpy as np
import pytest
from scipy import stats

from lab import draws


def test_streams_and_random_numbers_are_those_of_published_runs():
    streams = draws.REAL, draws.WEIGHTS, draws.ORDER, draws.LATENT, draws.MIX, draws.EVALUATION, draws.SPLIT
    assert (*streams, draws.SHIFT, draws.DROPOUT, draws.STACK, draws.JITTER) == tuple(range(11))
    assert draws.random_bits(1, draws.LATENT, 5, 1, 4).tolist() == [[1876, 48783, 34040, 18472]]
    assert draws.minibatch_indices(10, 1, 3, 1, 4).tolist() == [[0, 5, 8, 6]]
    assert draws.generator(1, draws.WEIGHTS).integers(100, size=4).tolist() == [21, 7, 28, 98]


def test_random_bits_of_a_step_do_not_depend_on_where_the_chunk_starts():
    whole = draws.random_bits(3, draws.LATENT, 0, 20, 37)
    parts = [draws.random_bits(3, draws.LATENT, first, 5, 37) for first in (0, 5, 10, 15)]
    assert (whole == np.concatenate(parts)).all()


def test_seeds_and_streams_are_independent():
    rows = [
        draws.random_bits(seed, stream, 0, 1, 4000)[0] for seed in (0, 1) for stream in (draws.ORDER, draws.LATENT)
    ]
    correlations = np.corrcoef(rows)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(4000)  # 4 standard errors


def test_random_bits_are_uniform():
    counts = np.bincount(draws.random_bits(0, draws.LATENT, 0, 16, 65536).ravel() >> 8, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_bits_for_seeds_stack_what_each_seed_draws_alone():
    stack = draws.bits_for_seeds([4, 5], draws.LATENT, 7, 3, (2, 10))
    assert stack.shape == (3, 2, 2, 10)
    assert (stack[:, 1] == draws.random_bits(5, draws.LATENT, 7, 3, 20).reshape(3, 2, 10)).all()


def test_latents_of_the_evaluation_have_a_stream_of_their_own_and_each_step_has_others():
    bits = draws.latent_bits(3, n=5, latent_dim=6, step=2)
    assert (bits == draws.random_bits(3, draws.EVALUATION, 10, 5, 6)).all()  # after the 10 of the steps 0 and 1


def test_minibatches_show_every_sample_each_epoch_in_a_new_order():
    rows = np.tile(np.arange(1000.0), (2, 1))
    batches = draws.minibatches(rows[:, None], [0, 1], 0, 8, 300)  # two epochs of four steps
    assert batches.shape == (8, 2, 1, 300)
    for epoch in (batches[:4], batches[4:]):
        for k in range(2):
            values, counts = np.unique(epoch[:, k], return_counts=True)
            assert (values == rows[k]).all()
            assert (counts == 2).sum() == 200 and counts.max() == 2  # the last 100 are filled up with the first 200
    assert not (batches[:4, 0] == batches[4:, 0]).all() and not (batches[:, 0] == batches[:, 1]).all()


def test_minibatches_do_not_depend_on_where_the_chunk_starts():
    rows = np.arange(2000.0).reshape(2, 1, 1000)
    whole = draws.minibatches(rows, [0, 1], 0, 12, 300)
    parts = [draws.minibatches(rows, [0, 1], first, count, 300) for first, count in ((0, 3), (3, 6), (9, 3))]
    assert (whole == np.concatenate(parts)).all()


def test_minibatch_indices_are_the_order_of_minibatches():
    rows = np.arange(1000.0)[None, None]
    assert (draws.minibatches(rows, [3], 5, 4, 300)[:, 0, 0] == draws.minibatch_indices(1000, 3, 5, 4, 300)).all()


def test_batch_larger_than_the_data_repeats_it():
    batches = draws.minibatches(np.arange(10.0)[None, None], [0], 0, 2, 25)
    assert batches.shape == (2, 1, 1, 25) and len(np.unique(batches[0])) == 10


def test_prefetched_keeps_the_order_and_passes_errors_on():
    batches = draws.prefetched(lambda i: [i * i] * (i % 3), range(7))  # none, one or two batches a period
    assert list(batches) == [1, 4, 4, 16, 25, 25]
    with pytest.raises(ZeroDivisionError):
        list(draws.prefetched(lambda i: [1 / i], [1, 0]))


def test_prefetched_starts_at_once_and_draws_no_more_than_it_was_told_to():
    drawn = []

    def draw(i):
        drawn.append(i)
        return [i]

    batches = draws.prefetched(draw, range(100), ahead=2)
    next(batches)
    batches.close()  # waits for the second thread
    assert len(drawn) <= 3  # memory holds one that is used and two that wait

    waiting = threading.Event()
    batches = draws.prefetched(lambda i: [waiting.set()], range(100))
    assert waiting.wait(10)  # although nothing was asked for
    next(batches)
    batches.close()


def test_latent_lattice_cells_have_equal_probability():
    z = draws.latent_lattice("normal", 3, 4, 2)
    assert z.shape == (3, 49) and (z[2] == 0).all()
    steps = np.diff(stats.norm.cdf(z[0].reshape(7, 7)), axis=1)
    np.testing.assert_allclose(steps, 0.99 / 6)
    assert np.abs(draws.latent_lattice("uniform", 2, 4, 2)).max() == pytest.approx(0.99)


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
@pytest.mark.parametrize("distribution", draws.LATENTS)
def test_latent_lattice_has_the_quantiles_of_each_coordinate(distribution, latent_dim):
    z = draws.latent_lattice(distribution, latent_dim, 4, 2)
    bits = np.random.default_rng(0).integers(65536, size=(latent_dim, 20_000), dtype=np.uint16)
    drawn = draws.latents(bits, distribution).numpy()
    for row, latents in zip(z[:2], drawn, strict=False):
        ends = np.quantile(latents, [0.005, 0.995])  # of 20,000 draws: standard error .035 where the density is .014
        np.testing.assert_allclose([row.min(), row.max()], ends, atol=0.15)


# ---- interpolation, parts, categories


def test_interpolation_keeps_the_length_of_latents():
    bits = draws.interpolated_bits(0, 400, rows=2, columns=9)
    path = draws.normal_from_bits(bits).reshape(2, 9, 400)
    lengths = np.linalg.norm(path, axis=-1)
    assert np.allclose(lengths, 20, atol=3)  # sqrt(400), standard deviation .7; a straight line falls to 14
    ends = draws.latent_bits(0, 4, 400)
    assert (np.abs(path[:, 0] - draws.normal_from_bits(ends[::2])) < 1e-2).mean() > 0.99


def test_parts_are_joined_in_order():
    rows = np.arange(7)
    parts = []
    assert (draws.in_parts(lambda a, b: parts.append(len(a)) or a + b, rows, rows, at_once=3) == 2 * rows).all()
    assert parts == [3, 3, 1]


def test_a_code_names_the_largest_of_its_numbers():
    bits = np.array([[5, 9, 7, 65_535], [40_000, 39_999, 0, 1]], np.uint16)  # two samples
    coded = draws.coded_latents(bits, categories=3).numpy()
    normal = draws.latents(bits, "normal").numpy()
    np.testing.assert_allclose(coded[:, :3], np.sqrt(3) * np.array([[0, 1, 0], [1, 0, 0]]), rtol=1e-6)
    np.testing.assert_array_equal(coded[:, 3:], normal[:, 3:])
    np.testing.assert_array_equal(draws.coded_latents(bits.T, 3, axis=0).numpy(), coded.T)
    np.testing.assert_array_equal(draws.coded_latents(bits, 0).numpy(), normal)


def test_all_categories_are_equally_likely_and_as_long_as_normal_numbers():
    z = draws.coded_latents(draws.latent_bits(seed=3, n=40_000, latent_dim=12), categories=10).numpy()
    shares = (z[:, :10] > 0).mean(0)
    np.testing.assert_allclose(shares, 0.1, atol=5 * np.sqrt(0.1 * 0.9 / 40_000))  # five standard errors
    np.testing.assert_allclose((z[:, :10] ** 2).mean(), 1, rtol=1e-6)


def test_a_row_differs_in_its_category_alone():
    bits = draws.bits_by_category(seed=0, latent_dim=7, categories=3, rows=2)
    z = draws.coded_latents(bits, categories=3).numpy().reshape(2, 3, 7)
    np.testing.assert_allclose(z[:, :, :3], [np.sqrt(3) * np.eye(3)] * 2, rtol=1e-6)
    assert (z[:, :1, 3:] == z[:, :, 3:]).all() and (z[0, :, 3:] != z[1, :, 3:]).all()
