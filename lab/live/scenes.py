"""What the page shows of a game: arrays for its pictures, and the numbers of its curves with their floors.

A scene is made for one set of real data. `look` is asked for every frame and answers for the seed that is shown;
`measure` is asked about once a second and answers for all seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

import gan_core as core
import metrics
from gan_core import tf
from lab import draws, points, targets

SHOWN, PUSHED = 500, 150  # fakes of the shown seed, and those with an arrow
RASTER, LATTICE = 40, 31  # cells of D's heat map, and lines of G's lattice, along a side
MANY = 20_000  # fakes whose shares of cells estimate G's density
CURVE = 300  # places of the densities on the line


def new_look(config: Any) -> Any:
    """`look(d, g, k, places, bits, lattice, real, companies) -> fakes, pushes, logits, sheet` of GAN k of a block.

    One compiled program, because it is asked for every frame: the fakes `[1, F, n]` of latents given as random bits,
    minus the gradient of G's loss at as many of them as there are `real` points, D's logits `[1, 1, n]` at `places`,
    and G's images of a lattice of latents. `d` and `g` are the weights of the block. A packed D sees each point
    beside the training points `companies`, those of the places and those of the fakes.
    """
    d, g, loss = points.networks(config)[0], points.perceptron(config), core.LOSSES[config.loss].g

    def look(d_weights, g_weights, k, places, bits, lattice, real, companies):
        d_one, g_one = ([tf.gather(w, [k]) for w in weights] for weights in (d_weights, g_weights))

        def logits(x: tf.Tensor, company: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(d(points.in_packs(x, company), d_one), axis=0) if companies else d(x, d_one)

        of_places, of_fakes = companies or (None, None)
        fakes, sheet = g(draws.latents(bits, config.latent), g_one), g(lattice, g_one)
        with tf.GradientTape() as tape:
            pushed = fakes[..., : real.shape[-1]]
            tape.watch(pushed)
            total = tf.reduce_sum(loss(logits(real, of_fakes), logits(pushed, of_fakes)))
        return fakes, -tape.gradient(total, pushed), logits(places, of_places), sheet

    return core.compiled(look)


class Looker:
    """Asks one seed at a time, in the unit of the data. The latents are the same at every step: no fake flickers."""

    def __init__(self, look: Any, places: np.ndarray, fakes: int, lattice: np.ndarray):
        self.look, self.places, self.fakes = look, places, fakes
        self.lattice = lattice[None].astype(np.float32)
        self.seed, self.inputs = -1, tuple[Any, ...]()

    def __call__(self, gans: points.Ensemble, seed: int, d: list, g: list, k: int) -> tuple[np.ndarray, ...]:
        """Fakes `[F, n]`, pushes `[F, PUSHED]`, logits at the places `[P]` and the image of the lattice `[F, L]`.

        ValueError: the seed has diverged.
        """
        mean, std = gans.mean[seed], gans.std[seed]
        if seed != self.seed:
            self.seed, one = seed, slice(seed, seed + 1)
            bits = draws.bits_for_seeds(gans.seeds[one], draws.EVALUATION, 0, 1, (gans.config.latent_dim, self.fakes))
            sizes = (self.places.shape[-1], PUSHED) if gans.config.pack > 1 else ()
            companies = tuple(gans.company(one, n) for n in sizes)
            real = gans.points[one][:, :, np.arange(PUSHED) % gans.points.shape[2]]
            self.inputs = (np.float32((self.places - mean) / std), bits[0], self.lattice, real, companies)
        answers = self.look(d, g, tf.constant(k), *self.inputs)
        fakes, pushes, logits, sheet = (answer.numpy()[0] for answer in answers)
        if not (np.isfinite(fakes).all() and np.isfinite(logits).all()):
            raise ValueError("fakes or logits are not finite")
        return fakes * std + mean, pushes / std, logits[0], sheet * std + mean


class Plane:
    """Points in the plane, of `mixture_2d`."""

    kind, estimated = "plane", False

    def __init__(self, script: Any, config: Any, real: targets.RealPoints):
        self.script, self.config, self.real = script, config, real
        modes = len(real.modes.centres) if real.modes else 0
        middle, reach = script.square_around(real)
        self.view = [*map(float, middle), reach]
        self.edges = np.linspace(-reach, reach, RASTER + 1)
        centres = (self.edges[:-1] + self.edges[1:]) / 2
        self.places = np.stack(np.meshgrid(centres, centres)).reshape(1, 2, -1) + middle[:, None]
        self.middle = middle
        self.lattice = draws.latent_lattice(config.latent, config.latent_dim, LATTICE, 1)
        self.shown = SHOWN
        self.masses = self._real_masses()
        floors = script.floors(real, config.eval_samples)
        names = {"kl": "KL(real || fake), nats"}
        if modes:
            names |= {"high_quality": "share within 3 sd of a mode", "modes": f"modes reached, of {modes}"}
        tops = {"kl": None, "high_quality": 1.0, "modes": float(modes)}
        self.measures: list[dict[str, Any]] = [
            {"name": n, "label": label, "log": n == "kl", "floor": floors[n], "top": tops[n], "charts": n}
            for n, label in names.items()
        ]
        self.fixed: dict[str, np.ndarray] = {"real": real.test[:SHOWN].T.astype(np.float32)}

    def _real_masses(self) -> np.ndarray | None:
        """The exact probability of each cell of the raster `[R, R]`; None if it is not known, or D sees packs."""
        if not self.real.modes or self.config.pack > 1:  # p / (p + q) is the best answer to single points alone
            return None
        centres, std = self.real.modes
        x, y = (
            np.diff(norm.cdf((self.edges + self.middle[k] - centres[:, k, None]) / std), axis=1) for k in (0, 1)
        )  # [modes, R]
        return np.einsum("my,mx->yx", y, x) / len(centres)

    def look(self, fakes: np.ndarray, pushes: np.ndarray, logits: np.ndarray, sheet: np.ndarray) -> dict:
        """The pictures of one seed, from the answers of a `Looker`."""
        return self.fixed | {
            "fakes": fakes,
            "pushes": pushes,
            "logits": logits.reshape(RASTER, RASTER),
            "sheet": sheet.reshape(2, LATTICE, -1),
        }

    def measure(self, gans: points.Ensemble, step: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The numbers of every seed `[K, S]`, and the pictures that are renewed with them."""
        fakes, diverged = without_diverged(gans.sample(step))
        found = self.script.measure(self.real, fakes)
        pictures = {"thumbs": np.where(diverged[:, None, None], np.nan, fakes[:, :, :PUSHED])}
        if self.masses is not None and not diverged[seed]:
            pictures["optimal"] = self.optimal(many_fakes(gans, seed))
        return np.where(diverged, np.nan, [found[m["name"]] for m in self.measures]), pictures

    def optimal(self, fakes: np.ndarray) -> np.ndarray:
        """D*(x) = p / (p + q) in each cell `[R, R]`: p exact, q the share of the fakes; NaN where both are tiny."""
        assert self.masses is not None
        x, y = fakes - self.middle[:, None]
        q = np.histogram2d(y, x, (self.edges, self.edges))[0] / fakes.shape[1]
        return best_answer(self.masses, q, 5 / fakes.shape[1])


