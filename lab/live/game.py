"""A game that is played a few steps at a time, on the programs of the scripts `normal_1d` and `mixture_2d`.

The script's `rules` and `gan_core.adversarial_step` do the training here as well, on the script's own minibatches.
Rates, betas and the average are variables of the program, so that no change of them compiles anything; 200 steps in
odd chunks equal the script's loop in every bit. The weights of the penalties are constants until they are first
changed: XLA multiplies constants with each other before it multiplies anything with them, and the rounding differs.
"""

from __future__ import annotations

import copy
import itertools
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import gan_core as core
from gan_core import tf
from lab import draws, files, points
from lab.runs import Period

# Steps of one call of a program, with layers of 64 units or more and with narrower ones: about 40 ms. Fewer steps are
# the same program with a smaller count.
CALL, CALL_OF_NARROW = 16, 128
PENALTIES = ("r1", "r2", "gradient_penalty")
RATES = ("learning_rate", "discriminator_rate", "beta1", "beta2", "average")
NEVER_COMPILED = (  # settings that are no part of a program
    *("seed", "target", "target_args", "data", "samples", "standardise", "jitter", "epochs"),
    *("eval_every", "eval_samples", "checkpoint_every", *RATES),
)
GOING_ON = (  # settings that may change while a game goes on: its networks and its data stay what they are
    *("loss", "batch", "unroll", "steps", "penalty_end", "schedule", "discriminator_schedule", "eval_every"),
    *(*PENALTIES, *RATES),
)


class Knobs:
    """Rates, betas, the average and the weights of penalties as float64 variables, shared by all programs."""

    def __init__(self) -> None:
        names = ("adam_d", "adam_g", "beta1", "beta2", "average", *PENALTIES)
        self.variables = {name: tf.Variable(0.0, dtype=tf.float64) for name in names}
        self.config: Any = None  # whose values they have

    def set(self, rules: core.Rules) -> None:
        """Take over the numbers of a script's rules."""
        values = {"adam_d": rules.adam_d.learning_rate, "adam_g": rules.adam_g.learning_rate}
        values |= {"beta1": rules.adam_g.beta1, "beta2": rules.adam_g.beta2, "average": rules.average_decay}
        for name, value in (values | {name: getattr(rules, name) for name in PENALTIES}).items():
            self.variables[name].assign(value)

    def within(self, rules: core.Rules, free_penalties: bool) -> core.Rules:
        """The rules with variables in place of their numbers; a penalty that is off stays off."""
        v = self.variables
        on = [name for name in PENALTIES if free_penalties and getattr(rules, name)]
        return rules._replace(
            adam_d=rules.adam_d._replace(learning_rate=v["adam_d"], beta1=v["beta1"], beta2=v["beta2"]),
            adam_g=rules.adam_g._replace(learning_rate=v["adam_g"], beta1=v["beta1"], beta2=v["beta2"]),
            average_decay=v["average"],
            **{name: v[name] for name in on},
        )


def program_key(script: Any, config: Any, free_penalties: bool) -> tuple:
    """What a compiled program depends on: games with equal keys can be played by the same one."""
    values = {name: value for name, value in vars(config).items() if name not in NEVER_COMPILED}
    if free_penalties:
        values |= {name: getattr(config, name) > 0 for name in PENALTIES}
    return script.__name__, free_penalties, *values.items()


def new_program(script: Any, config: Any, knobs: Knobs, free_penalties: bool) -> Any:
    """The compiled loop of these settings, for `Game.play`; `script` is one of the two modules."""
    rules = knobs.within(script.rules(config), free_penalties)

    def step(game, batch):
        return core.adversarial_step(game, rules, points.inputs(config, batch))

    return core.compiled_loop(step)


def fits(before: Any, after: Any) -> bool:
    """Whether a game with the settings `before` may go on with the settings `after`: its networks and data fit."""
    changed = {name for name, value in vars(after).items() if value != getattr(before, name, None)}
    return changed <= {*GOING_ON}


def at_most(config: Any) -> int:
    """How many steps a call of the program plays at most."""
    return CALL if points.widest_layer(config) >= 64 else CALL_OF_NARROW


