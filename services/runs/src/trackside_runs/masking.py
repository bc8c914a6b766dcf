"""Masking secrets in what is recorded of a run, before anything is stored.

A value is masked for its key (`DB_PASSWORD`) or for its looks (a private key, a token of a
known form, credentials in an address). That a secret was changed in form, for example into
base64, cannot be seen.
"""

import re
from collections.abc import MutableMapping
from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from trackside_protos.runs.v1.provenance_pb2 import Provenance
from trackside_protos.runs.v1.run_pb2 import Launch, Run

MASK: Final = "***"
"""What stands where a secret stood."""

_SECRET_KEY: Final = re.compile(
    r"secret|passw(?:or)?d|passphrase|credential"
    r"|(?:api|access|private|signing|encryption|account)[^a-z0-9]{0,2}key"
    r"|connection[^a-z0-9]{0,2}string",
    re.IGNORECASE,
)
_SECRET_WORD: Final = re.compile(
    r"token(?:$|[^a-z])|(?:^|[^a-z])(?:pwd|pass|pat|auth)(?:$|[^a-z])", re.IGNORECASE
)
"""What names a secret only if the value is a text: numbers of these are counts and settings."""

_PUBLIC_KEY: Final = re.compile(
    r"(?:eos|bos|pad|unk|sep|cls|mask)_?token$|token_?(?:id|ids|count|limit|length|type)$",
    re.IGNORECASE,
)
"""Words of language models that only sound like secrets."""

_SECRET_VALUES: Final = (
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [^-]{0,60}-----|\Z)", re.DOTALL
    ),
    # None of these begins inside a word, so that a text is read once, whatever is in it.
    re.compile(r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})"),
    re.compile(r"(?<![\w-])(?:glpat-|sk-)[\w-]{20,255}"),
    re.compile(r"(?<![\w-])(?:AKIA|ASIA)[A-Z0-9]{16}(?!\w)"),
    re.compile(r"(?<![\w-])xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    re.compile(r"(?<![\w-])AIza[\w-]{35}"),
    re.compile(r"(?<![\w-])eyJ[\w-]{8,2048}\.[\w-]{8,4096}\.[\w-]{8,1024}"),
)
_CREDENTIALS: Final = re.compile(r"(://)[^\s/@:?#]{0,256}:[^\s/@?#]{1,256}@")
_ARGUMENT: Final = re.compile(r"(--?[A-Za-z][\w.-]{0,100}=|[A-Za-z_]\w{0,100}=)(.+)", re.DOTALL)


def is_secret_key(key: str, *, is_number: bool = False) -> bool:
    """Whether a key names a secret."""
    # Camel case is told apart, so that apiToken is one and tokenizer is none.
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    if _SECRET_KEY.search(words):
        return True
    return not is_number and bool(_SECRET_WORD.search(words)) and not _PUBLIC_KEY.search(words)


def masked_text(text: str) -> str:
    """Return a text with everything in it masked that looks like a secret."""
    for pattern in _SECRET_VALUES:
        text = pattern.sub(MASK, text)
    return _CREDENTIALS.sub(rf"\1{MASK}@", text)


def masked_value(key: str, value: Value) -> Value:
    """Return a value, masked for its key or its looks, however deep the secret is."""
    masked = Value()
    masked.CopyFrom(value)
    _mask_value(key, masked)
    return masked


def mask_struct(struct: Struct) -> None:
    """Mask the secrets of a struct in place."""
    for key in struct.fields:
        _mask_value(key, struct.fields[key])


def mask_environment(environment: MutableMapping[str, str]) -> None:
    """Mask the secrets of environment variables in place."""
    for key, value in list(environment.items()):
        environment[key] = MASK if value and is_secret_key(key) else masked_text(value)


def masked_command(command: list[str]) -> list[str]:
    """Return a command with its secrets masked: `--token=X`, `--token X`, `TOKEN=X`."""
    masked: list[str] = []
    is_secret_next = False
    for word in command:
        if is_secret_next and not word.startswith("-"):
            masked.append(MASK)
            is_secret_next = False
            continue
        named = _ARGUMENT.fullmatch(word)
        if named and is_secret_key(named[1]):
            masked.append(named[1] + MASK)
        else:
            masked.append(masked_text(word))
        is_secret_next = word.startswith("-") and "=" not in word and is_secret_key(word)
    return masked


def mask_provenance(provenance: Provenance) -> None:
    """Mask the secrets of a run's origin in place."""
    mask_struct(provenance.configuration)
    mask_environment(provenance.environment)
    provenance.command[:] = masked_command(list(provenance.command))
    if provenance.HasField("source"):
        provenance.source.repository = masked_text(provenance.source.repository)
        provenance.source.changes = masked_text(provenance.source.changes)
    for dataset in provenance.datasets:
        dataset.location = masked_text(dataset.location)


def mask_launch(launch: Launch) -> None:
    """Mask the secrets of a launch in place: for showing, never what an agent is given."""
    mask_environment(launch.environment)
    launch.command[:] = masked_command(list(launch.command))


def mask_run(run: Run) -> None:
    """Mask the secrets of a run in place, but for its launch, which the agent needs whole."""
    for key in run.parameters:
        _mask_value(key, run.parameters[key])
    if run.HasField("provenance"):
        mask_provenance(run.provenance)
    if run.HasField("sweep"):
        for axis in run.sweep.axes:
            for value in axis.values:
                _mask_value(axis.key, value)
    if run.HasField("result"):
        mask_struct(run.result.values)


def _mask_value(key: str, value: Value) -> None:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        value.string_value = MASK if text and is_secret_key(key) else masked_text(text)
    elif kind == "number_value" and is_secret_key(key, is_number=True):
        value.string_value = MASK
    elif kind == "struct_value":
        for name in value.struct_value.fields:
            inner = key if is_secret_key(key) else name
            _mask_value(inner, value.struct_value.fields[name])
    elif kind == "list_value":
        for item in value.list_value.values:
            _mask_value(key, item)
