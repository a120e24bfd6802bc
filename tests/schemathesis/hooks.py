"""What Schemathesis cannot know of this API: what a refusal must not say, and what there is."""

import itertools
import json
import os
import re
import urllib.request

import schemathesis

# What no text of a refusal holds: they are sentences, not a program's insides.
INSIDES = re.compile(r"panicked|\.rs:\d|RUST_BACKTRACE|with overflow")

ADDRESS = os.environ.get("ORDU_SCHEMATHESIS_ADDRESS", "http://127.0.0.1:4646")
# What the test has registered, so that requests also find something.
JOBS = [job for job in os.environ.get("ORDU_SCHEMATHESIS_JOBS", "").split(",") if job]
# Where the ids are that a path can be asked for.
LISTS = {
    "/v1/node/{id}": "/v1/nodes",
    "/v1/allocation/{id}": "/v1/allocations",
    "/v1/evaluation/{id}": "/v1/evaluations",
    "/v1/deployment/{id}": "/v1/deployments",
}
# A job that is valid and runs nowhere.
VALID = {
    "Name": "fuzz",
    "Type": "batch",
    "Priority": 50,
    "Region": "global",
    "Namespace": "default",
    "Datacenters": ["nowhere"],
    "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "true"}}]}],
}
VALID_HCL = 'job "fuzz" { datacenters = ["nowhere"] group "g" { task "t" { driver = "raw_exec" } } }'
TURNS = itertools.count()


@schemathesis.check
def no_insides(ctx, response, case):
    """No text tells a program's insides."""
    if response.status_code >= 400:
        assert response.text.strip(), "a refusal without a word"
        assert not INSIDES.search(response.text), f"not for a caller: {response.text}"


def some_id(path, turn):
    """An id that a request for `path` finds; none where there is nothing."""
    for beginning, listed in LISTS.items():
        if path.startswith(beginning):
            with urllib.request.urlopen(f"{ADDRESS}{listed}?per_page=8", timeout=5) as answer:
                rows = json.load(answer)
            return rows[turn // 2 % len(rows)]["ID"] if rows else None
    return JOBS[turn // 2 % len(JOBS)] if JOBS and path.startswith("/v1/job/{id}") else None


def mend(body, job, turn):
    """Makes the job of a body valid but for one of its members, which stays as it was made up."""
    made_up = sorted(name for name in body if name != "ID")
    kept = {made_up[turn % len(made_up)]} if made_up else set()
    for name in set(body) - kept:
        del body[name]
    body.update({name: value for name, value in VALID.items() if name not in kept}, ID=job)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps blocking queries short, and lets every second request find what it is about."""
    if isinstance(case.query, dict) and "index" in case.query:
        case.query["wait"] = "10ms"
    turn = next(TURNS)
    if turn % 2:
        return
    body = case.body if isinstance(case.body, dict) else {}
    job = JOBS[turn // 2 % len(JOBS)] if JOBS else "fuzz"
    if case.path_parameters and "id" in case.path_parameters and (found := some_id(case.path, turn)):
        case.path_parameters["id"] = job = found
        if "JobID" in body:
            body["JobID"] = job
    if "JobHCL" in body:
        body["JobHCL"] = VALID_HCL
    if isinstance(body.get("Job"), dict):
        mend(body["Job"], job if "{id}" in case.path else f"fuzz-{turn % 16}", turn)
