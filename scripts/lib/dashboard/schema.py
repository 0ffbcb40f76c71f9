"""Checks the JSON of a Grafana dashboard: schema.py FILE. Needs grafana-foundation-sdk.

Grafana's types read the dashboard and write it again. They drop what Grafana does not know, such as an option with a
mistake in its name, so everything must come back.
"""
import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as grafana

# Types of panels that every Grafana has.
BUILT_IN = {"row", "stat", "timeseries", "heatmap", "table"}
# What an annotation of a Prometheus has, and the schema leaves to the data source.
OF_THE_SOURCE = {".annotations.list[1].titleFormat"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def main():
    with open(sys.argv[1]) as file:
        dashboard = json.load(file)
    plugins.register_default_plugins()
    again = json.loads(JSONEncoder().encode(grafana.Dashboard.from_json(dashboard)))
    faults = [*differences(dashboard, again, ""), *own_rules(dashboard)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(dashboard['panels'])} panels, schema version {dashboard['schemaVersion']}: "
          f"{len(faults) or 'no'} faults")
    sys.exit(1 if faults else 0)


def differences(ours, theirs, path):
    """What of ours the other does not have, or has with another value."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{path}.{key}")
            elif value is not None and f"{path}.{key}" not in OF_THE_SOURCE:
                yield f"{path}.{key}: Grafana does not know it"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} becomes {theirs!r}"


def own_rules(dashboard):
    """What the schema does not say: the layout, and that the dashboard works with any data source."""
    panels = dashboard["panels"]
    if dashboard["schemaVersion"] < 39:
        yield "the schema version is below 39"
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have the same id"
    taken = {}
    for panel in panels:
        title, place = panel["title"], panel["gridPos"]
        if panel["type"] not in BUILT_IN:
            yield f"{title}: {panel['type']} is a plugin"
        if place["x"] + place["w"] > COLUMNS:
            yield f"{title}: wider than the dashboard"
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])):
            if cell in taken:
                yield f"{title}: covers {taken[cell]}"
                break
            taken[cell] = title
        targets = panel.get("targets", [])
        if len({target["refId"] for target in targets}) != len(targets):
            yield f"{title}: two queries have the same refId"
        if panel["type"] != "row" and not (targets and panel.get("description")):
            yield f"{title}: has no query or no description"
        for part in ([panel] if targets else []) + targets:
            if part["datasource"] != SOURCE:
                yield f"{title}: names a data source of its own"


if __name__ == "__main__":
    main()
