"""All services built into one process: the one module that knows each of them."""

from contextlib import AsyncExitStack

from trackside_journal.records import Surroundings
from trackside_live.servicer import LiveServicer
from trackside_logs.bootstrap import LogsService
from trackside_metrics.bootstrap import MetricsService
from trackside_runs.bootstrap import RunsApplication, Trust
from trackside_serving.calls import Service
from trackside_serving.credentials import Credentials
from trackside_serving.errors import ServiceError
from trackside_serving.home import Home
from trackside_serving.places import LOGS, METRICS, RUNS, store_setting, store_url
from trackside_serving.server import Server
from trackside_serving.servers_service import Installation
from trackside_serving.settings import Settings
from trackside_serving.starting import StoreError


class Assembly:
    """RunsService, LogsService, MetricsService and LiveService, and the server they share.

    To be made and used in one running loop.

    Attributes:
        home: The folder of the installation.
        server: The one server.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the home and the stores.

        Raises:
            StartError: Why that cannot be, in one line.
        """
        self.home = Home(settings.home)
        self._settings = settings
        self._leaving = AsyncExitStack()
        self._credentials = Credentials.of_home(self.home, "standalone")
        try:
            self._build()
        except ServiceError as error:
            raise _store_error(error, settings) from error

    def _build(self) -> None:
        settings, credentials = self._settings, self._credentials
        self._runs = RunsApplication(
            database_url=store_url(settings, RUNS),
            redis_url=settings.redis_url or None,
            settings=settings,
            trust=Trust(credentials.server_id, self.home.signer(), credentials.verifier),
            address=lambda: self.server.address,
        )
        credentials.verifier.revocations.on_news(credentials.renew_local_token)
        self._logs = LogsService(self._surroundings_of(LOGS))
        self._metrics = MetricsService(self._surroundings_of(METRICS), self._runs.report_figures)
        self.server = Server(
            self._mounted(),
            verifier=credentials.verifier,
            installation=Installation(credentials.server_id, self._runs.store),
            settings=settings,
        )

    def _surroundings_of(self, service: str) -> Surroundings:
        return Surroundings(
            database_url=store_url(self._settings, service),
            server_id=self._credentials.server_id,
            redis_url=self._settings.redis_url or None,
            watch_directory=self._runs.watch_directory,
            confirm_deletion=self._runs.confirm_deletion,
            revocations=self._credentials.verifier.revocations,
        )

    def _mounted(self) -> list[Service]:
        mounted: list[Service] = [*self._runs.services, self._logs, self._metrics]
        handlers = {name: call for service in mounted for name, call in service.handlers.items()}
        live = LiveServicer(
            run=handlers["WatchRun"],
            logs=handlers["WatchLogs"],
            metrics=handlers["WatchMetrics"],
        )
        return [*mounted, live]

    async def start(self) -> None:
        """Begin to work and listen.

        Raises:
            StartError: Why it does not, in one line.
        """
        try:
            for part in (self._runs, self._logs, self._metrics):
                self._leaving.push_async_callback(part.close)
                await part.start()
        except ServiceError as error:
            raise _store_error(error, self._settings) from error
        await self.server.start()
        self._leaving.push_async_callback(self.server.drain_and_stop)

    async def close(self) -> None:
        """Let the open calls end, then end what works behind them."""
        await self._leaving.aclose()


def _store_error(error: ServiceError, settings: Settings) -> StoreError:
    return StoreError(f"{error.message} {store_setting(settings)} says where the store is.")
