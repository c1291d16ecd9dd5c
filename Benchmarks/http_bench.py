#!/usr/bin/env python3
"""HTTP costs of apusd beside nginx on the same machine, in one run, interleaved; prints ratios.

    Benchmarks/http_bench.py [--seconds 4] [--rounds 5] [--gib 1] [--apusd .build/release/apusd]

Needs nginx (Debian's, its stock configuration plus dav_methods PUT), wrk and curl. Loopback only; every process
it starts ends with it. CPU is utime + stime of the server's processes over the requests that were answered; absolute
figures drift with the machine, ratios in one run do not.
"""
import argparse, hashlib, json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) * 1024


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Apus:
    def __init__(self, binary, folder):
        self.log = open(os.path.join(folder, "apusd.log"), "wb")
        data = os.path.join(folder, "data")
        self.process = subprocess.Popen([binary, "--data", data, "--any-port"], stdout=subprocess.PIPE, stderr=self.log)
        for line in self.process.stdout:
            if line.strip() == b"ready":
                break
        else:
            sys.exit("apusd did not become ready: see " + self.log.name)
        self.endpoints = json.load(open(os.path.join(data, "endpoints.json")))
        self.rc = dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]*)", open(os.path.join(data, "openrc")).read()))
        self.sign_in()

    def sign_in(self):
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": self.rc["OS_USERNAME"], "domain": {"name": "Default"}, "password": self.rc["OS_PASSWORD"]}}},
            "scope": {"project": {"name": self.rc["OS_PROJECT_NAME"], "domain": {"name": "Default"}}}}}
        request = urllib.request.Request(
            self.rc["OS_AUTH_URL"].rstrip("/") + "/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            self.token = answer.headers["X-Subject-Token"]
            for service in json.load(answer)["token"]["catalog"]:
                if service["type"] == "object-store":
                    self.storage = service["endpoints"][0]["url"]

    def put(self, path, data=b""):
        request = urllib.request.Request(f"{self.storage}/{path}", data, {"X-Auth-Token": self.token}, method="PUT")
        urllib.request.urlopen(request).read()

    pids = property(lambda self: [self.process.pid])
    headers = property(lambda self: ["-H", "X-Auth-Token: " + self.token])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Nginx:
    def __init__(self, folder):
        self.port = free_port()
        self.root = os.path.join(folder, "www")
        os.makedirs(self.root + "/dav/tmp")
        os.chmod(folder, 0o755)
        for path in (self.root, self.root + "/dav", self.root + "/dav/tmp"):
            shutil.chown(path, "www-data")
        # Debian's nginx.conf as it is: sendfile, tcp_nopush, worker_processes auto, access log on.
        conf = os.path.join(folder, "nginx.conf")
        open(conf, "w").write(f"""
user www-data; worker_processes auto; pid {folder}/nginx.pid; daemon off; error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
  sendfile on; tcp_nopush on; types_hash_max_size 2048; include /etc/nginx/mime.types; default_type application/octet-stream;
  access_log {folder}/access.log; gzip on; client_body_temp_path {self.root}/dav/tmp;
  server {{ listen 127.0.0.1:{self.port}; root {self.root}; client_max_body_size 0;
            location /dav {{ dav_methods PUT; }} }}
}}""")
        self.process = subprocess.Popen(["nginx", "-c", conf])
        deadline = time.time() + 10
        while time.time() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.05)

    @property
    def pids(self):
        out = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [self.process.pid] + [int(pid) for pid in out]

    url = property(lambda self: f"http://127.0.0.1:{self.port}")
    headers = []

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def wrk(server, url, seconds, script=None):
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", *server.headers] + (["-s", script] if script else []) + [url]
    before = cpu_seconds(server.pids)
    out = subprocess.run(command, capture_output=True, text=True).stdout
    used = cpu_seconds(server.pids) - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out:
        sys.exit("answers that are no success:\n" + out)
    return used / count * 1e6, count / seconds


def curl(*args):
    out = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", *args], capture_output=True, text=True).stdout
    code, seconds = out.split()
    if not code.startswith("2"):
        sys.exit(f"curl {args[-1]}: {code}")
    return float(seconds)


