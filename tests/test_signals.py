"""Ctrl-C, SIGTERM and SIGHUP."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from lab import signals


def kill(signum=signal.SIGTERM):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", list(signals.SIGNALS))
def test_signal_is_raised_at_once_and_handlers_are_put_back(signum):
    before = {s: signal.getsignal(s) for s in signals.SIGNALS}
    with pytest.raises(signals.Interrupted) as error, signals.handled():
        kill(signum)
    assert error.value.code == 128 + signum
    assert {s: signal.getsignal(s) for s in signals.SIGNALS} == before


def test_handlers_that_a_library_in_c_replaced_are_taken_back():
    """As TensorFlow does with SIGTERM's when workers connect; Python does not notice."""
    with pytest.raises(signals.Interrupted), signals.handled():
        ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))  # SIG_IGN
        kill()
        assert not signals.arrived()
        signals.take_back()
        kill()


def test_deferred_signal_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(signals.Interrupted), signals.handled():
        with signals.deferred():
            kill()
            assert signals.arrived()
            with signals.deferred():  # of an inner block nothing ends early
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]


def test_second_interrupt_does_not_wait():
    with pytest.raises(signals.Interrupted) as error, signals.handled(), signals.deferred():
        kill(signal.SIGINT)
        kill(signal.SIGINT)
        raise AssertionError
    assert error.value.within  # what the block changes may be incomplete


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_clusters_send_together_are_one(second):
    done = []
    with pytest.raises(signals.Interrupted) as error, signals.handled(), signals.deferred():
        kill()
        kill(second)
        done.append(True)
    assert done == [True] and error.value.code == 143 and not error.value.within


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals.handled():
            kill(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_no_signals():
    def work():
        with signals.handled(), signals.deferred():
            done.append(True)

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert done == [True]


def test_process_in_a_long_call_ends_in_time():
    """The call is compiled code that does not return to Python for a long time."""
    program = """
        import ctypes, os, signal
        from lab import signals
        signals.GRACE = 0.1
        with signals.handled():
            signals.advise("continue with --resume run")
            with signals.deferred():
                os.kill(os.getpid(), signal.SIGTERM)
                ctypes.CDLL(None).poll(None, 0, 100_000)  # returns when a signal comes, so that it is called again
                ctypes.CDLL(None).poll(None, 0, 100_000)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 143
    assert done.stderr == "SIGTERM: ended in the middle of something; continue with --resume run\n"
