import pytest

from .tiny import anatomy_stores


@pytest.fixture(scope="session")
def anatomies(tmp_path_factory, make_atlas):
    """Three stores of 40 tumours, each of its own brain; not to be changed."""
    return anatomy_stores(tmp_path_factory.mktemp("anatomies"), make_atlas)
