#!/usr/bin/env python3
"""Images and Identity, measured on the real daemon beside what the machine gives: one table, all in one run.

    Benchmarks/image_bench.py --apusd .build/release/apusd [--gib 1] [--large 100] [--volumes 1000]

- upload: curl sends GIB GiB of noise; beside it the disk's synced rate (dd, conv=fsync, same disk) and the rates of MD5 and
  SHA-512 on one core (Python's hashlib over OpenSSL). The bound is 0.6 of the lowest of the three.
- download: curl to /dev/null; beside it the disk's read rate (O_DIRECT) and loopback (a socket pair of processes). 0.6 of the lower.
- volume from image: POST until `available`, polled without a pause; of the GIB image and of a sparse one of LARGE GiB.
- VOLUMES volumes from one image, one after the other.
- tokens: GET /v3/auth/tokens on one connection; the daemon's CPU time for each, from /proc.
Needs curl. Standard library only.
"""

import argparse
import hashlib
import http.client
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Tools"))
sys.dont_write_bytecode = True
from daemon import Daemon  # noqa: E402


def timed(body):
    began = time.monotonic()
    body()
    return time.monotonic() - began


def run(*arguments):
    subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def hash_rate(name, mib=512):
    block = os.urandom(1 << 20)
    digest = hashlib.new(name)
    took = timed(lambda: [digest.update(block) for _ in range(mib)])
    return mib / took


def _receive(listener):
    connection, _ = listener.accept()
    buffer = bytearray(1 << 20)
    while connection.recv_into(buffer):
        pass
    connection.sendall(b"!")


def loopback_rate(path, mib):
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = multiprocessing.Process(target=_receive, args=(listener,))
    receiver.start()

    def send():
        with socket.create_connection(listener.getsockname()) as sender, open(path, "rb") as file:
            sender.sendfile(file)
            sender.shutdown(socket.SHUT_WR)
            sender.recv(1)

    took = timed(send)
    receiver.join()
    return mib / took


