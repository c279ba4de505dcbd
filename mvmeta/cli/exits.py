"""Exit codes: what scripts can tell from how the command ended."""

DONE = 0
"""Perhaps with warnings."""

FAILED = 1
"""The data, the specification or a file do not allow what was asked for."""

USAGE = 2
"""Wrong arguments; argparse's own code."""

NOT_CONVERGED = 3
"""No maximum of the likelihood was reached: what was printed is not to be relied on."""

INTERRUPTED, PIPE_CLOSED = 130, 141
"""What shells report for a program ended by SIGINT and SIGPIPE: 128 + the signal."""
