"""Folders that go with their process, in real processes and by real kills."""

import os
import signal
import subprocess
import sys

import pytest

from gliodex.store.scratch import removed_when_killed, scratch_folder


def test_a_scratch_folder_is_there_for_a_while(tmp_path):
    with scratch_folder(tmp_path) as folder:
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_lies_with_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_scratch_folder_is_gone_after_an_error(tmp_path, error):
    with pytest.raises(error), scratch_folder(tmp_path):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_is_not_removed(tmp_path):
    with removed_when_killed(tmp_path / "a", [tmp_path], "never said"):
        (tmp_path / "a").mkdir()
    assert (tmp_path / "a").is_dir()


def test_a_system_without_a_shell_does_without(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", missing)
    with scratch_folder(tmp_path) as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


WORKING = """
import os, signal, sys
from pathlib import Path
from gliodex.store.scratch import removed_when_killed

place = Path(os.fsdecode(sys.argv[1]))
with removed_when_killed(place / "made" / "-rf a", [place / "made", place], "stopped\\nin the middle \\udce9"):
    (place / "made" / "-rf a" / "deep").mkdir(parents=True)
    (place / "made" / "-rf a" / "deep" / "file").write_text("x")
    (place / "kept.txt").write_text("x")
    os.setpgid(0, 0)
    os.killpg(0, int(sys.argv[2]))
    signal.pause()
"""


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGTERM, "-n"), (signal.SIGKILL, "latin_\udce9"), (signal.SIGKILL, 'bl ank\'s "$(touch x)"')],
)
def test_a_kill_of_the_whole_group_leaves_nothing_but_what_others_put_there(tmp_path, name, number):
    place = tmp_path / name
    command = [sys.executable, "-c", WORKING, os.fsencode(place), str(number.value)]
    ran = subprocess.run(command, check=False, capture_output=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == -number
    assert ran.stderr == b"stopped in the middle \\udce9\n"
    assert [path.name for path in place.iterdir()] == ["kept.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
