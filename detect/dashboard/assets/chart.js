"use strict";
// Charts as SVG, and tables that say the same. All text is put in as text: names out of
// a log are never read as markup.

// make builds an element: make("td", {class: "x"}, "text", child).
function make(tag, attributes, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "rect", "title"].includes(tag);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== undefined) e.setAttribute(name, value);
  e.append(...children.filter(c => c !== null));
  return e;
}

// size writes bytes for people, in powers of 1024.
function size(n) {
  let unit = -1, abs = Math.abs(n);
  while (abs >= 1023.95 && unit < 5) { abs /= 1024; unit++; }
  return (n < 0 ? "−" : "") + (unit < 0 ? Math.round(abs) + " B" : abs.toFixed(1) + " " + "KMGTPE"[unit] + "iB");
}

// table builds a table of texts.
function table(caption, head, rows) {
  return make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head.map(h => make("th", {scope: "col"}, h)))),
    make("tbody", {}, ...rows.map(row => make("tr", {}, ...row.map(cell => make("td", {}, cell))))));
}

// courseChart draws live and leaked bytes over time, or over events without a clock.
function courseChart(c) {
  const clock = c.seconds && c.seconds[c.seconds.length - 1] > 0, at = clock ? c.seconds : c.events;
  const unit = v => clock ? (v < 10 ? v.toFixed(2) : v.toFixed(0)) + " s" : v >= 1e6 ? (v / 1e6).toFixed(1) + " M" : String(Math.round(v));
  const end = at[at.length - 1], top = Math.max(1, ...c.live, ...c.leaked);
  const x = v => (92 + 588 * v / end).toFixed(1), y = v => (210 - 190 * v / top).toFixed(1);
  // Values hold until the next: steps.
  const path = (values, kind) => make("path", {class: kind, d: "M92,210" + values.map((v, i) => "H" + x(at[i]) + "V" + y(v)).join("")});
  const svg = make("svg", {viewBox: "0 0 700 240", role: "img", "aria-label": "Live bytes of the site over the run; the table beside it has the figures"});
  for (let k = 0; k <= 4; k++) {
    svg.append(make("line", {class: "axis", x1: 92, x2: 680, y1: y(top * k / 4), y2: y(top * k / 4)}),
      make("text", {x: 86, y: y(top * k / 4), dy: 4, "text-anchor": "end"}, size(top * k / 4)),
      make("text", {x: x(end * k / 4), y: 230, "text-anchor": k ? (k < 4 ? "middle" : "end") : "start"}, unit(end * k / 4)));
  }
  svg.append(path(c.live, "live"), path(c.leaked, "leaked"));
  const legend = make("p", {}, make("i", {class: "live"}, "▬"), " live ", make("i", {class: "leaked"}, "▬"), clock ? " judged leaked, over time" : " judged leaked, over events");
  const rows = [];
  for (let i = 11; i < at.length; i += 12) rows.push([unit(at[i]), size(c.live[i]), size(c.leaked[i])]);
  return [[svg, legend], table("Live bytes", [clock ? "after" : "events", "live", "leaked"], rows)];
}

// effectsChart draws what the verdict rests on as bars, those against a leak to the left.
function effectsChart(effects) {
  const shown = effects.slice(0, 12), most = Math.max(...shown.map(e => Math.abs(e.effect)), 0.01), height = 22 * shown.length + 8;
  const svg = make("svg", {viewBox: "0 0 700 " + height, role: "img", "aria-label": "What the verdict rests on; the table beside it has the figures"});
  shown.forEach((e, i) => {
    const w = 200 * Math.abs(e.effect) / most;
    svg.append(make("text", {x: 265, y: 22 * i + 17, "text-anchor": "end"}, e.what.length > 30 ? e.what.slice(0, 29) + "…" : e.what),
      make("rect", {class: e.effect < 0 ? "against" : "for", x: e.effect < 0 ? 475 - w : 475, y: 22 * i + 5, width: Math.max(w, 1).toFixed(1), height: 15}));
  });
  svg.append(make("line", {class: "axis", x1: 475, x2: 475, y1: 0, y2: height}));
  return [[svg], table("Effects", ["taken away", "log-odds", "P without"], shown.map(e => [e.what, e.effect.toFixed(2), e.probability_without.toFixed(3)]))];
}
