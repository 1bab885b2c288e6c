// A line chart of the loss: every value faintly, the smoothed course on top, checkpoints as marks.

const HEIGHT = 280;
const MARGIN = { top: 14, right: 14, bottom: 26, left: 54 };
const SMOOTH_AT_FIRST = 0.9;

const chart = svg("svg", { class: "fvs-curve-chart", role: "img", tabindex: "0" });
const tooltip = el("div", { class: "fvs-tooltip", hidden: true, role: "status" });
const box = el("div", { class: "fvs-curve-box" }, chart, tooltip);
const smoothingLabel = el("output", { class: "fvs-number" });
const smoothing = el("input", { type: "range", class: "fvs-range", min: 0, max: 0.99, step: 0.01, "aria-label": "Smoothing", input: () => redraw() });
const logScale = el("input", { type: "checkbox", change: () => redraw() });
const tools = el(
  "div",
  { class: "fvs-curve-tools" },
  el("label", {}, "Smoothing", smoothing, smoothingLabel),
  el("label", {}, logScale, "Log scale"),
);
const nothing = el("div", {});
let points = [];
let markers = [];
let smoothed = [];
let unit = "step";
let scales = null;
let pointed = null;
let isFirst = true;

// Debiased, or the first values would be drawn toward zero.
const smooth = (values, weight) => {
  let sum = 0;
  let mass = 0;
  return values.map((value) => {
    sum = sum * weight + value * (1 - weight);
    mass = mass * weight + (1 - weight);
    return sum / mass;
  });
};

const niceStep = (range, count) => {
  const rough = range / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
};

const linearTicks = (low, high, count) => {
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) }, (_, index) => (first + index) * step);
};

const logTicks = (low, high) => {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
  }
  const inside = found.filter((tick) => tick >= low && tick <= high);
  if (inside.length < 2) return linearTicks(low, high, 4);
  return inside.length > 7 ? inside.filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6)) : inside;
};

