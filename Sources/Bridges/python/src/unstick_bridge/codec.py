"""How a session's attributes become the state that travels."""

from __future__ import annotations

import json
import pickle
from typing import Any, Dict, Mapping, Tuple

from .protocol import ContractError

JSON = "json"
PICKLE = "pickle"


def encode_json(attributes: Mapping[Any, Any]) -> Tuple[bytes, Tuple[str, ...]]:
    """Canonical JSON, and the names of the attributes that it cannot carry.

    An attribute counts as carried only if reading it back gives an equal value: a tuple would come back as a
    list and an integer key as text, and the application would notice only after the switch.
    """
    try:
        text = _canonical(attributes)
        if json.loads(text) == attributes:
            return text.encode("utf-8"), ()
    except (TypeError, ValueError, RecursionError):
        pass
    carried: Dict[str, Any] = {}
    bad = []
    for name, value in attributes.items():
        if isinstance(name, str) and _survives(name, value):
            carried[name] = value
        else:
            bad.append(str(name))
    return _canonical(carried).encode("utf-8"), tuple(sorted(bad))


def decode_json(state: bytes) -> Dict[str, Any]:
    try:
        attributes = json.loads(state.decode("utf-8"))
    except ValueError as error:
        raise ContractError(400, "state", f"the state is not JSON: {error}") from None
    if not isinstance(attributes, dict):
        raise ContractError(400, "state", "the state is not a JSON object")
    return attributes


def decode(state: bytes, codec: str, accepted: str) -> Dict[Any, Any]:
    """Attributes of a state whose signature has been verified.

    Pickles can run code when read, so only an application that is set to pickle reads them at all.
    """
    if codec == JSON:
        return decode_json(state)
    if codec == PICKLE and accepted == PICKLE:
        attributes = pickle.loads(state)
        if isinstance(attributes, dict):
            return attributes
        raise ContractError(400, "state", "the pickled state is not a dictionary")
    raise ContractError(415, "codec", f"this application takes {accepted}, not {codec!r}")


def _survives(name: str, value: Any) -> bool:
    try:
        # The name too: a lone surrogate in it has no UTF-8.
        text = _canonical({name: value})
        text.encode("utf-8")
        return bool(json.loads(text) == {name: value})
    except (TypeError, ValueError, RecursionError):
        return False


def _canonical(attributes: Mapping[Any, Any]) -> str:
    return json.dumps(attributes, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
