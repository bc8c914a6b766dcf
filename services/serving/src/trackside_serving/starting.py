"""Why a server does not start: errors that are told in one line."""


class StartError(Exception):
    """A server cannot start as it is set up; the message is one line for people."""


class SettingsError(StartError):
    """A setting is wrong."""


class HomeError(StartError):
    """The folder `TRACKSIDE_HOME` cannot be used."""


class StoreError(StartError):
    """The store cannot be opened: it is held by another process, or cannot be reached."""


class PortTakenError(StartError):
    """The address to listen at is taken, or not one of this machine."""


class RemoteRefusedError(StartError):
    """The address to listen at is open to others, which no setting allows."""


class ServiceIncompleteError(StartError):
    """A service lacks a method that its schema has, or a method has no rule."""
