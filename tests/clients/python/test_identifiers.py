from trackside.identifiers import ALPHABET, identifier_of, new_identifier


def test_identifiers_have_their_form_and_differ() -> None:
    made = {new_identifier() for _ in range(1000)}

    assert len(made) == 1000
    assert {len(each) for each in made} == {16}
    assert set("".join(made)) == set(ALPHABET)


def test_the_same_words_have_the_same_identifier() -> None:
    made = [identifier_of("order", "ann", "1"), identifier_of("order", "ann", "1")]

    assert made[0] == made[1]
    assert len(made[0]) == 16
    assert set(made[0]) <= set(ALPHABET)


def test_other_words_have_another_identifier() -> None:
    assert identifier_of("order", "ann1") != identifier_of("order", "ann", "1")
