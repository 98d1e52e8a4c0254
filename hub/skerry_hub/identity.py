"""Who the hub is: its folder of keys, the root's delegation, and the certificate that nodes and people pin.

    root.key        the mesh root's private key, raw; may be kept elsewhere once the hub is set up
    delegation      the root's word for this hub, msgpack
    hub.key         signs assignments, raw
    tls.key tls.crt the key that HTTPS and NATS show; the certificate has no end, because clocks cannot be relied on
    hub.db          the store
    artifacts/ nats/

No key ever leaves the folder by the API.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from skerry_protocol import signing
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import MeshName, Region

from .files import write_new

FIRST_SERIAL = 1
_UTC = dt.UTC
ALWAYS = (
    dt.datetime(1970, 1, 1, tzinfo=_UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=_UTC),
)


class IdentityError(RuntimeError):
    """The folder does not hold a hub, or what it holds does not fit together."""


@dataclass(frozen=True)
class Identity:
    """A hub's keys, read once at start. `delegation_bytes` is the encoded Signed as nodes get it.

    `rebuilt`: the region had another hub, which was lost; what that one signed counts as proof.
    """

    data: Path
    mesh: MeshName
    region: Region
    serial: int
    root_public: bytes
    hub_key: bytes
    delegation: signing.Signed
    delegation_bytes: bytes
    tls_pin: bytes
    rebuilt: bool = False

    @property
    def pin(self) -> str:
        """What join tokens and operators' configs carry of the root (hex)."""
        return signing.pin(self.root_public)

    @property
    def database(self) -> Path:
        return self.data / "hub.db"

    @property
    def certificate(self) -> Path:
        return self.data / "tls.crt"

    @property
    def tls_key(self) -> Path:
        return self.data / "tls.key"


def create(
    data: Path, mesh: MeshName, region: Region, root: Path | None = None, serial: int = FIRST_SERIAL
) -> Identity:
    """Makes the keys of a new hub in `data`. `root`: a root key kept elsewhere (made where missing).

    Raises IdentityError where there is a hub already.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (data / "delegation").exists():
        raise IdentityError(f"cannot make a hub in {data}: there is one (choose another --data)")
    root_file = root or data / "root.key"
    if not root_file.exists():
        write_new(root_file, signing.new_key())
    _keep(data / "hub.key", signing.new_key())
    _keep_tls(data, region)
    hub = signing.public_key((data / "hub.key").read_bytes())
    word = signing.delegate(root_file.read_bytes(), mesh, region, serial, hub, _spki(data / "tls.crt"))
    write_new(data / "delegation", encode(word))
    return read(data)


def _keep(path: Path, content: bytes) -> None:
    """Writes it unless an init that was interrupted did."""
    if not path.exists():
        write_new(path, content)


def read(data: Path) -> Identity:
    """The hub in `data`. Raises IdentityError, with what to do, where it is not whole."""
    try:
        encoded = (data / "delegation").read_bytes()
        hub_key = (data / "hub.key").read_bytes()
        hub_public = signing.public_key(hub_key)
        tls = _spki(data / "tls.crt")
        signed = decode(signing.Signed, encoded, limit=8192)
        word = decode(signing.Delegation, signed.payload, limit=4096)
        signing.open_delegation(signed, signing.pin(word.root))
    except FileNotFoundError as error:
        raise IdentityError(
            f"cannot read the hub in {data}: {error.filename} is missing (make one with 'skerry-hub init')"
        ) from error
    except (OSError, WireError, signing.BadSignature, ValueError) as error:
        raise IdentityError(
            f"cannot read the hub in {data}: {error} (put back a backup of the folder)"
        ) from error
    if word.hub_key != hub_public or word.tls_key != tls:
        raise IdentityError(
            f"cannot use the keys in {data}: the delegation is for other keys (put back the ones it was made for)"
        )
    return Identity(data, word.mesh, word.region, word.serial, word.root, hub_key, signed, encoded, tls)


def _keep_tls(data: Path, region: Region) -> None:
    if (data / "tls.crt").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"skerry hub {region}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ALWAYS[0])
        .not_valid_after(ALWAYS[1])
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("skerry-hub")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (data / "tls.key").unlink(missing_ok=True)
    write_new(data / "tls.key", pem)
    write_new(data / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _spki(certificate: Path) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo (DER): what the delegation covers."""
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS as the hub serves it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.certificate, identity.tls_key)
    return context


def free_of_others(data: Path) -> bool:
    """Whether nobody but the owner can read the private keys."""
    return all((data / name).stat().st_mode & 0o077 == 0 for name in ("hub.key", "tls.key"))
