import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from trackside_serving.settings import PREFIX, Settings, load_settings
from trackside_serving.starting import SettingsError

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
ROW = re.compile(r"\| `(TRACKSIDE_[A-Z_]+)` \| (.*?) \| (.*) \|")


def default_of(field: FieldInfo) -> str:
    default = field.default
    if field.default_factory is not None:
        return "the platform's user data folder"
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default else ""


def test_the_page_of_the_settings_tells_each_of_them_and_nothing_else() -> None:
    rows = [match.groups() for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]

    assert rows == [
        (f"{PREFIX}{name.upper()}", default_of(field), field.description)
        for name, field in Settings.model_fields.items()
    ]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKSIDE_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSIDE_LISTEN", "[::1]:0")
    monkeypatch.setenv("TRACKSIDE_RUN_ID", "what only clients read")

    settings = load_settings()

    assert (settings.home, settings.listen) == (tmp_path, "[::1]:0")


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("LISTEN", "8750", "TRACKSIDE_LISTEN: an address is HOST:PORT"),
        ("LISTEN", "127.0.0.1:99999", "TRACKSIDE_LISTEN: an address is HOST:PORT"),
        ("STREAM_LIMIT", "many", "TRACKSIDE_STREAM_LIMIT: "),
        ("LEASE", "0", "TRACKSIDE_LEASE: "),
        ("SERVER_ID", "nonsense", "TRACKSIDE_SERVER_ID: "),
        ("TLS_KEY", "key.pem", "TRACKSIDE_TLS_CERTIFICATE and TRACKSIDE_TLS_KEY go together"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value).startswith(fault)
    assert "\n" not in str(caught.value)