def interleaved(name, rounds, a, b, bound):
    """Runs both, in turns; prints medians and their ratio."""
    xs, ys = [], []
    for _ in range(rounds):
        xs.append(a())
        ys.append(b())
    x, y = statistics.median(v[0] for v in xs), statistics.median(v[0] for v in ys)
    rx, ry = statistics.median(v[1] for v in xs), statistics.median(v[1] for v in ys)
    print(f"{name:34s} apus {x:7.1f} us/req {rx:8.0f}/s   nginx {y:7.1f} us/req {ry:8.0f}/s   ratio {x / y:.2f} (at most {bound})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large-only", action="store_true")
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--apusd", default=".build/release/apusd")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="apus-bench-", dir=os.environ.get("APUS_BENCH_DIR", "/var/tmp"))
    servers = []
    try:
        apus = Apus(options.apusd, folder)
        servers.append(apus)
        nginx = Nginx(folder)
        servers.append(nginx)
        payload = os.urandom(4096)
        apus.put("bench")
        apus.put("bench/hot", payload)
        open(nginx.root + "/hot", "wb").write(payload)
        script = os.path.join(folder, "put.lua")
        open(script, "w").write("""
local body = {} ; for i = 1, 4096 do body[i] = string.char((i * 7919 + i * i) % 256) end
wrk.method = "PUT" ; wrk.body = table.concat(body)
local n = 0
request = function() n = n + 1 ; return wrk.format(nil, wrk.path .. "/o" .. (n % 20000)) end
""")
        seconds = options.seconds
        if options.large_only:
            return large(options, folder, apus, nginx)
        wrk(apus, apus.storage + "/bench/hot", 1)
        wrk(nginx, nginx.url + "/hot", 1)
        interleaved("hot 4 KiB GET", options.rounds, lambda: wrk(apus, apus.storage + "/bench/hot", seconds),
                    lambda: wrk(nginx, nginx.url + "/hot", seconds), 2)
        interleaved("durable 4 KiB PUT / un-synced PUT", options.rounds, lambda: wrk(apus, apus.storage + "/bench", seconds, script),
                    lambda: wrk(nginx, nginx.url + "/dav", seconds, script), 1.5)
        large(options, folder, apus, nginx)
        apus.sign_in()
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def large(options, folder, apus, nginx):
    size = int(options.gib * (1 << 30))
    source = os.path.join(folder, "large")
    with open(source, "wb") as out:
        piece = os.urandom(1 << 20)
        for n in range(size >> 20):
            out.write(n.to_bytes(8, "little") + piece[8:])
    shutil.copy(source, nginx.root + "/large")
    mib = size / (1 << 20)

    def disk_write():
        target = os.path.join(folder, "synced")
        start = time.time()
        subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", "oflag=direct", "conv=fdatasync"], stderr=subprocess.DEVNULL)
        seconds = time.time() - start
        os.unlink(target)
        return mib / seconds

    def md5():
        data = open(source, "rb").read(256 << 20)
        start = time.time()
        hashlib.md5(data).digest()
        return len(data) / (1 << 20) / (time.time() - start)

    def disk_read():
        start = time.time()
        subprocess.run(["dd", f"if={source}", "of=/dev/null", "bs=1M", "iflag=direct"], stderr=subprocess.DEVNULL)
        return mib / (time.time() - start)

    def forget():
        """Nothing of what is read next is in the page cache, nor is anything else still being written."""
        os.sync()
        try:
            open("/proc/sys/vm/drop_caches", "w").write("3")
        except OSError as error:
            print(f"the page cache can't be emptied ({error.strerror}): reads are partly from memory")

    puts, gets, disks, hashes, reads, loops, peaks = [], [], [], [], [], [], []
    for _ in range(3):
        disks.append(disk_write())
        hashes.append(md5())
        before = resident(apus.process.pid)
        puts.append(mib / curl("-T", source, "-H", "X-Auth-Token: " + apus.token, apus.storage + "/bench/large"))
        curl(nginx.url + "/large")  # from here on it comes from memory: loopback's rate, not the disk's
        loops.append(mib / curl(nginx.url + "/large"))
        forget()
        reads.append(disk_read())
        forget()
        gets.append(mib / curl("-H", "X-Auth-Token: " + apus.token, apus.storage + "/bench/large"))
        peaks.append((resident(apus.process.pid) - before) / (1 << 20))
    m = statistics.median
    floor = min(m(disks), m(hashes))
    print(f"{options.gib} GiB PUT  apus {m(puts):.0f} MiB/s; disk synced {m(disks):.0f}, MD5 {m(hashes):.0f}: ratio to the lower {m(puts) / floor:.2f} (at least 0.6)")
    floor = min(m(reads), m(loops))
    print(f"{options.gib} GiB GET  apus {m(gets):.0f} MiB/s; disk read {m(reads):.0f}, nginx on loopback {m(loops):.0f}: ratio to the lower {m(gets) / floor:.2f} (at least 0.6)")
    print(f"resident memory more after PUT and GET than before, MiB: {', '.join(f'{p:.0f}' for p in peaks)}")


main()
