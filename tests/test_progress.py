"""A bar appears when work takes long and somebody can see it."""

import io
import sys

from mvmeta import progress
from mvmeta.progress import Progress, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(monkeypatch):
    """Called in the test itself: pytest has its own standard error before."""
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    return out


def test_long_work_shows_a_bar_on_a_terminal(monkeypatch):
    out = screen(monkeypatch)
    monkeypatch.setattr(progress, "AFTER", -1.0)
    assert list(track([1, 2, 3], "fits")) == [1, 2, 3]
    assert "fits" in out.getvalue()
    assert "/3" in out.getvalue()


def test_short_work_shows_nothing(monkeypatch):
    out = screen(monkeypatch)
    assert list(track(iter("ab"), "fits", total=2)) == ["a", "b"]
    assert out.getvalue() == ""


def test_a_pipe_stays_quiet(monkeypatch):
    monkeypatch.setattr(progress, "AFTER", -1.0)
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with Progress("fits", 2) as p:
        p.step()
        p.step()
    assert out.getvalue() == ""


def test_without_tqdm_nothing_is_shown(monkeypatch):
    out = screen(monkeypatch)
    monkeypatch.setattr(progress, "AFTER", -1.0)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert list(track([1], "fits")) == [1]
    assert out.getvalue() == ""
