"""The picture of README.md: `python docs/founding_plot.py` draws docs/images/founding.png."""

from pathlib import Path

from mvmeta import MetaMixedLM, datasets, plots

IMAGE = Path(__file__).parent / "images" / "founding.png"


def main() -> None:
    """Draw where the three means come from."""
    toy = datasets.load("toy")
    res = MetaMixedLM.from_formula(
        "d ~ C(Category) - 1", data=toy, variance="Variance", groups="Study"
    ).fit()
    IMAGE.parent.mkdir(exist_ok=True)
    plots.evidence(res).savefig(IMAGE, dpi=110, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
