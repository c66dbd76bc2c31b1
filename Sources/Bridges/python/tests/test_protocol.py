import base64
import hashlib
import hmac

import pytest
from kit import NOW, SECRET, Proxy, version_tag

from unstick_bridge.protocol import (
    ContractError,
    Phase,
    VersionTag,
    cookie_values,
    decode_base64url,
    encode_base64url,
    endpoint_auth_is_valid,
    format_fields,
    is_session_id,
    parse_fields,
    parse_request_head,
    proxy_auth_is_valid,
    tag_of,
)
from unstick_bridge.secret import SecretError, read_secret

proxy = Proxy()


def mac(message):
    """Written out anew, so that a mistake in the bridge's own helper shows."""
    digest = hmac.new(SECRET, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_the_proxys_mac_covers_the_label_and_the_timestamp():
    timestamp = str(int(NOW))
    assert proxy.auth() == f"{timestamp}.{mac(b'unstick-proxy' + b'%c' % 10 + timestamp.encode())}"


def test_the_states_signature_covers_id_version_tag_codec_ttl_and_state():
    fields = proxy.put_fields("abc", "12-9f86d081", b"STATE")
    assert fields.endswith("sig=" + mac(b"abc\n12-9f86d081\njson\n1800\nSTATE"))


def test_an_endpoints_signature_covers_method_target_timestamp_and_the_bodys_digest():
    message = f"PUT\n/x?y=1\n{int(NOW)}\n{hashlib.sha256(b'BODY').hexdigest()}".encode()
    header = f"ts={int(NOW)}; sig={mac(message)}"
    assert endpoint_auth_is_valid(header, SECRET, NOW, "PUT", "/x?y=1", b"BODY")
    assert not endpoint_auth_is_valid(header, SECRET, NOW, "GET", "/x?y=1", b"BODY")
    assert not endpoint_auth_is_valid(header, SECRET, NOW, "PUT", "/x?y=2", b"BODY")
    assert not endpoint_auth_is_valid(header, SECRET, NOW, "PUT", "/x?y=1", b"")


@pytest.mark.parametrize("seconds, valid", [(-61, False), (-60, True), (0, True), (60, True), (61, False)])
def test_signatures_hold_for_sixty_seconds_both_ways(seconds, valid):
    assert proxy_auth_is_valid(proxy.auth(), SECRET, NOW + seconds) is valid
    header = proxy.endpoint_auth("GET", "/x")
    assert endpoint_auth_is_valid(header, SECRET, NOW + seconds, "GET", "/x", b"") is valid


@pytest.mark.parametrize(
    "auth",
    [None, "", ".", "x", f"{int(NOW)}", f"{int(NOW)}.", f"{int(NOW)}.AAAA", f".{mac(b'')}", f"-1.{mac(b'')}", "é.é"],
)
def test_anything_but_a_valid_auth_makes_no_head(auth):
    fields = "v=1; phase=mirroring" + (f"; auth={auth}" if auth is not None else "")
    assert parse_request_head(fields, SECRET, NOW) is None


def test_another_secrets_auth_makes_no_head():
    head = Proxy(secret=b"another secret, also of 32 bytes").head("mirroring")
    assert parse_request_head(head, SECRET, NOW) is None


def test_two_headers_joined_by_the_server_make_no_head():
    head = proxy.head("mirroring")
    assert parse_request_head(f"{head}, {head}", SECRET, NOW) is None


def test_padding_on_the_mac_is_accepted():
    assert parse_request_head(proxy.head("mirroring").replace("; phase", "=; phase"), SECRET, NOW) is not None


@pytest.mark.parametrize("phase", list(Phase))
def test_each_phase_is_read(phase):
    head = parse_request_head(proxy.head(phase.value), SECRET, NOW)
    assert head.phase is phase and head.generation == 7
    assert head.want is None and head.put is None and not head.absent


def test_want_put_and_absent_are_read():
    assert parse_request_head(proxy.head("stateless", "want=12-9f86d081"), SECRET, NOW).want == VersionTag(
        12, "9f86d081"
    )
    assert parse_request_head(proxy.head("stateless", "absent"), SECRET, NOW).absent
    put = parse_request_head(
        proxy.head("stateless", proxy.put_fields("id", version_tag(3, b"S"), b"S", ttl=60)), SECRET, NOW
    ).put
    assert (put.version_tag.version, put.codec, put.ttl) == (3, "json", 60)
    put.verify(SECRET, "id", b"S")


@pytest.mark.parametrize(
    "fields",
    [
        ["want=12"],
        ["want=12-9F86D081"],
        ["want=x-9f86d081"],
        ["want=1-9f86d0811"],
        ["want=1-9f86d081", "absent"],
        ["put=1-9f86d081"],
        ["put=1-9f86d081; codec=json; ttl=0; sig=x"],
        ["put=1-9f86d081; codec=json; ttl=-5; sig=x"],
        ["put=1-9f86d081; codec=json; ttl=5; sig=x", "absent"],
    ],
)
def test_an_authenticated_head_that_breaks_the_contract_is_answered_400(fields):
    with pytest.raises(ContractError) as raised:
        parse_request_head(proxy.head("stateless", *fields), SECRET, NOW)
    assert raised.value.status == 400


@pytest.mark.parametrize("old, new", [("v=1", "v=2"), ("phase=mirroring", "phase=warp")])
def test_an_unknown_version_or_phase_is_answered_400(old, new):
    with pytest.raises(ContractError) as raised:
        parse_request_head(proxy.head("mirroring").replace(old, new), SECRET, NOW)
    assert raised.value.status == 400


@pytest.mark.parametrize("change", ["id", "state", "version", "codec", "ttl"])
def test_a_signature_for_something_else_is_answered_401(change):
    fields = proxy.put_fields("id", version_tag(3, b"S"), b"S", "json", 60)
    if change == "version":
        fields = fields.replace("put=3", "put=4")
    if change == "codec":
        fields = fields.replace("json", "pickle")
    if change == "ttl":
        fields = fields.replace("ttl=60", "ttl=6000")
    put = parse_request_head(proxy.head("stateless", fields), SECRET, NOW).put
    with pytest.raises(ContractError) as raised:
        put.verify(SECRET, "other" if change == "id" else "id", b"T" if change == "state" else b"S")
    assert raised.value.status == 401


def test_a_tag_that_is_not_the_states_is_answered_400():
    put = parse_request_head(proxy.head("stateless", proxy.put_fields("id", "3-00000000", b"S")), SECRET, NOW).put
    with pytest.raises(ContractError) as raised:
        put.verify(SECRET, "id", b"S")
    assert raised.value.status == 400


def test_fields_are_split_on_semicolons_and_the_first_equals_sign():
    assert parse_fields(" a=1 ;b; c=x=y;; ") == {"a": "1", "b": None, "c": "x=y"}
    assert format_fields((("a", 1), ("b", None), ("c", "x"))) == "a=1; c=x"
    with pytest.raises(ContractError):
        parse_fields("a=1; a=2")


def test_the_tag_is_the_start_of_sha256():
    assert tag_of(b"test") == "9f86d081"


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64url_goes_without_padding_and_is_read_with_or_without(data):
    text = encode_base64url(data)
    assert "=" not in text and "+" not in text and "/" not in text
    assert decode_base64url(text) == data
    assert decode_base64url(base64.urlsafe_b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["a", "a+b/", "a b", "ab\n", "é", "a=b"])
def test_what_is_not_base64url_is_answered_400(text):
    with pytest.raises(ContractError) as raised:
        decode_base64url(text)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "text, valid",
    [
        ("abc", True),
        ("s%3Aab.c=d", True),
        ("", False),
        ("a;b", False),
        ("a b", False),
        ("a\nb", False),
        ("é", False),
        ("a" * 513, False),
    ],
)
def test_session_ids_are_visible_ascii_that_fits_a_header_field(text, valid):
    assert is_session_id(text) is valid


def test_cookies_are_read_raw():
    assert cookie_values('a=1; s="x=y"; b; s=z;s =w', "s") == ['"x=y"', "z"]
    assert cookie_values("", "s") == []


def test_the_secret_is_the_file_without_its_last_newline(tmp_path):
    file = tmp_path / "bridge.key"
    file.write_bytes(SECRET + b"\n")
    assert read_secret(file) == SECRET


def test_a_short_or_missing_secret_is_refused_with_its_file_and_size(tmp_path):
    file = tmp_path / "bridge.key"
    file.write_bytes(SECRET[:31] + b"\n")
    with pytest.raises(SecretError, match=r"bridge\.key.*31 bytes.*32"):
        read_secret(file)
    with pytest.raises(SecretError, match=r"absent\.key"):
        read_secret(tmp_path / "absent.key")