const shortNumber = (value) => {
  const size = Math.abs(value);
  if (size >= 1e6 || (size !== 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return size >= 1000 ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
};

const makeScales = (width) => {
  const isLog = logScale.checked && points.some(([, loss]) => loss > 0);
  const losses = points.map(([, loss]) => loss).filter((loss) => !isLog || loss > 0);
  const steps = [...points.map(([step]) => step), ...markers.map((marker) => marker.step)];
  let [low, high] = [Math.min(...losses), Math.max(...losses)];
  const room = isLog ? 1.08 : (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = isLog ? [low / room, high * room] : [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const across = width - MARGIN.left - MARGIN.right;
  const down = HEIGHT - MARGIN.top - MARGIN.bottom;
  const bend = isLog ? Math.log : (value) => value;
  return {
    x: (step) => MARGIN.left + (last === first ? across / 2 : ((step - first) / (last - first)) * across),
    y: (loss) => MARGIN.top + down - ((bend(loss) - bend(low)) / (bend(high) - bend(low))) * down,
    isLog, low, high, first, last, width,
    right: width - MARGIN.right,
    bottom: HEIGHT - MARGIN.bottom,
  };
};

const line = (values) => {
  const { x, y, isLog } = scales;
  const drawn = values.map((value, index) => (isLog && value <= 0 ? null : `${x(points[index][0]).toFixed(1)},${y(value).toFixed(1)}`));
  return drawn.filter(Boolean).map((place, index) => `${index ? "L" : "M"}${place}`).join("");
};

const text = (content, attributes) => svg("text", attributes, content);

const drawAxes = () => {
  const { x, y, low, high, first, last, right, bottom, isLog } = scales;
  const group = svg("g", { class: "fvs-curve-axes" });
  for (const tick of isLog ? logTicks(low, high) : linearTicks(low, high, 5)) {
    const at = Math.round(y(tick)) + 0.5;
    group.append(svg("line", { x1: MARGIN.left, x2: right, y1: at, y2: at }));
    group.append(text(shortNumber(tick), { x: MARGIN.left - 8, y: at + 4, "text-anchor": "end" }));
  }
  const round = last === first ? [] : linearTicks(first, last, Math.floor(right / 80)).filter(Number.isInteger);
  const ticks = round.length > 1 ? round : [...new Set([first, last])];
  for (const tick of ticks) {
    const nearEdge = x(tick) > right - 20;
    group.append(text(tick.toLocaleString("en"), { x: x(tick), y: bottom + 18, "text-anchor": nearEdge ? "end" : "middle" }));
  }
  return group;
};

const drawMarkers = () => {
  const { x, bottom, right } = scales;
  const group = svg("g", { class: "fvs-curve-markers" });
  let freeFrom = MARGIN.left;
  for (const { step, label } of markers) {
    const at = Math.round(x(step)) + 0.5;
    group.append(svg("line", { x1: at, x2: at, y1: MARGIN.top, y2: bottom }));
    group.append(svg("path", { d: `M${at - 4},${bottom}h8l-4,-6z` }));
    const width = label.length * 6.2;
    const toTheLeft = at + 4 + width > right;
    const begins = toTheLeft ? at - 4 - width : at + 4;
    if (begins < freeFrom) continue;
    group.append(text(label, { x: toTheLeft ? at - 4 : at + 4, y: MARGIN.top + 9, "text-anchor": toTheLeft ? "end" : "start" }));
    freeFrom = begins + width + 10;
  }
  return group;
};

const drawPointed = () => {
  const [step, loss] = points[pointed];
  const { x, y, bottom, isLog } = scales;
  const at = smoothed[pointed];
  const group = svg("g", { class: "fvs-curve-pointed" }, svg("line", { x1: x(step), x2: x(step), y1: MARGIN.top, y2: bottom }));
  if (!isLog || at > 0) group.append(svg("circle", { cx: x(step), cy: y(at), r: 4 }));
  const near = markers.find((marker) => Math.abs(x(marker.step) - x(step)) < 5);
  const facts = [["Loss", loss], ...(Number(smoothing.value) ? [["Smoothed", at]] : [])];
  tooltip.replaceChildren(
    el("strong", {}, `${unit[0].toUpperCase()}${unit.slice(1)} ${step.toLocaleString("en")}`),
    ...facts.map(([name, value]) => el("span", {}, el("span", {}, name), el("b", {}, String(Number(value.toPrecision(6)))))),
    near ? el("em", {}, near.label) : "",
  );
  tooltip.hidden = false;
  const onTheLeft = x(step) > scales.width / 2;
  tooltip.style.left = onTheLeft ? "auto" : `${x(step) + 12}px`;
  tooltip.style.right = onTheLeft ? `${scales.width - x(step) + 12}px` : "auto";
  return group;
};

const redraw = () => {
  const width = box.clientWidth;
  if (!width || !points.length) return;
  setText(smoothingLabel, Number(smoothing.value).toFixed(2));
  smoothing.style.setProperty("--fvs-part", smoothing.value / 0.99);
  smoothed = smooth(points.map(([, loss]) => loss), Number(smoothing.value));
  scales = makeScales(width);
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const isSmooth = Number(smoothing.value) > 0;
  const layers = [drawAxes(), drawMarkers(), svg("path", { class: isSmooth ? "fvs-curve-raw" : "fvs-curve-line", d: line(points.map(([, loss]) => loss)) })];
  if (isSmooth) layers.push(svg("path", { class: "fvs-curve-line", d: line(smoothed) }));
  if (points.length === 1) layers.push(svg("circle", { class: "fvs-curve-dot", cx: scales.x(points[0][0]), cy: scales.y(points[0][1]), r: 3 }));
  if (pointed !== null) layers.push(drawPointed());
  else tooltip.hidden = true;
  chart.replaceChildren(...layers);
};

const pointAt = (index) => {
  pointed = index === null ? null : Math.min(points.length - 1, Math.max(0, index));
  redraw();
};

const pointNear = (event) => {
  if (!scales) return;
  const at = event.clientX - chart.getBoundingClientRect().left;
  let nearest = 0;
  points.forEach(([step], index) => {
    if (Math.abs(scales.x(step) - at) < Math.abs(scales.x(points[nearest][0]) - at)) nearest = index;
  });
  pointAt(nearest);
};

const pressed = ({ key }) => {
  const moves = { ArrowLeft: (pointed ?? points.length) - 1, ArrowRight: (pointed ?? -1) + 1, Home: 0, End: points.length - 1, Escape: null };
  if (key in moves) pointAt(moves[key]);
};

const draw = (value) => {
  points = (value.points ?? []).filter(([step, loss]) => Number.isFinite(step) && Number.isFinite(loss));
  markers = (value.markers ?? []).toSorted((a, b) => a.step - b.step);
  unit = value.unit || "step";
  if (isFirst && points.length) {
    smoothing.value = value.smoothed ? SMOOTH_AT_FIRST : 0;
    isFirst = false;
  }
  if (pointed !== null && pointed >= points.length) pointed = null;
  box.hidden = tools.hidden = !points.length;
  nothing.replaceChildren(...(points.length ? [] : [emptyState("clock", value.empty || "The curve begins with the first step.")]));
  if (!points.length) return;
  const [last, loss] = points.at(-1);
  const summary = `Loss from ${shortNumber(points[0][1])} at ${unit} ${points[0][0]} to ${shortNumber(loss)} at ${unit} ${last}.`;
  chart.setAttribute("aria-label", `${summary} Arrow keys read single values.`);
  redraw();
};

frame.classList.add("fvs-curve");
frame.append(tools, box, nothing);
chart.addEventListener("pointermove", pointNear);
chart.addEventListener("pointerdown", pointNear);
chart.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && pointAt(null));
chart.addEventListener("blur", () => pointAt(null));
chart.addEventListener("keydown", pressed);
new ResizeObserver(redraw).observe(box);
drawNowAndOnChange(draw);
