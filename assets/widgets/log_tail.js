// The end of a log: follows new lines unless a person has scrolled up to read.

const NEAR_PX = 24;
const LEVELS = [
  ["error", /(error|traceback|exception|fatal)\b/i],
  ["warning", /\bwarn(ing)?\b/i],
];

const lines = el("ol", { class: "fvs-log-lines" });
const box = el("div", { class: "fvs-log-box", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" }, lines);
const jump = el("button", { type: "button", class: "fvs-button fvs-log-jump", hidden: true, click: () => goToNewest() }, icon("down"), "Jump to newest");
const title = el("span", { class: "fvs-log-title" });
const copy = el("button", { type: "button", class: "fvs-button", click: () => copyText((props.value?.lines ?? []).join("\n"), copy) }, "Copy");
const nothing = el("div", {});
let follows = true;
let firstNumber = 1;

const goToNewest = () => {
  follows = true;
  jump.hidden = true;
  box.scrollTop = box.scrollHeight;
};

const scrolled = () => {
  follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
  if (follows) jump.hidden = true;
};

const showLine = (row, text) => {
  if (row.textContent === text) return;
  row.textContent = text;
  row.dataset.level = LEVELS.find(([, pattern]) => pattern.test(text))?.[0] ?? "";
};

const dropBefore = (number) => {
  const before = lines.scrollHeight;
  while (lines.firstChild && firstNumber < number) {
    lines.firstChild.remove();
    firstNumber += 1;
  }
  // The lines being read must not move when older ones leave.
  if (!follows) box.scrollTop -= before - lines.scrollHeight;
};

const draw = (value) => {
  const wanted = value.lines ?? [];
  const from = value.from_line ?? 1;
  const shownTo = firstNumber + lines.children.length;
  if (from < firstNumber || from > shownTo) lines.replaceChildren();
  else dropBefore(from);
  firstNumber = from;
  const hadNumber = lines.children.length;
  while (lines.children.length > wanted.length) lines.lastChild.remove();
  while (lines.children.length < wanted.length) lines.append(el("li", {}));
  wanted.forEach((text, place) => showLine(lines.children[place], text));
  lines.style.counterReset = `fvs-line ${from - 1}`;
  box.hidden = copy.hidden = !wanted.length;
  setText(title, wanted.length ? `Lines ${from.toLocaleString("en")} to ${(from + wanted.length - 1).toLocaleString("en")}` : "");
  nothing.replaceChildren(...(wanted.length ? [] : [emptyState("clock", value.empty || "Nothing has been written yet.")]));
  if (follows) goToNewest();
  else jump.hidden = jump.hidden && wanted.length <= hadNumber;
};

frame.classList.add("fvs-log");
frame.append(el("div", { class: "fvs-log-head" }, title, copy), el("div", { class: "fvs-log-body" }, box, jump), nothing);
box.addEventListener("scroll", scrolled, { passive: true });
// Drawn in a hidden tab, a box has no height to scroll; it looks again once it has one.
new ResizeObserver(() => follows && goToNewest()).observe(box);
drawNowAndOnChange(draw);
