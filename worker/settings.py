"""Where the studio keeps things and whom it talks to, read from the environment in this one place."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

_LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes


def home() -> Path:
    """The folder that holds everything the studio keeps (`STUDIO_HOME`)."""
    return Path(os.environ.get("STUDIO_HOME") or "~/.fastvideo-studio").expanduser().resolve()


def datasets() -> Path:
    return home() / "datasets"


def runs() -> Path:
    return home() / "runs"


def uploads() -> Path:
    """Where Gradio puts uploads until they are taken in; beside the datasets, so that taking in is a rename."""
    return home() / "uploads"


def models() -> Path:
    """Where the bundled models are, as specs of runs name them."""
    return home() / "models"


def private_paths() -> list[Path]:
    """What no web request may name by its path: pages show it by id, or not at all."""
    database = home() / "studio.db"
    return [database, home() / "studio.db-wal", datasets(), runs(), models(), redis_socket()]


def database_url() -> str:
    return os.environ.get("DATABASE_URL") or f"sqlite:///{home() / 'studio.db'}"


def redis_socket() -> Path:
    """The socket of the embedded Redis: one a home, so that two studios never share a queue."""
    socket = home() / "redis.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH:
        return socket
    name = hashlib.sha256(os.fsencode(home())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"fastvideo-studio-{name}.sock"


def redis_url() -> str:
    """The broker (`REDIS_URL`), the embedded Redis when none is named."""
    return os.environ.get("REDIS_URL") or f"redis+socket://{redis_socket()}"


def redis_is_embedded() -> bool:
    return not os.environ.get("REDIS_URL")


def host() -> str:
    return os.environ.get("HOST") or "127.0.0.1"


def port() -> int:
    return int(os.environ.get("PORT") or 7860)


def refuse_impossible() -> None:
    """End the program with one sentence when the environment asks for what cannot be."""
    asked = os.environ.get("PORT") or "7860"
    if not (asked.isascii() and asked.isdigit() and 0 < int(asked) < 65536):
        sys.exit(f"PORT={asked} is no port; choose a number from 1024 to 65535: make studio PORT=7861")
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"STUDIO_HOME={home()} cannot be made ({error.strerror}); name a folder that you may write to.")
    if not os.access(home(), os.W_OK | os.X_OK):
        sys.exit(f"STUDIO_HOME={home()} is not writable; name a folder that you may write to.")
