"""Without isolation, the tests of isolation are skipped and the refusal is tested."""

import pytest

from qvl.sandbox import probe


@pytest.fixture(autouse=True)
def isolated(request: pytest.FixtureRequest) -> None:
    if not probe().isolated and not request.node.get_closest_marker("anywhere"):
        pytest.skip(f"nothing isolates here: {probe().reason}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "anywhere: runs without isolation, too")
