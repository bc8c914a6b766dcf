"""What a server knows tokens by, and what it shows to the others of its installation."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from trackside_serving.home import Home, verifier_from
from trackside_serving.identity import Caller, Role
from trackside_serving.remote import SERVICE_TOKEN_LIFETIME, Token
from trackside_serving.settings import Settings
from trackside_serving.starting import SettingsError
from trackside_serving.tokens import TokenSigner, TokenVerifier

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The identity of the installation, and the keys and tokens of one of its servers.

    Attributes:
        server_id: The identity of the installation.
        verifier: Checks the tokens of callers.
        service_token: Returns the token to call the other services with.
        signer: Makes tokens; None in a server that has the public key only.
        renew_local_token: Replaces the token of the home's user if it is good no more.
    """

    server_id: str
    verifier: TokenVerifier
    service_token: Token
    signer: TokenSigner | None
    renew_local_token: Callable[[], None]

    @classmethod
    def of_home(cls, home: Home, name: str) -> Self:
        """Return those of a server that has the home; `name` is what its own tokens call it."""
        signer, verifier = home.signer(), home.verifier()
        caller = Caller(name, Role.SERVICE)
        return cls(
            server_id=home.server_id,
            verifier=verifier,
            service_token=lambda: signer.mint(caller, SERVICE_TOKEN_LIFETIME),
            signer=signer,
            renew_local_token=lambda: _renew(home, verifier),
        )

    @classmethod
    def of_settings(cls, settings: Settings, name: str) -> Self:
        """Return those that the settings give; without a public key file, those of the home.

        Raises:
            HomeError: The home or the key file cannot be used.
            SettingsError: There is a public key file, but not what goes with it.
        """
        if settings.verifying_key is None:
            return cls.of_home(Home(settings.home), name)
        token = settings.service_token.get_secret_value()
        if not settings.server_id or not token:
            msg = "TRACKSIDE_VERIFYING_KEY needs TRACKSIDE_SERVER_ID and TRACKSIDE_SERVICE_TOKEN"
            raise SettingsError(msg)
        return cls(
            server_id=settings.server_id,
            verifier=verifier_from(settings.verifying_key),
            service_token=lambda: token,
            signer=None,
            renew_local_token=lambda: None,
        )


def _renew(home: Home, verifier: TokenVerifier) -> None:
    try:
        home.renew_token(verifier)
    except OSError:
        # The next start tries again; with the home at hand, `trackside token create` makes others.
        _logger.exception("the local user's token was revoked and cannot be replaced")
