from trackside.identifiers import is_identifier, new_identifier


def test_identifiers_have_their_form_and_differ() -> None:
    made = {new_identifier() for _ in range(1000)}

    assert len(made) == 1000
    assert all(is_identifier(each) for each in made)


def test_other_texts_are_no_identifiers() -> None:
    for text in (
        "",
        "jh8p126nr3yqhrn",
        "jh8p126nr3yqhrn80",
        "JH8P126NR3YQHRN8",
        "jh8p126nr3yqhrnu",
    ):
        assert not is_identifier(text)
