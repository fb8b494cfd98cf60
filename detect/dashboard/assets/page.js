"use strict";
// The page: what is shown is a function of the findings and of the state in the URL.

const $ = id => document.getElementById(id);
let findings = [], runs = [], loaded = 0, shown = "", detail = null;

// state is the URL's: view, q, level, program, log, sort, down, rows, id, run, find, hide,
// invert, zoom, a and b.
const state = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function go(changes, push) {
  const next = Object.entries({...state(), ...changes}).filter(([, v]) => v);
  const url = location.pathname + location.search + (next.length ? "#" + new URLSearchParams(next) : "");
  const same = url === location.pathname + location.search + location.hash;
  history[push && !same ? "pushState" : "replaceState"](null, "", url);
  show();
}

async function get(path) {
  const r = await fetch(path);
  if (!r.ok) throw new Error((await r.json()).error || r.statusText);
  return r.json();
}

async function load() {
  try {
    [findings, runs] = await Promise.all([get("api/memory-leaks"), get("api/runs")]);
    detail = null;
    loaded++;
    show();
  } catch (e) {
    $("state").textContent = "Not up to date: " + e.message;
  }
}

const perHour = f => f.rate ? f.rate.bytes_per_hour || 0 : 0;
const order = ["NONE", "INFO", "WARNING", "CRITICAL"];
const keys = {
  probability: f => f.probability, bytes: f => f.bytes, level: f => order.indexOf(f.level), site: f => f.site.toLowerCase(), first: f => f.first.event,
  growth: f => f.rate ? perHour(f) * 1e6 + f.rate.bytes_per_million_events : -1,
};

function growth(f) {
  if (!f.rate) return "~";
  return perHour(f) ? size(perHour(f)) + "/h" : size(f.rate.bytes_per_million_events) + "/M events";
}

const firstSeen = f => (f.first.time_ns ? (f.first.time_ns / 1e9).toFixed(2) + " s, " : "") + "line " + f.first.line;

function chosen(s) {
  const text = (s.q || "").toLowerCase();
  const found = findings.filter(f => (!s.level || f.level === s.level) && (!s.log || f.log === s.log) && (!s.program || f.program === s.program) &&
    (!text || [f.site, f.log, ...f.stack_trace].some(t => t.toLowerCase().includes(text))));
  const key = keys[s.sort];
  if (key) found.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (s.down === "no" ? 1 : -1));
  return found;
}

// filters are the parameters that say to the server which findings are meant.
function filters(s, more) {
  return new URLSearchParams(["q", "level", "program", "log", ...more].filter(k => s[k]).map(k => [k, s[k]])).toString();
}

function show() {
  const s = state(), view = document.querySelector(`[data-of="${CSS.escape(s.view || "")}"]`) ? s.view || "" : "";
  if ($("text").value !== (s.q || "")) $("text").value = s.q || "";
  $("level").value = s.level || "";
  choices($("log"), ["", ...runs.map(r => r.log)], s.log);
  choices($("program"), ["", ...new Set(runs.map(r => r.program))], s.program);
  choices($("run"), runs.map(r => r.log), s.run || s.log);
  for (const e of document.querySelectorAll("[data-of]")) e.hidden = e.dataset.of !== view;
  for (const a of document.querySelectorAll("nav a")) {
    a.dataset.view === view ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
    a.href = "#" + new URLSearchParams(Object.entries({...s, view: a.dataset.view, id: ""}).filter(([, v]) => v));
  }
  exports(s);
  totals();
  if (view === "flame") return showFlame(s);
  if (view === "compare") return showCompare(s);
  rows(chosen(s), s);
  about(s.id);
  showRun(s.run || s.log);
}

function totals() {
  const leaks = findings.filter(f => f.leak), sum = of => runs.reduce((n, r) => n + r[of], 0);
  const facts = [["leaking sites", sum("leaks") + " of " + sum("sites")], ["leaked", size(sum("leaked_bytes"))], ["outstanding", size(sum("outstanding_bytes"))],
    ["critical", leaks.filter(f => f.level === "CRITICAL").length], ["decided", leaks.filter(f => f.decision).length + " of " + leaks.length]];
  $("totals").replaceChildren(...facts.map(([k, v]) => make("div", {}, make("dt", {}, k), make("dd", {}, v))));
  const warned = new Map(); // the runs, by what is said of them
  for (const r of runs) for (const w of r.warnings) warned.set(w, [...(warned.get(w) || []), r.log]);
  if (findings.length >= 1000) warned.set("only the 1,000 most probable findings are shown here: an export has all", runs.map(r => r.log));
  const whose = logs => logs.length === 1 ? brief(logs[0]) : logs.length + " runs";
  $("warnings").replaceChildren(...[...warned].map(([w, logs]) => make("p", {title: logs.join("\n")}, (runs.length > 1 ? whose(logs) + ": " : "") + w)));
}

