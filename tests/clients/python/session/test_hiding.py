from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

import trackside
from support.append_server import AppendServer
from trackside.session.hiding import hide_secrets
from trackside.session.values import struct_of

SAID: dict[str, Any] = {
    "password": "swordfish",
    "hub_token": "hf_abc",
    "optimizer": {"name": "adam", "api_key": "k-1", "urls": ["x://hunter22@host", "plain"]},
    "tokenizer": "bert",
    "max_tokens": 512,
    "token": 7,
    "rate": 0.1,
}
SHOWN: dict[str, Any] = {
    "password": "********",
    "hub_token": "********",
    "optimizer": {
        "name": "adam",
        "api_key": "********",
        "urls": ["x://********@host", "plain"],
    },
    "tokenizer": "bert",
    "max_tokens": 512,
    "token": 7,
    "rate": 0.1,
}


def test_secrets_are_known_by_their_names_and_by_their_values() -> None:
    values = struct_of(SAID)

    hide_secrets(values.fields, lambda text: text.replace("hunter22", "********"))

    assert MessageToDict(values) == SHOWN


@pytest.mark.usefixtures("reporting")
def test_no_secret_among_parameters_and_configuration_leaves_the_program(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter22")

    with trackside.start_run(params=SAID, config=SAID, capture=False) as run:
        assert run.parameters == SAID
        run.set_parameters(SAID)
        run.set_config(SAID)

    stored = append_server.only_run()
    told = [{key: MessageToDict(value) for key, value in stored.run.parameters.items()}]
    for report in stored.reports:
        if report.attributes.parameters:
            set_later = report.attributes.parameters
            told.append({key: MessageToDict(value) for key, value in set_later.items()})
        if report.provenance.HasField("configuration"):
            told.append(MessageToDict(report.provenance.configuration))
    assert told == [SHOWN] * 4
