"""Datasets as files of other programs."""

from __future__ import annotations

import csv
import io
import zipfile

import httpx
import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from tests.dialects.algomancy.client import Api, document

pytestmark = pytest.mark.integration


def test_a_dataset_is_written_in_three_forms(api: Api, http: httpx.Client) -> None:
    session = api.session()
    body = document("a / ü")
    body["tables"]["items"]["data"][0]["itemid"] = "=1+1"
    body["tables"]["other"] = {"data": [{"x": None}], "columns": ["x"], "index": [0]}
    session.call("POST", "/data/from-json", 201, json={**body, "metadata": {**body["metadata"], "name": "a ü"}})
    url = f"/algomancy/api/v1/sessions/{session.id}/data/a%20%C3%BC/export"
    book = load_workbook(io.BytesIO(http.get(url).content))
    assert book.sheetnames == ["items", "other"]
    assert [(cell.value, cell.data_type) for cell in book["items"][2]][:2] == [("=1+1", "s"), (0, "n")]
    rows = list(csv.reader(io.StringIO(http.get(url, params={"format": "csv", "table": "items"}).text)))
    assert rows == [["itemid", "picks", "weight"], ["=1+1", "0", "0.5"], ["0001", "1", "1.5"], ["0002", "2", "2.5"]]
    parquet = http.get(url, params={"format": "parquet", "table": "items"})
    assert pq.read_table(io.BytesIO(parquet.content)).to_pydict()["weight"] == [0.5, 1.5, 2.5]
    packed = http.get(url, params={"format": "csv"})
    assert "filename*=utf-8''a%20%C3%BC.csv.zip" in packed.headers["content-disposition"]
    assert zipfile.ZipFile(io.BytesIO(packed.content)).namelist() == ["items.csv", "other.csv"]
    assert http.get(url, params={"format": "csv"}).content == packed.content
    assert http.get(url, params={"table": "no"}).json() == {"detail": "Table 'no' not found"}
    assert http.get(url, params={"format": "pdf"}).status_code == 422
    api.detail("GET", f"/sessions/{session.id}/data/no/export", 404)
