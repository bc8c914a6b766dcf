"""Reports the training of Hugging Face transformers by their `Trainer`.

Example:
    ```python
    from trackside.integrations.transformers import TracksideCallback

    with trackside.start_run("finetune"):
        Trainer(model, arguments, train_dataset=rows, callbacks=[TracksideCallback()]).train()
    ```
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

if TYPE_CHECKING:
    from trackside.session.scopes import Scope

_transformers: Any = import_module("transformers")


class TracksideCallback(_transformers.TrainerCallback):  # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """Logs what is measured, sets the arguments as parameters, and counts the steps.

    When the training ends, its best checkpoint is published, else its last. Of several processes
    the first reports.
    """

    def __init__(self, run: Run | None = None, *, scope: str = "step") -> None:
        """Report to this run, else to the current one."""
        super().__init__()
        self._run = run
        self._scope_name = scope
        self._scope: Scope | None = None
        self._checkpoint: Path | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ANN401 - of transformers
        """Set the parameters and begin to count, where a resumed training goes on."""
        del control, more
        if not state.is_world_process_zero:
            return
        run = run_or_current(self._run)
        said = args.to_dict().items()  # its tokens are hidden
        run.set_parameters({key: each for key, each in said if each not in (None, "", [], {})})
        self._scope = run.scope(self._scope_name, total=state.max_steps, unit="steps")
        self._scope.update(completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ANN401 - of transformers
        """Count a step."""
        del control, more
        if self._scope is not None:
            epoch = f"epoch {state.epoch or 0:.2f} of {args.num_train_epochs:g}"
            self._scope.update(completed=state.global_step, message=epoch)

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ANN401 - of transformers
        """Log what was measured."""
        del args, control
        if state.is_world_process_zero:
            run_or_current(self._run).log(numbers_of(more.get("logs")), step=state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ANN401 - of transformers
        """Note which checkpoint is the latest."""
        del control, more
        self._checkpoint = Path(args.output_dir, f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ANN401 - of transformers
        """End the count, which training that was stopped early leaves below its total."""
        del control, more
        scope, self._scope = self._scope, None
        if scope is None:
            return
        scope.end()
        run = run_or_current(self._run)
        best = state.best_model_checkpoint
        checkpoint = Path(best) if best else self._checkpoint
        if checkpoint is not None and checkpoint.is_dir():
            words = "the best checkpoint" if best else "the last checkpoint"
            run.output(checkpoint, kind="model", description=words)
        if state.best_metric is not None:
            run.result(best_score=state.best_metric, best_series=_series_of(args), models_trained=1)


def _series_of(args: Any) -> str:  # noqa: ANN401 - arguments of transformers
    """Return the name under which the measure that decides is logged."""
    name = str(args.metric_for_best_model or "")
    return name if not name or name.startswith("eval_") else f"eval_{name}"
