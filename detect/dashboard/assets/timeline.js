"use strict";
// Live bytes over time with what happened marked, drawn by ECharts on a canvas, and as a
// table.

const charts = new Map(); // by place: the chart, and how to draw it anew

// colour is one of the style sheet's.
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// levels tell by shape as well as by colour.
const levels = {CRITICAL: {symbol: "diamond", colour: "leak"}, WARNING: {symbol: "triangle", colour: "warn"}, INFO: {symbol: "circle", colour: "fine"}};

// axisOf finds what a course is drawn over: times of day, the log's seconds, its events
// or its snapshots. It has the values, a writer and a name.
function axisOf(c) {
  if (c.times) return {at: c.times, write: v => new Date(v).toLocaleTimeString("en-GB"), name: "time", type: "time"};
  const clock = c.seconds && c.seconds[c.seconds.length - 1] > 0;
  if (clock) return {at: c.seconds, write: v => (v < 10 ? v.toFixed(2) : v.toFixed(0)) + " s", name: "after", type: "value"};
  return {at: c.events, write: v => (v >= 1e6 ? (v / 1e6).toFixed(1) + " M" : String(Math.round(v))), name: c.unit || "events", type: "value"};
}

// timeline draws a course into a place. Marks have x, y, level, site and perhaps an id.
function timeline(place, course, marks, label) {
  const axis = axisOf(course), chart = place.querySelector(".chart");
  let canvas = chart.querySelector(".canvas");
  if (!canvas) {
    canvas = make("div", {class: "canvas", role: "img"});
    chart.replaceChildren(canvas);
    charts.get(place)?.chart.dispose();
    const drawn = echarts.init(canvas, null, {renderer: "canvas"});
    drawn.on("click", e => { if (e.data && e.data.id) go({id: e.data.id}, true); });
    new ResizeObserver(() => { if (canvas.clientWidth) drawn.resize(); }).observe(canvas);
    charts.set(place, {chart: drawn});
  }
  canvas.setAttribute("aria-label", label + "; the table beside it has the figures");
  const entry = charts.get(place);
  entry.draw = () => entry.chart.setOption(option(course, axis, marks), {notMerge: true});
  entry.draw();
  const rows = [], n = axis.at.length, step = Math.max(1, Math.ceil(n / 12));
  for (let i = (n - 1) % step; i < n; i += step) rows.push([axis.write(axis.at[i]), size(course.live[i]), size(course.leaked[i])]);
  place.querySelector(".scroll").replaceChildren(table("Live bytes", [axis.name, "live", "judged leaked"], rows));
}

// noTimeline says why there is none.
function noTimeline(place, text) {
  charts.get(place)?.chart.dispose();
  charts.delete(place);
  beside(place, [make("p", {}, text)], "");
}

// plain keeps a name from being read as ECharts' markup for text.
const plain = text => text.replace(/[{}|]/g, "·");

function option(course, axis, marks) {
  const top = Math.max(1, ...course.live, ...course.leaked), interval = 2 ** Math.ceil(Math.log2(top / 5)); // KiB are no powers of ten
  const soft = colour("soft"), line = colour("line"), start = axis.type === "time" ? [] : [[0, 0]];
  const series = (name, values, of) => ({
    name, type: "line", step: "end", showSymbol: false, sampling: "lttb", itemStyle: {color: colour(of)}, lineStyle: {width: 1.8, color: colour(of)},
    areaStyle: {color: colour(of), opacity: 0.12}, data: start.concat(values.map((v, i) => [axis.at[i], v])),
  });
  const near = x => marks.filter(m => Math.abs(m.x - x) <= (axis.at[axis.at.length - 1] - axis.at[0]) / 150).slice(0, 4);
  const says = of => {
    const x = of[0].axisValue, lines = [axis.name === "events" ? axis.write(x) + " events" : axis.write(x)];
    for (const p of of) if (p.seriesType === "line") lines.push(p.seriesName + " " + size(p.value[1]));
    for (const m of near(x)) lines.push(m.level + " " + plain(m.site.length > 60 ? m.site.slice(0, 59) + "…" : m.site));
    return lines.join("\n");
  };
  const label = {color: soft, fontFamily: "system-ui, sans-serif"};
  return {
    animation: false, textStyle: {fontFamily: "system-ui, sans-serif"}, grid: {left: 76, right: 14, top: 34, bottom: 62},
    legend: {top: 0, left: 70, textStyle: {color: colour("text")}, inactiveColor: soft, data: ["live", "judged leaked"]},
    tooltip: {trigger: "axis", renderMode: "richText", confine: true, backgroundColor: colour("back"), borderColor: line, textStyle: {color: colour("text"), fontSize: 12}, formatter: says},
    xAxis: {type: axis.type, min: axis.type === "time" ? "dataMin" : 0, max: "dataMax", axisLabel: {...label, formatter: axis.write, hideOverlap: true}, axisLine: {lineStyle: {color: line}}, splitLine: {show: false}},
    yAxis: {type: "value", min: 0, interval, max: interval * Math.ceil(top / interval), axisLabel: {...label, formatter: size}, splitLine: {lineStyle: {color: line}}},
    dataZoom: [
      {type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false},
      {type: "slider", height: 22, bottom: 6, borderColor: line, textStyle: {color: soft}, fillerColor: "rgba(112, 150, 190, 0.2)", labelFormatter: axis.write, handleStyle: {color: soft}},
    ],
    series: [series("live", course.live, "live"), series("judged leaked", course.leaked, "leak"), {
      name: "alerts", type: "scatter", symbolSize: 11, z: 5, cursor: "pointer",
      data: marks.map(m => {
        const of = levels[m.level] || levels.INFO;
        return {value: [m.x, m.y], id: m.id, symbol: of.symbol, itemStyle: {color: colour(of.colour), borderColor: colour("back"), borderWidth: 1}};
      }),
    }],
  };
}

