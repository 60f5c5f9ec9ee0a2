"""What the image experiments share: settings, the training loop, measuring fakes against real images, the pictures.

Images are float32 `[n, side, side]` in [0, 1] wherever they are measured or shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from rich.table import Table

import gan_data as data
import gan_runs as runs
import metrics

CHUNK = 50  # steps drawn ahead and trained in one call: 12 MB of images at batch 300
SHEET = 25  # latents that are watched through training, as a 5 x 5 grid


@dataclass(frozen=True)
class ImageConfig:
    """Settings of every image experiment."""

    recipe: str = ""
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, needs no network
    train_images: int = 60_000  # of the training set's first images, as many as there are
    seed: int = 0
    steps: int = 5000  # updates of each player, in total
    batch: int = 100  # real images and fakes per step; an epoch's last batch is filled up from its start
    eval_every: int = 500  # steps between records
    eval_samples: int = 10_000  # fakes behind the final numbers: as many as MNIST has test images
    log_samples: int = 2000  # fakes behind each record in log.jsonl
    checkpoint_every: int = 1000  # steps between checkpoints
    side: Annotated[int, tyro.conf.Suppress] = 0  # height and width of the images: the data's, not a flag

    def with_sensible_numbers(self) -> Any:
        """The same; BadInput for a number that cannot work, whatever the data."""
        positive = "train_images steps batch eval_every checkpoint_every"
        runs.require(self, positive, "at least 1", lambda v: v >= 1)
        runs.require(self, "eval_samples log_samples", "at least 100", lambda v: v >= 100)
        runs.require(self, "seed", "at least 0 and below 2^31", lambda v: 0 <= v < 2**31)
        runs.require(self, "steps", f"at least --eval-every, {self.eval_every}", lambda v: v >= self.eval_every)
        return self

    def checked(self) -> Any:
        """The same with `side` read off the data; BadInput for a value that cannot work."""
        self.with_sensible_numbers()
        height, width = load(self.data).train.shape[1:]
        if height != width:
            raise runs.BadInput(f"--data {self.data}: images of {height} x {width} pixels, expected square ones")
        return replace(self, side=height)


def load(source: str | None) -> data.Images:
    """`gan_data.load_images`, whose complaints are the user's to mend."""
    try:
        return data.load_images(source)
    except ValueError as error:
        raise runs.BadInput(str(error)) from None


def training_images(config: ImageConfig, images: data.Images) -> np.ndarray:
    """The uint8 images `[N, side, side]` that the config trains on."""
    return images.train[: config.train_images]


# ------------------------------------------------------------------------------------------- measuring


