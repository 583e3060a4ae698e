"""Reads the files that wandb writes offline."""

import json
import struct
import time
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as proto

BLOCK = 32_768  # bytes
HEADER = struct.Struct("<4sHB")  # of the file: name, magic number, version; it is not checked
CHUNK = struct.Struct("<IHB")  # checksum, length, kind: a whole record (1), or its first part, middle or last


def read_messages(path: Path) -> list:
    """Every message of the .wandb file of a finished run; wandb's own process may still be writing it."""
    for _ in range(600):
        messages = parse_messages(path.read_bytes())
        if any(message.HasField("exit") for message in messages):
            return messages
        time.sleep(0.05)
    raise AssertionError(f"{path} has no exit code")


def parse_messages(content: bytes) -> list:
    """The messages of a .wandb file, which is a log of protobuf messages in LevelDB's format."""
    messages, parts, offset = [], b"", HEADER.size
    while offset + CHUNK.size <= len(content):
        if BLOCK - offset % BLOCK < CHUNK.size:  # the rest of a block that is too small for a chunk
            offset += BLOCK - offset % BLOCK
            continue
        _, length, kind = CHUNK.unpack_from(content, offset)
        parts += content[offset + CHUNK.size : offset + CHUNK.size + length]
        offset += CHUNK.size + length
        if offset > len(content):  # incomplete
            break
        if kind in (1, 4):
            messages.append(proto.Record.FromString(parts))  # pyright: ignore[reportAttributeAccessIssue]
            parts = b""
    return messages


def to_values(items) -> dict:
    """The name and value of each item; nested names are joined by dots."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def offline_files(folder: Path) -> list[Path]:
    """The .wandb files of all runs below a folder, in the order in which they were started."""
    return sorted(folder.rglob("run-*.wandb"))


def history(path: Path, axis: str = "val/top1") -> list[dict]:
    """The rows that have a value of this name."""
    rows = [to_values(message.history.item) for message in read_messages(path) if message.HasField("history")]
    return [row for row in rows if axis in row]


def exit_codes(path: Path) -> list[int]:
    """The exit codes in the file."""
    return [message.exit.exit_code for message in read_messages(path) if message.HasField("exit")]


def summary_updates(path: Path) -> list[dict]:
    """The updates of the summary that have a status or an accuracy."""
    updates = [to_values(message.summary.update) for message in read_messages(path) if message.HasField("summary")]
    return [update for update in updates if {"status", "top1"} & update.keys()]
