"""What several tests share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """The judge of these tests is trained once, in a cache of their own; subprocesses inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_LABORATORY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MNIST_NPZ", raising=False)
        yield


LONG = ("test_notebooks", "test_image_experiments", "test_normal_1d", "test_translation", "test_mixture_2d")


def pytest_collection_modifyitems(items):
    """The longest files first: two workers that take a file at a time then end at about the same time."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))
