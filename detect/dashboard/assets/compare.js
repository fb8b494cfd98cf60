"use strict";
// Two runs, or all runs of two programs, side by side.

// sides fills the choices of what can be compared.
function sides(s) {
  const programs = [...new Set(runs.map(r => r.program))];
  const now = JSON.stringify([programs, runs.map(r => r.log)]);
  for (const name of ["a", "b"]) {
    const select = $(name);
    if (select.dataset.has !== now) {
      select.dataset.has = now;
      select.replaceChildren(make("optgroup", {label: "Runs"}, ...runs.map(r => make("option", {value: "log:" + r.log}, brief(r.log)))),
        make("optgroup", {label: "Programs"}, ...programs.map(p => make("option", {value: "program:" + p}, p))));
    }
  }
  $("a").value = s.a || (runs[0] ? "log:" + runs[0].log : "");
  $("b").value = s.b || (runs[1] || runs[0] ? "log:" + (runs[1] || runs[0]).log : "");
}

async function showCompare(s) {
  sides(s);
  const a = $("a").value, b = $("b").value;
  if (!a || !b) {
    $("compare-says").textContent = "There is nothing to compare yet.";
    $("compared").replaceChildren();
    return;
  }
  const c = await get("api/compare?" + new URLSearchParams({a, b})).catch(e => e);
  if (c instanceof Error) {
    $("compare-says").textContent = c.message;
    return;
  }
  const side = x => `${size(x.bytes)} at ${x.leaks} sites${x.runs > 1 ? " on average of " + x.runs + " runs" : ""}`;
  $("compare-says").textContent = `A: ${side(c.a)}. B: ${side(c.b)}. That is ${change(c.b.bytes - c.a.bytes)}.`;
  const groups = [["Only in B", c.sites.filter(x => !x.a)], ["In both", c.sites.filter(x => x.a && x.b)], ["Only in A", c.sites.filter(x => !x.b)]];
  $("compared").replaceChildren(...groups.filter(([, sites]) => sites.length).map(([title, sites]) => group(title, sites)));
  if (!c.sites.length) $("compared").replaceChildren(make("p", {}, "No site leaks on either side."));
}

// change tells a difference by sign and colour.
const change = n => n === 0 ? "no change" : n > 0 ? "▲ " + size(n) + " more" : "▼ " + size(-n) + " less";

function group(title, sites) {
  const of = x => x ? size(x.bytes) + " in " + count(x.blocks) : "–";
  const t = table(`${title}: ${sites.length} ${sites.length === 1 ? "site" : "sites"}`, ["A", "B", "change", "allocation site"], sites.slice(0, 200).map(x => {
    const open = make("button", {type: "button", class: "link"}, x.site);
    open.addEventListener("click", () => { go({view: "", id: (x.b || x.a).id}, true); $("site").focus(); });
    return [of(x.a), of(x.b), make("span", {class: x.change > 0 ? "worse" : x.change < 0 ? "better" : ""}, change(x.change)), open];
  }));
  t.className = "compared";
  return t;
}

function startCompare() {
  for (const name of ["a", "b"]) $(name).addEventListener("change", () => go({a: $("a").value, b: $("b").value}, true));
  $("swap").addEventListener("click", () => go({a: $("b").value, b: $("a").value}, true));
}
