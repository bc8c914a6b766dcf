"""The settings of every server: environment variables that begin with `TRACKSIDE_`.

Each is listed in `docs/settings.md`; a test compares.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

import platformdirs
from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackside_serving.addresses import Address
from trackside_serving.starting import SettingsError

PREFIX: Final = "TRACKSIDE_"


def _address(value: str) -> str:
    if value:
        Address.parse(value)
    return value


AddressText = Annotated[str, AfterValidator(_address)]
"""`HOST:PORT`, or empty."""


class Settings(BaseSettings):
    """What can be set, and what holds when it is not."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("trackside")),
        description="The folder of this installation: keys, the local user's token, SQLite files.",
    )
    listen: AddressText = Field(
        default="127.0.0.1:8750",
        description="Where to listen, `HOST:PORT`; port 0 takes a free one.",
    )
    allow_remote: bool = Field(
        default=False,
        description="Whether `TRACKSIDE_LISTEN` may be an address that other machines reach.",
    )
    advertised_address: AddressText = Field(
        default="",
        description="The address that clients are told; empty: the one listened at.",
    )
    peer_address: AddressText = Field(
        default="",
        description="The address at which other replicas of RunsService reach this one; empty: the"
        " one that clients are told.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="A PEM file with the certificate chain; switches TLS on, with its key.",
    )
    tls_key: Path | None = Field(
        default=None, description="A PEM file with the private key of the certificate."
    )
    database_url: str = Field(
        default="",
        description="A PostgreSQL database, `postgresql+psycopg://…`; empty: SQLite in the home.",
    )
    redis_url: str = Field(
        default="",
        description="A Redis server to hear of other replicas by; empty: one process, no Redis.",
    )
    runs_address: AddressText = Field(
        default="", description="Where RunsService is when it runs apart; usually port 8760."
    )
    logs_address: AddressText = Field(
        default="", description="Where LogsService is when it runs apart; usually port 8761."
    )
    metrics_address: AddressText = Field(
        default="", description="Where MetricsService is when it runs apart; usually port 8762."
    )
    live_address: AddressText = Field(
        default="", description="Where LiveService is when it runs apart; usually port 8763."
    )
    verifying_key: Path | None = Field(
        default=None,
        description="A public key file to check tokens with, for a server without the home.",
    )
    server_id: str = Field(
        default="",
        pattern=r"^([0-9a-hjkmnp-tv-z]{16})?$",
        description="The identity of the installation, for a server without the home.",
    )
    service_token: SecretStr = Field(
        default=SecretStr(""),
        description="The token, role service, by which a server without the home calls the others.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least severe records that the server's log shows."
    )
    unary_limit: PositiveInt = Field(
        default=512, description="How many calls with one answer may be under way at once."
    )
    control_limit: PositiveInt = Field(
        default=128,
        description="The same for the calls that must work when all else is too much (get, kill).",
    )
    stream_limit: PositiveInt = Field(
        default=4000, description="How many streams may be open at once."
    )
    caller_stream_limit: PositiveInt = Field(
        default=1000,
        description="How many of them one caller may have; agents and services may have all.",
    )
    slow_consumer_after: PositiveFloat = Field(
        default=60.0, description="Seconds after which a stream that is not read is ended."
    )
    stream_idle_after: PositiveFloat = Field(
        default=300.0,
        description="Seconds after which a producer's stream is ended when neither side sends.",
    )
    drain_grace: NonNegativeFloat = Field(
        default=5.0, description="Seconds that open calls have to end when the server goes down."
    )
    disconnected_after_missed: PositiveInt = Field(
        default=3, description="Heartbeats missed before a run is DISCONNECTED."
    )
    stalled_after: PositiveFloat = Field(
        default=300.0,
        description="Seconds of nothing but heartbeats, all tasks ended, before a run is STALLED.",
    )
    lost_after: PositiveFloat = Field(
        default=86400.0, description="Seconds DISCONNECTED before a run is FAILED with reason LOST."
    )
    never_started_after: PositiveFloat = Field(
        default=3600.0,
        description="Seconds without any report before a new run is FAILED, never started.",
    )
    seal_after: NonNegativeFloat = Field(
        default=30.0, description="Seconds that producers of an ended run have to close."
    )
    lease: PositiveFloat = Field(
        default=30.0, description="Seconds that an agent's lease lasts without a renewal."
    )
    change_retention_days: PositiveInt = Field(
        default=7, description="Days that an ended run's changes are kept for watches to resume."
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            msg = "TRACKSIDE_TLS_CERTIFICATE and TRACKSIDE_TLS_KEY go together"
            raise ValueError(msg)
        return self


def load_settings(**given: str) -> Settings:
    """Return the settings that the environment gives; what is given here goes before it.

    Raises:
        SettingsError: One is wrong; the message names the first and its fault in one line.
    """
    try:
        return Settings(**given)  # pyright: ignore[reportArgumentType] - parsed as from the environment
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        variable = "".join(f"{PREFIX}{str(part).upper()}: " for part in fault["loc"][:1])
        msg = f"{variable}{fault['msg'].removeprefix('Value error, ')}"
        raise SettingsError(msg) from None
