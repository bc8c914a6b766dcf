import subprocess
import sys
from pathlib import Path

import pytest

from trackside_serving.errors import TokenRefusedError
from trackside_serving.home import Home, verifier_from
from trackside_serving.identity import Role
from trackside_serving.revocations import Revocation
from trackside_serving.starting import HomeError


def test_the_first_start_makes_everything(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    modes = {path.name: oct(path.stat().st_mode)[-3:] for path in home.path.iterdir()}
    assert modes == {
        "data": "700",
        "server_id": "600",
        "signing_key.pem": "600",
        "token": "600",
        "verifying_key.pem": "600",
    }
    assert oct(home.path.stat().st_mode)[-3:] == "700"
    assert len(home.server_id) == 16


def test_the_local_token_is_an_admins(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    caller = home.verifier().verify(home.token_file.read_text())

    assert caller.role is Role.ADMIN


def test_a_later_start_finds_the_same(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)

    assert (first.server_id, first.token) == (second.server_id, second.token)
    assert second.verifier().verify(first.token)


def test_a_verifier_without_the_private_key_takes_the_same_tokens(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.path / "signing_key.pem").unlink()

    assert verifier_from(home.path / "verifying_key.pem").verify(home.token)


def test_a_new_key_makes_a_new_local_token(tmp_path: Path) -> None:
    old = Home(tmp_path).token
    (tmp_path / "signing_key.pem").unlink()
    (tmp_path / "verifying_key.pem").unlink()

    home = Home(tmp_path)

    assert home.verifier().verify(home.token_file.read_text())
    with pytest.raises(TokenRefusedError):
        home.verifier().verify(old)


def test_a_local_token_that_was_revoked_is_replaced_by_one_that_is_good(tmp_path: Path) -> None:
    home = Home(tmp_path)
    verifier = home.verifier()
    old = verifier.verified(home.token)
    verifier.revocations.add([Revocation(old.token_id, "", 0, 1 << 42)])

    home.renew_token(verifier)

    assert verifier.verify(home.token_file.read_text()) == old.caller
    assert home.token == home.token_file.read_text() != old.token


def test_the_local_user_is_not_locked_out_by_the_clock_of_another_machine(tmp_path: Path) -> None:
    home = Home(tmp_path)
    verifier = home.verifier()
    old = verifier.verified(home.token)
    verifier.revocations.add([Revocation("", old.caller.subject, 1 << 41, 1 << 42)])

    home.renew_token(verifier)

    assert verifier.verify(home.token) == old.caller


def test_a_local_token_that_is_good_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = home.token

    home.renew_token(home.verifier())

    assert home.token_file.read_text() == home.token == before


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from trackside_serving.home import Home;"
        "sys.stdin.read(); home = Home(Path(sys.argv[1]));"
        "home.verifier().verify(home.token); print(home.server_id, home.token)"
    )
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", program, str(tmp_path / "home")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(6)
    ]

    for process in processes:
        assert process.stdin
        process.stdin.close()
    said: set[bytes] = set()
    for process in processes:
        assert process.stdout
        said.add(process.stdout.read())
        process.stdout.close()
        assert process.wait() == 0

    assert len(said) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Home(tmp_path)
    (tmp_path / "signing_key.pem").chmod(0o644)

    with pytest.raises(HomeError, match="others may read"):
        Home(tmp_path)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(HomeError, match="others may write"):
        Home(tmp_path)


def test_a_file_in_the_way_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")

    with pytest.raises(HomeError, match=r"^TRACKSIDE_HOME cannot be used: .*$"):
        Home(tmp_path / "home")


@pytest.mark.parametrize("contents", [b"", b"nonsense"])
def test_a_file_without_a_public_key_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "key").write_bytes(contents)

    with pytest.raises(HomeError, match="TRACKSIDE_VERIFYING_KEY"):
        verifier_from(tmp_path / "key")
