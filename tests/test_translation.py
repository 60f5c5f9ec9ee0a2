"""pix2pix and CycleGAN: folders of PNG, networks, pool of fakes, runs in a fresh process, resuming, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, fresh_run, one_line
from PIL import Image

import gan_conv as conv
import gan_images as images
import gan_runs as runs
import gan_translation as translation
from experiments import cyclegan, pix2pix
from gan_core import tf

MODULES = [pix2pix, cyclegan]
SMALL = {
    "data": "digits",
    "steps": 20,
    "eval_every": 10,
    "checkpoint_every": 10,
    "eval_samples": 100,
    "log_samples": 100,
    "batch": 4,
    "width": 4,
}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
OWN = {pix2pix: ["--pairs={pairs}"], cyclegan: ["--domain-a={a}", "--domain-b={b}"]}


def tiny(module):
    return replace(module.Config(), **SMALL).checked()


def write_pngs(folder, count, height, width, mode="L", seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        shape = (height, width) if mode == "L" else (height, width, len(mode))
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode).save(folder / f"{k:03d}.png")
    return folder


# ---- folders


def test_a_tenth_of_a_folder_is_held_out_and_every_picture_is_on_one_side(tmp_path):
    split = translation.read_folder("--pairs", write_pngs(tmp_path, 30, 4, 8), seed=1)
    assert split.train.shape == (27, 4, 8, 1) and split.test.shape == (3, 4, 8, 1)
    everything = sorted(x.tobytes() for x in np.concatenate([split.train, split.test]))
    assert everything == sorted(np.asarray(Image.open(p)).tobytes() for p in tmp_path.glob("*.png"))
    assert (translation.read_folder("--pairs", tmp_path, seed=1).test == split.test).all()


def test_train_and_val_folders_are_taken_as_they_are_and_colour_makes_all_rgb(tmp_path):
    write_pngs(tmp_path / "train", 3, 4, 4, "L")
    write_pngs(tmp_path / "val", 2, 4, 4, "RGBA")
    split = translation.read_folder("--domain-a", tmp_path, seed=0)
    assert split.train.shape == (3, 4, 4, 3) and split.test.shape == (2, 4, 4, 3)
    assert (split.train[..., 0] == split.train[..., 2]).all() and split.name == tmp_path.name
    with Image.open(tmp_path / "val" / "000.png") as picture:
        assert (split.test[0] == np.asarray(picture)[..., :3]).all()


def test_pictures_of_16_bits_keep_their_shades(tmp_path):
    shades = np.linspace(0, 65535, 16).reshape(4, 4).astype(np.uint16)
    for k in range(2):
        Image.fromarray(shades).save(tmp_path / f"{k}.png")
    split = translation.read_folder("--domain-a", tmp_path, seed=0)
    assert split.train[0, ..., 0].ravel().tolist() == list(range(0, 256, 17))


def test_pairs_are_cut_down_the_middle(tmp_path):
    write_pngs(tmp_path, 10, 4, 16)
    whole = translation.read_folder("--pairs", tmp_path, seed=0)
    cut = pix2pix.pairs(replace(pix2pix.Config(), pairs=str(tmp_path)))
    assert cut.a.shape == cut.b.shape == (9, 4, 8, 1) and cut.test_labels is None
    assert (np.concatenate([cut.test_a, cut.test_b], axis=2) == whole.test).all()


def test_edges_outline_a_square_and_know_nothing_of_the_image_before():
    pictures = np.zeros((3, 12, 12), np.uint8)
    pictures[1, 3:9, 3:9] = 255
    before, outline, after = pix2pix.edges(pictures)
    assert not before.any() and not after.any()
    from scipy import ndimage

    slopes = [ndimage.sobel(pictures[1] / 255.0, axis) for axis in (0, 1)]
    assert (outline == 255 * (np.hypot(*slopes) >= 1)).all()
    assert set(np.unique(outline)) == {0, 255}
    assert (outline[5:7, 5:7] == 0).all() and (outline[:2] == 0).all()  # neither inside nor far outside
    assert (outline[5, [2, 3, 8, 9]] == 255).all() and (outline == outline.T).all()


def test_enlarged_digits_sit_in_the_middle_and_keep_their_brightness():
    digits = np.zeros((2, 8, 8), np.uint8)
    digits[0, 2:6, 2:6] = 200
    digits[1] = 255
    large = cyclegan.enlarged(digits, 28, "mnist")
    assert large.shape == (2, 28, 28) and large.dtype == np.uint8
    assert (large[1, 4:24, 4:24] == 255).all() and large[1].sum() == 255 * 400  # 20 x 20 in the middle
    assert np.abs(large[0].astype(int) - large[0, ::-1, ::-1]).max() <= 1
    assert large[0].mean() / digits[0].mean() == pytest.approx((20 / 28) ** 2, rel=0.05)
    whole = cyclegan.enlarged(digits, 28, "none")
    assert (whole[1] == 255).all() and whole[0].mean() == pytest.approx(digits[0].mean(), rel=0.05)
    assert (cyclegan.enlarged(digits, 8, "none") == digits).all()


# ---- networks


@pytest.mark.parametrize(("size", "levels"), [((8, 8, 1), 2), ((28, 28, 1), 2), ((64, 32, 3), 3), ((256, 256, 3), 6)])
def test_unet_keeps_the_size_and_halves_as_often_as_it_can(size, levels):
    assert translation.depth(*size[:2]) == levels
    if size[0] > 64:
        return
    weights = translation.unet_weights(np.random.default_rng(0), size, 4)
    x = tf.random.stateless_uniform((2, *size), (0, 1), -1, 1)
    bits = tf.zeros((2, sum(translation.mask_sizes(size, 4))), tf.uint8)
    y = translation.unet(x, weights, bits, 0.5)
    assert y.shape == x.shape and float(tf.reduce_max(tf.abs(y))) <= 1
    assert float(tf.reduce_max(tf.abs(y - translation.unet(x, weights)))) > 1e-4  # all dropped: another picture


def test_skip_carries_the_input_past_a_closed_bottleneck():
    weights = translation.unet_weights(np.random.default_rng(0), (8, 8, 1), 4)
    x = tf.random.stateless_uniform((2, 8, 8, 1), (0, 1), -1, 1)
    weights[4].assign(tf.zeros_like(weights[4]))  # scale of the inner level's norm: it says the same of every image
    assert float(tf.reduce_max(tf.abs(tf.subtract(*translation.unet(x, weights))))) > 1e-2
    inner = weights[10]  # the last kernel: from the level below, then from the skip
    inner.assign(tf.concat([inner[:, :, :4], tf.zeros_like(inner[:, :, 4:])], axis=2))
    y = translation.unet(x, weights)
    np.testing.assert_allclose(y[0], y[1], atol=1e-6)


def test_dropped_values_are_those_of_the_bits():
    """Bytes of 255 drop nothing at rate 1/2: values double, as with twice the norm's scale and offset."""
    size = (8, 8, 1)
    weights = translation.unet_weights(np.random.default_rng(0), size, 4)
    x = tf.random.stateless_uniform((1, *size), (0, 1), -1, 1)
    bits = tf.fill((1, sum(translation.mask_sizes(size, 4))), tf.constant(255, tf.uint8))
    *_, scale, offset = weights[6:10]
    kept = translation.unet(x, weights, bits, 0.5)
    scale.assign(2 * scale)
    offset.assign(2 * offset)
    np.testing.assert_allclose(kept, translation.unet(x, weights), rtol=1e-5, atol=1e-6)


