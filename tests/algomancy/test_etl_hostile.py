"""Files that are made to hurt: each is refused with a text, in bounded time and memory."""

from __future__ import annotations

import io
import time
import tracemalloc
from collections.abc import Callable
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from tests.algomancy.etl_files import columns, load_one, xlsx_file
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.etl.source import Limits
from trialbook_algomancy.schemas import EtlConfig, Extension, Schema

SECONDS, MEGABYTES = 20.0, 400
NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def with_parts(changes: dict[str, bytes | None]) -> bytes:
    """A small workbook with parts replaced, added, or (None) left out."""
    out = io.BytesIO()
    with ZipFile(io.BytesIO(xlsx_file({"s": [["a", "b"], ["x", 1]]}))) as old, ZipFile(out, "w", ZIP_DEFLATED) as new:
        for name in dict.fromkeys([*old.namelist(), *changes]):
            content = changes[name] if name in changes else old.read(name)
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def sheet(rows: str, prolog: str = "") -> bytes:
    text = f"<?xml version='1.0'?>{prolog}<worksheet {NAMESPACE}><sheetData>{rows}</sheetData></worksheet>"
    return with_parts({"xl/worksheets/sheet1.xml": text.encode()})


def text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 12))
    prolog = f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>'
    return sheet(f'<row r="1">{text_cell("A1", "&l11;")}</row>', prolog)


def outside() -> bytes:
    prolog = '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
    return sheet(f'<row r="1">{text_cell("A1", "&file;")}</row>', prolog)


def styles() -> bytes:
    return with_parts({"xl/styles.xml": f"<styleSheet {NAMESPACE}>{'<xf/>' * 500_000}</styleSheet>".encode()})


