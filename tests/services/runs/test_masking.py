import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value

from trackside_protos.runs.v1.provenance_pb2 import Provenance, Source
from trackside_protos.runs.v1.run_pb2 import Launch, Run, Sweep, SweepAxis
from trackside_runs.masking import (
    MASK,
    is_secret_key,
    mask_launch,
    mask_provenance,
    mask_run,
    mask_struct,
    masked_command,
    masked_text,
    masked_value,
)

# Put together here, so that no scanner takes this file for a leak.
GITHUB = "gh" + "p_" + "a1" * 18
AMAZON = "AK" + "IA" + "ABCDEFGHIJKLMNOP"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nabc\ndef\n-----END RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "GITHUB_TOKEN",
        "hf_token",
        "accessToken",
        "client-secret",
        "DB_PASSWORD",
        "mysql_passwd",
        "DB_PASS",
        "credentials",
        "api_key",
        "apiKey",
        "API-KEY",
        "AWS_ACCESS_KEY_ID",
        "private_key",
        "Authorization_Auth",
    ],
)
def test_a_key_that_names_a_secret_is_known(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens",
        "tokenizer",
        "pad_token",
        "token_type",
        "author",
        "path",
        "keyboard",
        "monkey",
        "bypass_cache",
        "key",
        "learning_rate",
    ],
)
def test_a_key_that_only_sounds_so_is_not(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize("secret", [GITHUB, AMAZON, PEM, PEM[:40]])
def test_a_value_that_looks_like_a_secret_is_masked_in_its_text(secret: str) -> None:
    assert masked_text(f"before {secret}") == f"before {MASK}"


def test_credentials_in_addresses_are_masked_and_the_rest_stays() -> None:
    assert masked_text("s3://me:pw@host/x?a=b@c") == f"s3://{MASK}@host/x?a=b@c"
    assert masked_text("http://host:8080/a:b@c") == "http://host:8080/a:b@c"


@pytest.mark.parametrize(
    "hostile", ["eyJ-" * 500_000, "://a:" * 400_000, "-----BEGIN PRIVATE KEY-----" * 70_000]
)
def test_hostile_texts_are_read_in_a_moment(hostile: str) -> None:
    masked_text(hostile)  # within the test's time limit: read again and again it would take hours


def test_secrets_are_masked_however_deep_they_are() -> None:
    struct = Struct()
    struct.update(
        {
            "model": {"name": "ridge", "layers": [1, {"password": "x", "pin": 3}]},
            "database": {"secrets": {"a": "x", "b": ["y", 5]}},
            "max_tokens": 512,
            "password": 123456,
            "note": f"see {GITHUB}",
            "empty_token": "",
        }
    )

    mask_struct(struct)

    assert MessageToDict(struct) == {
        "model": {"name": "ridge", "layers": [1, {"password": MASK, "pin": 3}]},
        "database": {"secrets": {"a": MASK, "b": [MASK, MASK]}},
        "max_tokens": 512,
        "password": MASK,
        "note": f"see {MASK}",
        "empty_token": "",
    }


def test_a_masked_value_leaves_the_given_one_alone() -> None:
    value = Value(string_value="x")

    assert masked_value("api_key", value).string_value == MASK
    assert value.string_value == "x"


def test_a_command_is_masked_word_by_word() -> None:
    command = ["train", "--token=x", "--password", "y", "--verbose", "API_KEY=z", "--alpha=1"]

    assert masked_command(command) == [
        "train",
        f"--token={MASK}",
        "--password",
        MASK,
        "--verbose",
        f"API_KEY={MASK}",
        "--alpha=1",
    ]


def test_a_provenance_is_masked_and_gains_no_parts() -> None:
    provenance = Provenance(environment={"TOKEN": "x", "HOME": "/root"}, command=["--secret=x"])

    mask_provenance(provenance)

    assert provenance == Provenance(
        environment={"TOKEN": MASK, "HOME": "/root"}, command=[f"--secret={MASK}"]
    )


def test_a_run_is_masked_but_for_what_its_agent_needs() -> None:
    launch = Launch(command=["train"], environment={"TOKEN": "x"})
    run = Run(
        parameters={"password": Value(string_value="x"), "alpha": Value(number_value=1)},
        provenance=Provenance(source=Source(repository="https://a:b@host/r.git")),
        sweep=Sweep(axes=[SweepAxis(key="secret", values=[Value(string_value="x")])]),
        launch=launch,
    )

    mask_run(run)

    assert run.parameters["password"].string_value == MASK
    assert run.parameters["alpha"].number_value == 1
    assert run.provenance.source.repository == f"https://{MASK}@host/r.git"
    assert run.sweep.axes[0].values[0].string_value == MASK
    assert run.launch == launch


def test_a_shown_launch_is_masked() -> None:
    launch = Launch(command=["a", "--token=b"], environment={"TOKEN": "x", "A": "1"})

    mask_launch(launch)

    assert launch == Launch(command=["a", f"--token={MASK}"], environment={"TOKEN": MASK, "A": "1"})
