"""Where things stand in a package, and how its metadata names them."""

from __future__ import annotations

from urllib.parse import quote

_RESERVED = "/-._~!$&'()*+,;=:@"


def member_path(folder: str, name: str) -> str:
    """The path of an artifact or input in the archive: within ``folder`` whatever its name, mostly just the name."""
    whole = all(part not in ("", ".", "..") for part in name.split("/")) and "\\" not in name
    return f"{folder}/{name if whole else quote(name, safe=' ').replace('.', '%2E')}"


def reference(path: str) -> str:
    """A path as relative IRI reference: letters of all languages stay, what has a meaning in URIs is escaped."""
    return "".join(c if ord(c) > 0x7F or c in _RESERVED else quote(c, safe="") for c in path)
