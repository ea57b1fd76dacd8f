"""What has come of a run of a pipeline?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import UnknownName, nearest
from ..events import RunStatus
from .memory import MemoryUse


class PipelineResult:
    """The objects that a run was for, by name: those that were made and that no node took.

    `ran` and `reused` are the nodes that were called and those whose outputs came from the cache,
    `memory` what profiled nodes took. With `provenance=`, `run_id` names the run there; its status
    is "completed", or "paused" after a signal.

    Example:
        >>> result = pipeline.run()
        >>> result["model"]
    """

    status: RunStatus = "completed"
    run_id: str | None = None
    reused: Sequence[str] = ()
    memory: Mapping[str, MemoryUse] = MappingProxyType({})

    def __init__(self, outputs: Mapping[str, Any], ran: Sequence[str]) -> None:
        self.outputs = outputs
        self.ran = ran

    def __getitem__(self, name: str) -> Any:
        """
        Raises:
            UnknownName: the run was for no object of this name.
        """
        if name in self.outputs:
            return self.outputs[name]
        raise UnknownName(
            f"the run was not for {name!r}{nearest(name, self.outputs)}; what other nodes take is "
            "released, unless the pipeline has a persistent cache"
        )

    def __repr__(self) -> str:
        return f"<run of a pipeline, {self.status}: {', '.join(self.outputs) or 'no outputs'}>"
