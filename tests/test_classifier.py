"""The digit classifier on the 8x8 digits, the cache of its weights, its script, and the scores it gives to images."""

import errno
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import command, one_line
from scipy import stats

import metrics
from experiments import digit_classifier as script
from gan_core import tf
from lab import classifier, cli, draws, files, image_metrics, pictures, runs, storage

TINY = replace(classifier.SMALL, data="digits", steps=30, eval_every=10, checkpoint_every=10, batch=32)
TINY_FLAGS = ["--data=digits", "--steps=30", "--eval-every=10", "--checkpoint-every=10", "--batch=32"]


@pytest.fixture(scope="module")
def images():
    return pictures.load("digits")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "new"


@pytest.fixture(scope="module")
def trained(images, cache):
    return classifier.digit_classifier(images, cache)


# ---- the network and its training


def test_most_digits_are_classified_correctly(trained, images):
    # 98.5% over many seeds; on 360 images one standard error of that is .64%, and this is 4 of them less.
    assert trained.test_accuracy > 0.96
    probabilities, _ = trained.classify(pictures.as_pixels(images.test))
    assert np.mean(probabilities.argmax(-1) == images.test_labels) == trained.test_accuracy


def test_probabilities_and_features_are_those_of_each_image_alone(trained, images):
    pixels = pictures.as_pixels(images.train)  # 1437: two full batches and a part
    probabilities, features = trained.classify(pixels)
    assert probabilities.shape == (1437, 10) and features.shape == (1437, classifier.FEATURES)
    assert probabilities.dtype == features.dtype == np.float32
    assert np.allclose(probabilities.sum(-1), 1, atol=1e-6) and features.min() >= 0
    some = trained.classify(pixels[1200:1210].astype(np.float64))
    assert np.allclose(some[0], probabilities[1200:1210], atol=1e-5)
    assert np.allclose(some[1], features[1200:1210], rtol=1e-4, atol=1e-4)


def test_noise_is_classified_with_less_confidence_than_digits(trained, images):
    noise = np.random.default_rng(0).random((200, 8, 8))
    of_digits, of_noise = (trained.classify(x)[0].max(-1).mean() for x in (pictures.as_pixels(images.test), noise))
    assert of_digits > 0.95 > of_noise + 0.1


@pytest.mark.parametrize("height, width", [(28, 28), (8, 8), (5, 12), (1, 1)])
def test_network_takes_images_of_any_size_and_every_weight_learns(height, width):
    weights = classifier.new_weights(0, height, width)
    x = tf.constant(np.random.default_rng(0).random((20, height, width)), tf.float32)
    with tf.GradientTape() as tape:
        logits, features = classifier.network(x, weights)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(20) % 10, logits))
    assert logits.shape == (20, 10) and features.shape == (20, classifier.FEATURES)
    for gradient, weight in zip(tape.gradient(loss, weights), weights, strict=True):
        assert gradient.shape == weight.shape and np.isfinite(gradient).all() and np.any(gradient)


def test_he_initialisation_keeps_the_size_of_activations():
    x = np.random.default_rng(0).random((200, 28, 28))
    logits, features = classifier.network(tf.constant(x, tf.float32), classifier.new_weights(0, 28, 28))
    assert 0.1 < np.sqrt(np.mean(features**2)) < 10 and 0.1 < np.std(logits) < 10


def test_shifted_images_are_the_image_moved():
    image = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4)
    places = classifier.shifted(image, 1)
    assert places.shape == (1, 3, 3, 3, 4) and (places[0, 1, 1] == image[0]).all()
    assert (places[0, 0, 1, 1:] == image[0, :-1]).all() and (places[0, 0, 1, 0] == 0).all()
    assert (places[0, 1, 2, :, :-1] == image[0, :, 1:]).all() and (places[0, 1, 2, :, -1] == 0).all()


def test_training_records_loss_and_both_accuracies_from_the_untrained_network_on():
    records = classifier.train(TINY).run.records
    assert [r["step"] for r in records] == [0, 10, 20, 30]
    assert set(records[0]) == {"step", "test_accuracy", "train_seconds"}
    assert set(records[-1]) == set(records[0]) | {"loss", "train_accuracy"}
    assert records[-1]["loss"] < records[1]["loss"] and records[-1]["test_accuracy"] > records[0]["test_accuracy"]


