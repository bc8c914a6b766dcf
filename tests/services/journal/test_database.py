import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from support.journal import ENTRIES, RUN, EntryTable
from support.postgresql_server import PostgresqlServer
from trackside_journal.database import Database
from trackside_journal.errors import StorageFullError, StoreLockedError, StoreUnavailableError

OpenDatabase = Callable[[str], Database]


def value(database: Database, query: str) -> object:
    return database.read_now(lambda connection: connection.execute(text(query)).scalar_one())


def written_value(database: Database, query: str) -> object:
    with database.writing() as connection:
        return connection.execute(text(query)).scalar_one()


def add(connection: Connection, sequence: int, payload: bytes = b"x") -> None:
    row = {"run_id": RUN, "sequence": sequence, "payload": payload}
    connection.execute(ENTRIES.insert(), row)


def write(
    database: Database, *sequences: int, then: Callable[[Connection], None] = lambda _: None
) -> None:
    with database.writing() as connection:
        for sequence in sequences:
            add(connection, sequence)
        then(connection)


def forbid_writing(connection: Connection) -> None:
    connection.execute(text("set transaction read only"))
    add(connection, 1)


def count(database: Database) -> object:
    return value(database, "select count(*) from entry")


def test_what_was_written_is_read(database: Database) -> None:
    with database.writing() as connection:
        add(connection, 1)

    assert count(database) == 1


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    with suppress(ZeroDivisionError), database.writing() as connection:
        add(connection, 1)
        raise ZeroDivisionError

    assert count(database) == 0


def test_a_mistake_is_not_taken_for_a_store_that_is_away(database: Database) -> None:
    with pytest.raises(IntegrityError):
        write(database, 1, 1)
    with pytest.raises(DBAPIError, match="no_such_table"):
        value(database, "select 1 from no_such_table")

    assert count(database) == 0


async def test_reads_run_in_threads_of_their_own(database: Database) -> None:
    names = await asyncio.gather(
        *(database.read(lambda _: threading.current_thread().name) for _ in range(8))
    )

    assert all(name.startswith("entries-reader") for name in names)


async def test_reads_wait_for_each_other_but_never_fail_for_want_of_a_connection(
    database: Database,
) -> None:
    results = await asyncio.gather(
        *(database.read(lambda c: c.execute(text("select 1")).scalar_one()) for _ in range(50))
    )

    assert results == [1] * 50


