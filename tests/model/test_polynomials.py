"""`poly(x, degree)` in formulas, against R's `poly` (R 4.2.2): the numbers it prints for these x.

x <- c(1, 4, 2, 7, 9, 3); p <- poly(x, 3); print(unclass(p)[, ], digits = 15)
print(predict(p, c(0, 5)), digits = 15)
"""

import pickle

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, datasets
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.polynomials import Polynomials

X = np.array([1.0, 4.0, 2.0, 7.0, 9.0, 3.0])
OF_R = [
    [-0.4845015831115093, 0.5566507929583617, -0.408133935822187],
    [-0.0484501583111509, -0.5049826808273754, 0.156387769801025],
    [-0.3391511081780565, 0.0643414226536811, 0.240303158474745],
    [0.3876012664892073, -0.3207322432281979, -0.703744964104611],
    [0.6783022163561129, 0.4942591103850951, 0.347104562241299],
    [-0.1938006332446037, -0.2895364019415645, 0.368083409409729],
]
NEW_OF_R = [
    [-0.6298520580449618, 1.187391708972476, -1.758408826299326],
    [0.0969003166223019, -0.581997414003751, -0.213602807533107],
]


def remembered(*chunks, degree=3):
    out = Polynomials()
    for chunk in chunks:
        out.memorize_chunk(chunk, degree)
    out.memorize_finish()
    return out


@pytest.mark.parametrize("chunks", [(X,), (X[:2], X[2:])])
def test_columns_are_those_of_r(chunks):
    found = remembered(*chunks)
    np.testing.assert_allclose(found.transform(X, 3), OF_R, rtol=1e-12)
    np.testing.assert_allclose(found.transform([0.0, 5.0], 3), NEW_OF_R, rtol=1e-12)


def test_repeated_values_count():
    x = np.repeat(X, 3)
    columns = remembered(x).transform(x, 3)
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(columns.sum(axis=0), 0.0, atol=1e-12)


def test_a_fit_predicts_as_with_powers_and_after_pickling():
    bcg = datasets.load("bcg")
    new = pd.DataFrame({"ablat": [10.0, 60.0]})

    def fit(formula):
        return MetaMixedLM.from_formula(formula, bcg, variance="vi", groups="trial").fit()

    res, raw = fit("yi ~ poly(ablat, 2)"), fit("yi ~ ablat + I(ablat**2)")
    np.testing.assert_allclose(res.predict(new), raw.predict(new), rtol=1e-6)
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.predict(new), res.predict(new))


def test_a_function_of_the_user_wins():
    def poly(x, _):
        return x

    bcg = datasets.load("bcg")
    res = MetaMixedLM.from_formula("yi ~ poly(ablat, 2)", bcg, variance="vi", groups="trial")
    assert poly is not None
    assert len(res.exog_names) == 2


@pytest.mark.parametrize(
    ("degree", "message"), [(6, "more than 6 different values, there are 6"), (0, "degree is 1, 2")]
)
def test_degrees_that_do_not_exist_are_refused(degree, message):
    with pytest.raises(SpecificationError, match=message):
        remembered(X, degree=degree)
    frame = pd.DataFrame({"y": X, "x": X, "v": 1.0})
    with pytest.raises(SpecificationError, match=message):
        MetaMixedLM.from_formula(f"y ~ poly(x, {degree})", frame, variance="v")