def test_seeds_differ():
    a, b = (classifier.train(replace(TINY, steps=2, seed=seed)).game for seed in (0, 1))
    assert not (a.weights[0].numpy() == b.weights[0].numpy()).any()


# ---- the cache


@pytest.fixture
def trainings(monkeypatch):
    """The number of steps of every training from now on, each of which is short in truth."""
    steps, train = [], classifier.train

    def counted(config, run, images):
        steps.append(config.steps)
        return train(replace(TINY, seed=config.seed), run, images)

    monkeypatch.setattr(classifier, "train", counted)
    return steps


def test_kept_classifier_is_not_trained_again(trained, images, cache, trainings, capsys):
    again = classifier.digit_classifier(images, cache)
    assert trainings == [] and capsys.readouterr().out == ""
    assert again.test_accuracy == trained.test_accuracy
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(again.weights, trained.weights, strict=True))


def test_large_sets_of_images_are_trained_on_for_longer(images, tmp_path, trainings):
    large = images._replace(train=np.tile(images.train, (7, 1, 1)), train_labels=np.tile(images.train_labels, 7))
    classifier.digit_classifier(large, tmp_path)
    classifier.digit_classifier(images, tmp_path)
    assert trainings == [classifier.Config().steps, classifier.SMALL.steps]


def hostile(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("test_accuracy", *(f"weight_{i}" for i in range(10))):
            archive.writestr(f"{name}.npy", bytes(2**22))


def another_type(path):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"test_accuracy": np.array("high")})


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def drop_a_weight(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "weight_3"}
    np.savez(path, **arrays)


def another_shape(path):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"weight_0": arrays["weight_0"][:3]})


def empty(path):
    path.write_bytes(b"")


DAMAGE = [truncate, flip_a_bit, drop_a_weight, another_shape, another_type, hostile, empty]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_classifier_is_trained_again_with_a_message(damage, images, tmp_path, trainings, capsys):
    classifier.digit_classifier(images, tmp_path)
    (path,) = tmp_path.iterdir()
    message = capsys.readouterr().out
    assert message.count("\n") == 1 and "training the digit classifier" in message and str(tmp_path) in message
    damage(path)
    classifier.digit_classifier(images, tmp_path)
    message = capsys.readouterr().out
    assert len(trainings) == 2 and message.count("\n") == 1 and f"again, because {path} is damaged (" in message
    classifier.digit_classifier(images, tmp_path)
    assert len(trainings) == 2 and list(tmp_path.iterdir()) == [path]


def test_other_images_have_another_classifier(images, tmp_path, trainings):
    classifier.digit_classifier(images, tmp_path)
    labels = images.train_labels[::-1].copy()
    classifier.digit_classifier(images._replace(train_labels=labels), tmp_path)
    assert len(trainings) == 2 and len(list(tmp_path.iterdir())) == 2


def test_cache_folder_follows_the_environment(images, tmp_path, monkeypatch, trainings):
    monkeypatch.delenv("GAN_LABORATORY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    classifier.digit_classifier(images)
    assert len(list((tmp_path / "gan-laboratory").iterdir())) == 1
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path / "other"))
    classifier.digit_classifier(images)
    assert len(list((tmp_path / "other").iterdir())) == 1 and len(trainings) == 2


def test_cache_in_the_place_of_a_file_costs_a_line_and_not_the_classifier(images, tmp_path, trainings, capsys):
    (tmp_path / "file").touch()
    for folder, code in ((tmp_path / "file", errno.EEXIST), (tmp_path / "file" / "folder", errno.ENOTDIR)):
        assert classifier.digit_classifier(images, folder).test_accuracy > 0
        message = capsys.readouterr().out
        assert message.count("\n") == 1 and f"each time, because it cannot be kept ([Errno {code}] " in message


def test_cache_that_may_not_be_written_costs_a_line(images, tmp_path, monkeypatch, trainings, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    classifier.digit_classifier(images, tmp_path)
    assert capsys.readouterr().out.endswith(f": 5 seconds, each time, because {tmp_path} may not be written\n")
    assert not list(tmp_path.iterdir())


def test_full_disk_costs_a_line(images, tmp_path, monkeypatch, trainings, capsys):
    monkeypatch.setattr(np, "savez", Mock(side_effect=OSError(28, "No space left on device")))
    classifier.digit_classifier(images, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "cannot be kept ([Errno 28] No space left on device: " in lines[1]


def test_without_a_home_folder_the_classifier_is_trained_each_time(images, monkeypatch, trainings, capsys):
    for name in ("GAN_LABORATORY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory.")))
    classifier.digit_classifier(images)
    message = capsys.readouterr().out
    assert message.count("\n") == 1 and "cannot be kept (Could not determine home directory.)" in message


