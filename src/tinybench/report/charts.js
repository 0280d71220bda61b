"use strict";
// Elements, numbers and charts; nothing here knows what the report shows. Text only ever becomes a text node or an
// attribute, so that no name of a run or a class can become markup.

const SVG_TAGS = new Set(["svg", "g", "path", "line", "rect", "circle", "text", "title"]);

/** An element. `on…` properties are listeners, `style` an object, null and false are left out. */
function h(tag, properties = {}, ...children) {
  const svg = SVG_TAGS.has(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, text]) => element.style.setProperty(key, text));
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// ---- numbers

const MISSING = "–";
const fixed = (digits) => (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const significant = (digits) => (value) => value.toLocaleString("en", { maximumSignificantDigits: digits });
const percent = (value) => `${fixed(1)(value)} %`;
const range = (values) => [...new Set([Math.min(...values), Math.max(...values)])].map(fixed(0)).join(" to ");
const large = (value) => new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value).replace(/(?<=\d)(?=[A-Z])/, " ").replace("B", "G");

const p = (value) => (value === Infinity ? "best" : value < 1e-4 ? "< 0.0001" : significant(2)(value));
const speed = (value) => (value < 100 ? significant(3) : fixed(0))(value);

function duration(seconds) {
  if (seconds < 60) return `${significant(2)(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const shown = (value, format) => (value === null || value === undefined || Number.isNaN(value) ? MISSING : format(value));
/** Shortened in the middle: long names often differ at their ends. */
const shorten = (text, most) => (text.length > most ? `${text.slice(0, Math.ceil(most * 0.6))}…${text.slice(1 - Math.floor(most * 0.4))}` : text);

// ---- marks: every row has a colour with a mark and a dash of its own, by the names that matplotlib gives marks

/** Corners on the unit circle, or by turns on it and on a smaller one; the first at `turn` degrees, clockwise from the right. */
const corners = (count, turn, inner = 1) => Array.from({ length: count }, (_, i) => {
  const angle = ((turn + (360 * i) / count) * Math.PI) / 180, radius = i % 2 ? inner : 1;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
});
const plus = (turn) => [45, 135, 225, 315].flatMap((corner) => {
  const point = (degrees, radius) => [radius * Math.cos(((degrees + turn) * Math.PI) / 180), radius * Math.sin(((degrees + turn) * Math.PI) / 180)];
  return [point(corner - 26, 1.05), point(corner, 0.48), point(corner + 26, 1.05)];
});
const MARKS = {
  o: corners(24, 0), s: corners(4, 45), "^": corners(3, -90), v: corners(3, 90), "<": corners(3, 180), ">": corners(3, 0), D: corners(4, 0),
  d: corners(4, 0).map(([x, y]) => [0.6 * x, 1.15 * y]), p: corners(5, -90), "*": corners(10, -90, 0.45), P: plus(0), X: plus(45),
};

/** The mark of a row around (x, y). */
const mark = (row, x, y, r) => h("path", {
  class: "halo", fill: row.color, d: `M${MARKS[row.mark].map(([dx, dy]) => `${(x + 1.2 * r * dx).toFixed(1)} ${(y + 1.2 * r * dy).toFixed(1)}`).join("L")}z`,
});

/** The line and mark of a row, as its charts draw it. */
function swatch(row) {
  return h("svg", { class: "swatch", viewBox: "0 0 28 14", "aria-hidden": "true" },
    h("line", { x1: 1, x2: 27, y1: 7, y2: 7, stroke: row.color, "stroke-width": 2.5, "stroke-dasharray": row.dash }),
    mark(row, 14, 7, 4.5));
}

// ---- scales

/** Round values from low to high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(Number((i * step).toPrecision(12)));
  return values;
}

function logTicks(low, high) {
  const values = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of [1, 2, 5]) if (factor * 10 ** power >= low * 0.999 && factor * 10 ** power <= high * 1.001) values.push(factor * 10 ** power);
  const decades = values.filter((value) => Number.isInteger(Math.log10(value)));
  return values.length > 7 && decades.length > 1 ? decades : values;
}

/** The range of the values, a little widened; a single value gets some room around it. */
function extent(values, room = 0.06) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = (high - low || Math.abs(high) * 0.2 || 1) * room;
  return [low - pad, high + pad];
}

const linear = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
const path = (points, x, y) => points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");

// ---- names in charts

const NAME_GAP = 16; // from one line of text to the next
const nameOf = (row) => shorten(row.brief, 28);
const ruler = document.createElement("canvas").getContext("2d");
/** Width of a name as the charts set it, in pixels. */
function widthOf(text) {
  ruler.font = `12.5px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

/** Draw now, and again whenever the element's width changes. */
function responsive(host, draw) {
  host.redraw?.disconnect();
  let width = 0;
  const update = () => {
    const now = Math.floor(host.clientWidth - parseFloat(getComputedStyle(host).paddingLeft) * 2);
    if (now > 0 && now !== width) draw((width = now));
  };
  host.redraw = new ResizeObserver(update);
  host.redraw.observe(host);
  update();
}

/** Grid lines, tick labels and axis titles. */
function axes({ width, height, box, x, y, xTicks, yTicks, xFormat, yFormat, xTitle, yTitle }) {
  return h("g", {},
    yTicks.map((value) => [
      h("line", { class: "grid", x1: box.left, x2: width - box.right, y1: y(value), y2: y(value) }),
      h("text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, yFormat(value)),
    ]),
    xTicks.map((value) => {
      const text = xFormat(value), half = widthOf(text) / 2;
      return h("text", { x: Math.min(Math.max(x(value), half), width - half), y: height - box.bottom + 18, "text-anchor": "middle" }, text);
    }),
    h("line", { class: "axis", x1: box.left, x2: width - box.right, y1: height - box.bottom, y2: height - box.bottom }),
    xTitle && h("text", { x: width - box.right, y: height - 2, "text-anchor": "end" }, xTitle),
    yTitle && h("text", { x: 0, y: 11 }, yTitle));
}

// ---- line chart

/**
 * Lines with a read-out: by pointer, or by the arrow keys as a slider.
 *
 * series: rows (label, color, mark, dash) with points [[x, y], …] and, where the line is a mean, ghosts: the lines behind
 * it; where its images grow, sizes: [[first x, side], …]. bands: such sizes that hold for all, drawn behind the lines.
 * x, y: {title, format}; x.whole allows whole ticks only, x.stops puts one at every value; y.best says which end of the
 * values a read-out lists first, y.domain fixes the range.
 */
function lineChart(host, { label, series, x, y, height: fixedHeight, names = false, bands = [], position = (value) => `${x.title} ${x.format(value)}` }) {
  const plot = h("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": label });
  host.replaceChildren(plot);
  const all = series.flatMap((line) => [line.points, ...(line.ghosts ?? [])]).flat();
  const stops = [...new Set(series.flatMap((line) => line.points.map(([px]) => px)))].sort((a, b) => a - b);
  let index = stops.length - 1;

  const at = (stop) => series
    .map((line) => ({ line, point: line.points.findLast(([px]) => px <= stop + 1e-9) }))
    .filter(({ line, point }) => point && stop <= line.points.at(-1)[0] + 1e-9)
    .sort((a, b) => (y.best === "low" ? a.point[1] - b.point[1] : b.point[1] - a.point[1]));

  const announce = () => {
    const stop = stops[index];
    const values = at(stop).map(({ line, point }) => `${line.label} ${y.format(point[1])}`).join(", ");
    for (const [name, value] of Object.entries({ valuemin: 0, valuemax: stops.length - 1, valuenow: index, valuetext: `${position(stop)}: ${values}` }))
      plot.setAttribute(`aria-${name}`, value);
  };

  responsive(host, (width) => {
    const wide = names && width > 620;
    const height = fixedHeight ?? Math.max(400, wide ? NAME_GAP * series.length + 80 : 0); // room for every name
    const box = { left: 44, right: wide ? 24 + Math.max(...series.map((line) => widthOf(nameOf(line)))) : 14, top: y.title ? 24 : 10, bottom: x.title ? 40 : 26 };
    const [lowX, highX] = [Math.min(...all.map(([px]) => px)), Math.max(...all.map(([px]) => px))];
    const sx = linear(lowX === highX ? [lowX - 1, highX + 1] : [lowX, highX], [box.left + 6, width - box.right - 6]);
    const domain = y.domain ?? extent(all.map(([, py]) => py));
    const sy = linear(domain, [height - box.bottom, box.top]);
    const wanted = Math.max(2, Math.min(10, Math.floor(width / 60)));
    const few = stops.length <= 12;
    const every = Math.max(1, Math.floor(stops.length / 8)); // a few marks where there are many points
    const xTicks = x.stops ? stops : x.whole ? [...new Set(ticks(lowX, highX, wanted).filter(Number.isInteger))] : ticks(lowX, highX, wanted);
    const within = (value) => Math.max(box.left, Math.min(width - box.right, sx(value)));
    const svg = h("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
      bands.map(([from, size], i) => {
        const [start, end] = [i ? within(from) : box.left, within(bands[i + 1]?.[0] ?? Infinity)];
        return [
          h("rect", { class: i % 2 ? "band odd" : "band", x: start, y: box.top, width: Math.max(0, end - start), height: height - box.bottom - box.top }),
          end - start > widthOf(`${size} px`) && h("text", { x: (start + end) / 2, y: box.top + 14, "text-anchor": "middle" }, `${size} px`),
        ];
      }),
      axes({ width, height, box, x: sx, y: sy, xTicks: xTicks.length ? xTicks : [lowX], yTicks: ticks(...domain, height < 220 ? 4 : 6), xFormat: x.format, yFormat: y.tick ?? y.format, xTitle: x.title, yTitle: y.title }),
      series.map((line) => [
        (line.ghosts ?? []).map((points) => h("path", { d: path(points, sx, sy), fill: "none", stroke: line.color, "stroke-width": 1, opacity: 0.35 })),
        h("path", { class: "line", d: path(line.points, sx, sy), fill: "none", stroke: line.color, "stroke-width": 2.2, "stroke-linejoin": "round", "stroke-dasharray": line.dash }),
        line.points.filter((_, i) => few || i % every === (every >> 1)).map(([px, py]) => mark(line, sx(px), sy(py), 3.4)),
      ]),
      wide && endLabels(series, width - box.right, sx, sy, box.top, height - box.bottom));
    const cross = h("g", {});
    svg.append(cross);
    const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    plot.replaceChildren(svg, tip);

    const show = () => {
      const stop = stops[index], values = at(stop), left = sx(stop);
      cross.replaceChildren(
        h("line", { class: "cross", x1: left, x2: left, y1: box.top, y2: height - box.bottom }),
        ...values.map(({ line, point }) => mark(line, sx(point[0]), sy(point[1]), 4.5)));
      tip.classList.toggle("many", values.length > 12);
      tip.replaceChildren(h("p", {}, position(stop)),
        ...values.map(({ line, point }) => {
          const size = line.sizes?.findLast(([from]) => from <= point[0])?.[1];
          return h("div", {}, swatch(line), h("span", {}, shorten(line.label, 60)), h("b", {}, y.format(point[1]), size && h("small", {}, ` ${size} px`)));
        }));
      tip.hidden = false;
      const room = tip.offsetWidth + 14;
      const place = left + room <= width ? left + 14 : Math.max(0, left - room);
      tip.style.setProperty("left", `${place}px`);
      announce();
    };
    const hide = () => {
      tip.hidden = true;
      cross.replaceChildren();
    };
    const follow = (event) => {
      const pointer = event.clientX - plot.getBoundingClientRect().left;
      index = stops.reduce((best, stop, i) => (Math.abs(sx(stop) - pointer) < Math.abs(sx(stops[best]) - pointer) ? i : best), 0);
      show();
    };
    plot.onpointermove = follow;
    plot.onpointerdown = follow;
    plot.onpointerleave = (event) => event.pointerType === "mouse" && hide(); // a finger leaves at once; what it read stays
    plot.onfocus = () => plot.matches(":focus-visible") && show();
    plot.onblur = hide;
    plot.onkeydown = (event) => {
      const leap = Math.max(1, Math.round(stops.length / 10));
      const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: leap, PageDown: -leap, Home: -Infinity, End: Infinity };
      if (event.key === "Escape") return hide();
      if (!(event.key in moves)) return;
      event.preventDefault();
      index = Math.max(0, Math.min(stops.length - 1, index + moves[event.key]));
      show();
    };
  });
  announce();
}