def test_tables_are_made_once_by_processes_that_start_together(
    open_database: OpenDatabase, postgresql_url: str
) -> None:
    databases = [open_database(postgresql_url) for _ in range(4)]
    threads = [
        threading.Thread(target=database.create_tables, args=[EntryTable.metadata])
        for database in databases
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count(databases[0]) == 0


def test_the_store_says_what_it_is(database: Database) -> None:
    name, version = database.description.split()

    assert name in {"sqlite", "postgresql"}
    assert version[0].isdigit()


class TestSqlite:
    def test_every_commit_is_flushed_to_a_write_ahead_log(self, sqlite_database: Database) -> None:
        assert written_value(sqlite_database, "pragma journal_mode") == "wal"
        assert written_value(sqlite_database, "pragma synchronous") == 2
        assert written_value(sqlite_database, "pragma mmap_size") == 0

    def test_a_commit_is_in_the_log_when_it_returns(
        self, sqlite_database: Database, store_path: Path
    ) -> None:
        with sqlite_database.writing() as connection:
            add(connection, 1, b"a payload that can be found")

        log = Path(f"{store_path}-wal").read_bytes()

        assert b"a payload that can be found" in log

    def test_readers_cannot_write_and_never_checkpoint(self, sqlite_database: Database) -> None:
        assert value(sqlite_database, "pragma query_only") == 1
        assert value(sqlite_database, "pragma wal_autocheckpoint") == 0
        with pytest.raises(StoreUnavailableError):
            sqlite_database.read_now(lambda connection: add(connection, 1))

        assert count(sqlite_database) == 0

    def test_a_reader_sees_one_state_while_the_writer_goes_on(
        self, sqlite_database: Database
    ) -> None:
        def count_twice(connection: Connection) -> list[object]:
            query = text("select count(*) from entry")
            before = connection.execute(query).scalar_one()
            with sqlite_database.writing() as writer:
                add(writer, 1)
            return [before, connection.execute(query).scalar_one()]

        assert sqlite_database.read_now(count_twice) == [0, 0]
        assert count(sqlite_database) == 1

    def test_the_folder_is_made(self, open_database: OpenDatabase, tmp_path: Path) -> None:
        open_database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'store.sqlite'}")

        assert (tmp_path / "new" / "folder" / "store.sqlite").exists()

    def test_a_second_opening_is_refused_in_one_line(
        self, sqlite_database: Database, store_path: Path
    ) -> None:
        with pytest.raises(StoreLockedError) as caught:
            Database(f"sqlite:///{store_path}", schema="entries")

        assert str(store_path) in str(caught.value)
        assert "TRACKSIDE_HOME" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert count(sqlite_database) == 0

    def test_a_second_process_is_refused(self, sqlite_database: Database, store_path: Path) -> None:
        second = open_in_another_process(store_path)

        assert second.returncode == 1
        assert second.stderr.splitlines()[-1].startswith(
            "trackside_journal.errors.StoreLockedError: Another process holds"
        )
        assert count(sqlite_database) == 0

    def test_the_lock_goes_with_the_process_that_held_it(self, store_path: Path) -> None:
        first = open_in_another_process(store_path, then="import os; os._exit(9)")

        database = Database(f"sqlite:///{store_path}", schema="entries")
        database.close()

        assert first.returncode == 9

    def test_the_lock_is_given_back_when_the_store_cannot_be_opened(self, store_path: Path) -> None:
        store_path.write_bytes(b"this is no database, " * 100)
        with pytest.raises(DBAPIError, match="not a database"):
            Database(f"sqlite:///{store_path}", schema="entries")
        store_path.unlink()

        database = Database(f"sqlite:///{store_path}", schema="entries")
        database.close()

    def test_a_store_that_is_locked_by_an_intruder_is_unavailable(
        self, sqlite_database: Database, store_path: Path
    ) -> None:
        intruder = sqlite3.connect(store_path, isolation_level=None)
        intruder.execute("begin immediate")

        with pytest.raises(StoreUnavailableError), sqlite_database.writing() as connection:
            add(connection, 1)
        assert count(sqlite_database) == 0
        intruder.close()
        with sqlite_database.writing() as connection:
            add(connection, 1)

        assert count(sqlite_database) == 1

    def test_a_file_that_may_grow_no_more_is_full_and_heals(
        self, sqlite_database: Database
    ) -> None:
        with sqlite_database.writing() as connection:
            add(connection, 1)
            connection.execute(text("pragma max_page_count=20"))

        with pytest.raises(StorageFullError), sqlite_database.writing() as connection:
            add(connection, 2, bytes(1 << 20))
        assert count(sqlite_database) == 1
        with sqlite_database.writing() as connection:
            connection.execute(text("pragma max_page_count=100000"))
            add(connection, 2, bytes(1 << 20))

        assert count(sqlite_database) == 2

    def test_a_full_disk_is_told_and_heals_when_there_is_space(
        self, open_database: OpenDatabase, small_disk: Path
    ) -> None:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(3 << 19))
        database = open_database(f"sqlite:///{small_disk / 'store.sqlite'}")

        with pytest.raises(StorageFullError), database.writing() as connection:
            add(connection, 1, bytes(1 << 20))
        assert count(database) == 0
        ballast.unlink()
        with database.writing() as connection:
            add(connection, 1, bytes(1 << 20))

        assert count(database) == 1
        assert value(database, "pragma integrity_check") == "ok"

    def test_closing_leaves_no_log_behind(self, store_path: Path) -> None:
        database = Database(f"sqlite:///{store_path}", schema="entries")
        database.create_tables(EntryTable.metadata)
        count(database)

        database.close()

        assert not Path(f"{store_path}-wal").exists()