class Cloud:
    def __init__(self, daemon):
        self.daemon = daemon
        user = {"name": "admin", "domain": {"name": "Default"}, "password": daemon.password()}
        self.sign_in_body = json.dumps({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": {"name": "Default"}}}}}).encode()
        self.connections = {}
        answer, body = self.ask("identity", "POST", "/v3/auth/tokens", self.sign_in_body, signed=False)
        self.token = answer.headers["X-Subject-Token"]
        self.project = json.loads(body)["token"]["project"]["id"]

    def ask(self, service, method, path, body=None, signed=True, headers=()):
        if service not in self.connections:
            self.connections[service] = http.client.HTTPConnection(urllib.parse.urlsplit(self.daemon.endpoints[service]).netloc, timeout=600)
        connection = self.connections[service]
        all_headers = {"Content-Type": "application/json", **dict(headers)}
        if signed:
            all_headers["X-Auth-Token"] = self.token
        try:
            connection.request(method, path, body, all_headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # Idle for too long while another service was measured: the daemon has closed it, as it should.
            connection.close()
            connection.request(method, path, body, all_headers)
            answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, "%s %s: %d %s" % (method, path, answer.status, text[:500])
        return answer, text

    def image(self, name):
        body = json.dumps({"name": name, "disk_format": "raw", "container_format": "bare"}).encode()
        return json.loads(self.ask("image", "POST", "/v2/images", body)[1])["id"]

    def curl(self, *arguments):
        run("curl", "-sf", "-H", "X-Auth-Token: " + self.token, *arguments)

    def upload(self, image, path):
        return timed(lambda: self.curl(
            "-T", path, "-H", "Content-Type: application/octet-stream", "-H", "Expect:", "%s/v2/images/%s/file" % (self.daemon.endpoints["image"], image)))

    def volume(self, image, size):
        """Milliseconds until it is available."""
        body = json.dumps({"volume": {"size": size, "imageRef": image}}).encode()
        began = time.monotonic()
        made = json.loads(self.ask("volume", "POST", "/v3/%s/volumes" % self.project, body)[1])["volume"]["id"]
        while True:
            status = json.loads(self.ask("volume", "GET", "/v3/%s/volumes/%s" % (self.project, made))[1])["volume"]["status"]
            if status == "available":
                return (time.monotonic() - began) * 1000
            assert status in ("creating", "downloading"), status


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apusd", required=True)
    parser.add_argument("--gib", type=int, default=1)
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--volumes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", default=None, help="on the disk that is measured")
    arguments = parser.parse_args()
    work = tempfile.mkdtemp(prefix="apus-image-bench-", dir=arguments.folder)
    daemon = Daemon(os.path.abspath(arguments.apusd), os.path.join(work, "data"), [
        "--set", "metrics.enabled=false", "--set", "log.level=warning", "--set", "volume.quota_volumes=-1", "--set", "volume.quota_gigabytes=-1",
        "--set", "volume.over_subscription_max=1000"])
    mib = arguments.gib << 10
    noise = os.path.join(work, "noise")
    copy = os.path.join(work, "copy")
    try:
        daemon.start()
        cloud = Cloud(daemon)
        with open(noise, "wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        os.sync()
        md5, sha512 = hash_rate("md5"), hash_rate("sha512")
        disks, uploads, downloads, reads, loops = [], [], [], [], []
        image = None
        for _ in range(arguments.runs):
            disks.append(mib / timed(lambda: run("dd", "if=" + noise, "of=" + copy, "bs=1M", "conv=fsync")))
            os.remove(copy)
            image = cloud.image("noise")
            uploads.append(mib / cloud.upload(image, noise))
        for _ in range(arguments.runs):
            reads.append(mib / timed(lambda: run("dd", "if=" + noise, "of=/dev/null", "bs=1M", "iflag=direct")))
            loops.append(loopback_rate(noise, mib))
            downloads.append(mib / timed(lambda: cloud.curl("-o", "/dev/null", "%s/v2/images/%s/file" % (daemon.endpoints["image"], image))))
        disk, upload, download, read, loop = (statistics.median(x) for x in (disks, uploads, downloads, reads, loops))
        floor = min(disk, md5, sha512)
        print("| measured | MiB/s | beside it | ratio | bound |")
        print("|---|---|---|---|---|")
        print("| upload | %.0f | disk %.0f, MD5 %.0f, SHA-512 %.0f | %.2f | 0.6 |" % (upload, disk, md5, sha512, upload / floor))
        floor = min(read, loop)
        print("| download | %.0f | disk %.0f, loopback %.0f | %.2f | 0.6 |" % (download, read, loop, download / floor))
        sys.stdout.flush()

        large = os.path.join(work, "large")
        with open(large, "wb") as file:
            file.truncate(arguments.large << 30)
            file.write(b"x")
        big = cloud.image("large")
        took = cloud.upload(big, large)
        small_ms, large_ms = [], []
        for _ in range(20):
            small_ms.append(cloud.volume(image, arguments.gib))
            large_ms.append(cloud.volume(big, arguments.large + 1))
        small, large_median = statistics.median(small_ms), statistics.median(large_ms)
        print("\n| volume from an image of | ms (median of 20) | bound |\n|---|---|---|")
        print("| %d GiB | %.1f | 20 |" % (arguments.gib, small))
        print("| %d GiB, sparse (its upload: %.0f s) | %.1f, %.2f times | 20, 1.2 times |" % (arguments.large, took, large_median, large_median / small))
        began = time.monotonic()
        every = [cloud.volume(image, arguments.gib) for _ in range(arguments.volumes)]
        print("| %d times %d GiB | %.1f; all in %.1f s | |" % (arguments.volumes, arguments.gib, statistics.median(every), time.monotonic() - began))
        sys.stdout.flush()

        pid = daemon.process.pid
        headers = {"X-Subject-Token": cloud.token}
        for _ in range(200):
            cloud.ask("identity", "GET", "/v3/auth/tokens?nocatalog", headers=headers)
        count = 10_000
        cpu = cpu_seconds(pid)
        took = timed(lambda: [cloud.ask("identity", "GET", "/v3/auth/tokens?nocatalog", headers=headers) for _ in range(count)])
        cpu = cpu_seconds(pid) - cpu
        logins = [timed(lambda: cloud.ask("identity", "POST", "/v3/auth/tokens", cloud.sign_in_body, signed=False)) * 1000 for _ in range(10)]
        print("\n| Identity | measured | bound |\n|---|---|---|")
        print("| token validations over HTTP, one connection | %.0f/s; %.0f for each second of the daemon's CPU | 5,000 a core |" % (count / took, count / cpu))
        print("| password sign-in | %.0f ms | slow, as scrypt should be |" % statistics.median(logins))
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
