// The report: one state, and a function for each section that draws it from the embedded data.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

// What is drawn at first: more lines than that cannot be told apart.
const FIRST_MODELS = 8;
const FIRST_CLASSES = 20;
const FIRST_PAIRS = 20;

// What is chosen for every board alike, as at first.
const START = { view: "accuracy", time: "epochs", classOrder: "hardest", detail: "family", find: "", classFilter: "" };
const state = {
  ...START,
  group: data.groups[0],
  rows: [], // of the group, best first
  selected: new Set(),
  sort: { key: "test_acc_mean", direction: "descending" },
  cost: "",
  measure: "",
  allClasses: false,
  openClasses: new Set(),
};

// ---- columns of the leaderboard: best says which end is better; views is where a column stands beside "all"

const FORMATS = { large, duration, speed, p, significant3: significant(3) };
const formatOf = (name) => FORMATS[name] ?? (name.startsWith("fixed") ? fixed(Number(name.slice(5))) : undefined);
const COLUMNS = Object.fromEntries(Object.entries(data.columns).map(([key, { format, ...column }]) =>
  [key, { ...column, format: formatOf(format), text: format === "text" }]));
const LABEL = { title: "Model", text: true };

const words = (name) => name.replaceAll("_", " ").replace(/ mean$/, "");
const column = (key) => (key === "label" ? LABEL : COLUMNS[key] ?? { title: words(key), unit: "", best: "high", format: significant(4), views: "" });

/** A cell as a number; null where it is empty or text. "best" goes before every number. */
function number(row, key) {
  if (key === "val_acc") return row.val_acc;
  const cell = row.cells[key];
  if (cell === "best") return Infinity;
  return cell === undefined || cell.trim() === "" || !Number.isFinite(Number(cell)) ? null : Number(cell);
}
const accuracy = (row) => number(row, "test_acc_mean") ?? row.val_acc;
const chosen = () => state.rows.filter((row) => state.selected.has(row));
/** Whether the row has every word that is looked for. */
const isFound = (row) => state.find.toLowerCase().split(/\s+/).every((word) => row.label.toLowerCase().includes(word));
/** The best models, and every one that no other beats at some cost. */
const firstView = () => state.rows.filter((row, i) => i < FIRST_MODELS || COSTS.some((cost) => number(row, cost) > 0 && accuracy(row) !== null && !row.beaten_by[cost].length));

const empty = (...text) => h("p", { class: "empty" }, ...text.map((part) => (typeof part === "string" ? withCode(part) : part)));
/** Text in which commands are set as code. */
const withCode = (text) => text.split(/((?:python src\/|tinybench )\S+(?: --\S+)*)/).map((part, i) => (i % 2 ? h("code", {}, part) : part));
const NONE_SELECTED = "No model is selected; choose some in the bar at the top of the page.";

function options(select, entries, value) {
  select.replaceChildren(...entries.map(([key, title]) => h("option", { value: key }, title)));
  select.value = value;
}

function segments(fieldset, entries, value, change) {
  fieldset.querySelectorAll("label").forEach((label) => label.remove());
  fieldset.append(...entries.map(([key, title]) => h("label", {},
    h("input", { type: "radio", name: fieldset.id, value: key, checked: key === value, onchange: () => change(key) }), h("span", {}, title))));
}

// ---- head

function drawHead() {
  const { group, rows } = state;
  const runs = rows.flatMap((row) => row.runs);
  const count = `${rows.length} ${rows.length === 1 ? "model" : "models"}`;
  $("title").textContent = group.train_images ? `${count} on ${group.dataset}` : `${count} in ${group.dataset}`;
  document.title = `${$("title").textContent} · tinybench`;
  const images = [["training", group.train_images], ["validation", group.val_images], ["test", group.test_images]].filter(([, n]) => n);
  $("protocol").textContent = [
    group.class_count && `${group.class_count} classes`,
    images.length && `${new Intl.ListFormat("en").format(images.map(([name, n]) => `${n.toLocaleString("en")} ${name}`))} images`,
    group.image_sizes.length && `${range(group.image_sizes)} pixels a side`,
    group.epochs.length && `${range(group.epochs)} epochs`,
    group.fingerprint && `data ${group.fingerprint}`,
    group.plan && `plan ${group.plan}`,
  ].filter(Boolean).join(" · ");

  const tested = rows.filter((row) => number(row, "test_acc_mean") !== null);
  const best = (tested.length ? tested : rows)[0];
  const devices = [...new Set(runs.map((run) => run.environment.device_name ?? run.environment.device).filter(Boolean))];
  const facts = [
    [tested.length ? "Best top-1 on test" : "Best top-1 on validation", shown(accuracy(best), percent), shorten(best.label, 60)],
    ["Models", rows.length, `${tested.length} tested`],
    ["Runs", runs.length, `${runs.filter((run) => run.test).length} tested`],
    ["Training time", shown(state.group.training_seconds, duration), "all runs together"],
    ["Device", devices.length > 1 ? devices.length : devices[0] ?? MISSING, devices.length > 1 ? "kinds of device" : runs[0]?.environment.device ?? ""],
  ];
  $("facts").replaceChildren(...facts.map(([title, value, note]) => h("div", {}, h("dt", {}, title), h("dd", {}, value, h("small", {}, note)))));
}

