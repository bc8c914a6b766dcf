from hypothesis import given
from hypothesis import strategies as st

from trackside.capture.masking import MASK, Masker, secrets_of


def test_secrets_are_the_values_of_variables_whose_names_say_so() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "abcdefgh",
        "github_token": "ghp_123456",
        "DB_PASSWORD": "hunter22",
        "SHORT_TOKEN": "abc",
        "KEY_FILE_SECRET": "/home/me/key",
        "PATH": "/usr/bin:/bin",
        "KEYBOARD": "querty-layout",
    }

    assert sorted(secrets_of(environment)) == ["abcdefgh", "ghp_123456", "hunter22"]


def test_longer_secrets_go_before_those_they_contain() -> None:
    masker = Masker(secrets_of({"A_TOKEN": "secret", "B_TOKEN": "secret-longer"}))

    assert masker.text("a secret-longer b secret c") == f"a {MASK} b {MASK} c"


@given(st.lists(st.integers(1, 9)), st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_masked_however_the_stream_is_cut(
    sizes: list[int], before: bytes, behind: bytes
) -> None:
    data = before + b"hunter22" + behind + b"hunt" + b"hunter22"
    stream = Masker(["hunter22"]).stream()
    shown, rest = b"", data

    for size in sizes:
        shown += stream.feed(rest[:size])
        rest = rest[size:]
    shown += stream.feed(rest) + stream.end()

    assert shown == data.replace(b"hunter22", MASK.encode())


def test_without_secrets_nothing_changes() -> None:
    masker = Masker([])

    assert (masker.text("a"), masker.stream().feed(b"b")) == ("a", b"b")
