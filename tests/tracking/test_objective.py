"""The objective that Hydra's sweepers get from a run."""

import re
from typing import Any

import pytest
from helpers import QUICK_RUN, ROOT, printed_record
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback

RETURNED: list[Any] = []


class Remember(Callback):
    """Keeps what each run returns to Hydra."""

    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        RETURNED.append(job_return.return_value)


@pytest.mark.parametrize("sweep", [("-m",), ()])
def test_a_run_returns_its_top1_to_the_sweeper_also_when_it_is_finished(train_in_process, sweep):
    RETURNED.clear()
    callback = f"+hydra.callbacks.remember._target_={__name__}.Remember"
    assert train_in_process(*sweep, "+step=gelu", *QUICK_RUN, callback).returncode == 0
    record = printed_record(train_in_process("+step=gelu", *QUICK_RUN, callback))
    assert [record["top1"]] * 2 == RETURNED


@pytest.mark.slow
def test_the_example_of_the_docs_runs(train, tmp_path):
    (example,) = re.findall(
        r"```yaml\n(# my_configs/study/optuna.yaml.*?)```", (ROOT / "docs/wandb.md").read_text(), re.S
    )
    configs = tmp_path / "my_configs"
    (configs / "study").mkdir(parents=True)
    (configs / "study/optuna.yaml").write_text(example.partition("\n")[2])
    words = ("--config-dir", configs, "hydra/sweeper=optuna", "+study=optuna", "+step=gelu", "hydra.sweeper.n_trials=2")
    result = train(*words, "recipe.epochs=1", "recipe.warmup_epochs=0")
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.rglob("record.json"))) == 2
