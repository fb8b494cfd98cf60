"use strict";
// The flame graph: leaked bytes by call stack, as buttons that the keyboard reaches.
//
// Note: it is no chart of ECharts, since what is drawn on a canvas can neither be
// focused nor read to somebody.

let flame = null, flameFor = ""; // the server's answer, and to what

// separator stands between the names of a path in the URL; no name has it.
const separator = "\n";

function expression(text) {
  try { return new RegExp(text); } catch { return null; }
}

async function showFlame(s) {
  for (const name of ["find", "hide"]) if ($(name) !== document.activeElement) $(name).value = s[name] || "";
  $("invert").checked = !!s.invert;
  const query = filters(s, ["hide", "invert"]), version = query + " " + loaded;
  if (flameFor !== version) {
    if (!expression(s.hide || "")) {
      $("flame-says").textContent = "That is no regular expression.";
      return;
    }
    const got = await get("api/flame?" + query).catch(e => e);
    if (got instanceof Error) {
      $("flame-says").textContent = got.message;
      return;
    }
    flame = got;
    flameFor = version;
    $("functions").replaceChildren(table("Functions", ["function", "leaked in it and what it calls", "%"], flame.functions.map(f => [f.name, f.size, f.share])));
  }
  drawFlame(state());
}

// drawFlame shows the function at the path that the URL names, above it its callers at
// full width, and below it what it calls.
function drawFlame(s) {
  const place = $("flame"), held = place.contains(document.activeElement) ? document.activeElement.dataset.path : null;
  const wanted = (s.find || "").toLowerCase(), all = flame.graph.bytes;
  let node = flame.graph, path = "", depth = 0, found = 0;
  const buttons = [];
  const put = (n, at, depth, left, width) => {
    const share = all ? (100 * n.bytes / all).toFixed(1) : "0";
    const b = make("button", {type: "button", class: `f${n.colour}${wanted && n.name.toLowerCase().includes(wanted) ? " hit" : ""}`, "data-path": at, tabindex: "-1",
      "aria-label": `${n.name}: ${size(n.bytes)}, ${share} %`}, n.name);
    b.style.left = left + "%";
    b.style.width = width + "%";
    b.style.top = depth * 1.6 + "rem";
    b.dataset.depth = depth;
    buttons.push(b);
  };
  for (const name of s.zoom ? s.zoom.split(separator) : []) {
    const next = (node.calls || []).find(c => c.name === name);
    if (!next) break;
    put(node, path, depth++, 0, 100);
    path = path ? path + separator + name : name;
    node = next;
  }
  const grow = (n, at, depth, left, width) => {
    put(n, at, depth, left, width);
    let x = left;
    for (const c of n.calls || []) {
      const w = width * c.bytes / Math.max(n.bytes, 1);
      if (w >= 0.1) grow(c, at ? at + separator + c.name : c.name, depth + 1, x, w);
      x += w;
    }
  };
  grow(node, path, depth, 0, 100);
  const count = n => { wanted && n.name.toLowerCase().includes(wanted) ? found += n.bytes : (n.calls || []).forEach(count); };
  count(flame.graph);
  place.style.height = 1.6 * (1 + Math.max(...buttons.map(b => Number(b.dataset.depth)))) + "rem";
  place.replaceChildren(...buttons);
  const home = buttons.find(b => b.dataset.path === (held ?? path)) || buttons[0];
  home.tabIndex = 0;
  $("flame-order").textContent = s.invert ? "What allocates is on top, its callers below." : "Callers are above what they call.";
  $("flame-says").textContent = !all ? "Nothing leaked fits the filter." : wanted ? `${(100 * found / all).toFixed(1)} % of ${size(all)} is in functions that match.` : size(all) + " leaked.";
  if (held !== null) home.focus();
}

// tell says of a function what it holds, at once.
const tell = e => { const b = e.target.closest("#flame button"); if (b) $("flame-says").textContent = b.getAttribute("aria-label"); };

function flameKeys(e) {
  const all = Array.from($("flame").children), at = document.activeElement, depth = Number(at.dataset.depth);
  const level = d => all.filter(b => Number(b.dataset.depth) === d), own = level(depth), left = b => parseFloat(b.style.left);
  const to = {
    ArrowRight: () => own[own.indexOf(at) + 1], ArrowLeft: () => own[own.indexOf(at) - 1],
    ArrowDown: () => level(depth + 1).find(b => left(b) >= left(at) - 0.01 && left(b) <= left(at) + parseFloat(at.style.width)),
    ArrowUp: () => level(depth - 1).findLast(b => left(b) <= left(at) + 0.01),
  }[e.key]?.();
  if (e.key === "Escape" && state().zoom) go({zoom: ""}, true);
  if (!to) return;
  e.preventDefault();
  for (const b of all) b.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

function startFlame() {
  $("flame").addEventListener("click", e => { const b = e.target.closest("button"); if (b) go({zoom: b.dataset.path}, true); });
  $("flame").addEventListener("keydown", flameKeys);
  for (const kind of ["mouseover", "focusin"]) $("flame").addEventListener(kind, tell);
  $("find").addEventListener("input", () => go({find: $("find").value}));
  $("hide").addEventListener("input", () => go({hide: $("hide").value, zoom: ""}));
  $("invert").addEventListener("change", () => go({invert: $("invert").checked ? "yes" : "", zoom: ""}, true));
  $("reset").addEventListener("click", () => go({zoom: "", find: "", hide: ""}, true));
}
