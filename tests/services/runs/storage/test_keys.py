from trackside_runs.storage.keys import path_key


def test_a_short_path_is_its_own_key() -> None:
    assert path_key("a/b.txt") == "a/b.txt"


def test_long_paths_have_short_keys_of_their_own() -> None:
    first, second = "ä" * 2000 + "1", "ä" * 2000 + "2"

    assert path_key(first) != path_key(second)
    assert len(path_key(first).encode()) <= 1000
