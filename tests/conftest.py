"""What all tests share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """The tests' digit classifier is trained once, in a cache of its own; subprocesses inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_LABORATORY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MNIST_NPZ", raising=False)
        yield


LONG = ("scripts", "notebooks", "sample", "normal_1d", "plot", "stacked_mnist", "cyclegan", "points", "mixture_2d")


def pytest_collection_modifyitems(items):
    """The longest files come first, so that two workers, which take a file at a time, end at about the same time."""
    names = [f"test_{name}" for name in LONG]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))
