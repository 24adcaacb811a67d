"""Starts the program named by GXN_PROGRAM on a tiny index. GXN_SERVER names a server that runs already instead."""

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

import tiny

KEY = "correct horse"
START_S = 60


class Server:
    """A server as a child process."""

    def __init__(self, program, folder, *options):
        command = [program, "serve", "index", "--listen", "127.0.0.1:0", "--data", "tiny.json", *options]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        self.said = []
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        assert ready.wait(START_S) and self.url, "".join(self.said)

    url = None

    def _read(self, ready):
        for line in self.process.stderr:
            self.said.append(line)
            found = re.search(r"serving \d+ images at (http://\S+)", line)
            if found:
                self.url = found.group(1).rstrip("/")
                ready.set()
        ready.set()

    def stop(self):
        """Ends it as Ctrl-C does, and returns what it said."""
        self.process.terminate()
        code = self.process.wait(timeout=30)
        said = "".join(self.said)
        assert code in (0, 130, -15) and "panicked" not in said, said
        return said


def pytest_sessionstart(session):
    if not (os.environ.get("GXN_PROGRAM") or os.environ.get("GXN_SERVER")):
        pytest.exit("GXN_PROGRAM is not set: it names the program gxn to test", returncode=2)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The data, the runs and the index. GXN_CLIENTS_FOLDER keeps them for the next time."""
    kept = os.environ.get("GXN_CLIENTS_FOLDER") or tmp_path_factory.mktemp("clients") / "tiny"
    return tiny.built(shutil.which(os.environ["GXN_PROGRAM"]), kept)


@pytest.fixture(scope="session")
def url(request):
    """The address of a server without a key."""
    if os.environ.get("GXN_SERVER"):
        yield os.environ["GXN_SERVER"].rstrip("/")
        return
    server = Server(shutil.which(os.environ["GXN_PROGRAM"]), request.getfixturevalue("folder"))
    yield server.url
    server.stop()


@pytest.fixture()
def locked_url(folder):
    """The address of a server that asks for `KEY`."""
    server = Server(shutil.which(os.environ["GXN_PROGRAM"]), folder, "--api-key", KEY)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def shots():
    """Where screenshots go: GXN_SCREENSHOTS, or the folder screenshots here."""
    place = Path(os.environ.get("GXN_SCREENSHOTS", "screenshots"))
    place.mkdir(parents=True, exist_ok=True)
    return place
