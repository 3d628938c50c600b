#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the answers of a running API against schema/openapi.yaml.

openapi_check.py OPENAPI.yaml SOCKET: asks a server on that Unix socket (tests/api_server.c: its captures are known), and
checks every answer's status, type, headers and body against what the description says of that path, method and status.
Every operation of the description must have been asked, with a good answer and, where it takes parameters, a bad one.
Prints TAP.
"""
import http.client
import json
import re
import socket
import sys
import time

import jsonschema
import yaml


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def to_json_schema(node, root):
    """OpenAPI 3.0's dialect as JSON Schema: references resolved in place, "nullable" as an alternative."""
    if isinstance(node, list):
        return [to_json_schema(x, root) for x in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = root
        for part in node["$ref"].lstrip("#/").split("/"):
            target = target[part]
        return to_json_schema(target, root)
    # a property may have such a name, too: then it is a schema
    out = {k: to_json_schema(v, root) for k, v in node.items()
           if isinstance(v, dict) or k not in ("nullable", "description", "format")}
    return {"anyOf": [{"type": "null"}, out]} if node.get("nullable") is True else out


def resolve(node, root):
    while "$ref" in node:
        target = root
        for part in node["$ref"].lstrip("#/").split("/"):
            target = target[part]
        node = target
    return node


class Checker:
    def __init__(self, path, sock):
        with open(path, encoding="utf-8") as f:
            self.root = yaml.safe_load(f)
        self.sock = sock
        self.count = self.failed = 0
        self.good, self.bad = set(), set()

    def report(self, name, problem=None):
        self.count += 1
        self.failed += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {self.count} - {name}")
        if problem:
            print("#   " + str(problem)[:2000].replace("\n", "\n#   "))

    def find(self, path):
        """The templates of the description that a path fits, the one without holes first."""
        fits = [t for t in self.root["paths"] if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", t), path)]
        return sorted(fits, key=lambda t: t.count("{"))[0] if fits else None

    def check(self, method, path, status, headers, body):
        template = self.find(path.partition("?")[0])
        operation = self.root["paths"][template][method.lower()]
        responses = operation["responses"]
        described = resolve(responses.get(str(status), responses["default"]), self.root)
        (self.good if status < 400 else self.bad).add((template, method))
        for name, header in described.get("headers", {}).items():
            if header.get("required") and name not in headers:
                return f"no {name} header"
        if "content" not in described:
            return f"a body where there is none: {body!r}" if body else None
        media = headers.get("Content-Type", "").partition(";")[0]
        if media not in described["content"]:
            return f"type {media!r}, not one of {list(described['content'])}"
        schema = to_json_schema(described["content"][media]["schema"], self.root)
        value = json.loads(body) if media == "application/json" else body.decode()
        errors = sorted(jsonschema.Draft7Validator(schema).iter_errors(value), key=lambda e: list(e.path))
        return "; ".join(f"{'/'.join(map(str, e.path))}: {e.message[:300]}" for e in errors[:5]) or None

    def ask(self, method, path, want, body=None):
        """Asks, checks, returns the JSON of the answer (or None) and the headers."""
        conn = Unix(self.sock)
        conn.request(method, path, body=body)
        r = conn.getresponse()
        data = r.read()
        conn.close()
        problem = f"status {r.status}, not {want}: {data!r}" if r.status != want else None
        self.report(f"{method} {path}{' ' + body if body else ''}: {want}",
                    problem or self.check(method, path, r.status, r.headers, data))
        return (json.loads(data) if data and "json" in r.headers["Content-Type"] else None), r.headers

    def coverage(self):
        for template, item in self.root["paths"].items():
            for method in ("get", "post", "delete"):
                if method not in item:
                    continue
                key = (template, method.upper())
                self.report(f"{key[1]} {template} was asked", None if key in self.good else "no good answer")
                if template not in ("/healthz", "/metrics", "/v1/status", "/v1/policies"):
                    self.report(f"{key[1]} {template} was refused once", None if key in self.bad or
                                key == ("/v1/replays", "GET") else "no bad answer")


def main():
    c = Checker(sys.argv[1], sys.argv[2])
    for path in ("/healthz", "/metrics", "/v1/status", "/v1/captures", "/v1/captures?limit=1", "/v1/captures?cursor=2",
                 "/v1/captures/1", "/v1/captures/3", "/v1/events", "/v1/events?capture=all&limit=1000",
                 "/v1/events?capture=2&order=desc", "/v1/events?capture=1&kind=cut", "/v1/domains", "/v1/domains?capture=1",
                 "/v1/iopts", "/v1/iopts?capture=2&at=1000014460", "/v1/policies", "/v1/replays"):
        c.ask("GET", path, 200)
    for path, status in (("/v1/captures/99", 404), ("/v1/captures?limit=x", 400), ("/v1/events?kind=x", 400),
                         ("/v1/events?capture=all&to=1", 422), ("/v1/domains?at=x", 400), ("/v1/iopts?capture=99", 404),
                         ("/v1/status?x=1", 400), ("/healthz?x=1", 400), ("/metrics?x=1", 400), ("/v1/replays?x=1", 400),
                         ("/v1/replays/0x1", 404), ("/v1/replays/0x1/gaps?policy=none", 404)):
        c.ask("GET", path, status)
    for body, status in (("{", 400), ("[]", 400), ('{"capture":99}', 422), ('{"policies":["x/y"]}', 422)):
        c.ask("POST", "/v1/replays", status, body)
    request = {"capture": 1, "range": {"from": 0, "to": 1000060252}, "policies": ["none", "sticky-v1"],
               "cost": {"cycles_per_page": 600, "cpu_mhz": 3000}}
    jsonschema.validate(request, to_json_schema(c.root["components"]["schemas"]["ReplayRequest"], c.root))
    _, headers = c.ask("POST", "/v1/replays", 202, json.dumps(request))
    path = headers["Location"]
    for _ in range(200):
        replay, _ = c.ask("GET", path, 200)
        if replay["state"] not in ("queued", "running"):
            break
        time.sleep(0.1)
    c.report("the replay is done", None if replay["state"] == "done" else replay)
    c.report("it has the numbers of the case", None if replay["result"]["policies"]["sticky-v1"]["flush_pages"] == 48
             else replay["result"])
    c.ask("GET", path + "/gaps?policy=sticky-v1", 200)
    c.ask("GET", path + "/gaps?policy=none&kind=leak,release&limit=1", 200)
    c.ask("GET", path + "/gaps", 400)
    c.ask("GET", "/v1/replays", 200)
    c.ask("DELETE", path, 204)
    c.ask("DELETE", path, 404)
    c.coverage()
    print(f"1..{c.count}")
    sys.exit(1 if c.failed else 0)


main()
