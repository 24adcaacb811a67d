"""Damaged, huge and ambiguous uploads neither crash the server nor make it grow. GXN_FUZZ says how many."""

import os
import shutil

from conftest import Server
from fuzz_uploads import fuzz


def test_bad_uploads_are_refused(folder):
    server = Server(shutil.which(os.environ["GXN_PROGRAM"]), folder)
    statuses, wrong, memory = fuzz(server.url, int(os.environ.get("GXN_FUZZ", "600")), server.process.pid)
    print(dict(statuses), memory)
    server.stop()
    assert wrong == [] and statuses[200] > 0 and statuses[400] + statuses[422] > 0