// brief is a log's name without the folders that all logs share.
function brief(log) {
  let n = log.lastIndexOf("/") + 1;
  while (n > 0 && !runs.every(r => r.log.startsWith(log.slice(0, n)))) n = log.lastIndexOf("/", n - 2) + 1;
  return log.slice(n);
}

// choices fills a selection, unless it has them already.
function choices(select, names, value) {
  if (names.join("\n") !== Array.from(select.options, o => o.value).join("\n")) {
    select.replaceChildren(...names.map(n => make("option", {value: n}, n ? brief(n) : "all")));
  }
  select.value = value || names[0] || "";
}

// exports are what is shown, as files.
function exports(s) {
  const formats = {json: "JSON", csv: "CSV", sarif: "SARIF", pprof: "pprof", collapsed: "collapsed stacks", html: "HTML report"};
  const query = filters(s, []);
  $("export").querySelector("p").replaceChildren(...Object.entries(formats).map(([name, title]) =>
    make("a", {href: "api/export?format=" + name + (query && "&" + query), download: ""}, title)));
}

// rows fills the table, unless it says already what it should, and keeps the focus.
function rows(all, s) {
  const few = 25, found = s.rows ? all : all.slice(0, few);
  $("more").hidden = all.length <= few;
  $("more").textContent = s.rows ? `Show the first ${few}` : `Show all ${all.length}`;
  for (const b of document.querySelectorAll("[data-sort]")) {
    const by = b.dataset.sort === s.sort;
    by ? b.parentElement.setAttribute("aria-sort", s.down === "no" ? "ascending" : "descending") : b.parentElement.removeAttribute("aria-sort");
  }
  const now = JSON.stringify([found, s.id]);
  if (now === shown) return;
  shown = now;
  const focus = document.activeElement, held = focus && focus.closest("tbody tr") ? [focus.closest("tr").dataset.id, focus.className] : null;
  const body = document.querySelector("#findings tbody");
  body.replaceChildren(...found.map(f => row(f, f.id === s.id)));
  if (held) body.querySelector(`tr[data-id="${CSS.escape(held[0])}"] .${CSS.escape(held[1])}`)?.focus();
  $("none").hidden = found.length > 0;
}

function row(f, on) {
  const cell = (head, text, kind) => make("td", {"data-head": head, class: kind}, text);
  const open = make("button", {type: "button", class: "open", "aria-expanded": String(on)}, f.site);
  open.addEventListener("click", () => { go({id: on ? "" : f.id}, true); if (!on) $("site").focus(); });
  return make("tr", {"data-id": f.id, class: on ? "chosen" : undefined},
    cell("P", f.probability.toFixed(3)), cell("level", f.level, f.level), cell("leaked", f.leak ? size(f.bytes) + " in " + f.blocks : "–"), cell("growth", growth(f)),
    cell("first seen", firstSeen(f)), make("td", {class: "site"}, open, runs.length > 1 ? make("small", {title: f.log}, brief(f.log)) : null),
    make("td", {}, ...(f.decidable ? [make("div", {class: "decide"}, ...decisions(f))] : [])));
}

// decisions are the two buttons of a finding; the one that is pressed takes it back.
function decisions(f) {
  return [["confirm", "confirmed", "Confirm"], ["dismiss", "dismissed", "Dismiss"]].map(([kind, decision, label]) => {
    const on = f.decision === decision;
    const b = make("button", {type: "button", class: kind, "aria-pressed": String(on), "aria-label": label + " " + f.site}, label);
    b.addEventListener("click", () => decide(f, on ? "" : decision));
    return b;
  });
}

async function decide(f, decision) {
  const r = await fetch("api/memory-leaks/" + encodeURIComponent(f.id) + "/decision",
    {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({decision})});
  if (!r.ok) $("state").textContent = "Not kept: " + ((await r.json()).error || r.statusText);
  else await load();
}