class Game:
    """All seeds of a game, and how far each player has come.

    Attributes:
        gans: the `points.Ensemble` that trains.
        turns: how many updates each player, D and G, has made. Turn k uses minibatch k of the script.
    """

    def __init__(self, script: Any, config: Any, train_on: np.ndarray, knobs: Knobs):
        """Untrained GANs for training points `[S, F, N]`."""
        self.script, self.train_on, self.knobs = script, train_on, knobs
        self.gans = points.Ensemble(config, train_on)
        self.turns = {"D": 0, "G": 0}
        self._batches = {player: Batches(self.gans) for player in ("D", "G")}
        self._pool = ThreadPoolExecutor(files.cores())
        self._concretes: Any = weakref.WeakKeyDictionary()  # of each program that is still kept
        self._locks = [(threading.Lock(), threading.Lock()) for _ in self.gans.games]
        self._done = [0] * len(self.gans.games)  # steps of each block of seeds

    def _turn_knobs(self) -> None:
        """Let the variables have the values of this game's settings; another game may have used them before."""
        self.knobs.set(self.script.rules(self.gans.config))
        self.knobs.config = self.gans.config

    @property
    def step(self) -> int:
        """How many steps were begun: the turns of the player that is ahead."""
        return max(self.turns.values())

    def use(self, config: Any) -> None:
        """Go on with other settings, which fit."""
        before = self.gans.config
        self.gans.config, self.gans.d = config, points.networks(config)[0]
        if (before.batch, before.gradient_penalty > 0) != (config.batch, config.gradient_penalty > 0):
            for batches in self._batches.values():  # other settings draw the same numbers
                batches.restart()

    def warm_up(self, program: Any, config: Any) -> None:
        """Compile the program for blocks of seeds of every size that this game has; no step is played."""
        other = points.Ensemble(config, self.gans.points)  # the game itself may be playing in the meantime
        sizes = {block.stop - block.start: k for k, block in enumerate(other.blocks)}
        batches = Batches(other).take(0, 1)
        for k in sizes.values():
            core.warm_up(program, other.games[k], batches[k])

    def play(self, program: Any, count: int, players: str = "both") -> np.ndarray:
        """Play steps, or turns of one player alone; returns the losses of D and G, `[count, 2, S]`.

        One player's turn leaves the other one as it is, its Adam and its number of turns included. If one is ahead,
        both take their next turns one after the other, each with the minibatch of its own turn.
        """
        if self.knobs.config is not self.gans.config:
            self._turn_knobs()
        if players in ("D", "G"):
            return np.concatenate([self._turn(program, players) for _ in range(count)])
        if self.turns["D"] != self.turns["G"]:
            pairs = [(self._turn(program, "D"), self._turn(program, "G")) for _ in range(count)]
            return np.stack([[d[0, 0], g[0, 1]] for d, g in pairs])
        parts = [*Period(self.step, self.step + count).chunks(at_most(self.gans.config))]
        batches = [self._batches["D"].take(part.first, part.count) for part in parts]
        losses = self._side_by_side(
            program, [(part.count, batch) for part, batch in zip(parts, batches, strict=True)]
        )
        self.turns = {player: turns + count for player, turns in self.turns.items()}
        return losses

    def weights_of(self, seed: int) -> tuple[list, list, int, int]:
        """D's weights and G's average in the block of a seed, as they are now, its place there, and their step.

        Training may be under way in another thread: the block is asked between two of its calls.
        """
        k, block = next((k, block) for k, block in enumerate(self.gans.blocks) if seed < block.stop)
        gate, lock = self._locks[k]
        with gate, lock:
            game = self.gans.games[k]
            weights = [[*map(tf.identity, part)] for part in (game.discriminator.weights, game.average)]
            return *weights, seed - block.start, self._done[k]

    def frozen(self) -> points.Ensemble:
        """All GANs as they are now, asked in the same way, so that blocks of seeds may differ by a few steps."""
        frozen = copy.copy(self.gans)
        frozen.games = []
        for game, (gate, lock) in zip(self.gans.games, self._locks, strict=True):
            with gate, lock:
                frozen.games.append(points.frozen(game))
        return frozen

    def next_batch(self) -> dict[str, np.ndarray]:
        """The minibatch of D's next turn: real points `x [S, F, pack B]`, random bits `z [S, Z, pack B]`."""
        blocks = self._batches["D"].take(self.turns["D"], 1)
        return {name: np.concatenate([np.asarray(block[name])[0] for block in blocks]) for name in ("x", "z")}

    def _turn(self, program: Any, player: str) -> np.ndarray:
        """One turn of one player, `[1, 2, S]`: a whole step, after which the other player is put back."""
        games, other = self.gans.games, "G" if player == "D" else "D"
        if other == "D":
            kept = [tf.nest.flatten(game.discriminator) for game in games]
            self.knobs.variables["adam_d"].assign(0.0)  # G answers D as it is, not as D would be after a turn
        else:
            kept = [tf.nest.flatten((game.generator, game.average)) for game in games]
        values = [[*map(tf.identity, variables)] for variables in kept]
        for game in games:
            game.step.assign(self.turns[player])
        try:
            losses = self._side_by_side(program, [(1, self._batches[player].take(self.turns[player], 1))])
        finally:  # also after an error the game can be played
            for variables, old in zip(kept, values, strict=True):
                for variable, value in zip(variables, old, strict=True):
                    variable.assign(value)
            self._turn_knobs()
        self.turns[player] += 1
        self._done = [self.step] * len(games)
        return losses

    def _side_by_side(self, program: Any, parts: list[tuple[int, list[dict]]]) -> np.ndarray:
        """Calls of the program, one after the other, by each block of seeds in its own thread: losses `[n, 2, S]`."""
        blocks = range(len(self.gans.games))
        futures = [self._pool.submit(self._train_block, program, k, parts) for k in blocks]
        return np.concatenate([future.result() for future in futures], axis=-1)

    def _train_block(self, program: Any, k: int, parts: list[tuple[int, list[dict]]]) -> np.ndarray:
        game, (gate, lock), losses = self.gans.games[k], self._locks[k], []
        for count, batches in parts:
            with gate:  # who wants to freeze the block comes first
                pass
            with lock:
                call = self._concrete(program, game, batches[k])
                losses.append(call(game, batches[k], tf.constant(count)).numpy()[:count])
                self._done[k] += count
        return np.concatenate(losses)

    def _concrete(self, program: Any, game: core.Game, batch: dict) -> Any:
        """The program for blocks of this size, without a search for it, which takes longer than two steps."""
        of_program, shape = self._concretes.setdefault(program, {}), batch["z"].shape
        if shape not in of_program:
            of_program[shape] = program.get_concrete_function(game, batch, tf.constant(0))
        return of_program[shape]


