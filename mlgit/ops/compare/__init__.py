"""Comparing sides: parameters, metrics and plots between any two commits, or a commit and the working tree."""

from mlgit.ops.compare.page import export, render_html, render_image
from mlgit.ops.compare.plots import Drawing, Figure, plots_diff, plots_show
from mlgit.ops.compare.values import metrics_diff, metrics_show, params_diff

__all__ = [
    "Drawing",
    "Figure",
    "export",
    "metrics_diff",
    "metrics_show",
    "params_diff",
    "plots_diff",
    "plots_show",
    "render_html",
    "render_image",
]