def test_instance_norm_is_batch_norm_of_one_image():
    x = 3 + 2 * tf.random.stateless_normal((3, 5, 4, 2), (0, 1))
    scale, offset = tf.constant([1.5, 0.5]), tf.constant([-1.0, 2.0])
    normed = translation.instance_norm(x, scale, offset)
    for k in range(3):
        np.testing.assert_allclose(
            normed[k], conv.batch_norm(x[k : k + 1], scale, offset)[0][0], rtol=1e-4, atol=1e-5
        )


def test_patchgan_looks_at_patches_of_22_pixels():
    """A logit's gradient reaches 22 x 22 pixels and no others; instance norm, which sees all, is left out."""
    weights = translation.patchgan_weights(np.random.default_rng(0), 1, 4)
    x = tf.random.stateless_normal((1, 64, 64, 1), (0, 1))
    with pytest.MonkeyPatch.context() as patch, tf.GradientTape() as tape:
        patch.setattr(translation, "instance_norm", lambda x, *norm: x)
        tape.watch(x)
        logits = translation.patchgan(x, weights)
        one = logits[16 * 8 + 8]
    assert logits.shape == (16 * 16,)
    touched = np.argwhere(tape.gradient(one, x).numpy()[0, ..., 0])
    assert (np.ptp(touched, axis=0) + 1 == 22).all()


# ---- the pool


def pool_and_fakes():
    pool = tf.Variable(tf.zeros((cyclegan.POOL, 1, 1, 1)))
    return pool, lambda *values: tf.reshape(tf.constant(values, tf.float32), (-1, 1, 1, 1))


