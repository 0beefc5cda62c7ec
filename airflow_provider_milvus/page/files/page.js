// The Milvus page: a table of thousands of collections of which only the visible rows exist, two pictures, and a form to copy from.
// Text of servers goes into the page as text alone. Nothing here changes anything.
"use strict";

const ROW = 33; // pixels of a row, its line included
const AROUND = 8; // rows beyond the visible ones
const HOLDERS = 10;
const REASONS = 240; // pixels at least for the column with the reasons
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

const page = { content: null, shown: [], chosen: new Set(), sort: { column: "bytes", down: true }, biggest: 1, dags: null, asked: 0, columns: [] };

// ---- small parts

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return "?";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; Math.abs(bytes) >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

const counted = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
const when = (iso) => (iso ? new Date(iso).toLocaleString() : "");
const inMemory = (row) => row.state === "Loaded" || row.state === "Loading";
const keyOf = (row) => JSON.stringify([row.database, row.collection]);

async function ask(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  if (answer.status === 401 || answer.status === 403) throw new Error("Airflow does not let you see this: you may not read connections.");
  if (!answer.ok) throw new Error(`Airflow answered with ${answer.status}.`);
  return answer.json();
}

// ---- inside of Airflow

// Airflow's sandbox lets no link out of this frame; a link in Airflow's own document may be followed.
function openInAirflow(path) {
  const url = new URL(path, new URL("..", document.baseURI)).href;
  const outer = window.parent === window ? document : window.parent.document;
  const link = outer.createElement("a");
  link.href = url;
  outer.body.append(link);
  link.click();
  link.remove();
}

function followTheme() {
  try {
    if (window.parent === window) return;
    const root = window.parent.document.documentElement;
    const follow = () => {
      const dark = root.classList.contains("dark") || root.dataset.theme === "dark";
      const light = root.classList.contains("light") || root.dataset.theme === "light";
      if (dark || light) document.documentElement.dataset.theme = dark ? "dark" : "light";
    };
    new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["class", "data-theme"] });
    follow();
  } catch {
    // Another origin's frame: what the browser prefers holds.
  }
}

// ---- the table

// One that is spare is left out where no row has anything in it.
const COLUMNS = [
  { name: "choose", title: "" },
  { name: "database", title: "Database", value: (row) => row.database, cell: (row) => row.database },
  { name: "collection", title: "Collection", value: (row) => row.collection, cell: (row) => row.collection },
  { name: "state", title: "State", value: (row) => row.state, cell: (row) => row.state },
  { name: "rows", title: "Rows", number: true, value: (row) => row.rows, cell: (row) => (row.rows === null ? "" : row.rows.toLocaleString()) },
  { name: "bytes", title: "Memory", number: true, value: (row) => (inMemory(row) ? row.bytes : -1), cell: memory },
  {
    name: "replicas", title: "Replicas", number: true, spare: true, value: (row) => row.replicas,
    cell: (row) => row.replicas ?? "", hint: (row) => row.groups.join(", "),
  },
  { name: "aliases", title: "Aliases", spare: true, value: (row) => row.aliases.join(", ") || null, cell: (row) => row.aliases.join(", ") },
  { name: "use", title: "Last use", value: (row) => row.idle, cell: use, hint: useHint },
  { name: "windows", title: "Windows", number: true, spare: true, value: (row) => row.windows || null, cell: (row) => row.windows || "" },
  { name: "decision", title: "Last reclaim", value: (row) => row.decision && row.decision.reason, cell: decision, hint: decisionHint },
];

function memory(row) {
  if (!inMemory(row)) return "";
  if (row.bytes === null) return element("span", { class: "unknown", title: "Its size is not known" }, "?");
  const bar = element("i", { class: `bar ${row.bytes_source}` });
  bar.style.width = `${Math.max(2, (48 * row.bytes) / page.biggest)}px`;
  const measured = row.bytes_source === "measured";
  const text = element("span", { class: measured ? "" : "estimated-size", title: row.bytes_source }, `${measured ? "" : "~"}${size(row.bytes)}`);
  return element("span", {}, bar, text);
}

