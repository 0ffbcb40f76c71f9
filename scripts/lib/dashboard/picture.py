"""Draws the dashboard from what its queries returned, with each panel where the dashboard has it."""
import math
import re

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plot  # noqa: E402
from matplotlib.colors import PowerNorm  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator  # noqa: E402
from PIL import Image  # noqa: E402

COLUMNS = 24
# Inches of a column, and of a unit of height.
WIDTH, HEIGHT = 0.58, 0.27
COLOURS = ["#3b7dd8", "#e0752d", "#4a9c5d", "#c4453d", "#8a63b5", "#b98b2f", "#2a9d9d", "#8c8c8c"]
TEXT = {"fontsize": 6, "color": "#444444"}
# The columns of the table of alerts.
ALERT = ["alertstate", "alertname", "severity", "instance", "export"]


def draw(dashboard, results, period, path):
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plot.figure(figsize=(COLUMNS * WIDTH, height * HEIGHT), facecolor="#f4f5f5")
    for panel in panels:
        place = panel["gridPos"]
        box = [place["x"] / COLUMNS, 1 - (place["y"] + place["h"]) / height, place["w"] / COLUMNS, place["h"] / height]
        if panel["type"] == "row":
            figure.text(0.004, box[1] + box[3] / 2, panel["title"], fontsize=9, weight="bold", va="center")
            continue
        add_frame(figure, box, panel["title"])
        answers = [(target, results[panel["id"], target["refId"]]) for target in panel["targets"]]
        PANELS[panel["type"]](figure, box, panel, answers, period)
    figure.savefig(path, dpi=95)
    plot.close(figure)
    # A palette makes the file a third as large.
    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def add_frame(figure, box, title):
    margin = 0.002
    figure.add_artist(plot.Rectangle((box[0] + margin, box[1] + margin / 2), box[2] - 2 * margin, box[3] - margin,
                                     facecolor="white", edgecolor="#d8d9da", linewidth=0.5, zorder=-1))
    figure.text(box[0] + 0.006, box[1] + box[3] - 0.003, title, fontsize=7, weight="bold", va="top")


def axes_in(figure, box, legend_rows):
    """Axes within a panel, below its title and above its legend."""
    panel = figure.get_figheight() * box[3]  # inches
    bottom, top = (0.25 + 0.11 * legend_rows) / panel, 0.25 / panel
    axes = figure.add_axes([box[0] + 0.035, box[1] + box[3] * bottom, box[2] - 0.045, box[3] * (1 - bottom - top)])
    axes.tick_params(labelsize=6, length=2, colors="#444444")
    axes.grid(True, linewidth=0.3)
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def draw_stat(figure, box, panel, answers, _):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    parts = []
    for target, data in answers:
        value = float(data[0]["values"][-1][1]) if data else math.nan
        parts.append(f"{written(value, unit)} {target['legendFormat']}".strip())
    size = 17 if len(parts) == 1 else 12
    figure.text(box[0] + box[2] / 2, box[1] + box[3] * 0.4, ", ".join(parts), fontsize=size, ha="center", va="center",
                color="#2f7d44")


def draw_series(figure, box, panel, answers, period):
    fields = panel["fieldConfig"]["defaults"]
    custom = fields["custom"]
    dashed = [re.compile(item["matcher"]["options"]) for item in panel["fieldConfig"]["overrides"]]
    lines = [(name_of(target["legendFormat"], each["metric"]), points(each, period))
             for target, data in answers for each in data]
    axes = axes_in(figure, box, math.ceil(min(len(lines), 9) / 3))
    base = {}
    for (name, (times, values)), colour in zip(lines, COLOURS * 3):
        if custom["drawStyle"] == "bars":
            below = [base.get(time, 0) for time in times]
            axes.bar(times, values, width=(period[1] - period[0]) / 240, bottom=below, color=colour, label=name)
            base.update((time, low + value) for time, low, value in zip(times, below, values))
        else:
            style = (0, (4, 3)) if any(pattern.fullmatch(name) for pattern in dashed) else "-"
            axes.plot(times, values, color=colour, linestyle=style, linewidth=0.8, label=name)
    if custom["scaleDistribution"]["type"] == "log":
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(0, fields.get("max"))
        axes.yaxis.set_major_locator(ticks(axes.get_ylim()[1], fields["unit"]))
    axes.set_xlim(0, period[1] - period[0])
    label(axes, fields["unit"])
    # Nine names at most, or a legend would cover its panel.
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles[:9], names[:9], loc="lower left", bbox_to_anchor=(box[0] + 0.004, box[1]), ncol=3, fontsize=5.5,
                  frameon=False, handlelength=1.2, columnspacing=1, labelspacing=0.15, borderaxespad=0.2)


def draw_heatmap(figure, box, panel, answers, period):
    # Prometheus' buckets are cumulative.
    buckets = sorted(((float(each["metric"]["le"]), dict(zip(*points(each, period)))) for each in answers[0][1]),
                     key=lambda bucket: bucket[0])
    bounds = [bound for bound, _ in buckets if math.isfinite(bound)]
    times = sorted(buckets[-1][1])
    rows = [[upper.get(time, 0) - lower.get(time, 0) or math.nan for time in times]
            for (_, lower), (_, upper) in zip(buckets, buckets[1:])][:len(bounds) - 1]
    axes = axes_in(figure, box, 0)
    axes.pcolormesh(times + [times[-1] + 1], bounds, rows, cmap="Oranges", norm=PowerNorm(0.5))
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 1)
    axes.minorticks_off()
    axes.grid(False)
    label(axes, panel["options"]["yAxis"]["unit"])


def draw_table(figure, box, panel, answers, _):
    rows = [[each["metric"].get(column, "") for column in ALERT] for each in answers[0][1]]
    columns = [0, 0.13, 0.6, 0.75, 0.88]
    for number, row in enumerate([ALERT] + sorted(rows)):
        for column, cell in zip(columns, row):
            figure.text(box[0] + 0.006 + column * (box[2] - 0.01), box[1] + box[3] * (0.86 - 0.08 * number), cell,
                        weight="bold" if number == 0 else "normal", va="top", **TEXT)


PANELS = {"stat": draw_stat, "timeseries": draw_series, "heatmap": draw_heatmap, "table": draw_table}


def points(each, period):
    """Seconds since the start, and values, of those that are numbers."""
    pairs = [(time - period[0], float(value)) for time, value in each["values"]]
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    return [time for time, _ in pairs], [value for _, value in pairs]


def name_of(legend, labels):
    return " ".join(re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend).split())


def ticks(highest, unit):
    """At most six marks on an axis, at powers of two for bytes."""
    if unit in ("bytes", "binBps") and highest > 0:
        return MultipleLocator(2 ** math.ceil(math.log2(highest / 5)))
    return MaxNLocator(5)


def label(axes, unit):
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 60:.0f} min" if value else "0"))
    axes.xaxis.set_major_locator(MultipleLocator(60))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))


def written(value, unit):
    """A value with its unit, as Grafana writes it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for factor, name in [(1, "s"), (1e3, "ms"), (1e6, "µs")]:
            if abs(value) * factor >= 1 or name == "µs":
                return f"{value * factor:.3g} {name}" if value else "0 s"
    base, names = (1024, ["B", "KiB", "MiB", "GiB"]) if unit in ("bytes", "binBps") else (1000, ["", "k", "M", "G"])
    power = 0
    while abs(value) >= base and power < 3:
        value, power = value / base, power + 1
    rate = {"binBps": "/s", "reqps": "/s", "cps": "/s"}.get(unit, "")
    return f"{value:.3g} {names[power]}{rate}".strip()
