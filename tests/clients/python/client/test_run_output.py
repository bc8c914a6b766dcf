import io
import json
import threading
import zipfile
from pathlib import Path

import grpc
import pytest

from support.published_files import PublishedFiles
from support.scripted_server import Cut, HangUntilCancelled, Refused, ScriptedServer
from trackside.client import output_stream
from trackside.client.connection import Connection
from trackside.client.download import part_of
from trackside.client.errors import (
    ConflictError,
    DamagedOutputError,
    DownloadFailedError,
    NotFoundError,
    ServerUnreachableError,
    TracksideError,
)
from trackside.client.handle import RunHandle
from trackside.client.output_stream import OutputStream
from trackside.client.run_output import RunOutput, _Wanted
from trackside_protos.runs.v1.output_pb2 import Output, OutputFile
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest, ReadOutputResponse

TEXT = b"0123456789abcdefghij"
AWAY = Refused(grpc.StatusCode.UNAVAILABLE, "AGENT_AWAY")
NO_READER = Refused(grpc.StatusCode.FAILED_PRECONDITION, "NO_READER")


@pytest.fixture
def files(server: ScriptedServer) -> PublishedFiles:
    files = PublishedFiles(server)
    files.publish("a.txt", TEXT)
    return files


@pytest.fixture
def handle(connection: Connection, files: PublishedFiles) -> RunHandle:
    assert files.files
    return RunHandle(Run(run_id="0" * 16), connection)


@pytest.fixture
def output(handle: RunHandle) -> RunOutput:
    return handle.outputs()[0]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestReading:
    def test_a_file_is_read_whole_or_in_part(self, output: RunOutput) -> None:
        assert output.read() == TEXT
        assert output.read(3) == TEXT[3:]
        assert output.read(3, 6) == TEXT[3:9]
        assert output.read(20) == b""

    def test_a_read_that_is_cut_goes_on_behind_the_last_byte(
        self, output: RunOutput, files: PublishedFiles
    ) -> None:
        files.faults = [8, AWAY, Cut(), 4]

        assert output.read() == TEXT

        assert files.offsets()[0] == 0
        assert {8, 12} <= set(files.offsets())
        assert {read.version for read in files.reads[1:]} == {"v1"}

    def test_a_part_that_is_cut_ends_where_it_should(
        self, output: RunOutput, files: PublishedFiles
    ) -> None:
        files.faults = [4]

        assert output.read(2, 9) == TEXT[2:11]

        assert [(read.offset, read.length) for read in files.reads] == [(2, 9), (6, 5)]

    def test_another_version_is_not_gone_on_with(
        self, output: RunOutput, files: PublishedFiles
    ) -> None:
        files.faults = [8]
        with output._opened(_Wanted()) as opened:
            assert next(opened.pieces) == TEXT[:4]
            files.version = "v2"

            with pytest.raises(ConflictError) as raised:
                b"".join(opened.pieces)

        assert raised.value.reason == "OUTPUT_CHANGED"

    def test_what_never_began_is_not_waited_for(
        self, output: RunOutput, files: PublishedFiles
    ) -> None:
        files.faults = [AWAY] * 9  # grpc itself asks a few times

        with pytest.raises(ServerUnreachableError) as raised:
            output.read()

        assert raised.value.reason == "AGENT_AWAY"

    def test_an_interruption_is_not_waited_out_for_ever(
        self, connection: Connection, files: PublishedFiles
    ) -> None:
        files.faults = [4, *[AWAY] * 99]
        request = ReadOutputRequest(run_id="0" * 16, path="a.txt")

        with pytest.raises(ServerUnreachableError):
            list(OutputStream(connection, request, patience=0.3))

    def test_other_contents_are_not_taken_for_it(
        self, output: RunOutput, files: PublishedFiles
    ) -> None:
        files.files["a.txt"] = TEXT[::-1]

        with pytest.raises(DamagedOutputError):
            output.read()

        assert output.read(accept_changed=True) == TEXT[::-1]
        assert files.reads[-1].accept_changed

    def test_a_read_is_ended_from_another_thread(
        self, server: ScriptedServer, handle: RunHandle, output: RunOutput
    ) -> None:
        file = OutputFile(size_bytes=20, version="v1")
        opening = ReadOutputResponse(output=Output(path="a.txt"), file=file)
        server.answers["ReadOutput"] = [opening, HangUntilCancelled()]
        errors: list[Exception] = []

        def read() -> None:
            try:
                output.read()
            except TracksideError as error:
                errors.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        handle.interrupt()
        thread.join(60)

        assert not thread.is_alive()
        assert len(errors) == 1

    def test_a_folder_tells_its_files_and_is_read_file_by_file(
        self, handle: RunHandle, files: PublishedFiles
    ) -> None:
        files.publish("folder", {"b/c": b"cc", "a": b"a"})
        folder = handle.outputs().named("folder")

        assert folder.files() == ["a", "b/c"]
        assert folder.read(file="b/c") == b"cc"
        with pytest.raises(ConflictError, match="is a folder"):
            folder.read()

    def test_a_file_has_no_files(self, output: RunOutput) -> None:
        assert list(output.files()) == []