function drawChips() {
  const found = state.rows.filter(isFound);
  $("chips").replaceChildren(...found.map((row) => h("button", {
    type: "button",
    title: row.label,
    "aria-pressed": String(state.selected.has(row)),
    onclick(event) {
      state.selected.has(row) ? state.selected.delete(row) : state.selected.add(row);
      event.currentTarget.setAttribute("aria-pressed", String(state.selected.has(row)));
      drawSelection();
    },
  }, swatch(row), h("span", {}, row.brief))));
  if (!found.length) $("chips").replaceChildren(h("span", { class: "none" }, `No model has “${state.find.trim()}” in its name.`));
  $("find-status").textContent = state.find.trim() ? `${found.length} of ${state.rows.length} models` : "";
}

/** Select those that are found, or none of them. */
function selectFound(wanted) {
  for (const row of state.rows.filter(isFound)) wanted ? state.selected.add(row) : state.selected.delete(row);
  drawChips();
  drawSelection();
}

function drawSelection() {
  drawCost();
  drawCurves();
  drawClasses();
  drawRobustness();
}

// ---- leaderboard

function columnsInView() {
  const known = Object.keys(COLUMNS).filter((key) => state.rows.some((row) => number(row, key) !== null || (column(key).text && row.cells[key])));
  if (state.view !== "all") return known.filter((key) => COLUMNS[key].views.split(" ").includes(state.view));
  const others = state.group.columns.filter((key) => !(key in COLUMNS) && key !== "recipe" && !/_(low|high)$/.test(key));
  return [...known, ...others];
}

function sortedRows() {
  const { key, direction } = state.sort;
  const sign = direction === "ascending" ? 1 : -1;
  const value = (row) => (column(key).text ? (key === "label" ? row.label : row.cells[key]) || null : number(row, key) ?? (key in COLUMNS ? null : row.cells[key] || null));
  return [...state.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what is missing stays below, whichever way
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  });
}

function sortBy(key) {
  const { text, best } = column(key);
  const first = text || best === "low" ? "ascending" : "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  state.sort = { key, direction: state.sort.key === key && state.sort.direction === first ? other : first };
  drawSorted();
}

function drawBoard() {
  const keys = ["label", ...columnsInView()];
  if (!keys.includes(state.sort.key)) state.sort = { key: "test_acc_mean", direction: "descending" };
  const interval = state.view === "accuracy" && intervalScale();
  const heads = keys.map((key) => h("th", { scope: "col", "data-key": key },
    h("button", { type: "button", onclick: () => sortBy(key) },
      h("span", { class: "arrow", "aria-hidden": "true" }), column(key).title, column(key).unit && h("span", { class: "unit" }, column(key).unit))));
  if (interval) heads.splice(1 + keys.slice(1).indexOf("test_acc_mean") + 1, 0, h("th", { scope: "col", class: "plain" }, interval.head()));
  $("board").replaceChildren(
    h("caption", { class: "sr" }, "The models with their measurements; the buttons in the first row sort."),
    h("thead", {}, h("tr", {}, heads)), h("tbody"));
  drawSorted();
}

/** The order alone: the buttons stay, so that the one that was pressed keeps the focus. */
function drawSorted() {
  for (const head of $("board").querySelectorAll("th[data-key]")) {
    const active = head.dataset.key === state.sort.key;
    active ? head.setAttribute("aria-sort", state.sort.direction) : head.removeAttribute("aria-sort");
    head.querySelector(".arrow").textContent = active ? (state.sort.direction === "ascending" ? "↑" : "↓") : "";
  }
  const keys = columnsInView();
  const interval = state.view === "accuracy" && intervalScale();
  const ranked = sortedRows().map((row, i) => [row, i + 1]).filter(([row]) => isFound(row));
  $("board").tBodies[0].replaceChildren(...ranked.map(([row, rank]) => h("tr", {},
    h("th", { scope: "row", title: row.label }, h("div", { class: "model" }, h("span", { class: "rank" }, rank), swatch(row), h("span", {}, twoLines(row.label)))),
    keys.flatMap((key) => [cell(row, key), interval && key === "test_acc_mean" && h("td", {}, interval.draw(row))]))));
}

/** A row's name, and below it its network. */
function twoLines(label) {
  const [name, ...network] = label.split(", ");
  return [shorten(name, 60), network.length > 0 && h("small", {}, network.join(", "))];
}

