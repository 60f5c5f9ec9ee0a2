"""One training on many devices: each takes its rows of every batch, and together they play the step of one device.

`tf.distribute` runs the step on all of them at once. By `gan_core.mean_over_replicas` the devices average the
gradients, batch norm's means and variances, the losses, and the mean logits of `relativistic_average`; by `all_rows`
they exchange the fakes that CycleGAN keeps. Every device holds its own copy of the game. All copies start alike and
make the same updates, so that they stay alike in every bit.

With TF_CONFIG in the environment several processes, the workers, train together, on one machine or on many. The first
of them is the chief: it alone writes. A worker is told who the others are and which of them it is itself:

    TF_CONFIG='{"cluster": {"worker": ["host0:4000", "host1:4000"]}, "task": {"type": "worker", "index": 0}}'
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gan_core as core
from gan_core import tf
from lab import files, screen, signals
from lab.files import BadInput

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'


class LostWorker(Exception):
    """Another worker does not answer any more: one line that says which."""


# ------------------------------------------------------------------------------------------------ workers


class Cluster(NamedTuple):
    """The addresses of all workers, the chief's first, and which of them this process is."""

    addresses: list[str]
    number: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.number == 0


def cluster() -> Cluster | None:
    """What TF_CONFIG says; None if this process trains alone. BadInput: it cannot be used."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], task["index"]
        sizes = {name: len(jobs[name]) for name in ("chief", "worker") if name in jobs}
        addresses = [address for name in sizes for address in jobs[name]]
        if not (isinstance(jobs, dict) and isinstance(kind, str) and all(map(is_address, addresses))):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"TF_CONFIG {text}: expected {EXAMPLE}") from None
    if set(jobs) - set(sizes) or sizes.get("chief", 1) != 1:
        raise BadInput(f"TF_CONFIG: jobs {', '.join(jobs)}: expected workers, and at most one chief")
    if len(set(addresses)) < len(addresses):
        raise BadInput(f"TF_CONFIG: {', '.join(addresses)}: expected a different address for each worker")
    if kind not in sizes:
        raise BadInput(f"TF_CONFIG: task type {kind!r}: expected {' or '.join(sizes)}")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < sizes[kind]:
        raise BadInput(f"TF_CONFIG: task index {index!r}: expected 0 to {sizes[kind] - 1}, of type {kind}")
    before = sizes.get("chief", 0) if kind == "worker" else 0
    return Cluster(addresses, before + index) if len(addresses) > 1 else None


def is_address(word: object) -> bool:
    """Whether it is a text HOST:PORT."""
    host, _, port = word.rpartition(":") if isinstance(word, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _silent(addresses: Sequence[str], number: int) -> list[int]:
    """Which of the other workers accept no connection."""
    silent = []
    for k, address in enumerate(addresses):
        host, _, port = address.rpartition(":")
        try:
            if k != number:
                socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            silent.append(k)
    return silent


# ------------------------------------------------------------------------------------------------ devices


def start(count: int | None, batch: int) -> Devices:
    """The devices that share each batch of `batch` samples; call it before the first tensor.

    `count`: what --devices says; None: the devices of all workers, or all GPUs of this machine, or one CPU. With one
    device there is no strategy. BadInput: there are fewer devices, or the batch cannot be shared equally.
    """
    workers = cluster() if count is None else None
    _require_shares(batch, len(workers.addresses) if workers else count or 1)
    names = local_devices(count)
    if workers:
        with _startup(workers):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(names) > 1:
        # For CPU devices of one process it is simplest to add up on one of them; GPUs have NCCL, TensorFlow's choice.
        on_one = tf.distribute.ReductionToOneDevice() if names[0].startswith("CPU") else None
        strategy = tf.distribute.MirroredStrategy(names, on_one)
    else:
        return Devices()
    _require_shares(batch, strategy.num_replicas_in_sync)
    return Devices(strategy, workers)


def for_blocks(count: int | None) -> list[str]:
    """The devices that train the blocks of seeds, each block on one of them; an empty list if there is only one.

    Call it before the first tensor. `count`: what --devices says; None: all GPUs or, without any, one CPU. BadInput:
    there are fewer.
    """
    names = local_devices(count)
    return names if len(names) > 1 else []


def local_devices(count: int | None) -> list[str]:
    """The names of this machine's first `count` devices: its GPUs or, without any, as many CPU devices as asked for.

    BadInput: there are fewer.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if (count or 1) > len(gpus):
            raise BadInput(f"--devices {count}: expected at most {len(gpus)}, the GPUs of this machine")
        return [f"GPU:{k}" for k in range(count or len(gpus))]
    wanted, cores = count or 1, files.cores()
    if wanted > cores:
        raise BadInput(f"--devices {count}: expected at most {cores}, the cores of this machine, which has no GPU")
    if wanted > 1:
        parts = [tf.config.LogicalDeviceConfiguration()] * wanted
        try:
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
        except RuntimeError:  # TensorFlow has started already
            if (there := len(tf.config.list_logical_devices("CPU"))) < wanted:
                raise BadInput(f"--devices {count}: TensorFlow was started with {there} in this process") from None
    return [f"CPU:{k}" for k in range(wanted)]


def described(count: int | None) -> str:
    """What trained, in words, such as `CPU`, `2 x NVIDIA H200` or `CPU, 2 workers`. `count`: what --devices says."""
    gpus = [tf.config.experimental.get_device_details(g) for g in tf.config.list_physical_devices("GPU")]
    kind = gpus[0].get("device_name", "GPU") if gpus else "CPU"
    number = count or max(1, len(gpus))
    workers = cluster() if count is None else None
    return (f"{number} x {kind}" if number > 1 else kind) + (f", {len(workers.addresses)} workers" if workers else "")


