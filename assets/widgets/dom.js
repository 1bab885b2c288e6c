// Shared by all widgets and put in front of each script. Gradio hands in: element, props, server, watch.
// Nothing here takes markup: text becomes text nodes and attributes only, so no caption or log line can be code.

const frame = element.querySelector(".fvs-widget");

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const ICON_PATHS = {
  play: "M5 3.2v9.6L12.6 8z",
  pause: "M4.4 3.2h2.6v9.6H4.4zM9 3.2h2.6v9.6H9z",
  back: "M11.6 3.6v8.8L5.4 8zM3.6 3.6h1.2v8.8H3.6z",
  forward: "M4.4 3.6v8.8L10.6 8zM11.2 3.6h1.2v8.8h-1.2z",
  alert: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.8v3.9M8 11v.2",
  trash: "M3 4.5h10M6.3 4.5V3h3.4v1.5M4.4 4.5l.6 8.5h6l.6-8.5",
  check: "M3.5 8.4l3 3 6-6.8",
  copy: "M6 6h7v7H6zM3.2 10V3.2H10",
  down: "M8 3v9.5M4.3 9 8 12.7 11.7 9",
  film: "M2.5 3.5h11v9h-11zM5 3.5v9M11 3.5v9M2.5 6.5H5M2.5 9.5H5M11 6.5h2.5M11 9.5h2.5",
  clock: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.8V8l2.2 1.6",
};
const SOLID_ICONS = ["play", "pause", "back", "forward"];

const icon = (name) =>
  svg(
    "svg",
    { viewBox: "0 0 16 16", class: SOLID_ICONS.includes(name) ? "fvs-icon fvs-icon-solid" : "fvs-icon", "aria-hidden": "true" },
    svg("path", { d: ICON_PATHS[name] }),
  );

const emptyState = (name, text) => el("div", { class: "fvs-empty" }, icon(name), el("p", {}, text));

// Children that stay are not touched: a playing video that is moved in the page would stop.
const arrange = (parent, wanted) => {
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
};

const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const copyText = async (text, button) => {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Cannot copy here";
  }
  setTimeout(() => (button.textContent = label), 1600);
};

const drawNowAndOnChange = (draw) => {
  draw(props.value || {});
  watch("value", () => draw(props.value || {}));
};
