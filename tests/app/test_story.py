"""The whole story in a real browser: clips in, LoRA out, and the videos to judge it by."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from diffusers import WanPipeline
from playwright.sync_api import Page, expect

JOB_MS = 180_000

pytestmark = pytest.mark.browser


@pytest.fixture
def clips(tmp_path: Path, make_clip: Callable[..., Path]) -> list[Path]:
    """Three good clips, one that is no video, one too short, a caption file, and a sidecar."""
    fake = tmp_path / "fake.mp4"
    fake.write_text("no video at all")
    captions = [{"path": "a.mp4", "cap": ["a square wanders right"]}, {"path": "gone.mp4", "cap": "never came"}]
    (tmp_path / "videos2caption.json").write_text(json.dumps(captions))
    (tmp_path / "b.txt").write_text("a square wanders far")
    (tmp_path / "short.txt").write_text("over at once")
    good = [make_clip(tmp_path / f"{name}.mp4", seconds=1.5) for name in "abc"]
    short = make_clip(tmp_path / "short.mp4", seconds=0.3)
    texts = [tmp_path / "videos2caption.json", tmp_path / "b.txt", tmp_path / "short.txt"]
    return [*good, short, fake, *texts]


def test_from_clips_to_a_lora_and_the_videos_that_prove_it(page: Page, address: str, home: Path, clips: list[Path]):
    _clips_go_in(page, address, clips)
    _captions_save_themselves(page)
    _preprocess(page)
    _train(page)
    _stop_and_resume(page)
    _watch(page)
    _download_the_adapter(page, home)


def _clips_go_in(page: Page, address: str, clips: list[Path]) -> None:
    page.goto(f"{address}/datasets")
    page.locator("#new-dataset-files input[type=file]").set_input_files(clips)
    page.wait_for_url(re.compile(r"/dataset\?id=1"))
    cards = page.locator(".fvs-clip")
    expect(cards).to_have_count(5)
    expect(cards.filter(has_text="fake.mp4")).to_contain_text("not a video")
    expect(page.get_by_label("Caption of a.mp4")).to_have_value("a square wanders right")
    expect(page.get_by_label("Caption of b.mp4")).to_have_value("a square wanders far")
    expect(page.locator(".fvs-notice").filter(has_text="gone.mp4")).to_contain_text("drop them too")
    page.get_by_role("button", name="Play a.mp4").click()
    expect(page.locator("video")).to_have_js_property("paused", False)


def _captions_save_themselves(page: Page) -> None:
    caption = page.get_by_label("Caption of c.mp4")
    caption.fill("a square <img src=x onerror=alert(1)> wanders ${7*7}")
    expect(page.locator(".fvs-clip").filter(has_text="c.mp4")).to_contain_text("Saved")
    page.reload()
    expect(caption).to_have_value("a square <img src=x onerror=alert(1)> wanders ${7*7}")


def _preprocess(page: Page) -> None:
    page.get_by_role("tab", name="Preprocess").click()
    frames = page.get_by_label("Frames", exact=True)
    frames.fill("16")
    page.get_by_role("button", name="Preprocess").click()
    refused = page.get_by_text("Wan takes 4k+1 frames; 16 is not, the nearest are 13 and 17.")
    expect(refused.first).to_be_visible()
    frames.fill("17")
    page.get_by_role("button", name="Preprocess").click()
    page.wait_for_url(re.compile(r"/run\?id=1"))
    expect(page.get_by_role("heading", name="Training data")).to_be_visible(timeout=JOB_MS)
    expect(page.locator(".fvs-widget").filter(has_text="short.mp4")).to_contain_text("17 are needed")
    expect(page.get_by_text("3 clips are ready, 1 was left out.").first).to_be_visible()


def _train(page: Page) -> None:
    page.get_by_role("link", name="Train on this").click()
    prompts = page.get_by_label("Validation prompts")
    expect(prompts).to_have_value("a square wanders right\na square wanders far")
    page.get_by_label("Steps", exact=True).fill("2000")
    page.get_by_label("Sampling steps").fill("2")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"/run\?id=2"))
    expect(page.locator(".fvs-pill").first).to_have_text("Running", timeout=JOB_MS)
    expect(page.get_by_text("base · step 0").first).to_be_visible(timeout=JOB_MS)


def _stop_and_resume(page: Page) -> None:
    expect(page.get_by_text(re.compile(r"Training, step \d+ of 2,000"))).to_be_visible(timeout=JOB_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".fvs-pill").first).to_have_text("Stopped", timeout=60_000)
    stopped = page.get_by_text(re.compile(r"Stopped at step \d+; the checkpoint is kept\.")).first
    step = int(re.search(r"step (\d+)", stopped.inner_text()).group(1))
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text(re.compile(r"Training, step \d+ of 2,000"))).to_be_visible(timeout=JOB_MS)
    page.get_by_role("button", name="Log").click()
    expect(page.get_by_text(f"Continued from step {step}").first).to_be_visible(timeout=JOB_MS)


def _watch(page: Page) -> None:
    cells = page.locator(".fvs-cell video")
    expect(cells.first).to_be_attached()
    page.get_by_role("button", name="Play all").click()
    expect(cells.first).to_have_js_property("paused", False)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".fvs-pill").first).to_have_text("Stopped", timeout=60_000)


def _download_the_adapter(page: Page, home: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download adapter").click()
    adapter = home / download.value.suggested_filename
    download.value.save_as(adapter)
    code = page.locator(".fvs-code").filter(has_text="load_lora_weights").locator("code").inner_text()
    model, file = re.findall(r'"(.+?)"', code)
    assert file == adapter.name
    pipeline = WanPipeline.from_pretrained(model)
    pipeline.load_lora_weights(str(adapter))
    adapted = [name for name, _ in pipeline.transformer.named_parameters() if "lora_A" in name]
    assert len(adapted) == len(pipeline.transformer.blocks) * 8


def test_a_hugging_face_dataset_is_previewed_and_imported(page: Page, address: str, tmp_path: Path, make_clip):
    videos = [make_clip(tmp_path / f"{number}.mp4", seconds=1).read_bytes() for number in range(3)]
    (tmp_path / "hub").mkdir()
    rows = {"video": [{"bytes": video, "path": None} for video in videos], "caption": ["one", "two", "three"]}
    pq.write_table(pa.table(rows), tmp_path / "hub" / "train.parquet")
    page.goto(f"{address}/datasets")
    page.get_by_role("tab", name="Hugging Face dataset").click()
    page.get_by_label("A Hugging Face id").fill(str(tmp_path / "hub"))
    page.get_by_role("button", name="Preview rows").click()
    expect(page.locator(".fvs-clip")).to_have_count(3, timeout=JOB_MS)
    page.get_by_role("button", name="Import").click()
    page.get_by_role("link", name="Open the dataset").click(timeout=JOB_MS)
    expect(page.locator(".fvs-clip")).to_have_count(3)
    captions = page.get_by_label(re.compile("Caption of"))
    assert sorted(captions.nth(number).input_value() for number in range(3)) == ["one", "three", "two"]
