"""Long work, watched: who shows progress says so once, and who does the work need not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
Watcher = Callable[[Iterable[Any], str, int], Iterable[Any]]  # items, what is done with them, how many

_watcher: ContextVar[Watcher] = ContextVar("watcher", default=lambda items, what, total: items)


def watched(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """The same items, shown to whoever watches as they are taken."""
    return _watcher.get()(items, what, total)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Long work that is done inside the block is shown by `watcher`."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
