"""Whether the processes that train a run together begin the same one, asked before they form a group."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from modernet.errors import ConnectionLost, ModernetError, UserError
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.text import describe, squeeze

# Facts that must be the same in all processes -> the error where they are not, in the order in which they are compared.
DIFFERENCES: dict[str, tuple[type[ModernetError], str]] = {
    "data": (
        UserError,
        "the processes see different files of the data; data.root or MODERNET_DATA must have the same on each machine",
    ),
    "run": (ConnectionLost, "the processes began different runs; rerun the same command"),
    "is_finished": (
        ConnectionLost,
        "only some of the processes find the record of the run; runs= must be a folder that all machines share. If it "
        "is, another command has just finished the run: rerun the same command",
    ),
}


@contextmanager
def agreement(env: DistributedEnv) -> Iterator[dict[str, Any]]:
    """What every process of a run does before it joins the others; it yields a dict for the facts of DIFFERENCES.

    An error of one process is raised in all, so that none waits for it: in the others as a UserError that names the
    rank. A single process asks nobody, and needs no torch.
    """
    facts: dict[str, Any] = {}
    try:
        yield facts
    except Exception as error:
        with suppress(ModernetError):  # of the exchange, which says less
            _exchange(env, {"error": str(error) if isinstance(error, ModernetError) else describe(error)})
        raise
    said = _exchange(env, facts)
    for rank, other in enumerate(said):
        if "error" in other:
            raise UserError(f"rank {rank}: {other['error']}")
    for name, (error, message) in DIFFERENCES.items():
        if any(other.get(name) != facts.get(name) for other in said):
            raise error(message)


def _exchange(env: DistributedEnv, facts: dict[str, Any]) -> list[dict[str, Any]]:
    if env.world_size == 1:
        return [facts]
    # Imports torch, which a finished run does not need.
    from modernet.runtime.collectives import exchange, is_communication_error

    try:
        return [json.loads(message) for message in exchange(env, json.dumps(facts))]
    except Exception as error:
        if not is_communication_error(error):
            raise
        reason = f"another process of the run died or did not start ({squeeze(error)})"
        raise ConnectionLost(f"{reason}; rerun the same command") from error
