"""Errors by kind. Each says what was found and what was expected; `hint` says what to do, where that is known."""


class Error(Exception):
    """Any error of gxn."""

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.hint = hint

    def __str__(self):
        message = super().__str__()
        return f"{message}\nhint: {self.hint}" if self.hint else message


class NotFoundError(Error, LookupError):
    """A file, an item or a name does not exist."""


class InvalidError(Error, ValueError):
    """Input is not of the form that it must have."""


class DamagedError(Error):
    """A file that gxn wrote is not what was written."""


class ConflictError(Error):
    """Two things that must agree do not, such as an index and a model; or a name is taken."""


class UnsupportedError(Error):
    """Valid, but nothing that this program or this model can do."""


class BusyError(Error):
    """Someone else is using it; trying again later may work."""


class SystemRefusedError(Error, OSError):
    """The system refused to read or write."""

    def __init__(self, message, hint=None):
        OSError.__init__(self, message)
        self.hint = hint
