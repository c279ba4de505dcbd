"""Every tolerance of the tests of the core, named once; all of them are relative."""

ALGEBRA = 1e-12
"""Two ways to write one formula, on well-conditioned matrices of a few dozen rows."""

BACKEND = 1e-9
"""One statistic from two backends, relative to the largest entry of the array it is part of."""

DERIVATIVE = 1e-6
"""A closed form against differences of the function it is the derivative of."""

OBJECTIVE = 1e-10
"""A log-likelihood at given components against its textbook formula."""

OPTIMUM = 1e-6
"""Components at a maximum that two different routes lead to."""