function cell(row, key) {
  const { text, format } = column(key);
  const value = number(row, key);
  if (text || (value === null && row.cells[key])) return h("td", { class: "text" }, row.cells[key] || MISSING);
  if (value === null) return h("td", { class: "missing" }, key === "test_acc_mean" ? "not tested" : MISSING);
  const base = key.replace(/_mean$/, "");
  const [low, high] = [number(row, `${base}_low`), number(row, `${base}_high`)];
  const interval = low !== null && high !== null ? `${format(low)} – ${format(high)}` : key === "test_acc_mean" && "one seed: no interval";
  return h("td", {}, format(value), interval && h("small", {}, interval));
}

/** Accuracies and their intervals on one common scale; null where nothing was tested. */
function intervalScale() {
  const values = state.rows.flatMap((row) => ["mean", "low", "high"].map((end) => number(row, `test_acc_${end}`))).filter((value) => value !== null);
  if (!values.length) return null;
  const [low, high] = extent(values, 0.12);
  const domain = [Math.max(0, low), Math.min(100, high)];
  const x = linear(domain, [8, 152]);
  const marks = ticks(...domain, 3);
  const frame = (height, ...children) => h("svg", { viewBox: `0 0 160 ${height}`, style: { width: "160px" }, "aria-hidden": "true" }, children);
  return {
    head: () => [h("span", { class: "sr" }, "Top-1 drawn with its interval"), frame(16, marks.map((value) => h("text", { x: x(value), y: 12, "text-anchor": "middle" }, value)))],
    draw(row) {
      const [at, from, to] = ["mean", "low", "high"].map((end) => number(row, `test_acc_${end}`));
      return frame(22, marks.map((value) => h("line", { class: "grid", x1: x(value), x2: x(value), y1: -15, y2: 37 })),
        from !== null && to !== null && h("line", { x1: x(Math.max(domain[0], from)), x2: x(Math.min(domain[1], to)), y1: 11, y2: 11, stroke: row.color, "stroke-width": 3, "stroke-linecap": "round", opacity: 0.55 }),
        at !== null && mark(row, x(at), 11, 4.5));
    },
  };
}

function drawNotices() {
  const lines = [...state.group.notices, ...data.problems];
  $("notices").hidden = !lines.length;
  $("notices").querySelector("ul").replaceChildren(...lines.map((line) => h("li", {}, withCode(line))));
  $("glossary").replaceChildren(...Object.values(COLUMNS).flatMap(({ title, unit, about }) => [h("dt", {}, unit ? `${title}, ${unit}` : title), h("dd", {}, about)]));
}

/** The rows of this protocol in the order shown, with the columns of model_comparison.csv and its very cells; text that a
 *  spreadsheet would take for a formula is quoted. */
function csvText() {
  const harmless = (text) => (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text);
  const quote = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const { columns } = state.group;
  const lines = [columns, ...sortedRows().map((row) => columns.map((key) => harmless(row.cells[key] ?? "")))];
  return lines.map((line) => line.map(quote).join(",") + "\n").join("");
}