def test_the_home_folder_is_not_asked_for_where_the_cache_is_named(images, tmp_path, monkeypatch, trainings):
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError))
    classifier.digit_classifier(images)
    assert len(list(tmp_path.iterdir())) == 1


def test_kept_classifier_is_plain_arrays(trained, images, cache):
    (path,) = cache.iterdir()
    assert zipfile.is_zipfile(path)
    # This name and these arrays are a promise: classifiers of earlier versions are still read.
    assert path.name == f"judge-{files.fingerprint(images)}-v1.npz"
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"test_accuracy"} | {f"weight_{i}" for i in range(10)}
        assert float(file["test_accuracy"]) == trained.test_accuracy


# ---- the script


def test_result_says_how_sure_the_accuracy_is_and_the_figure_shows_mistakes(tmp_path, capsys):
    run = tmp_path / "run"
    assert command(script, *TINY_FLAGS, "--out", run) == 0
    result = json.loads((run / "result.json").read_text())
    p = result["test_accuracy"]
    assert (result["recipe"], result["data"], result["seed"]) == ("large", "digits", 0)
    assert 0.1 < p < result["test_accuracy_floor"] == 1
    assert result["test_accuracy_standard_error"] == pytest.approx(np.sqrt(p * (1 - p) / 360))
    assert result["parameters"] == 600 + 24 + 6912 + 32 + 18432 + 64 + 4096 + 64 + 640 + 10
    assert (run / "figures" / "mistakes.png").stat().st_size > 0
    assert f"{p:.2%} of 360 test images" in capsys.readouterr().out


def test_a_run_without_its_log_is_opened_again_with_its_accuracy(tmp_path):
    folder, config = tmp_path / "run", script.Config(data="digits", steps=20, eval_every=10)
    storage.create(folder)
    storage.save_config(folder, "digit_classifier", "large", config)
    accuracy = classifier.train(config, runs.Run(folder)).game.test_accuracy
    (folder / "log.jsonl").unlink()
    assert classifier.train(config, runs.Run(folder, reopen=True)).game.test_accuracy == accuracy


def test_divergence_is_one_line(tmp_path, capsys):
    assert command(script, *TINY_FLAGS, "--out", tmp_path / "run", "--learning-rate", "1e30") == 1
    assert "loss is" in one_line(capsys)


# ---- the scores


@pytest.fixture(scope="module")
def scorer(images):
    return classifier.ImageScorer(images, SimpleNamespace(log_samples=100, eval_samples=300, train_images=500))


def test_real_images_score_well_and_collapse_and_blur_show(scorer):
    real = pictures.as_pixels(scorer.real.train[:300])
    good = scorer.scores(real, final=True)
    threes = real[scorer.real.train_labels[:300] == 3][np.arange(300) % 25]
    one_digit, blurred = (
        scorer.scores(x, final=True) for x in (threes, sum(np.roll(real, k, axis=0) / 4 for k in range(4)))
    )
    assert good["digits"] == 10 and good["precision"] > 0.8 and good["recall"] > 0.8
    assert one_digit["digits"] < 4 and one_digit["label_kl"] > 1 and one_digit["recall"] < good["recall"] / 2
    assert blurred["confident_share"] < good["confident_share"] - 0.1
    for bad in (one_digit, blurred):
        assert bad["frechet_digit_distance"] > 3 * good["frechet_digit_distance"]
        assert bad["parzen"] < good["parzen"]


