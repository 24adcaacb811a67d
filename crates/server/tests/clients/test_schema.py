"""Requests made up from /openapi.json: none may end in a server error."""

import os
import subprocess
import sys


def test_no_request_ends_in_a_server_error(url, tmp_path):
    examples = os.environ.get("GXN_SCHEMA_EXAMPLES", "25")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing", "--max-examples", examples]
    command += ["--request-timeout", "60", "--generation-deterministic", "--no-color"]
    # Streams of events do not end by themselves.
    command += ["--exclude-path-regex", "/events$"]
    # It keeps a folder of its own where it is run.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
