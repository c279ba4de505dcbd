"""Every measure a data set is listed under comes out of its columns."""

import numpy as np
import pytest

from mvmeta import datasets
from mvmeta.effects import escalc
from mvmeta.errors import SpecificationError


def same(*names):
    return {name: name for name in names}


def pairs(frame):
    """Studies with their first and their last arm side by side."""
    columns = [c for c in frame.columns if c != "study" and frame[c].dtype.kind in "if"]
    wide = frame.groupby("study")[columns].agg(["first", "last"])
    wide.columns = ["_".join(column) for column in wide.columns]
    return wide.reset_index()


TWO_GROUPS = same("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")
ONE_GROUP = {"mi": "m1i", "sdi": "sd1i", "ni": "n1i"}
CORRELATIONS = [(None, same("ri", "ni"))]
TABLES = [(None, same("ai", "n1i", "ci", "n2i"))]
PROPORTIONS = [(None, same("xi", "ni"))]
PAIRED = {"m1i": "m_post", "m2i": "m_pre", "sd1i": "sd_pre", "sd2i": "sd_post"} | same("ni", "ri")

# How the columns of a set give its measures: reshaped or not, and what escalc is told.
INPUTS = {
    "aloe2013": [
        (None, {"ti": "tval", "ni": "n", "mi": "preds"}),
        (None, {"ti": "tval", "ni": "n", "mi": "preds", "r2i": "R2"}),
        (None, {"r2i": "R2", "ni": "n", "mi": "preds"}),
    ],
    "bcg": [(None, {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"})],
    "bonett2010": [(None, same("ai", "mi", "ni"))],
    "bornmann2007": [(None, {"ai": "waward", "n1i": "wtotal", "ci": "maward", "n2i": "mtotal"})],
    "bourassa1996": [(None, {"ai": "lh_le", "bi": "lh_re", "ci": "rh_le", "di": "rh_re"})],
    "craft2003": CORRELATIONS,
    "crede2010": CORRELATIONS,
    "curtis1998": [(None, TWO_GROUPS)],
    "fine1993": TABLES,
    "frank2008": [
        (None, {"ai": "ct_ins_ins", "bi": "ct_ins_del", "ci": "ct_del_del"}),
        (
            None,
            {"ai": "bc_ins_del", "bi": "bc_ins_ins", "ci": "ct_ins_del", "di": "ct_ins_ins"},
        ),
    ],
    "hart1999": [
        (None, same("x1i", "t1i", "x2i", "t2i")),
        (None, {"xi": "x1i", "ti": "t1i"}),
        (None, {"ai": "x1i", "n1i": "n1i", "ci": "x2i", "n2i": "n2i"}),
    ],
    "hasselblad1998": [
        *PROPORTIONS,
        (pairs, {"ai": "xi_first", "n1i": "ni_first", "ci": "xi_last", "n2i": "ni_last"}),
    ],
    "hine1989": TABLES,
    "kearon1998": PROPORTIONS,
    "lim2014": CORRELATIONS,
    "morris2008": [
        (None, PAIRED),
        (None, {k: v for k, v in PAIRED.items() if k != "sd2i"}),
        (None, {k: v for k, v in PAIRED.items() if k[0] != "m"}),
        (
            pairs,
            {"m1i": "m_post_first", "sd1i": "sd_post_first", "n1i": "ni_first"}
            | {"m2i": "m_post_last", "sd2i": "sd_post_last", "n2i": "ni_last"},
        ),
    ],
    "moura2021": CORRELATIONS,
    "normand1999": [
        (None, TWO_GROUPS),
        (None, {k: v for k, v in TWO_GROUPS.items() if k[0] != "m"}),
        (None, ONE_GROUP),
        (None, {k: v for k, v in ONE_GROUP.items() if k != "mi"}),
    ],
    "obrien2003": [
        (None, {"xi": "cases", "ni": "total"}),
        (
            pairs,
            {"ai": "cases_first", "n1i": "total_first", "ci": "cases_last", "n2i": "total_last"},
        ),
    ],
    "pritz1997": PROPORTIONS,
    "senn2013": [
        (None, same("mi", "sdi", "ni")),
        (
            pairs,
            {"m1i": "mi_first", "sd1i": "sdi_first", "n1i": "ni_first"}
            | {"m2i": "mi_last", "sd2i": "sdi_last", "n2i": "ni_last"},
        ),
    ],
    "yusuf1985": TABLES,
}
INPUTS["curtis1998"].append(INPUTS["normand1999"][1])

LISTED = [(name, measure) for name in INPUTS for measure in datasets.load(name).attrs["measures"]]


def test_sets_with_ready_made_effects_have_one_measure():
    for name in set(datasets.names()) - set(INPUTS):
        assert len(datasets.load(name).attrs["measures"]) == 1, name


@pytest.mark.filterwarnings("ignore::mvmeta.errors.MvmetaWarning")  # rows without counts
@pytest.mark.parametrize(("name", "measure"), LISTED)
def test_measure_comes_out_of_the_columns(name, measure):
    frame, computed = datasets.load(name), []
    for reshape, inputs in INPUTS[name]:
        try:
            out = escalc(measure, data=reshape(frame) if reshape else frame, append=False, **inputs)
        except SpecificationError:  # other columns are needed
            continue
        computed.append(out)
    assert computed, "no columns give it"
    known = np.isfinite(computed[0][["yi", "vi"]]).all(axis=1)
    assert known.mean() > 0.8
    assert (computed[0]["vi"][known] > 0).all()
