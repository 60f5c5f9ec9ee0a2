"""Ctrl-C, SIGTERM and SIGHUP: they wait for a training step that is under way and stop everything else at once.

Clusters send SIGTERM, and kill some seconds later; a terminal that closes sends SIGHUP. Python's own handlers run
only between two of its instructions, so that a long call into compiled code would hold them up. A second thread
therefore ends the process `GRACE` seconds after one of these two signals, or soon after a second Ctrl-C. This loses
no saved state, because files are replaced whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

GRACE = 3.0  # seconds to the end of the process after SIGTERM or SIGHUP
PATIENCE = 1.0  # and after a second Ctrl-C
SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


class Interrupted(KeyboardInterrupt):
    """One of the signals arrived; `within`: inside a `deferred` block, so that what it changes may be incomplete."""

    def __init__(self, signum: int, within: bool = False):
        super().__init__(SIGNALS[signal.Signals(signum)])
        self.code, self.within = 128 + signum, within  # exit codes as shells define them


class _State:
    """There is one for the process, as there is one set of handlers."""

    handled = False  # our handlers are installed
    deferring = False  # a signal has to wait
    arrived: int | None = None  # the signal that waits
    advice = ""  # how to go on, for the line that the process ends with


_state = _State()


def advise(words: str) -> None:
    """Set what an interrupted process says last, such as `continue with --resume FOLDER`."""
    _state.advice = words


def advice() -> str:
    """What `advise` set."""
    return _state.advice


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Raise `Interrupted` for the signals within the block. A block inside another one does nothing.

    A signal that is ignored stays ignored, as SIGHUP under nohup. Outside the main thread Python has no signals.
    """
    if _state.handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) or signal.SIG_DFL for s in SIGNALS}  # none: of a library in C
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    _state.handled, _state.arrived, _state.advice = True, None, ""
    for s, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(s, _handle)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # C writes each signal's number there at once
    ended = threading.Event()
    thread = threading.Thread(target=_end_in_time, args=(reading, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for s, handler in before.items():
            signal.signal(s, handler)
        ended.set()
        os.close(writing)  # ends the thread
        thread.join()
        _state.handled = False


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A signal within the block waits for its end, which raises `Interrupted`; a second Ctrl-C does not wait."""
    if _state.deferring or not _state.handled:
        yield
        return
    _state.deferring = True
    try:
        yield
    finally:
        _state.deferring = False
    if _state.arrived is not None:
        raise Interrupted(_state.arrived)


def take_back() -> None:
    """Install our handlers again, where a library in C has put its own in their place."""
    for s in SIGNALS:
        if signal.getsignal(s) is _handle:
            signal.signal(s, _handle)


def arrived() -> Interrupted | None:
    """The signal that has arrived, if any has: as the exception that it is or will be raised as."""
    return None if _state.arrived is None else Interrupted(_state.arrived)


def _handle(signum: int, frame: object) -> None:
    first = _state.arrived is None
    if first:
        _state.arrived = signum
    if (first and not _state.deferring) or (not first and signum == signal.SIGINT):
        raise Interrupted(signum, within=_state.deferring)


def _end_in_time(reading: int, ended: threading.Event) -> None:
    """End the process in time after a signal, unless the block of `handled` ends before."""
    interrupts = 0
    with open(reading, "rb", buffering=0) as signals:
        while number := signals.read(1):
            signum = number[0]
            interrupts += signum == signal.SIGINT
            urgent = interrupts > 1 if signum == signal.SIGINT else signum in SIGNALS
            if not urgent or signal.getsignal(signum) is not _handle:
                continue
            if not ended.wait(PATIENCE if signum == signal.SIGINT else GRACE):
                words = f"{SIGNALS[signal.Signals(signum)]}: ended in the middle of something"
                last_words("; ".join(filter(None, (words, _state.advice))))
                os._exit(128 + signum)


def last_words(line: str) -> None:
    """Write a line on standard error, which may be closed by now."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
