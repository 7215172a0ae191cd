# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation: error trade-off and score histogram. Needs the ``plots`` extra."""

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import MissingExtraError
from voiceauth.scoring.metrics import roc_of
from voiceauth.scoring.trials import Trials

_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5)
_BINS = 60


def plot_det(path: Path, curves: dict[str, Trials]) -> None:
    """Draw the detection error trade-off of one or more sets of trials as PNG.

    Args:
        path: file to write.
        curves: label to trials.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = _canvas()
    for label, trials in curves.items():
        sweep = roc_of(trials)
        axes.plot(_probit(sweep.false_match), _probit(sweep.false_non_match), label=label)
    places = [NormalDist().inv_cdf(tick) for tick in _TICKS]
    names = [f"{100 * tick:g} %" for tick in _TICKS]
    axes.set(
        xticks=places,
        yticks=places,
        xticklabels=names,
        yticklabels=names,
        xlim=(places[0], places[-1]),
        ylim=(places[0], places[-1]),
        xlabel="false-match rate",
        ylabel="false-non-match rate",
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(str(path), dpi=120, bbox_inches="tight")


def plot_scores(path: Path, trials: Trials, name: str = "score") -> None:
    """Draw the score histograms of both kinds of trials as PNG. Raises as ``plot_det``."""
    figure, axes = _canvas()
    edges = np.histogram_bin_edges(trials.scores, _BINS)
    for label, kind in (("same speaker", trials.target), ("different speakers", ~trials.target)):
        axes.hist(trials.scores[kind], edges, density=True, alpha=0.6, label=label)
    axes.set(xlabel=name, ylabel="density")
    axes.legend()
    figure.savefig(str(path), dpi=120, bbox_inches="tight")


def _probit(rates: NDArray[np.float64]) -> list[float]:
    """Normal deviates; rates of exactly 0 and 1 are drawn at the edge of the picture."""
    normal = NormalDist()
    return [normal.inv_cdf(min(max(rate, 1e-6), 1.0 - 1e-6)) for rate in rates.tolist()]


def _canvas() -> tuple[Any, Any]:
    """Make a figure that needs no display and touches no global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots") from error
    figure = Figure(figsize=(6.0, 5.0))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
