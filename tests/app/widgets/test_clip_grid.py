"""Tests that captions are kept, never lost and never become markup."""

import gradio as gr
import pytest

from app.widgets.clip_grid import clip_grid

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.broken=1"> ${window.broken=1} `{{name}}`'


def clip(number=1, caption="", **more):
    return {"id": number, "name": f"clip-{number}.mp4", "poster": None, "video": None, "facts": "", "problem": None} | {
        "caption": caption,
        **more,
    }


class Keeper:
    """A page's side of the grid: keeps captions, or refuses to."""

    def __init__(self, *clips):
        self.captions = {each["id"]: each["caption"] for each in clips}
        self.value = {"clips": list(clips), "read_only": False}
        self.error = None

    def keep(self, clip_id, caption, before):
        if self.error is None:
            self.captions[clip_id] = caption
        return {"ok": self.error is None, "error": self.error}

    def drop(self, clip_id):
        del self.captions[clip_id]
        return {"ok": True}

    def build(self):
        grid = clip_grid(self.value, on_caption=self.keep, on_remove=self.drop)
        gr.Button("Update").click(lambda: self.value, outputs=grid)


def caption_box(page, number=1):
    return page.get_by_label(f"Caption of clip-{number}.mp4")


def test_a_caption_saves_itself_after_a_pause(show):
    keeper = Keeper(clip())
    page = show(keeper.build)
    assert page.get_by_text("No caption yet").is_visible()
    caption_box(page).type("a red fox")
    page.get_by_text("Saved", exact=True).wait_for()
    assert keeper.captions == {1: "a red fox"}
    assert not page.get_by_text("No caption yet").is_visible()


def test_a_caption_saves_itself_when_the_box_is_left(show):
    keeper = Keeper(clip(1, "fox"), clip(2, "cat"))
    page = show(keeper.build)
    caption_box(page).fill("a fox")
    caption_box(page, 2).focus()
    page.get_by_text("Saved", exact=True).wait_for(timeout=700)
    assert keeper.captions == {1: "a fox", 2: "cat"}


def test_a_saved_caption_stays_when_the_box_is_left(show):
    keeper = Keeper(clip(), clip(2))
    page = show(keeper.build)
    caption_box(page).fill("a fox")
    page.get_by_text("Saved", exact=True).wait_for()
    caption_box(page, 2).focus()
    page.wait_for_timeout(200)
    assert caption_box(page).input_value() == "a fox"


def test_an_answer_older_than_a_save_does_not_bring_the_old_caption_back(show):
    keeper = Keeper(clip(1, "old"))
    page = show(keeper.build)
    caption_box(page).fill("new")
    caption_box(page).blur()
    page.get_by_text("Saved", exact=True).wait_for()
    page.get_by_role("button", name="Update").click()
    page.wait_for_timeout(800)
    assert caption_box(page).input_value() == "new"


def test_a_caption_that_was_not_saved_says_why_and_can_be_tried_again(show):
    keeper = Keeper(clip())
    keeper.error = "The disk is full."
    page = show(keeper.build)
    caption_box(page).type("a fox")
    page.get_by_text("Not saved: The disk is full.").wait_for()
    keeper.error = None
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("Saved", exact=True).wait_for()
    assert keeper.captions == {1: "a fox"}


def test_typing_survives_an_update(show):
    keeper = Keeper(clip(1, "old"), clip(2, "old"))
    keeper.error = "The disk is full."
    page = show(keeper.build)
    caption_box(page).fill("what I write")
    keeper.value = {"clips": [clip(3, "new"), clip(1, "theirs"), clip(2, "theirs")], "read_only": False}
    page.get_by_role("button", name="Update").click()
    caption_box(page, 3).wait_for()
    assert caption_box(page).input_value() == "what I write"
    assert caption_box(page, 2).input_value() == "theirs"


def test_an_update_leaves_the_cursor_where_it_is(show):
    keeper = Keeper(clip(1, "old"))
    page = show(keeper.build)
    keeper.value = {"clips": [clip(1, "theirs")], "read_only": False}
    page.evaluate("""() => {
      const area = document.querySelector("textarea");
      area.focus();
      [...document.querySelectorAll("button")].find((button) => button.textContent.includes("Update")).click();
    }""")
    page.wait_for_timeout(800)
    assert caption_box(page).input_value() == "old"
    page.keyboard.press("Tab")
    page.wait_for_timeout(100)
    assert caption_box(page).input_value() == "theirs"


def test_a_clip_removed_elsewhere_keeps_its_unsaved_text(show):
    keeper = Keeper(clip(1, "old"))
    keeper.error = "This clip is gone."
    page = show(keeper.build)
    caption_box(page).fill("what I write")
    keeper.value = {"clips": [clip(2)], "read_only": False}
    page.get_by_role("button", name="Update").click()
    caption_box(page, 2).wait_for()
    assert caption_box(page).input_value() == "what I write"


def test_markup_and_templates_in_a_clip_stay_text(show):
    keeper = Keeper(clip(1, HOSTILE, name=HOSTILE, facts=HOSTILE, problem=HOSTILE))
    page = show(keeper.build)
    page.wait_for_timeout(300)
    assert page.locator("textarea").input_value() == HOSTILE
    assert page.locator(".fvs-clip-problem").inner_text() == HOSTILE
    assert page.evaluate("window.broken") is None


def test_removing_asks_once(show):
    keeper = Keeper(clip(1, "fox"), clip(2, "cat"))
    page = show(keeper.build)
    page.get_by_role("button", name="Remove clip-1.mp4").click()
    page.get_by_role("button", name="No", exact=True).click()
    assert keeper.captions == {1: "fox", 2: "cat"}
    page.get_by_role("button", name="Remove clip-1.mp4").click()
    page.get_by_role("button", name="Yes").click()
    caption_box(page).wait_for(state="detached")
    assert keeper.captions == {2: "cat"}
    assert page.get_by_text("1 clip", exact=True).is_visible()


def test_one_clip_plays_at_a_time(show, make_video):
    keeper = Keeper(clip(1, video=make_video("one")), clip(2, video=make_video("two")))
    page = show(keeper.build)
    page.get_by_role("button", name="Play clip-1.mp4").press("Enter")
    page.wait_for_function("document.querySelector('video').currentTime > 0.1")
    page.get_by_role("button", name="Play clip-2.mp4").click()
    assert page.evaluate("[...document.querySelectorAll('video')].map((video) => video.ariaLabel)") == ["clip-2.mp4"]
    assert page.evaluate("document.querySelector('video').muted")


def test_leaving_with_unsaved_text_is_questioned(show):
    keeper = Keeper(clip())
    keeper.error = "The disk is full."
    page = show(keeper.build)
    caption_box(page).type("a fox")
    questions = []
    page.on("dialog", lambda dialog: (questions.append(dialog.type), dialog.accept()))
    page.reload()
    assert questions == ["beforeunload"]


def test_a_dataset_to_look_at_cannot_be_changed(show):
    keeper = Keeper(clip(1, "fox"))
    keeper.value["read_only"] = True
    page = show(keeper.build)
    assert caption_box(page).get_attribute("readonly") is not None
    assert not page.get_by_role("button", name="Remove clip-1.mp4").is_visible()
