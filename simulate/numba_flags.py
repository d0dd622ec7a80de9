"""How inner loops are compiled with numba, where its defaults would leave speed on the table.

None takes liberties with arithmetic (`fastmath`). What a compiler contracts, it contracts in the loop over vectors and
not in the one over the cells that are left, and only on processors that can: the last bit of a cell would depend on
where its row begins and on the machine.
"""

from __future__ import annotations

from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager


class SeparateArrays(CompilerBase):
    """For arrays that never share memory: to find that out for every row took longer than the row itself."""

    def define_pipelines(self) -> list[PassManager]:
        """Return numba's usual passes."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
