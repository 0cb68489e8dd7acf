import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from tests.ledger import s3
from trialbook.errors import Invalid, NotFound, Unavailable
from trialbook.ledger.storage import LocalStorage, SegmentStorage
from trialbook_projector.segments_store import ObjectStorage, open_storage, without_secrets


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class StorageLaws:
    """Provide a fixture ``storage`` that gives an empty one."""

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    async def test_what_was_put_is_got(self, storage: SegmentStorage, size: int) -> None:
        content = os.urandom(size)
        assert await storage.put("a/b.bin", content) == size
        assert await storage.get("a/b.bin") == content
        assert await storage.size("a/b.bin") == size

    async def test_contents_in_pieces(self, storage: SegmentStorage) -> None:
        content = os.urandom(13 * 1024 * 1024)
        assert await storage.put("large", pieces(content, 1_000_003)) == len(content)
        assert await storage.get("large") == content

    async def test_ranges(self, storage: SegmentStorage) -> None:
        await storage.put("x", bytes(range(256)))
        for start, end in ((0, 10), (250, 300), (5, 5), (256, 300), (9, None)):
            assert await storage.get("x", start, end) == bytes(range(256))[start:end]

    async def test_a_name_is_replaced_as_a_whole(self, storage: SegmentStorage) -> None:
        await storage.put("x", b"before, and longer")
        await storage.put("x", b"after")
        assert await storage.get("x") == b"after"

    async def test_what_is_not_there(self, storage: SegmentStorage) -> None:
        assert await storage.size("a/b") is None
        for call in (storage.get("a/b"), storage.get("a/b", 0, 5)):
            with pytest.raises(NotFound):
                await call
        await storage.delete("a/b")
        assert await storage.names() == []

    async def test_names(self, storage: SegmentStorage) -> None:
        for name in ("b", "a/2", "a/1", "ab/3"):
            await storage.put(name, b"x")
        assert await storage.names() == ["a/1", "a/2", "ab/3", "b"]
        assert await storage.names("a/") == ["a/1", "a/2"]
        await storage.delete("a/1")
        assert await storage.names("a/") == ["a/2"]

    async def test_contents_that_break_off_leave_nothing(self, storage: SegmentStorage) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 6_000_000
            raise RuntimeError("the source broke off")

        with pytest.raises((RuntimeError, Unavailable)):
            await storage.put("x", broken())
        assert await storage.size("x") is None
        assert await storage.names() == []


class TestLocalStorage(StorageLaws):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SegmentStorage:
        return LocalStorage(tmp_path / "new")

    @pytest.mark.parametrize("name", ["../x", "/x", "a//b", "", "a/../../x", "."])
    async def test_names_stay_within_the_folder(self, storage: SegmentStorage, name: str) -> None:
        with pytest.raises(Invalid):
            await storage.put(name, b"x")


class TestObjectStorageInMemory(StorageLaws):
    @pytest.fixture
    def storage(self) -> SegmentStorage:
        return ObjectStorage(MemoryStore())


class TestObjectStorageInFiles(StorageLaws):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SegmentStorage:
        return ObjectStorage(LocalStore(tmp_path))


@pytest.fixture(scope="module")
def server() -> Iterator[s3.S3]:
    with s3.serving() as server:
        yield server


@pytest.mark.integration
class TestS3(StorageLaws):
    @pytest.fixture
    def storage(self, server: s3.S3) -> SegmentStorage:
        server.objects.clear()
        return open_storage("s3://bucket/some/folder", server.environment)

    async def test_it_is_the_folder_of_the_bucket(self, storage: SegmentStorage, server: s3.S3) -> None:
        await storage.put("a/b", b"x")
        assert list(server.objects) == ["bucket/some/folder/a/b"]

    async def test_a_refusal_names_no_secret(self, server: s3.S3) -> None:
        storage = open_storage("s3://bucket", server.environment | {"AWS_ACCESS_KEY_ID": "other"})
        with pytest.raises(Unavailable) as refused:
            await storage.put("a", b"x")
        assert "PermissionDenied" in refused.value.detail
        assert not any(secret in str(refused.value) for secret in ("other", s3.SECRET, "Credential"))


@pytest.mark.parametrize("location", ["gs://bucket/x", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?region=y"])
def test_other_places_are_refused(location: str) -> None:
    with pytest.raises(Invalid) as refused:
        open_storage(location, {})
    assert "secret" not in refused.value.detail


def test_a_location_is_shown_without_secrets() -> None:
    assert without_secrets("s3://key:secret@bucket/x?token=y") == "s3://bucket/x"
    assert without_secrets("/srv/segments") == "/srv/segments"
