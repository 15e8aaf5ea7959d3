"""The exception tree. A message says what was found, what was expected, and the remedy, in one line."""


class GenolmError(Exception):
    """Root of every error that genolm raises on purpose.

    >>> str(DataError(found="an empty file", expected="FASTA", remedy="check the download"))
    'found an empty file; expected FASTA; check the download'
    """

    exit_code = 1

    def __init__(self, *, found: str, expected: str, remedy: str) -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(f"found {found}; expected {expected}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the three parts, so that the error crosses process borders."""
        return (_rebuild, (type(self), self.found, self.expected, self.remedy))


def _rebuild(cls: type[GenolmError], found: str, expected: str, remedy: str) -> GenolmError:
    return cls(found=found, expected=expected, remedy=remedy)


class SettingsError(GenolmError, ValueError):
    """A recipe, an option or an argument is not usable."""

    exit_code = 2


class DataError(GenolmError, ValueError):
    """An input file or sequence is not what it should be."""

    exit_code = 3


class RunFolderError(GenolmError):
    """An output folder belongs to another run, or a model folder is not complete."""

    exit_code = 4


class TrainingError(GenolmError, RuntimeError):
    """Training cannot go on: the loss is not finite, or no checkpoint can be used."""

    exit_code = 5


class DownloadError(GenolmError, OSError):
    """A server, or the way to it, failed; the same command goes on where it stopped."""

    exit_code = 6
    status: int | None = None
    """HTTP status of an answer that is no file, such as 404"""


class PublishError(GenolmError):
    """A run cannot be published as it is: something is not recorded, broken, or would give a secret away."""

    exit_code = 7


class StorageError(GenolmError, OSError):
    """The disk is full; what was saved before is whole, and the same command goes on once there is room."""

    exit_code = 74  # EX_IOERR of sysexits.h


class StoppedError(GenolmError):
    """A signal ended the run after it had saved its state; the same command goes on from there."""

    exit_code = 75  # EX_TEMPFAIL: a queue that sees it may start the command again


class ShortMemoryError(TrainingError):
    """One process of several had too little memory; the same command goes on with smaller micro-batches."""

    exit_code = 75
