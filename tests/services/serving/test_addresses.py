import pytest

from trackside_serving.addresses import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8750", "127.0.0.1", 8750),
        ("[::1]:0", "::1", 0),
        ("runs.internal:8760", "runs.internal", 8760),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = Address.parse(text)

    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "8750", ":8750", "host:", "host:65536", "::1:8750", "a b:1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(text: str, *, is_loopback: bool) -> None:
    assert Address.parse(text).is_loopback is is_loopback
