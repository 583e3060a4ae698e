"""Short texts for messages: one line, printable, of a bounded length."""

from collections.abc import Sequence

MAX_LETTERS = 400  # of a library's message; a compiler's has thousands


def printable(message: object) -> str:
    """The message as one line without control characters, which a file's name can bring to the terminal."""
    letters = str(message)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in letters)


def shorten(names: Sequence[str], most: int) -> str:
    """`a, b, c`; beyond `most` names the number of the others: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def describe(error: BaseException) -> str:
    """`ValueError: its message`, on one line."""
    return f"{type(error).__name__}: {squeeze(error)}"


def squeeze(message: object) -> str:
    """The non-empty lines of a message, joined into one, or its beginning."""
    line = "; ".join(line.strip() for line in str(message).splitlines() if line.strip())
    return line if len(line) <= MAX_LETTERS else f"{line[:MAX_LETTERS]}..."


def format_duration(seconds: float) -> str:
    """A time in seconds as `1 h 05 min` or `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02} min"
