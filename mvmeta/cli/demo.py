"""`mvmeta demo`: three short analyses, each with a few sentences that say what is to be seen.

What is heavy (pandas, statsmodels) is imported where it is used.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from mvmeta.cli.exits import DONE
from mvmeta.cli.prose import filled

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta.model.results.results import MetaMixedLMResults


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="three short analyses with explanations",
        description="Three short analyses, each with the command that does it and what it shows.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print the three analyses."""
    for number, part in enumerate((_toy, _schools, _species), start=1):
        part(number)
    print("Next: mvmeta datasets, mvmeta fit --help")
    return DONE


def _heading(number: int, text: str) -> None:
    title = f"{number}. {text}"
    print(f"{title}\n{'-' * len(title)}\n")


def _toy(number: int) -> None:
    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM

    toy = datasets.load("toy")
    separate, joint = (
        MetaMixedLM.from_formula("d ~ C(Category) - 1", toy, variance="Variance", groups=g).fit()
        for g in (None, "Study")
    )
    _heading(number, "A category that only one study saw (data set toy)")
    table = toy.pivot_table(index="Study", columns="Category", values="d")
    print(table.to_string(float_format="%g", na_rep=".") + "\n")
    print(filled(f"Every estimate has the sampling variance {toy['Variance'].iloc[0]:g}.") + "\n")
    print("  mvmeta datasets toy --csv toy.csv")
    print('  mvmeta fit toy.csv -f "d ~ C(Category) - 1" --variance Variance --groups Study\n')
    _compare(separate, joint)
    print(filled(_toy_sentences(table, separate, joint)) + "\n\n")


def _compare(separate: MetaMixedLMResults, joint: MetaMixedLMResults) -> None:
    print(f"{'mean (standard error)':<24}{'no study effect':>20}{'with study effect':>20}")
    for name in joint.params.index:
        cells = (f"{r.params[name]:.4f} ({r.bse[name]:.4f})" for r in (separate, joint))
        print(f"  {name:<22}" + "".join(f"{cell:>20}" for cell in cells))
    print()


def _toy_sentences(
    table: pd.DataFrame, separate: MetaMixedLMResults, joint: MetaMixedLMResults
) -> str:
    c = "C(Category)[C]"
    seen = table.index[table["C"].notna()]
    shared = table.drop(columns="C")
    below = float((shared.mean() - shared.loc[seen[0]]).mean())
    shift = -float(joint.ranef()["Study"].loc[seen[0], "estimate"])
    low, high = joint.conf_int().loc[c]
    return (
        f"C was only seen in study {seen[0]}, whose effects in the other categories lie "
        f"{below:g} below the average of the studies. "
        f"Without a study effect, the mean of C is the one number reported for it, "
        f"{separate.params[c]:.4f}. With one, the model compares within studies and asks what C "
        f"would be in an average study: {table.loc[seen[0], 'C']:g} + {shift:.4f} = "
        f"{joint.params[c]:.4f} (the shift is not quite {below:g}, because it is known from two "
        f"noisy estimates and so drawn towards zero). Its standard error, {joint.bse[c]:.4f} in "
        f"place of {separate.bse[c]:.4f}, says how little {len(table)} studies that differ so "
        f"much can tell: the 95% interval goes from {low:.2f} to {high:.2f}."
    )


def _schools(number: int) -> None:
    import pandas as pd

    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM

    schools = datasets.load("konstantopoulos2011")
    res = MetaMixedLM.from_formula("yi ~ 1", schools, variance="vi", groups="district/school").fit()
    new = res.get_prediction(pd.DataFrame(index=[0])).summary_frame().iloc[0]
    _heading(number, "Schools within districts (data set konstantopoulos2011)")
    print(filled(schools.attrs["description"]) + "\n")
    print("  mvmeta datasets konstantopoulos2011 --csv schools.csv")
    print('  mvmeta fit schools.csv -f "yi ~ 1" --variance vi --groups district/school\n')
    print(f"{res.summary()}\n")
    print(filled(_schools_sentences(res, new)) + "\n\n")


def _schools_sentences(res: MetaMixedLMResults, new: pd.Series) -> str:
    i2 = res.heterogeneity(alpha=None)["i2"]
    district, school = "district", "district/school"
    places = {district: "between districts", school: "between the schools of a district"}
    most = places[str(i2.drop("total").idxmax())]
    sd = res.vcomp.set_index("term")["sqrt"]
    return (
        f"Of the variance of a typical estimate {i2[district]:.0%} lies between districts, "
        f"{i2[school]:.0%} between the schools of a district, and {1 - i2['total']:.0%} is "
        f"sampling error: heterogeneity is greatest {most}. "
        f"The mean effect is {res.params.iloc[0]:.2f}, the standard deviations about it are "
        f"{sd[district]:.2f} (districts) and {sd[school]:.2f} (schools), so the true effect in a "
        f"school of a district not yet studied is expected anywhere from "
        f"{new['obs_ci_lower']:.2f} to {new['obs_ci_upper']:.2f}."
    )


def _species(number: int) -> None:
    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.specification.random import Random

    tree = datasets.correlation("lim2014")
    res = MetaMixedLM.from_formula(
        "yi ~ 1",
        datasets.load("lim2014"),
        variance="vi",
        groups="article/effect",
        random=[Random("1 | species"), Random("1 | species", corr=tree)],
    ).fit()
    _heading(number, "Species on an evolutionary tree (data set lim2014)")
    print("  mvmeta datasets lim2014 --csv species.csv --correlation tree.csv")
    print('  mvmeta fit species.csv -f "yi ~ 1" --variance vi --groups article/effect \\')
    print('      --random "1 | species" --random "1 | species; corr=tree.csv"\n')
    i2 = res.heterogeneity(alpha=None)["i2"]
    shares = res.vcomp.assign(share=[f"{i2[t]:.0%}" for t in res.vcomp["term"]])
    shown = shares[["term", "n_levels", "estimate", "sqrt", "share"]]
    print(shown.to_string(index=False, float_format="%.4f") + "\n")
    print(filled(_species_sentences(res, len(tree))) + "\n")


def _species_sentences(res: MetaMixedLMResults, n_species: int) -> str:
    i2 = res.heterogeneity(alpha=None)["i2"]
    return (
        f"{res.nobs} estimates on {n_species} species. A species enters twice: by itself, and "
        f"with effects that are as correlated as the species are related. What follows the tree "
        f"is {i2['species (corr)']:.0%} of the variance of a typical estimate, what is particular "
        f"to a species {i2['species']:.0%}, to an article {i2['article']:.0%}, and to an estimate "
        f"within its article {i2['article/effect']:.0%}."
    )
