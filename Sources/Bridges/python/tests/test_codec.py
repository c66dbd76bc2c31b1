import datetime
import pickle

import pytest

from unstick_bridge.codec import decode, encode_json
from unstick_bridge.protocol import ContractError


def test_json_is_canonical():
    assert encode_json({"b": 1, "a": {"d": "é", "c": None}}) == ('{"a":{"c":null,"d":"é"},"b":1}'.encode(), ())


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, {"a": (1,)}, float("nan"), {1}, datetime.date(2020, 1, 1), b"x", object(), "\ud800"]
)
def test_an_attribute_that_would_come_back_different_is_named_and_the_rest_is_kept(value):
    assert encode_json({"good": [1], "odd": value}) == (b'{"good":[1]}', ("odd",))


def test_a_name_that_is_not_text_is_named_as_well():
    assert encode_json({3: "x", "a": 1}) == (b'{"a":1}', ("3",))


def test_endless_attributes_are_named():
    loop = []
    loop.append(loop)
    assert encode_json({"loop": loop})[1] == ("loop",)


def test_pickles_are_read_only_where_pickle_is_configured():
    state = pickle.dumps({"a": 1})
    assert decode(state, "pickle", accepted="pickle") == {"a": 1}
    with pytest.raises(ContractError) as raised:
        decode(state, "pickle", accepted="json")
    assert raised.value.status == 415


@pytest.mark.parametrize("state", [b"", b"[1]", b"{", b"\xff"])
def test_states_that_are_no_json_object_are_refused(state):
    with pytest.raises(ContractError) as raised:
        decode(state, "json", accepted="json")
    assert raised.value.status == 400
