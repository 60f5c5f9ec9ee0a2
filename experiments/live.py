"""See GANs play: a page in the browser on the training of normal_1d.py and mixture_2d.py, many seeds at once.

    python experiments/live.py                                   the ring, ten seeds; prints an address and opens it
    python experiments/live.py --target norm                     numbers on a line: any distribution of scipy.stats
    python experiments/live.py --target "beta 2 5" --recipe classic
    python experiments/live.py --target FILE                     your numbers (one column) or points (two columns)
    python experiments/live.py --run RUN                         watch a run that trains elsewhere, or is finished

The game is the script's own, bit for bit, until you change something while it plays. The page is served to this
machine alone, and needs no network. Ctrl-C ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lab import cli, files, screen, signals
from lab.live import controls, engine, server, watch

SEEDS = 10


@dataclass(frozen=True)
class Command:
    """The command line."""

    # fmt: off
    target: str = "ring"  # ring, grid, spiral, a distribution of scipy.stats such as "gamma 3", or a file
    recipe: str = "stable"  # stable or classic: the settings that the game begins with
    seeds: cli.Count = SEEDS  # GANs that play at once
    seed: cli.Seed = 0  # the first of them
    steps: Annotated[int | None, tyro.conf.arg(metavar="NUMBER")] = None  # training ends there; default: the recipe's
    play: bool = False  # begin to play at once
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None  # watch the run in this folder instead
    port: int = 8017  # of the page; the next free one if it is taken, and 0 is any
    browser: bool = True  # open the page in the browser
    # fmt: on


def play(command: Command) -> None:
    """Serve the page and play until a signal comes."""
    clients = server.Clients()
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        source, config = controls.new_source(
            command.target, command.recipe, command.seeds, command.seed, command.steps, Path(folder)
        )
        sockets = server.listening(command.port)

        async def main() -> None:
            loop = asyncio.get_running_loop()

            def send(message: bytes | dict) -> None:
                loop.call_soon_threadsafe(clients.send, message)

            player = engine.Engine(source, config, send)
            player.playing = command.play
            player.start()
            settings = {"clients": clients, "obey": player.commands.put, "hello": player.hello}
            try:
                await server.serve(sockets, [], settings, command.browser)
            finally:
                player.stop()
                await asyncio.to_thread(player.join, 2)

        serve(main)


def watch_run(command: Command, folder: Path) -> None:
    """Serve the page and show a run's folder, which is only read, until a signal comes."""
    clients, watched = server.Clients(), watch.Watched(folder)
    sockets = server.listening(command.port)

    async def main() -> None:
        following = asyncio.create_task(watch.follow(watched, clients.send))
        answers = {"picture": watched.picture, "figure": watched.figure}
        settings = {"clients": clients, "obey": lambda message: None, "hello": watched.greeting}
        settings |= {"page": watch.PAGE, "answers": answers}
        try:
            await server.serve(sockets, [(r"/(picture|figure)", server.Answer)], settings, command.browser)
        finally:
            following.cancel()

    serve(main)


def serve(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the server until a signal ends it; Ctrl-C is no error."""
    try:
        with signals.deferred():
            asyncio.run(main())
    except signals.Interrupted as signal:
        screen.say("ended")
        if signal.code != 130:  # Ctrl-C is how this program ends
            raise


def require_none_of_play(args: list[str]) -> None:
    """BadInput for a flag beside --run that only a game has."""
    flags = {f"--{name}" for name in ("target", "recipe", "seeds", "seed", "steps", "play", "no-play")}
    for word in args:
        if word.split("=")[0].replace("_", "-") in flags:
            raise files.BadInput(f"{word}: expected no such flag beside --run, whose run has its own settings")


def main(args: list[str]) -> None:
    """Play, or watch a run."""
    with cli.one_line_errors():
        command = cli.parse(Command, __doc__, args)
        cli.require(command, "port", "0 to 65535", lambda v: 0 <= v < 65536)
        if command.run is None:
            play(command)
            return
        require_none_of_play(args)
        if not command.run:
            raise files.BadInput("--run '': expected the folder of a run")
        watch_run(command, Path(command.run))


if __name__ == "__main__":
    code = 0
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        code = int(end.code or 0)
    with contextlib.suppress(OSError):  # of a closed pipe
        sys.stdout.flush()
    os._exit(code)  # at once: a thread that is still compiling would keep the process for seconds, or crash it
