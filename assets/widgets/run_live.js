// The state of a job: pill, headline, bar and the time left, which counts down between updates.

const STATES = { queued: "Queued", running: "Running", stopping: "Stopping", stopped: "Stopped", failed: "Failed", finished: "Finished" };
const MOVING = ["running", "stopping"];

const pillText = el("span", {});
const pill = el("span", { class: "fvs-pill", role: "status" }, pillText);
const headline = el("h2", { class: "fvs-live-headline" });
const left = el("span", { class: "fvs-live-left" });
const fill = el("div", { class: "fvs-progress-fill" });
const bar = el("div", { class: "fvs-progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0 }, fill);
const counts = el("span", {});
const pace = el("span", {});
const detail = el("p", { class: "fvs-live-detail" });
const metrics = el("dl", { class: "fvs-metrics" });
const notices = el("div", { class: "fvs-notices" });
let endsAt = null;
let unknown = "";

const timeInWords = (seconds) => {
  if (seconds < 8) return "a few seconds left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${Math.max(1, minutes)} min left`;
  const hours = Math.floor(minutes / 60);
  const rest = Math.round((minutes % 60) / 10) * 10;
  if (hours < 12 && rest > 0 && rest < 60) return `about ${hours} h ${rest} min left`;
  return `about ${Math.round(minutes / 60)} h left`;
};

const showTimeLeft = () => setText(left, endsAt === null ? unknown : timeInWords((endsAt - performance.now()) / 1000));

const setTimeLeft = (seconds, isMoving, isCounted) => {
  unknown = !isMoving ? "" : isCounted ? "finishing" : "time left not known yet";
  if (typeof seconds !== "number") {
    endsAt = null;
  } else {
    const wanted = performance.now() + seconds * 1000;
    // An estimate wavers from step to step; only a change worth telling moves the countdown.
    const isSame = endsAt !== null && Math.abs(wanted - endsAt) < Math.max(3000, seconds * 60);
    if (!isSame) endsAt = wanted;
  }
  showTimeLeft();
};

const showBar = (value, isMoving) => {
  const { done, total } = value;
  const known = total > 0;
  const part = value.state === "finished" ? 1 : known ? Math.min(1, (done ?? 0) / total) : 0;
  frame.classList.toggle("fvs-progress-unknown", isMoving && !known);
  fill.style.transform = `scaleX(${part})`;
  bar.hidden = value.state === "queued" && !known; // one that waits for another job shows how far that is
  if (known || !isMoving) {
    bar.setAttribute("aria-valuemax", known ? total : 1);
    bar.setAttribute("aria-valuenow", known ? (done ?? 0) : part);
  } else {
    bar.removeAttribute("aria-valuenow");
  }
  const percent = known ? ` · ${Math.floor(part * 100)} %` : "";
  setText(counts, known ? `${(done ?? 0).toLocaleString("en")} of ${total.toLocaleString("en")} ${value.unit ?? ""}${percent}` : "");
};

const number = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
};

const showMetrics = (values) => {
  const shown = Object.entries(values ?? {}).filter(([, value]) => typeof value === "number");
  const pairs = shown.map(([name, value]) => el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, number(value))));
  metrics.replaceChildren(...pairs);
  metrics.hidden = !pairs.length;
};

const showNotices = (list) => {
  const wanted = JSON.stringify(list ?? []);
  if (notices.dataset.shown === wanted) return;
  notices.dataset.shown = wanted;
  const makeNotice = ({ level, text }) => el("div", { class: "fvs-notice", "data-level": level, role: level === "error" ? "alert" : "note" }, icon("alert"), el("span", {}, text));
  notices.replaceChildren(...(list ?? []).map(makeNotice));
};

const draw = (value) => {
  const isMoving = MOVING.includes(value.state);
  frame.dataset.state = value.state ?? "queued";
  pill.dataset.state = value.state ?? "queued";
  setText(pillText, STATES[value.state] ?? STATES.queued);
  setText(headline, value.headline ?? "");
  setText(detail, value.detail ?? "");
  detail.hidden = !value.detail;
  setText(pace, isMoving ? (value.pace ?? "") : "");
  showBar(value, isMoving);
  const isTimed = value.state === "running" || (value.state === "queued" && value.total > 0);
  setTimeLeft(value.seconds_left, isTimed, value.total > 0 && value.done >= value.total);
  showMetrics(value.metrics);
  showNotices(value.notices);
};

const countDown = () => {
  if (!element.isConnected) return;
  showTimeLeft();
  setTimeout(countDown, 1000);
};

frame.classList.add("fvs-live");
frame.append(
  el("div", { class: "fvs-live-head" }, pill, headline, left),
  bar,
  el("div", { class: "fvs-live-counts" }, counts, pace),
  detail,
  metrics,
  notices,
);
drawNowAndOnChange(draw);
countDown();
