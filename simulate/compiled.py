"""How inner loops are compiled with numba, where its defaults would leave speed on the table."""

from __future__ import annotations

from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager

FAST = {"contract", "nsz", "arcp"}
"""Liberties with arithmetic; NaN and infinity keep their meaning, unlike with `fastmath=True`."""


class SeparateArrays(CompilerBase):
    """For arrays that never share memory: to find that out for every row took longer than the row itself."""

    def define_pipelines(self) -> list[PassManager]:
        """Return numba's usual passes."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
