"""Signals that end a process, in order and at once, in real processes."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gliodex.store.stopping import Stopped, exit_code, stopping_afterwards, stopping_at_once, stopping_in_order

ENDING = [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that are there before and after each test; none ignores its signal, as under nohup."""
    numbers = signal.SIGTERM, signal.SIGHUP, signal.SIGINT
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGHUP, hangup)
    assert after == before


@pytest.mark.parametrize(("number", "code"), ENDING)
def test_a_signal_leaves_contexts_as_control_c_does(number, code):
    def work():
        with stopping_in_order():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(Stopped) as caught:
        work()
    assert isinstance(caught.value, KeyboardInterrupt)
    assert exit_code(caught.value) == code


def test_control_c_has_its_code():
    assert exit_code(KeyboardInterrupt()) == 130


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_in_order(), stopping_at_once():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_changes():
    found = []

    def look():
        with stopping_in_order(), stopping_at_once(), stopping_afterwards():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def test_native_code_of_a_library_leaves_handlers_alone():
    before = signal.getsignal(signal.SIGINT)
    with stopping_at_once():
        assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_is_put_off_to_the_end_of_what_belongs_together():
    done = []

    def work():
        with stopping_in_order(), stopping_afterwards():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            done.append("all")

    with pytest.raises(Stopped) as caught:
        work()
    assert done == ["all"]
    assert exit_code(caught.value) == 143


def test_an_error_in_what_belongs_together_is_told():
    with pytest.raises(RuntimeError), stopping_afterwards():
        raise RuntimeError


def holds_the_interpreter(seconds):
    """Sleep as native code does that never lets Python run."""
    ctypes.PyDLL(None).sleep(seconds)


HOLDING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as of a background job
from gliodex.store.stopping import stopping_at_once, stopping_in_order
from test_stopping import holds_the_interpreter

with stopping_in_order(), stopping_at_once():
    print("working", flush=True)
    holds_the_interpreter(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_native_code_that_holds_the_interpreter_is_ended_at_once(number):
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.wait(20) == -number


def test_a_second_signal_ends_at_once():
    code = (
        "import os, signal, time\nfrom gliodex.store.stopping import *\n"
        "with stopping_in_order():\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    finally:\n        os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert ran.returncode == -signal.SIGTERM
