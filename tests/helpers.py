"""What the tests of several scripts share."""

import contextlib
import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from lab import cli, runs


def one_line(capsys):
    """The one line on standard error."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    return error


def command(module, *args, draw=True):
    """Run a script's command line in this process, with or without its figures; returns its exit code."""
    table = getattr(module, "TABLE", None)
    figures = module.figures if draw else lambda trained, result, folder: None
    words, spread = [str(a) for a in args], getattr(module, "SPREAD", None)
    try:
        cli.main("", module.RECIPES, module.train, module.evaluate, figures, table, words, spread)
    except SystemExit as stop:
        return stop.code
    return 0


def quiet_command(module, *args, draw=True):
    """The same where pytest's `capsys` is not at hand: exit code and standard output."""
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        code = command(module, *args, draw=draw)
    return code, screen.getvalue()


def config_of(module, flags):
    """The settings that these flags stand for."""
    return cli.parsed(module.RECIPES, "", flags, getattr(module, "SPREAD", None)).config


class Killed(Exception):
    pass


class DyingRun(runs.Run):
    """A run whose process dies right after the record of step `at` is logged, before it is saved."""

    def __init__(self, folder, at):
        super().__init__(folder)
        self.at = at

    def _save(self):
        if self.step == self.at:
            raise Killed
        super()._save()


def without_times(records):
    return [{k: v for k, v in r.items() if k != "train_seconds"} for r in records]


def write_pngs(folder, count, height, width, mode="L", seed=0):
    """Random pictures 000.png, 001.png, ...; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        shape = (height, width) if mode == "L" else (height, width, len(mode))
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{k:03d}.png")
    return folder


def assert_first_gradients(player, expected, beta1=0.5):
    """A player's gradients in its first step: after it, Adam's mean is (1 - beta1) times the gradient."""
    for mean, gradient in zip(player.mean, expected, strict=True):
        # the bias of a convolution before instance norm has gradient 0, of which rounding leaves some 1e-6
        tolerance = 2e-3 * float(np.abs(gradient).max()) + 1e-5
        np.testing.assert_allclose(mean / (1 - beta1), gradient, rtol=2e-3, atol=tolerance)


def attacked(content: bytes) -> st.SearchStrategy[bytes]:
    """Arbitrary bytes, and this content with up to three pieces of it flipped, cut out, doubled or written over."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        found = content
        for _ in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, max(0, len(found) - 1)) | st.integers(0, 150))  # headers are at the start
            end = draw(st.just(len(found)) | st.integers(0, 40).map(lambda n, start=start: start + n))
            piece = found[start:end]
            others = [b"", 2 * piece, bytes(len(piece)), bytes(255 - b for b in piece)]
            new = draw(st.sampled_from(others) | st.binary(max_size=40))
            found = found[:start] + new + found[end:]
        return found

    return changed() | st.binary(max_size=200) | st.text(max_size=100).map(str.encode)