def test_pool_fills_up_and_shows_what_comes_meanwhile():
    pool, fakes = pool_and_fakes()
    for step in range(25):
        shown = cyclegan.pooled(
            pool, fakes(2 * step, 2 * step + 1), tf.constant([7, 8]), tf.constant([True] * 2), 2 * step
        )
        assert shown.numpy().ravel().tolist() == [2 * step, 2 * step + 1]
    assert pool.numpy().ravel().tolist() == list(range(50))


def test_full_pool_swaps_old_fakes_for_new_ones_where_told():
    pool, fakes = pool_and_fakes()
    pool.assign(tf.reshape(tf.range(50, dtype=tf.float32), (50, 1, 1, 1)))
    shown = cyclegan.pooled(
        pool, fakes(100, 101, 102), tf.constant([4, 30, 9]), tf.constant([True, False, True]), 200
    )
    assert shown.numpy().ravel().tolist() == [4, 101, 9]
    now = pool.numpy().ravel()
    assert (now[[4, 30, 9]] == [100, 30, 102]).all() and (
        np.delete(now, [4, 9]) == np.delete(np.arange(50), [4, 9])
    ).all()


def test_slots_are_never_alike_within_a_batch():
    config = replace(tiny(cyclegan), batch=50)
    batch = cyclegan.new_task(config, *cyclegan.domains(config)).draw(0, 3)
    assert (np.sort(batch["slots"].numpy()) == np.arange(50)).all()
    assert 0.35 < batch["old"].numpy().mean() < 0.65


# ---- training


def test_pix2pix_learns_and_beats_copying():
    """Seeds 0 to 3: L1 distance .195 to .202 after 200 steps, .39 to .46 at first, .61 of the input itself."""
    config = replace(tiny(pix2pix), steps=200, eval_every=200, batch=16, width=8, learning_rate=2e-3)
    first, last = pix2pix.train(config).records
    assert last["l1"] < 0.7 * first["l1"] and last["l1"] < 0.5 * last["l1_of_copy"]


def test_cyclegan_comes_back_to_where_it_started():
    """Seeds 0 to 3: cycle distances .09 to .10 after 150 steps, .38 to .49 at first."""
    config = replace(tiny(cyclegan), steps=150, eval_every=150, batch=8, width=8, learning_rate=2e-3)
    first, last = cyclegan.train(config).records
    assert last["cycle_a"] < 0.4 * first["cycle_a"] and last["cycle_b"] < 0.4 * first["cycle_b"]


def test_judge_reads_domain_a_and_its_ceiling_is_domain_b():
    config = tiny(cyclegan)
    a, b = cyclegan.domains(config)
    black = b._replace(test=np.zeros_like(b.test))
    judge, game = cyclegan.train(replace(config, steps=10)).judge, cyclegan.new_game(config, (8, 8, 1))
    found = cyclegan.measured((a, black), game, judge, 200)
    assert found["accuracy_untranslated"] > 0.95 and found["accuracy_floor"] < 0.3
    assert found["cycle_a"] > 0 and found["cycle_a"] != found["cycle_b"]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_one_step_moves_every_weight_of_every_network(module):
    config = tiny(module)
    task = module.new_task(config, *([module.pairs(config)] if module is pix2pix else module.domains(config)))
    weights = [w for network in task.networks.values() for w in network]
    before = [w.numpy() for w in weights]
    losses = task.loop(task.game, task.draw(0, 2)).numpy()
    assert losses.shape == (2, len(module.LOSSES)) and np.isfinite(losses).all()
    assert all((old != new.numpy()).any() for old, new in zip(before, weights, strict=True))


def first_gradients(player, beta1=0.5):
    """Adam's mean after one step is (1 - beta1) times the gradient."""
    return [mean / (1 - beta1) for mean in player.mean]


def assert_alike(gradients, expected):
    for a, b in zip(gradients, expected, strict=True):
        # the bias of a convolution before instance norm has gradient 0, of which rounding leaves some 1e-6
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * float(np.abs(b).max()) + 1e-5)


def one_batch(module, config):
    task = module.new_task(config, *([module.pairs(config)] if module is pix2pix else module.domains(config)))
    return {name: values[0] for name, values in task.draw(0, 1).items()}


