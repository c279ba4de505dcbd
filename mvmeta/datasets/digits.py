"""Numbers of CSV files to the last digit, whatever the version of pandas."""

from typing import Any

ROUNDS_CORRECTLY = (3, 1)
"""Version of pandas from which `read_csv` does so unasked, and deprecates being asked."""


def exact_floats() -> dict[str, Any]:
    """Options with which `pandas.read_csv` gives the floats nearest to the decimals it reads.

    Older versions are one or two bits off by default.
    """
    import pandas as pd

    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if version >= ROUNDS_CORRECTLY else {"float_precision": "round_trip"}
