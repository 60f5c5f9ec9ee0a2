"""The thread that plays: commands come in by a queue, frames go out to whoever asked for one.

The thread owns the game. A second thread loads data and compiles what a change of settings needs, while the game
before it plays on. No command may end the training: a wrong one is answered with a sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import re
import struct
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

import gan_core as core
from lab import files, memory, points
from lab.files import BadInput
from lab.live import controls, curves, game, scenes

STAGES = {
    "latents": "Latents: {n} random points z, drawn anew for every step.",
    "fakes": "Fakes: G maps every latent z to a point G(z).",
    "verdict": "D's verdict: on average {d_says} {d_real:.2f} for real points and {d_fake:.2f} for fakes.",
    "loss": "Losses of this minibatch: D's {d_loss:.4f}, G's {g_loss:.4f}; each player wants its own to fall.",
    "gradients": "Gradients: the arrows show where G's loss would make each fake move.",
    "update": "Update: D and then G have changed their weights by one step of Adam; the fakes have moved.",
}
FRAMES = 25  # a second, at most
STILL = 1.0  # seconds between two pictures of a game that stands still
FAST = 0.08  # seconds of training between two looks at the commands
PACE = {"1": 1, "10": 10}  # steps every 50 ms; "fast" has no pace
MEASURED = 2.0  # seconds between two measurements of all seeds, which take 40 to 80 ms
KEPT = 8  # compiled programs, the newest ones


class Built(NamedTuple):
    """A game that can be played, or shown at least: its settings, its scene and its programs."""

    source: controls.Source
    config: Any
    game: Any  # a `game.Game`
    scene: Any
    program: Any  # None while it is being compiled
    look: Any
    free_penalties: bool


class Training(NamedTuple):
    """Steps that are being trained in another thread."""

    began: float
    step: int  # of the game before them
    future: Future


class Engine(threading.Thread):
    """Plays a game for a page.

    Attributes:
        source: the script, the recipe and the real data that the game is about.
        send: takes each finished frame, as bytes, and the message of an answer, as a dict.
    """

    def __init__(self, source: controls.Source, config: Any, send: Callable[[bytes | dict], None]):
        super().__init__(daemon=True, name="engine")
        self.send, self.commands, self._later = send, queue.Queue[dict](), deque[dict]()
        self.source, self.config = source, config
        self.playing, self.speed = False, "fast"
        self.wished_seed = 0  # a game of more seeds that is still being compiled may have it
        self.notice = self.busy = ""
        self.wanted, self.ended = False, threading.Event()
        self._news = True  # since the last picture a command came or a page opened: the next one is due soon
        self.knobs = game.Knobs()
        self._trainer = ThreadPoolExecutor(1)
        self._compiler = ThreadPoolExecutor(1, "compiler")  # one at a time: several would hold up each other
        self._programs: OrderedDict[tuple, Any] = OrderedDict()
        self._building = 0  # the number of the newest job; what older ones have built is discarded
        self._asked: tuple[controls.Source, Any] | None = None  # what the newest job builds
        self._built: Any = None  # the `Built` that is played
        self._rate, self._mark, self._seed_steps, self._last_frame = 0.0, time.perf_counter(), 0, 0.0
        self.stage = -1

    # ------------------------------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Obey, play and answer until `stop`."""
        self._build(self.source, self.config, None)
        while not self.ended.is_set():
            self._obey_all()
            training = self._start(self._count()) if self._can_play() else None
            while True:  # pictures are made while the steps train
                if self._wants_frame():
                    self.wanted, self._news, self._last_frame = False, False, time.perf_counter()
                    if not self._guarded(self._show):
                        self.send({"error": self.notice})  # in place of the frame
                if not training or training.future.done():
                    break
                wait([training.future], timeout=0.008)
                self._take_wishes()
            if training:
                self._guarded(partial(self._finish, training))
                if self.speed in PACE:
                    self.ended.wait(max(0.0, 0.05 - (time.perf_counter() - training.began)))
        for pool in (self._trainer, self._compiler):
            pool.shutdown(wait=False, cancel_futures=True)

    def _wants_frame(self) -> bool:
        """Whether a picture is asked for, and the last one is old enough."""
        return bool(self.wanted and self._built) and not self._until_frame()

    def _until_frame(self) -> float:
        """Seconds until the next picture is due."""
        pause = 1 / FRAMES if self._can_play() or self._news else STILL
        return max(0.0, self._last_frame + pause - time.perf_counter())

    def _take_wishes(self) -> None:
        """Look for wishes for a frame; all other commands wait until the training call is over."""
        with contextlib.suppress(queue.Empty):
            while True:
                command = self.commands.get_nowait()
                if command.get("do") == "frame":
                    self.wanted = True
                else:
                    self._later.append(command)

    def hello(self) -> dict[str, Any]:
        """What a page that opens has to know; it gets its first picture at once."""
        self._news = True
        return controls.hello(self.source, self.config)

    def stop(self) -> None:
        """End the thread soon."""
        self.ended.set()
        self.commands.put({"do": "end"})

    def _obey_all(self) -> None:
        """Take what is in the queue; wait for it if there is nothing to play and no frame to draw."""
        while self._later:
            self._guarded(partial(self._obey, self._later.popleft()))
        idle = not self._can_play()  # then wait for a command, or until the next picture is due
        timeout = self._until_frame() if self.wanted and self._built else 1.0
        with contextlib.suppress(queue.Empty):
            while True:
                command = self.commands.get(timeout=timeout) if idle and timeout else self.commands.get_nowait()
                idle = False
                self._guarded(partial(self._obey, command))

    def _can_play(self) -> bool:
        return bool(self.playing and self.speed != "stages" and self._built and self._built.program)

    def _guarded(self, action: Callable[[], Any]) -> bool:
        """No error of a command, of training or of a picture ends the thread; False if there was one."""
        done = False
        try:
            action()
            done = True
        except BadInput as error:
            self.notice = re.sub(r"(?<!\w)--(?=\w)", "", str(error))  # flags of the command are controls here
        except Exception as error:  # of whatever kind: the page says it, and the game can be reset
            self.playing, self.notice = False, f"{type(error).__name__}: {files.why(error)[:200]}"
        if self.notice and not self._built and not self.busy:  # the first game failed: no frame will show it
            self.send({"error": self.notice})
        return done

    # ---------------------------------------------------------------------------------------- commands

    def _obey(self, command: dict) -> None:
        do = command.get("do")
        if do == "frame":
            self.wanted = True
            return
        if do == "end":
            return
        self._news = True
        if do == "built":
            self._take_over(command["job"], command["built"], command["error"])
            return
        self.notice = ""
        if do in ("reset", "save") and not self._built:
            raise BadInput("The game is still being loaded.")
        if do == "play":
            self.playing = bool(command.get("value", not self.playing))
            self.stage = -1 if self.speed != "stages" else self.stage
        elif do == "step":
            self._step(command.get("players", "both"))
        elif do == "stage":
            self._next_stage()
        elif do == "reset":
            self._reset()
        elif do == "seed":
            self.wished_seed = controls.whole("seed", command.get("value"))
            self._measured, self.stage = 0.0, -1  # the stages were those of the seed before
        elif do == "speed":
            self.speed = controls.one_of("speed", command.get("value"), ("stages", *PACE, "fast"))
            self.stage = -1
        elif do == "set":
            self._change({str(command.get("name")): command.get("value")})
        elif do == "settings":
            self._change(controls.mapping(command.get("values")))
        elif do == "points":
            source, config = self._asked or (self.source, self.config)
            source = source.with_points(command.get("name"), command.get("points"))
            self._build(*source.with_target(config, source.own[-1][0]), None)
        elif do == "save":
            self._save()
        else:
            raise BadInput(f"do {do!r}: no such command")

    def _step(self, players: str) -> None:
        controls.one_of("players", players, ("both", "D", "G"))
        if not self._program():
            return
        if players != "both" and self.config.unroll:
            raise BadInput(f"one player alone: not with unroll {self.config.unroll}, whose G looks ahead of D's turn")
        self.playing, self.stage = False, -1
        self._advance(players)

    def _program(self) -> Any:
        program = self._built.program if self._built else None
        if not program:
            self.notice = "The training step is still being compiled."
        return program

    def _reset(self) -> None:
        """Untrained networks with the present settings, and the penalties as constants, as in the script."""
        if not (built := self._built):
            return  # nothing was played
        fresh = game.Game(self.source.script, self.config, built.game.train_on, self.knobs)
        self._begin(built._replace(game=fresh))
        source, config = self._asked or (self.source, self.config)
        if self._goes_on(source, config) and (self._asked or built.free_penalties):
            self._build(source, config, fresh)

    def _change(self, values: dict[str, Any]) -> None:
        """Other settings: at once if no program has to be compiled for them."""
        source, config = self._asked or (self.source, self.config)
        asked = source.changed(config, values)
        if asked == (source, config):
            return
        if self._asked:  # the game that plays on in the meantime takes over what it can, a rate for example
            with contextlib.suppress(BadInput):
                self._change_at_once(*self.source.changed(self.config, values))
        if self._change_at_once(*asked):
            self._building += 1  # what is being built is no longer asked for
            self.busy, self._asked = "", None
        elif self._goes_on(*asked):
            self._build(*asked, self._built.game, self._penalties_are_free(asked[1]))
        else:
            self._build(*asked, None)

    def _change_at_once(self, source: Any, config: Any) -> bool:
        """Go on with other settings; False if a program has to be compiled for them, or they need a new game."""
        if not self._goes_on(source, config):
            return False
        built, free = self._built, self._penalties_are_free(config)
        program = self._programs.get(game.program_key(source.script, config, free))
        if program and config != self.config:
            look = self._look(source.script, config)
            self._continue(Built(source, config, built.game, built.scene, program, look, free))
        return bool(program)

    def _penalties_are_free(self, config: Any) -> bool:
        """Whether the program that goes on with these settings has the weights of penalties as variables."""
        changed = any(getattr(config, name) != getattr(self.config, name) for name in game.PENALTIES)
        return self._built.free_penalties or changed

    def _goes_on(self, source: Any, config: Any) -> bool:
        """Whether the game that is played can go on with these settings."""
        return bool(self._built and source == self.source and game.fits(self.config, config))

    # ------------------------------------------------------------------------------- loading and compiling

    def _build(self, source: Any, config: Any, present: game.Game | None, free: bool = False) -> None:
        """Load and compile in a second thread. `present`: the game that will go on, or None for a new one."""
        self._building += 1
        job, before = self._building, controls.values(self.source, self.config)
        self._asked = source, config
        shown = controls.values(source, config)
        names = [n for n, v in shown.items() if v != before.get(n) and n != "distribution"] or ["target"]
        what = " and ".join(f"{controls.label(n)} {shown[n]}" for n in names[:2])
        self.busy = f"Compiling for {what}" + ("; the game before it plays on." if self._built else ".")

        def work() -> None:
            if job != self._building:  # something newer is asked for
                return
            try:
                built = self._made(source, config, present, free, job)
                self.commands.put({"do": "built", "job": job, "built": built, "error": None})
            except Exception as error:
                self.commands.put({"do": "built", "job": job, "built": None, "error": error})

        self._compiler.submit(work)

    def _made(self, source: Any, config: Any, present: Any, free: bool, job: int) -> Built:
        memory.require(config, lambda c: points.bytes_needed(c, source.features))
        script, playing, before = source.script, present, self._built
        scene: Any = before.scene if before else None
        look = self._look(script, config)
        if not playing:
            real, train_on = source.load(config)
            playing = game.Game(script, config, train_on, self.knobs)
            scene = scenes.SCENES[source.name](script, config, real)
            if before is None:  # the page has something to show while the program is being compiled
                early = Built(source, config, playing, scene, None, look, free)
                self.commands.put({"do": "built", "job": job, "built": early, "error": None})
        if before:  # the game that plays on shall not wait for the program of the pictures
            *weights, _ = playing.weights_of(seed := min(self.wished_seed, config.seeds - 1))
            with contextlib.suppress(ValueError):  # this seed has diverged
                scenes.Looker(look, scene.places, scene.shown, scene.lattice)(playing.gans, seed, *weights)
        key = game.program_key(script, config, free)
        program = self._programs.get(key)
        if not program:
            program = game.new_program(script, config, self.knobs, free)
            playing.warm_up(program, config)
        self._programs[key] = program
        while len(self._programs) > 2 * KEPT:
            self._programs.popitem(last=False)
        return Built(source, config, playing, scene, program, look, free)

    def _look(self, script: Any, config: Any) -> Any:
        """The program of the pictures. Of what can change while a game goes on, it depends on the loss alone."""
        others = {*game.NEVER_COMPILED, *game.GOING_ON} - {"loss"}
        key = "look", script.__name__, *(value for name, value in vars(config).items() if name not in others)
        look = self._programs.pop(key, None) or scenes.new_look(config)
        self._programs[key] = look  # it is among the newest again, because many programs share it
        return look

    def _take_over(self, job: int, built: Built | None, error: Exception | None) -> None:
        """Go on with what was built, unless something newer is being built by now."""
        if job != self._building:
            return
        if error or not built:
            self.busy, self._asked = "", None
            raise error or BadInput("nothing was built")
        if built.program:
            self.busy, self._asked = "", None
        if self._built and built.game is self._built.game:
            self._continue(built)
        else:
            if self._built:  # what was said of the old game; before the first one a command may have been refused
                self.notice = ""
            self._begin(built)
        if built.program and not built.free_penalties and any(getattr(built.config, n) for n in game.PENALTIES):
            self._compile_for_sliders(built)

    def _compile_for_sliders(self, built: Built) -> None:
        """Compile the program whose penalties are variables before anybody moves a slider, so that none waits."""
        key = game.program_key(self.source.script, built.config, True)

        def work() -> None:
            if key in self._programs or key != game.program_key(self.source.script, self.config, True):
                return  # the settings were changed in the meantime
            with contextlib.suppress(Exception):  # without it a slider has to wait, and says why if it fails again
                program = game.new_program(built.source.script, built.config, self.knobs, True)
                built.game.warm_up(program, built.config)
                self._programs[key] = program

        self._compiler.submit(work)

    def _begin(self, built: Built) -> None:
        """A new game, at step 0."""
        new_source = built.source != self.source
        self._built, self.source, self.config = built, built.source, built.config
        self.exact = not built.free_penalties  # the script would have the same bits
        self.changes: list[dict[str, Any]] = []
        self.windows, self.measures = curves.Windows(), curves.Measures()
        self._pictures: dict[str, np.ndarray] = {}  # renewed when all seeds are measured
        self._seen: dict[str, np.ndarray] = {}  # renewed with every frame
        self._measured_turns: list[int] = []
        self._lost = np.zeros(built.config.seeds, bool)  # seeds of which a loss was not finite
        self._looker: Any = None
        self._measured, self.stage, self._steps_of_call = 0.0, -1, 1
        self._mark, self._seed_steps = time.perf_counter(), 0
        if new_source:
            self.send({"hello": self.hello()})

    def _continue(self, built: Built) -> None:
        """The same game with other settings."""
        if built.game.step:
            for name, value in vars(built.config).items():
                self._note_change(built.game.step, name, getattr(self.config, name), value)
        self.exact = not built.free_penalties and (self.exact or not built.game.step)
        if built.config.loss != self.config.loss:  # the value of the game is another one
            self._measured = 0.0
        self._built, self.config = built, built.config
        built.game.use(built.config)
        self._looker, self.stage = None, -1

    def _note_change(self, step: int, name: str, before: Any, now: Any) -> None:
        """Add a change to the list, as one with the last of the same setting if nothing was played since."""
        for k in reversed(range(len(self.changes))):
            change = self.changes[k]
            if change["step"] != step or "from" not in change:  # a turn of one player alone has no "from"
                break
            if change["setting"] == name:
                before = self.changes.pop(k)["from"]
                break
        if before != now:
            self.changes.append({"step": step, "setting": name, "from": before, "to": now})

    # ------------------------------------------------------------------------------------------- training

    def _count(self) -> int:
        """How many steps the next call plays: at a pace so many, otherwise as many as take about `FAST` seconds."""
        if len({*self._built.game.turns.values()}) > 1:
            return 1  # one turn after the other, they take several times as long
        if self.speed in PACE:
            return PACE[self.speed]
        return self._steps_of_call

    def _start(self, count: int, players: str = "both") -> Training | None:
        """Begin to train in another thread; None at the end of training."""
        playing, end = self._built.game, self.end
        if self._is_over():
            return None
        if end is not None:
            count = min(count, end - playing.step)
        alone = players != "both"
        if alone:
            self.changes.append({"step": playing.step, "setting": "turn of one player alone", "to": players})
        alone = alone or playing.turns["D"] != playing.turns["G"]
        step, future = playing.step, self._trainer.submit(playing.play, self._built.program, count, players)
        if alone:  # between the turns of two players a picture would show neither
            wait([future])
        return Training(time.perf_counter(), step, future)

    def _finish(self, training: Training) -> None:
        """Wait for the losses, and note them."""
        losses = training.future.result()
        bad = ~np.isfinite(losses).all(axis=(0, 1)) & ~self._lost
        if bad.any():  # once for each seed: the others can be played on
            self._lost |= bad
            which = self.config.seed + int(bad.argmax())
            self.playing, self.notice = False, f"Step {self._built.game.step}: a loss of seed {which} is not finite."
        if begun := self._built.game.step - training.step:  # a turn that catches up is of a step that was begun
            self.windows.add(losses[-begun:])
        self._seed_steps += len(losses) * losses.shape[2]
        fitting = len(losses) * FAST / max(time.perf_counter() - training.began, 1e-6)
        self._steps_of_call = max(1, min(int(fitting), 4 * self._steps_of_call, 2000))

    def _advance(self, players: str = "both") -> None:
        if training := self._start(1, players):
            self._finish(training)

    @property
    def seed(self) -> int:
        """The seed that is shown, counted from the first one."""
        return min(self.wished_seed, self.config.seeds - 1)

    @property
    def end(self) -> int | None:
        """The last step; None if nothing depends on the number of steps, and training can go on for ever."""
        constant = self.config.penalty_end == 1 or not any(getattr(self.config, n) for n in game.PENALTIES)
        schedules = self.config.schedule, self.config.discriminator_schedule
        endless = constant and schedules == ("constant", "constant") and not self.source.ends
        return None if endless else self.config.steps

    def _is_over(self) -> bool:
        """Whether all steps are played, which the page then says."""
        over = self.end is not None and self._built.game.step >= self.end
        if over:
            self.playing, self.notice = False, f"All {self.end} steps are played; Reset begins again."
        return over

    def _next_stage(self) -> None:
        """Slow motion: the next of the six stages of a step; the step is played before the last one."""
        if not self._program():
            return
        self.playing, self.speed = False, "stages"  # a game that plays on would move away from the shown step
        if self.stage in (-1, len(STAGES) - 1):
            self.stage = -1
            if self._is_over():
                return
            playing = self._built.game
            self.stage = 0
            self._stage = scenes.stage_arrays(playing.gans, self.seed, playing.next_batch())
        else:
            self.stage += 1
        if self.stage == len(STAGES) - 1:
            self._advance()
            self._stage["stage_moved"] = scenes.fakes_in_training(self._built.game.gans, self.seed, self._stage["z"])

    # ------------------------------------------------------------------------------------------- the frame

    def _is_due(self) -> bool:
        """Whether all seeds shall be measured: now and then while the game plays, otherwise at every step."""
        new = not self._measured or self._measured_turns != [*self._built.game.turns.values()]
        return new and time.perf_counter() - self._measured > (MEASURED if self.playing else 0.0)

    def _show(self) -> None:
        """Send a frame to whoever asked for one."""
        self.send(self.frame())

    def frame(self) -> bytes:
        """What the page shows now; the game may train on in the meantime."""
        built, scene, now = self._built, self._built.scene, time.perf_counter()
        turns, is_due, diverged = [*built.game.turns.values()], self._is_due(), ""
        *weights, step = built.game.weights_of(self.seed)
        if not self._looker:
            self._looker = scenes.Looker(built.look, scene.places, scene.shown, scene.lattice)
        if is_due:
            numbers, self._pictures = scene.measure(built.game.frozen(), step, self.seed)
            self.measures.add(step, numbers)
            self._measured, self._measured_turns = now, turns
        if now - self._mark > 0.5:
            self._rate = self._seed_steps / (now - self._mark)
            self._mark, self._seed_steps = now, 0
        try:
            self._seen = scene.look(*self._looker(built.game.gans, self.seed, *weights))
        except ValueError:
            which = self.config.seed + self.seed
            diverged = f"Seed {which} has diverged: the pictures are the last ones that could be drawn."
        arrays = self._seen | self._pictures
        if not core.LOSSES[self.config.loss].logistic:  # for other losses D* = p / (p + q) is not the best D
            arrays.pop("optimal", None)
        arrays |= self.windows.arrays(self.seed) | self.measures.arrays(self.seed)
        if self.stage >= 0:
            arrays |= {name: values for name, values in self._stage.items() if name.startswith("stage_")}
        header = {
            "kind": scene.kind,
            "step": step,
            "steps": self.end,
            "playing": self.playing,
            "seed": self.seed,
            "seeds": self.config.seeds,
            "first_seed": self.config.seed,
            "rate": self._rate if self.playing else 0.0,
            "speed": self.speed,
            "view": scene.view,
            "target": self.source.shown_target(self.config),
            "own": [name for name, _ in self.source.own],
            "estimated": scene.estimated,
            "logistic": core.LOSSES[self.config.loss].logistic,
            "notice": self.notice or diverged or self._why_slow(*turns),
            "busy": self.busy,
            "settings": controls.values(self.source, self.config),
            "changes": len(self.changes),
            "turns": turns if turns[0] != turns[1] else [step, step],
            "measures": scene.measures,
            "stage": self._caption(),
        }
        return packed(header, arrays)

    def _why_slow(self, d: int, g: int) -> str:
        """What is to be said of players that have had d and g turns, and play turn by turn if one is ahead."""
        if not self.playing or d == g:
            return ""
        ahead, behind, count = "D" if d > g else "G", "G" if d > g else "D", abs(d - g)
        turns = f"{count} turn{'s' * (count > 1)}"
        words = "so steps are played turn by turn, which is slower, until"
        return f"{ahead} is {turns} ahead, {words} {behind} alone has had {turns}."

    def _caption(self) -> dict[str, Any] | None:
        if self.stage < 0:
            return None
        name = list(STAGES)[self.stage]
        real, fake = self._stage["stage_d_real"], self._stage["stage_d_fake"]
        packs = self._stage["packs_d_real"], self._stage["packs_d_fake"]
        loss = core.LOSSES[self.config.loss]
        words: dict[str, Any] = {
            "n": len(fake),
            "d_says": "its probability of real is" if loss.logistic else "the sigmoid of its score is",
            "d_real": expit(real).mean(),
            "d_fake": expit(fake).mean(),
        }
        words |= {"d_loss": np.mean(loss.d(*packs)), "g_loss": np.mean(loss.g(*packs))}
        return {"index": self.stage, "name": name, "caption": STAGES[name].format(**words)}

    def _save(self) -> None:
        step, config = self._built.game.step, self.config
        if self.end is None:  # the game may have gone on beyond the steps of its recipe
            config = dataclasses.replace(config, steps=max(config.steps, step))
        saved = self.source.save(config, self.changes, step, self.exact)
        self.send({"saved": saved})


def packed(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """A frame: the header's length as 4 bytes, the header as JSON, the arrays as float32; all little-endian.

    JSON knows no NaN and no infinity: they become null.
    """
    header["arrays"], at = {}, 0
    for name, values in arrays.items():
        header["arrays"][name] = [list(values.shape), at]
        at += values.size
    text = json.dumps(files.without_nan(header), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    with np.errstate(over="ignore"):
        parts = [np.ascontiguousarray(values, "<f4").tobytes() for values in arrays.values()]
    return b"".join([struct.pack("<I", len(text)), text, *parts])
