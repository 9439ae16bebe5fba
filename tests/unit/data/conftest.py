"""A server of files, and images as MNIST's."""

import functools
import http.server
import threading

import numpy as np
import pytest

from idx_files import idx


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve(tmp_path):
    """A web server of the folder `served`, and its address."""
    served = tmp_path / "served"
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://127.0.0.1:{server.server_port}/", server.shutdown
    server.shutdown()
    server.server_close()


@pytest.fixture
def mnist_like():
    """Images and labels of a tiny MNIST, and its four idx files."""
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (30, 28, 28), np.uint8)
    y = np.tile(np.arange(10, dtype=np.uint8), 3)
    files = {
        "train-images-idx3-ubyte": idx(x[:20]),
        "train-labels-idx1-ubyte": idx(y[:20]),
        "t10k-images-idx3-ubyte": idx(x[20:]),
        "t10k-labels-idx1-ubyte": idx(y[20:]),
    }
    return x, y, files
