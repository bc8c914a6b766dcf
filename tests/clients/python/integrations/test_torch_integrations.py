import signal
from pathlib import Path

import pytest

from support.append_server import AppendServer, StoredRun
from support.programs import Programs
from support.reported import outputs, parameters, result, scope
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState, StateReason

pytestmark = [pytest.mark.integrations, pytest.mark.slow, pytest.mark.timeout(240)]

QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
}

LIGHTNING = """
    import logging, sys, time, warnings
    import pytorch_lightning as lightning, torch, trackside
    from pytorch_lightning.callbacks import ModelCheckpoint
    from trackside.integrations.lightning import TracksideCallback, TracksideLogger

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Line(lightning.LightningModule):
        def __init__(self, rate=0.1, layers=(3, 1)):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(*layers)

        def training_step(self, batch, index):
            loss = (self.layer(batch[0]) ** 2).mean()
            self.log("loss", loss)
            return loss

        def test_step(self, batch, index):
            self.log("test_loss", (self.layer(batch[0]) ** 2).mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.hparams.rate)

    rows = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(8, 3)), 2)

    def trainer(epochs, *more, **named):
        return lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=TracksideLogger(), log_every_n_steps=2,
            callbacks=[TracksideCallback(), *more], enable_progress_bar=False,
            enable_model_summary=False, **named)
"""

TRANSFORMERS = """
    import sys, torch, trackside, transformers
    from trackside.integrations.transformers import TracksideCallback

    model = transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8))
    rows = [{"input_ids": torch.arange(4), "labels": number % 2} for number in range(8)]

    def arguments(**named):
        return transformers.TrainingArguments(
            "saved", use_cpu=True, disable_tqdm=True, report_to=[], num_train_epochs=2,
            per_device_train_batch_size=2, logging_steps=2, **named)
"""


def report_of(programs: Programs, server: AppendServer, source: str) -> StoredRun:
    ended = programs.run(source, **QUIET)
    assert ended.code == 0, ended.errors
    return server.only_run()


def test_lightning(torch_programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        torch_programs,
        append_server,
        LIGHTNING
        + """
    with trackside.start_run("train", capture=False):
        model = Line(rate=0.2)
        fitting = trainer(3, ModelCheckpoint("saved", monitor="loss", save_last=True))
        fitting.fit(model, rows)
        fitting.test(model, rows, verbose=False)
""",
    )

    assert scope(stored, "epoch") == (3, 3, True)
    assert parameters(stored) == {"rate": 0.2, "layers": [3.0, 1.0]}
    assert len(stored.values("loss")) == 6
    assert [step for block in stored.blocks if block.key == "loss" for step in block.steps] == [
        1, 3, 5, 7, 9, 11,
    ]  # fmt: skip
    assert len(stored.values("test_loss")) == 1
    found = {Path(path).name: output for path, output in outputs(stored).items()}
    assert "last.ckpt" in found
    assert sum(output.description == "the best checkpoint" for output in found.values()) == 1
    assert all(output.checksum for output in found.values())
    assert stored.states[-1] == RunState.RUN_STATE_COMPLETED


def test_of_several_lightning_processes_the_first_reports(
    torch_programs: Programs, append_server: AppendServer
) -> None:
    stored = report_of(
        torch_programs,
        append_server,
        LIGHTNING
        + """
    with trackside.start_run("train", capture=False):
        trainer(2, strategy="ddp_fork", devices=2, enable_checkpointing=False).fit(Line(), rows)
""",
    )

    assert scope(stored, "epoch") == (2, 2, True)
    assert len(stored.values("loss")) == 2  # each of both has half of the eight batches
    assert stored.producers_closed == 2  # the parent and the first; the second has said nothing
    assert stored.states[-1] == RunState.RUN_STATE_COMPLETED


def test_lightning_that_fails_ends_its_count_and_says_so(
    torch_programs: Programs, append_server: AppendServer
) -> None:
    ended = torch_programs.run(
        LIGHTNING
        + """
    class Broken(Line):
        def on_train_epoch_start(self):
            if self.current_epoch == 1:
                raise ValueError("no such luck")

    with trackside.start_run("train", capture=False):
        trainer(5, enable_checkpointing=False).fit(Broken(), rows)
""",
        **QUIET,
    )

    stored = append_server.only_run()
    assert ended.code == 1
    assert scope(stored, "epoch") == (1, 5, True)
    assert "the trainer ended with the status failed" in stored.messages
    assert stored.states[-1] == RunState.RUN_STATE_FAILED


