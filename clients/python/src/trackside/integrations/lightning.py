"""Reports the training of PyTorch Lightning models, of `lightning` and of `pytorch_lightning`.

Example:
    ```python
    from trackside.integrations.lightning import TracksideCallback, TracksideLogger

    with trackside.start_run("train"):
        trainer = Trainer(logger=TracksideLogger(), callbacks=[TracksideCallback()])
        trainer.fit(model, batches)
    ```
"""

from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

if TYPE_CHECKING:
    from trackside.session.scopes import Scope

_package = "lightning.pytorch" if find_spec("lightning") else "pytorch_lightning"
_lightning: Any = import_module(_package)
_loggers: Any = import_module(f"{_package}.loggers")
_rank_zero_only: Any = import_module(f"{_package}.utilities").rank_zero_only


class TracksideLogger(_loggers.Logger):  # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """Logs hyperparameters as parameters and metrics with their step; of several ranks the first.

    It ends no run: whoever began it does, and one may be fitted, tested and fitted again.
    """

    def __init__(self, run: Run | None = None) -> None:
        """Report to this run, else to the current one."""
        super().__init__()
        self._run = run

    @property
    def experiment(self) -> Run:
        """The run, for what a logger has no word for."""
        return run_or_current(self._run)

    @property
    def name(self) -> str:
        """What people call the run; checkpoints are put in a folder of this name."""
        return Path(self.experiment.name).name

    @property
    def version(self) -> str:
        """The run's id; checkpoints are put in a folder of this name."""
        return self.experiment.run_id

    @_rank_zero_only
    def log_hyperparams(
        self,
        params: Mapping[str, Any] | Namespace,
        *_more: Any,  # noqa: ANN401 - as the base class has it
        **_named: Any,  # noqa: ANN401 - as the base class has it
    ) -> None:
        """Set parameters of the run."""
        self.experiment.set_parameters(vars(params) if isinstance(params, Namespace) else params)

    @_rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a point to each of these series."""
        self.experiment.log(numbers_of(metrics), step=step)

    @_rank_zero_only
    def finalize(self, status: str) -> None:
        """Say what became of what was asked of the trainer, unless it is what was wanted."""
        if status != "success":
            self.experiment.warning(f"the trainer ended with the status {status}")


class TracksideCallback(_lightning.Callback):  # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """Counts the epochs, and publishes the checkpoints that are there when the fitting ends."""

    def __init__(self, run: Run | None = None, *, scope: str = "epoch") -> None:
        """Report to this run, else to the current one."""
        super().__init__()
        self._run = run
        self._scope_name = scope
        self._scope: Scope | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - of Lightning
        """Begin to count, where a resumed fitting goes on."""
        del pl_module
        if trainer.is_global_zero:
            total = trainer.max_epochs if (trainer.max_epochs or 0) > 0 else None
            run = run_or_current(self._run)
            self._scope = run.scope(self._scope_name, total=total, unit="epochs")
            self._scope.update(completed=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - of Lightning
        """Count an epoch."""
        del pl_module
        if self._scope is not None:
            self._scope.update(completed=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - of Lightning
        """End the count, which fitting that was stopped early leaves below its total."""
        del pl_module
        self._end_scope()
        if trainer.is_global_zero:
            self._publish(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ANN401 - of Lightning
        """End the count where it was."""
        del trainer, pl_module, exception
        self._end_scope()

    def _end_scope(self) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.end()

    def _publish(self, trainer: Any) -> None:  # noqa: ANN401 - of Lightning
        best: set[str] = set()
        found: set[str] = set()
        for saving in trainer.checkpoint_callbacks:
            best.add(str(getattr(saving, "best_model_path", "")))
            found |= {*map(str, getattr(saving, "best_k_models", ()))}
            found.add(str(getattr(saving, "last_model_path", "")))
        run = run_or_current(self._run)
        for path in sorted((found | best) - {""}):
            if Path(path).exists():
                words = "the best checkpoint" if path in best else "a checkpoint"
                run.output(path, kind="model", description=words)