class TestPostgresql:
    def test_every_commit_is_flushed(
        self, open_database: OpenDatabase, postgresql_url: str
    ) -> None:
        database = open_database(postgresql_url)

        assert value(database, "show synchronous_commit") == "on"
        assert value(database, "show transaction_isolation") == "read committed"

    def test_services_have_schemas_of_their_own(
        self, open_database: OpenDatabase, postgresql_url: str
    ) -> None:
        first = open_database(postgresql_url)
        second = Database(postgresql_url, schema="others")
        second.create_tables(EntryTable.metadata)

        with second.writing() as connection:
            add(connection, 1)

        assert (count(first), count(second)) == (0, 1)
        second.close()

    def test_a_server_that_was_killed_is_unavailable_and_heals(
        self, database_on_a_mortal_server: tuple[Database, PostgresqlServer]
    ) -> None:
        database, server = database_on_a_mortal_server
        with database.writing() as connection:
            add(connection, 1)
        assert count(database) == 1
        server.kill()

        with pytest.raises(StoreUnavailableError):
            count(database)
        with pytest.raises(StoreUnavailableError), database.writing() as connection:
            add(connection, 2)
        server.start()

        with database.writing() as connection:
            add(connection, 2)
        assert count(database) == 2

    def test_a_server_that_is_killed_within_a_transaction_is_unavailable(
        self, database_on_a_mortal_server: tuple[Database, PostgresqlServer]
    ) -> None:
        database, server = database_on_a_mortal_server

        def kill(connection: Connection) -> None:
            backend = psutil.Process(
                connection.execute(text("select pg_backend_pid()")).scalar_one()
            )
            server.kill()
            backend.wait(60)  # it notices by itself, and could still commit before it does

        with pytest.raises(StoreUnavailableError):
            write(database, 1, then=kill)
        server.start()

        assert count(database) == 0

    def test_a_connection_that_was_ended_is_unavailable_once_at_most(
        self, open_database: OpenDatabase, postgresql_url: str
    ) -> None:
        database, other = open_database(postgresql_url), open_database(postgresql_url)

        def end(connection: Connection) -> None:
            pid = connection.execute(text("select pg_backend_pid()")).scalar_one()
            value(other, f"select pg_terminate_backend({pid}, 25000)")

        with pytest.raises(StoreUnavailableError):
            write(database, 1, then=end)
        with database.writing() as connection:
            add(connection, 1)

        assert count(database) == 1

    def test_a_store_that_was_made_read_only_is_unavailable_and_can_be_read(
        self, open_database: OpenDatabase, postgresql_url: str
    ) -> None:
        database = open_database(postgresql_url)

        with pytest.raises(StoreUnavailableError):
            write(database, then=forbid_writing)

        assert count(database) == 0

    def test_a_table_locked_by_somebody_else_is_unavailable(
        self, open_database: OpenDatabase, postgresql_url: str
    ) -> None:
        database, other = open_database(postgresql_url), open_database(postgresql_url)

        with other.writing() as holding:
            holding.execute(text("lock table entry"))
            with pytest.raises(StoreUnavailableError), database.writing() as connection:
                add(connection, 1)

        assert count(database) == 0

    def test_a_pool_that_is_used_up_is_unavailable(self, postgresql_url: str) -> None:
        database = Database(postgresql_url, schema="entries", readers=1)

        with pytest.raises(StoreUnavailableError):
            database.read_now(
                lambda _: database.read_now(lambda _: database.read_now(lambda _: None))
            )

        database.close()


def test_another_service_of_the_same_store_has_tables_of_its_own(
    open_database: OpenDatabase, database_url: str
) -> None:
    database = open_database(database_url)

    database.create_tables(MetaData())

    assert count(database) == 0


def open_in_another_process(path: Path, *, then: str = "") -> subprocess.CompletedProcess[str]:
    code = (
        "from trackside_journal.database import Database\n"
        f"database = Database('sqlite:///{path}', schema='entries')\n{then}"
    )
    return subprocess.run(  # noqa: S603 - the command is the tests' own
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "trackside-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603 - the command is the tests' own
        pytest.skip("a disk of our own may not be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: S603, S607 - as above
