"""Hostile files, values and records: nothing of them is executed, nothing leaves the machine, no key is written."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from trials import closed_network, hostile_files, hostile_records
from trials.commands import REPOSITORY
from trials.hostile import MARKER
from trials.trial import Trial

# Name -> the attack, which works in an empty folder and says why the product did not hold.
ATTACKS: dict[str, Callable[[Path], str]] = {
    "a pickle as checkpoint": hostile_files.pickle_as_checkpoint,
    "a pickle as weights of a run": hostile_files.pickle_as_weights,
    "a pickle as pretrained file": hostile_files.pickle_as_pretrained_file,
    "a pickle in an .npz file": hostile_files.pickle_in_npz,
    "a pickle in shards": hostile_files.pickle_in_shards,
    "a command in data.root": hostile_files.commands_as_data_root,
    "a command in a record": hostile_files.commands_in_a_record,
    "shell characters in paths": hostile_records.shell_characters_in_paths,
    "Python in yaml": hostile_files.python_in_yaml,
    "archives with paths outside": hostile_files.archives_with_paths_outside,
    "hostile texts in records": hostile_records.texts_in_records,
    "hostile names of classes": hostile_records.names_of_classes,
    "no network, no key of wandb in a file": closed_network.no_network,
}


def attack(name: str, folder: Path) -> str:
    """Try one in an empty folder, in which it may work; why the product did not hold, or empty."""
    with chdir(folder):
        problem = ATTACKS[name](folder)
    if any(folder.rglob(MARKER)) or any(path.name == MARKER for path in REPOSITORY.iterdir()):
        return f"a command was executed; {problem}"
    return problem


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Each attack once."""
    for name in ATTACKS:
        with TemporaryDirectory() as folder:
            try:
                problem = attack(name, Path(folder).resolve())
            except Exception as error:
                problem = f"raised {type(error).__name__}: {error}"
            yield Trial(name, not problem, problem)
