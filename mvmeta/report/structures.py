"""Covariance structures in words and as formulas of G, by the codes that `Random` takes."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from mvmeta.report.mathml import above, below, both, digits, fraction, name, row, sign, word


@dataclass(frozen=True)
class Structure:
    """What a structure says of the effects of one group.

    Attributes
    ----------
    words : str
        Ends the sentence "their effects ...".
    entry : Markup or None
        Right side of the formula of an entry of G; None where a formula says less than words.
    """

    words: str
    entry: Markup | None = None


K, L = name("k"), name("l")
KL = row(K, sign("⁢"), L)
TAU2 = above(name("τ"), digits("2"))
RHO = name("ρ")
D = below(name("d"), KL)
MINUS = sign("−")
SAME = row(sign("["), K, sign("="), L, sign("]"))
TWO_TAUS = row(below(name("τ"), K), below(name("τ"), L))
LAG = row(sign("|"), K, MINUS, L, sign("|"))
GAP = row(sign("|"), below(name("t"), K), MINUS, below(name("t"), L), sign("|"))
C = below(name("C"), KL)


def _exp(*inside: str) -> Markup:
    return row(name("exp"), sign("("), *inside, sign(")"))


STRUCTURES: dict[str, Structure] = {
    "ID": Structure("are independent and have one variance", row(TAU2, SAME)),
    "DIAG": Structure(
        "are independent, each with a variance of its own",
        row(both(name("τ"), K, digits("2")), SAME),
    ),
    "CS": Structure(
        "have one variance and one correlation",
        row(
            TAU2,
            sign("("),
            RHO,
            sign("+"),
            sign("("),
            digits("1"),
            MINUS,
            RHO,
            sign(")"),
            SAME,
            sign(")"),
        ),
    ),
    "HCS": Structure(
        "have variances of their own and one correlation",
        row(
            TWO_TAUS,
            sign("("),
            RHO,
            sign("+"),
            sign("("),
            digits("1"),
            MINUS,
            RHO,
            sign(")"),
            SAME,
            sign(")"),
        ),
    ),
    "UN": Structure(
        "have variances of their own and a correlation for each pair (unstructured)",
        row(below(RHO, KL), TWO_TAUS),
    ),
    "FA1": Structure(
        "share one factor, with loadings of their own, and have specific variances",
        row(below(name("λ"), K), below(name("λ"), L), sign("+"), below(name("ψ"), K), SAME),
    ),
    "PROP": Structure("have one variance and known correlations", row(TAU2, below(name("R"), KL))),
    "AR": Structure(
        "have one variance, and a correlation that falls with the number of steps between them",
        row(TAU2, above(RHO, LAG)),
    ),
    "HAR": Structure(
        "have variances of their own, and a correlation that falls with the number of steps "
        "between them",
        row(TWO_TAUS, above(RHO, LAG)),
    ),
    "CAR": Structure(
        "have one variance, and a correlation that falls with the time between them",
        row(TAU2, above(RHO, GAP)),
    ),
    "TOEP": Structure(
        "have one variance, and a correlation for each number of steps between them",
        row(TAU2, below(RHO, LAG)),
    ),
    "HTOEP": Structure(
        "have variances of their own, and a correlation for each number of steps between them",
        row(TWO_TAUS, below(RHO, LAG)),
    ),
    "SPEXP": Structure(
        "have one variance, and a correlation that falls exponentially with distance",
        row(TAU2, _exp(MINUS, D, sign("/"), RHO)),
    ),
    "SPGAU": Structure(
        "have one variance, and a correlation that falls with distance as a Gaussian curve",
        row(TAU2, _exp(MINUS, above(D, digits("2")), sign("/"), above(RHO, digits("2")))),
    ),
    "SPRAT": Structure(
        "have one variance, and a correlation that falls with distance as a rational quadratic",
        fraction(
            TAU2,
            row(digits("1"), sign("+"), above(D, digits("2")), sign("/"), above(RHO, digits("2"))),
        ),
    ),
    "SPLIN": Structure(
        "have one variance, and a correlation that falls linearly with distance, to zero",
        row(
            TAU2,
            name("max"),
            sign("("),
            digits("0"),
            sign(","),
            digits("1"),
            MINUS,
            D,
            sign("/"),
            RHO,
            sign(")"),
        ),
    ),
    "SPSPH": Structure(
        "have one variance, and a spherical correlation that is zero beyond its range"
    ),
    "MATERN": Structure("have one variance, and a Matérn correlation that falls with distance"),
    "PHYBM": Structure(
        "follow Brownian motion along the tree, which says how they correlate", row(TAU2, C)
    ),
    "PHYPL": Structure(
        "follow the tree in part (Pagel's λ) and are independent for the rest",
        row(
            TAU2,
            sign("("),
            name("λ"),
            C,
            sign("+"),
            sign("("),
            digits("1"),
            MINUS,
            name("λ"),
            sign(")"),
            below(name("C"), row(K, sign("⁢"), K)),
            SAME,
            sign(")"),
        ),
    ),
    "PHYOU": Structure(
        "follow an Ornstein-Uhlenbeck process along the tree, whose pull α lets it be forgotten",
        row(
            TAU2,
            _exp(MINUS, digits("2"), name("α"), sign("("), digits("1"), MINUS, C, sign(")")),
        ),
    ),
    "GEN": Structure(
        "are an intercept and slopes with an unstructured covariance", row(below(RHO, KL), TWO_TAUS)
    ),
    "GDIAG": Structure(
        "are an intercept and slopes that are independent",
        row(both(name("τ"), K, digits("2")), SAME),
    ),
}

IVERSON = row(SAME, word(" is 1 where "), K, sign("="), L, word(", else 0"))
"""What the brackets in some of the entries mean."""
