// Samples as prompts × steps, all driven by one clock. Cells are kept by key, so an update never restarts a video.

const SPEEDS = [0.25, 0.5, 1, 2];
const SCRUB_KEYS = { " ": "toggle", ArrowLeft: -1, ArrowRight: 1, ",": -1, ".": 1 };

const rows = new Map();
const headings = new Map();
const cells = new Map();

const clock = makeClock(
  () => [...cells.values()],
  (state, time) => showTime(state, time),
);

const loadsOnlyWhenSeen = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => (isIntersecting ? load : release)(cells.get(target.dataset.key))),
  { rootMargin: "160px" },
);

const load = (cell) => {
  if (!cell?.url || cell.video.hasAttribute("src")) return;
  cell.video.preload = "auto";
  // iOS shows no first picture of a video without a place to start at.
  cell.video.src = cell.poster ? cell.url : `${cell.url}#t=0.001`;
};

const release = (cell) => {
  if (!cell?.video?.hasAttribute("src")) return;
  cell.ready = false;
  cell.video.pause();
  cell.video.removeAttribute("src");
  cell.video.load();
};

const loaded = (cell) => {
  const { videoWidth, videoHeight } = cell.video;
  if (videoWidth) frame.style.setProperty("--fvs-aspect", `${videoWidth} / ${videoHeight}`);
  cell.ready = true;
  cell.root.dataset.state = "ready";
  clock.join(cell);
};

const settle = (cell) => {
  // While a person drags, seeks come faster than they are done: the last one wins.
  if (!clock.playing && cell.ready && Math.abs(cell.video.currentTime - clock.time) > 0.6 / clock.fps) clock.join(cell);
};

const failed = (cell) => {
  if (!cell.video.hasAttribute("src")) return;
  cell.ready = false;
  cell.root.dataset.state = "failed";
};

const retry = (cell) => {
  cell.root.dataset.state = "loading";
  release(cell);
  load(cell);
};

const makeCell = (key) => {
  const cell = { key, url: null, poster: null, ready: false };
  cell.video = el("video", {
    playsinline: true,
    preload: "none",
    disablepictureinpicture: true,
    tabindex: -1,
    click: () => toggle(),
    loadeddata: () => loaded(cell),
    seeked: () => settle(cell),
    error: () => failed(cell),
  });
  cell.video.muted = true;
  cell.note = el("p", { class: "fvs-cell-note" });
  cell.caption = el("span", { class: "fvs-cell-step" });
  const again = el("button", { type: "button", class: "fvs-button", click: () => retry(cell) }, "Retry");
  cell.trouble = el("div", { class: "fvs-cell-trouble" }, icon("alert"), el("span", {}, "Could not be loaded"), again);
  cell.root = el("div", { class: "fvs-cell", role: "cell", "data-key": key }, cell.caption, cell.note, cell.video, cell.trouble);
  loadsOnlyWhenSeen.observe(cell.root);
  return cell;
};

const stepName = (step) => (step === 0 ? "base · step 0" : `step ${step.toLocaleString("en")}`);

const fillCell = (cell, step, prompt, sample, expected) => {
  setText(cell.caption, stepName(step));
  cell.root.classList.toggle("fvs-cell-base", step === 0);
  if (!sample) {
    release(cell);
    cell.url = null;
    cell.root.dataset.state = expected ? "expected" : "missing";
    setText(cell.note, expected ? "Still to come" : "No sample");
    return;
  }
  cell.root.title = sample.title ?? "";
  cell.video.setAttribute("aria-label", `${prompt}, ${stepName(step)}`);
  if (cell.url === sample.url) return;
  const seen = cell.url !== null && cell.video.hasAttribute("src");
  release(cell);
  Object.assign(cell, { url: sample.url, poster: sample.poster ?? null });
  if (cell.poster) cell.video.poster = cell.poster;
  cell.root.dataset.state = "loading";
  // The observer speaks only when something moves; a cell in view that has just got its video must ask again.
  loadsOnlyWhenSeen.unobserve(cell.root);
  loadsOnlyWhenSeen.observe(cell.root);
  if (seen) load(cell);
};

const makeRow = () => {
  const row = { strip: el("div", { class: "fvs-matrix-strip", role: "presentation" }) };
  const unfold = () => {
    const open = row.prompt.getAttribute("aria-expanded") !== "true";
    row.prompt.setAttribute("aria-expanded", String(open));
  };
  row.text = el("span", { class: "fvs-matrix-prompt-text" });
  row.prompt = el("button", { type: "button", class: "fvs-matrix-prompt", "aria-expanded": "false", click: unfold }, row.text);
  row.root = el("div", { class: "fvs-matrix-row", role: "row" }, el("div", { class: "fvs-matrix-side", role: "rowheader" }, row.prompt), row.strip);
  return row;
};

const kept = (map, key, make) => {
  if (!map.has(key)) map.set(key, make(key));
  return map.get(key);
};

