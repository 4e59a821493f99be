"""Progress of long loops: whoever displays progress installs a hook, and the code that loops doesn't
know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
ProgressHook = Callable[[Iterable[Any], str, int], Iterable[Any]]  # items, what is done with them, how many

_hook: ContextVar[ProgressHook] = ContextVar("progress", default=lambda items, what, total: items)


def with_progress(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """Returns the same items, whose progress is shown by the hook that is installed, if any.

    Args:
        items: What is looped over.
        what: What is done with them, in words.
        total: How many there are.
    """
    return _hook.get()(items, what, total)


@contextmanager
def use_progress(hook: ProgressHook) -> Iterator[None]:
    """Installs the hook that shows the progress of long loops inside the block."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)
