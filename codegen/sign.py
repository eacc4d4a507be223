"""Signatures of packages: a DSSE envelope over the package's provenance, in a file beside it.

Sources: github.com/secure-systems-lab/dsse, in-toto.io/Statement/v1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, SSlibKey

from suture.codegen.archive import written_beside
from suture.codegen.contents import Contents, read_contents, signature_path
from suture.codegen.provenance import PROVENANCE
from suture.errors import Location, PackageError, SignatureError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIGNATURE_BYTES = 64 * 2**20
MAKE_KEY = "make one: openssl genpkey -algorithm ed25519 -out key.pem"
MAKE_PUBLIC = "make it of the private one: openssl pkey -in key.pem -pubout -out key.pub"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a signature holds for a package.

    Attributes:
        key: Id of the key that was tried.
        signed: Whether the signature is that key's.
        changed: Files that are not what was signed.
        missing: Files that were signed and are gone.
        added: Files that were not signed.
        repacked: Whether the archive is another, whatever is in it.
    """

    key: str
    signed: bool
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    repacked: bool = False

    @property
    def holds(self) -> bool:
        """Whether everything is as it was signed."""
        differs = self.changed or self.missing or self.added or self.repacked
        return self.signed and not differs


def sign(package: Path, key: Path) -> tuple[Path, str]:
    """Sign a package; return the signature's file and the key's id.

    A signature of the same package by another key stays beside the new one.

    Raises:
        PackageError: The package is broken, or not what its provenance says.
        SignatureError: The key cannot be used, or the signature not be written.
    """
    signer = _signer(key)
    contents = read_contents(package)
    _check_provenance(contents)
    payload = json.dumps(_statement(contents), sort_keys=True).encode()
    path = signature_path(package)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    if path.exists() and (found := _read(path)).payload == payload:
        envelope = found
    envelope.sign(signer)
    try:
        with written_beside(path) as partial:
            partial.write_text(json.dumps(envelope.to_dict()) + "\n", encoding="utf-8")
    except OSError as error:
        raise SignatureError(
            f"cannot be written: {error.strerror}", at=Location(str(path))
        ) from error
    return path, signer.public_key.keyid


def verify(package: Path, key: Path, signature: Path | None = None) -> Verdict:
    """Return whether a package is what the owner of a key signed.

    Args:
        package: The archive, under any name.
        key: The public key.
        signature: Where the signature lies, if not beside the package.

    Raises:
        PackageError: The package is broken.
        SignatureError: The key cannot be used, or there is no signature or no readable one.
    """
    public = _public(key)
    contents = read_contents(package)
    path = signature or signature_path(package)
    envelope = _read(path)
    if envelope.payload_type != PAYLOAD_TYPE or not _is_by(envelope, public):
        return Verdict(key=public.keyid, signed=False)
    archive, *files = _signed(envelope, path)
    there = {name: entry.digest for name, entry in contents.entries.items()}
    was = dict(files)
    return Verdict(
        key=public.keyid,
        signed=True,
        changed=tuple(name for name in was if name in there and there[name] != was[name]),
        missing=tuple(name for name in was if name not in there),
        added=tuple(name for name in there if name not in was),
        repacked=archive[1] != contents.digest,
    )


def _statement(contents: Contents) -> dict[str, Any]:
    """Return the provenance as a statement about the archive and every file in it."""
    digests = [(contents.path.name, contents.digest)]
    digests += [(name, contents.entries[name].digest) for name in sorted(contents.entries)]
    return {
        **contents.document(PROVENANCE),
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests],
    }


def _check_provenance(contents: Contents) -> None:
    """Raise where files are not what the provenance says: one would sign what is not so."""
    said = dict(_subjects(contents.document(PROVENANCE), PROVENANCE, contents.path))
    there = {name: entry.digest for name, entry in contents.entries.items()}
    del there[PROVENANCE]
    wrong = sorted(name for name, _ in said.items() ^ there.items())
    if wrong:
        raise PackageError(
            f"{wrong[0]} is not what its {PROVENANCE} says",
            at=Location(str(contents.path)),
            hint="it was changed after it was built; build it again: suture compile",
        )


def _is_by(envelope: Envelope, key: SSlibKey) -> bool:
    """Return whether any of the signatures is by a key; ids are hints, as DSSE has it."""
    for signature in envelope.signatures.values():
        try:
            key.verify_signature(signature, envelope.pae())
        except UnverifiedSignatureError:
            continue
        return True
    return False


def _signed(envelope: Envelope, path: Path) -> list[tuple[str, str]]:
    """Return what an envelope's statement is about: the archive, and the files in it."""
    what = "what was signed"
    try:
        subjects = _subjects(json.loads(envelope.payload), what, path)
    except ValueError as error:
        raise SignatureError(f"{what} is not JSON: {error}", at=Location(str(path))) from error
    if not subjects:
        raise SignatureError(f"{what} names no file", at=Location(str(path)))
    return subjects


def _subjects(statement: object, what: str, path: Path) -> list[tuple[str, str]]:
    """Return the names that a statement is about, with their digests."""
    try:
        named: Any = statement
        return [(each["name"], each["digest"]["sha256"]) for each in named["subject"]]
    except (KeyError, TypeError) as error:
        raise SignatureError(
            f"{what} is no statement about files", at=Location(str(path))
        ) from error


def _read(path: Path) -> Envelope:
    """Return the envelope in a signature's file."""
    at = Location(str(path))
    try:
        if path.stat().st_size > MAX_SIGNATURE_BYTES:
            raise SignatureError("too large for a signature", at=at)
        return Envelope.from_dict(json.loads(path.read_bytes()))
    except OSError as error:
        raise SignatureError(
            f"there is no readable signature: {error.strerror}",
            at=at,
            hint="sign the package: suture sign PACKAGE --key key.pem",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SignatureError(f"not a DSSE envelope: {error}", at=at) from error


def _signer(path: Path) -> CryptoSigner:
    data = _key_bytes(path, MAKE_KEY)
    at = Location(str(path))
    try:
        return CryptoSigner(load_pem_private_key(data, None))
    except TypeError as error:
        raise SignatureError(
            "the key is encrypted",
            at=at,
            hint="decrypt it on the way: --key <(openssl pkey -in key.pem)",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            "not a private key in PEM of Ed25519, ECDSA or RSA", at=at, hint=MAKE_KEY
        ) from error


def _public(path: Path) -> SSlibKey:
    data = _key_bytes(path, MAKE_PUBLIC)
    try:
        return SSlibKey.from_crypto(load_pem_public_key(data))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            "not a public key in PEM of Ed25519, ECDSA or RSA",
            at=Location(str(path)),
            hint=MAKE_PUBLIC,
        ) from error


def _key_bytes(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SignatureError(
            f"the key cannot be read: {error.strerror}", at=Location(str(path)), hint=hint
        ) from error
