"""Start the web server: `python -m app`."""

import os
import socket
import sys

from worker import settings

# Uploads land beside the datasets, so that taking one in is a rename; Gradio reads this when it is imported.
os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.uploads()))
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from app import media, studio, theme


def main() -> None:
    """Serve the studio until the process is asked to end."""
    _refuse_taken_port(settings.host(), settings.port())
    settings.home().mkdir(parents=True, exist_ok=True)
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
        blocked_paths=[str(settings.home() / "studio.db")],
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
            sys.exit(
                f"Port {port} on {host} cannot be used ({error.strerror}); choose another: make studio PORT={port + 1}"
            )


def _address() -> str:
    host = "127.0.0.1" if settings.host() == "0.0.0.0" else settings.host()
    return f"http://{host}:{settings.port()}"


if __name__ == "__main__":
    main()