function use(row) {
  if (row.idle === null) return element("span", { class: "unknown" }, "?");
  const words = row.use.replace("neither searched nor queried for", "idle for at least").replace("searched or queried within the last", "within the last");
  // In front, where a narrow column does not cut it off.
  return row.use_at ? element("span", {}, element("span", { class: "faint" }, `on ${new Date(row.use_at).toLocaleDateString()}: `), words) : words;
}

function useHint(row) {
  return row.use_at ? `${row.use}, as the reclaim of ${when(row.use_at)} saw it` : row.use;
}

function decision(row) {
  const made = row.decision;
  if (!made) return "";
  const words = { planned: "would release", reloaded: "loaded again" };
  return element("span", {}, element("span", { class: `outcome ${made.outcome}` }, words[made.outcome] ?? made.outcome), made.reason);
}

function decisionHint(row) {
  const made = row.decision;
  if (!made) return "";
  return `${made.outcome}: ${made.reason}\n${when(made.at)}, ${made.dag_id}, ${made.run_id}${made.dry_run ? ", a dry run" : ""}`;
}

function makeHeadings() {
  const rows = page.content ? page.content.collections : [];
  const says = (column) => rows.some((row) => column.value(row) !== null);
  page.columns = COLUMNS.filter((column) => !column.spare || says(column));
  $("headings").replaceChildren();
  for (const column of page.columns) {
    const heading = element("th", { class: `col-${column.name}${column.number ? " number" : ""}`, scope: "col", "data-column": column.name });
    if (column.name === "choose") {
      heading.append(element("input", { type: "checkbox", id: "all", "aria-label": "Choose all that are shown", onchange: chooseAll }));
    } else {
      heading.append(element("button", { type: "button", onclick: () => sortBy(column.name) }, column.title));
    }
    $("headings").append(heading);
  }
  // The last column, with the reasons, takes what the others leave.
  const others = [...$("headings").children].slice(0, -1).reduce((sum, heading) => sum + heading.offsetWidth, 0);
  $("scroller").firstElementChild.style.minWidth = `${others + REASONS}px`;
}

function sortBy(name) {
  const column = COLUMNS.find((one) => one.name === name);
  const again = page.sort.column === name;
  page.sort = { column: name, down: again ? !page.sort.down : Boolean(column.number) };
  arrange();
}

// Filter, then sort: what is not known comes last, either way.
function arrange() {
  const words = $("search").value.trim().toLowerCase();
  const state = $("state").value;
  const outcome = $("outcome").value;
  const column = COLUMNS.find((one) => one.name === page.sort.column);
  const rows = page.content ? page.content.collections : [];
  const shown = rows.filter(
    (row) =>
      (!words || row.text.includes(words)) &&
      (!state || inMemory(row) === (state === "memory")) &&
      (!outcome || (row.decision ? row.decision.outcome : "none") === outcome)
  );
  const sign = page.sort.down ? -1 : 1;
  const keyed = shown.map((row) => [column.value(row), row]);
  keyed.sort(([a, one], [b, other]) => {
    const known = (a === null || a === undefined) - (b === null || b === undefined);
    if (known) return known;
    if (a < b) return -sign;
    if (a > b) return sign;
    return one.collection < other.collection ? -1 : 1;
  });
  page.shown = keyed.map(([, row]) => row);
  for (const heading of $("headings").children) {
    const sorted = heading.dataset.column === page.sort.column;
    heading.setAttribute("aria-sort", sorted ? (page.sort.down ? "descending" : "ascending") : "none");
  }
  $("count").textContent = page.content ? `${page.shown.length.toLocaleString()} of ${counted(rows.length, "collection")}` : "";
  $("scroller").scrollTop = 0;
  showRows();
}

