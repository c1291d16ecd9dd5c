"""Signs in, stores and reads back, all through TLS; fails if plain HTTP is answered on the same ports.

    tls_client.py DATA_FOLDER CERTIFICATE
"""
import json, ssl, sys, urllib.request
folder, certificate = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)
names = json.load(open(folder + "/endpoints.json"))
assert names["identity"].startswith("https://") and names["object"].startswith("https://"), names
def call(verb, url, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, headers, method=verb)
    return urllib.request.urlopen(request, context=trust, timeout=60)
password = open(folder + "/admin-password").read().strip()
domain = {"name": "Default"}
auth = {"identity": {"methods": ["password"], "password": {"user": {
    "name": "admin", "domain": domain, "password": password}}},
    "scope": {"project": {"name": "admin", "domain": domain}}}
answer = call("POST", names["identity"] + "/v3/auth/tokens", json.dumps({"auth": auth}).encode(),
    Content_Type="application/json")
token, catalog = answer.headers["X-Subject-Token"], json.load(answer)["token"]["catalog"]
storage = [e["url"] for s in catalog if s["type"] == "object-store" for e in s["endpoints"]][0]
assert storage.startswith("https://"), storage
body = bytes(range(256)) * 8192
call("PUT", storage + "/c", b"", X_Auth_Token=token)
call("PUT", storage + "/c/o", body, X_Auth_Token=token)
assert call("GET", storage + "/c/o", X_Auth_Token=token).read() == body
for url in (names["identity"], names["object"]):
    try:
        urllib.request.urlopen(url.replace("https", "http"), timeout=60)
        sys.exit("plain HTTP was answered at " + url)
    except OSError:
        pass
print("tls: passed")
