"""The key and the certificate chain of whoever signs images: read them, and check that they fit together."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import short

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def read_signer(chain: Path, key: Path) -> tuple[str, bytes, bytes]:
    """Return C2PA's name of the algorithm of a key, the certificates, and the key, both in PEM.

    Raises GantoolError for a file of something else, and if they do not fit together.
    """
    algorithm, private = _key(key)
    certificates = _certificates(chain)
    if _public(certificates[0].public_key()) != _public(private.public_key()):
        raise GantoolError(
            f"{key} is not the key of the first certificate in {chain}, {_name(certificates[0])}: put that of the "
            "signer first, then that of who issued it"
        )
    for certificate, issuer in pairwise(certificates):
        if not _issued(certificate, issuer):
            raise GantoolError(
                f"{chain}: {_name(certificate)} was not issued by the certificate after it, {_name(issuer)}"
            )
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    return algorithm, text, secret


def _key(path: Path) -> tuple[str, _Private]:
    """Return a private key, and the name of its algorithm."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except TypeError as error:
        raise GantoolError(
            f"{path} is encrypted, and there is nobody to ask for its password: give a copy without one, as from "
            "openssl pkey -in KEY.pem"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise GantoolError(f"{path} is not a private key in PEM") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name], key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256", key
    raise GantoolError(
        f"{path} is a key that C2PA does not take. It takes the curves P-256, P-384, P-521 and Ed25519, and RSA of "
        "2,048 bits or more"
    )


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise GantoolError(f"{path} is not a chain of certificates in PEM") from error


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return short(certificate.subject.rfc4514_string() or "which has no name")