function download() {
  const address = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  h("a", { href: address, download: "model_comparison.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// ---- accuracy against cost

const COSTS = data.costs;

function drawCost() {
  const point = (row) => ({ row, x: number(row, state.cost), y: accuracy(row), low: number(row, "test_acc_low"), high: number(row, "test_acc_high") });
  const tested = chosen().filter((row) => number(row, "test_acc_mean") !== null);
  const points = (tested.length ? tested : chosen()).map(point).filter(({ x, y }) => x > 0 && y !== null);
  $("cost-chart").redraw?.disconnect();
  if (!points.length) return $("cost-chart").replaceChildren(empty(chosen().length ? "Nothing is known of both accuracy and cost of these models." : NONE_SELECTED));
  const { title, unit, format } = column(state.cost);
  const yTitle = tested.length ? "Top-1 on test, %" : "Top-1 on validation, %";
  // The Pareto front: the models that no other one of the selection beats.
  const drawn = new Set(points.map(({ row }) => row.index));
  const front = points.filter(({ row }) => !row.beaten_by[state.cost].some((index) => drawn.has(index))).sort((a, b) => a.x - b.x);
  scatter($("cost-chart"), {
    label: `${yTitle} against ${costTitle(state.cost)}: ${points.map(({ row, x, y }) => `${row.label} ${percent(y)}, ${format(x)}`).join("; ")}`,
    points, front, x: { title: [title, unit].filter(Boolean).join(", "), format }, y: { title: yTitle, format: percent, tick: significant(4) },
  });
}

const costTitle = (key) => ({ training_seconds_mean: "Training time", peak_memory_mb: "Peak memory" })[key] ?? COLUMNS[key].title;

// ---- training curves

const MEASURES = {
  val_acc: { title: "validation accuracy", unit: "%", best: "high", format: percent },
  val_macro_acc: { title: "validation accuracy, mean of the classes", unit: "%", best: "high", format: percent },
  val_top5_acc: { title: "validation top-5 accuracy", unit: "%", best: "high", format: percent },
  ema_val_acc: { title: "validation accuracy, averaged weights", unit: "%", best: "high", format: percent },
  val_loss: { title: "validation loss", unit: "nats", best: "low", format: fixed(3) },
  train_acc: { title: "training accuracy", unit: "%", best: "high", format: percent },
  train_loss: { title: "training loss", unit: "nats", best: "low", format: fixed(3) },
  lr: { title: "learning rate", unit: "", best: "high", format: significant(3) },
};

/** [[x, value], …] of the curves of a run or of a row's mean; x is the epoch, or the hours or minutes since the start. */
function curve(curves, measure, unit) {
  return (curves[measure] ?? []).map((value, i) => [unit ? (curves.elapsed?.[i] ?? NaN) / unit : i + 1, value])
    .filter(([x, value]) => value !== null && Number.isFinite(x));
}

function drawCurves() {
  const { title, unit, best, format } = MEASURES[state.measure] ?? {};
  const rows = chosen().filter((row) => row.runs.some((run) => run.curves[state.measure]?.length));
  const longest = Math.max(...rows.flatMap((row) => row.runs.map((run) => run.seconds ?? 0)));
  const [clock, name] = longest > 7200 ? [3600, "hours"] : [60, "minutes"];
  const perTime = state.time === "time";
  const series = rows.map((row) => {
    const unit = perTime && clock;
    const seeds = row.runs.map((run) => curve(run.curves, state.measure, unit)).filter((points) => points.length);
    const points = curve(row.curves, state.measure, unit);
    // Where the images grow, the spans as x, so that a read-out can say which size it is of.
    const sizes = row.sizes.map(([first, size]) => [!perTime ? first - 0.5 : first > 1 ? row.curves.elapsed[first - 2] / unit : 0, size]);
    return { ...row, points, ghosts: seeds.length > 1 ? seeds : [], sizes };
  }).filter(({ points }) => points.length);
  // As bands where all that grow do so together.
  const schedules = [...new Set(series.filter(({ sizes }) => sizes.length).map(({ sizes }) => JSON.stringify(sizes)))];
  const seeds = series.some(({ ghosts }) => ghosts.length);
  const growing = series.filter(({ sizes }) => sizes.length);
  $("curves-lead").textContent = `${growing.length ? `The images grow while ${growing.length === 1 ? `${growing[0].brief} learns, and so do those that it is` : `${growing.length} of these models learn, and so do those that they are`} validated on. ` : ""}${seeds ? "A strong line is the mean over a model's seeds, the thin lines are the seeds. " : ""}${
    state.measure.startsWith("train") ? "Training images are augmented, and mixed where the recipe says so, so training can look worse than validation. " : ""
  }Move over the chart, or focus it and use the arrow keys, to read values.`;
  $("curves-chart").redraw?.disconnect();
  if (!series.length) return $("curves-chart").replaceChildren(empty(chosen().length ? "The selected models have no such curve." : NONE_SELECTED));
  lineChart($("curves-chart"), {
    label: `${title} by ${perTime ? `${name} of training` : "epoch"}`, series, names: true, bands: schedules.length === 1 ? JSON.parse(schedules[0]) : [],
    x: perTime ? { title: `${name} of training`, format: significant(3) } : { title: "epoch", format: fixed(0), whole: true },
    y: { title: [title, unit].filter(Boolean).join(", "), best, format, tick: significant(3) },
    position: perTime ? (value) => `after ${significant(3)(value)} ${name}` : (value) => `epoch ${value}`,
  });
}

// ---- class by class

const CLASS_ORDERS = { hardest: "hardest first", easiest: "easiest first", disagreement: "largest disagreement", name: "by name" };

function drawClasses() {
  const rows = chosen().filter((row) => row.classes);
  const list = $("class-list");
  $("class-axis").replaceChildren();
  $("class-empty").replaceChildren();
  if (!rows.length) {
    list.replaceChildren();
    $("more-classes").hidden = true;
    return $("class-empty").replaceChildren(empty(!chosen().length ? NONE_SELECTED : `None of these models has test results by class. Test with: ${data.commands.test}`));
  }
  const wanted = state.classFilter.trim().toLowerCase();
  const classes = state.group.class_list.map((entry, index) => ({ ...entry, index })).filter(({ id, name }) => `${name} ${id}`.toLowerCase().includes(wanted));
  const orders = {
    hardest: (a, b) => (a.mean ?? 101) - (b.mean ?? 101),
    easiest: (a, b) => (b.mean ?? -1) - (a.mean ?? -1),
    disagreement: (a, b) => (b.spread ?? -1) - (a.spread ?? -1),
    name: (a, b) => a.name.localeCompare(b.name, "en"),
  };
  classes.sort(orders[state.classOrder]);
  const visible = state.allClasses ? classes : classes.slice(0, FIRST_CLASSES);
  if (visible.length) $("class-axis").replaceChildren(h("span"), h("span", { class: "strip ticks" }, [0, 25, 50, 75, 100].map((value) => at(value, `${value}`))), h("span", { class: "mean" }, "mean of all"));
  else $("class-empty").replaceChildren(empty(`No class has “${state.classFilter.trim()}” in its name or id.`));
  list.replaceChildren(...visible.map((entry) => classItem(entry, rows)));
  $("more-classes").hidden = classes.length <= FIRST_CLASSES;
  $("more-classes").textContent = state.allClasses ? `Show ${FIRST_CLASSES} only` : `Show all ${classes.length} classes`;
  $("class-status").textContent = `${classes.length} classes`;
}

/** Something at a percentage of a strip's width. */
const at = (value, ...children) => h("i", { style: { left: `${value}%` } }, ...children);

function classItem({ id, name, index, mean }, rows) {
  const detail = h("div", { class: "class-detail", id: `class-${index}`, hidden: !state.openClasses.has(index) });
  const fill = () => detail.hidden || detail.replaceChildren(classTable(id, index, rows));
  const button = h("button", {
    type: "button", class: "class-row", "aria-expanded": String(!detail.hidden), "aria-controls": detail.id,
    onclick() {
      detail.hidden = !detail.hidden;
      detail.hidden ? state.openClasses.delete(index) : state.openClasses.add(index);
      button.setAttribute("aria-expanded", String(!detail.hidden));
      fill();
    },
  },
  h("span", { class: "class-name" }, name),
  h("span", { class: "strip", "aria-hidden": "true" }, rows.map((row) => row.classes.accuracy[index] !== null && at(row.classes.accuracy[index], h("svg", { viewBox: "0 0 14 14" }, mark(row, 7, 7, 5))))),
  h("span", { class: "value" }, shown(mean, (value) => `${fixed(0)(value)} %`)));
  fill();
  return h("li", {}, button, detail);
}

function classTable(id, index, rows) {
  const classes = state.group.class_list;
  const line = (row) => h("tr", {},
    h("th", { scope: "row" }, swatch(row), " ", shorten(row.label, 60)),
    h("td", {}, meter(row.classes.accuracy[index])),
    h("td", { class: "text" }, row.classes.mistakes[index].map(([other, share]) => `${classes[other].name} ${fixed(0)(share)} %`).join(", ") || "no mistake"));
  return h("div", {}, h("p", { class: "id" }, id), h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Model"), h("th", { scope: "col" }, "Accuracy"), h("th", { scope: "col", class: "text" }, "Most often predicted as"))),
    h("tbody", {}, [...rows].sort((a, b) => (b.classes.accuracy[index] ?? -1) - (a.classes.accuracy[index] ?? -1)).map(line))));
}

const meter = (value) => h("span", { class: "meter" }, h("i", {}, h("i", { style: { width: `${value ?? 0}%` } })), h("span", {}, shown(value, (share) => `${fixed(0)(share)} %`)));

// ---- confusion pairs

function drawConfusions() {
  const rows = state.rows.filter((row) => row.classes);
  const row = rows[$("confusion-model").value];
  $("confusion-model").disabled = !row;
  if (!row) return $("confusion-pairs").replaceChildren(empty(`No model here has test results by class. Test with: ${data.commands.test}`));
  const names = state.group.class_list.map(({ name }) => name);
  $("confusion-pairs").replaceChildren(row.classes.pairs.length ? h("ol", { class: "pairs" }, row.classes.pairs.slice(0, FIRST_PAIRS).map(([truth, predicted, count, images, share]) => h("li", {},
    h("span", {}, h("b", {}, names[truth]), h("span", { class: "arrow", "aria-hidden": "true" }, "→"), h("span", { class: "sr" }, " predicted as "), names[predicted]),
    h("span", {}, meter(share), h("small", {}, `${count} of ${images}`))))) : empty("This model made no mistake."));
}

// ---- robustness

const KINDS = { corruptions: "severity, 1 to 5", attacks: "radius, 255ths", occlusion: "side of the square, pixels" };

/** Curves by name, {kind, family, name, x, accuracy}, of one row: all, or the mean of each family of corruptions. */
function robustnessCurves(row) {
  return state.detail === "each" ? row.robustness.curves : row.robustness.families;
}

function drawRobustness() {
  const rows = chosen().filter((row) => row.robustness);
  const host = $("robustness-charts");
  host.querySelectorAll(".plot").forEach((plot) => plot.parentElement.redraw?.disconnect());
  $("robustness-numbers").hidden = !rows.length;
  if (!rows.length) {
    const measured = state.rows.some((row) => row.robustness);
    return host.replaceChildren(empty(!chosen().length ? NONE_SELECTED : measured ? "The selected models were not measured." : `Robustness was not measured in these runs. Measure it with: ${data.commands.robustness}`));
  }
  const images = rows.map((row) => row.robustness.images).filter((count) => count !== null);
  const seeds = rows.map((row) => row.robustness.seeds);
  $("robustness-lead").textContent = `Accuracy on test images that were disturbed more and more; 0 is the undisturbed image. ${
    images.length ? `On ${range(images)} test images of each model, ` : "By model, "}${Math.max(...seeds) > 1 ? `as the mean over ${range(seeds)} seeds` : "of one seed"}.`;
  const panels = new Map();
  for (const row of rows)
    for (const { kind, name, x, accuracy, count } of robustnessCurves(row)) {
      const panel = panels.get(`${kind} ${name}`) ?? { kind, name, count, series: [] };
      const points = x.map((value, i) => [value, accuracy[i]]);
      if (row.robustness.clean !== null && x[0] > 0) points.unshift([0, row.robustness.clean]);
      if (points.length) panel.series.push({ ...row, points });
      panels.set(`${kind} ${name}`, panel);
    }
  // One vertical scale for all, so that the panels can be compared.
  const highest = Math.max(...[...panels.values()].flatMap(({ series }) => series.flatMap(({ points }) => points.map(([, value]) => value))));
  host.replaceChildren(...[...panels.values()].filter(({ series }) => series.length).map(({ kind, name, count, series }) => {
    const chart = h("div");
    const panel = h("div", { class: "panel" }, h("h3", {}, words(name), count > 1 && h("small", {}, ` mean of ${count}`)), chart);
    requestAnimationFrame(() => lineChart(chart, {
      label: `accuracy by ${KINDS[kind]}, ${words(name)}`, series, height: 190,
      x: { title: KINDS[kind], format: significant(3), stops: true }, y: { title: "top-1, %", best: "high", domain: [0, highest * 1.05], format: percent, tick: significant(3) },
    }));
    return panel;
  }));
  drawRobustnessNumbers(rows);
}

function drawRobustnessNumbers(rows) {
  const names = [...new Set(rows.flatMap((row) => row.robustness.curves.map(({ kind, name }) => `${kind}\n${name}`)))];
  const numbers = [...new Set(rows.flatMap((row) => Object.keys(row.robustness.numbers)))];
  const line = (title, values, format) => h("tr", {}, h("th", { scope: "row" }, title), values.map((value) => h("td", {}, shown(value, format))));
  $("robustness-numbers").querySelector("div").replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Mean accuracy over the curve"), rows.map((row) => h("th", { scope: "col", class: "wrap" }, shorten(row.label, 60))))),
    h("tbody", {},
      line("test images", rows.map((row) => row.robustness.images), fixed(0)),
      line("seeds", rows.map((row) => row.robustness.seeds), fixed(0)),
      line("undisturbed", rows.map((row) => row.robustness.clean), percent),
      names.map((key) => {
        const [kind, name] = key.split("\n");
        return line(words(name), rows.map((row) => row.robustness.curves.find((found) => found.kind === kind && found.name === name)?.mean), percent);
      }),
      numbers.map((name) => line(words(name), rows.map((row) => row.robustness.numbers[name]), significant(4))))));
}

