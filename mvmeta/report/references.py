"""The works that a methods paragraph cites."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A work.

    Attributes
    ----------
    key : str
        Anchor on the page.
    cited : str
        As it is named in a sentence: "Higgins & Thompson, 2002".
    text : str
        The entry of the list.
    doi : str
    """

    key: str
    cited: str
    text: str
    doi: str = ""


REFERENCES = {
    reference.key: reference
    for reference in (
        Reference(
            "bell2002",
            "Bell & McCaffrey, 2002",
            "Bell RM, McCaffrey DF (2002). Bias reduction in standard errors for linear "
            "regression with multi-stage samples. Survey Methodology, 28(2), 169–181.",
        ),
        Reference(
            "cameron2011",
            "Cameron et al., 2011",
            "Cameron AC, Gelbach JB, Miller DL (2011). Robust inference with multiway "
            "clustering. Journal of Business & Economic Statistics, 29(2), 238–249.",
            "10.1198/jbes.2010.07136",
        ),
        Reference(
            "cochran1954",
            "Cochran, 1954",
            "Cochran WG (1954). The combination of estimates from different experiments. "
            "Biometrics, 10(1), 101–129.",
            "10.2307/3001666",
        ),
        Reference(
            "hedges2010",
            "Hedges et al., 2010",
            "Hedges LV, Tipton E, Johnson MC (2010). Robust variance estimation in "
            "meta-regression with dependent effect size estimates. Research Synthesis Methods, "
            "1(1), 39–65.",
            "10.1002/jrsm.5",
        ),
        Reference(
            "higgins2002",
            "Higgins & Thompson, 2002",
            "Higgins JPT, Thompson SG (2002). Quantifying heterogeneity in a meta-analysis. "
            "Statistics in Medicine, 21(11), 1539–1558.",
            "10.1002/sim.1186",
        ),
        Reference(
            "higgins2009",
            "Higgins et al., 2009",
            "Higgins JPT, Thompson SG, Spiegelhalter DJ (2009). A re-evaluation of "
            "random-effects meta-analysis. Journal of the Royal Statistical Society A, 172(1), "
            "137–159.",
            "10.1111/j.1467-985X.2008.00552.x",
        ),
        Reference(
            "jackson2011",
            "Jackson et al., 2011",
            "Jackson D, Riley R, White IR (2011). Multivariate meta-analysis: potential and "
            "promise. Statistics in Medicine, 30(20), 2481–2498.",
            "10.1002/sim.4172",
        ),
        Reference(
            "kenward1997",
            "Kenward & Roger, 1997",
            "Kenward MG, Roger JH (1997). Small sample inference for fixed effects from "
            "restricted maximum likelihood. Biometrics, 53(3), 983–997.",
            "10.2307/2533558",
        ),
        Reference(
            "knapp2003",
            "Knapp & Hartung, 2003",
            "Knapp G, Hartung J (2003). Improved tests for a random effects meta-regression "
            "with a single covariate. Statistics in Medicine, 22(17), 2693–2710.",
            "10.1002/sim.1482",
        ),
        Reference(
            "konstantopoulos2011",
            "Konstantopoulos, 2011",
            "Konstantopoulos S (2011). Fixed effects and variance components estimation in "
            "three-level meta-analysis. Research Synthesis Methods, 2(1), 61–76.",
            "10.1002/jrsm.35",
        ),
        Reference(
            "nakagawa2012",
            "Nakagawa & Santos, 2012",
            "Nakagawa S, Santos ESA (2012). Methodological issues and advances in biological "
            "meta-analysis. Evolutionary Ecology, 26, 1253–1274.",
            "10.1007/s10682-012-9555-5",
        ),
        Reference(
            "patterson1971",
            "Patterson & Thompson, 1971",
            "Patterson HD, Thompson R (1971). Recovery of inter-block information when block "
            "sizes are unequal. Biometrika, 58(3), 545–554.",
            "10.1093/biomet/58.3.545",
        ),
        Reference(
            "pustejovsky2018",
            "Pustejovsky & Tipton, 2018",
            "Pustejovsky JE, Tipton E (2018). Small-sample methods for cluster-robust variance "
            "estimation and hypothesis testing in fixed effects models. Journal of Business & "
            "Economic Statistics, 36(4), 672–683.",
            "10.1080/07350015.2016.1247004",
        ),
        Reference(
            "satterthwaite1946",
            "Satterthwaite, 1946",
            "Satterthwaite FE (1946). An approximate distribution of estimates of variance "
            "components. Biometrics Bulletin, 2(6), 110–114.",
            "10.2307/3002019",
        ),
        Reference(
            "viechtbauer2022",
            "Viechtbauer & López-López, 2022",
            "Viechtbauer W, López-López JA (2022). Location-scale models for meta-analysis. "
            "Research Synthesis Methods, 13(6), 697–715.",
            "10.1002/jrsm.1562",
        ),
    )
}
"""By key."""
