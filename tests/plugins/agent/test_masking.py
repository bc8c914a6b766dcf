"""Secrets of a run stay out of its log."""

import pytest

from trackside_agent.masking import Mask


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "GITHUB_TOKEN",
        "db_password",
        "AWS_SECRET_ACCESS_KEY",
        "API_KEY",
        "APIKEY",
        "X_PASSPHRASE",
    ],
)
def test_values_of_telling_names_are_masked(name: str) -> None:
    mask = Mask("token-of-the-run", {name: "correct horse"})

    assert mask(b"a correct horse, a token-of-the-run") == b"a ***, a ***"


@pytest.mark.parametrize("name", ["PATH", "TOKENIZERS_PARALLELISM", "MONKEY", "KEYBOARD"])
def test_values_of_other_names_stay(name: str) -> None:
    assert Mask("", {name: "correct horse"})(b"correct horse") == b"correct horse"


def test_short_values_stay() -> None:
    assert Mask("short", {"TOKEN": "true"})(b"true short") == b"true short"


def test_longer_of_two_secrets_is_masked_whole() -> None:
    mask = Mask("", {"A_TOKEN": "12345678", "B_TOKEN": "1234567890"})

    assert mask(b"1234567890 12345678") == b"*** ***"