def test_scores_are_of_test_images_and_fakes_in_their_order(scorer):
    """The fakes are small digits: their labels and their grey levels are far from the real ones."""
    chosen = scorer.real.train[scorer.real.train_labels < 5][:300]
    fakes = pictures.as_pixels(chosen) / 2
    scores, (probabilities, features) = scorer.scores(fakes), scorer.classifier.classify(fakes)
    seen = np.bincount(probabilities.argmax(-1), minlength=10)
    assert scores["label_kl"] == pytest.approx(stats.entropy(np.bincount(scorer.real.train_labels[:500]), seen + 0.5))
    edges = (np.arange(0, 257, 32) - 0.5) / 255
    p, q = (np.histogram(images, edges)[0] + 0.5 for images in (pictures.as_pixels(scorer.real.test), fakes))
    assert scores["pixel_kl"] == pytest.approx(stats.entropy(p, q))
    _, real_features = scorer.classifier.classify(pictures.as_pixels(scorer.real.test))
    expected = image_metrics.frechet_digit_distance(real_features, features)
    assert scores["frechet_digit_distance"] == pytest.approx(expected, rel=1e-3)  # float32 features


def test_the_floor_of_the_label_kl_is_a_perfect_samplers(scorer):
    """With counts of 30 or so it is about 9 / (2 n), to 10%; one set of 300 real images has what chance gives it."""
    floors = scorer.floors(300)
    expected = metrics.kl_floor(np.bincount(scorer.real.train_labels[:500]), 300).mean
    assert floors["label_kl_floor"] == expected == pytest.approx(9 / 600, rel=0.1)


def test_every_score_stands_beside_its_floor(scorer):
    fakes = np.random.default_rng(0).random((300, 8, 8))
    log, final = scorer.log(fakes[:100]), scorer.final(fakes)
    for scores in (log, final):
        names = {name for name in scores if not name.endswith(("_floor", "_floor_train"))}
        train = {"frechet_digit_distance_floor_train"} if scores is final else set()
        assert set(scores) == names | {f"{name}_floor" for name in names} | train
        assert all(np.isfinite(value) for value in scores.values())
    assert {key for key, _ in classifier.ROWS.values()} <= set(final) and set(log) < set(final)
    assert log["label_kl_floor"] > final["label_kl_floor"]  # fewer fakes: more noise
    distance, floor = log["frechet_digit_distance"], log["frechet_digit_distance_floor"]
    assert f"{distance:.2f} (real training images {floor:.2f})" in classifier.headline(log)


def test_real_training_images_score_their_own_floors(scorer):
    final = scorer.final(pictures.as_pixels(scorer.real.train[:300]))
    for name in {key for key, _ in classifier.ROWS.values()} - {"label_kl"}:  # its floor is a perfect sampler's
        assert final[name] == final[f"{name}_floor"]


def test_frechet_of_training_images_is_that_of_two_parts_of_them(scorer):
    """As many images as fakes, and others; of too few images the two halves."""
    train = pictures.as_pixels(scorer.real.train)
    _, features = scorer.classifier.classify(train)
    for n, used in ((300, 300), (1200, len(train) // 2)):
        expected = image_metrics.frechet_digit_distance(features[:used], features[used : 2 * used])
        floors = scorer.floors(n, final=True)
        assert floors["frechet_digit_distance_floor_train"] == pytest.approx(expected, rel=1e-3)  # float32 features
        assert "frechet_digit_distance_floor_train" not in scorer.floors(n)


def test_floors_are_kept_and_a_damaged_file_is_passed_over(scorer, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path))
    computed = Mock(wraps=scorer._computed_floors)
    monkeypatch.setattr(scorer, "_computed_floors", computed)
    first = scorer.floors(120)
    assert scorer.floors(120) == first and computed.call_count == 1
    assert scorer.floors(130) != first and computed.call_count == 2  # another number of fakes
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace("0", "1"))
    assert scorer.floors(120) == first and computed.call_count == 3
    other = classifier.Classifier([2 * w for w in scorer.classifier.weights], 0.5)
    monkeypatch.setattr(scorer, "classifier", other)
    assert scorer.floors(120) != first and computed.call_count == 4
    monkeypatch.setattr(scorer, "real", scorer.real._replace(test=scorer.real.test[::-1].copy()))
    assert scorer.floors(120) and computed.call_count == 5  # the same classifier, but other test images


def test_floors_need_no_cache(scorer, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path / "file"))
    assert scorer.floors(120)["digits_floor"] == 10


def test_nearest_real_image_of_a_training_image_is_itself(scorer):
    images = pictures.as_pixels(scorer.real.train)
    assert (scorer.nearest_real(images[[3, 499]]) == images[[3, 499]]).all()
    assert not (scorer.nearest_real(images[500:501]) == images[500:501]).all()  # the config trains on 500


