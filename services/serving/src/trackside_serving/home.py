"""The folder of one installation: its keys, its identity, the local user's token, its data."""

import getpass
import os
import re
import secrets
import stat
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from trackside_serving.errors import TokenRefusedError, TokenRevokedError
from trackside_serving.identifiers import new_id
from trackside_serving.identity import Caller, Role
from trackside_serving.starting import HomeError
from trackside_serving.tokens import TokenSigner, TokenVerifier

LOCAL_TOKEN_LIFETIME: Final = timedelta(days=3650)
LOCAL_PROJECT: Final = "default"


class Home:
    """`TRACKSIDE_HOME`, made at the first start.

    Everything in it is made whole or not at all, and when two processes start at once both
    end up with the same files.

    Attributes:
        path: The folder, 0700 when it is ours to make.
        server_id: The identity of the installation, 16 characters.
        token: The local user's token, role admin.
    """

    def __init__(self, path: Path) -> None:
        """Open the folder, and make in it what is missing.

        Raises:
            HomeError: The folder cannot be made or read, or others may write to it or read
                the keys.
        """
        self.path = path
        try:
            _make_folder(path)
            _make_folder(self.data)
            self._key = _signing_key(path / "signing_key.pem")
            _make(path / "verifying_key.pem", _public_pem(self._key))
            self.server_id = _make(path / "server_id", new_id().encode()).decode().strip()
            self.token = self._local_token(self.verifier())
        except (OSError, ValueError) as error:
            msg = f"TRACKSIDE_HOME cannot be used: {error}"
            raise HomeError(msg) from error

    @property
    def data(self) -> Path:
        """The folder of the SQLite files."""
        return self.path / "data"

    @property
    def token_file(self) -> Path:
        """Where local clients find their token."""
        return self.path / "token"

    def signer(self) -> TokenSigner:
        """Return what makes tokens of this installation."""
        return TokenSigner(self._key)

    def verifier(self) -> TokenVerifier:
        """Return what checks tokens of this installation."""
        return TokenVerifier(self._key.public_key())

    def renew_token(self, verifier: TokenVerifier) -> None:
        """Replace the local user's token if a server of this home does not take it any more.

        So whoever may read the home, and could make any token, is never locked out: a token
        that was revoked because it got about is exchanged for one that nobody knows.
        """
        self.token = self._local_token(verifier)

    def _local_token(self, verifier: TokenVerifier) -> str:
        caller = Caller(_login_name(), Role.ADMIN, projects=frozenset({LOCAL_PROJECT}))
        revoked_ms = verifier.revocations.latest_issue_ms(caller.subject)
        fresh = self.signer().mint(caller, LOCAL_TOKEN_LIFETIME, after_ms=revoked_ms)
        token = _make(self.token_file, fresh.encode()).decode().strip()
        try:
            verifier.verify(token)
        except (TokenRefusedError, TokenRevokedError):  # or expired, or of a replaced key
            _replace(self.token_file, fresh.encode())
            return fresh
        return token


def verifier_from(path: Path) -> TokenVerifier:
    """Return what checks tokens, from a public key file: for a service without the home.

    Raises:
        HomeError: The file cannot be read, or holds no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        msg = f"TRACKSIDE_VERIFYING_KEY cannot be used: {error}"
        raise HomeError(msg) from error
    if not isinstance(key, Ed25519PublicKey):
        msg = "TRACKSIDE_VERIFYING_KEY cannot be used: it is no Ed25519 public key"
        raise HomeError(msg)
    return TokenVerifier(key)


def _login_name() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        name = str(os.getuid())
    name = re.sub(r"[^a-z0-9._@+-]", "-", name.lower())[:64].lstrip("._@+-")
    return name or "local"


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) & 0o022:
        msg = f"others may write to {path}; chmod 700 it"
        raise ValueError(msg)


def _signing_key(path: Path) -> Ed25519PrivateKey:
    fresh = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    stored = _make(path, fresh)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        msg = f"others may read {path}; chmod 600 it, or delete it if they may have"
        raise ValueError(msg)
    key = load_pem_private_key(stored, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        msg = f"{path} is no Ed25519 private key"
        raise ValueError(msg)  # noqa: TRY004 - wrong contents, not a wrong type of ours
    return key


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _make(path: Path, contents: bytes) -> bytes:
    """Make the file if there is none, durably, and return what is in it now."""
    if not path.exists():
        written = _write_beside(path, contents)
        try:
            os.link(written, path)  # unlike a rename, fails if another process was first
        except FileExistsError:
            pass
        finally:
            written.unlink()
        _sync_folder(path.parent)
    return path.read_bytes()


def _replace(path: Path, contents: bytes) -> None:
    _write_beside(path, contents).replace(path)
    _sync_folder(path.parent)


def _write_beside(path: Path, contents: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(descriptor)
    return temporary


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
