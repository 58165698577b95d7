"""The cluster's key: who has it may have its functions run by every host.

A job is signed with HMAC-SHA256 (RFC 2104) before it is laid down, and a host checks the signature before it
loads anything of it. The key comes from a file or the environment, never from the command line.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from mapreduce.errors import JobError, SignatureError

KEY, KEY_FILE = "MAPREDUCE_KEY", "MAPREDUCE_KEY_FILE"
"""Environment variables: the key itself, or the file that holds it."""
LEAST = 32
"""Characters of a key."""


def new_key() -> str:
    """A key of 256 random bits."""
    return secrets.token_hex(32)


def write_key(path: Path) -> None:
    """Make a key in a file that only its owner may read. Raises JobError if there is one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise JobError(f"The key can't be written to {path}: {error.strerror}.") from None
    with open(descriptor, "w") as file:
        file.write(new_key() + "\n")


def read_key(file: str | None = None) -> bytes | None:
    """The key of a file, or the one that the environment names; None if there is none. Raises JobError."""
    named = file or os.environ.get(KEY_FILE)
    if not named:
        return _checked(os.environ[KEY], f"${KEY}") if os.environ.get(KEY) else None
    path = Path(named)
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"The key can't be read from {path}: {error}.") from None
    if stat.S_IMODE(mode) & 0o077:
        raise JobError(f"Others may read the key in {path}.", hint=f"chmod 600 {path}, and make a new key.")
    return _checked(text, str(path))


def _checked(text: str, where: str) -> bytes:
    key = text.strip().encode()
    if len(key) < LEAST:
        raise JobError(
            f"The key of {where} has {len(key)} characters, fewer than {LEAST}.",
            hint="Make one with `mapreduce keygen FILE`.",
        )
    return key


def signature(key: bytes, content: bytes) -> str:
    """Who knows the key has seen these bytes: HMAC-SHA256, hexadecimal."""
    return hmac.new(key, b"mapreduce job\0" + content, "sha256").hexdigest()


def check_signature(key: bytes | None, content: bytes, signed: str, what: str) -> None:
    """Raise SignatureError unless the bytes are signed with the key; without a key nothing may be signed."""
    if key is None and signed:
        raise SignatureError(
            f"{what} is signed, and there is no key here to check it by.",
            hint=f"Give the cluster's key: --key-file FILE, or {KEY_FILE} in the environment.",
        )
    if key is not None and not hmac.compare_digest(
        signature(key, content).encode(), signed.encode("utf-8", "surrogatepass")
    ):
        raise SignatureError(
            f"{what} is not signed with the key that is used here.",
            hint="Use one key on all hosts. If all do, somebody else has written to the store.",
        )
