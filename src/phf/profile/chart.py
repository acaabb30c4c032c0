"""The histograms of a profile as a PNG."""

from pathlib import Path
from typing import Any

from phf.errors import MissingExtraError
from phf.profile.histogram import Bin, labels
from phf.profile.measure import Profile
from phf.storage.files import atomic_write

AT_OR_BELOW, ABOVE = "#2563eb", "#ea580c"


def write_chart(profile: Profile, path: Path) -> None:
    """Draw documents and segments side by side, coloured by the side of the threshold. Needs the extra `report`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("The chart of a profile (profile.png)", "matplotlib", "report") from error

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, level) in zip(figure.subplots(1, 2), profile.levels.items(), strict=True):
        _draw(axes, level.histogram, profile.threshold)
        estimated = "" if level.num_sampled is None else f" (estimated from {level.num_sampled:,})"
        axes.set_title(f"{level.scored.count:,} {name}s{estimated}", fontsize=10)
        axes.set_xlabel("misalignment score" if name == "segment" else "average misalignment score of a document")
        axes.set_ylabel(f"share of scored {name}s")
    _explain_colours(figure, profile.threshold)
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _draw(axes: Any, bins: list[Bin], threshold: float) -> None:
    """Bars of equal width, named by their upper ends: a bin that the threshold cuts has the colour of its upper end."""
    colours = [AT_OR_BELOW if bin.high <= threshold else ABOVE for bin in bins]
    axes.bar(range(len(bins)), [bin.share for bin in bins], color=colours, width=0.9)
    axes.set_xticks(range(len(bins)), [high for _, high in labels(bins)], rotation=60, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _explain_colours(figure: Any, threshold: float) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=AT_OR_BELOW, label=f"bin ends at or below {threshold:g}"),
        Patch(color=ABOVE, label=f"bin ends above {threshold:g}"),
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
