"""Processes that join one group after another, as in a sweep."""

import pytest
from ranks import TORCHRUN, end, start, start_ranks

# Rank 0 leaves each group two seconds after rank 1, which waits for it in the next one.
SCRIPT = """
import os
import time
import torch
from torch import distributed
from modernet.errors import Interrupted, UserError
from modernet.runtime import collectives
from modernet.runtime.distributed import distributed_env

env, destroy = distributed_env(), distributed.destroy_process_group

def destroy_late():
    time.sleep(0 if env.rank else 2)
    destroy()

distributed.destroy_process_group = destroy_late
for run in range(3):
    try:
        with collectives.process_group(env, torch.device("cpu")):
            os.write(1, f"{run} {collectives.all_gather(env.rank)}\\n".encode())  # in one piece
            if run == 0:
                raise UserError("a mistake that all ranks meet")
            if run == 1:
                raise Interrupted("a signal stops all ranks")
    except (UserError, Interrupted):
        pass
"""


@pytest.mark.parametrize("launcher", ["none", "torchrun"])
def test_a_rank_that_is_ahead_waits_for_the_others_in_the_next_group(tmp_path, launcher):
    script = tmp_path / "groups.py"
    script.write_text(SCRIPT)
    processes = [start([*TORCHRUN, script])] if launcher == "torchrun" else start_ranks([], script=script)
    for status, out, err in list(map(end, processes)):
        assert status == 0, err
        assert sorted(out.splitlines()) == sorted([f"{run} [0, 1]" for run in range(3)] * (2 // len(processes)))