def test_nearest_real_image_is_found_in_every_part_of_the_data(scorer, monkeypatch):
    many = scorer.real._replace(train=np.tile(scorer.real.train, (12, 1, 1)))
    many.train[-1] = 255 - many.train[-1]  # in the last of three parts
    monkeypatch.setattr(scorer, "real", many)
    monkeypatch.setattr(scorer, "config", SimpleNamespace(train_images=len(many.train)))
    assert len(many.train) > 10_000
    images = pictures.as_pixels(many.train[[3, -1]])
    assert (scorer.nearest_real(images) == images).all()


def test_scorer_of_other_images_brings_its_own_scores_and_floors(images):
    class Mean(classifier.ImageScorer):
        def scores(self, fakes, final=False):
            return {"mean": float(fakes.mean())} | ({"last": 1.0} if final else {})

        def floors(self, n, final=False):
            return {"mean_floor": n} | ({"last_floor": 0.0} if final else {})

    scorer = Mean(images, SimpleNamespace(log_samples=10, eval_samples=20, train_images=5))
    assert scorer.log(np.ones((2, 8, 8))) == {"mean": 1.0, "mean_floor": 10}
    assert scorer.final(np.zeros((2, 8, 8))) == {"mean": 0.0, "mean_floor": 20, "last": 1.0, "last_floor": 0.0}


def test_accuracy_and_features_of_images_with_a_channel_axis(trained, images):
    pixels = pictures.as_pixels(images.test)
    share, features = classifier.accuracy_and_features(trained, pixels[..., None], images.test_labels)
    assert share == trained.test_accuracy and (features == trained.classify(pixels)[1]).all()


def test_the_floor_of_the_parzen_window_uses_no_image_that_chooses_its_width(scorer):
    """Such an image is at distance 0 from itself, which makes the window too narrow: 22.9 instead of 28.7 nats."""
    train = pictures.as_pixels(scorer.real.train)
    first = len(train) - len(train) // 6
    expected = image_metrics.parzen_window(train[:first], train[first : first + 1000], scorer.test)
    floors = scorer.floors(first + 100, final=True)  # a hundred of them would be among as many as the fakes
    assert floors["parzen_floor"] == pytest.approx(expected.mean, rel=1e-6)
    assert floors["parzen_sigma_floor"] == expected.sigma


def test_pixel_kl_of_few_grey_levels_does_not_see_a_noise_that_nobody_sees(scorer):
    """The 8x8 digits have 17 levels; 32 bins would find .3 nats where a pixel moves by less than half a level."""
    real = pictures.as_pixels(scorer.real.train)
    noisy = np.clip(real + np.random.default_rng(0).uniform(-1 / 33, 1 / 33, real.shape), 0, 1)
    assert scorer.scores(noisy)["pixel_kl"] < 0.02
    assert scorer.scores(1 - noisy)["pixel_kl"] > 0.1


@pytest.mark.parametrize("name", ["mnist_dcgan", "mnist_conditional", "numpy_gan", "stacked_mnist"])
def test_train_images_limits_what_is_trained_on(name, scorer, monkeypatch):  # the classifier is trained by now
    class Seen(Exception):
        pass

    stacked = name == "stacked_mnist"

    def seen(*args):  # minibatch_indices(n, ...), or random_triples(triples, n, ...)
        raise Seen(args[stacked])

    monkeypatch.setattr(draws, "minibatch_indices", seen)
    monkeypatch.setattr(pictures, "random_triples", seen)
    module = cli.script(name)
    config = replace(next(iter(module.RECIPES.values())), data="digits", train_images=100, steps=1, eval_every=1)
    with pytest.raises(Seen) as found:
        module.train(replace(config, log_samples=1000 if stacked else 100))
    assert found.value.args == (100,)


def test_purity_is_the_share_of_the_most_frequent_digit_of_each_category(scorer):
    images = pictures.as_pixels(scorer.real.train[:300])
    digits = scorer.classifier.classify(images)[0].argmax(-1)
    assert scorer.final(images, np.zeros(300, int))["purity"] == np.bincount(digits).max() / 300
    bits = draws.latent_bits(0, 50, 8)
    codes = draws.coded_latents(bits, 5).numpy()[:, :5]
    assert (codes.argmax(1) == draws.categories_of(bits, 5)).all()
