"""Orchard plot and variance decomposition: means, intervals, swarms and bars in the artists."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, datasets, plots
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes, _swarm
from tests.plots.fits import fit
from tests.plots.test_plot_others import labels

artists = pytest.importorskip("matplotlib.collections")
Z = stats.norm.isf(0.025)


def named(ax, gid):
    return next(c for c in ax.collections if c.get_gid() == gid)


def ends(ax, gid, axis=0):
    """Lower and upper limits (m, 2) of the intervals called `gid`."""
    return np.array(named(ax, gid).get_segments())[:, :, axis]


@pytest.fixture(scope="session")
def assink():
    return fit("yi ~ C(deltype)", datasets.load("assink2016"), "vi", "study/esid")


class TestOrchard:
    def test_means_of_levels_with_both_intervals(self, assink):
        ax = plots.orchard(assink).axes[0]
        rows = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])
        mean = rows @ assink.params.to_numpy()
        se = np.sqrt(np.diag(rows @ assink.cov_params().to_numpy() @ rows.T))
        new = np.sqrt(se**2 + assink.vcomp["estimate"].sum())
        np.testing.assert_allclose(named(ax, "means").get_offsets()[:, 0], mean)
        np.testing.assert_allclose(ends(ax, "confidence"), np.c_[mean - Z * se, mean + Z * se])
        np.testing.assert_allclose(ends(ax, "prediction"), np.c_[mean - Z * new, mean + Z * new])
        assert labels(ax) == ["covert", "general", "overt"]

    def test_every_estimate_is_in_the_row_of_its_category(self, assink):
        ax = plots.orchard(assink).axes[0]
        data = datasets.load("assink2016")
        x, y = named(ax, "estimates").get_offsets().T
        np.testing.assert_allclose(x, data["yi"])
        np.testing.assert_array_equal(np.round(y), data["deltype"].astype("category").cat.codes)
        bars = np.array(named(ax, "prediction").get_segments())[:, 0, 1]
        assert (np.array([y[np.round(y) == i].max() for i in range(3)]) < bars).all()

    def test_areas_are_precisions(self, assink):
        area = named(plots.orchard(assink).axes[0], "estimates").get_sizes()
        se = np.sqrt(datasets.load("assink2016")["vi"].to_numpy())
        precise = area > area.min() + 1e-9
        assert precise.sum() > 50
        np.testing.assert_allclose((area * se)[precise], (area * se)[precise][0])

    def test_the_text_says_means_estimates_and_studies(self, assink):
        data = datasets.load("assink2016")
        studies = data.groupby("deltype")["study"].nunique()
        text = [t.get_text().split("\n") for t in plots.orchard(assink).axes[0].texts]
        assert [t[1] for t in text] == [
            f"k = {n} ({studies[level]} {'study' if studies[level] == 1 else 'studies'})"
            for level, n in data["deltype"].value_counts().sort_index().items()
        ]
        mean, (lower, upper) = assink.params.iloc[0], assink.conf_int().iloc[0]
        shown = (_axes.number(v, 2) for v in (mean, lower, upper))
        assert text[0][0] == "{} [{}, {}]".format(*shown)

    def test_an_intercept_only_model_is_one_row(self, schools):
        ax = plots.orchard(schools).axes[0]
        assert labels(ax) == ["Overall"]
        np.testing.assert_allclose(ends(ax, "confidence")[0], schools.conf_int().iloc[0])
        expected = schools.get_prediction(pd.DataFrame(index=[0])).conf_int(obs=True)
        np.testing.assert_allclose(ends(ax, "prediction"), expected)
        assert len(named(ax, "estimates").get_offsets()) == 56

    def test_levels_with_variances_of_their_own(self, outcomes):
        ax = plots.orchard(outcomes).axes[0]
        se = outcomes.bse.to_numpy()
        table = outcomes.vcomp[outcomes.vcomp["component"] == "tau2"].set_index("level")
        half = Z * np.sqrt(table.loc[["AL", "PD"], "estimate"].to_numpy() + se**2)
        np.testing.assert_allclose(np.diff(ends(ax, "prediction"))[:, 0], 2 * half)

    def test_combinations_of_levels(self):
        data = datasets.load("bcg").assign(old=lambda d: d["year"] < 1960)
        res = fit("yi ~ alloc + C(old)", data, "vi", "trial")
        ax = plots.orchard(res, ["alloc", "old"]).axes[0]
        assert labels(ax)[:2] == ["alternate · False", "alternate · True"]
        np.testing.assert_allclose(
            named(ax, "means").get_offsets()[:, 0],
            res.marginal_means(["alloc", "old"]).summary_frame()["mean"],
        )
        code = data["alloc"].astype("category").cat.codes * 2 + data["old"]
        y = named(ax, "estimates").get_offsets()[:, 1]
        np.testing.assert_array_equal(np.round(y), code)

    def test_a_cell_without_rows_is_left_out(self):
        data = datasets.load("bcg").assign(old=lambda d: d["year"] < 1960)
        data = data[~((data["alloc"] == "alternate") & data["old"])]
        with pytest.warns(match="dropped .* of the design"):
            res = fit("yi ~ alloc * C(old)", data, "vi", "trial")
        ax = plots.orchard(res, ["alloc", "old"]).axes[0]
        observed = data.groupby(["alloc", "old"]).size()
        assert labels(ax) == [f"{a} · {b}" for a, b in observed.index]
        y = named(ax, "estimates").get_offsets()[:, 1]
        assert np.bincount(np.round(y).astype(int)).tolist() == observed.tolist()

    def test_narrow_axes_leave_out_the_numbers(self, assink, plt):
        _, (narrow, wide) = plt.subplots(1, 2, width_ratios=(1, 4), figsize=(10, 4))
        plots.orchard(assink, ax=narrow)
        plots.orchard(assink, ax=wide)
        assert not narrow.texts
        assert len(wide.texts) == 3

    def test_indicators_from_arrays_are_categories(self, assink):
        data = datasets.load("assink2016")
        x = pd.get_dummies(data["deltype"]).astype(float)
        res = MetaMixedLM(data["yi"], x, variance=data["vi"], groups=data["study"]).fit()
        ax = plots.orchard(res).axes[0]
        assert labels(ax) == list(x.columns)
        np.testing.assert_allclose(named(ax, "means").get_offsets()[:, 0], res.params)
        y = named(ax, "estimates").get_offsets()[:, 1]
        np.testing.assert_array_equal(np.round(y), x.to_numpy().argmax(axis=1))

    def test_exp_moves_everything_onto_a_logarithmic_axis(self, assink):
        plain, changed = (
            plots.orchard(assink).axes[0],
            plots.orchard(assink, transform=np.exp).axes[0],
        )
        for gid in ("confidence", "prediction"):
            np.testing.assert_allclose(ends(changed, gid), np.exp(ends(plain, gid)))
        before, after = (named(a, "estimates").get_offsets() for a in (plain, changed))
        np.testing.assert_allclose(after[:, 0], np.exp(before[:, 0]))
        np.testing.assert_allclose(after[:, 1], before[:, 1])
        assert changed.get_xscale() == "log"

    def test_a_numeric_moderator_is_no_category(self, trials):
        with pytest.raises(SpecificationError, match="'ablat' is no factor"):
            plots.orchard(trials, "ablat")
        assert labels(plots.orchard(trials).axes[0]) == ["At average moderators"]


class TestSwarm:
    def test_neighbours_are_apart_and_loners_stay(self):
        values = np.array([0.0, 5.0, 0.001, 0.002])
        found = _swarm.offsets(values, 0.1, 0.4)
        assert found[1] == 0.0
        assert (np.abs(found) <= 0.4).all()
        together = np.sort(found[[0, 2, 3]])
        assert np.diff(together).min() > 0.05

    def test_thousands_stay_within_their_category(self, many):
        y = named(plots.orchard(many).axes[0], "estimates").get_offsets()[:, 1]
        assert len(y) == 2000
        assert y.min() >= _swarm.SWARM - _swarm.HALF
        assert y.max() <= _swarm.SWARM + _swarm.HALF
        assert np.ptp(y) > _swarm.HALF

    def test_estimates_without_error_are_as_large_as_the_most_precise(self):
        areas = _swarm.areas(np.array([0.0, 0.1, 0.2]))
        assert areas[0] == areas[1]
        assert areas[2] == pytest.approx(areas[1] / 2)


class TestHeterogeneity:
    def test_bars_are_i2_and_the_first_is_their_sum(self, schools):
        ax = plots.heterogeneity(schools).axes[0]
        table = schools.heterogeneity()
        stacked = [p for p in ax.patches if p.get_y() < 0.5]
        single = [p for p in ax.patches if p.get_y() > 0.5]
        widths = [p.get_width() for p in single]
        np.testing.assert_allclose(widths[:3], table["i2"])
        assert widths[3] == pytest.approx(1 - table["i2"].iloc[-1])
        np.testing.assert_allclose([p.get_width() for p in stacked], [*widths[:2], widths[3]])
        edges = [(p.get_x(), p.get_x() + p.get_width()) for p in stacked]
        assert edges[0][0] == 0.0
        assert edges[-1][1] == pytest.approx(1.0)
        assert edges[0][1] == edges[1][0]

    def test_intervals_are_those_of_the_table(self, schools):
        ax = plots.heterogeneity(schools).axes[0]
        table = schools.heterogeneity()[["i2_lower", "i2_upper"]].to_numpy()
        drawn = ends(ax, "intervals")
        np.testing.assert_allclose(drawn[:3], table)
        np.testing.assert_allclose(drawn[3], 1 - table[2, ::-1])
        assert [t.get_text() for t in ax.texts][1] == "63% [31, 86]"
        assert labels(ax) == [
            "all variance",
            "district",
            "district/school",
            "total of the levels",
            "sampling error",
        ]

    def test_without_intervals(self, schools):
        ax = plots.heterogeneity(schools, alpha=None).axes[0]
        assert not len(named(ax, "intervals").get_segments())
        assert ax.texts[1].get_text() == "63%"

    def test_refused_where_there_is_nothing_to_divide(self):
        toy = datasets.load("toy")
        with pytest.raises(SpecificationError, match="no random terms"):
            plots.heterogeneity(fit("d ~ 1", toy, "Variance"))