class Yardstick:
    """Real images, and what the judge sees in them, to measure fakes against.

    The floor of each number is what real training images score in the place of fakes, as many as there are, up to
    the number of fakes.
    """

    def __init__(self, images: data.Images, config: ImageConfig):
        from experiments import digit_classifier  # here: a wrong flag should not wait for it

        self.images, self.config = images, config
        self.judge = digit_classifier.judge_for(images)
        self.real = data.as_pixels(images.test)
        verdicts, self.features = self.judge.verdicts(self.real)
        self.confident = metrics.confident_share(verdicts)
        self.law = np.bincount(images.train_labels, minlength=10) / len(images.train_labels)
        self._floors: dict[str, float] | None = None

    def quick(self, fakes: np.ndarray) -> dict[str, Any]:
        """What every record holds, from fakes `[n, side, side]`; a second for 2000."""
        return self._quick(*self.judge.verdicts(fakes), fakes)

    def _quick(self, verdicts: np.ndarray, features: np.ndarray, fakes: np.ndarray) -> dict[str, Any]:
        labels = verdicts.argmax(-1)
        return {
            "frechet_digit_distance": metrics.frechet_digit_distance(self.features, features),
            "label_kl": metrics.label_kl(self.images.train_labels, labels),
            "pixel_kl": metrics.pixel_kl(self.real, fakes),
            "confident_share": metrics.confident_share(verdicts),
            "digits": len(np.unique(labels)),
        }

    def full(self, fakes: np.ndarray) -> dict[str, Any]:
        """Every number, from the final fakes; 20 s for 10,000 of 28 x 28."""
        verdicts, features = self.judge.verdicts(fakes)
        precision, recall = metrics.precision_recall(self.features, features)
        parzen = metrics.parzen_window(fakes, self.validation(), self.real)
        return self._quick(verdicts, features, fakes) | {
            "precision": precision,
            "recall": recall,
            "parzen": parzen.mean,
            "parzen_standard_error": parzen.standard_error,
            "parzen_sigma": parzen.sigma,
        }

    def validation(self) -> np.ndarray:
        """Images that choose the Parzen window: of MNIST the 1000 from 50,000 on, as in 2014."""
        n = len(self.images.train)
        return data.as_pixels(self.images.train[n - n // 6 :][:1000])

    def quick_floors(self) -> dict[str, float]:
        """The floors of `quick`, computed once."""
        if self._floors is None:
            real = data.as_pixels(self.images.train[: self.config.log_samples])
            self._floors = self._named(self.quick(real), self.config.log_samples)
        return self._floors

    def full_floors(self) -> dict[str, float]:
        """The floors of `full`."""
        real = data.as_pixels(self.images.train[: self.config.eval_samples])
        return self._named(self.full(real), self.config.eval_samples)

    def _named(self, floors: dict[str, Any], n: int) -> dict[str, Any]:
        floors |= {"label_kl": metrics.kl_floor(self.law, n).mean, "confident_share": self.confident}
        return {f"{name}_floor": value for name, value in floors.items()}


# ------------------------------------------------------------------------------------------- training


LOSSES = ("discriminator_loss", "generator_loss")


class Task(NamedTuple):
    """An experiment's own part of training."""

    game: Any  # all that training changes
    loop: Callable  # (game, batches) -> losses [n, k]
    draw: Callable[[int, int], dict]  # (first step, count) -> batches
    generate: Callable[[np.ndarray], np.ndarray]  # latent bits uint16 [n, latent_dim] -> fakes [n, side, side]
    networks: dict[str, list]  # name -> raw variables
    new_game: Callable[[], Any]  # another game of the same shapes
    losses: tuple[str, ...] = LOSSES  # names of the loop's k
    show: Callable | None = None  # as generate, for pictures alone


class Trained(NamedTuple):
    """What training leaves behind, for the report and the pictures."""

    config: ImageConfig
    images: data.Images
    yardstick: Yardstick
    records: list[dict]
    task: Task
    sheets: list[tuple[int, np.ndarray]]  # step and the fakes of the watched latents then, uint8


def latent_bits(seed: int, n: int, latent_dim: int, step: int = 0) -> np.ndarray:
    """Random bits of n latents `[n, latent_dim]` that training never sees."""
    return data.random_bits(seed, data.EVALUATION, step * n, n, latent_dim)


def in_parts(generate: Callable, *inputs: np.ndarray, at_once: int = 500) -> np.ndarray:
    """generate(*inputs), a few rows of the inputs at a time, to bound the memory."""
    parts = [slice(k, k + at_once) for k in range(0, len(inputs[0]), at_once)]
    return np.concatenate([generate(*(rows[part] for rows in inputs)) for part in parts])


def frechet(record: dict) -> str:
    """What the screen says of a record."""
    return f"Frechet digit distance {record['frechet_digit_distance']:.2f}"


def train(
    config: Any,
    run: runs.Run | None,
    new_task: Callable[[Any, data.Images], Task],
    new_yardstick: Callable[[data.Images, Any], Any] = Yardstick,
    headline: Callable[[dict], str] = frechet,
) -> Trained:
    """Play `config.steps` steps; every `eval_every` of them measure fakes and keep those of the watched latents."""
    run, images = run or runs.Run(), load(config.data)
    task = new_task(config, images)
    yardstick = new_yardstick(images, config)
    watched = latent_bits(config.seed, SHEET, config.latent_dim)
    sheets = Sheets(run.folder)

    def look(step: int) -> dict:
        fakes = task.generate(latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + step))
        if not np.isfinite(fakes).all():
            run.stop(f"step {step}: the generator's output is not finite")
        sheets.add(step, (task.show or task.generate)(watched))
        return yardstick.quick(fakes) | yardstick.quick_floors()

    play(config, run, task, sheets, look, headline)
    return Trained(config, images, yardstick, run.records, task, sheets.kept)


def play(
    config: Any,
    run: runs.Run,
    task: Task,
    sheets: "Sheets",
    look: Callable[[int], dict],
    headline: Callable[[dict], str],
) -> None:
    """Play `config.steps` steps; before the first and every `eval_every` record `look(step)` and the mean losses."""
    task.loop(task.new_game(), task.draw(*next(chunks(config, 0))))  # compile, and forget
    with run.training({"game": task.game}, config.steps) as done:
        sheets.forget_after(done)
        if done == 0:
            run.record({"step": 0} | look(0))
        drawn = data.prefetched(lambda chunk: task.draw(*chunk), list(chunks(config, done)))
        for first in range(done, config.steps, config.eval_every):
            last = min(first + config.eval_every, config.steps)
            losses = []
            for start in range(first, last, CHUNK):
                with run.timed():
                    losses.append(task.loop(task.game, next(drawn)).numpy())  # [n, k]
                run.require_finite(losses[-1][..., None], start, [config.seed], task.losses)
            means = np.concatenate(losses).mean(0).tolist()
            record = {"step": last} | look(last) | dict(zip(task.losses, means, strict=True))
            run.record(record, headline(record))
            run.checkpoint(last)


def chunks(config: ImageConfig, done: int) -> Iterator[tuple[int, int]]:
    """(first step, count) of each call of the loop: CHUNK steps, or what is left until the next record."""
    for first in range(done, config.steps, config.eval_every):
        last = min(first + config.eval_every, config.steps)
        for start in range(first, last, CHUNK):
            yield start, min(CHUNK, last - start)


class Sheets:
    """What is watched through training; in a run's folder samples/<step>.npy, and .png to look at meanwhile."""

    def __init__(self, folder: Path | None, columns: int = 5):
        self.folder, self.columns = folder / "samples" if folder else None, columns
        self.kept: list[tuple[int, np.ndarray]] = []
        if self.folder and self.folder.exists():
            self.kept = [(int(path.stem), np.load(path)) for path in sorted(self.folder.glob("[0-9]*.npy"))]

    def add(self, step: int, fakes: np.ndarray) -> None:
        rounded = np.round(255 * fakes).astype(np.uint8)
        self.kept.append((step, rounded))
        if self.folder:
            import gan_plots as plots  # here: seaborn takes seconds to import

            with runs.replacing(self.folder / f"{step:08d}.npy") as temporary:
                np.save(temporary, rounded)
            plots.save_sheet(self.folder / f"{step:08d}.png", fakes, self.columns)

    def forget_after(self, step: int) -> None:
        """Drop what a resumed run will draw again."""
        self.kept = [kept for kept in self.kept if kept[0] <= step and step > 0]


# ------------------------------------------------------------------------------------------- the report


def show_parameters(networks: dict[str, list]) -> None:
    """A table of every weight's shape and the number of parameters of each network."""
    table = Table("network", "shapes of the raw variables", "parameters", box=runs.box.SIMPLE_HEAD)
    table.columns[-1].justify = "right"
    for name, weights in networks.items():
        shapes = ", ".join("x".join(map(str, w.shape)) or "1" for w in weights)
        table.add_row(name, shapes, f"{parameters(weights):,}")
    runs.console.print(table)


def parameters(weights: list) -> int:
    """Numbers held by raw variables."""
    return int(sum(np.prod(w.shape) for w in weights))


ROWS = {  # label -> key and format
    "Frechet digit distance": ("frechet_digit_distance", ".2f"),
    "label KL, nats": ("label_kl", ".4f"),
    "pixel KL, nats": ("pixel_kl", ".4f"),
    "share the judge is 90% sure of": ("confident_share", ".3f"),
    "digits seen, of 10": ("digits", "d"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "Parzen log-likelihood, nats": ("parzen", ".1f"),
}


def report(trained: Trained, experiment: str) -> dict[str, Any]:
    """The final numbers, each with its floor."""
    config, yardstick = trained.config, trained.yardstick
    fakes = trained.task.generate(latent_bits(config.seed, config.eval_samples, config.latent_dim))
    head = {
        "experiment": experiment,
        "recipe": config.recipe,
        "data": trained.images.name,
        "seed": config.seed,
        "steps": config.steps,
        "parameters": {name: parameters(weights) for name, weights in trained.task.networks.items()},
        "judge_accuracy": yardstick.judge.test_accuracy,
    }
    return head | yardstick.full(fakes) | yardstick.full_floors()


def show_table(result: dict[str, Any], rows: dict[str, tuple[str, str]], floor: str = "floor: real images") -> None:
    """Each number beside its floor; `rows`: label -> key and format."""
    title = f"{result['data']}, recipe {result['recipe']}, seed {result['seed']}, {result['steps']} steps"
    table = Table("", "fakes", floor, title=title, title_justify="left", box=runs.box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, (name, form) in rows.items():
        table.add_row(label, format(result[name], form), format(result[f"{name}_floor"], form))
    runs.console.print(table)


def show(run: runs.Run, result: dict[str, Any], rows: dict[str, tuple[str, str]]) -> None:
    """The closing table, the folder, and what the headline number means."""
    show_table(result, rows)
    runs.say(f"{run.folder}: pictures in figures/, every number in result.json and log.jsonl")
    distance, floor = (result[f"frechet_digit_distance{end}"] for end in ("", "_floor"))
    runs.say(
        f"Frechet digit distance {distance:.2f}: how far the judge's view of the fakes is from that of the test "
        f"images; real training images score {floor:.2f}. {result['train_seconds']:.0f} s of training"
    )


def strip(sheets: list[tuple[int, np.ndarray]], rows: int, columns: int = 10) -> np.ndarray:
    """The first `columns` watched images at up to `rows` steps, evenly through training, in [0, 1]."""
    chosen = np.unique(np.linspace(0, len(sheets) - 1, rows).round().astype(int))
    return np.concatenate([sheets[i][1][:columns] / 255 for i in chosen])


def save_figures(trained: Trained, folder: Path) -> None:
    """samples, strip, interpolation, neighbours, curves (.png) and training.gif."""
    import gan_plots as plots  # here: seaborn takes seconds to import, and a wrong flag should not wait for it

    config, fakes = trained.config, save_samples(trained, folder)
    nearest = metrics.nearest_neighbours(fakes[:20], data.as_pixels(training_images(config, trained.images)))[1][:, 0]
    pairs = np.concatenate([fakes[:20], data.as_pixels(trained.images.train[nearest])])
    plots.save_sheet(folder / "neighbours.png", pairs, columns=20)
    plots.save(plots.image_curves(trained.records), folder / "curves.png")


def save_samples(trained: Trained, folder: Path) -> np.ndarray:
    """samples, strip, interpolation (.png) and training.gif; the 100 samples."""
    import gan_plots as plots

    config, generate = trained.config, trained.task.show or trained.task.generate
    fakes = generate(latent_bits(config.seed, 100, config.latent_dim))
    plots.save_sheet(folder / "samples.png", fakes, columns=10)
    plots.save_sheet(folder / "strip.png", strip(trained.sheets, rows=11), columns=10)
    plots.save_sheet(folder / "interpolation.png", generate(interpolation(config, rows=10, columns=12)), columns=12)
    plots.sheet_animation(folder / "training.gif", trained.sheets)
    return fakes


def train_and_report(
    experiment: str,
    train: Callable,
    more: Callable[[Trained], dict[str, Any]] = lambda trained: {},
    rows: dict[str, tuple[str, str]] = ROWS,
) -> Callable[[Any, runs.Run], None]:
    """The whole of an image experiment for `gan_runs.command_line`: train, measure, draw, tell.

    Args:
        more: further final numbers, each with its floor.
        rows: those of the closing table, as `ROWS`.
    """

    def whole(config, run):
        trained = train(config, run)
        show_parameters(trained.task.networks)
        save_figures(trained, run.folder / "figures")
        show(run, run.finish(report(trained, experiment) | more(trained)), rows)

    return whole


def interpolation(config: Any, rows: int, columns: int) -> np.ndarray:
    """Latent bits on the way between pairs of latents `[rows * columns, latent_dim]`.

    Along a great circle (White 2016): on the straight line between two normal latents the length dips to 70%, where
    the generator was never trained.
    """
    from scipy.special import ndtr, ndtri

    ends = ndtri((latent_bits(config.seed, 2 * rows, config.latent_dim) + 0.5) / 65536)
    angle = np.linspace(0, np.pi / 2, columns)[:, None]
    paths = [np.cos(angle) * a + np.sin(angle) * b for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return np.clip(np.floor(65536 * ndtr(np.concatenate(paths))), 0, 65535).astype(np.uint16)