// valueAt is the value that is drawn at x: each holds until the next.
function valueAt(axis, values, x) {
  const next = axis.findIndex(v => v > x);
  return values[next < 0 ? values.length - 1 : Math.max(0, next - 1)];
}

// runMarks are the beginnings of a run's leaks, on its course.
function runMarks(course, leaks) {
  const axis = axisOf(course), clock = axis.name === "after";
  if (axis.name === "snapshots") return [];
  return leaks.slice(0, 50).map(f => {
    const x = clock ? f.first.time_ns / 1e9 : f.first.event;
    return {x, y: valueAt(axis.at, course.live, x), level: f.level, site: f.site, id: f.id};
  });
}

// alertMarks are alerts, on a course over the time of day.
function alertMarks(course, alerts) {
  return alerts.filter(a => !a.resolved).slice(-200).map(a => {
    const x = Date.parse(a.timestamp);
    return {x, y: valueAt(course.times, course.live, x), level: a.level, site: a.site, id: a.finding};
  });
}

// courseOf turns snapshots into a course.
function courseOf(snapshots) {
  return {times: snapshots.map(s => Date.parse(s.timestamp)), live: snapshots.map(s => s.live), leaked: snapshots.map(s => s.leaked)};
}

let runShown = ""; // and when

// showRun draws the run that is chosen, or the one with the most leaked bytes.
async function showRun(name) {
  const run = runs.find(r => r.log === name) || [...runs].sort((a, b) => b.leaked_bytes - a.leaked_bytes)[0], place = $("timeline");
  $("run").value = run ? run.log : "";
  const now = $("run").value + " " + loaded;
  if (now === runShown) return;
  runShown = now;
  if (!run) return noTimeline(place, "There is no run yet.");
  const past = await get("api/history?points=600&log=" + encodeURIComponent(run.log)).catch(() => ({snapshots: [], alerts: []}));
  const leaks = findings.filter(f => f.leak && f.log === run.log);
  if (past.snapshots.length > 1) {
    const course = courseOf(past.snapshots);
    timeline(place, course, alertMarks(course, past.alerts), "Live bytes of " + run.log);
  } else if (run.course) {
    timeline(place, run.course, runMarks(run.course, leaks), "Live bytes of " + run.log);
  } else {
    noTimeline(place, "The log does not tell how the live bytes went, or is not at hand.");
  }
  alertTable(past.alerts, leaks);
}

// alertTable lists the alerts or, where none were sent, when the leaks began.
function alertTable(alerts, leaks) {
  const open = (id, text) => {
    const b = make("button", {type: "button", class: "link"}, text);
    b.addEventListener("click", () => { go({id}, true); $("site").focus(); });
    return b;
  };
  const level = l => make("span", {class: l}, l);
  if (alerts.length) {
    $("alerts").replaceChildren(table("Alerts", ["time", "level", "bytes", "site"], alerts.slice(-200).reverse().map(a =>
      [new Date(a.timestamp).toLocaleString("en-GB"), a.resolved ? "resolved" : level(a.level), size(a.bytes), open(a.finding, a.site)])));
  } else if (leaks.length) {
    $("alerts").replaceChildren(table("Leaks, as marked", ["first seen", "level", "bytes", "site"], leaks.slice(0, 50).map(f => [firstSeen(f), level(f.level), size(f.bytes), open(f.id, f.site)])));
  } else {
    $("alerts").replaceChildren();
  }
}

// Another theme has other colours.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const c of charts.values()) c.draw(); });
