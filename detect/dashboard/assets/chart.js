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

// count writes a number with separators.
const count = n => n.toLocaleString("en");

// table builds a table of texts or elements.
function table(caption, head, rows) {
  return make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head.map(h => make("th", {scope: "col"}, h)))),
    make("tbody", {}, ...rows.map(row => make("tr", {}, ...row.map(cell => make("td", {}, cell))))));
}

// beside puts a chart and what says the same in words into a place.
function beside(place, chart, text) {
  place.querySelector(".chart").replaceChildren(...chart);
  place.querySelector(".scroll").replaceChildren(text);
}

// effectsChart draws what the verdict rests on as bars, those against a leak to the left.
function effectsChart(place, effects) {
  const shown = effects.slice(0, 12), most = Math.max(...shown.map(e => Math.abs(e.effect)), 0.01), height = 22 * shown.length + 8;
  const svg = make("svg", {viewBox: "0 0 700 " + height, role: "img", "aria-label": "What the verdict rests on; the table beside it has the figures"});
  shown.forEach((e, i) => {
    const w = 200 * Math.abs(e.effect) / most;
    svg.append(make("text", {x: 265, y: 22 * i + 17, "text-anchor": "end"}, e.what.length > 30 ? e.what.slice(0, 29) + "…" : e.what),
      make("rect", {class: e.effect < 0 ? "against" : "for", x: e.effect < 0 ? 475 - w : 475, y: 22 * i + 5, width: Math.max(w, 1).toFixed(1), height: 15}));
  });
  svg.append(make("line", {class: "axis", x1: 475, x2: 475, y1: 0, y2: height}));
  beside(place, [svg], table("Effects", ["taken away", "log-odds", "P without"], shown.map(e => [e.what, e.effect.toFixed(2), e.probability_without.toFixed(3)])));
}

// sequenceChart draws the lives of a site's blocks, each a line from its birth to its
// death, and lists its allocations and frees in their order.
function sequenceChart(place, sequence, end) {
  const step = Math.min(9, 360 / sequence.shown.length), height = step * sequence.shown.length + 26;
  const x = event => (8 + 684 * event / end).toFixed(1);
  const svg = make("svg", {viewBox: "0 0 700 " + height.toFixed(0), role: "img", "aria-label": "Blocks of the site from birth to death; the table beside it lists them"});
  const events = [], at = place => (place.time_ns ? (place.time_ns / 1e9).toFixed(2) + " s" : "");
  sequence.shown.forEach((b, i) => {
    const y = (step * (i + 0.5)).toFixed(1), kind = b.leaked ? "leaked" : b.died ? "live" : "open";
    const seen = end / 200; // of the shortest life
    svg.append(make("line", {class: kind, x1: x(b.born.event), x2: x(b.died ? Math.max(b.died.event, b.born.event + seen) : end), y1: y, y2: y, "stroke-width": Math.max(1, step - 2).toFixed(1)}));
    events.push({n: b.born.event, row: [count(b.born.event), at(b.born), "alloc " + size(b.size) + (b.leaked ? ", judged leaked" : b.died ? "" : ", outstanding"), b.address]});
    if (b.died) events.push({n: b.died.event, row: [count(b.died.event), at(b.died), "free after " + count(b.died.event - b.born.event) + " events", b.address]});
  });
  for (let k = 0; k <= 4; k++) svg.append(make("text", {x: x(end * k / 4), y: height - 6, "text-anchor": k ? (k < 4 ? "middle" : "end") : "start"}, count(Math.round(end * k / 4))));
  const mark = (kind, text) => [make("i", {class: kind}, "▬"), " " + text + " "];
  const legend = make("p", {}, ...mark("leaked", "judged leaked"), ...mark("live", "freed"), ...mark("open", "outstanding"), "over events");
  events.sort((a, b) => a.n - b.n);
  beside(place, [svg, legend], table("Events", ["event", "after", "what", "block"], events.map(e => e.row)));
}