class Line:
    """Numbers on a line, of `normal_1d`."""

    kind = "line"

    def __init__(self, script: Any, config: Any, real: targets.RealNumbers):
        self.script, self.config, self.real = script, config, real
        self.estimated = bool(real.held_out)  # the real density is only known from the numbers of a file
        self.edges = metrics.histogram_edges(real.truth)
        low, high = 1.1 * self.edges[0] - 0.1 * self.edges[-1], 1.1 * self.edges[-1] - 0.1 * self.edges[0]
        self.view = [float(low), float(high)]
        self.x = np.linspace(low, high, CURVE)
        self.places, self.shown = self.x[None, None], 2000
        self.lattice = np.zeros((config.latent_dim, 1))  # on a line there is nothing to bend
        self.masses = metrics.bin_masses(real.truth, self.edges)
        floors = script.floors(real, config.eval_samples, self.masses)
        self.measures: list[dict[str, Any]] = [
            {"name": "kl", "label": "KL(real || fake), nats", "charts": "kl", "top": None},
            {"name": "lost_mass", "label": "share of the real mass that is lost", "charts": "lost", "top": None},
            {"name": "game_value", "label": "value of the game, nats", "charts": "value", "top": None},
        ]
        if config.pack == 1:  # the best answer to packs is another one
            label = f"-ln 4 + 2 JSD of {len(self.masses)} bins"
            self.measures += [{"name": "game_value_optimal", "label": label, "charts": "value", "top": None}]
        found = {"kl": floors["kl_floor"], "lost_mass": floors["lost_mass_floor"], "game_value": -metrics.LN4}
        for measure in self.measures:
            measure |= {"log": measure["name"] == "kl", "floor": found.get(measure["name"])}
        self.small_x = np.linspace(low, high, 100)
        p, small_p = real.density(self.x), real.density(self.small_x)
        self.fixed: dict[str, np.ndarray] = {"x": self.x, "p": p, "thumb_p": small_p}

    def look(self, fakes: np.ndarray, pushes: np.ndarray, logits: np.ndarray, sheet: np.ndarray) -> dict:
        """The pictures of one seed, from the answers of a `Looker`."""
        few = {"fakes": fakes[0, :60], "pushes": pushes[0, :60]}
        return self.fixed | few | {"q": targets.kernel_density(fakes[0], self.x), "logits": logits}

    def measure(self, gans: points.Ensemble, step: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The numbers of every seed `[K, S]`, and the pictures that are renewed with them."""
        fakes, diverged = without_diverged(gans.sample(step)[:, 0])
        real, config = self.real, gans.config
        shares = metrics.bin_counts(fakes, self.edges) / fakes.shape[1]
        fresh = np.stack([real.draw(fakes.shape[1], config.seed + k) for k in range(config.seeds)])
        loss = core.LOSSES[config.loss]
        d_loss = np.mean(loss.d(*(gans.d_logits_of_packs(x[:, None]) for x in (fresh, fakes))), axis=-1)
        found = {
            "kl": metrics.histogram_kl(real.truth, fakes, self.edges),
            "lost_mass": metrics.lost_mass(real.truth, fakes),
            "game_value": -d_loss if loss.logistic else np.full(len(fakes), np.nan),
            "game_value_optimal": metrics.game_value(metrics.jensen_shannon(self.masses, shares)),
        }
        thumbs = np.stack([targets.kernel_density(row[:1000], self.small_x) for row in fakes])
        pictures = {"thumbs": np.where(diverged[:, None], np.nan, thumbs)}
        if config.pack == 1 and not self.estimated and not diverged[seed]:
            pictures["optimal"] = self.optimal(many_fakes(gans, seed)[0])
        return np.where(diverged, np.nan, [found[m["name"]] for m in self.measures]), pictures

    def optimal(self, fakes: np.ndarray) -> np.ndarray:
        """D* at each x of the picture, from the exact mass and the share of the fakes in its bin of the KL.

        NaN where both are tiny: of 50 numbers, half of them real, chance alone moves the answer by .05. An estimated
        density would move it everywhere, because it is too low on peaks and too high between them.
        """
        q = metrics.bin_counts(fakes, self.edges) / len(fakes)
        return best_answer(self.masses, q, 50 / len(fakes))[np.searchsorted(self.edges, self.x)]


SCENES = {"mixture_2d": Plane, "normal_1d": Line}


def without_diverged(fakes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fakes `[S, ...]` with 0 in place of those of each seed that has diverged, and which seeds have `[S]`."""
    diverged = ~np.isfinite(fakes).all(axis=tuple(range(1, fakes.ndim)), keepdims=True)
    return np.where(diverged, 0, fakes), diverged.reshape(-1)


def many_fakes(gans: points.Ensemble, seed: int) -> np.ndarray:
    """So many fakes `[F, MANY]` of one seed that their shares of cells are precise; of the same latents each time."""
    one, config = gans.alone(seed), gans.config
    bits = draws.bits_for_seeds(one.seeds, draws.EVALUATION, 1, 1, (config.latent_dim, MANY))[0, 0]
    return one.from_latents(np.asarray(draws.latents(bits, config.latent)))[0]


def best_answer(p: np.ndarray, q: np.ndarray, least: float) -> np.ndarray:
    """D* = p / (p + q) of the probabilities of cells; NaN where their sum is at most `least`: there q is chance."""
    return np.where(p + q > least, metrics.optimal_discriminator(p, q), np.nan)


def stage_arrays(gans: points.Ensemble, seed: int, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One minibatch of one seed for slow motion: latents, fakes, real points, D's logits and its push on the fakes.

    `batch` holds `x [S, F, B]` and the random bits `z [S, Z, B]` of one step, of all seeds. The page gets the arrays
    whose names begin with `stage_`. Of the latents these are the first two numbers, as places from -1 to 1 in equal
    steps of probability, like G's flat lattice. The losses are about the packs, which are what D sees in training.
    """
    one = gans.alone(seed)
    bits = np.asarray(batch["z"])[seed]
    z = np.asarray(draws.latents(bits, gans.config.latent))
    real = np.asarray(batch["x"])[seed : seed + 1] * one.std + one.mean
    fakes = fakes_in_training(gans, seed, z)[None]
    return {
        "z": z,
        "packs_d_fake": one.d_logits_of_packs(fakes)[0],
        "packs_d_real": one.d_logits_of_packs(real)[0],
        "stage_z": np.asarray(draws.latents(bits[:2], "uniform")),
        "stage_fakes": fakes[0],
        "stage_real": real[0],
        "stage_d_fake": one.d_logits(fakes)[0],
        "stage_d_real": one.d_logits(real)[0],
        "stage_pushes": one.pushes(fakes)[0],
    }


def fakes_in_training(gans: points.Ensemble, seed: int, z: np.ndarray) -> np.ndarray:
    """Where the G of one seed, and not its average, puts the latents `[Z, n]`: `[F, n]` in the unit of the data."""
    one = gans.alone(seed)
    return one.from_latents(z, [one.games[0].generator.weights])[0]
