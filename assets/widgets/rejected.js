// Clips that cannot be used, each with the reason.

const body = el("tbody", {});
const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Clip"), el("th", { scope: "col" }, "Why it is left out")));
const table = el("div", { class: "fvs-table-box" }, el("table", { class: "fvs-table", "aria-label": "Clips left out" }, head, body));
const nothing = el("div", {});

const draw = (value) => {
  const clips = value.clips ?? [];
  body.replaceChildren(...clips.map(({ name, reason }) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, reason))));
  table.hidden = !clips.length;
  nothing.replaceChildren(...(clips.length ? [] : [emptyState("check", value.empty || "No clip was left out.")]));
};

frame.append(table, nothing);
drawNowAndOnChange(draw);
