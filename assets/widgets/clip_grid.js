// Clips as cards: a poster that plays in place, a caption that saves itself, and a removal that asks once.

const SAVE_AFTER_MS = 800;
// An answer that was on its way while a caption was saved still tells the old one.
const STALE_FOR_MS = 2500;
const NO_ANSWER = "The studio did not answer.";
const growsByItself = CSS.supports("field-sizing", "content");

const cards = new Map();
const summary = el("p", { class: "fvs-clip-summary", role: "status" });
const grid = el("ul", { class: "fvs-clip-grid", "aria-label": "Clips" });
const nothing = el("div", {});
let playing = null;
let readOnly = false;

// A textarea knows only one kind of line end.
const captionOf = (clip) => (clip.caption ?? "").replace(/\r\n?/g, "\n");

const isUnsaved = (card) => card.area.value !== card.stored;

const remember = (change) => {
  props.value = { ...props.value, clips: change(props.value.clips ?? []) };
};

const ask = async (serverFunction, ...parts) => {
  try {
    return (await serverFunction(parts)) ?? { ok: true };
  } catch {
    return { ok: false, error: NO_ANSWER };
  }
};

const showSaving = (card, state, text) => {
  card.root.dataset.saving = state;
  setText(card.status, text);
  card.retry.hidden = state !== "failed";
};

const showCaptionState = (card) => {
  card.area.hidden = Boolean(card.clip.problem) && !card.clip.video; // a file that cannot be used needs no caption
  card.missing.hidden = card.area.hidden || card.area.value.trim() !== "";
  card.root.classList.toggle("fvs-clip-uncaptioned", !card.missing.hidden);
  if (!growsByItself) {
    card.area.style.height = "auto";
    card.area.style.height = `${card.area.scrollHeight + 2}px`;
  }
};

const showSummary = () => {
  const shown = [...cards.values()];
  const uncaptioned = shown.filter((card) => !card.missing.hidden).length;
  const troubled = shown.filter((card) => !card.problem.hidden).length;
  const parts = [`${shown.length} ${shown.length === 1 ? "clip" : "clips"}`];
  if (uncaptioned) parts.push(`${uncaptioned} without a caption`);
  if (troubled) parts.push(`${troubled} with a problem`);
  setText(summary, parts.join(" · "));
};

const save = async (card) => {
  clearTimeout(card.timer);
  if (card.sending || !isUnsaved(card)) return;
  const text = card.area.value;
  card.sending = true;
  showSaving(card, "busy", "Saving…");
  const answer = await ask(server.save_caption, card.id, text, card.stored);
  card.sending = false;
  if (!answer.ok) return showSaving(card, "failed", `Not saved: ${answer.error || NO_ANSWER}`);
  Object.assign(card, { stored: text, deferred: null, savedAt: performance.now() });
  remember((clips) => clips.map((clip) => (clip.id === card.id ? { ...clip, caption: text } : clip)));
  showSummary();
  if (isUnsaved(card)) return save(card);
  showSaving(card, answer.notice ? "waiting" : "done", answer.notice || "Saved");
};

const typed = (card) => {
  showCaptionState(card);
  clearTimeout(card.timer);
  if (isUnsaved(card)) {
    showSaving(card, "waiting", "Not saved yet");
    card.timer = setTimeout(() => save(card), SAVE_AFTER_MS);
  } else if (!card.sending) {
    showSaving(card, "", "");
  }
};

const leftCaption = (card) => {
  if (isUnsaved(card)) save(card);
  else if (card.deferred !== null) takeCaption(card, card.deferred);
};

const takeCaption = (card, caption) => {
  if (performance.now() - card.savedAt < STALE_FOR_MS) return;
  // What a person is typing wins over the server; leftCaption() looks again.
  card.deferred = caption === card.stored ? null : caption;
  if (card.deferred === null || document.activeElement === card.area || isUnsaved(card)) return;
  Object.assign(card, { stored: caption, deferred: null });
  if (card.area.value !== caption) {
    card.area.value = caption;
    showSaving(card, "", "");
  }
  showCaptionState(card);
};

const stopPlaying = () => {
  if (playing) playing.media.replaceChildren(playing.poster);
  playing = null;
};

const play = (card) => {
  stopPlaying();
  const failed = () => {
    if (playing === card) stopPlaying();
    card.poster.classList.add("fvs-clip-unplayable");
    setText(card.playHint, "Cannot be played");
  };
  const video = el("video", { controls: true, loop: true, playsinline: true, "aria-label": card.clip.name, error: failed });
  video.muted = true;
  video.src = card.clip.video;
  card.media.replaceChildren(video);
  playing = card;
  video.focus();
  video.play().catch(() => {});
};

const remove = async (card, yes) => {
  yes.disabled = true;
  const answer = await ask(server.remove_clip, card.id);
  if (!answer.ok) {
    closeQuestion(card);
    return showSaving(card, "stuck", `Not removed: ${answer.error || NO_ANSWER}`);
  }
  if (playing === card) stopPlaying();
  const next = card.root.nextElementSibling ?? card.root.previousElementSibling;
  // Removed on purpose: what was typed here is no longer worth a warning.
  card.area.value = card.stored;
  remember((clips) => clips.filter((clip) => clip.id !== card.id));
  draw(props.value);
  next?.querySelector(".fvs-clip-poster")?.focus();
};