function showRows() {
  const scroller = $("scroller");
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - AROUND);
  const last = Math.min(page.shown.length, first + Math.ceil(scroller.clientHeight / ROW) + 2 * AROUND);
  const focused = document.activeElement.closest("#rows tr");
  $("rows").replaceChildren(
    space(first),
    ...page.shown.slice(first, last).map(tableRow),
    space(page.shown.length - last)
  );
  // The focus stays with its row; at the table, where that is out of sight.
  if (focused) {
    const again = [...$("rows").children].find((row) => row.dataset.key === focused.dataset.key);
    (again ? again.querySelector("input") : scroller).focus({ preventScroll: true });
  }
  $("all").checked = page.shown.length > 0 && page.shown.every((row) => page.chosen.has(row.key));
  $("fill").disabled = page.chosen.size === 0;
  $("fill").textContent = page.chosen.size ? `Fill in a DAG’s form (${page.chosen.size}) …` : "Fill in a DAG’s form …";
}

function space(rows) {
  const cell = element("td", { colspan: page.columns.length });
  cell.style.height = `${rows * ROW}px`;
  return element("tr", { class: "space", "aria-hidden": "true" }, cell);
}

function tableRow(row) {
  const made = element("tr", { class: page.chosen.has(row.key) ? "chosen" : "", "data-collection": row.collection, "data-key": row.key });
  for (const column of page.columns) {
    if (column.name === "choose") {
      const box = element("input", { type: "checkbox", "aria-label": `Choose ${row.collection}`, onchange: () => choose(row, box.checked) });
      box.checked = page.chosen.has(row.key);
      made.append(element("td", {}, box));
    } else {
      const text = column.hint ? column.hint(row) : String(column.value(row) ?? "");
      made.append(element("td", { class: column.number ? "number" : "", title: text, "data-column": column.name }, column.cell(row)));
    }
  }
  return made;
}

function choose(row, chosen) {
  page.chosen[chosen ? "add" : "delete"](row.key);
  showRows();
}

function chooseAll() {
  const chosen = $("all").checked;
  for (const row of page.shown) page.chosen[chosen ? "add" : "delete"](row.key);
  showRows();
}

// ---- totals and pictures

function showTotals() {
  const { collections, capacity } = page.content;
  const held = collections.filter(inMemory);
  const sum = (source) => held.filter((row) => row.bytes_source === source).reduce((total, row) => total + (row.bytes ?? 0), 0);
  const unknown = held.filter((row) => row.bytes === null).length;
  const card = (value, words) => element("div", {}, element("b", {}, value), element("span", {}, words));
  const estimated = sum("estimated");
  $("totals").replaceChildren(
    card(collections.length.toLocaleString(), collections.length === 1 ? "collection" : "collections"),
    card(held.length.toLocaleString(), "in memory"),
    card(size(sum("measured")), capacity ? `measured, of ${size(capacity)}` : "measured"),
    ...(estimated ? [card(`~${size(estimated)}`, "estimated")] : []),
    ...(unknown ? [card(unknown.toLocaleString(), "of unknown size")] : [])
  );
}

function emptied(figure) {
  figure.querySelectorAll("svg, p").forEach((old) => old.remove());
  return figure;
}