class TestOpening:
    def test_an_open_file_is_read_anywhere(self, output: RunOutput, files: PublishedFiles) -> None:
        with output.open() as file:
            assert file.read(3) == TEXT[:3]
            assert file.seek(-4, io.SEEK_END) == 16
            assert file.read() == TEXT[16:]
            assert file.seek(1) == 1
            assert file.read(2) == TEXT[1:3]
            assert file.seek(100) == 100
            assert file.read() == b""
            with pytest.raises(ValueError, match="negative"):
                file.seek(-1)
        assert {read.version for read in files.reads[1:]} == {"v1"}

    def test_what_takes_a_file_takes_an_open_output(
        self, handle: RunHandle, files: PublishedFiles
    ) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("scores.json", json.dumps([1, 2]))
        files.publish("all.zip", made.getvalue())

        with handle.outputs().named("all.zip").open() as file, zipfile.ZipFile(file) as archive:
            assert json.loads(archive.read("scores.json")) == [1, 2]


class TestDownloading:
    def test_a_file_is_had_under_its_name_or_another(
        self, output: RunOutput, tmp_path: Path
    ) -> None:
        (tmp_path / "in").mkdir()

        assert output.download(tmp_path / "in") == tmp_path / "in" / "a.txt"
        assert output.download(tmp_path / "b.txt") == tmp_path / "b.txt"

        assert (tmp_path / "in" / "a.txt").read_bytes() == TEXT
        assert (tmp_path / "b.txt").read_bytes() == TEXT
        assert names(tmp_path) == ["b.txt", "in/a.txt"]

    def test_an_empty_file_is_had(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("empty", b"")

        handle.outputs().named("empty").download(tmp_path)

        assert names(tmp_path) == ["empty"]

    def test_what_has_come_is_gone_on_with(
        self,
        output: RunOutput,
        files: PublishedFiles,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(output_stream.OutputStream.__init__, "__kwdefaults__", {"patience": 0})
        files.faults = [1 << 30, 8, *[AWAY] * 9]
        with pytest.raises(ServerUnreachableError):
            output.download(tmp_path)
        [part] = names(tmp_path)
        files.faults, files.reads = [], []

        output.download(tmp_path)

        assert part.startswith(".a.txt.")
        assert part.endswith(".part")
        assert files.offsets()[-1] == 8
        assert names(tmp_path) == ["a.txt"]
        assert (tmp_path / "a.txt").read_bytes() == TEXT

    def test_a_wrong_beginning_is_not_kept(
        self, output: RunOutput, files: PublishedFiles, tmp_path: Path
    ) -> None:
        key = "\0".join(["0" * 16, "a.txt", "", files.version, str(len(TEXT))])
        part_of(tmp_path / "a.txt", key).write_bytes(b"XXXX")

        output.download(tmp_path)

        assert 4 in files.offsets()
        assert (tmp_path / "a.txt").read_bytes() == TEXT
        assert names(tmp_path) == ["a.txt"]

    def test_what_is_damaged_is_not_kept(
        self, output: RunOutput, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.files["a.txt"] = TEXT[::-1]

        with pytest.raises(DamagedOutputError):
            output.download(tmp_path)
        nothing = names(tmp_path)
        output.download(tmp_path, accept_changed=True)

        assert nothing == []
        assert (tmp_path / "a.txt").read_bytes() == TEXT[::-1]

    def test_nothing_is_written_over_unless_it_may_be(
        self, output: RunOutput, files: PublishedFiles, tmp_path: Path
    ) -> None:
        (tmp_path / "a.txt").write_text("mine")
        with pytest.raises(ConflictError, match="exists already"):
            output.download(tmp_path)
        mine = (tmp_path / "a.txt").read_text()

        output.download(tmp_path, overwrite=True)
        before = len(files.reads)
        output.download(tmp_path)

        assert mine == "mine"
        assert (tmp_path / "a.txt").read_bytes() == TEXT
        assert all(not read.offset for read in files.reads[before:])
        assert names(tmp_path) == ["a.txt"]

    def test_a_link_in_the_way_is_not_written_through(
        self, output: RunOutput, tmp_path: Path
    ) -> None:
        (tmp_path / "other").write_text("other")
        (tmp_path / "a.txt").symlink_to("other")
        with pytest.raises(ConflictError):
            output.download(tmp_path)

        output.download(tmp_path, overwrite=True)

        assert (tmp_path / "other").read_text() == "other"
        assert not (tmp_path / "a.txt").is_symlink()

    def test_progress_is_told(self, output: RunOutput, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []

        output.download(tmp_path, progress=lambda done, size: told.append((done, size)))

        assert told == [(done, 20) for done in range(0, 21, 4)]

    def test_a_folder_is_had_whole(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("deep/folder", {"b/c": b"cc", "a": b"a"})
        folder = handle.outputs().named("deep/folder")
        (tmp_path / "to").mkdir()

        assert folder.download(tmp_path / "to") == tmp_path / "to" / "folder"
        folder.download(tmp_path / "to")
        folder.download(tmp_path / "other")

        assert names(tmp_path) == ["other/a", "other/b/c", "to/folder/a", "to/folder/b/c"]
        assert (tmp_path / "other" / "b" / "c").read_bytes() == b"cc"

    def test_no_file_of_a_folder_leaves_it(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("folder", {"../evil": b"e", "/abs": b"x", "a/../../b": b"b"})

        handle.outputs().named("folder").download(tmp_path / "here")

        assert names(tmp_path) == ["here/_/evil", "here/a/_/_/b", "here/abs"]

    def test_a_folder_is_never_written_over(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("folder", {"a": b"a"})
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "mine").touch()

        with pytest.raises(ConflictError):
            handle.outputs().named("folder").download(tmp_path, overwrite=True)

        assert names(tmp_path) == ["folder/mine"]

    def test_a_folder_is_gone_on_with(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("folder", {"a": b"aaaa", "b": b"bbbb"})
        folder = handle.outputs().named("folder")
        gone = Refused(grpc.StatusCode.NOT_FOUND, "PART_NOT_FOUND")
        files.faults = [1 << 30, 1 << 30, gone]
        with pytest.raises(NotFoundError):
            folder.download(tmp_path / "here")
        had = [name.rpartition("/")[2] for name in names(tmp_path)]
        files.reads = []

        folder.download(tmp_path / "here")

        assert had == ["a"]
        assert [read.member for read in files.reads] == ["", "b"]
        assert names(tmp_path) == ["here/a", "here/b"]

    def test_a_folder_that_has_grown_is_refused_before_it_comes(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("folder", {"a": b"aaaa"})
        folder = handle.outputs().named("folder")
        files.files["folder"] = {"a": b"aaaa", "b": b"b"}

        with pytest.raises(ConflictError, match="5 bytes, and had 4") as raised:
            folder.download(tmp_path / "here")
        reads = len(files.reads)
        folder.download(tmp_path / "here", accept_changed=True)

        assert (raised.value.reason, reads) == ("OUTPUT_CHANGED", 1)
        assert names(tmp_path) == ["here/a", "here/b"]

    def test_a_damaged_folder_is_not_kept(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("folder", {"a": b"aaaa"})
        folder = handle.outputs().named("folder")
        files.files["folder"] = {"a": b"bbbb"}

        with pytest.raises(DamagedOutputError):
            folder.download(tmp_path / "here")

        assert list(tmp_path.iterdir()) == []


class TestDownloadingAll:
    def test_all_outputs_go_below_one_folder(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("/abs/model", b"m")
        files.publish("A.txt", b"other")
        files.publish("folder", {"x": b"x"})

        found = handle.download(tmp_path / "all")

        places = ["abs/model", "A.txt", "a (2).txt", "folder"]
        assert found == [tmp_path / "all" / place for place in places]
        assert names(tmp_path / "all") == ["A.txt", "a (2).txt", "abs/model", "folder/x"]

    def test_what_cannot_be_had_keeps_nothing_else_from_coming(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        files.publish("b.txt", b"b")
        files.faults = [Refused(grpc.StatusCode.NOT_FOUND, "OUTPUT_GONE", "gone")]

        with pytest.raises(DownloadFailedError, match=r"a\.txt: gone") as raised:
            handle.download(tmp_path)

        assert list(raised.value.failures) == ["a.txt"]
        assert names(tmp_path) == ["b.txt"]


class TestCopiesOnThisMachine:
    def test_a_copy_with_the_right_checksum_will_do(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        here = tmp_path / "here.txt"
        here.write_bytes(TEXT)
        files.publish("a.txt", TEXT, str(here))
        files.faults = [NO_READER] * 9
        output = handle.outputs()[0]

        assert output.read(3, 4) == TEXT[3:7]
        assert output.download(tmp_path / "copy").read_bytes() == TEXT
        with output.open() as file:
            file.seek(5)
            assert file.read(2) == TEXT[5:7]

    def test_a_folder_here_will_do(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        (tmp_path / "here" / "deep").mkdir(parents=True)
        (tmp_path / "here" / "deep" / "a").write_bytes(b"a")
        (tmp_path / "secret").write_bytes(b"s")
        (tmp_path / "here" / "link").symlink_to(tmp_path / "secret")
        files.publish("folder", {"deep/a": b"a"}, str(tmp_path / "here"))
        files.faults = [NO_READER] * 9
        folder = handle.outputs().named("folder")

        assert folder.files() == ["deep/a"]
        for nowhere in ("link", "nothing", "../secret", str(tmp_path / "secret")):
            with pytest.raises(NotFoundError):
                folder.read(file=nowhere)
        folder.download(tmp_path / "copy")
        assert names(tmp_path / "copy") == ["deep/a"]

    @pytest.mark.parametrize("other", ["contents", "nothing", "link", "no checksum"])
    def test_what_is_not_for_certain_the_output_will_not_do(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path, other: str
    ) -> None:
        here = tmp_path / "here.txt"
        files.publish("a.txt", TEXT, str(here))
        if other == "contents":
            here.write_bytes(TEXT[::-1])
        elif other == "link":
            (tmp_path / "real").write_bytes(TEXT)
            here.symlink_to(tmp_path / "real")
        elif other == "no checksum":
            here.write_bytes(TEXT)
            files.outputs["a.txt"].checksum = ""
        files.faults = [NO_READER]

        with pytest.raises(ConflictError) as raised:
            handle.outputs()[0].read()

        assert raised.value.reason == "NO_READER"

    def test_a_copy_is_no_answer_to_what_was_refused(
        self, handle: RunHandle, files: PublishedFiles, tmp_path: Path
    ) -> None:
        (tmp_path / "here.txt").write_bytes(TEXT)
        files.publish("a.txt", TEXT, str(tmp_path / "here.txt"))
        files.faults = [Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")]

        with pytest.raises(NotFoundError):
            handle.outputs()[0].read()