def test_pix2pix_plays_the_game_of_its_paper():
    """D: half of its loss on (a, b) against (a, G(a)); G: -log D(a, G(a)) and 100 |b - G(a)|; the other: L1 alone."""
    config = tiny(pix2pix)
    batch = one_batch(pix2pix, config)
    game, plain = (pix2pix.new_game(config, (8, 8, 1)) for _ in range(2))
    pix2pix.adversarial_step(game, config, batch)
    a, b = (tf.cast(batch[k], tf.float32) / 127.5 - 1 for k in "ab")
    g, d, alone = plain.generator.weights, plain.discriminator.weights, plain.l1_only.weights
    with tf.GradientTape() as tape:
        fake = translation.unet(a, g, batch["bits"][0], config.dropout)
        real_logits, fake_logits = (translation.patchgan(tf.concat([a, x], 3), d) for x in (b, fake))
        ones, zeros = tf.ones_like(real_logits), tf.zeros_like(real_logits)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        d_loss = tf.reduce_mean(entropy(ones, real_logits) + entropy(zeros, fake_logits)) / 2
    assert_alike(first_gradients(game.discriminator), tape.gradient(d_loss, d))
    for old, new in zip(d, game.discriminator.weights, strict=True):
        old.assign(new)  # G meets the new D
    with tf.GradientTape(persistent=True) as tape:
        fake = translation.unet(a, g, batch["bits"][0], config.dropout)
        g_loss = tf.reduce_mean(entropy(ones, translation.patchgan(tf.concat([a, fake], 3), d)))
        g_loss += 100 * tf.reduce_mean(tf.abs(b - fake))
        l1 = tf.reduce_mean(tf.abs(b - translation.unet(a, alone, batch["bits"][1], config.dropout))) / 2
    assert_alike(first_gradients(game.generator), tape.gradient(g_loss, g))
    assert_alike(first_gradients(game.l1_only), tape.gradient(l1, alone))


