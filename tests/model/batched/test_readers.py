"""Readers of batches: row groups and chunks, studies made whole."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, MetaMixedLM, batches
from tests.model.batched.simulated import effects

pytest.importorskip("pyarrow")


def written(folder, frame, kind, rows=17):
    """A file of row groups or lines, and a reader that cuts it every 17 rows."""
    if kind == "parquet":
        frame.to_parquet(folder / "effects.parquet", row_group_size=rows, index=False)
        return batches.parquet(folder / "effects.parquet", whole="study")
    frame.to_csv(folder / "effects.csv", index=False)
    return batches.csv(folder / "effects.csv", rows, whole="study")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_studies_come_whole_and_nothing_is_lost(tmp_path, kind):
    frame = effects().reset_index(drop=True)
    reader = written(tmp_path, frame, kind)
    for _ in range(2):
        parts = list(reader())
        assert len(parts) > 5
        together = pd.concat(parts, ignore_index=True)
        pd.testing.assert_frame_equal(together, frame, check_dtype=False)
        assert pd.concat(parts).index.tolist() == list(range(len(frame)))
        homes = pd.concat([p["study"].drop_duplicates() for p in parts])
        assert homes.is_unique


@pytest.mark.parametrize("rows", [1, 2, 50, 1000])
def test_a_study_larger_than_a_batch_is_one_batch(tmp_path, rows):
    frame = pd.DataFrame({"study": [1] * 7 + [2, 3] + [4] * 20 + [None, None, 5], "y": range(32)})
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=rows)
    parts = list(batches.parquet(tmp_path / "a.parquet", whole="study")())
    assert pd.concat(parts)["y"].tolist() == list(range(32))
    sizes = [p["study"].nunique(dropna=False) for p in parts if p["study"].eq(4).any()]
    assert sum(p["study"].eq(4).any() for p in parts) == 1
    assert sizes[0] == 1 or rows >= 50


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_fit_from_files(tmp_path, kind):
    frame = effects().reset_index(drop=True)
    reader = written(tmp_path, frame, kind)
    options = {"variance": "v", "groups": "study/id"}
    found = MetaMixedLM.from_batches("y ~ dose + arm", reader, **options).fit()
    wanted = MetaMixedLM.from_formula("y ~ dose + arm", frame, **options).fit()
    np.testing.assert_allclose(found.params, wanted.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse, wanted.bse, rtol=1e-9)


def test_several_files_folders_patterns_columns_and_rows(tmp_path):
    frame = effects().reset_index(drop=True)
    for k, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        frame.iloc[part].to_parquet(tmp_path / f"part-{k}.parquet")
    wanted = frame[["study", "y"]]
    paths = [tmp_path, tmp_path / "part-*.parquet", sorted(tmp_path.glob("*.parquet"))]
    for path in paths:
        parts = list(batches.parquet(path, columns=["study", "y"], rows=10)())
        assert max(map(len, parts)) <= 10
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), wanted)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no file.*none\.parquet"):
        batches.parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"no file.*\*\.csv"):
        batches.csv(tmp_path)
    with pytest.raises(DataError, match="path names no file"):
        batches.parquet([])
    with pytest.raises(DataError, match="chunksize"):
        batches.csv(tmp_path, 0)
    (tmp_path / "text.parquet").write_text("study,y\n")
    with pytest.raises(DataError, match=r"cannot read .*text\.parquet"):
        list(batches.parquet(tmp_path / "text.parquet")())
    (tmp_path / "ragged.csv").write_text("study,y\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match=r"cannot read .*ragged\.csv"):
        list(batches.csv(tmp_path / "ragged.csv")())


def test_columns_that_are_not_there(tmp_path):
    frame = effects().reset_index(drop=True)
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has no column 'z'; it has study"):
        list(batches.parquet(tmp_path / "a.parquet", columns=["study", "z"])())
    with pytest.raises(DataError, match="whole='z' is no column"):
        list(batches.parquet(tmp_path / "a.parquet", whole="z")())


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    effects().to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match="needs pyarrow"):
        list(batches.parquet(tmp_path / "a.parquet")())
