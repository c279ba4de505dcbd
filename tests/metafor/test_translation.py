"""What calls become, and what they are told they cannot."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

from mvmeta import (
    DataError,
    MetaforTranslation,
    SpecificationError,
    datasets,
    escalc,
    from_metafor,
)

FLIPPED = (datasets.load("bcg")["alloc"] == "random").to_numpy()


def code(call, **objects):
    return from_metafor(call, **objects).code


def formula(mods):
    text = code(f"rma.mv(yi, vi, mods = {mods}, random = ~ 1 | study, data = dat)")
    return text.split('from_formula(\n    "yi ~ ')[1].split('",\n')[0]


def argument(text, name):
    return text.split(f"    {name}=")[1].split(",\n)")[0].split(",\n    ")[0]


@pytest.mark.parametrize(
    ("mods", "expected"),
    [
        ("~ x", "x"),
        ("~ x - 1", "x - 1"),
        ("~ 0 + x", "0 + x"),
        ("~ -1 + x", "-1 + x"),
        ("~ factor(x)", "C(x)"),
        ("~ as.factor(x) * z", "C(x) * z"),
        ("~ (a + b)^2", "(a + b)**2"),
        ("~ a:b + a/b", "a:b + a / b"),
        ("~ I(x^2) + I((x - 3) / 2)", "I(x**2) + I((x - 3) / 2)"),
        ("~ x + I(-x^2)", "x + I(-(x**2))"),
        ("~ log(n) + sqrt(n)", "np.log(n) + np.sqrt(n)"),
        ("~ poly(x, 3, raw = TRUE)", "x + I(x**2) + I(x**3)"),
        ("~ poly(x, 2):g", "poly(x, 2):g"),
        ("~ poly(x, degree = 2, raw = TRUE):g", "(x + I(x**2)):g"),
        ("~ relevel(factor(g), ref = 'b')", 'C(g, Treatment(\\"b\\"))'),
        ("~ factor(g, levels = c('b', 'a'))", 'C(g, levels=[\\"b\\", \\"a\\"])'),
        ("~ year.pub + `a b` + class", 'Q(\\"year.pub\\") + Q(\\"a b\\") + Q(\\"class\\")'),
        ("~ dat$x + dat[['z']]", "x + z"),
        ("~ scale(x)", "standardize(x, ddof=1)"),
        ("~ scale(x, scale = FALSE)", "center(x)"),
        ("~ I(x - mean(x, na.rm = TRUE))", "I(x - np.mean(x))"),
        ("~ I(g == 'a')", 'I(g == \\"a\\")'),
        ("cbind(x, z)", "x + z"),
        ("x", "x"),
        ("NULL", "1"),
    ],
)
def test_formulas(mods, expected):
    assert formula(mods) == expected


@pytest.mark.parametrize(
    ("random", "name", "expected"),
    [
        ("~ 1 | study", "groups", '"study"'),
        ("~ 1 | study/id", "groups", '"study/id"'),
        ("list(~ 1 | study/id)", "groups", '"study/id"'),
        ("list(~ 1 | study, ~ 1 | lab)", "random", '["1 | study", "1 | lab"]'),
        ("~ outcome | study", "random", '"outcome | study"'),
        ("~ outcome - 1 | study", "random", '"outcome | study"'),
        ("~ 0 + factor(outcome) | study", "random", '"outcome | study"'),
        ("~ x - 1 | study, struct = 'GEN'", "random", 'Random("x - 1 | study", struct="GEN")'),
        ("~ factor(outcome) | factor(study)", "random", '"outcome | study"'),
        ("~ as.numeric(t) | s, struct = 'CAR'", "random", 'Random("t | s", struct="CAR")'),
        ("~ outcome | study, struct = 'un'", "random", 'Random("outcome | study", struct="UN")'),
        (
            "list(~ a | g, ~ b | h), struct = c('AR', 'CS')",
            "random",
            '[Random("a | g", struct="AR"), "b | h"]',
        ),
        ("~ dose | study, struct = 'GEN'", "random", 'Random("1 + dose | study", struct="GEN")'),
        ("~ dose || study, struct = 'GEN'", "random", 'Random("1 + dose | study", struct="GDIAG")'),
        (
            "~ x + y | const, struct = 'SPEXP', dist = 'gcd'",
            "random",
            'Random("x + y | const", struct="SPEXP", distance="gcd")',
        ),
        (
            "~ site | const, struct = 'SPEXP', dist = list(D)",
            "random",
            'Random("site | const", struct="SPEXP", distance=D)',
        ),
        (
            "~ 1 | species, R = list(species = A), Rscale = 'cor0'",
            "random",
            'Random("1 | species", corr=A, corr_scale="cor0")',
        ),
        (
            "~ 1 | a/b, sigma2 = c(NA, 0)",
            "random",
            'Random("1 | a/b", fixed={"sigma2": [None, 0]})',
        ),
        (
            "list(~ a | g, ~ b | h), tau2 = 0.1, rho = NA, gamma2 = NA, phi = 1/2",
            "random",
            '[Random("a | g", fixed={"tau2": 0.1}), Random("b | h", fixed={"rho": 0.5})]',
        ),
    ],
)
def test_random_effects(random, name, expected):
    text = " ".join(argument(code(f"rma.mv(yi, vi, random = {random}, data = d)"), name).split())
    assert text.replace("[ ", "[").replace(", ]", "]") == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("method = 'REML'", ""),
        ('method = "ML"', "reml=False"),
        ("test = 't'", "use_t=True"),
        ("test = 'z', dfs = 'contain'", 'df="contain"'),
        ("dfs = 4", "df=4"),
        ("dfs = c(3, 4)", "df=[3, 4]"),
        ("test = 'knha'", 'cov_type="knha"'),
        ("tdist = TRUE, method = 'ML'", "reml=False, use_t=True"),
    ],
)
def test_methods_and_tests(options, expected):
    text = code(f"rma.mv(yi, vi, random = ~ 1 | study, data = dat, {options})")
    assert f"res = model.fit({expected})" in text


def test_a_common_effect_model_has_no_random_effects():
    text = code("rma.mv(yi, vi, random = ~ 1 | study, method = 'EE', data = dat)")
    assert "groups" not in text
    assert "model.fit(reml=False)" in text


def test_what_stands_around_the_call_does_not_matter():
    plain = code("rma.mv(yi, vi, random = ~ 1 | study, data = dat)")
    around = """
    library(metafor)   # the package

    res <- metafor::rma.mv(
        yi,
        vi,            # variances
        random = ~ 1 |
                   study,
        data = dat
    )
    summary(res)
    """
    assert code(around) == plain
    assert code("summary(rma.mv(yi, vi, random = ~ 1 | study, dat = dat))") == plain


def test_notes_say_what_was_left_out():
    found = from_metafor(
        "rma.mv(yi, V, random = ~ 1 | study, data = dat, btt = 2:3, level = 90, sparse = TRUE, "
        "cvvc = TRUE, digits = 3, verbose = TRUE, control = list(optimizer = 'optim'), slab = id)"
    )
    for word in ("btt", "level", "sparse", "cvvc", "digits", "verbose", "control", "slab", "V"):
        assert sum(f"`{word}" in note for note in found.notes) == 1, word
    assert "print(res.summary(alpha=0.1))" in found.code
    assert all(f"# - {note.split()[0]}" in str(found) for note in found.notes)


def test_missing_values_do_not_slip_through_a_condition():
    frame = pd.DataFrame(
        {"yi": [0.0, 1, 2, 3, 4], "vi": 1.0, "g": ["a", None, "b", "b", "a"], "s": [1, 1, 2, 2, 3]}
    )
    call = "rma.mv(yi, vi, random = ~ 1 | s, subset = {}, data = frame)"
    for condition, rows in (
        ("g != 'a'", [2, 3]),
        ("!(g == 'a')", [2, 3]),
        ("!(g == 'a' & yi > 3)", [0, 1, 2, 3]),
        ("!is.na(g)", [0, 2, 3, 4]),
        ("!(g %in% 'a')", [1, 2, 3]),
        ("c(1, 5)", [0, 4]),
    ):
        model = from_metafor(call.format(condition), frame).model
        assert model.prepared.rows.tolist() == rows, condition


def test_objects_are_found_by_name():
    bcg = datasets.load("bcg")
    v = np.diag(bcg["vi"])
    call = "rma.mv(yi, my.V, random = ~ 1 | trial, data = bcg)"
    found = from_metafor(call, bcg, my_V=v)
    assert "variance=my_V" in found.code
    plain = from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, data = bcg)", bcg)
    np.testing.assert_allclose(found.fit().params, plain.fit().params, rtol=1e-12)


def test_fit_takes_further_options():
    bcg = datasets.load("bcg")
    found = from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, test = 't', data = bcg)", bcg)
    assert found.fit(reml=False).reml is False
    assert found.fit(df="satterthwaite").df_inference != found.fit().df_inference


def test_without_data_there_is_code_and_no_model():
    found = from_metafor("rma.mv(yi, vi, random = ~ 1 | study, data = dat)")
    assert isinstance(found, MetaforTranslation)
    assert "data=dat" in repr(found)
    with pytest.raises(DataError, match="'dat' was not given"):
        found.fit()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "rma.mv(yi, vi, mods = ~ cut(x, 3), data = dat)",
            r"cut\(\) has no counterpart.*column 25",
        ),
        ("rma.mv(yi, vi, mods = ~ f(x), data = dat)", "'f' is not translated; compute the column"),
        ("rma(yi, vi, method = 'DL', data = dat)", "method 'DL' is not translated"),
        ("rma.glmm(ai = a, data = dat)", "normal models of effect sizes"),
        ("rma.mv(yi, vi, randm = ~ 1 | s)", "randm= is no argument"),
        ("rma.mv(yi, vi, s = 1)", "s= could be"),
        ("rma.mv(yi, vi, W, ~ x)", "arguments need their names"),
        ("rma.mv(yi, yi = y, V = v, w)", "yi is no|after yi and V"),
        ("rma.mv(yi, data = dat)", "no sampling variances"),
        ("rma.mv(V = vi, data = dat)", "no effect sizes"),
        ("rma.mv(yi, vi, random = ~ study, data = dat)", r"has a '\|'"),
        ("rma.mv(yi, vi, random = 1 | study)", "is written ~ 1"),
        ("rma.mv(yi, vi, random = ~ x | s, struct = 'PHYPL')", "struct 'PHYPL' is not translated"),
        ("rma.mv(yi, vi, random = list(~ a|s, ~ b|s, ~ c|s))", "at most two terms"),
        ("rma.mv(yi, vi, random = ~ a | s/t)", "no nested groups"),
        ("rma.mv(yi, vi, random = ~ log(t) | s, struct = 'CAR')", "inner levels are a column"),
        ("rma.mv(yi, vi, random = ~ 1 | s, sigma2 = c(1, 2))", "2 entries for 1 variances"),
        ("rma.mv(yi, vi, random = ~ 1 | s, R = list(t = A))", "R names 't'"),
        (
            "rma.mv(yi, vi, random = ~ 1 | s, R = list(s = vcv(tree)))",
            "the name of a matrix",
        ),
        ("rma.mv(yi, list(v1, v2), data = dat)", "give V by its name"),
        (
            "rma.mv(yi, vi, vccon = list(sigma2 = c(1, 1)))",
            "vccon= is not translated",
        ),
        ("rma.mv(yi, vi, data = read.csv('x.csv'))", "must be the name of a data set"),
        ("rma.mv(dat$yi, other$vi, data = dat)", "not from the data, 'dat'"),
        ("f(x); rma(yi, vi)", "this line is not translated"),
        ("vcalc(vi, study); rma(yi, vi)", "this line is not translated"),
        ("robust(res, cluster = study)", "needs its model in the same text"),
        ("robust(rma(yi, vi))", "needs its cluster"),
        ("", "no call of rma.mv"),
        ("rma.mv(yi, vi", r"opened here and not closed \(line 1, column 7\)"),
        ("rma.mv(yi, vi, data = 'dat)", "quotation mark is opened here"),
        ("rma.mv(yi, vi, method = if (x) 'ML')", "'if' cannot be translated"),
        ("rma.mv(yi, vi); rma.mv(yi, vi)", "more than one model"),
        ("rma.mv(yi, vi, subset = -3, data = dat)", "positive positions"),
        ("rma.mv(yi, vi, dfs = 'kenward', data = dat)", "dfs must be"),
        ("rma.mv(yi, vi, test = 'F', data = dat)", "test must be one of"),
    ],
)
def test_refusals_say_what_and_where(call, message):
    with pytest.raises(SpecificationError, match=f"(?s){message}") as caught:
        from_metafor(call)
    if call:
        text = str(caught.value)
        assert "line 1, column" in text
        quoted, carets = text.splitlines()[-2:]
        assert quoted.strip() in call
        assert set(carets.strip()) == {"^"}


def test_numbers_of_a_text_are_no_inner_levels():
    call = "rma.mv(yi, vi, random = ~ as.numeric(t) | s, struct = 'CAR', data = dat)"
    rows = pd.DataFrame({"yi": [0.1, 0.4, 0.2, 0.9], "vi": 0.1, "s": list("aabb")})
    numbers = from_metafor(call, rows.assign(t=[1, 3, 1, 2])).fit()
    assert numbers.vcomp["term"].tolist() == ["t | s", "t | s"]
    with pytest.raises(SpecificationError, match=r"(?s)inner levels are a column.*column 27"):
        from_metafor(call, rows.assign(t=["1", "3", "1", "2"]))


def test_components_of_no_term_are_named():
    found = from_metafor("rma.mv(yi, vi, random = ~ a | s, sigma2 = 0.1, rho = 0, phi = 0)")
    assert found.notes == [
        "`sigma2` was left out: the call has no term that it belongs to.",
        "`phi` was left out: the call has no term that it belongs to.",
    ]
    assert 'fixed={"rho": 0}' in found.code
    alone = from_metafor("rma.mv(yi, vi, tau2 = 0.1, sigma2 = NULL)")
    assert alone.notes == ["`tau2` was left out: the call has no term that it belongs to."]


def test_names_that_do_not_exist_are_refused_with_a_hint():
    bcg = datasets.load("bcg")
    with pytest.raises(SpecificationError, match=r"'ablatt' is no column.*did you mean 'ablat'"):
        from_metafor("rma.mv(yi, vi, mods = ~ ablatt, data = bcg)", bcg)
    with pytest.raises(SpecificationError, match=r"from_metafor\(\.\.\., my_V=\.\.\.\)"):
        from_metafor("rma.mv(yi, my.V, data = bcg)", bcg)
    with pytest.raises(SpecificationError, match="must be a text in R, got int"):
        from_metafor(3)


def test_what_is_done_with_a_result_is_named():
    found = from_metafor(
        """
        dat <- dat.bcg
        res <- rma.mv(yi, vi, random = ~ 1 | trial, data = dat)
        res
        forest(res); predict(res, newmods = 3)
        summary(res)
        """
    )
    assert "dat = dat_bcg" in found.code
    assert [note for note in found.notes if "res.plot_forest()" in note]
    assert [note for note in found.notes if "res.get_prediction" in note]
    assert len(found.notes) == 2


def test_a_reference_level_that_depends_on_the_locale_is_noted():
    frame = pd.DataFrame({"yi": [0.0, 1, 2, 3], "vi": 1.0, "g": ["b", "B", "a", "a"]})
    found = from_metafor("rma(yi, vi, mods = ~ g, data = frame)", frame)
    assert [note for note in found.notes if "'B'" in note and "'a'" in note]
    assert not from_metafor("rma(yi, vi, mods = ~ g)", frame.replace("B", "c")).notes


def test_data_may_be_made_within_the_call():
    bcg = datasets.load("bcg").drop(columns=["yi", "vi"])
    cells = "ai = tpos, bi = tneg, ci = cpos, di = cneg"
    call = f"rma.mv(yi, vi, random = ~ 1 | trial, data = escalc('OR', {cells}, data = bcg))"
    found = from_metafor(call, bcg)
    assert 'dat = escalc(\n    "OR",\n    ai="tpos",' in found.code
    apart = (
        f"dat <- escalc('OR', {cells}, data = bcg); rma.mv(yi, vi, random = ~ 1 | trial, dat = dat)"
    )
    np.testing.assert_array_equal(found.fit().params, from_metafor(apart, bcg).fit().params)


@pytest.mark.parametrize(
    ("options", "code", "ours"),
    [
        ("flip = TRUE", "flip=True", {"flip": True}),
        ("flip = alloc == 'random'", 'flip=bcg["alloc"] == "random"', {"flip": FLIPPED}),
        ("flip = turned", 'flip="turned"', {"flip": "turned"}),
        ("correct = FALSE, cutoff = NULL", "correct=False,", {"correct": False, "cutoff": None}),
        ("cutoff = 3", "cutoff=3,", {"cutoff": 3}),
        ("replace = TRUE", 'replace="all"', {"replace": "all"}),
        ('replace = "ifna"', 'replace="ifna"', {"replace": "ifna"}),
        ("include = ablat > 10", 'include=bcg["ablat"] > 10', {}),
        ("add.measure = FALSE", "cneg", {}),
    ],
)
def test_what_escalc_does_with_rows_is_translated(options, code, ours):
    bcg = datasets.load("bcg").assign(turned=datasets.load("bcg")["alloc"] == "random")
    bcg.loc[3, ["yi", "vi"]] = np.nan
    names = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
    cells = ", ".join(f"{cell} = {column}" for cell, column in names.items())
    call = f"dat <- escalc('RR', {cells}, data = bcg, {options}); rma.mv(yi, vi, data = dat)"
    found = from_metafor(call, bcg=bcg)
    assert code in found.code
    expected = escalc("RR", data=bcg, **names, **ours)
    np.testing.assert_array_equal(found.model.endog, expected["yi"])
    noted = any("gets two new numbers" in note for note in found.notes)
    assert noted == ("ifna" in options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("subset = year > 1950", "subset= is not translated: leave rows out before, or by subset="),
        ("add.measure = TRUE", "add.measure: add the column after escalc"),
        ("include = -1", "include is translated as a condition or as numbers of rows"),
        ('replace = "some"', 'replace must be TRUE, FALSE, "all" or "ifna"'),
        ("correct = 'yes'", "correct must be TRUE or FALSE"),
        ("cutoff = 'big'", "cutoff must be one number"),
    ],
)
def test_what_escalc_does_with_rows_is_refused_by_name(options, message):
    with pytest.raises(SpecificationError, match=message):
        from_metafor(f"dat <- escalc('PLO', xi = x, ni = n, data = d, {options}); rma(yi, vi)")


def test_two_data_sets_need_their_names():
    bcg = datasets.load("bcg")
    v = "V <- vcalc(vi, cluster = trial, obs = author, rho = 0, data = one)"
    call = f"{v}; rma.mv(yi, V, data = two)"
    with pytest.raises(SpecificationError, match=r"'two' is not 'one'; give it by its name"):
        from_metafor(call, bcg)
    assert from_metafor(call, one=bcg, two=bcg).fit().nobs == len(bcg)


def test_data_given_twice_are_refused():
    bcg = datasets.load("bcg")
    with pytest.raises(SpecificationError, match="data was given, and dat= as well"):
        from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, data = dat)", bcg, dat=bcg)


def test_a_diagonal_and_other_names_of_effect_sizes():
    bcg = datasets.load("bcg").drop(columns=["yi", "vi"])
    text = """
    dat <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg,
                  var.names = c("lnrr", "var"))
    V <- diag(dat$var)
    rma.mv(lnrr, V, random = ~ 1 | trial, data = dat,)
    """
    found = from_metafor(text, bcg)
    assert 'V = dat["var"]' in found.code
    plain = from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, data = d)", datasets.load("bcg"))
    np.testing.assert_allclose(found.fit().params, plain.fit().params, rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("V", "V"), ("Vmat", "Vmat"), ("cov.mat", "cov_mat"), ("vi", '"vi"'), ("VAR", '"VAR"')],
)
def test_without_data_names_of_matrices_are_guessed_and_said(name, expected):
    found = from_metafor(f"fits[['a']] <- rma.mv(yi, {name}, random = ~ 1 | s, data = dat)")
    assert f"    variance={expected},\n" in found.code
    assert bool(found.notes) == (not expected.startswith('"'))


def test_covariances_beside_the_rows():
    """The bivariate example of the manual of vcalc; V is what its rows say."""
    teeth = datasets.load("berkey1998")
    call = """
    V <- vcalc(vi = 1, cluster = author, rvars = c(v1i, v2i), data = dat)
    rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = dat)
    """
    found = from_metafor(call, teeth)
    assert 'rvars=["v1i", "v2i"],' in found.code
    v = block_diag(*[rows[["v1i", "v2i"]] for _, rows in teeth.groupby("trial", sort=False)])
    given = from_metafor(call.split("\n")[2], teeth, V=v).fit()
    np.testing.assert_allclose(found.fit().params, given.params, rtol=1e-10)
    with pytest.raises(SpecificationError, match=r"(?s)one by one: c\(v1i, v2i\).*line 1"):
        from_metafor("V <- vcalc(1, author, rvars = v1i:v2i, data = dat); rma.mv(yi, V)", teeth)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dat$x <- dat$year - mean(dat$year)", 'dat.assign(x=dat["year"] - np.mean(dat["year"]))'),
        ("dat$yi <- -dat$yi", 'dat.assign(yi=-dat["yi"])'),
        ("dat$id <- 1:nrow(dat)", "dat.assign(id=np.arange(1, len(dat) + 1))"),
        ("dat$id <- seq_len(nrow(dat))", "dat.assign(id=np.arange(1, len(dat) + 1))"),
        ("dat$id.phy <- dat$trial", 'dat.assign(**{"id.phy": dat["trial"]})'),
        ('dat[["a"]] <- factor(dat$alloc)', 'dat.assign(a=dat["alloc"].astype("category"))'),
        ("dat$const <- 1", "dat.assign(const=1)"),
        ("dat$a <- ifelse(dat$year < 1950, 'x', 'y')", 'np.where(dat["year"] < 1950, "x", "y")'),
    ],
)
def test_lines_that_make_columns(line, expected):
    bcg = datasets.load("bcg")
    call = "rma.mv(yi, vi, random = ~ 1 | trial, data = dat)"
    found = from_metafor(f"{line}\n{call}", bcg)
    assert expected in found.code
    assert found.notes == []
    sign = -1 if "yi" in line else 1
    plain = from_metafor(call, bcg).fit()
    np.testing.assert_allclose(found.fit().params, sign * plain.params, rtol=1e-10)


@pytest.mark.parametrize(
    "line",
    [
        "dat$a <- dat$year + offset",  # an object of R's session, which may be anything
        "dat$a <- other$year",
        "dat$a <- NULL",
        "dat$year[3] <- 1950",
        "dat$a <- ifelse(dat$year < 1950, 'x', 'y')",  # NA in R where the year is
    ],
)
def test_other_lines_on_columns_are_left_out_and_said(line):
    bcg = datasets.load("bcg").astype({"year": float})
    bcg.loc[2, "year"] = np.nan
    found = from_metafor(f"{line}\nrma.mv(yi, vi, random = ~ 1 | trial, data = dat)", bcg)
    assert len(found.notes) == 1
    assert f"`{line}` was left out: give dat" in found.notes[0]


def test_data_are_piped_into_a_call():
    bcg = datasets.load("bcg")
    piped = from_metafor("bcg |> rma.mv(yi, vi, random = ~ 1 | trial, data = _)", bcg)
    assert piped.code == from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, data = bcg)").code
    other = from_metafor("bcg %>% rma.mv(yi, vi, random = ~ 1 | trial, data = .)", bcg)
    assert other.code == piped.code
    with pytest.raises(SpecificationError, match=r"what \|> hands to a call, and there is none"):
        from_metafor("rma.mv(yi, vi, data = _)", bcg)


def test_one_correlation_within_clusters():
    """clubSandwich's way to V, as in most papers on correlated and hierarchical effects."""
    offenders = datasets.load("assink2016")
    model = "rma.mv(yi ~ 1, V = V, random = ~ 1 | study/esid, data = dat)"
    found = from_metafor(
        f"V <- impute_covariance_matrix(vi = dat$vi, cluster = dat$study, r = 0.6)\n{model}\n"
        "coef_test(res, vcov = 'CR2')",
        offenders,
    )
    v = f"V <- vcalc(vi, cluster = study, obs = esid, rho = 0.6, data = dat)\n{model}"
    np.testing.assert_allclose(
        found.fit().params, from_metafor(v, offenders).fit().params, rtol=1e-10
    )
    assert found.notes == ["`coef_test()` was left out: res.get_robustcov_results('CR2')."]
    smooth = "V <- impute_covariance_matrix(dat$vi, dat$study, r = 0.6, smooth_vi = TRUE)"
    with pytest.raises(SpecificationError, match="smooth_vi= is no argument"):
        from_metafor(f"{smooth}\n{model}", offenders)
    with pytest.raises(SpecificationError, match="needs its r"):
        from_metafor(f"V <- impute_covariance_matrix(dat$vi, dat$study)\n{model}", offenders)


