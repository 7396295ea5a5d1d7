"""What every test of handlers leaves behind is closed."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _closed_logs() -> Iterator[None]:
    """Closes the log files that resumed runs opened."""
    logger = logging.getLogger("firebox")
    before = list(logger.handlers)
    yield
    for handler in [handler for handler in logger.handlers if handler not in before]:
        logger.removeHandler(handler)
        handler.close()
