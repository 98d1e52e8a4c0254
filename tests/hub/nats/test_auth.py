"""The text forms of NATS keys, and who may say what, as the tokens state it. What a server makes of it: test_bus."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.nats import auth
from skerry_hub.nats.nkeys import BadKey, Kind, public_bytes, public_text
from skerry_protocol.codec import WireError
from skerry_protocol.ids import NodeId, Region
from skerry_protocol.signing import public_key

ACCOUNTS = auth.open_accounts(auth.new_accounts())
LETTERS = {Kind.OPERATOR: "O", Kind.ACCOUNT: "A", Kind.USER: "U"}


def claims(token: str) -> dict:
    """The claims of a token, after its signature was checked against the issuer that it names."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    kind = next(kind for kind, letter in LETTERS.items() if said["iss"].startswith(letter))
    key = Ed25519PublicKey.from_public_bytes(public_bytes(kind, said["iss"]))
    key.verify(base64.urlsafe_b64decode(signature + "=="), f"{head}.{body}".encode())
    return said


def test_a_known_key_is_written_as_nats_writes_it() -> None:
    # The example of the nkeys project's own documentation: its CRC and prefix are not ours to choose.
    text = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
    assert public_text(Kind.USER, public_bytes(Kind.USER, text)) == text


@given(st.sampled_from(list(Kind)), st.binary(min_size=32, max_size=32))
def test_a_key_comes_back_from_its_text(kind: Kind, key: bytes) -> None:
    text = public_text(kind, key)
    assert text[0] == LETTERS[kind]
    assert len(text) == 56
    assert public_bytes(kind, text) == key


@given(st.text(max_size=80))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        public_bytes(Kind.USER, text)


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 55),
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
)
def test_one_wrong_letter_is_found(key: bytes, place: int, letter: str) -> None:
    text = public_text(Kind.ACCOUNT, key)
    changed = text[:place] + letter + text[place + 1 :]
    if changed != text:
        with pytest.raises(BadKey):
            public_bytes(Kind.ACCOUNT, changed)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(BadKey):
        public_text(Kind.USER, b"short")


def test_accounts_are_kept_and_read_back() -> None:
    kept = auth.new_accounts()
    accounts = auth.open_accounts(kept)
    assert len({accounts.operator, accounts.system, accounts.mesh, accounts.signing, accounts.hub_user}) == 5
    with pytest.raises(WireError):
        auth.open_accounts(kept[:-1])


def test_a_new_signing_key_is_all_that_changes() -> None:
    other = auth.open_accounts(auth.with_new_signing_key(ACCOUNTS))
    assert other.signing != ACCOUNTS.signing
    assert (other.operator, other.mesh, other.hub_user) == (
        ACCOUNTS.operator,
        ACCOUNTS.mesh,
        ACCOUNTS.hub_user,
    )


def test_a_nodes_token_has_no_date_and_names_only_itself() -> None:
    machine = public_key(b"m" * 32)
    node = NodeId("n" + "a" * 16)
    said = claims(auth.node_credentials(ACCOUNTS, machine, Region("north"), node))
    assert "exp" not in said
    assert "nbf" not in said
    assert said["iat"] == auth.NODE_ISSUED_AT
    assert said["sub"] == public_text(Kind.USER, machine)
    allowed = said["nats"]["pub"]["allow"] + said["nats"]["sub"]["allow"]
    assert all(node in subject for subject in allowed)
    assert not any("CONSUMER" in subject or subject in {">", "*"} for subject in allowed)
    assert said["nats"]["issuer_account"] == ACCOUNTS.mesh_id


def test_the_same_node_always_gets_the_same_token() -> None:
    made = {
        auth.node_credentials(ACCOUNTS, public_key(b"m" * 32), Region("north"), NodeId("n" + "a" * 16))
        for _ in range(3)
    }
    assert len(made) == 1


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=5))
def test_the_account_names_every_revoked_machine(keys: set[bytes]) -> None:
    said = claims(auth.mesh_account_token(ACCOUNTS, keys, 1234))
    assert said["iat"] == 1234
    revoked = said["nats"]["revocations"]
    assert set(revoked) == {public_text(Kind.USER, key) for key in keys}
    assert all(until >= auth.NODE_ISSUED_AT for until in revoked.values())


def test_five_thousand_revocations_fit_into_one_message() -> None:
    keys = [number.to_bytes(32, "big") for number in range(5_000)]
    assert len(auth.mesh_account_token(ACCOUNTS, keys, 1)) < auth.PAYLOAD_MAX
