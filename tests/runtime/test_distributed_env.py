"""Rank and world size as torchrun or Slurm set them."""

import pytest

from modernet.runtime.distributed import DistributedEnv, distributed_env, rendezvous_address


def test_single_process_is_rank_0_of_1():
    assert distributed_env({}) == DistributedEnv(rank=0, world_size=1, local_rank=0)


def test_rank_and_world_size_come_from_torchrun():
    environ = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert distributed_env(environ) == DistributedEnv(rank=3, world_size=4, local_rank=1)


def test_rank_and_world_size_come_from_srun_but_not_from_a_batch_script_around_it():
    slurm = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8"}
    assert distributed_env(slurm) == DistributedEnv(rank=5, world_size=8, local_rank=1)
    del slurm["SLURM_STEP_NUM_TASKS"]
    assert distributed_env(slurm) == DistributedEnv()


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("node[01-04,07]", "node01"), ("gpu-3", "gpu-3"), ("a12,a13", "a12"), ("rack2-n[9,11]", "rack2-n9")],
)
def test_rendezvous_under_slurm_is_on_the_first_node(nodes, host):
    found = rendezvous_address({"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0"})
    assert found["MASTER_ADDR"] == host
    assert 20_000 <= int(found["MASTER_PORT"]) < 40_000


def test_rendezvous_keeps_a_given_address():
    given = {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}
    assert rendezvous_address(given) == given


def test_processes_of_a_node_are_counted():
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert distributed_env(torchrun) == DistributedEnv(3, 4, 1, 2)
    slurm = {
        "SLURM_PROCID": "5",
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    }
    assert distributed_env(slurm) == DistributedEnv(5, 8, 1, 4)
