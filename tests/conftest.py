"""What several tests share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """The judge of these tests is trained once, in a cache of their own; subprocesses inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_LABORATORY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MNIST_NPZ", raising=False)
        yield
