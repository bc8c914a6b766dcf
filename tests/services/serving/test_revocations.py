from trackside_serving.revocations import EVERYBODY, Revocation, Revocations

NOW = 1_000.0
LATER_MS = 1 << 42


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def of_token(token_id: str, subject: str = EVERYBODY, expire_ms: int = LATER_MS) -> Revocation:
    return Revocation(token_id, subject, 0, expire_ms)


def of_subject(subject: str, until_ms: int) -> Revocation:
    return Revocation("", subject, until_ms, LATER_MS)


def test_one_token_is_refused_and_no_other() -> None:
    known = Revocations()

    known.add([of_token("t1")])

    assert known.cover("t1", "ann", 5)
    assert not known.cover("t2", "ann", 5)


def test_what_a_user_revokes_by_an_id_holds_for_its_own_tokens_only() -> None:
    known = Revocations()

    known.add([of_token("t1", "bob")])

    assert not known.cover("t1", "ann", 5)
    known.add([of_token("t1")])
    assert known.cover("t1", "ann", 5)


def test_all_tokens_of_a_subject_are_refused_that_were_made_until_then() -> None:
    known = Revocations()

    known.add([of_subject("ann", 100)])

    assert [known.cover("t", "ann", at) for at in (0, 100, 101)] == [True, True, False]
    assert not known.cover("t", "bob", 0)


def test_the_latest_word_on_a_subject_counts_in_whatever_order_it_comes() -> None:
    known = Revocations()

    known.add([of_subject("ann", 100), of_subject("ann", 50)])

    assert known.cover("t", "ann", 100)


def test_listeners_hear_of_news_and_of_nothing_else() -> None:
    heard: list[int] = []
    known = Revocations()
    known.on_news(lambda: heard.append(len(known)))

    known.add([of_token("t1")])
    known.add([of_token("t1")])
    known.add([])

    assert heard == [1]


def test_what_has_expired_takes_no_memory() -> None:
    clock = Clock()
    known = Revocations(clock=clock)
    known.add(of_token(f"t{number}", expire_ms=1_500_000) for number in range(100))

    clock.now = 1_600.0
    known.add([of_token("new")])

    assert len(known) == 1
