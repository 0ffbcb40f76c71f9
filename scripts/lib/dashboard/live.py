"""Runs every query of the dashboard, and the alerts, with a Prometheus that scrapes two loaded servers: live.py
[--picture FILE]. RAMDISK_NBD names the program."""
import argparse
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import nbd

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "contrib/grafana/ramdisk-nbd.json"
RULES = ROOT / "contrib/prometheus/ramdisk-nbd.rules.yml"
# What the load does wrong, and nothing else, may fire. Those with a longer "for" are tested by promtool alone.
EXPECTED_ALERTS = {"RamdiskNBDIOErrors", "RamdiskNBDRequestsRefused", "RamdiskNBDProtocolViolations",
                   "RamdiskNBDClientsRejected", "RamdiskNBDRestarted", "RamdiskNBDSaveFailed",
                   "RamdiskNBDSnapshotLost"}
MAXIMUM_CONNECTIONS = 16
SAVE_EVERY = 3


class Child:
    """A program that runs until the end of a `with` statement."""

    def __init__(self, command, log):
        self.command, self.log = [str(part) for part in command], log

    def __enter__(self):
        with open(self.log, "a") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for(self, condition, what):
        """Returns when the condition is true. Ends the program if that does not happen, or a signal arrives."""
        deadline = time.monotonic() + 30
        try:
            while not condition():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{what} did not start: {Path(self.log).read_text()[-2000:]}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise


class Server:
    """A ramdisk-nbd server with a metrics address that stays the same after a restart."""

    def __init__(self, name, directory, *options):
        self.name, self.port = name, free_port()
        self.socket, self.control, self.log = (directory / f"{name}.{end}" for end in ("socket", "control", "log"))
        self.command = [os.environ["RAMDISK_NBD"], "serve", "--unix", self.socket, "--control", self.control,
                        "--metrics-listen", f"127.0.0.1:{self.port}", *options]

    def __enter__(self):
        self.child = Child(self.command, self.log).__enter__()
        self.child.wait_for(self.is_ready, f"The server {self.name}")
        return self

    def __exit__(self, *_):
        self.child.__exit__()

    def is_ready(self):
        try:
            return bool(get(f"http://127.0.0.1:{self.port}/healthz"))
        except OSError:
            return False

    def restart(self):
        self.__exit__()
        # Long enough for a scrape to fail.
        time.sleep(3)
        self.__enter__()

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def fio(self, export, *options):
        """A load for as long as the `with` statement."""
        # In threads, so that a signal to the one process ends all.
        return Child(["fio", "--name=load", "--ioengine=nbd", f"--uri={self.uri(export)}", "--thread",
                      "--time_based", "--runtime=900", *options], self.log)

    def snapshot(self, name):
        subprocess.run([os.environ["RAMDISK_NBD"], "snapshot", "create", "--control", self.control, name], check=True,
                       stdout=subprocess.DEVNULL)

    def metrics(self):
        return get(f"http://127.0.0.1:{self.port}/metrics")


