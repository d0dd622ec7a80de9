"""`gliodex serve`: what it refuses before it listens. What it serves is tested in tests/service."""

import subprocess
import sys

import pytest

from gliodex.cli.serve import _named
from gliodex.errors import InputError


def refused(*arguments):
    command = [sys.executable, "-m", "gliodex.cli.main", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_others_are_let_in_with_a_token_alone(small_store, tmp_path):
    said = refused(str(small_store), "--host", "0.0.0.0", "--state-dir", str(tmp_path / "folder"))
    assert "--token-file" in said
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("short", "at least 16"), ("ö" * 20, "cannot be read")]
)
def test_a_token_must_be_one(small_store, tmp_path, content, said):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    assert said in refused(str(small_store), "--token-file", str(token), "--state-dir", str(tmp_path / "folder"))


def test_a_store_that_is_none_and_a_port_that_is_taken(small_store, tmp_path):
    assert "is not a gliodex store" in refused(str(tmp_path / "nothing"), "--state-dir", str(tmp_path / "a"))
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "cannot listen" in refused(str(small_store), "--port", port, "--state-dir", str(tmp_path / "b"))


def test_a_version_of_a_store_cannot_be_served(small_store, tmp_path):
    assert "without a version" in refused(f"{small_store}@1", "--state-dir", str(tmp_path / "a"))


def test_stores_have_names():
    assert _named(["/data/a", "x=/data/b/", "s3://bucket/c"]) == {
        "a": "/data/a",
        "x": "/data/b",
        "c": "s3://bucket/c",
    }
    with pytest.raises(InputError, match="two stores are called a"):
        _named(["/data/a", "/other/a"])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense:a-password", "no address of a Redis server"),
        ("redis://:a-password@127.0.0.1:9/0", "cannot be reached"),
    ],
)
def test_a_queue_that_is_not_there_is_said_without_its_password(small_store, tmp_path, url, said):
    told = refused(str(small_store), "--state-dir", str(tmp_path / "folder"), "--redis", url)
    assert said in told
    assert "a-password" not in told
