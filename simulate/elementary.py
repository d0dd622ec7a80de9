"""The exponential function with the same bits everywhere.

C libraries and numpy choose their own by what the processor can do, and these differ by the last bits.
"""

from __future__ import annotations

import math

_LN2 = math.log(2)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # 32 bits of ln 2, and what is left
_COEFFICIENTS = tuple(1 / math.factorial(n) for n in range(13, -1, -1))


def exp(x: float) -> float:
    """Raise e to the power of `x`, to about one unit in the last place, from sums and products alone.

    2^n times the Taylor series of the rest, which is at most ln(2) / 2 (Cody and Waite 1980). The interpreter makes
    each operation by itself, so none is contracted.

    Args:
        x: at most 700.
    """
    n = math.floor(x / _LN2 + 0.5)
    rest = (x - n * _LN2_HIGH) - n * _LN2_LOW
    total = 0.0
    for coefficient in _COEFFICIENTS:
        total = total * rest + coefficient
    return math.ldexp(total, n)
