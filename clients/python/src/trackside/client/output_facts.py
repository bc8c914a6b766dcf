"""What is known of an output without reading it."""

from datetime import UTC, datetime

from trackside_protos.runs.v1.output_pb2 import Output, OutputKind


class OutputFacts:
    """What is known of an output without reading it."""

    def __init__(self, message: Output) -> None:
        self._message = message

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    @property
    def message(self) -> Output:
        """All that the server says of it."""
        return self._message

    @property
    def path(self) -> str:
        """Its path, as it was published."""
        return self._message.path

    @property
    def size_bytes(self) -> int:
        """Its size; of a folder, that of all its files."""
        return self._message.size_bytes

    @property
    def compressed_bytes(self) -> int | None:
        """Its size when compressed, when known."""
        known = self._message.HasField("compressed_bytes")
        return self._message.compressed_bytes if known else None

    @property
    def checksum(self) -> str:
        """The checksum of its contents, for example `sha256:…`; may be empty."""
        return self._message.checksum

    @property
    def exists(self) -> bool:
        """Whether it was there when last looked for."""
        return self._message.exists

    @property
    def kind(self) -> "OutputKind.ValueType":
        """What it is for."""
        return self._message.kind

    @property
    def media_type(self) -> str:
        """Its media type, for example `text/html`; may be empty."""
        return self._message.media_type

    @property
    def description(self) -> str:
        """One line for people; may be empty."""
        return self._message.description

    @property
    def task_id(self) -> str:
        """The task that published it; may be empty."""
        return self._message.task_id

    @property
    def location(self) -> str:
        """Where it is, on the machine of the run; may be empty."""
        return self._message.location

    @property
    def create_time(self) -> datetime:
        """When it was published."""
        return self._message.create_time.ToDatetime(UTC)