def with_texts(texts: bytes, part: str = "xl/sharedStrings.xml") -> bytes:
    """As Excel writes it: the texts of all cells in a part of their own."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    types = "".join(
        f'<Override PartName="/{name}" ContentType="{kind}{type_}+xml"/>'
        for name, type_ in [("xl/workbook.xml", "sheet.main"), (part, "sharedStrings")]
    )
    namespace = "http://schemas.openxmlformats.org/package/2006/content-types"
    rows = '<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>1</v></c></row>'
    changes: dict[str, bytes | None] = {
        "[Content_Types].xml": f'<Types xmlns="{namespace}">{types}</Types>'.encode(),
        "xl/worksheets/sheet1.xml": f"<worksheet {NAMESPACE}><sheetData>{rows}</sheetData></worksheet>".encode(),
    }
    if part not in changes:
        changes[part] = f"<sst {NAMESPACE}>".encode() + texts + b"</sst>"
    return with_parts(changes)


HOSTILE: list[tuple[Extension, Callable[[], bytes], str]] = [
    ("csv", lambda: b";" * 1_000_000 + b"\n", "columns, at most 16384 are read"),
    ("csv", lambda: b"a;b\n" + b";\n" * 30_000_000, "cells are read"),
    ("csv", lambda: b'a;b\n"' + b"x" * 20_000_000, "field larger than field limit (131072)"),
    ("csv", lambda: b"a;b\n1;2\n" + b'"' + b"x" * 20_000_000, "EOF inside string"),
    ("csv", lambda: "a;b\n1;2\n".encode("utf-16"), "can't decode byte 0xff"),
    ("json", lambda: b'[{"a":' * 100_000, "JSON is nested too deeply"),
    ("json", lambda: b"[{" + b",".join(b'"%d":1' % at for at in range(20_000)) + b"}]", "20000 columns, at most 16384"),
    ("json", lambda: b"[" + b",".join(b'{"%d":1}' % at for at in range(20_000)) + b"]", "columns, at most"),
    ("xlsx", styles, "more than 400000 elements beside its cells"),
    ("xlsx", lambda: with_texts(b"<si/>" * (30 << 20)), "xl/sharedStrings.xml of the workbook unpacks to"),
    ("xlsx", lambda: with_texts(b"<si>" + b"<r/>" * 500_000 + b"</si>"), "more than 400000 elements"),
    ("xlsx", lambda: with_texts(b"", "xl/worksheets/sheet1.xml"), "cannot be texts and a sheet"),
    ("xlsx", laughs, "has a document type"),
    ("xlsx", outside, "has a document type"),
    ("xlsx", lambda: sheet(f'<row r="1">{"<c/>" * 500_000}</row>'), "a row or a text of more than 400000 elements"),
    ("xlsx", lambda: sheet("<x/>" * 500_000), "a row or a text of more than 400000 elements"),
    ("xlsx", lambda: sheet(f'<row r="1">{"<c><row/></c>" * 300_000}</row>'), "more than 400000 elements"),
    ("xlsx", lambda: sheet(f'<row r="1">{text_cell("A1", "x" * (20 << 20))}</row>'), "more than 16777216 bytes"),
    ("xlsx", lambda: sheet("<row>" * 20_000), "cannot be read"),
    (
        "xlsx",
        lambda: with_parts({"xl/media/x.png": b"x" * (20 << 20), "xl/worksheets/sheet1.xml": b""}),
        "no element found",
    ),
    ("xlsx", lambda: sheet(f'<row r="99999999999">{text_cell("A99999999999", "x")}</row>'), "1048576 rows"),
    ("xlsx", lambda: sheet('<row r="1"><c r="ZZZZZZ1"><v>1</v></c></row>'), "cannot be read"),
    ("xlsx", lambda: sheet('<row r="1"><c r="A1"><v>1</v></c>'.replace("</c>", "")), "cannot be read"),
    ("xlsx", lambda: with_parts({"xl/workbook.xml": None}), "cannot be read"),
    ("xlsx", lambda: with_parts({"xl/workbook.xml": b"<x/>"}), "0 worksheets found"),
    ("xlsx", lambda: with_parts({"[Content_Types].xml": None}), "cannot be read"),
    ("xlsx", lambda: xlsx_file({"s": [["a"]]})[:-50], "File is not a zip file"),
    ("xlsx", lambda: b"PK\x03\x04" + b"\0" * 1000, "File is not a zip file"),
    ("xlsx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000, "File is not a zip file"),
]


@pytest.mark.parametrize(("extension", "make", "text"), HOSTILE)
def test_hostile_files_are_refused(extension: Extension, make: Callable[[], bytes], text: str) -> None:
    content = make()
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Unreadable) as error:
            load_one(content, columns("a", "b"), extension)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert text in error.value.detail
    assert time.process_time() - started < SECONDS
    assert peak_bytes < MEGABYTES << 20


def test_what_unpacks_to_too_much_is_not_unpacked() -> None:
    content = with_parts({"xl/worksheets/sheet1.xml": b"<" * (32 << 20)})
    assert len(content) < 1 << 20
    with pytest.raises(Unreadable, match="the workbook unpacks to more than 16777216 bytes"):
        load({"t.xlsx": content}, EtlConfig((Schema("t", "xlsx", columns("x")),)), "n", Limits(unpacked_bytes=1 << 24))


def test_what_a_sheet_says_about_its_size_is_not_believed() -> None:
    rows = "".join(f'<row r="{at}">{text_cell(f"A{at}", "x")}</row>' for at in range(1, 4))
    text = f'<worksheet {NAMESPACE}><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
    content = with_parts({"xl/worksheets/sheet1.xml": text.encode()})
    table = load_one(content, columns("x"), "xlsx").tables["t"]
    assert table["x"].tolist() == ["x", "x"]


def test_one_cell_far_to_the_right_of_many_rows() -> None:
    rows = "".join(f'<row r="{at}"><c r="A{at}"><v>1</v></c></row>' for at in range(2, 2_000))
    content = sheet(f'<row r="1">{text_cell("XFD1", "x")}</row>{rows}')
    with pytest.raises(Unreadable, match=r"1999 rows of 16384 columns"):
        load({"t.xlsx": content}, EtlConfig((Schema("t", "xlsx", columns("x")),)), "n", Limits(cells=1_000_000))


def test_a_workbook_with_pictures_is_read() -> None:
    content = with_parts({"xl/media/image1.png": b"\x89PNG" * 9_000_000})
    assert load_one(content, columns("a", "b"), "xlsx").tables["t"].shape == (1, 2)


def test_a_workbook_with_shared_texts_is_read() -> None:
    texts = b"<si><t>a</t></si>" + b"<si><r><t>0</t></r><r><t>07</t></r></si>" * 2_000
    config, limits = EtlConfig((Schema("t", "xlsx", columns("a")),)), Limits(elements=5_000)
    table = load({"t.xlsx": with_texts(texts)}, config, "n", limits).tables["t"]
    assert table["a"].tolist() == ["007"]
