"""What stands on the screen: plain lines, and what a wait is for."""

import contextlib
from collections.abc import Iterator

from rich.console import Console


class _Screen(Console):
    """Rich's console, but a closed pipe is an error like any other, and not a silent end of the process."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that is being handled


console = _Screen(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line on standard output."""
    console.print(text, markup=False)


@contextlib.contextmanager
def waiting(words: str) -> Iterator[None]:
    """Say what a wait of seconds is for: a spinner on a terminal until the block ends, elsewhere a line."""
    if console.is_terminal:
        with console.status(words):
            yield
    else:
        say(f"{words} ...")
        yield
