"""What the errors of a bucket mean: by the server's code, by the status, or by the kind of the exception.

No word of the client's or the server's own text is told: it may quote keys and addresses. What can't be told
apart is no missing object: that is what a server says that knows the bucket, and nothing else.
"""

from __future__ import annotations

import errno
import os
import re

from mapreduce.errors import StorageError

_CODES = {
    "SlowDown": errno.EBUSY,
    "ServiceUnavailable": errno.EBUSY,
    "TooManyRequests": errno.EBUSY,
    "RequestLimitExceeded": errno.EBUSY,
    "Throttling": errno.EBUSY,
    "ThrottlingException": errno.EBUSY,
    "OperationAborted": errno.EBUSY,
    "ConditionalRequestConflict": errno.EBUSY,
    "InternalError": errno.EREMOTEIO,
    "RequestTimeout": errno.ETIMEDOUT,
    "IncompleteBody": errno.ECONNRESET,
    "PreconditionFailed": errno.EEXIST,
    "NoSuchBucket": errno.ENXIO,
    "NoSuchKey": errno.ENOENT,
    "KeyTooLongError": errno.ENAMETOOLONG,
    "EntityTooLarge": errno.EFBIG,
    "QuotaExceeded": errno.EDQUOT,
    "NotImplemented": errno.ENOSYS,
}
_STATUSES = {
    401: errno.EACCES,
    403: errno.EACCES,
    408: errno.ETIMEDOUT,
    409: errno.EBUSY,
    412: errno.EEXIST,
    413: errno.EFBIG,
    425: errno.EBUSY,
    429: errno.EBUSY,
    500: errno.EREMOTEIO,
    501: errno.ENOSYS,
    502: errno.EREMOTEIO,
    503: errno.EBUSY,
    504: errno.ETIMEDOUT,
    507: errno.ENOSPC,
}
_REASONS = {
    errno.EBUSY: "it asks to slow down",
    errno.EREMOTEIO: "the server failed",
    errno.EEXIST: "the name is taken",
    errno.ENXIO: "there is no such bucket",
    errno.ENOENT: "the server knows no such thing",
    errno.EACCES: "access is denied",
    errno.ENOSYS: "the server can't do that",
    errno.EINVAL: "the server refuses the request",
    errno.ECONNRESET: "the connection broke",
    errno.ECONNREFUSED: "the server can't be reached",
    errno.ETIMEDOUT: "no answer came in time",
}
_SERVER = "Check the `endpoint_url` of the profile, and whether the server is up."
_HINTS = {
    errno.EACCES: "Check keys and rights: the store needs to get, put, list and delete below its prefix.",
    errno.ENXIO: "Make the bucket, or mend the URL.",
    errno.ENOENT: _SERVER,
    errno.ECONNREFUSED: _SERVER,
    errno.ETIMEDOUT: _SERVER,
    errno.EDQUOT: "Free some space, or raise the quota.",
    errno.ENOSPC: "Free some space on the server.",
}
_CLOCK = "The clock of this host is off: set it."
_PLAIN_CODE = re.compile(r"[A-Za-z0-9.]{1,64}\Z")
_KINDS = {
    "EndpointConnectionError": errno.ECONNREFUSED,
    "ConnectTimeoutError": errno.ETIMEDOUT,
    "ReadTimeoutError": errno.ETIMEDOUT,
    "FSTimeoutError": errno.ETIMEDOUT,
    "TimeoutError": errno.ETIMEDOUT,
    "NoCredentialsError": errno.EACCES,
    "PartialCredentialsError": errno.EACCES,
    "CredentialRetrievalError": errno.EACCES,
    "ProfileNotFound": errno.EACCES,
    "HTTPClientError": errno.ECONNRESET,
    "ClientPayloadError": errno.ECONNRESET,
    "ClientConnectionError": errno.ECONNRESET,
    "ResponseParserError": errno.ECONNRESET,
    "IncompleteReadError": errno.ECONNRESET,
    "ConnectionError": errno.ECONNRESET,
}
"""Classes of botocore, aiohttp and fsspec, by name, so that none is imported; the first base found counts."""


def answered(error: BaseException) -> tuple[str, int]:
    """The code and the HTTP status that a server answered with; "" and 0 if there was no answer."""
    for each in (error, error.__cause__):
        answer = getattr(each, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
            return str(answer.get("Error", {}).get("Code", "")), int(status)
    return "", 0


def meaning(action: str, where: str, error: Exception) -> StorageError | FileNotFoundError:
    """The error to raise, with an OSError as its cause that tells whether another try may do."""
    code, status = answered(error)
    if (action == "read" and code == "NoSuchKey") or (action == "look at" and status == 404):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
    number = _number(error, code, status)
    reason = _REASONS.get(number) or os.strerror(number)
    plain = code if _PLAIN_CODE.match(code) and code != str(status) else ""
    said = " ".join(filter(None, (str(status or ""), plain)))
    told = StorageError(
        f"Can't {action} {where}: {reason} ({said or type(error).__name__}).",
        hint=_CLOCK if code == "RequestTimeTooSkewed" else _HINTS.get(number, ""),
        place=f"{action}:{number}:{code}",
    )
    told.__cause__ = OSError(number, os.strerror(number))
    return told


def _number(error: Exception, code: str, status: int) -> int:
    if code or status:
        return (
            _CODES.get(code) or _STATUSES.get(status) or (errno.EREMOTEIO if status >= 500 else errno.EINVAL)
        )
    for kind in type(error).__mro__:
        if kind.__name__ in _KINDS:
            return _KINDS[kind.__name__]
    return (error.errno if isinstance(error, OSError) else None) or errno.EINVAL
