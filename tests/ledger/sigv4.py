"""AWS Signature Version 4 as a server checks it: the signature that a request should carry, from what it carries."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?SignedHeaders=(?P<signed>[^,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


def problem(secret: str, key: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> str:
    """What is wrong with a request as S3's error code; empty when its signature is that of the key's secret.

    ``path`` is as it came, percent-encoded.
    """
    said = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if said is None:
        return "AccessDenied"
    if said["key"] != key:
        return "InvalidAccessKeyId"
    digest = headers.get("x-amz-content-sha256", "")
    if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch"
    signed = said["signed"].split(";")
    if "host" not in signed or any(name.startswith("x-amz-") and name not in signed for name in headers):
        return "AccessDenied"
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed)
    asked = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(_pairs(query)))
    canonical = "\n".join((method, path, asked, lines, said["signed"], digest))
    to_sign = "\n".join(
        (ALGORITHM, headers.get("x-amz-date", ""), said["scope"], hashlib.sha256(canonical.encode()).hexdigest())
    )
    found = hmac.new(_signing_key(secret, said["scope"]), to_sign.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(found, said["signature"]) else "SignatureDoesNotMatch"


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