function picture(figure, height, label) {
  const svg = drawn("svg", { viewBox: `0 0 600 ${height}`, role: "img", "aria-label": label });
  const hatched = drawn("pattern", { id: "hatched", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  hatched.append(drawn("rect", { width: 5, height: 5 }), drawn("line", { x1: 0, y1: 0, x2: 0, y2: 5 }));
  const definitions = drawn("defs");
  definitions.append(hatched);
  svg.append(definitions);
  emptied(figure).append(svg);
  return svg;
}

function nothing(figure, words) {
  emptied(figure).append(element("p", { class: "faint" }, words));
}

// Runs of other databases had other collections in view: side by side with these their memory would seem to come and go.
function showHistory() {
  const all = page.content.runs;
  const databasesOf = (run) => (run.databases ?? []).join(", ");
  const runs = all.filter((run) => databasesOf(run) === databasesOf(all.at(-1)));
  const told = (run) => {
    const budget = run.budget === null ? "" : `, budget ${size(run.budget)}`;
    const unknown = run.unknown_sizes ? `, ${run.unknown_sizes} of unknown size` : "";
    const did = run.dry_run ? `a dry run, would release ${run.planned}` : `released ${run.released}, failed ${run.failed}`;
    return `${run.dag_id}, ${run.task_id}: ${did}\n${size(run.bytes_before)} before, ${size(run.bytes_after)} after (${run.bytes_source}${unknown})${budget}`;
  };
  const none = runs.length ? "The runs knew no size. With metrics_url, or a memory budget, they do." : "No reclaim has kept a report yet.";
  drawRuns($("history"), runs, "Memory before and after each of the last runs", told, none);
  const others = all.length - runs.length;
  if (others) {
    const words = `Runs of ${databasesOf(all.at(-1))}. Not drawn: ${counted(others, "run")} of other databases.`;
    $("history").append(element("p", { class: "faint" }, words));
  }
}

// The nights of the last backtest, drawn as dry runs.
function showBacktest() {
  const { nights, summary, at, dag_id, task_id } = page.content.backtest ?? {};
  const figure = $("backtest");
  figure.hidden = !nights;
  if (!nights) return;
  const runs = nights.map((night) => ({ ...night, dry_run: true, bytes_source: "measured", budget: night.budget ?? null }));
  const assumed = (night) => (night.assumed ? ", assumed" : "");
  const told = (night) => `would release ${night.releases}, ${counted(night.missed, "search", "searches")} missed${assumed(night)}\n${size(night.bytes_before)} before, ${size(night.bytes_after)} after`;
  drawRuns(figure, runs, "Memory before and after each night of the last backtest", told, "The history knew no size.");
  figure.append(element("p", { class: "faint" }, `${summary} (${dag_id}, ${task_id}, ${when(at)})`));
}

// A bar for each run: pale what was in memory before it, full what was left; a red line is the budget.
function drawRuns(figure, runs, label, told, none) {
  const known = runs.flatMap((run) => [run.bytes_before, run.budget]).filter((bytes) => bytes !== null && bytes !== undefined);
  if (!known.length) {
    nothing(figure, none);
    return;
  }
  const most = Math.max(...known, 1);
  const [left, top, height, width] = [70, 10, 150, 520];
  const svg = picture(figure, 190, label);
  const y = (bytes) => top + height - (height * bytes) / most;
  for (const part of [0, 0.5, 1]) {
    svg.append(drawn("line", { class: "axis", x1: left, x2: left + width, y1: y(most * part), y2: y(most * part) }));
    svg.append(drawn("text", { x: left - 6, y: y(most * part) + 4, "text-anchor": "end" }, size(most * part)));
  }
  const step = width / Math.max(runs.length, 12);
  runs.forEach((run, place) => {
    const x = left + place * step + step * 0.1;
    const bar = step * 0.8;
    const group = drawn("g");
    const box = (bytes, kind) => drawn("rect", { class: kind, x, y: y(bytes), width: bar, height: top + height - y(bytes) });
    if (run.bytes_before === null) {
      group.append(drawn("text", { x: x + bar / 2, y: top + height - 4, "text-anchor": "middle" }, "?"));
    } else {
      group.append(box(run.bytes_before, "before"));
      group.append(box(run.bytes_after, run.dry_run ? "dry" : run.bytes_source === "measured" ? "after" : "estimated"));
    }
    if (run.budget !== null) group.append(drawn("line", { class: "budget", x1: x, x2: x + bar, y1: y(run.budget), y2: y(run.budget) }));
    group.append(drawn("title", {}, `${when(run.at)}\n${told(run)}`));
    svg.append(group);
  });
  svg.append(drawn("text", { x: left, y: 182 }, when(runs[0].at)));
  svg.append(drawn("text", { x: left + width, y: 182, "text-anchor": "end" }, when(runs.at(-1).at)));
}

function showBiggest() {
  const known = page.content.collections.filter((row) => inMemory(row) && row.bytes).sort((a, b) => b.bytes - a.bytes);
  page.biggest = known.length ? known[0].bytes : 1;
  if (!known.length) {
    nothing($("biggest"), "No size is known.");
    return;
  }
  const holders = known.slice(0, HOLDERS);
  const svg = picture($("biggest"), holders.length * 19 + 6, "The biggest collections in memory");
  holders.forEach((row, place) => {
    const top = place * 19 + 4;
    const width = Math.max(2, (260 * row.bytes) / page.biggest);
    const name = row.collection.length > 34 ? `${row.collection.slice(0, 33)}…` : row.collection;
    const text = drawn("text", { class: "name", x: 225, y: top + 11, "text-anchor": "end" }, name);
    text.append(drawn("title", {}, `${row.database}.${row.collection}`));
    svg.append(text, drawn("rect", { class: row.bytes_source, x: 232, y: top, width, height: 14, rx: 2 }));
    svg.append(drawn("text", { x: 238 + width, y: top + 11 }, `${row.bytes_source === "measured" ? "" : "~"}${size(row.bytes)}`));
  });
}

// ---- a DAG's form

const chosenRows = () => page.content.collections.filter((row) => page.chosen.has(row.key));
const valueOf = (param) => (param && typeof param === "object" && "value" in param ? param.value : param);

// DAGs with the tag "milvus" and a Param for collections.
async function findDags() {
  const { dags } = await ask("../api/v2/dags?tags=milvus&limit=100");
  const found = await Promise.all(dags.map((dag) => ask(`../api/v2/dags/${encodeURIComponent(dag.dag_id)}/details`).catch(() => null)));
  const fits = (params) => "collections" in params || "collection" in params || "collection_name" in params;
  return found.filter((dag) => dag && dag.params && fits(dag.params));
}

function fillIn(dag, rows) {
  const conf = Object.fromEntries(Object.entries(dag.params).map(([name, param]) => [name, valueOf(param)]));
  const names = [...new Set(rows.map((row) => row.collection))].sort();
  const databases = [...new Set(rows.map((row) => row.database))].sort();
  const notes = [`You chose from the connection ${$("connection").value}. This DAG names its own: make sure that it is the same one.`];
  if ("collections" in conf) conf.collections = names;
  else {
    const param = "collection" in conf ? "collection" : "collection_name";
    conf[param] = names[0];
    if (names.length > 1) notes.push(`This DAG takes one collection: ${names[0]} is filled in. Left out: ${counted(names.length - 1, "other name")}.`);
  }
  if ("databases" in conf) {
    conf.databases = databases;
    const taken = new Set(rows.map((row) => row.key));
    const wide = page.content.collections.filter(
      (row) => names.includes(row.collection) && databases.includes(row.database) && !taken.has(row.key)
    );
    if (wide.length) notes.push(`In these databases the names mean ${counted(wide.length, "collection")} more than you chose, such as ${wide[0].database}.${wide[0].collection}.`);
  } else {
    notes.push(`This DAG has no Param "databases": it decides itself in which database it takes the names. You chose from ${databases.join(", ")}.`);
  }
  return { conf, notes };
}

async function openForm() {
  $("form").showModal();
  $("dag").replaceChildren();
  $("conf").value = "";
  $("copy").disabled = true;
  $("form-note").textContent = "Looking for DAGs …";
  try {
    page.dags = await findDags();
  } catch (error) {
    $("form-note").textContent = error.message;
    return;
  }
  $("dag").replaceChildren(...page.dags.map((dag) => element("option", { value: dag.dag_id }, dag.dag_display_name ?? dag.dag_id)));
  showForm();
}

function showForm() {
  const dag = (page.dags ?? []).find((one) => one.dag_id === $("dag").value);
  if (!dag) {
    $("form-note").textContent = 'There is no DAG with the tag "milvus" and a Param "collections", "collection" or "collection_name".';
    return;
  }
  const { conf, notes } = fillIn(dag, chosenRows());
  $("conf").value = JSON.stringify(conf, null, 2);
  $("form-note").textContent = notes.join(" ");
  $("copy").disabled = false;
}

async function copyAndOpen() {
  const text = $("conf");
  try {
    await navigator.clipboard.writeText(text.value);
  } catch {
    // Not on https: the older way.
    text.select();
    document.execCommand("copy");
  }
  openInAirflow(`dags/${encodeURIComponent($("dag").value)}`);
}

// ---- all together

// Nothing of the connection before stays while another one is asked: what could be chosen then would be its collections.
function chooseConnection() {
  page.content = null;
  page.chosen.clear();
  delete document.body.dataset.shown;
  for (const id of ["problem", "warnings", "backtest"]) $(id).hidden = true;
  $("totals").replaceChildren();
  for (const id of ["history", "biggest"]) emptied($(id));
  arrange();
  look();
}

async function look() {
  const connection = $("connection").value;
  if (!connection) return;
  const asked = (page.asked += 1);
  const began = performance.now();
  $("status").textContent = `Asking ${connection} …`;
  // A button that is disabled outright would lose the focus.
  $("refresh").setAttribute("aria-disabled", "true");
  let content;
  try {
    content = await ask(`api/connections/${encodeURIComponent(connection)}`);
  } catch (error) {
    content = { collections: [], runs: [], warnings: [], problem: error.message, at: new Date().toISOString() };
  }
  if (asked !== page.asked) return; // another connection was chosen meanwhile
  performance.mark("answered");
  for (const row of content.collections) {
    row.key = keyOf(row);
    row.text = [row.collection, row.database, ...row.aliases, row.use, row.decision ? row.decision.reason : ""].join("\n").toLowerCase();
  }
  page.content = content;
  const there = new Set(content.collections.map((row) => row.key));
  page.chosen = new Set([...page.chosen].filter((key) => there.has(key)));
  $("refresh").setAttribute("aria-disabled", "false");
  $("problem").hidden = !content.problem;
  $("problem").textContent = content.problem ? `${content.problem} ${content.collections.length ? "The rows are what the last reclaims saw." : ""}` : "";
  $("warnings").hidden = !content.warnings.length;
  $("warnings").replaceChildren(...content.warnings.map((warning) => element("li", {}, warning)));
  $("status").textContent = `${content.server ?? connection}, ${when(content.at)}, in ${((performance.now() - began) / 1000).toFixed(1)} s`;
  showBiggest();
  showTotals();
  showHistory();
  showBacktest();
  makeHeadings();
  arrange();
  performance.mark("shown");
  document.body.dataset.shown = connection;
}

async function start() {
  followTheme();
  makeHeadings();
  $("search").addEventListener("input", arrange);
  for (const id of ["state", "outcome"]) $(id).addEventListener("change", arrange);
  $("scroller").addEventListener("scroll", () => requestAnimationFrame(showRows));
  window.addEventListener("resize", showRows);
  $("connection").addEventListener("change", chooseConnection);
  $("refresh").addEventListener("click", () => { if ($("refresh").getAttribute("aria-disabled") !== "true") look(); });
  $("fill").addEventListener("click", openForm);
  $("dag").addEventListener("change", showForm);
  $("copy").addEventListener("click", copyAndOpen);
  $("close").addEventListener("click", () => $("form").close());
  try {
    const { connections } = await ask("api/connections");
    $("connection").replaceChildren(...connections.map((id) => element("option", { value: id }, id)));
    if (connections.length) await look();
    else $("status").textContent = "Airflow has no connection of type Milvus. Add one under Admin, Connections.";
  } catch (error) {
    $("status").textContent = "";
    $("problem").hidden = false;
    $("problem").textContent = error.message;
  }
}

start();
