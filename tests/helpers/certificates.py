"""Certificates of authorities that nobody knows, and their keys, for signatures in tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Private = CertificateIssuerPrivateKeyTypes
Public = CertificatePublicKeyTypes
EMAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION


@dataclass(frozen=True)
class Files:
    """The files of a signer."""

    chain: Path
    key: Path
    root: Path


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a private key of the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Private, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(
        Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption()
    )


def public_pem(key: Private) -> bytes:
    """Return the public key of a private one in PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def issue(
    folder: Path,
    key: Private | None = None,
    name: str = "A. Signer",
    usage: Sequence[x509.ObjectIdentifier] = (EMAIL,),
    days: tuple[int, int] = (-1, 30),
) -> Files:
    """Write chain.pem, key.pem and root.pem: of a signer, whose certificate is valid from and to these days."""
    authority = new_key()
    key = key or new_key()
    root = _certificate("An Authority", authority.public_key(), authority, (), days)
    signer = _certificate(name, key.public_key(), authority, usage, days)
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "chain.pem", folder / "key.pem", folder / "root.pem")
    files.chain.write_bytes(signer.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))
    files.root.write_bytes(root.public_bytes(Encoding.PEM))
    files.key.write_bytes(pem(key))
    return files


def _certificate(
    name: str,
    key: Public,
    authority: ec.EllipticCurvePrivateKey,
    usage: Sequence[x509.ObjectIdentifier],
    days: tuple[int, int],
) -> x509.Certificate:
    """Return a certificate; that of an authority if `key` is the authority's own."""
    now, own = datetime.now(timezone.utc), key == authority.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("An Authority"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.BasicConstraints(own, None), critical=True)
        .add_extension(
            x509.KeyUsage(not own, False, False, False, False, own, own, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return builder.sign(authority, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Ltd."),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