def _require_shares(batch: int, count: int) -> None:
    if batch % count:
        raise BadInput(f"--batch {batch}: expected a multiple of {count}, the number of devices that share it")


@contextlib.contextmanager
def _startup(workers: Cluster) -> Iterator[None]:
    """Say what the wait is for. BadInput if this worker's port is taken.

    While TensorFlow waits, no signal is heard, because it holds Python's lock. So each worker waits here until all
    others are there. TensorFlow also puts another handler in the place of SIGTERM's.
    """
    address = workers.addresses[workers.number]
    try:
        with screen.waiting("waiting for the other workers"):
            with socket.create_server(("", int(address.rpartition(":")[2]))) as own_port:
                own_port.setblocking(False)
                while _silent(*workers):
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            own_port.accept()[0].close()
                    time.sleep(0.5)
            yield
    except (tf.errors.OpError, RuntimeError, OSError) as error:
        reason = files.why(error)[:200]
        raise BadInput(f"TF_CONFIG: worker {workers.number} ({address}) cannot be started: {reason}") from None
    finally:
        signals.take_back()


class Devices:
    """The devices that share each batch; without a strategy the one that TensorFlow uses anyway."""

    def __init__(self, strategy: Any = None, workers: Cluster | None = None):
        self.strategy, self._workers = strategy, workers

    def compiled_loop(self, step: Callable, batch_axis: Mapping[str, int | None] | None = None) -> Any:
        """`core.compiled_loop` as a graph, for convolutions, with each step shared between the devices.

        Args:
            step: `(game, batch) -> losses`, as on one device.
            batch_axis: of the tensors of a step, by name, the axis that counts its samples; 0 where it is not given.
                None: every device gets the whole tensor.
        """
        if not self.strategy:
            # XLA, TensorFlow's compiler, only on a GPU: on a CPU its convolutions take 60 times as long.
            return core.compiled_loop(step, jit_compile=bool(tf.config.list_physical_devices("GPU")))
        return _SharedLoop(self.strategy, self._workers, step, batch_axis or {})


class _SharedLoop:
    """The loop of `core.compiled_loop` over steps that all devices share. The game is that of the first device."""

    jit_compile, keep_every = False, None

    def __init__(self, strategy: Any, workers: Cluster | None, step: Callable, batch_axis: Mapping[str, int | None]):
        self._strategy, self._workers, self._step, self._batch_axis = strategy, workers, step, batch_axis
        self._program: Any = core.compiled_loop(self._shared_step, jit_compile=False)
        self._copies: list[Any] = []  # of the game, one for each device of this process

    def __call__(self, game: Any, batches: dict[str, tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        try:
            return self._program(self._of_each_device(game), batches, count)
        except tf.errors.OpError as error:
            raise self._explained(error) from None

    def get_concrete_function(self, game: Any, batches: dict[str, tf.Tensor], count: tf.Tensor) -> Any:
        """Get ready without playing a step: trace the graph, optimise it, and wait for the other workers."""
        if self._workers:
            self._require_same_step(game)
        return self(game, batches, tf.constant(0))

    def _require_same_step(self, game: Any) -> None:
        """BadInput unless all workers have restored the same checkpoint."""

        def mean_step() -> tf.Tensor:
            return core.mean_over_replicas([tf.cast(game.step, tf.float64)])[0]

        mean = tf.function(lambda: self._strategy.run(mean_step), autograph=False)()
        mean = self._strategy.experimental_local_results(mean)[0].numpy()
        if mean != (step := game.step.numpy()):
            raise BadInput(
                f"--resume: this worker is at step {step}, others are not; all need to see the same folder"
            )

    def _of_each_device(self, game: Any) -> list[Any]:
        """The game, which was restored by now, and a copy of it on each other device of this process."""
        if not self._copies:
            for device in self._strategy.extended.worker_devices[1:]:
                with tf.device(device):
                    self._copies.append(tf.nest.map_structure(lambda v: tf.Variable(v), game))
        return [game, *self._copies]

    def _shared_step(self, games: list[Any], batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """One step on all devices; returns the losses of the whole batch."""

        def step_of_one_device(batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            rows = {name: own_rows(value, self._batch_axis.get(name, 0)) for name, value in batch.items()}
            losses = self._step(games[replica() % len(games)], rows)
            return core.mean_over_replicas(losses)

        losses = self._strategy.run(step_of_one_device, (batch,))
        return [self._strategy.experimental_local_results(loss)[0] for loss in losses]  # they are the same on all

    def _explained(self, error: Exception) -> Exception:
        """The error, or which worker was lost."""
        own_fault = tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError
        if not self._workers or isinstance(error, own_fault):
            return error
        silent = _silent(*self._workers)
        names = ", ".join(f"worker {k} ({self._workers.addresses[k]})" for k in silent)
        return LostWorker(f"{names or 'another worker'} is lost")


# ------------------------------------------------------------------------------------------ within a step


def replica() -> int:
    """Which of the devices that share this step runs it: 0, 1, ..."""
    return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))


def own_rows(x: tf.Tensor, axis: int | None = 0) -> tf.Tensor:
    """This device's equal share of the samples that lie along an axis; all of `x` on one device or with axis None."""
    if (count := core.replicas()) == 1 or axis is None:
        return x
    share, k = x.shape[axis] // count, replica()
    return x[(*[slice(None)] * axis, slice(k * share, (k + 1) * share))]


def all_rows(x: tf.Tensor) -> tf.Tensor:
    """The samples `[B, ...]` of the whole batch from each device's share of them, in the order of `own_rows`."""
    if (count := core.replicas()) == 1:
        return x
    gathered = tf.distribute.get_replica_context().all_gather(x, axis=0)
    return tf.ensure_shape(gathered, (count * x.shape[0], *x.shape[1:]))
