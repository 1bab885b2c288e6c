"""Write an adapter of any tool again in the format that another one reads."""

from pathlib import Path

from fastvideo_engine.adapters.files import adapter_file
from fastvideo_engine.adapters.reading import read_adapter, read_metadata
from fastvideo_engine.adapters.writing import Format, write_adapter


def run(adapter: Path, form: Format, out: Path, alpha: float | None) -> None:
    """Convert an adapter file, and say what it holds and what the new format cannot hold."""
    file = adapter_file(adapter)
    read = read_adapter(file, alpha)
    for notice in read.notices:
        print(notice)
    left_out = write_adapter(read, out, form, read_metadata(file))
    print(f"Wrote {read.count - len(left_out)} of {read.count} weights of {file} to {out} as {form}.")
    if left_out:
        print(left_out_in_words(left_out, form))


def left_out_in_words(left_out: list[str], form: Format) -> str:
    """Say what a format cannot hold, and where it can be had."""
    cure = "the format comfyui holds them" if form != "comfyui" else "nothing that we know holds them"
    return f"{len(left_out)} weights have no place in {form}, such as {left_out[0]}; {cure}."
