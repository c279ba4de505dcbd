"""`mvmeta fit`: fit a model to a file; print, write and draw what comes out."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mvmeta.cli.ahead import check_outputs
from mvmeta.cli.exits import DONE, NOT_CONVERGED
from mvmeta.cli.files import STANDARD_STREAM, read_data, read_matrix
from mvmeta.cli.fit_options import EXAMPLES, add_options
from mvmeta.cli.messages import say, stage
from mvmeta.cli.output import write
from mvmeta.cli.scales import scale
from mvmeta.cli.subset import chosen_rows

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta.model.results.results import MetaMixedLMResults


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fit",
        help="fit a model to a CSV or Parquet file",
        description="Fit a model and print its summary.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check_usage(args)
    scale(args.transform)  # a name that is none is an error before time is spent on the fit
    check_outputs(args)
    res = _estimate(args)
    if not (args.quiet or STANDARD_STREAM in _files(args)):
        print(res.summary(alpha=args.alpha))
    _write_all(res, args)
    if res.converged:
        return DONE
    say("warning", f"{res.status.value}; other --start values or a larger --maxiter may help")
    return NOT_CONVERGED


def _check_usage(args: argparse.Namespace) -> None:
    from mvmeta.model.testing.inference import ROBUST

    if (args.cluster is not None or args.repair) and args.cov_type not in ROBUST:
        flag = "--repair" if args.cluster is None else "--cluster"
        args.usage(f"{flag} goes with --cov-type {', '.join(ROBUST)} only")
    if args.vcalc is not None and args.variance is None:
        args.usage("--vcalc needs the sampling variances, --variance COLUMN")
    if _files(args).count(STANDARD_STREAM) > 1:
        args.usage("only one of the outputs can go to standard output")
    belonging = {
        "--title": args.title,
        "--question": args.question,
        "--report-plots": args.report_plots,
    }
    alone = [flag for flag, value in belonging.items() if value is not None]
    if alone and args.report is None:
        args.usage(f"{' and '.join(alone)} goes with --report FILE only")


def _files(args: argparse.Namespace) -> list[str]:
    return [f for f in (args.json, args.markdown, args.latex, args.report) if f is not None]


def _write_all(res: MetaMixedLMResults, args: argparse.Namespace) -> None:
    renderings: list[tuple[str | None, Callable[[], str]]] = [
        (args.json, lambda: res.to_json(args.alpha)),
        (args.markdown, lambda: res.to_markdown(alpha=args.alpha)),
        (args.latex, lambda: str(res.summary(alpha=args.alpha).as_latex())),
        (args.report, lambda: _report(res, args)),
    ]
    for path, render in renderings:
        if path is not None:
            write(path, render())
    for picture in args.plot or []:
        with stage(f"drawing {picture.path}"):
            picture.draw(res, args.alpha, scale(args.transform))


def _report(res: MetaMixedLMResults, args: argparse.Namespace) -> str:
    with stage("writing the report"):
        return str(
            res.report(
                title=args.title,
                question=args.question,
                plots=args.report_plots,
                transform=scale(args.transform),
                alpha=args.alpha,
            )
        )


def _estimate(args: argparse.Namespace) -> MetaMixedLMResults:
    import numpy as np
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    from mvmeta.model.mixed import MetaMixedLM

    with stage(f"reading {args.data}"):
        data = read_data(args.data, args.sep, args.decimal)
    model = MetaMixedLM.from_formula(
        args.formula,
        data,
        chosen_rows(data, args.subset),
        variance=_variance(args, data),
        groups=args.groups,
        random=[term.build() for term in args.random or []],
        equal=args.equal,
        weights=read_matrix(args.weights_matrix) if args.weights_matrix else args.weights,
        missing=args.missing,
        backend=args.backend,
        eval_env={"np": np},
    )
    # It speaks of Python attributes; `run` says the same in words of the shell.
    warnings.simplefilter("ignore", ConvergenceWarning)
    tol = {} if args.tol is None else {"tol": args.tol}
    with stage("fitting"):
        return model.fit(
            reml=not args.ml,
            use_t=args.t,
            start=args.start,
            maxiter=args.maxiter,
            **tol,
            **_tests(args, data),
        )


def _variance(args: argparse.Namespace, data: pd.DataFrame) -> Any:
    if args.variance is None:
        return read_matrix(args.variance_matrix)
    return args.variance if args.vcalc is None else args.vcalc.build(data, args.variance)


def _tests(args: argparse.Namespace, data: pd.DataFrame) -> dict[str, Any]:
    """The options of `fit` that say how coefficients are tested."""
    import pandas as pd

    from mvmeta.model.specification.frames import Source
    from mvmeta.model.testing.inference import ROBUST

    options: dict[str, Any] = {}
    if args.cluster is not None:
        source = Source(data)
        columns = {name: source.column(name, "--cluster") for name in args.cluster}
        options["groups"] = pd.DataFrame(columns) if len(columns) > 1 else columns.popitem()[1]
    if args.repair:
        options["repair"] = True
    if args.df is not None and args.cov_type in ROBUST:
        options["df"] = args.df
    df = "residual" if args.df is None else args.df
    return {"df": df, "cov_type": args.cov_type, "cov_kwds": options}