class Batches:
    """The script's minibatches from any step on, drawn ahead by a second thread while they are taken in order."""

    def __init__(self, gans: points.Ensemble):
        self.gans = gans
        self.restart()

    def restart(self) -> None:
        """Discard what is drawn: the settings may have changed."""
        self._chunks: Iterator[list[dict]] = iter(())
        self._chunk: list[dict] = []
        self._first = self._last = -1

    def take(self, step: int, count: int) -> list[dict]:
        """Of each block of seeds the batches of `count` steps, and zeros behind them up to the size of a call."""
        size = at_most(self.gans.config)
        if not self._first <= step < self._last:
            if step != self._last:
                self._chunks, self._last = self._drawn(step), step
            self._chunk = next(self._chunks)
            self._first, self._last = self._last, self._last + len(self._chunk[0]["x"])
        at = step - self._first
        parts = [{name: values[at : at + size] for name, values in block.items()} for block in self._chunk]
        short = min(count, size) - (self._last - step)
        if short > 0:  # the rest is in the next chunk
            after = self.take(self._last, short)
            return [
                {name: tf.concat([part[name], rest[name]], 0)[:size] for name in part}
                for part, rest in zip(parts, after, strict=True)
            ]
        return [{name: _filled_up(values, size) for name, values in part.items()} for part in parts]

    def _drawn(self, step: int) -> Iterator[list[dict]]:
        n, blocks = points.steps_at_once(self.gans.config, self.gans.points.shape[1]), len(self.gans.blocks)
        periods = (Period(first, first + n) for first in itertools.count(step, n))
        one_by_one = draws.prefetched(self.gans.batches, periods, ahead=2 * blocks)
        return iter(lambda: [next(one_by_one) for _ in range(blocks)], None)


def _filled_up(values: Any, size: int) -> Any:
    missing = size - values.shape[0]
    return values if missing <= 0 else tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)])
