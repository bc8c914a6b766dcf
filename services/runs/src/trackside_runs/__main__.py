"""RunsService and RunnersService as a process of their own: `python -m trackside_runs`."""

import sys

from trackside_runs.bootstrap import RunsApplication, Trust
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import RUNS
from trackside_serving.starting import SettingsError


def build(surroundings: Surroundings) -> Built:
    """Return the service, which alone makes tokens and so needs the private key.

    Raises:
        SettingsError: The process was given the public key only.
    """
    credentials = surroundings.credentials
    signer = credentials.signer
    if signer is None:
        msg = "TRACKSIDE_VERIFYING_KEY is not enough for RunsService: it needs TRACKSIDE_HOME"
        raise SettingsError(msg)
    application = RunsApplication(
        database_url=surroundings.database_url,
        redis_url=surroundings.redis_url,
        settings=surroundings.settings,
        trust=Trust(credentials.server_id, signer, credentials.verifier),
        address=lambda: surroundings.addresses[RUNS],
    )
    credentials.verifier.revocations.on_news(credentials.renew_local_token)
    return Built(application, application.services, application.store)


if __name__ == "__main__":
    sys.exit(run_apart(RUNS, build))