/** Names at the ends of the lines, pushed apart where they would overlap. */
function endLabels(series, left, sx, sy, top, bottom) {
  const gap = NAME_GAP;
  const labels = series.map((line) => ({ line, x: sx(line.points.at(-1)[0]), want: sy(line.points.at(-1)[1]) })).sort((a, b) => a.want - b.want);
  let y = top - gap;
  for (const label of labels) label.y = y = Math.max(label.want, y + gap);
  y = bottom + gap;
  for (const label of labels.reverse()) label.y = y = Math.min(label.y, y - gap);
  return h("g", {}, labels.map(({ line, x, want, y }) => [
    h("path", { d: `M${x + 5} ${want}L${left + 6} ${y}`, stroke: line.color, "stroke-width": 1.2, "stroke-dasharray": "1 3", "stroke-linecap": "round", fill: "none" }),
    h("text", { class: "name", x: left + 10, y: y + 4 }, nameOf(line)),
  ]));
}

// ---- scatter

/** Points {row, x, y, low, high} on a logarithmic x axis; `front` points are joined by a line. */
function scatter(host, { label, points, front, x, y }) {
  responsive(host, (width) => {
    const height = width < 560 ? 320 : 400;
    const box = { left: 44, right: 14, top: 24, bottom: 44 };
    const spread = Math.max(...points.map((point) => point.x)) / Math.min(...points.map((point) => point.x));
    const room = spread > 1.01 ? spread ** 0.09 : 1.5;
    const domain = [Math.min(...points.map((point) => point.x)) / room, Math.max(...points.map((point) => point.x)) * room];
    const log = linear(domain.map(Math.log10), [box.left + 6, width - box.right]);
    const sx = (value) => log(Math.log10(value));
    const yDomain = extent(points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]), 0.12);
    const sy = linear(yDomain, [height - box.bottom, box.top]);
    const few = logTicks(...domain);
    const xTicks = few.length > 1 ? few : ticks(...domain, 4);
    const taken = points.map((point) => ({ left: sx(point.x) - 7, right: sx(point.x) + 7, top: sy(point.y) - 7, bottom: sy(point.y) + 7 }));
    const area = { left: box.left, right: width, top: 14, bottom: height - box.bottom };
    // The front's names go first: they matter most, and there may not be room for all.
    const names = [...front, ...points.filter((point) => !front.includes(point))].map((point) => freeLabel(nameOf(point.row), sx(point.x), sy(point.y), taken, area));
    const unnamed = names.filter((name) => !name).length;
    host.replaceChildren(h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      axes({ width, height, box, x: sx, y: sy, xTicks, yTicks: ticks(...yDomain, 6), xFormat: x.format, yFormat: y.tick, xTitle: x.title, yTitle: y.title }),
      h("path", { class: "front", d: path(front.map((point) => [point.x, point.y]), sx, sy) }),
      points.map((point) => h("g", {},
        h("title", {}, `${point.row.label}: ${y.format(point.y)}, ${x.format(point.x)}`),
        point.low !== null && h("line", { x1: sx(point.x), x2: sx(point.x), y1: sy(point.low), y2: sy(point.high), stroke: point.row.color, "stroke-width": 1.6 }),
        mark(point.row, sx(point.x), sy(point.y), 6.5))),
      names), unnamed ? h("p", { class: "note" }, `${unnamed} of ${points.length} names have no room here: point at a mark for its name, or find the mark in the bar at the top.`) : "");
  });
}

/** A label beside its point, at the first of some places that is free and inside the area; null where none is. */
function freeLabel(text, x, y, taken, area) {
  const wide = widthOf(text);
  const [right, left, middle] = [[x + 11, "start", x + 11], [x - 11, "end", x - 11 - wide], [x, "middle", x - wide / 2]];
  const places = [[right, 4], [left, 4], [middle, -13], [middle, 21], [right, -9], [left, -9], [right, 17], [left, 17]];
  for (const [[at, anchor, start], below] of places) {
    const box = { left: start, right: start + wide, top: y + below - 12, bottom: y + below + 3 };
    const inside = box.left >= area.left && box.right <= area.right && box.top >= area.top && box.bottom <= area.bottom;
    if (!inside || taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom)) continue;
    taken.push(box);
    return h("text", { class: "name", x: at, y: y + below, "text-anchor": anchor }, text);
  }
  return null;
}
