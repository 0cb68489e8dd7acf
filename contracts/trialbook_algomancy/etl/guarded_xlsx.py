"""Opening a workbook that a stranger has made, with bounded memory.

openpyxl reads small parts (styles, the list of sheets, ...) as a whole, and shared texts and sheets element by element,
forgetting each text and each row when it ends. So small parts are bounded in size and in elements, and the others are
gone through once before, without keeping anything: no document type (the source of growing entities), no text or row of
too many elements or bytes, nothing of size beside them. Names of parts say nothing: what a part is, the workbook says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any
from xml.parsers import expat
from zipfile import ZipFile

from openpyxl.packaging.manifest import Manifest
from openpyxl.reader.excel import ExcelReader

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.source import Limits

_PARTS = 10_000
_CHUNK_BYTES = 1 << 16
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_STRINGS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
_TEXT, _ROW = (f"{_MAIN} si", 2), (f"{_MAIN} row", 3)
"""What openpyxl forgets when it has read it, and at which depth that stands."""


def guarded_workbook(source: IO[bytes], limits: Limits) -> Any:
    """The workbook, in openpyxl's reading mode, with cells' values; chart sheets are left out.

    Raises ``Unreadable`` beyond the limits, and for broken files whatever zipfile, expat and openpyxl raise.
    """
    reader = ExcelReader(source, read_only=True, data_only=True, keep_links=False)
    archive = GuardedArchive(source, limits)
    reader.archive = archive
    reader.read_chartsheet = lambda *_: None
    reader.read_manifest()
    archive.texts = _texts_part(reader.package)
    reader.read()
    return reader.wb


def _texts_part(package: Manifest) -> str | None:
    part = package.find(_STRINGS)
    return None if part is None else str(part.PartName[1:])


class GuardedArchive(ZipFile):
    """A zip whose parts are checked before they are given out; zipfile unpacks no more than a part declares."""

    def __init__(self, source: IO[bytes], limits: Limits) -> None:
        super().__init__(source)
        self.texts: str | None = None
        self._limits = limits
        self._elements = 0
        self._checked: set[str] = set()
        if len(self.infolist()) > _PARTS or sum(part.file_size for part in self.infolist()) > limits.unpacked_bytes:
            raise Unreadable(f"the workbook unpacks to more than {limits.unpacked_bytes} bytes or {_PARTS} parts")

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """A small part as a whole."""
        self._check_bytes(name, self._limits.part_bytes)
        with super().open(name, pwd=pwd) as part:
            content = part.read()
        self._elements += content.count(b"<")
        if self._elements > self._limits.elements:
            raise Unreadable(f"the workbook has more than {self._limits.elements} elements beside its cells")
        return content

    def open(self, name: Any, mode: Any = "r", pwd: bytes | None = None, **options: Any) -> IO[bytes]:
        """A part to be read element by element: shared texts, only once, or a sheet."""
        unread = name not in self._checked
        if name == self.texts:
            self._check_bytes(name, self._limits.text_bytes)
            if not unread:
                raise Unreadable(f"{name} of the workbook cannot be texts and a sheet")
        if unread:
            with super().open(name, pwd=pwd) as part:
                _go_through(str(name), part, _TEXT if name == self.texts else _ROW, self._limits)
            self._checked.add(name)
        return super().open(name, mode, pwd, **options)

    def _check_bytes(self, name: Any, most: int) -> None:
        size = self.getinfo(name).file_size
        if size > most:
            raise Unreadable(f"{name} of the workbook unpacks to {size} bytes, at most {most} are read")


def _go_through(name: str, part: IO[bytes], forgotten: tuple[str, int], limits: Limits) -> None:
    """Raise ``Unreadable`` if between the ends of two forgotten elements there is more than the limits allow."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = elements = kept_bytes = 0

    def start(_tag: str, _attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth += 1
        elements += 1
        if elements > limits.elements:
            raise Unreadable(f"{name} of the workbook has a row or a text of more than {limits.elements} elements")

    def end(tag: str) -> None:
        nonlocal depth, elements, kept_bytes
        if depth == forgotten[1] and tag == forgotten[0]:
            elements, kept_bytes = 0, parser.CurrentByteIndex
        depth -= 1

    def doctype(*_: object) -> None:
        raise Unreadable(f"{name} of the workbook has a document type")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    for chunk in _chunks(part):
        parser.Parse(chunk, False)
        if parser.CurrentByteIndex - kept_bytes > limits.part_bytes:
            raise Unreadable(f"{name} of the workbook has a row or a text of more than {limits.part_bytes} bytes")
    parser.Parse(b"", True)


def _chunks(part: IO[bytes]) -> Iterator[bytes]:
    while chunk := part.read(_CHUNK_BYTES):
        yield chunk
