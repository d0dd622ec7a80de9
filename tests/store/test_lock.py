import json
import os
import resource
import signal

import pytest

from gliodex.errors import OutputError, StoreLockedError
from gliodex.store.lock import committer_lock

from .breaking import in_fork


def test_the_second_committer_is_told_who_holds_the_lock(tmp_path):
    with committer_lock(tmp_path, "gliodex build --seed 4"):  # noqa: SIM117
        with pytest.raises(StoreLockedError) as caught, committer_lock(tmp_path, "other"):
            pass
    message = str(caught.value)
    assert "`gliodex build --seed 4`" in message
    assert f"process {os.getpid()} on " in message
    assert str(tmp_path) in message


def test_the_lock_is_free_again_after_its_holder_left(tmp_path):
    for purpose in ("first", "second"):
        with committer_lock(tmp_path, purpose):
            assert json.loads((tmp_path / "lock").read_text())["purpose"] == purpose


def test_the_lock_is_free_again_after_its_holder_raised(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), committer_lock(tmp_path, "first"):
        raise RuntimeError("inside")
    with committer_lock(tmp_path, "second"):
        pass


def test_a_refused_committer_does_not_change_what_the_lock_says(tmp_path):
    with committer_lock(tmp_path, "first"):
        before = (tmp_path / "lock").read_bytes()
        with pytest.raises(StoreLockedError), committer_lock(tmp_path, "second"):
            pass
        assert (tmp_path / "lock").read_bytes() == before


def test_another_process_that_holds_the_lock_is_named(tmp_path):
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with committer_lock(tmp_path, "the child's commit"):
            os.write(ready[1], b"1")
            os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with pytest.raises(StoreLockedError, match=rf"the child's commit` \(process {child} on "):  # noqa: SIM117
            with committer_lock(tmp_path, "other"):
                pass
    finally:
        os.write(go[1], b"1")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for end in (*ready, *go):
            os.close(end)


def test_the_lock_of_a_killed_process_does_not_block(tmp_path):
    def hold_and_die():
        held = committer_lock(tmp_path, "doomed")
        held.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(hold_and_die) == -signal.SIGKILL
    assert json.loads((tmp_path / "lock").read_text())["purpose"] == "doomed"
    with committer_lock(tmp_path, "next"):
        assert json.loads((tmp_path / "lock").read_text())["purpose"] == "next"


@pytest.mark.parametrize("content", ["", "not json", "[1]", "{}"])
def test_a_lock_file_that_cannot_be_read_still_locks(tmp_path, content):
    with committer_lock(tmp_path, "first"):
        (tmp_path / "lock").write_text(content)
        with pytest.raises(StoreLockedError, match="another process"), committer_lock(tmp_path, "second"):
            pass


def test_the_folder_of_the_lock_is_made(tmp_path):
    with committer_lock(tmp_path / "a" / "b", "first"):
        assert (tmp_path / "a" / "b" / "lock").is_file()


def test_a_place_that_cannot_hold_a_lock_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot write to"),
        committer_lock(tmp_path / "file" / "x", "first"),
    ):
        pass


def test_a_disk_that_takes_no_byte_of_the_lock_is_reported_as_output_error(tmp_path):
    def lock_without_space():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            with committer_lock(tmp_path, "first"):
                os._exit(4)
        except OutputError:
            return
        except OSError:
            os._exit(5)

    assert in_fork(lock_without_space) == 0