class Prometheus(Child):
    """A Prometheus that scrapes servers each second."""

    def __init__(self, directory, servers):
        self.url = f"http://127.0.0.1:{free_port()}"
        # Names for the servers, so that pictures of two runs look alike.
        targets = "".join(f'\n      - targets: ["127.0.0.1:{server.port}"]\n        labels: {{instance: {server.name}}}'
                          for server in servers)
        config = directory / "prometheus.yml"
        config.write_text(f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{RULES}"]
scrape_configs:
  - job_name: ramdisk-nbd
    static_configs:{targets}
""")
        super().__init__(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb",
                          f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"],
                         directory / "prometheus.log")

    def __enter__(self):
        super().__enter__()
        self.wait_for(self.is_ready, "Prometheus")
        return self

    def is_ready(self):
        try:
            return bool(get(self.url + "/-/ready"))
        except OSError:
            return False

    def ask(self, path, **parameters):
        """The data of a reply of Prometheus' API; a string with the error if there is one."""
        try:
            return json.loads(get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]
        except urllib.error.HTTPError as error:
            return json.load(error)["error"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as reply:
        return reply.read().decode()


# Load

def make_load(one, two, images, seconds):
    """Loads two servers, and does all that the panels and the alerts are about."""
    two.snapshot("@clean")
    step = seconds / 10
    with one.fio("vm", "--rw=randrw", "--bs=4k", "--iodepth=16", "--rate_iops=2000,900"), \
            one.fio("logs", "--rw=write", "--bs=64k", "--iodepth=4", "--rate=25m", "--fsync=50"):
        with two.fio("", "--rw=randtrimwrite", "--bs=16k", "--iodepth=4", "--rate_iops=300"):
            time.sleep(2 * step)
            make_mistakes(one, "vm")
            # It is lost soon, since the load changes many pages of it.
            one.snapshot("vm@before")
            time.sleep(step)
            fail_a_save(images)
            time.sleep(step)
        two.restart()
        two.snapshot("@restarted")
        with two.fio("", "--rw=randrw", "--bs=16k", "--iodepth=8", "--rate_iops=500,200"), \
                one.fio("vm", "--rw=randread", "--bs=4k", "--iodepth=64", "--numjobs=2", "--rate_iops=15000"):
            time.sleep(3 * step)
            be_rejected(one, "logs")
        time.sleep(max(2 * step, 5))


def make_mistakes(server, export):
    """Gets two error replies (beyond the end: EINVAL and ENOSPC), and violates the protocol."""
    client = nbd.NBD()
    client.set_strict_mode(0)
    client.connect_uri(server.uri(export))
    for mistake in (client.pread, lambda count, offset: client.pwrite(bytes(count), offset)):
        try:
            mistake(4096, client.get_size())
            sys.exit("a request beyond the end of the disk has succeeded")
        except nbd.Error:
            pass
    client.shutdown()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(server.socket))
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while stranger.recv(4096):
            pass


def fail_a_save(images):
    """Takes the directory of an image away until a save has failed."""
    away = images.with_name("away")
    images.rename(away)
    time.sleep(SAVE_EVERY + 2)
    away.rename(images)


def be_rejected(server, export):
    """Connects more clients than the server serves."""
    clients = []
    for _ in range(MAXIMUM_CONNECTIONS + 10):
        # A client is connected for as long as it is in the list.
        clients.append(nbd.NBD())
        try:
            clients[-1].connect_uri(server.uri(export))
        except nbd.Error:
            pass
    # Long enough for two scrapes.
    time.sleep(2)


# Queries

def run_queries(dashboard, prometheus, start, end):
    """The results of each query, by the panel's id and the query's letter, and what is wrong with them."""
    results, faults = {}, []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            where = f"{panel['title']} {target['refId']}"
            data = run(prometheus, target["expr"], start, end, target["instant"])
            faults += [f"{where}: {fault}" for fault in faults_of(data, target["legendFormat"])]
            results[panel["id"], target["refId"]] = data
            print(f"{where}: {len(data)} series")
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            data = run(prometheus, annotation["expr"], start, end)
            faults += [f"{annotation['name']}: {fault}" for fault in faults_of(data, annotation["titleFormat"])]
    return results, faults


def run(prometheus, expression, start, end, instant=False):
    """The series of a query of the dashboard, as Grafana would ask for it; a string with the error if there is one."""
    # Grafana's own variable is at least four times the scrape interval.
    expression = expression.replace("$__rate_interval", "5s").replace("$__range", f"{end - start:.0f}s")
    expression = re.sub(r"\$(job|instance|export)\b", ".*", expression)
    if instant:
        data = prometheus.ask("query", query=expression, time=end)
    else:
        data = prometheus.ask("query_range", query=expression, start=start, end=end, step=max(1, (end - start) / 240))
    return data if isinstance(data, str) else data["result"]


def faults_of(data, legend):
    """What is wrong with the result of a query."""
    if isinstance(data, str):
        return [data]
    if not data:
        return ["returns no data"]
    values = [float(value) for each in data for _, value in each.get("values", [each.get("value")])]
    if not any(math.isfinite(value) and value > 0 for value in values):
        return ["returns nothing but zeroes, under all of that load"]
    # Prometheus has no label for the name of the disk without one, which is empty.
    known = {label for each in data for label in each["metric"]} | {"export"}
    return [f"the legend names {label}, which no series has"
            for label in re.findall(r"\{\{(\w+)\}\}", legend) if label not in known]


def faults_of_variables(dashboard, prometheus):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            selector = re.sub(r"\$(job|instance)\b", ".*", selector)
            if not prometheus.ask(f"label/{label}/values", **{"match[]": selector}):
                yield f"the variable {variable['name']} has no values"


def faults_of_alerts(prometheus, start, end):
    found = run(prometheus, 'ALERTS{alertstate="firing"}', start, end)
    fired = {each["metric"]["alertname"] for each in found}
    print(f"alerts: {', '.join(sorted(fired))}")
    yield from (f"{name} did not fire" for name in EXPECTED_ALERTS - fired)
    yield from (f"{name} fired without a reason" for name in fired - EXPECTED_ALERTS)
    for alert in prometheus.ask("alerts")["alerts"]:
        for text in alert["annotations"].values():
            if "error expanding" in text or "no value" in text:
                yield f"{alert['labels']['alertname']}: {text}"


def faults_of_metrics(servers):
    """What promtool says of the names and the format of the metrics."""
    for server in servers:
        result = subprocess.run(["promtool", "check", "metrics"], input=server.metrics(), text=True, capture_output=True)
        if result.returncode != 0 or result.stderr:
            yield f"promtool check metrics: {result.stderr}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    # SIGTERM ends the children first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seconds = 300 if options.picture else 60
    dashboard = json.loads(DASHBOARD.read_text())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dashboard-test.")))
        images = directory / "images"
        images.mkdir()
        one = stack.enter_context(Server("one", directory, "--export", "vm=128M", "--export", "logs=64M",
                                         "--snapshot-memory", "256K", "--max-connections", str(MAXIMUM_CONNECTIONS)))
        two = stack.enter_context(Server("two", directory, "--size", "128M", "--sparse",
                                         "--image", images / "two.img", "--save-every", f"{SAVE_EVERY}s"))
        prometheus = stack.enter_context(Prometheus(directory, [one, two]))
        start = time.time()
        print(f"{seconds} s of load")
        make_load(one, two, images, seconds)
        end = time.time()
        results, faults = run_queries(dashboard, prometheus, start, end)
        faults += [*faults_of_variables(dashboard, prometheus), *faults_of_alerts(prometheus, start, end),
                   *faults_of_metrics([one, two])]
    if options.picture and not faults:
        import picture
        picture.draw(dashboard, results, (start, end), options.picture)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(results)} queries, {len(faults) or 'no'} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
