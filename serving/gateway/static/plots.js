// Figures over runs as SVG: a point for each run, those that serve or were champions marked.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [340, 190];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 14, 44, 28];
// Between the axis and the first point, so that its ring hides no number.
const INSET = 14;
const MOST_NUMBERS = 12;

function draw(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// About four multiples of 1, 2 or 5 times a power of ten.
function ticks(low, high) {
  const raw = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

const rounded = (value) => String(Number(value.toPrecision(5)));

/** One figure over runs.
 *
 * runs: {name, href, version, marks, outcome}; marks are words such as stable and champion.
 * values: a number or null for each.
 */
export function plot(title, runs, values) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (!known.length) return null;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const spare = (high - low) * 0.12 || Math.abs(high) * 0.05 || 0.5;
  [low, high] = [low - spare, high + spare];
  const x = (place) =>
    LEFT + INSET + (WIDTH - LEFT - INSET - RIGHT) * (runs.length > 1 ? place / (runs.length - 1) : 0.5);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low));
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": title });
  for (const tick of ticks(low, high)) {
    svg.append(draw("path", { class: "grid-line", d: `M${LEFT} ${y(tick)}H${WIDTH - RIGHT}` }));
    svg.append(
      draw("text", { class: "tick", x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, rounded(tick)),
    );
  }
  const step = Math.ceil(runs.length / MOST_NUMBERS);
  runs.forEach((_, place) => {
    if (place % step) return;
    const at = { class: "tick", x: x(place), y: HEIGHT - 8, "text-anchor": "middle" };
    svg.append(draw("text", at, place + 1));
  });
  svg.append(draw("path", { class: "curve", d: curve(values, x, y) }));
  let marked = 0;
  runs.forEach((run, place) => {
    const value = values[place];
    if (value === null) return;
    const at = [x(place), y(value)];
    // Words stand above all points, in two lines, so that those of neighbours keep apart.
    if (run.marks.length) svg.append(...words(run, ...at, 12 + 14 * (marked++ % 2)));
    svg.append(point(run, place, value, ...at));
  });
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  figure.append(caption, svg);
  return figure;
}

// A run that lacks the figure leaves a gap.
function curve(values, x, y) {
  let path = "";
  let drawn = false;
  values.forEach((value, place) => {
    if (value !== null) path += `${drawn ? "L" : "M"}${x(place)} ${y(value)}`;
    drawn = value !== null;
  });
  return path || "M0 0";
}

function words(run, x, y, height) {
  const text = [run.version === null ? "" : `v${run.version}`, ...run.marks].join(" ");
  const anchor = x > WIDTH / 2 ? "end" : "start";
  const shift = { end: 6, start: -6 }[anchor];
  return [
    draw("path", { class: "leader", d: `M${x} ${height + 4}V${y - 9}` }),
    draw("text", { class: "mark", x: x + shift, y: height, "text-anchor": anchor }, text),
  ];
}

function point(run, place, value, x, y) {
  const told = [run.version === null ? null : `version ${run.version}`, ...run.marks];
  const says = [`Run ${place + 1}, ${run.name}: ${rounded(value)}`, ...told].filter(Boolean).join(", ");
  const link = draw("a", { href: run.href, "aria-label": says });
  link.append(draw("title", {}, says));
  // Large enough for a finger.
  link.append(draw("circle", { class: "target", cx: x, cy: y, r: 13 }));
  if (run.marks.length) link.append(draw("circle", { class: "ring", cx: x, cy: y, r: 8.5 }));
  const kind = run.outcome === "pushed" ? "dot" : "dot hollow";
  link.append(draw("circle", { class: kind, cx: x, cy: y, r: 4.5 }));
  return link;
}
