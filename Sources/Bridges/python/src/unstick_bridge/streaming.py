"""Bodies that may change the session while they are sent."""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, Optional


def settled(content: Iterable[bytes], settle: Callable[[], None], has_length: bool) -> Iterator[bytes]:
    """Passes the chunks on and settles before the body is complete.

    A client knows the end of a body with a length from its last byte, so then the last chunk waits for `settle`;
    without a length the end is what the server sends after this iterator.
    """
    held: Optional[bytes] = None
    try:
        for chunk in content:
            if not has_length:
                yield chunk
                continue
            if held is not None:
                yield held
            held = chunk
    finally:
        settle()
    if held is not None:
        yield held
