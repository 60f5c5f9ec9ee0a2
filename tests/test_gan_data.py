"""Random numbers are functions of (seed, stream, step); minibatches cover the data; targets are SciPy's."""

import numpy as np
import pytest
from scipy import stats

import gan_data as data


def test_random_bits_of_a_step_do_not_depend_on_where_the_chunk_starts():
    whole = data.random_bits(3, data.LATENT, 0, 20, 37)
    parts = [data.random_bits(3, data.LATENT, first, 5, 37) for first in (0, 5, 10, 15)]
    assert (whole == np.concatenate(parts)).all()


def test_seeds_and_streams_are_independent():
    rows = [data.random_bits(seed, stream, 0, 1, 4000)[0] for seed in (0, 1) for stream in (data.ORDER, data.LATENT)]
    correlations = np.corrcoef(rows)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(4000)  # 4 standard errors


def test_random_bits_are_uniform():
    counts = np.bincount(data.random_bits(0, data.LATENT, 0, 16, 65536).ravel() >> 8, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_bits_for_seeds_stack_what_each_seed_draws_alone():
    stack = data.bits_for_seeds([4, 5], data.LATENT, 7, 3, (2, 10))
    assert stack.shape == (3, 2, 2, 10)
    assert (stack[:, 1] == data.random_bits(5, data.LATENT, 7, 3, 20).reshape(3, 2, 10)).all()


def test_minibatches_show_every_sample_each_epoch_in_a_new_order():
    rows = np.tile(np.arange(1000.0), (2, 1))
    batches = data.minibatches(rows[:, None], [0, 1], 0, 8, 300)  # two epochs of four steps
    assert batches.shape == (8, 2, 1, 300)
    for epoch in (batches[:4], batches[4:]):
        for k in range(2):
            values, counts = np.unique(epoch[:, k], return_counts=True)
            assert (values == rows[k]).all()
            assert (counts == 2).sum() == 200 and counts.max() == 2  # the last 100 are filled up with the first 200
    assert not (batches[:4, 0] == batches[4:, 0]).all() and not (batches[:, 0] == batches[:, 1]).all()


def test_minibatches_do_not_depend_on_where_the_chunk_starts():
    rows = np.arange(2000.0).reshape(2, 1, 1000)
    whole = data.minibatches(rows, [0, 1], 0, 12, 300)
    parts = [data.minibatches(rows, [0, 1], first, count, 300) for first, count in ((0, 3), (3, 6), (9, 3))]
    assert (whole == np.concatenate(parts)).all()


def test_batch_larger_than_the_data_repeats_it():
    batches = data.minibatches(np.arange(10.0)[None, None], [0], 0, 2, 25)
    assert batches.shape == (2, 1, 1, 25) and len(np.unique(batches[0])) == 10


def test_prefetched_keeps_the_order_and_passes_errors_on():
    assert list(data.prefetched(lambda i: i * i, range(7))) == [0, 1, 4, 9, 16, 25, 36]
    with pytest.raises(ZeroDivisionError):
        list(data.prefetched(lambda i: 1 / i, [1, 0]))


def test_prefetched_draws_no_more_than_it_was_told_to():
    drawn = []
    chunks = data.prefetched(drawn.append, range(100), ahead=2)
    next(chunks)
    chunks.close()  # waits for the second thread
    assert len(drawn) <= 3  # memory holds one that is used and two that wait


def test_blocks_are_even_and_at_most_64():
    assert [(b.start, b.stop) for b in data.blocks(7)] == [(0, 7)]
    assert [(b.start, b.stop) for b in data.blocks(16)] == [(0, 8), (8, 16)]
    lengths = [b.stop - b.start for b in data.blocks(1000)]
    assert sum(lengths) == 1000 and max(lengths) <= 64 and max(lengths) - min(lengths) <= 1


# ---- distributions


def test_mixture_is_the_weighted_sum_of_its_components():
    mixture = data.make_target("mixture", (1, -1, 0.5, 3, 2, 1))  # weights 1/4, 3/4
    x = np.linspace(-4, 6, 11)
    for method in ("pdf", "cdf"):
        parts = [getattr(stats.norm(m, s), method)(x) for m, s in ((-1, 0.5), (2, 1))]
        assert np.allclose(getattr(mixture, method)(x), 0.25 * parts[0] + 0.75 * parts[1], rtol=1e-12)
    mean, variance = 1.25, 0.25 * 0.25 + 0.75 + 0.25 * 2.25**2 + 0.75 * 0.75**2
    assert (mixture.mean(), mixture.std()) == pytest.approx((mean, np.sqrt(variance)))
    q = np.array([5e-5, 0.2, 0.9, 1 - 5e-5])
    assert np.allclose(mixture.cdf(mixture.ppf(q)), q, rtol=1e-9)


def test_mixture_draws_follow_its_cdf():
    mixture = data.make_target("mixture", (1, -1, 0.5, 3, 2, 1))
    sample = mixture.rvs(4000, random_state=data.generator(0, data.REAL))
    assert stats.kstest(sample, mixture.cdf).pvalue > 1e-4


def test_target_takes_scipys_arguments():
    assert data.make_target("norm", (4, 1.25)).std() == 1.25
    assert data.make_target("gamma", (2.0, 0.0, 3.0)).mean() == pytest.approx(6)


def test_each_seed_has_its_own_draws_and_keeps_them_in_any_company():
    many = data.from_distribution("laplace", (), 100, [5, 6, 7])
    assert many.train.shape == (3, 100) and len(np.unique(many.train)) == 300
    assert (many.train[1] == data.from_distribution("laplace", (), 100, [6]).train[0]).all()


def test_a_file_is_split_into_disjoint_halves(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(101.0))
    real = data.from_file(tmp_path / "x.npy", [0, 1])
    assert real.train.shape == (2, 50) and real.held_out == 51
    assert set(real.train[0]).isdisjoint(real.truth) and (real.train[0] == real.train[1]).all()


@pytest.mark.parametrize("text", ["value\n1.5\n2\n3e0\n", "1.5,\n2,\n3,\n", "1.5\n\n2\n3\n"])
def test_text_files_with_header_commas_or_blank_lines(tmp_path, text):
    (tmp_path / "x.csv").write_text(text + "\n".join(["4"] * 20))
    assert data.read_numbers(tmp_path / "x.csv")[:4].tolist() == [1.5, 2, 3, 4]


def test_standardised_rows_map_back():
    rows = np.random.default_rng(0).normal(1000, 5, (3, 50))
    scaled, mean, std = data.standardised(rows)
    assert np.allclose(scaled.mean(-1), 0, atol=1e-6) and np.allclose(scaled.std(-1), 1, atol=1e-6)
    assert np.allclose(scaled * std + mean, rows, atol=1e-4)
    assert (data.standardised(rows, False)[0] == rows.astype("f")).all()