// ---- runs

const plain = (value) => (value === null || value === undefined ? MISSING : typeof value === "object" ? JSON.stringify(value).replace(/^(\{\}|\[\])$/, "none") : String(value));

/** Fields of the recipe that are not the same in all runs of the group; seeds differ by design. */
function differingFields(runs) {
  const names = new Set(runs.flatMap((run) => Object.keys(run.config)));
  return [...names].filter((name) => name !== "seed" && new Set(runs.map((run) => plain(run.config[name]))).size > 1);
}

function drawRuns() {
  const rows = state.rows.filter((row) => row.runs.length);
  const runs = rows.flatMap((row) => row.runs);
  const differing = differingFields(runs);
  $("differences").replaceChildren(...(rows.length > 1 && differing.length ? [
    h("h3", {}, "Where the recipes differ"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Where the recipes differ" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Setting"), rows.map((row) => h("th", { scope: "col", class: "wrap" }, shorten(row.label, 60))))),
      h("tbody", {}, differing.map((name) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)),
        rows.map((row) => h("td", {}, [...new Set(row.runs.map((run) => plain(run.config[name])))].join(", ")))))))),
  ] : []));
  if (!rows.length) return $("run-list").replaceChildren(empty("The runs of these rows are not here."));
  $("run-list").replaceChildren(...rows.flatMap((row) => row.runs.map((run) => runItem(row, run, new Set(differing)))));
}

