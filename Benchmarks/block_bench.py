#!/usr/bin/env python3
"""Apus's iSCSI target beside tgt on the same disk, in short slices that take turns, since machines drift.

    APUS_BENCHMARKS=1 APUS_WITHOUT_FACES=1 swift build -c release --scratch-path .build-bench --product apus-lun
    python3 Benchmarks/block_bench.py --lun .build-bench/release/apus-lun [--folder /disk] [--slices 6] [--seconds 1]

Needs tgt, libiscsi-dev and cc (Debian). Prints operations a second, server CPU for each, and the ratios that the issue asks for.
Apus acknowledges a write when it is on the medium; tgt's writes are followed by SYNCHRONIZE CACHE where durability is compared.
Where both sides flush now and then, ours is a volume with a write cache.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")

# name, verb, order, bytes, depth, tgt's flush, ours, our side, least ratio, most CPU ratio (None: not bounded)
LOADS = [
    # Before random writes: those leave a log-structured volume scattered until collection puts it in order again.
    ("1 MiB sequential read", "read", "sequential", 1 << 20, 4, 0, 0, "apus", 1.2, None),
    # tgt has its write cache on, as shipped: so has ours here, or it would flush each write.
    ("1 MiB sequential write, flush each 64 MiB", "write", "sequential", 1 << 20, 4, 64 << 20, 64 << 20, "cached", 1.0, None),
    ("random 4 KiB read, depth 1", "read", "random", 4096, 1, 0, 0, "apus", 1.2, 0.5),
    ("random 4 KiB read, depth 32", "read", "random", 4096, 32, 0, 0, "apus", 2.5, 0.5),
    ("durable random 4 KiB write, depth 1", "write", "random", 4096, 1, 1, 0, "apus", 1.5, None),
    ("durable random 4 KiB write, depth 32", "write", "random", 4096, 32, 1, 0, "apus", 4.0, None),
]


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_tgt(folder, size):
    port, control = free_port(), os.getpid() % 30000 + 1000
    image = os.path.join(folder, "tgt.img")
    with open(image, "wb") as f:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            f.write(block)
        f.flush()
        os.fsync(f.fileno())
    daemon = subprocess.Popen(
        ["tgtd", "-f", "-C", str(control), "--iscsi", f"portal=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    name = "iqn.2026-01.org.apus:tgt"

    def adm(*words):
        return subprocess.run(["tgtadm", "-C", str(control), "--lld", "iscsi", *words], capture_output=True).returncode

    for _ in range(100):
        if adm("--op", "new", "--mode", "target", "--tid", "1", "-T", name) == 0:
            break
        time.sleep(0.1)
    else:
        raise SystemExit("tgtd does not start")
    assert adm("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", image) == 0
    assert adm("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL") == 0
    return daemon, f"iscsi://127.0.0.1:{port}/{name}/1"


def start_apus(program, folder, size, *options):
    name = "".join(["apus", *options])
    daemon = subprocess.Popen(
        [program, os.path.join(folder, name), "--size", str(size), *options], stdout=subprocess.PIPE, text=True)
    line = daemon.stdout.readline().split()
    assert line and line[0] == "ready", line
    return daemon, f"iscsi://127.0.0.1:{line[1]}/iqn.2026-01.org.apus:lun/0"


@contextlib.contextmanager
def awake(by):
    """Keeps idle cores from halting, so that a wake costs what it costs on a machine of one's own and not an exit to a hypervisor.

    `qos`: by the kernel's own switch (a latency of 0 us asked of PM QoS: idle cores poll). `spin`, and where there is no such switch:
    by spinners that run only while nobody else wants the core (SCHED_IDLE).
    """
    latency = None
    if by == "qos":
        try:
            latency = open("/dev/cpu_dma_latency", "wb", buffering=0)
        except OSError:
            pass
    if not latency:
        spinners = [
            subprocess.Popen(
                ["sh", "-c", "while :; do :; done"],
                preexec_fn=lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)))
            for _ in range(os.cpu_count() or 1)]
        try:
            yield "idle-class spinners"
        finally:
            for spinner in spinners:
                spinner.kill()
                spinner.wait()
    else:
        with latency:
            latency.write(bytes(4))
            yield "PM QoS"


def run(bench, url, pid, verb, order, size, depth, seconds, flush):
    before = cpu(pid)
    out = subprocess.run(
        [bench, url, verb, order, str(size), str(depth), str(seconds), str(flush)], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{url}: {out.stderr}{out.stdout}")
    count, elapsed, _ = out.stdout.split()
    return int(count), float(elapsed), cpu(pid) - before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lun", required=True)
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--size", type=int, default=1 << 30)
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument(
        "--awake", nargs="?", const="qos", choices=("qos", "spin"),
        help="keep idle cores from halting: in a virtual machine a halted core's waking costs more than an operation")
    parser.add_argument("--only", default="", help="the loads whose names contain this")
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="block-bench-", dir=options.folder)
    bench = os.path.join(work, "iscsi_bench")
    daemons = []
    stack = contextlib.ExitStack()
    try:
        if options.awake:
            print(f"idle cores are kept awake by {stack.enter_context(awake(options.awake))}", flush=True)
        subprocess.run(["cc", "-O2", "-o", bench, os.path.join(HERE, "iscsi_bench.c"), "-liscsi"], check=True)
        sides = {}
        for name, start in (
            ("tgt", lambda: start_tgt(work, options.size)),
            ("apus", lambda: start_apus(options.lun, work, options.size)),
            ("cached", lambda: start_apus(options.lun, work, options.size, "--write-cache")),
        ):
            daemon, url = start()
            daemons.append(daemon)
            sides[name] = (url, daemon.pid)
        # Every block of ours is written once, as every block of tgt's file was.
        for side in ("apus", "cached"):
            run(bench, *sides[side], "write", "sequential", 1 << 20, 4, max(4, options.size / (150 << 20)), 0)
        # Both from the page cache, as far as it reaches.
        for url, pid in sides.values():
            run(bench, url, pid, "read", "sequential", 1 << 20, 4, max(3, options.size / (300 << 20)), 0)
        bad = 0
        for name, verb, order, size, depth, their_flush, our_flush, ours, least, most_cpu in LOADS:
            if options.only not in name:
                continue
            total = {side: [0, 0.0, 0.0] for side in ("tgt", ours)}
            for slice in range(options.slices):
                for side in ("tgt", ours) if slice % 2 == 0 else (ours, "tgt"):
                    url, pid = sides[side]
                    flush = their_flush if side == "tgt" else our_flush
                    for at, value in enumerate(run(bench, url, pid, verb, order, size, depth, options.seconds, flush)):
                        total[side][at] += value
            rate = {side: total[side][0] / total[side][1] for side in total}
            micros = {side: total[side][2] / max(1, total[side][0]) * 1e6 for side in total}
            ratio, cpu_ratio = rate[ours] / rate["tgt"], micros[ours] / micros["tgt"]
            verdict = ratio >= least and (most_cpu is None or cpu_ratio <= most_cpu)
            bad += not verdict
            print(
                f"{name:44} apus {rate[ours]:9.0f}/s {micros[ours]:7.1f} us   tgt {rate['tgt']:9.0f}/s {micros['tgt']:7.1f} us"
                f"   ratio {ratio:5.2f} (at least {least}), CPU {cpu_ratio:4.2f}"
                f"{'' if most_cpu is None else f' (at most {most_cpu})'}{'' if verdict else '   MISSED'}", flush=True)
        raise SystemExit(1 if bad else 0)
    finally:
        stack.close()
        for daemon in daemons:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