// about shows one finding whole.
async function about(id) {
  const f = findings.find(f => f.id === id);
  $("detail").hidden = !f;
  if (!f || detail === id) return;
  detail = id;
  const whole = await get("api/memory-leaks/" + encodeURIComponent(id)).catch(e => ({...f, why: [...f.why, "the rest could not be had: " + e.message]}));
  if (detail !== id) return;
  $("site").textContent = f.site;
  $("about").textContent = `${f.log}: ${f.leak ? "leak" : "no leak"}, P ${f.probability.toFixed(3)}, ${size(f.bytes)} in ${f.blocks} blocks, first seen ${firstSeen(f)}, growth ${growth(f)}`;
  $("decide").replaceChildren(...(f.decidable ? decisions(f) : []));
  $("why").replaceChildren(...whole.why.map(w => make("li", {}, w)));
  $("stack").replaceChildren(...whole.stack_trace.map(w => make("li", {}, w)));
  $("rests").hidden = !(whole.attribution || []).length;
  if (!$("rests").hidden) effectsChart($("rests"), whole.attribution);
  await siteCourse(whole);
  const run = runs.find(r => r.log === whole.log), sequence = whole.sequence;
  $("sequence").hidden = !sequence;
  if (!sequence) return;
  $("sequence").querySelector("p").textContent = `${count(sequence.blocks)} blocks were allocated here and ${count(sequence.freed)} freed; ` +
    (sequence.shown.length < sequence.blocks ? `${sequence.shown.length} of them are shown.` : "all are shown.");
  sequenceChart($("sequence"), sequence, Math.max(1, run ? run.events : 0, ...sequence.shown.map(b => b.born.event)));
}

// siteCourse draws the live bytes of a finding's site.
async function siteCourse(f) {
  const place = $("course"), label = "Live bytes of the site";
  if (f.course) return timeline(place, f.course, runMarks(f.course, f.leak ? [f] : []), label);
  const past = await get("api/history?points=600&" + new URLSearchParams({log: f.log, id: f.id})).catch(() => ({snapshots: [], alerts: []}));
  if (past.snapshots.length < 2) return noTimeline(place, "The log does not tell how it grew, or is not at hand.");
  const course = courseOf(past.snapshots);
  timeline(place, course, alertMarks(course, past.alerts), label);
}

$("text").addEventListener("input", () => go({q: $("text").value}));
$("level").addEventListener("change", () => go({level: $("level").value}, true));
$("program").addEventListener("change", () => go({program: $("program").value}, true));
$("log").addEventListener("change", () => go({log: $("log").value}, true));
$("run").addEventListener("change", () => go({run: $("run").value}, true));
$("more").addEventListener("click", () => go({rows: state().rows ? "" : "all"}, true));
$("skip").addEventListener("click", e => { e.preventDefault(); $("findings").focus(); });
startFlame();
startCompare();
for (const b of document.querySelectorAll("[data-sort]")) {
  b.addEventListener("click", () => {
    const s = state();
    go({sort: b.dataset.sort, down: s.sort === b.dataset.sort && s.down !== "no" ? "no" : ""}, true);
  });
}
document.addEventListener("keydown", e => {
  const typing = /^(INPUT|SELECT)$/.test(e.target.tagName);
  if (e.key === "/" && !typing) { e.preventDefault(); $("text").focus(); }
  if (e.key === "Escape" && state().id) {
    const id = state().id;
    go({id: ""}, true);
    document.querySelector(`tr[data-id="${CSS.escape(id)}"] .open`)?.focus();
  }
  const step = {ArrowDown: 1, ArrowUp: -1, j: 1, k: -1}[e.key], all = Array.from(document.querySelectorAll("td.site .open")), at = all.indexOf(document.activeElement);
  if (step && !typing && at >= 0 && all[at + step]) { e.preventDefault(); all[at + step].focus(); }
});
addEventListener("popstate", show);
addEventListener("hashchange", show);

// A page that nobody sees holds no stream: a browser has few connections to a server.
let stream = null;
function listen() {
  stream?.close();
  stream = null;
  if (document.hidden) return;
  stream = new EventSource("api/events");
  stream.addEventListener("change", async () => { await load(); $("state").textContent = "Up to date."; });
  stream.addEventListener("error", () => { $("state").textContent = "The server does not answer; trying again."; });
}
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", listen);
