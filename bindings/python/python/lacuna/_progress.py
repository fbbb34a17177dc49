"""Progress bars, and what they are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._optional import is_installed, require

logger = logging.getLogger("lacuna")


@contextmanager
def bar(show: bool | None, total: int) -> Iterator[Callable[[int], None] | None]:
    """What is called with the number of texts that are done; ``None`` without a bar.

    ``show=None`` shows a bar if the logger ``lacuna`` is at level INFO or DEBUG, as sentence-transformers does, and tqdm is installed.
    """
    if show is None:
        show = logger.getEffectiveLevel() in (logging.INFO, logging.DEBUG) and is_installed("tqdm")
    if not show:
        yield None
        return
    tqdm: Any = require("tqdm.auto", "show_progress_bar", "tqdm")
    with tqdm.tqdm(total=total, desc="Texts") as shown:

        def update(done: int) -> None:
            shown.update(done - shown.n)

        yield update
