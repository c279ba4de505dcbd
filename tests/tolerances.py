"""Every tolerance of the tests of the core, named once; all of them are relative."""

ALGEBRA = 1e-12
"""Two ways to write one formula, on well-conditioned matrices of a few dozen rows."""

BACKEND = 1e-9
"""One statistic from two backends, relative to the largest entry of the array it is part of."""

DOMINANT = 1e-7
"""As `BACKEND` where one G is 1e4 times V and the backend holds M: V is in it with 12 digits,
and the statistics are made of squares of what V alone determines."""

DERIVATIVE = 1e-6
"""A closed form against differences of the function it is the derivative of."""

OBJECTIVE = 1e-10
"""A log-likelihood at given components against its textbook formula."""

OPTIMUM = 1e-6
"""Components at a maximum that two different routes lead to."""
