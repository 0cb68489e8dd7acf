import asyncio
import os
import sys
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


@pytest.mark.integration
class TestS3InTrouble:
    """What an S3-compatible store may answer, and what becomes of it."""

    @pytest.fixture
    def trouble(self, server: s3.S3) -> Iterator[s3.S3]:
        server.objects.clear()
        yield server
        server.busy = server.torn = 0

    @pytest.mark.parametrize(
        ("variable", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")]
    )
    async def test_wrong_credentials_are_refused(self, trouble: s3.S3, variable: str, value: str) -> None:
        good = open_storage("s3://bucket/x", trouble.environment)
        await good.put("a/b c", b"x")
        bad = open_storage("s3://bucket/x", trouble.environment | {variable: value})
        for call in (bad.put("a", b"y"), bad.get("a/b c"), bad.size("a/b c"), bad.names(), bad.delete("a/b c")):
            with pytest.raises(Unavailable) as refused:
                await call
            assert refused.value.code == "segment_storage_unavailable"
            assert value not in str(refused.value)
        assert await good.names() == ["a/b c"]

    async def test_names_of_all_kinds_are_signed(self, trouble: s3.S3) -> None:
        storage = open_storage("s3://bucket/some folder/ü", trouble.environment)
        names = ["a b", "a+b", "a/é=1&x", "plain", "~tilde*(1)"]
        for name in names:
            await storage.put(name, name.encode())
        assert [await storage.get(name) for name in names] == [name.encode() for name in names]
        assert await storage.names() == sorted(names)

    async def test_a_missing_bucket_is_no_empty_storage(self, trouble: s3.S3) -> None:
        storage = open_storage("s3://nowhere/x", trouble.environment)
        with pytest.raises(Unavailable):
            await storage.names()
        for content in (b"x", pieces(b"x" * 6_000_000, 1_000_000)):
            with pytest.raises(Unavailable) as refused:
                await storage.put("a", content)
            assert "bucket" in refused.value.detail

    async def test_a_busy_store_is_asked_again(self, trouble: s3.S3) -> None:
        storage = open_storage("s3://bucket/x", trouble.environment)
        content = os.urandom(11 * 1024 * 1024)
        trouble.busy = 2
        assert await storage.put("a", pieces(content, 1_000_003)) == len(content)
        for _ in range(3):
            trouble.busy = 2
            assert await storage.get("a") == content
        trouble.busy = 2
        assert await storage.names() == ["a"]

    async def test_a_body_that_breaks_off_is_read_again_or_refused(self, trouble: s3.S3) -> None:
        storage = open_storage("s3://bucket/x", trouble.environment)
        content = os.urandom(300_000)
        await storage.put("a", content)
        trouble.torn = 1
        try:
            found = await storage.get("a")
        except Unavailable:
            found = await storage.get("a")
        assert found == content

    async def test_a_process_that_is_killed_between_parts_leaves_nothing_under_the_name(self, trouble: s3.S3) -> None:
        trouble.parts.clear()
        program = (
            "import asyncio, os\n"
            "from trialbook_projector.segments_store import open_storage\n"
            "async def endless():\n"
            "    while True:\n"
            "        yield os.urandom(1_000_000)\n"
            "asyncio.run(open_storage('s3://bucket/x', os.environ).put('large', endless()))\n"
        )
        environment = os.environ | trouble.environment
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
        try:
            assert await asyncio.to_thread(trouble.parts.wait, 90)
        finally:
            process.kill()
            await process.wait()
        storage = open_storage("s3://bucket/x", trouble.environment)
        assert await storage.names() == []
        assert await storage.size("large") is None
        assert await storage.put("large", b"again") == 5
        assert await storage.get("large") == b"again"


@pytest.mark.parametrize("location", ["gs://bucket/x", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?region=y"])
def test_other_places_are_refused(location: str) -> None:
    with pytest.raises(Invalid) as refused:
        open_storage(location, {})
    assert "secret" not in refused.value.detail


def test_a_location_is_shown_without_secrets() -> None:
    assert without_secrets("s3://key:secret@bucket/x?token=y") == "s3://bucket/x"
    assert without_secrets("/srv/segments") == "/srv/segments"
