"""What an agent is told by its environment."""

from dataclasses import dataclass
from typing import Self

from trackside.location import Location, discover
from trackside_agent.agent_folder import AgentFolder


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is and where the agent keeps its files.

    From `TRACKSIDE_SERVER`, `TRACKSIDE_TOKEN` and `TRACKSIDE_HOME`, as every client. Runners have
    settings of their own, such as `TRACKSIDE_LOCAL_SLOTS`.
    """

    location: Location

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings of this process."""
        return cls(discover())

    @property
    def folder(self) -> AgentFolder:
        """The agent's folder."""
        return AgentFolder(self.location.home)
