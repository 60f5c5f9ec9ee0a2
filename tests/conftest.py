"""What all tests share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """The tests' digit classifier is trained once, in a cache of its own; subprocesses inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_LABORATORY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MNIST_NPZ", raising=False)
        yield


def pytest_collection_modifyitems(items):
    """Tests that share a fixture run in one worker: those of a script in test_scripts.py, elsewhere those of a file.

    The largest groups come first, so that two workers end at about the same time.
    """
    sizes: dict[str, int] = {}
    names = {}
    for item in items:
        name = item.path.stem
        if name in ("test_scripts", "test_notebooks") and hasattr(item, "callspec"):
            parameters = item.callspec.params
            name = f"{name}-{parameters.get('finished') or parameters.get('name') or parameters.get('path')}"
        names[item] = name
        sizes[name] = sizes.get(name, 0) + WEIGHTS.get(name.split("-")[0], 1)
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: (-sizes[names[item]], names[item]))  # stable: a group stays together, in its order


WEIGHTS = {"test_scripts": 20, "test_notebooks": 500}  # seconds a test, roughly, in units of a short one