@pytest.mark.parametrize("how", ["stop", "Ctrl-C"])
def test_lightning_that_is_ended_by_a_user_is_terminated_whatever_it_makes_of_the_interrupt(
    torch_programs: Programs, append_server: AppendServer, how: str
) -> None:
    process = torch_programs.start(
        LIGHTNING
        + """
    class Slow(Line):
        def on_train_start(self):
            print("up", flush=True)
            time.sleep(1000)

    with trackside.start_run("train", capture=False):
        trainer(5, enable_checkpointing=False).fit(Slow(), rows)
""",
        **QUIET,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    append_server.wait_for(lambda: append_server.runs and append_server.only_run().states)

    if how == "stop":
        request = ControlRequest(request_id="s1", action=RunAction.RUN_ACTION_STOP)
        append_server.control(append_server.only_run().run.run_id, request)
    else:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    (*_, last) = [r.state for r in append_server.only_run().reports if r.HasField("state")]
    assert last.state == RunState.RUN_STATE_TERMINATED
    wanted = StateReason.STATE_REASON_STOPPED if how == "stop" else None
    assert last.reason == (wanted or StateReason.STATE_REASON_INTERRUPTED)


def test_transformers(torch_programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        torch_programs,
        append_server,
        TRANSFORMERS
        + """
    with trackside.start_run("finetune", capture=False):
        training = arguments(
            learning_rate=0.01, eval_strategy="epoch", save_strategy="epoch",
            load_best_model_at_end=True, hub_token="not-to-be-seen")
        transformers.Trainer(model, training, train_dataset=rows, eval_dataset=rows[:2],
                             callbacks=[TracksideCallback()]).train()
""",
    )

    assert scope(stored, "step") == (8, 8, True)
    messages = [r.scope.message for r in stored.reports if r.HasField("scope")]
    assert messages[-1] == "epoch 2.00 of 2"
    known = parameters(stored)
    assert (known["learning_rate"], known["seed"]) == (0.01, 42)
    assert "not-to-be-seen" not in str(known)
    assert len(stored.values("loss")) == 4
    evaluated = stored.values("eval_loss")
    assert len(evaluated) == 2
    assert result(stored).best_series == "eval_loss"
    assert result(stored).best_score == pytest.approx(min(evaluated), rel=1e-6)
    ((path, output),) = outputs(stored).items()
    assert Path(path).name.startswith("checkpoint-")
    assert output.description == "the best checkpoint"
    assert stored.states[-1] == RunState.RUN_STATE_COMPLETED


def test_transformers_that_are_stopped_early_count_what_was_done(
    torch_programs: Programs, append_server: AppendServer
) -> None:
    stored = report_of(
        torch_programs,
        append_server,
        TRANSFORMERS
        + """
    class Enough(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **more):
            control.should_training_stop = state.global_step == 3

    with trackside.start_run("finetune", capture=False):
        transformers.Trainer(model, arguments(save_strategy="no"), train_dataset=rows,
                             callbacks=[TracksideCallback(), Enough()]).train()
""",
    )

    assert scope(stored, "step") == (3, 8, True)
    assert not outputs(stored)


@pytest.mark.parametrize(
    "training",
    [
        LIGHTNING + "    trainer(1, enable_checkpointing=False).fit(Line(), rows)\n",
        TRANSFORMERS
        + """
    transformers.Trainer(model, arguments(save_strategy="no"), train_dataset=rows,
                         callbacks=[TracksideCallback()]).train()
""",
    ],
    ids=["lightning", "transformers"],
)
def test_without_a_run_callbacks_neither_report_nor_break_anything(
    torch_programs: Programs, append_server: AppendServer, training: str
) -> None:
    ended = torch_programs.run(training, **QUIET)

    assert ended.code == 0, ended.errors
    assert not append_server.runs
