"""The secret that proxy and bridge share."""

from __future__ import annotations

import os
from typing import Union

BYTES_MIN = 32


class SecretError(Exception):
    """The secret file is missing, unreadable or too short. The message names the file, never its content."""


def read_secret(path: Union[str, "os.PathLike[str]"]) -> bytes:
    """The file's bytes without trailing newlines; at least 32 of them."""
    try:
        with open(path, "rb") as file:
            secret = file.read()
    except OSError as error:
        raise SecretError(f"cannot read the bridge secret {os.fspath(path)!r}: {error.strerror}") from error
    secret = secret.rstrip(b"\r\n")
    if len(secret) < BYTES_MIN:
        raise SecretError(
            f"the bridge secret in {os.fspath(path)!r} has {len(secret)} bytes; at least {BYTES_MIN} are needed "
            "(for example: openssl rand -hex 32)"
        )
    return secret
