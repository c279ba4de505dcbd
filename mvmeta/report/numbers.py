"""Numbers as text."""

import math


def number(value: float, digits: int = 4) -> str:
    """A number with few digits and a proper minus sign; "–" where there is none."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞".rjust(1 + (value < 0), "−")
    fixed = value == 0 or 1e-3 <= abs(value) < 1e6
    text = f"{value:.{digits}f}" if fixed else f"{value:.{digits}g}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def short(value: float) -> str:
    """A number for prose: three digits that count."""
    if not math.isfinite(value):
        return number(value)
    return f"{value:.3g}".replace("-", "−")


def percent(share: float) -> str:
    """A fraction as a percentage."""
    return f"{100 * share:.0f}%" if math.isfinite(share) else "–"


def pvalue(p: float) -> str:
    """A p-value, with the sign that goes before it in prose: "= 0.031", "< 0.0001"."""
    if not math.isfinite(p):
        return "is not available"
    return "<\N{NO-BREAK SPACE}0.0001" if p < 1e-4 else f"=\N{NO-BREAK SPACE}{p:.2g}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: list[str], most: int = 12) -> str:
    """Names with commas and a last "and"; of very many the first ones."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def level_of(alpha: float) -> str:
    """The coverage of an interval: "95%"."""
    return f"{100 * (1 - alpha):g}%"
