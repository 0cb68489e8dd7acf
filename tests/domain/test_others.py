from trialbook.domain import dataset, file, model, names, versioned, workspace
from trialbook.testing import given

FILES = {"a.csv": versioned.Content(sha256="0" * 64, size=3)}


def test_a_name_has_one_owner() -> None:
    claim = names.Claim(scope="run", name="x", owner="r1")
    name = given("name").when(claim).then(names.Claimed(scope="run", name="x", owner="r1"))
    name.when(claim).then_nothing()
    name.when(names.Claim(scope="run", name="x", owner="r2")).then_refused("name_taken")
    name.when(names.Release(owner="r2")).then_nothing()
    name.when(names.Release(owner="r1")).then(names.Released(owner="r1"))
    name.when(names.Claim(scope="run", name="x", owner="r2")).then(names.Claimed(scope="run", name="x", owner="r2"))


def test_a_name_can_be_taken_over_on_purpose() -> None:
    name = given("name", names.Claimed(scope="run", name="x", owner="r1"))
    name.when(names.Claim(scope="run", name="x", owner="r2", replace=True))
    assert name.state.owner == "r2"


def test_workspaces_are_created_renamed_and_deleted() -> None:
    room = given("workspace").when(workspace.Create(title="A")).then(workspace.Created(title="A"))
    room.when(workspace.Create(title="B")).then_refused("workspace_exists")
    room.when(workspace.Rename(title="A")).then_nothing()
    room.when(workspace.Rename(title="B")).then(workspace.Renamed(title="B"))
    room.when(workspace.Delete()).then(workspace.Deleted())
    room.when(workspace.Rename(title="C")).then_refused("workspace_not_found")


def test_files_are_uploaded_once_per_key() -> None:
    upload = file.Upload(name="a", sha256="1", size=1, command_id="k")
    stored = given("file").when(upload)
    stored.when(upload).then_nothing()
    stored.when(file.Upload(name="a", sha256="2", size=1, command_id="k")).then_refused("idempotency_key_reused")
    stored.when(file.Delete()).then(file.Deleted())
    stored.when(file.Delete()).then_refused("file_not_found")


def test_datasets_and_models_have_numbered_versions() -> None:
    for kind, module in (("dataset", dataset), ("model", model)):
        thing = given(kind).when(versioned.AddVersion(files=FILES)).then_refused(f"{kind}_not_found")
        thing.when(versioned.Create(name="n")).then(module.Created(name="n"))
        thing.when(versioned.AddVersion(files=FILES))
        thing.then(module.VersionAdded(number=1, files=FILES))
        thing.when(versioned.AddVersion(files=FILES)).then_nothing()
        thing.when(versioned.AddVersion(files={}))
        assert [v.number for v in thing.state.versions] == [1, 2]
        thing.when(versioned.Delete())
        thing.when(versioned.AddVersion(files=FILES)).then_refused(f"{kind}_not_found")
