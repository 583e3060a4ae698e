"""Print the runs of a sweep, which of them are done, and how long the others will take. It trains nothing.

python scripts/plan.py '+step=glob(*)' seed=0,1,2 protocol=imagenet [hydra/launcher=slurm]     # as for `train.py -m`

Times follow from the images/s of finished records, those below the folder of runs and of --records FOLDER. A network
that was not measured goes by its GMACs, at the rate of others on images of that size, or else at an assumed --speed.
"""

import argparse
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from tabulate import tabulate

from modernet.sweeps import estimate as plan
from modernet.sweeps import sweep
from modernet.errors import UserError, one_line
from modernet.config.roadmap import CONFIGS, roadmap


def clock(seconds: float) -> str:
    """1 h 05 min, or 3 min 20 s."""
    if seconds >= 3600:
        return f"{seconds // 3600:,.0f} h {seconds % 3600 // 60:02.0f} min"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def place(job: sweep.Job) -> int:
    """In the roadmap."""
    return list(roadmap(job.run.size)).index(job.run.step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what `train.py -m` would be given")
    parser.add_argument("-m", "--multirun", action="store_true", help="may be there, as for train.py; changes nothing")
    parser.add_argument("--records", type=Path, action="append", default=[], help="another folder of records to go by")
    parser.add_argument("--device", help="whose records to go by, as they name it; the most frequent unless told")
    parser.add_argument(
        "--speed", type=float, help=f"GMACs/s of a device not measured; {plan.ASSUMED:,.0f} unless told"
    )
    arguments = parser.parse_args()
    if arguments.speed is not None and not arguments.speed > 0:
        raise UserError(f"--speed must be a number of GMACs/s above 0, got {arguments.speed}")
    for folder in arguments.records:
        if not folder.is_dir():
            raise UserError(f"--records must be a folder of records, and there is no folder {folder}")

    launching = [word for word in arguments.overrides if word.startswith("hydra")]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        jobs = sweep.expand([word for word in arguments.overrides if word not in launching])
        config = hydra.compose("config", launching, return_hydra_config=True)
        workers = plan.workers(config.hydra.launcher)
    folders = {job.folder.parents[1] for job in jobs} | set(arguments.records)
    speeds = plan.Speeds(plan.records_below(folders), arguments.device, workers.threads, arguments.speed)
    found = [plan.estimate(job, speeds, workers.devices) for job in sorted(jobs, key=place)]

    rows = [[one.job.run.title, one.status, clock(one.seconds) if one.source else "", one.source] for one in found]
    print(tabulate(rows, ["run", "status", "time", "from"], "github", colalign=("left", "left", "right", "left")))
    left = [one for one in found if one.source]
    if not left:
        print(f"\n{len(found)} runs, and nothing left to do.")
        return
    at_once = min(workers.runs, len(left))
    total = sum(one.seconds for one in left)
    wall = max(total / at_once, *(one.seconds for one in left))
    print(
        f"\n{len(found)} runs, {len(left)} of them to train: {clock(wall)} with {at_once} at once on {workers.devices} "
        f"device{'s' * (workers.devices > 1)} each, {total * workers.devices / 3600:,.1f} device-hours."
    )
    measured = sum(one.source == plan.MEASURED for one in left)
    on = f", on {speeds.device}" if measured else ""
    print(f"{measured} of these times are measured{on}; {len(left) - measured} follow from GMACs.")


if __name__ == "__main__":
    with one_line():
        main()