def test_cyclegan_plays_the_game_of_its_paper():
    """Both G: least squares against D, 10 times the cycles, 5 times the identities; then each D, on those fakes."""
    config = tiny(cyclegan)
    batch = one_batch(cyclegan, config)
    game, plain = (cyclegan.new_game(config, (8, 8, 1)) for _ in range(2))
    cyclegan.adversarial_step(game, config, batch)
    a, b = (tf.cast(batch[k], tf.float32) / 127.5 - 1 for k in "ab")
    g_a, d_a, g_b, d_b = (
        getattr(side, kind).weights for side in plain[:2] for kind in ("generator", "discriminator")
    )
    unet, patchgan = translation.unet, translation.patchgan
    with tf.GradientTape() as tape:
        to_b, to_a = unet(a, g_b), unet(b, g_a)
        loss = tf.reduce_mean((patchgan(to_b, d_b) - 1) ** 2 / 2) + tf.reduce_mean((patchgan(to_a, d_a) - 1) ** 2 / 2)
        loss += 10 * tf.reduce_mean(tf.abs(unet(to_b, g_a) - a)) + 10 * tf.reduce_mean(tf.abs(unet(to_a, g_b) - b))
        loss += 5 * tf.reduce_mean(tf.abs(unet(b, g_b) - b)) + 5 * tf.reduce_mean(tf.abs(unet(a, g_a) - a))
    of_a, of_b = tape.gradient(loss, (g_a, g_b))
    assert_alike(first_gradients(game.a.generator), of_a)
    assert_alike(first_gradients(game.b.generator), of_b)
    for side, d, real, fake in ((game.a, d_a, a, to_a), (game.b, d_b, b, to_b)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((patchgan(real, d) - 1) ** 2 + patchgan(fake, d) ** 2) / 2
        assert_alike(first_gradients(side.discriminator), tape.gradient(loss, d))
        np.testing.assert_allclose(side.pool[:4], fake, atol=1e-5)


# ---- the run


@pytest.fixture(scope="module", params=MODULES, ids=lambda m: m.EXPERIMENT)
def finished(request, tmp_path_factory):
    """A finished run on the digits, made by a fresh process in another folder."""
    return request.param, *fresh_run(request.param, FLAGS, tmp_path_factory.mktemp("elsewhere"))


def test_run_folder_holds_what_it_promises(finished):
    module, folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["steps"]) == (module.EXPERIMENT, 20)
    keys = ("l1", "agreement") if module is pix2pix else ("cycle_a", "cycle_b", "accuracy")
    for key in keys:
        assert np.isfinite(result[key]) and np.isfinite(result[f"{key}_floor"])
    picture = {pix2pix: "translations.png", cyclegan: "cycles.png"}[module]
    assert {p.name for p in (folder / "figures").iterdir()} == {picture, "strip.png", "curves.png", "training.gif"}
    assert [r["step"] for r in runs.read_log(folder)] == [0, 10, 20] and "s of training" in screen.splitlines()[-1]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(module, tmp_path):
    config = tiny(module)
    whole = module.train(config)
    runs.save_config(tmp_path, module.EXPERIMENT, config)
    with pytest.raises(Killed):
        module.train(config, DyingRun(tmp_path, checkpoint_every=10, at=20))
    resumed = module.train(config, runs.Run(tmp_path, resume=True))
    for a, b in zip(tf.nest.flatten(whole.task.game), tf.nest.flatten(resumed.task.game), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((a == b).all() for (_, a), (_, b) in zip(resumed.sheets, whole.sheets, strict=True))


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_own_colour_images_train_without_a_judge(module, tmp_path, capsys):
    paths = {"pairs": write_pngs(tmp_path / "pairs", 12, 16, 24, "RGB")}
    paths |= {k: write_pngs(tmp_path / k, 12, 16, 12, "RGB", seed) for seed, k in enumerate("ab")}
    own = [flag.format(**paths) for flag in OWN[module]]
    assert command(module, *FLAGS[1:], *own, "--out", tmp_path / "run") == 0
    assert "11 images to train on, 1 held out, 12 x 16, in colour" in capsys.readouterr().out
    with Image.open(tmp_path / "run" / "samples" / "00000010.png") as picture:
        assert picture.mode == "RGB"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "agreement" not in result and "accuracy" not in result


@pytest.mark.parametrize(
    "module, flags, words",
    [
        (pix2pix, ["--pairs={missing}"], ["--pairs", "missing", "no such folder"]),
        (pix2pix, ["--pairs={empty}"], ["empty", "no PNG"]),
        (pix2pix, ["--pairs={mixed}"], ["mixed", "8 x 4 pixels", "expected 16 x 4"]),
        (pix2pix, ["--pairs={odd}"], ["odd", "12 x 4 pixels", "A|B side by side"]),
        (pix2pix, ["--pairs={broken}"], ["000.png", "not a PNG image"]),
        (pix2pix, ["--pairs={one}"], ["one PNG file", "at least two"]),
        (pix2pix, ["--data=digits", "--dropout=1"], ["--dropout 1"]),
        (cyclegan, ["--domain-a={square}"], ["--domain-a", "--domain-b"]),
        (cyclegan, ["--domain-a={square}", "--domain-b={empty}"], ["--domain-b", "empty", "no PNG"]),
        (cyclegan, ["--domain-a={square}", "--domain-b={uneven}"], ["--domain-b", "10 x 4 pixels", "4 divides"]),
        (cyclegan, ["--domain-a={square}", "--domain-b={wide}"], ["--domain-b", "4 x 16 x 1", "4 x 4 x 1"]),
        (cyclegan, ["--data=digits", "--batch=51"], ["--batch 51", "50"]),
        (cyclegan, ["--data=digits", "--cycle=-1"], ["--cycle -1", "0 or more"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(module, flags, words, tmp_path, capsys):
    sizes = {"mixed": (4, 16), "odd": (4, 12), "square": (4, 4), "uneven": (4, 10), "wide": (4, 16)}
    folders = {name: write_pngs(tmp_path / name, 4, *size) for name, size in sizes.items()}
    write_pngs(tmp_path / "extra", 1, 4, 8)
    (tmp_path / "extra" / "000.png").rename(folders["mixed"] / "z.png")
    folders["one"] = write_pngs(tmp_path / "one", 1, 4, 8)
    folders["broken"] = write_pngs(tmp_path / "broken", 3, 4, 8)
    (folders["broken"] / "000.png").write_bytes(b"not a picture")
    folders["empty"], folders["missing"] = tmp_path / "empty", tmp_path / "missing"
    folders["empty"].mkdir()
    assert command(module, *[flag.format(**folders) for flag in flags], "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_diverging_training_stops_with_the_step_and_the_loss(module, tmp_path, capsys):
    assert command(module, *FLAGS, "--learning-rate=1e37", "--out", tmp_path / "run") == 1
    assert "step " in one_line(capsys)


def test_samples_of_a_translation_are_refused_in_one_line(finished, capsys):
    from experiments import sample

    module, folder, _ = finished
    with pytest.raises(SystemExit) as stop:
        sample.main([str(folder)])
    assert stop.value.code == 2 and module.EXPERIMENT in one_line(capsys)


def test_translations_do_not_depend_on_how_many_there_are(finished):
    module, *_ = finished
    config = tiny(module)
    task = module.new_task(config, *([module.pairs(config)] if module is pix2pix else module.domains(config)))
    x = (module.pairs(config).test_a if module is pix2pix else module.domains(config)[0].test)[:9]
    np.testing.assert_allclose(task.generate(x)[:4], task.generate(x[:4]), atol=1e-6)
    assert images.Task._fields[3] == "generate"
