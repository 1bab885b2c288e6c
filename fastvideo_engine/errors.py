"""What a user can cause: each error is one readable sentence that says what is wrong, the value, and what to do."""


class EngineError(Exception):
    """A failure with a cure; its text is shown to the user as it is."""


class SpecError(EngineError):
    """The spec asks for something impossible or is not readable."""


class ModelError(EngineError):
    """A base model or adapter cannot be found, or is not what it claims to be."""


class DataError(EngineError):
    """A dataset, a caption file or Parquet cannot be used as asked."""


class ClipError(DataError):
    """One clip cannot be used; the others can, so this never ends a job."""


class StorageError(EngineError):
    """The disk is full, gone or not writable."""
