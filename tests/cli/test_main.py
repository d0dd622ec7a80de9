import errno
import os
import signal
import subprocess
import sys
from importlib import import_module

import pytest

from gliodex.cli.commands import COMMANDS as COMMAND_PLACES
from gliodex.cli.main import _renamed

COMMANDS = (
    "demo",
    "build",
    "query",
    "info",
    "versions",
    "index",
    "add",
    "delete",
    "export",
    "verify",
    "gc",
    "train",
    "train encoder",
    "train lmi",
    "train surrogate",
    "bench",
    "bench retrieval",
    "bench refinement",
    "bench lmi",
    "bench surrogate",
    "bench plausibility",
)


def script(*arguments, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gliodex.cli.main", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80"} | environment,
    )


@pytest.mark.parametrize("command", [(), *(tuple(c.split()) for c in COMMANDS)], ids=lambda c: " ".join(c) or "gliodex")
def test_help_fits_80_columns(gliodex, command):
    ran = gliodex(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert "Usage:" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_help_names_every_command_and_what_the_program_is_not(gliodex):
    said = gliodex("--help").joined
    assert all(command.split()[0] in said for command in COMMANDS)
    assert "not a medical device" in said


OPTIONS = {
    "build": ["--count", "--seed", "--snapshots", "--workers", "--atlas"],
    "query": [
        "--out",
        "--seg",
        "--core-labels",
        "--whole-labels",
        "--core-mask",
        "--whole-mask",
        "--t1",
        "--t1c",
        "--space",
        "--transform",
        "--registration",
        "--index",
        "--metric",
        "--thresholds",
        "--rerank",
        "--faiss-index",
        "--device",
        "--top-k",
        "--one-per-simulation",
        "--refine",
    ],
    "info": ["--json"],
    "index": ["--index", "--faiss-index", "--rebuild"],
    "train encoder": ["--design", "--tumors", "--learn-from", "--epochs", "--seed", "--device", "--restart"],
    "bench retrieval": [
        "--out",
        "--cohort",
        "--methods",
        "--n-test",
        "--n-perturbed",
        "--n-reference",
        "--seed",
        "--space",
    ],
    "bench plausibility": ["--cohort", "--out", "--space"],
    "verify": ["--full"],
    "gc": ["--keep", "--keep-days"],
    "versions": ["--json"],
    "add": ["--source", "--density", "--origin", "--diffusivity", "--proliferation", "--duration"],
    "delete": ["--note"],
    "export": ["--out"],
    "demo": ["--out", "--count", "--seed"],
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(gliodex, command):
    words = gliodex(*command.split(), "--help").out.split()
    assert [option for option in OPTIONS[command] if option not in words] == []


def test_nothing_asked_shows_the_help_and_no_error(gliodex):
    ran = gliodex()
    assert "Usage:" in ran.out + ran.err
    assert "error:" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("fly",), "fly"),
        (("--fast",), "--fast"),
        (("info",), "STORE"),
        (("info", "store", "another"), "another"),
        (("info", "store", "--jsn"), "--jsn"),
        (("build", "store"), "--count"),
        (("build", "store", "--count", "many"), "--count"),
        (("build", "store", "--count", "0"), "--count"),
        (("build", "store", "--count", "3", "--seed", "-1"), "--seed"),
        (("build", "store", "--count", "3", "--workers", "0"), "--workers"),
        (("build", "store", "--count"), "--count"),
        (("query", "store"), "--out"),
        (("query", "--out", "out"), "STORE"),
        (("query", "store", "--out", "out", "--space", "mni"), "--space"),
        (("query", "store", "--out", "out", "--method", "magic"), "--index"),
        (("query", "store", "--out", "out", "--refine", "magic"), "--refine"),
        (("query", "store", "--out", "out", "--registration", "magic"), "--registration"),
        (("query", "store", "--out", "out", "--top-k", "all"), "--top-k"),
        (("index", "store", "--method", "magic"), "--index"),
        (("gc", "store", "--keep", "0"), "--keep"),
        (("gc", "store", "--keep-days", "-2"), "--keep-days"),
        (("build", "store", "--count", "3", "--snapshots", "-1"), "--snapshots"),
        (("build", "store", "--count", "3", "--snapshots", "few"), "--snapshots"),
        (("query", "store", "--out", "out", "--one-per-simulation=yes"), "--one-per-simulation"),
        (("add", "store"), "--source"),
        (("add", "--source", "me"), "STORE"),
        (("add", "store", "--source", "me", "--diffusivity", "fast"), "--diffusivity"),
        (("delete", "store"), "IDS"),
        (("delete", "store", "1", "2"), "2"),
        (("export", "store", "1"), "--out"),
        (("export", "store", "--out", "out"), "IDS"),
        (("versions",), "STORE"),
        (("versions", "store", "--jsn"), "--jsn"),
        (("demo", "--count", "0"), "--count"),
    ],
)
def test_wrong_options_are_refused_in_one_line(gliodex, tmp_path, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    ran = gliodex(*arguments)
    assert ran.code == 2
    assert named in ran.said
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), ValueError("one line\nanother line"), AssertionError(), OSError(5, "x")]
)
def test_a_fault_of_the_program_is_said_in_one_line(gliodex, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("gliodex.store.open_store", fail)
    ran = gliodex("info", "store")
    assert ran.code == 1
    assert type(error).__name__ in ran.said
    assert "GLIODEX_DEBUG" in ran.said


@pytest.mark.parametrize(
    "number",
    [errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EROFS, errno.ENOSPC, errno.ENOENT, errno.EIO],
)
@pytest.mark.parametrize("name", ["a place", b"a pl\xe9ce"])
def test_a_place_that_cannot_be_used_is_no_fault_of_the_program(gliodex, monkeypatch, number, name):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr("gliodex.store.open_store", fail)
    ran = gliodex("info", "store")
    assert ran.code == 2
    assert ran.said.startswith("error: a pl")
    assert os.strerror(number).lower() in ran.said


def test_a_full_disk_is_no_fault_where_no_file_is_named(gliodex, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gliodex.store.open_store", fail)
    ran = gliodex("info", "store")
    assert ran.code == 2
    assert "no space left on device" in ran.said


def test_a_fault_shows_where_if_asked(gliodex, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("boom")

    monkeypatch.setattr("gliodex.store.open_store", fail)
    monkeypatch.setenv("GLIODEX_DEBUG", "1")
    ran = gliodex("info", "store")
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert "boom" in ran.err


def test_an_interrupt_is_no_fault(gliodex, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gliodex.store.open_store", stop)
    ran = gliodex("info", "store")
    assert ran.code == 130
    assert "stopped" in ran.said


STOPPED = """
import os, signal, sys, time
import gliodex.store as store, gliodex.cli.main as m

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored, as under nohup
signal.signal(signal.SIGINT, signal.default_int_handler)  # as of a background job

def wait(*_):
    try:
        os.kill(os.getpid(), int(os.environ["NUMBER"]))
        time.sleep(60)
    finally:
        print("left")

store.open_store = wait
m.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_that_ends_a_command_is_no_fault(number, code):
    command, number = [sys.executable, "-c", STOPPED, "info", "store"], str(number.value)
    told = os.environ | {"NUMBER": number}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=told)
    assert ran.returncode == code
    assert ran.stdout == "left\n"
    assert ran.stderr == "stopped; the same command goes on where it was\n"


@pytest.mark.parametrize("name", ["x" * 300, "loop", "file/below"])
def test_paths_that_the_system_refuses_are_refused_by_every_command(gliodex, small_seg, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    for arguments in (
        ("info", name),
        ("verify", name),
        ("gc", name),
        ("index", name),
        ("versions", name),
        ("export", name, "1", "--out", "out"),
        ("add", name, "--source", "me", "--density", small_seg),
        ("delete", name, "1"),
        ("query", name, "--seg", small_seg, "--space", "atlas", "--out", "out"),
        ("query", "store", "--seg", name, "--space", "atlas", "--out", "out"),
        ("query", "store", "--seg", small_seg, "--space", "atlas", "--out", name),
        ("query", "store", "--seg", small_seg, "--transform", name, "--out", "out"),
        (
            "forecast",
            "--seg",
            name,
            "--density",
            name,
            "--follow-up-day",
            "3",
            "--forecast-days",
            "4",
            "--t1",
            name,
            "--out",
            "out",
        ),
    ):
        ran = gliodex(*arguments)
        assert ran.code == 2, (arguments, ran.err)
        assert ran.said.startswith("error: ")


def test_a_name_that_is_no_utf8_is_shown_with_escapes(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/latin_\xe9")
    ran = script("info", name, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert ran.returncode == 2
    assert "latin_\\udce9" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_terminal_obeys_no_name(tmp_path):
    """Control sequences of a name, which would paint over the error, are shown as escapes."""
    ran = script("info", str(tmp_path / "\x1b[2Jstore\x07"))
    assert ran.returncode == 2
    assert "\x1b" not in ran.stderr + ran.stdout
    assert "\\x1b[2Jstore\\x07" in ran.stderr


def test_the_script_exits_with_0_and_2(indexed_store, tmp_path):
    good = script("info", indexed_store, "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("{")
    bad = script("info", tmp_path / "nothing")
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert len(bad.stderr.strip().splitlines()) == 1
    assert str(tmp_path / "nothing") in bad.stderr


def test_the_script_exits_with_1_for_a_fault(tmp_path):
    code = (
        "import sys, gliodex.store as store, gliodex.cli.main as m\n"
        "def fail(*a): raise RuntimeError('boom')\n"
        "store.open_store = fail\n"
        f"sys.argv = ['gliodex', 'info', {str(tmp_path)!r}]\n"
        "m.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "boom" in ran.stderr


def test_a_reader_that_hangs_up_is_no_fault(indexed_store):
    command = f"{sys.executable} -m gliodex.cli.main info {indexed_store} | true"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (("history", "store"), ("versions", "store")),
        (("plausibility", "store"), ("bench", "plausibility", "store")),
        (("bench", "refine", "store"), ("bench", "refinement", "store")),
        (("train", "ae", "store"), ("train", "encoder", "ae", "store")),
        (
            ("query", "s", "--core", "4", "--whole=2,4", "--no-keep"),
            ("query", "s", "--core-labels", "4", "--whole-labels=2,4"),
        ),
        (("index", "store", "--method", "ds64"), ("index", "store", "--index", "ds64")),
    ],
)
def test_earlier_spellings_keep_working(earlier, now):
    assert _renamed(list(earlier)) == list(now)


def test_the_version_is_shown(gliodex):
    from importlib.metadata import version

    assert gliodex("--version").out.strip() == version("gliodex")


def test_every_command_is_where_it_is_said_to_be():
    def places(known):
        for place in known.values():
            yield from [place] if isinstance(place, str) else places(place)

    for place in places(COMMAND_PLACES):
        module, function = place.split(":")
        assert callable(getattr(import_module(f"gliodex.cli.{module}"), function))
