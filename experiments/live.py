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
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lab import cli, screen, signals
from lab.live import controls, engine, server

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

        try:
            with signals.deferred():
                asyncio.run(main())
        except signals.Interrupted as signal:
            screen.say("ended")
            if signal.code != 130:  # Ctrl-C is how this program ends
                raise


def main(args: list[str]) -> None:
    """Play, or watch a run."""
    with cli.one_line_errors():
        command = cli.parse(Command, __doc__, args)
        cli.require(command, "port", "0 to 65535", lambda v: 0 <= v < 65536)
        play(command)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # at once: a thread that is still compiling would keep the process for seconds
