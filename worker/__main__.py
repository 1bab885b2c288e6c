"""Start a worker: `python -m worker`."""

import time
import warnings

from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning

from worker import bundled_models, queue, settings

SECONDS_FOR_REDIS_TO_COME = 10


def main() -> None:
    """Run the Celery worker until it is asked to end."""
    # Containers run everything as root, and messages are JSON that names a job: nothing in them is executed.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Celery warns that tasks acknowledged late may run twice after Redis was away; ours are acknowledged early.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    settings.refuse_impossible()
    bundled_models.unpack()
    _wait_for_redis()
    queue.app.worker_main(["--quiet", "worker", "--loglevel", "warning"])


def _wait_for_redis() -> None:
    # Everything starts at once; without this the first connection fails and says so at length.
    began = time.monotonic()
    while time.monotonic() - began < SECONDS_FOR_REDIS_TO_COME and not queue.redis_answers():
        time.sleep(0.1)


if __name__ == "__main__":
    main()
