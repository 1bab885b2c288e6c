"""Start the web server: `python -m app`."""

import errno
import os
import socket
import sys

from worker import bundled_models, settings, store

# Uploads land beside the datasets, so that taking one in is a rename; Gradio reads this when it is imported.
os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.uploads()))
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from app import media, studio, theme


def main() -> None:
    """Serve the studio until the process is asked to end."""
    settings.refuse_impossible()
    _refuse_taken_port(settings.host(), settings.port())
    bundled_models.unpack()
    store.stay_open()
    pages = studio.build().queue(default_concurrency_limit=16)
    # Not mounted into an app of ours: a mounted Gradio serves any file that a forged request names.
    server, _, _ = pages.launch(
        server_name=settings.host(),
        server_port=settings.port(),
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        share=False,
        theme=theme.THEME,
        head=theme.head(),
        footer_links=[],
        # What a handler returns is served when it lies in the current folder or the system's temporary one;
        # none of ours returns a path, and even a home in such a place stays closed.
        blocked_paths=[str(path) for path in settings.private_paths()],
    )
    server.include_router(media.router)
    print(f"FastVideo Studio is ready: {_address()}", flush=True)
    pages.block_thread()


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            cures = {
                errno.EADDRINUSE: f"choose another port: make studio PORT={port + 1}",
                errno.EACCES: "choose a port from 1024 on: make studio PORT=7860",
            }
            cure = cures.get(error.errno or 0, "set HOST to an address of this machine, 127.0.0.1 or 0.0.0.0")
            sys.exit(f"Port {port} on {host} cannot be used ({error.strerror}); {cure}.")


def _address() -> str:
    host = "127.0.0.1" if settings.host() == "0.0.0.0" else settings.host()
    return f"http://{host}:{settings.port()}"


if __name__ == "__main__":
    main()