const drawRow = (value, prompt, place, steps) => {
  const row = kept(rows, place, makeRow);
  setText(row.text, prompt);
  row.prompt.title = prompt;
  const line = steps.map((step) => {
    const key = `${place}:${step}`;
    const cell = kept(cells, key, makeCell);
    fillCell(cell, step, prompt, value.cells?.[key], (value.expected_steps ?? []).includes(step));
    return cell.root;
  });
  arrange(row.strip, line);
  return row.root;
};

const forgetCells = (shown) => {
  for (const [key, cell] of cells) {
    if (shown.has(key)) continue;
    loadsOnlyWhenSeen.unobserve(cell.root);
    release(cell);
    cells.delete(key);
  }
};

const draw = (value) => {
  const prompts = value.prompts ?? [];
  const steps = [...new Set([...(value.steps ?? []), ...(value.expected_steps ?? [])])].sort((a, b) => a - b);
  const isEmpty = !prompts.length || !steps.length;
  clock.fps = value.fps > 0 ? value.fps : 16;
  frame.style.setProperty("--fvs-columns", steps.length);
  const heading = (step) => el("div", { class: step === 0 ? "fvs-matrix-step fvs-cell-base" : "fvs-matrix-step", role: "columnheader" }, stepName(step));
  arrange(header, [corner, ...steps.map((step) => kept(headings, step, heading))]);
  arrange(table, [header, ...prompts.map((prompt, place) => drawRow(value, prompt, place, steps))]);
  forgetCells(new Set(prompts.flatMap((_, place) => steps.map((step) => `${place}:${step}`))));
  scroller.hidden = isEmpty;
  bar.hidden = isEmpty || !Object.keys(value.cells ?? {}).length;
  nothing.replaceChildren(...(isEmpty ? [emptyState("film", value.empty || "No samples yet.")] : []));
  showTime(clock, clock.now());
};

const toggle = () => (clock.playing ? clock.pause() : clock.play());

const control = (name, label, press) =>
  el("button", { type: "button", class: "fvs-icon-button", "aria-label": label, title: label, click: press }, icon(name));

const speedButton = (speed) =>
  el(
    "button",
    { type: "button", "aria-pressed": String(speed === 1), "aria-label": `Speed ${speed}`, click: () => clock.setSpeed(speed), "data-speed": speed },
    `${speed}×`,
  );

const playButton = el("button", { type: "button", class: "fvs-play", "aria-label": "Play all", click: toggle }, icon("play"));
const scrubber = el("input", { type: "range", class: "fvs-range", min: 0, max: 1, step: "any", value: 0, "aria-label": "Time", input: () => clock.scrub(Number(scrubber.value)) });
const timeLabel = el("span", { class: "fvs-time" });
const speeds = el("div", { class: "fvs-segments", role: "group", "aria-label": "Speed" }, ...SPEEDS.map(speedButton));
const bar = el(
  "div",
  { class: "fvs-transport", role: "group", "aria-label": "Playback of all samples" },
  el("div", { class: "fvs-transport-keys" }, control("back", "Previous frame (,)", () => clock.stepFrames(-1)), playButton, control("forward", "Next frame (.)", () => clock.stepFrames(1))),
  scrubber,
  timeLabel,
  speeds,
);
const corner = el("div", { class: "fvs-matrix-corner", role: "columnheader" }, "Prompt");
const header = el("div", { class: "fvs-matrix-header", role: "row" }, corner);
const table = el("div", { class: "fvs-matrix", role: "table", "aria-label": "Samples by prompt and step" }, header);
const scroller = el("div", { class: "fvs-matrix-scroll", tabindex: 0, role: "region", "aria-label": "Samples" }, table);
const nothing = el("div", {});

const showTime = ({ playing, speed, duration, fps }, time) => {
  const frames = Math.max(1, Math.round(duration * fps));
  const shown = Math.min(frames, Math.floor(time * fps + 0.01) + 1);
  if (playButton.dataset.playing !== String(playing)) {
    playButton.dataset.playing = String(playing);
    playButton.setAttribute("aria-label", playing ? "Pause all" : "Play all");
    playButton.replaceChildren(icon(playing ? "pause" : "play"));
  }
  scrubber.max = duration || 1;
  scrubber.disabled = !duration;
  scrubber.value = time;
  scrubber.style.setProperty("--fvs-part", duration ? Math.min(1, time / duration) : 0);
  scrubber.setAttribute("aria-valuetext", `frame ${shown} of ${frames}`);
  setText(timeLabel, duration ? `${time.toFixed(2)} s · frame ${shown} / ${frames}` : "No video loaded");
  for (const button of speeds.children) button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === speed));
};

const pressed = (event) => {
  const act = SCRUB_KEYS[event.key];
  const onButton = event.target.tagName === "BUTTON" && event.key === " ";
  if (act === undefined || onButton || event.ctrlKey || event.metaKey || event.altKey || bar.hidden) return;
  event.preventDefault();
  if (act === "toggle") toggle();
  else if (event.shiftKey) scroller.scrollBy({ left: act * 240 });
  else clock.stepFrames(act);
};

frame.classList.add("fvs-samples");
frame.append(scroller, nothing, bar);
frame.addEventListener("keydown", pressed);
drawNowAndOnChange(draw);
