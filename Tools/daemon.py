"""Starts, kills and finds an apusd for the rigs in this folder: Python's standard library only."""

import json
import os
import signal
import subprocess
import time
import urllib.request


class Daemon:
    """One apusd on one data folder, on ports of its own."""

    def __init__(self, program, data, extra=()):
        self.program = program
        self.data = data
        self.extra = list(extra)
        self.process = None
        self.log_path = data.rstrip("/") + ".log"
        self.endpoints = {}

    def start(self, seconds_max=60.0):
        """Starts it and waits for its "ready"; returns the seconds that took."""
        began = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--data", self.data, "--any-port", *self.extra],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        seen = b""
        while b"ready\n" not in seen:
            piece = self.process.stdout.read()
            if piece:
                seen += piece
                continue
            if self.process.poll() is not None:
                raise RuntimeError("apusd ended with %s:\n%s" % (self.process.returncode, self.log_tail()))
            if time.monotonic() - began > seconds_max:
                raise RuntimeError("apusd was not ready after %.0f s:\n%s" % (seconds_max, self.log_tail()))
            time.sleep(0.002)
        took = time.monotonic() - began
        with open(os.path.join(self.data, "endpoints.json"), encoding="utf-8") as file:
            self.endpoints = json.load(file)
        return took

    def kill(self):
        """kill -9: what a power cut is to the process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds_max=60.0):
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds_max)
        self.process.stdout.close()
        return code

    def password(self):
        with open(os.path.join(self.data, "admin-password"), encoding="utf-8") as file:
            return file.read().rstrip("\n")

    def sign_in(self):
        """v1 auth as the admin: (storage URL, token)."""
        request = urllib.request.Request(
            self.endpoints["object"] + "/auth/v1.0",
            headers={"X-Auth-User": "admin:admin", "X-Auth-Key": self.password()})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]

    def log_tail(self, count=40):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-count:])
        except FileNotFoundError:
            return "(no log)"


def find_program(root):
    """The newest apusd that was built, or the one $APUSD names."""
    named = os.environ.get("APUSD")
    if named:
        return named
    found = []
    for kind in ("release", "debug"):
        path = os.path.join(root, ".build", kind, "apusd")
        if os.access(path, os.X_OK):
            found.append((os.path.getmtime(path), path))
    if not found:
        raise SystemExit("There is no apusd in .build: run `swift build -c release --product apusd`, or set APUSD.")
    return max(found)[1]
