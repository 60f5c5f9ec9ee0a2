"""Calls of a compiled loop for several games: as many at a time as there are cores, each on its game's device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import gan_core as core


def warm_up(loop: Any, games: Sequence[Any], batches: Sequence[dict]) -> None:
    """Compile the loop, once for every device that games are on and every size of a batch."""
    kinds: dict[tuple, tuple[Any, dict]] = {}
    for game, batch in zip(games, batches, strict=True):
        kinds.setdefault((_device(game), next(iter(batch.values())).shape), (game, batch))
    for game, batch in kinds.values():
        with _on_its_device(game, games):
            core.warm_up(loop, game, batch)


def play(
    loop: Any, games: Sequence[Any], batches: Iterator[dict], most: int, threads: ThreadPoolExecutor
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """One call of the loop for every game, which plays at most `most` steps of the next of `batches`.

    Several games are played at the same time, in threads: TensorFlow releases Python's lock. Returns the losses
    `[n, k]`, or `[n, k, S]` of games with S seeds, and of every game the arrays of G's average `[periods, ...]`, if
    the loop keeps them.
    """

    def call(game: Any, batch: dict) -> tuple[np.ndarray, list[np.ndarray]]:
        n = min(next(iter(batch.values())).shape[0], most)
        with _on_its_device(game, games):
            result = loop(game, batch, core.tf.constant(n))
        losses, averages = result if loop.keep_every else (result, [])
        return losses.numpy()[:n], [average.numpy() for average in averages]

    if len(games) == 1:
        results = [call(games[0], next(batches))]
    else:
        # Submitted one by one: the first game trains while the next one's batches are still being drawn.
        submitted = [threads.submit(call, game, next(batches)) for game in games]
        results = [future.result() for future in submitted]
    return np.concatenate([losses for losses, _ in results], axis=-1), [averages for _, averages in results]


def _device(game: Any) -> str | None:
    """Where the game's variables are; None: it has no step, so that there is nothing to ask."""
    return getattr(getattr(game, "step", None), "device", None)


def _on_its_device(game: Any, games: Sequence[Any]) -> contextlib.AbstractContextManager:
    """Within it programs run where the game's variables are, if the games are on several devices."""
    return core.tf.device(_device(game)) if len(set(map(_device, games))) > 1 else contextlib.nullcontext()