const closeQuestion = (card) => {
  if (card.question.hidden) return;
  card.question.hidden = true;
  card.remove.hidden = readOnly;
};

const openQuestion = (card) => {
  const no = el("button", { type: "button", class: "fvs-button", click: () => (closeQuestion(card), card.remove.focus()) }, "No");
  const yes = el("button", { type: "button", class: "fvs-button fvs-button-bad", click: () => remove(card, yes) }, "Yes");
  card.question.replaceChildren(el("span", {}, "Remove?"), yes, no);
  card.question.hidden = false;
  card.remove.hidden = true;
  no.focus();
};

const makePoster = (card) => {
  card.playHint = el("span", { class: "fvs-clip-hint" }, icon("play"));
  card.image = el("img", { alt: "", loading: "lazy", decoding: "async", error: () => (card.image.hidden = true) });
  card.poster = el("button", { type: "button", class: "fvs-clip-poster", click: () => play(card) }, icon("film"), card.image, card.playHint);
  card.media = el("div", { class: "fvs-clip-media" }, card.poster);
};

const makeQuestion = (card) => {
  const left = (event) => card.question.contains(event.relatedTarget) || closeQuestion(card);
  const escaped = (event) => event.key === "Escape" && (closeQuestion(card), card.remove.focus());
  card.question = el("div", { class: "fvs-clip-question", role: "group", hidden: true, focusout: left, keydown: escaped });
  card.remove = el("button", { type: "button", class: "fvs-icon-button", click: () => openQuestion(card) }, icon("trash"));
};

const makeCard = (clip) => {
  const card = { id: clip.id, clip, stored: captionOf(clip), deferred: null, savedAt: -Infinity, sending: false };
  makePoster(card);
  makeQuestion(card);
  card.name = el("span", { class: "fvs-clip-name" });
  card.facts = el("p", { class: "fvs-clip-facts" });
  card.problemText = el("span", {});
  card.problem = el("p", { class: "fvs-clip-problem" }, icon("alert"), card.problemText);
  card.area = el("textarea", {
    rows: 2,
    input: () => typed(card),
    blur: () => leftCaption(card),
  });
  card.area.value = card.stored;
  card.missing = el("span", { class: "fvs-clip-missing" }, "No caption yet");
  card.status = el("span", { class: "fvs-clip-status", role: "status" });
  card.retry = el("button", { type: "button", class: "fvs-button", hidden: true, click: () => save(card) }, "Retry");
  card.root = el(
    "li",
    { class: "fvs-clip" },
    card.media,
    el("div", { class: "fvs-clip-head" }, card.name, card.remove, card.question),
    card.facts,
    card.problem,
    card.area,
    el("div", { class: "fvs-clip-foot" }, card.missing, card.status, card.retry),
  );
  return card;
};

const showClip = (card, clip) => {
  const known = card.clip;
  card.clip = clip;
  setText(card.name, clip.name);
  card.name.title = clip.name;
  card.poster.setAttribute("aria-label", `Play ${clip.name}`);
  card.remove.setAttribute("aria-label", `Remove ${clip.name}`);
  card.question.setAttribute("aria-label", `Remove ${clip.name}?`);
  card.area.setAttribute("aria-label", `Caption of ${clip.name}`);
  if (clip.poster && card.image.getAttribute("src") !== clip.poster) card.image.src = clip.poster;
  card.image.hidden = !clip.poster;
  card.poster.disabled = !clip.video;
  if (known.video !== clip.video && playing === card) stopPlaying();
  setText(card.facts, clip.facts ?? "");
  setText(card.problemText, clip.problem ?? "");
  card.problem.hidden = !clip.problem;
  card.area.readOnly = readOnly;
  card.area.placeholder = readOnly ? "" : "Describe what happens in this clip";
  if (card.question.hidden) card.remove.hidden = readOnly;
  takeCaption(card, captionOf(clip));
  showCaptionState(card);
};

const draw = (value) => {
  readOnly = Boolean(value.read_only);
  const clips = value.clips ?? [];
  const wanted = clips.map((clip) => {
    if (!cards.has(clip.id)) cards.set(clip.id, makeCard(clip));
    const card = cards.get(clip.id);
    showClip(card, clip);
    return card;
  });
  const listed = new Set(wanted);
  for (const card of [...cards.values()].filter((each) => !listed.has(each))) {
    // Removed elsewhere while somebody writes here: the text stays until it is given up.
    if (isUnsaved(card)) wanted.push(card);
    else cards.delete(card.id);
    if (playing === card && !isUnsaved(card)) stopPlaying();
  }
  arrange(grid, wanted.map((card) => card.root));
  grid.hidden = summary.hidden = !wanted.length;
  nothing.replaceChildren(...(wanted.length ? [] : [emptyState("film", value.empty || "No clips yet.")]));
  showSummary();
};

frame.append(summary, grid, nothing);
drawNowAndOnChange(draw);

const warnAboutUnsaved = (event) => {
  const unsaved = [...cards.values()].filter((card) => card.sending || isUnsaved(card));
  if (!unsaved.length) return;
  unsaved.forEach(save);
  event.preventDefault();
};
addEventListener("beforeunload", warnAboutUnsaved);
