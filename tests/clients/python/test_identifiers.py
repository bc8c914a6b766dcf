from trackside.identifiers import ALPHABET, new_identifier


def test_identifiers_have_their_form_and_differ() -> None:
    made = {new_identifier() for _ in range(1000)}

    assert len(made) == 1000
    assert {len(each) for each in made} == {16}
    assert set("".join(made)) == set(ALPHABET)
