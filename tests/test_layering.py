"""Imports go one way: app to worker to engine, and torch lives only in the process that a job runs in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY_PACKAGES = ("torch", "diffusers", "transformers", "peft", "pyarrow", "datasets", "torchcodec")
HEAVY_MODULES = (
    "fastvideo_engine.adapters",
    "fastvideo_engine.attention",
    "fastvideo_engine.bench",
    "fastvideo_engine.components",
    "fastvideo_engine.data",
    "fastvideo_engine.distributed",
    "fastvideo_engine.memory",
    "fastvideo_engine.sampling",
    "fastvideo_engine.seeds",
    "fastvideo_engine.small_model",
    "fastvideo_engine.tiny_wan",
    "fastvideo_engine.training",
)
DATABASE_AND_QUEUE = ("sqlmodel", "sqlalchemy", "celery", "redis", "kombu")
FORBIDDEN = {
    "fastvideo_engine light": ("app", "worker", "gradio", *DATABASE_AND_QUEUE, *HEAVY_PACKAGES, *HEAVY_MODULES),
    "fastvideo_engine heavy": ("app", "worker", "gradio", *DATABASE_AND_QUEUE),
    "worker": ("app", "gradio", *HEAVY_PACKAGES, *HEAVY_MODULES),
    "app": (
        *DATABASE_AND_QUEUE,
        *HEAVY_PACKAGES,
        *HEAVY_MODULES,
        "worker.tasks",
        "worker.launch",
        "worker.watch",
        "worker.recover",
        "worker.store.database",
    ),
}


def modules() -> Iterator[str]:
    for package in ("app", "worker", "fastvideo_engine"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def layer_of(module: str) -> str:
    package = module.partition(".")[0]
    if package != "fastvideo_engine":
        return package
    return "fastvideo_engine heavy" if is_in(module, HEAVY_MODULES) else "fastvideo_engine light"


def imported_by(module: str) -> Iterator[str]:
    file = ROOT / Path(*module.split("."))
    source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_nothing_from_above_or_beside_its_layer(module):
    forbidden = FORBIDDEN[layer_of(module)]
    assert [name for name in imported_by(module) if is_in(name, forbidden)] == []


def test_the_web_server_the_worker_and_the_light_engine_start_without_torch():
    light = [module for module in modules() if layer_of(module) != "fastvideo_engine heavy"]
    importable = [module for module in light if not module.endswith("__main__")]
    imports = "; ".join(f"import {module}" for module in importable)
    code = f"{imports}; import sys; print({{'torch'}} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
