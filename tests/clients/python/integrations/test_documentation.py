from collections.abc import Iterator
from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.pages import examples_of
from support.programs import Programs
from support.whole_installation import WholeInstallation
from trackside_agent import detached
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(240)]

ON_TORCH = {"PyTorch Lightning", "Hugging Face transformers"}
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "jax",
    "OMP_NUM_THREADS": "1",
}


def examples() -> dict[str, str]:
    page = examples_of("docs/sdk.md")
    first = next(n for n, example in enumerate(page) if example.heading == "scikit-learn")
    return dict(page[first:])


def assert_completes(programs: Programs, server: AppendServer, heading: str) -> None:
    ended = programs.run(examples()[heading], **QUIET)

    assert ended.code == 0, ended.errors
    stored = server.only_run()
    assert stored.states[-1] == RunState.RUN_STATE_COMPLETED
    assert stored.blocks or heading == "tqdm"
    assert any(report.HasField("scope") for report in stored.reports)


@pytest.mark.parametrize("heading", sorted(examples().keys() - ON_TORCH))
def test_each_example_of_a_library_runs_and_its_run_has_completed(
    programs: Programs, append_server: AppendServer, heading: str
) -> None:
    assert_completes(programs, append_server, heading)


@pytest.mark.slow
@pytest.mark.parametrize("heading", sorted(ON_TORCH))
def test_so_does_each_that_stands_on_torch(
    torch_programs: Programs, append_server: AppendServer, heading: str
) -> None:
    assert_completes(torch_programs, append_server, heading)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    yield installation
    installation.stop()
    detached.stop(installation.home)


def test_the_script_of_the_readme_is_described_with_folds_score_output_and_model(
    programs: Programs, installation: WholeInstallation
) -> None:
    (script,) = examples_of("README.md")
    newcomer = Programs(installation.home, installation.address, "", programs.interpreter)

    ended = newcomer.run(script.code, **QUIET)
    described = installation.command("describe", "@latest").out
    whole = installation.command("describe", "@latest", "-o", "json").out

    assert (ended.code, ended.errors) == (0, "")
    for shown in ("digits", "COMPLETED", "100%", "5 models trained", "test_score", "model.joblib"):
        assert shown in described
    assert ended.output.strip() in described
    assert "LogisticRegression" in described
    assert '"fold"' in whole
