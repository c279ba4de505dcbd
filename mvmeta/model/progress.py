"""What `fit(disp=True)` prints."""

import sys
from collections.abc import Callable

from mvmeta.optimize.newton import Iteration


def printer() -> Callable[[Iteration], None]:
    """A callback that writes one line per iteration to standard output."""

    def show(i: Iteration) -> None:
        sys.stdout.write(
            f"evaluation {i.evaluations:4d}   llf {i.loglik:.8f}   decrement {i.decrement:.2e}\n"
        )

    return show