def test_what_follows_a_model_need_not_be_given():
    call = "par(mar = c(4, 4, 2, 2))\nres <- rma(yi, vi, data = dat)\nx <- sum(res$tau2)\ndev.off()"
    assert from_metafor(call).notes == ["`x <- sum(res$tau2)` was left out, below the model."]


def test_columns_that_cannot_be_computed():
    call = "dat$a <- dat$alloc - 1\nrma.mv(yi, vi, random = ~ 1 | trial, data = dat)"
    with pytest.raises(SpecificationError, match=r"(?s)cannot be computed.*line 1, column 1"):
        from_metafor(call, datasets.load("bcg"))


def test_lines_that_make_other_things_are_said_and_their_names_are_objects():
    text = """
    V <- bldiag(lapply(split(dat[, c("v1", "v2")], dat$trial), as.matrix))
    dat$x2 <- cut(dat$x, 3)
    rma.mv(yi, V, mods = ~ x2, random = ~ outcome | trial, struct = "UN", data = dat)
    """
    found = from_metafor(text)
    assert "variance=V," in found.code
    assert "give V as it is after that line" in found.notes[0]
    assert "`dat$x2 <- cut(dat$x, 3)` was left out: give dat$x2 as" in found.notes[1]
    bcg = datasets.load("bcg")
    call = "V <- f(bcg$vi)\nrma.mv(yi, V, random = ~ 1 | trial, data = bcg)"
    with pytest.raises(SpecificationError, match=r"from_metafor\(\.\.\., V=\.\.\.\)"):
        from_metafor(call, bcg)
    res = from_metafor(call, bcg, V=np.diag(bcg["vi"])).fit()
    plain = from_metafor("rma.mv(yi, vi, random = ~ 1 | trial, data = bcg)", bcg).fit()
    np.testing.assert_allclose(res.params, plain.params, rtol=1e-10)
    with pytest.raises(SpecificationError, match=r"no call of rma\.mv"):
        from_metafor("x <- 3")


def test_data_sets_by_name_in_a_dict_are_told_apart_from_columns():
    frame = pd.DataFrame({"yi": [0.1, 0.2], "vi": [0.1, 0.1]})
    with pytest.raises(DataError, match=r"from_metafor\(call, dat=frame\)"):
        from_metafor("rma(yi, vi, data = dat)", data={"dat": frame})