function runItem(row, run, differing) {
  const flat = (object, prefix = "") => Object.entries(object ?? {}).flatMap(([name, value]) =>
    (value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${prefix}${name} `) : [[prefix + name, value]]));
  const block = (title, entries) => h("div", {}, h("h3", {}, title), h("dl", {},
    entries.map(([name, value]) => [h("dt", {}, words(name)), h("dd", {}, plain(value))])));
  // A recipe's fields are flags of the command line: they keep the names that one types there.
  const recipe = h("div", {}, h("h3", {}, "Recipe"), h("dl", {}, Object.entries(run.config).map(([name, value]) => [
    h("dt", { class: "flag" }, name), h("dd", { class: differing.has(name) && "differs" }, plain(value))])));
  return h("details", { class: "run" },
    h("summary", {},
      h("b", {}, swatch(row), run.name),
      h("span", {}, run.test ? `test ${percent(run.test.test_acc)}` : "not tested"),
      h("span", {}, `validation ${shown(run.val_acc, percent)} at epoch ${run.best_epoch}`),
      h("span", {}, run.planned && run.planned !== run.epochs ? `${run.epochs} of ${run.planned} epochs` : `${run.epochs} epochs`),
      h("span", {}, shown(run.seconds, duration))),
    h("div", { class: "run-body" },
      recipe,
      h("div", { class: "stack" },
        block("Machine", Object.entries(run.environment)),
        block("Data", Object.entries(run.dataset)),
        block("Training", [...Object.entries(run.measured), ["best_epoch", run.best_epoch], ["training_seconds", run.seconds]])),
      block("Test", run.test ? flat(run.test) : [["test", "not tested yet"]])));
}

// ---- published by others

function drawPublished() {
  const rows = data.published;
  if (!rows.length) return;
  $("published").hidden = $("published-link").hidden = false;
  const classes = state.group.class_count;
  $("published-lead").textContent = `What others report for these networks on Tiny ImageNet with all 200 classes. Their set-ups differ, and many chose the epoch on the very images they report: they set the scene and are no part of the ranking.${
    classes && classes !== 200 ? ` The models above know ${classes} classes, so the numbers cannot be compared at all.` : ""}`;
  const link = (url, text) => (url ? h("a", { href: url, rel: "noopener noreferrer" }, text) : text);
  const time = ({ hours, hardware }) => [hours && `${hours} h`, hardware].filter(Boolean).join(" on ");
  const columns = [["Top-1, %", "top1"], ["Top-5, %", "top5"], ["Epochs", "epochs"], ["Parameters, M", "parameters_millions"], ["Epoch chosen on", "epoch_chosen_on", "text"], ["Pretraining", "pretraining", "text"]];
  $("published-table").replaceChildren(
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Network, set-up and source"), columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("th", { scope: "row" }, row.network, h("small", {}, [row.set_up, time(row)].filter(Boolean).join("; ")), h("small", {}, link(row.url, row.source))),
      columns.map(([, name, kind]) => h("td", { class: kind }, row[name] ? link(name === "top1" && row.url, row[name]) : MISSING))))));
}

// ---- theme

const THEMES = { auto: ["◐", "Auto"], light: ["○", "Light"], dark: ["●", "Dark"] };

function setTheme(theme) {
  theme === "auto" ? delete document.documentElement.dataset.theme : (document.documentElement.dataset.theme = theme);
  const [sign, name] = THEMES[theme];
  $("theme").replaceChildren(h("span", { "aria-hidden": "true" }, sign), ` ${name}`);
  $("theme").setAttribute("aria-label", `${name} theme; change it`);
  try { localStorage.setItem("tinybench-theme", theme); } catch { /* a page from disk may not be allowed to */ }
}

function savedTheme() {
  try { return localStorage.getItem("tinybench-theme"); } catch { return null; }
}

// ---- all together

/** Show a board as at first, or as an address says. */
function showGroup(index, address = new URLSearchParams()) {
  state.group = data.groups[index];
  $("group").value = index;
  state.rows = [...state.group.rows].sort((a, b) => (number(b, "test_acc_mean") ?? -1) - (number(a, "test_acc_mean") ?? -1) || (b.val_acc ?? -1) - (a.val_acc ?? -1));
  state.selected = new Set(firstView());
  const tested = state.rows.some((row) => number(row, "test_acc_mean") !== null);
  state.sort = { key: tested ? "test_acc_mean" : "val_acc", direction: "descending" };
  state.openClasses.clear();
  const costs = COSTS.filter((key) => state.rows.some((row) => number(row, key) > 0));
  state.cost = costs[0] ?? "parameters";
  options($("cost-choice"), (costs.length ? costs : ["parameters"]).map((key) => [key, costTitle(key)]), state.cost);
  const measures = Object.keys(MEASURES).filter((key) => state.rows.some((row) => row.runs.some((run) => run.curves[key])));
  state.measure = measures[0] ?? "val_acc";
  restore(address, { view: Object.keys(VIEWS), cost: costs, measure: measures, time: Object.keys(CLOCKS), classOrder: Object.keys(CLASS_ORDERS), detail: Object.keys(DETAILS) });
  options($("measure"), measures.map((key) => [key, MEASURES[key].title]), state.measure);
  options($("confusion-model"), state.rows.filter((row) => row.classes).map((row, i) => [i, shorten(row.label, 60)]), 0);
  drawControls();
  drawHead();
  drawChips();
  drawBoard();
  drawNotices();
  drawSelection();
  drawConfusions();
  drawRuns();
  drawPublished();
}

function groupTitle(group) {
  const parts = [group.plan ? `plan ${group.plan}` : "no plan", group.dataset, group.class_count && `${group.class_count} classes`, group.train_images && `${group.train_images.toLocaleString("en")} training images`];
  const runs = group.run_count;
  return `${parts.filter(Boolean).join(" · ")} · ${runs ? `${runs} ${runs === 1 ? "run" : "runs"}` : "table only"}`;
}

const titles = data.groups.map(groupTitle);
// Data that differ in their fingerprints alone look the same otherwise.
titles.forEach((title, i) => { if (titles.indexOf(title) !== titles.lastIndexOf(title)) titles[i] = `${title} · data ${data.groups[i].fingerprint}`; });

// ---- the address: what is shown other than at first, so that a view can be sent; #section?view=cost&find=resnet

const VIEWS = { accuracy: "Accuracy", cost: "Cost", all: "All" };
const CLOCKS = { epochs: "By epoch", time: "By time" };
const DETAILS = { family: "By family", each: "Each one" };
const sortWords = () => `${state.sort.key} ${state.sort.direction}`;
let first = {}; // the board's view before anything is chosen

function restore(address, allowed) {
  Object.assign(state, START);
  first = { ...START, cost: state.cost, measure: state.measure, sort: sortWords(), models: chosen() };
  for (const name of ["find", "classFilter"]) state[name] = address.get(name) ?? "";
  for (const [name, known] of Object.entries(allowed)) if (known.includes(address.get(name))) state[name] = address.get(name);
  const [key, direction] = (address.get("sort") ?? "").split(" ");
  if (["ascending", "descending"].includes(direction)) state.sort = { key, direction };
  const labels = address.getAll("model");
  if (labels.length) state.selected = new Set(state.rows.filter((row) => labels.includes(row.label)));
  if (address.has("models")) state.selected = new Set(address.get("models") === "all" ? state.rows : []);
}

function writeAddress() {
  const address = new URLSearchParams();
  if (state.group !== data.groups[0]) address.set("group", titles[data.groups.indexOf(state.group)]);
  for (const name of [...Object.keys(START), "cost", "measure"]) if (state[name] !== first[name]) address.set(name, state[name]);
  if (sortWords() !== first.sort) address.set("sort", sortWords());
  const models = chosen();
  if (models.length === state.rows.length || !models.length) models.length !== first.models.length && address.set("models", models.length ? "all" : "none");
  else if (models.length !== first.models.length || models.some((row) => !first.models.includes(row))) for (const row of models) address.append("model", row.label);
  const [section] = location.hash.split("?");
  const wanted = address.size ? `${section || "#"}?${address}` : section;
  if (wanted !== location.hash) try { history.replaceState(null, "", wanted || "#"); } catch { /* a browser may refuse after a hundred */ }
}

function readAddress() {
  const [section, ...rest] = location.hash.split("?");
  const address = new URLSearchParams(rest.join("?"));
  showGroup(Math.max(0, titles.indexOf(address.get("group"))), address);
  if (section.length > 1) document.getElementById(section.slice(1))?.scrollIntoView();
}

function drawControls() {
  segments($("view"), Object.entries(VIEWS), state.view, (key) => { state.view = key; drawBoard(); });
  segments($("x-axis"), Object.entries(CLOCKS), state.time, (key) => { state.time = key; drawCurves(); });
  segments($("detail"), Object.entries(DETAILS), state.detail, (key) => { state.detail = key; drawRobustness(); });
  const values = { "cost-choice": state.cost, measure: state.measure, "class-order": state.classOrder, find: state.find, "class-filter": state.classFilter };
  for (const [id, value] of Object.entries(values)) $(id).value = value;
}

options($("group"), titles.map((title, i) => [i, title]), 0);
options($("class-order"), Object.entries(CLASS_ORDERS), state.classOrder);
$("group-choice").hidden = data.groups.length < 2;
$("group").onchange = (event) => showGroup(event.target.value);
$("find").oninput = (event) => { state.find = event.target.value; drawChips(); drawSorted(); };
$("select-all").onclick = () => selectFound(true);
$("select-none").onclick = () => selectFound(false);
$("download").onclick = download;
$("cost-choice").onchange = (event) => { state.cost = event.target.value; drawCost(); };
$("measure").onchange = (event) => { state.measure = event.target.value; drawCurves(); };
$("class-filter").oninput = (event) => { state.classFilter = event.target.value; drawClasses(); };
$("class-order").onchange = (event) => { state.classOrder = event.target.value; drawClasses(); };
$("more-classes").onclick = () => { state.allClasses = !state.allClasses; drawClasses(); };
$("confusion-model").onchange = drawConfusions;
$("theme").onclick = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % names.length]);
};
setTheme(savedTheme() in THEMES ? savedTheme() : "auto");
$("foot").textContent = `Made on ${data.built} by ${data.commands.report} from the files of the runs. It loads nothing from a network.`;
readAddress();
// All that changes what is shown comes of one of these.
for (const kind of ["click", "input", "change"]) addEventListener(kind, writeAddress);
addEventListener("hashchange", () => (location.hash.includes("?") ? readAddress() : writeAddress()));
