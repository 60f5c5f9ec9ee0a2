// The page of a run that trains in another process or is finished, without any library. The program sends the whole
// state over a WebSocket whenever the run's folder has changed; pictures come by their own requests.

import {
  FAKE, FONT, OF_D, OF_G, REAL, RULE, SOFT, clamp, decimal, logTicks, surface, ticksOf, whole,
} from "./live.js";

// ------------------------------------------------------------------------------------------------ small helpers

const OTHERS = ["#333", "#b07d12", "#7b4fa3", "#0a8a66", "#b0508f", "#2f6fa8"];
const INK = "#222";
const AGAIN = 2000; // milliseconds until the page tries to reach the program again

function make(tag, properties = {}, ...children) {
  const { aria, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/** Writes only what has changed: a screen reader then says nothing twice. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

/** A length of time in its largest fitting unit: 8 s, 3 min, 2.5 h, 4 days. */
function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 60) return `${s < 10 ? +s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${+(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} days`;
}

// ------------------------------------------------------------------------------------------------ curves

const BY_LABEL = { D: OF_D, "D a": OF_D, G: OF_G, real: REAL, fake: FAKE, fakes: FAKE };
const colourOf = (label, k) => BY_LABEL[label] ?? OTHERS[k % OTHERS.length];

/** A tick of a linear scale, with as many digits as tell it from the next one. */
function tickText(value, step) {
  if (Math.abs(value) >= 1e6 || step < 1e-7) return decimal(value);
  const digits = clamp(-Math.floor(Math.log10(step) + 1e-9), 0, 7);
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "\u2212"); // a true minus
}

function words(context, text, x, y, colour = SOFT, align = "left") {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(text, x, y);
  return x + context.measureText(text).width;
}

/** Lowest and highest value of a chart, with a little room; null if there is none. A log scale has no room for 0. */
function rangeOf(chart) {
  const rows = chart.lines.flatMap((line) => [line.median, line.low ?? [], line.high ?? []]);
  const values = [...rows.flat(), ...chart.floors.map((floor) => floor.value)];
  const known = values.filter((value) => value !== null && !(chart.log && value <= 0));
  if (!known.length) return null;
  const low = known.reduce((a, b) => Math.min(a, b));
  const high = known.reduce((a, b) => Math.max(a, b));
  if (chart.log) return high > 1.2 * low ? [low / 1.15, high * 1.15] : [low / 1.5, high * 1.5];
  const room = Math.max(0.06 * (high - low), (high === low ? 0.1 : 1e-3) * Math.abs(high), 1e-9);
  return [low >= 0 && low < room ? -0.02 * high : low - room, high + room];
}

/** Pixels of steps and values. What a log scale has no place for, 0 and below, stands at its lower edge. */
function axesOf(chart, steps, width, height) {
  const [low, high] = chart.range;
  const box = { left: 52, right: width - 54, top: chart.rows > 1 ? 42 : 26, bottom: height - 20 };
  const scaled = chart.log ? (value) => Math.log(Math.max(value, low)) : (value) => value;
  const [first, last] = [steps[0], Math.max(steps.at(-1), steps[0] + 1)];
  const unit = (box.bottom - box.top) / (scaled(high) - scaled(low));
  return {
    ...box, first, last,
    x: (step) => box.left + ((step - first) / (last - first)) * (box.right - box.left),
    y: (value) => box.bottom - (scaled(value) - scaled(low)) * unit,
  };
}

/** Runs of neighbouring steps at which all of these rows are known. */
function pieces(...rows) {
  const found = [];
  let piece = null;
  rows[0].forEach((_, i) => {
    if (rows.some((row) => row[i] === null)) piece = null;
    else if (piece) piece.push(i);
    else found.push((piece = [i]));
  });
  return found;
}

/** The band from 10% to 90% of the seeds, and their median; a single record is a dot and a bar. */
function drawLine(context, steps, line, axes) {
  const at = (row) => (i) => [axes.x(steps[i]), axes.y(row[i])];
  context.fillStyle = context.strokeStyle = line.colour;
  if (line.low) {
    context.globalAlpha = 0.18;
    for (const piece of pieces(line.low, line.high)) {
      const outline = [...piece.map(at(line.high)), ...piece.toReversed().map(at(line.low))];
      context.beginPath();
      if (piece.length === 1) context.rect(outline[0][0] - 2, outline[0][1], 4, outline[1][1] - outline[0][1]);
      else for (const [x, y] of outline) context.lineTo(x, y);
      context.fill();
    }
    context.globalAlpha = 1;
  }
  context.lineWidth = 1.7;
  for (const piece of pieces(line.median)) {
    context.beginPath();
    for (const i of piece) context.lineTo(...at(line.median)(i));
    context.stroke();
    const [x, y] = at(line.median)(piece[0]);
    if (piece.length === 1) context.fillRect(x - 2.5, y - 2.5, 5, 5);
  }
}

function drawGrid(context, chart, axes) {
  context.strokeStyle = RULE;
  context.lineWidth = 1;
  context.beginPath();
  const heights = chart.log ? logTicks(...chart.range) : ticksOf(...chart.range);
  for (const tick of heights) {
    const y = Math.round(axes.y(tick)) + 0.5;
    context.moveTo(axes.left, y);
    context.lineTo(axes.right, y);
    const text = chart.log || heights.length < 2 ? decimal(tick) : tickText(tick, heights[1] - heights[0]);
    words(context, text, axes.left - 6, y + 4, SOFT, "right");
  }
  context.stroke();
  const ticks = ticksOf(axes.first, axes.last, axes.right - axes.left > 260 ? 4 : 2).filter(Number.isInteger);
  ticks.forEach((tick, i) => {
    const text = i === ticks.length - 1 ? `${whole(tick)} steps` : whole(tick);
    words(context, text, axes.x(tick), axes.bottom + 15, SOFT, "center");
  });
}

/** Dashed lines with their words, of which those at about the same height are written once. */
function drawFloors(context, chart, axes) {
  const written = [];
  for (const { value, text, of } of chart.floors) {
    const y = Math.round(axes.y(value)) + 0.5;
    context.strokeStyle = "#888";
    context.setLineDash([7, 4]);
    context.beginPath();
    context.moveTo(axes.left, y);
    context.lineTo(axes.right, y);
    context.stroke();
    context.setLineDash([]);
    const place = y > (axes.top + axes.bottom) / 2 ? y - 4 : y + 13;
    if (written.every((other) => Math.abs(other - place) > 13)) {
      words(context, `${text} ${decimal(value)}${of ? ` (${of})` : ""}`, axes.left + 4, place);
      written.push(place);
    }
  }
}

/** The last medians beside the ends of their lines, moved apart where they would cover each other. */
function drawEnds(context, chart, axes) {
  const ends = chart.lines.filter((line) => line.median.at(-1) !== null)
    .map((line) => ({ line, y: clamp(axes.y(line.median.at(-1)), axes.top, axes.bottom) + 4 }))
    .sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => i && (end.y = Math.max(end.y, ends[i - 1].y + 13)));
  let below = axes.bottom + 17;
  for (const end of ends.reverse()) {
    below = end.y = Math.min(end.y, below - 13); // not into the words of the axis
    words(context, decimal(end.line.median.at(-1)), axes.right + 5, end.y, end.line.colour);
  }
}

/** The step of the picture: a line, a dot on each curve, and the numbers there in the title. */
function drawMark(context, chart, steps, mark, axes) {
  if (mark === null) return;
  const x = Math.round(axes.x(steps[mark])) + 0.5;
  context.strokeStyle = "#aaa";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, axes.top);
  context.lineTo(x, axes.bottom);
  context.stroke();
  for (const line of chart.lines.filter(({ median }) => median[mark] !== null)) {
    context.fillStyle = line.colour;
    context.beginPath();
    context.arc(x, axes.y(line.median[mark]), 3.5, 0, 7);
    context.fill();
  }
}

/** Title, names of the lines, and the numbers at the mark; in a second row where the first is too short. */
function drawTitle(context, chart, mark, width) {
  const names = chart.lines.map((line) => {
    const there = mark !== null && line.median[mark] !== null ? decimal(line.median[mark]) : "";
    const failed = line.failed ? `(${line.failed} seed${line.failed > 1 ? "s" : ""} not finite)` : "";
    return { text: [line.label, there, failed].filter(Boolean).join(" "), colour: line.colour };
  }).filter(({ text }) => text);
  let x = words(context, chart.title, 6, 14, INK) + 10;
  context.font = `600 ${FONT}`;
  const long = names.reduce((sum, { text }) => sum + context.measureText(text).width + 10, x) > width;
  if (long) x = 6;
  for (const { text, colour } of names) x = words(context, text, x, long ? 30 : 14, colour) + 10;
  context.font = FONT;
  chart.rows = long ? 2 : 1;
}

/** `mark`: the place in `steps` of the shown picture, or null where it is the newest. */
function drawChart(canvas, chart, steps, mark) {
  const { ctx: context, width, height } = surface(canvas);
  drawTitle(context, chart, mark, width);
  if (!chart.range) return words(context, "no numbers yet", 52, height / 2);
  const axes = axesOf(chart, steps, width, height);
  drawGrid(context, chart, axes);
  for (const line of chart.lines) drawLine(context, steps, line, axes);
  drawFloors(context, chart, axes);
  drawMark(context, chart, steps, mark, axes);
  drawEnds(context, chart, axes);
}

/** What a chart says, for those who do not see it. */
function chartWords(chart, steps) {
  const said = chart.lines.map((line) => {
    const of = (row) => (row?.at(-1) ?? null) === null ? "unknown" : decimal(row.at(-1));
    const band = line.low ? `, 10% ${of(line.low)}, 90% ${of(line.high)}` : "";
    return `${line.label} ${of(line.median)}${band}`;
  });
  const floors = chart.floors.map((floor) => `${floor.text} ${decimal(floor.value)}`);
  return `Curve. ${chart.title}: ${[...said, ...floors].join("; ").trim()}; at step ${whole(steps.at(-1))}`;
}

// ------------------------------------------------------------------------------------------------ pictures

/** A picture as an object URL, or the sentence that the program answers instead. */
async function load(what, of) {
  const query = new URLSearchParams(location.search); // it holds the token
  query.set("of", of);
  try {
    const answer = await fetch(`${what}?${query}`);
    if (!answer.ok) return { sentence: "The program did not answer; reload the page." };
    if (!answer.headers.get("Content-Type").startsWith("image/")) return { sentence: await answer.text() };
    return { url: URL.createObjectURL(await answer.blob()) };
  } catch {
    return { sentence: "The program does not answer." };
  }
}

// ------------------------------------------------------------------------------------------------ the page

const root = document.getElementById("root");
const e = {
  banner: make("p", { className: "banner", hidden: true, role: "alert",
    textContent: "The program has stopped. The page shows what it knew last." }),
  name: make("h1"),
  status: make("span", { className: "status", role: "status" }),
  count: make("span", { className: "count" }),
  age: make("span", { className: "soft" }),
  progress: make("progress", { max: 1, aria: { label: "steps done" } }),
  headline: make("p", { className: "headline" }),
  problems: make("ul", { className: "problems", aria: { live: "polite" } }),
  picture: make("img", { className: "picture", hidden: true }),
  missing: make("p", { className: "missing", hidden: true, aria: { live: "polite" } }),
  slider: make("input", { type: "range", min: 0, max: 0, step: 1, aria: { label: "step of the picture" } }),
  where: make("output"),
  newest: make("button", { type: "button", textContent: "newest", title: "follow the newest picture: End" }),
  charts: make("div", { className: "charts" }), note: make("p", { className: "soft note" }),
  figures: make("div", { className: "figures" }), settings: make("dl"), about: make("p", { className: "soft" }),
};
const keys = [["\u2190 \u2192", "picture before, after"], ["Home", "first"], ["End", "newest, which is followed"]];
e.keys = keys.flatMap(([key, does]) => [make("kbd", { textContent: key }), ` ${does}   `]);
e.figureBox = make("section", { hidden: true }, make("h2", { textContent: "Figures" }), e.figures);
root.append(
  e.banner, make("header", {}, e.name, e.status, e.count, e.age), e.progress, e.headline, e.problems,
  make("div", { className: "body" },
    make("div", { className: "view" }, make("figure", {}, e.picture, e.missing),
      make("div", { className: "slider" }, e.slider, e.where, e.newest),
      make("p", { className: "soft keys" }, ...e.keys)),
    e.charts),
  e.figureBox,
  make("section", {}, make("h2", { textContent: "Settings" }), e.settings, e.about));

let state = null;
let following = true; // the newest picture
let chosen = 0; // step of the picture, where it is not followed
let shown = { step: null, failed: false };
let loading = false;
let canvases = [];
let received = 0; // when the state came
let connected = false;

const sinceReceived = () => (Date.now() - received) / 1000; // seconds; also those in which the computer slept
const stepShown = () => (following ? state.pictures.at(-1) : chosen);

/** Place in the curves of the picture's step; null while the newest is followed. */
function markOf() {
  if (following || !state.steps.length) return null;
  let found = 0;
  state.steps.forEach((step, i) => step <= chosen && (found = i));
  return found;
}

function showCharts() {
  const { charts, steps } = state;
  while (canvases.length > charts.length) canvases.pop().remove();
  while (canvases.length < charts.length) {
    canvases.push(make("canvas", { role: "img" }));
    e.charts.insertBefore(canvases.at(-1), e.note.parentNode ? e.note : null);
  }
  if (!e.note.parentNode) e.charts.append(e.note);
  charts.forEach((chart, k) => {
    chart.range = rangeOf(chart);
    chart.lines.forEach((line, i) => (line.colour = colourOf(line.label, i)));
    drawChart(canvases[k], chart, steps, markOf());
    canvases[k].setAttribute("aria-label", chartWords(chart, steps));
  });
  const band = charts.some((chart) => chart.lines.some((line) => line.low));
  const notes = band ? ["Lines: median of the seeds. Bands: 10% to 90% of them."] : [];
  const [some, all] = [steps.length, state.lines].map(whole);
  if (some !== all) notes.push(`${some} of the log's ${all} lines are shown.`);
  write(e.note, notes.join(" "));
}

function showSlider() {
  const steps = state.pictures;
  e.slider.max = Math.max(0, steps.length - 1);
  const at = following ? steps.length - 1 : Math.max(0, steps.indexOf(chosen));
  e.slider.value = at;
  const text = steps.length ? `step ${whole(steps[at])}` : "";
  write(e.where, text);
  e.slider.setAttribute("aria-valuetext", text);
  e.newest.setAttribute("aria-pressed", following);
}

/** Loads the picture that the slider asks for, one at a time: what was skipped meanwhile is never drawn. */
async function showPicture() {
  if (loading || !state.pictures.length || !connected) return;
  const step = stepShown();
  if (shown.step === step && !shown.failed) return;
  loading = true;
  const { url, sentence } = await load("picture", step);
  loading = false;
  shown = { step, failed: !url };
  write(e.missing, sentence ?? "");
  if (url) {
    const before = e.picture.src;
    e.picture.src = url;
    await e.picture.decode().catch(() => {});
    e.picture.alt = `the run's picture of step ${whole(step)}`;
    URL.revokeObjectURL(before);
    const ratio = e.picture.naturalWidth / e.picture.naturalHeight;
    const wide = ratio > 1.5;
    if (root.classList.contains("wide") !== wide) {
      root.classList.toggle("wide", wide);
      showCharts(); // they have another width now
    }
    root.classList.toggle("pixels", !["normal_1d", "mixture_2d", "a run"].includes(state.experiment)); // sheets
  }
  e.picture.hidden = !url;
  if (stepShown() !== step) showPicture();
}

function goTo(index) {
  if (!state?.pictures.length) return;
  const last = state.pictures.length - 1;
  const at = clamp(index, 0, last);
  following = at === last;
  chosen = state.pictures[at];
  showSlider();
  showCharts();
  showPicture();
}

const figuresShown = new Map(); // name -> version
/** Frees the memory of a figure that is no longer shown. */
const release = (box) => box.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
async function showFigures() {
  e.figureBox.hidden = !state.figures.length;
  const names = state.figures.map((figure) => figure.name);
  for (const box of [...e.figures.children]) {
    if (!names.includes(box.dataset.name)) {
      figuresShown.delete(box.dataset.name);
      release(box);
      box.remove();
    }
  }
  for (const { name, version } of state.figures) {
    if (figuresShown.get(name) === version) continue;
    figuresShown.set(name, version);
    const { url, sentence } = await load("figure", name);
    if (!url) figuresShown.delete(name); // it is asked for again with the next state
    const content = url ? make("img", { src: url, alt: `figure ${name}` })
      : make("p", { className: "problems", textContent: sentence });
    const box = make("figure", {}, make("figcaption", { className: "soft", textContent: name }), content);
    box.dataset.name = name;
    const old = [...e.figures.children].find((other) => other.dataset.name === name);
    if (old) {
      release(old);
      old.replaceWith(box);
    } else e.figures.append(box);
  }
}

const text = (value) => (Array.isArray(value) ? value.join(" ") || "none" : value === null ? "none"
  : typeof value === "object" ? JSON.stringify(value) : String(value));

function showSettings() {
  const row = ([name, value]) => make("div", {}, make("dt", { textContent: name.replaceAll("_", " ") }),
    make("dd", { textContent: text(value) }));
  e.settings.replaceChildren(...Object.entries(state.settings).map(row));
  const known = Object.entries(state.versions).filter(([, value]) => value);
  const versions = known.map(([name, value]) => `${name} ${text(value)}`);
  const resumed = state.resumed.map((step) => `resumed under other versions at step ${text(step)}`);
  write(e.about, [state.folder, ...versions, ...resumed].join("  \u00b7  "));
}

/** How far the run is; the age of the last line grows between two messages. */
function showProgress() {
  if (!state) return;
  const { step, of, status, writer, left, trained } = state;
  e.status.className = `status ${status}`;
  const drawing = status === "finished" && writer ? ", its figures are being drawn" : "";
  write(e.status, status === "running" && of && step >= of ? "running: it is being evaluated" : status + drawing);
  write(e.count, `step ${whole(step)}${of ? ` of ${whole(of)}` : ""}`);
  e.progress.value = of ? clamp(step / of, 0, 1) : 0;
  const seconds = Math.round(state.age + sinceReceived());
  const age = state.age === null ? "" : `last line of the log ${duration(seconds)} ago`;
  const training = trained === null ? "" : `${duration(trained)} of training`;
  const rest = left === null || step >= of ? "" : `about ${duration(left)} to go`;
  write(e.age, [writer ?? "", age, training, rest].filter(Boolean).join("  \u00b7  "));
  document.title = `${connected ? "" : "stopped: "}${e.count.textContent}, ${state.experiment}`;
}

function show(message) {
  state = message;
  received = Date.now();
  write(e.name, state.recipe ? `${state.experiment}, recipe ${state.recipe}` : state.experiment);
  write(e.headline, state.headline);
  const before = [...e.problems.children].map((line) => line.textContent).join("\n");
  if (before !== state.problems.join("\n")) {
    e.problems.replaceChildren(...state.problems.map((textContent) => make("li", { textContent })));
  }
  if (!following && !state.pictures.includes(chosen)) following = true; // it is gone, as after a damaged file
  root.classList.toggle("bare", !state.pictures.length);
  showProgress();
  showSlider();
  showCharts();
  showPicture();
  showFigures();
  showSettings();
}

e.slider.addEventListener("input", () => goTo(+e.slider.value));
e.newest.addEventListener("click", () => goTo(Infinity));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !state) return;
  const now = following ? state.pictures.length - 1 : state.pictures.indexOf(chosen);
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: Infinity }[event.key];
  if (to === undefined || !state.pictures.length) return;
  event.preventDefault(); // the slider would move a second time
  goTo(to);
});
window.addEventListener("resize", () => state && showCharts());
setInterval(showProgress, 1000);

// ------------------------------------------------------------------------------------------------ the program

function connect() {
  const address = new URL(`socket${location.search}`, location.href); // the query holds the token
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  const connection = (value) => {
    connected = value;
    e.banner.hidden = value;
    root.classList.toggle("stopped", !value);
    showProgress();
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (!connected) connection(true);
    if (message.hello ?? message.state) show(message.hello ?? message.state);
  };
  socket.onclose = ({ code }) => {
    connection(false);
    if (code !== 4003) return setTimeout(connect, AGAIN);
    e.banner.textContent = "This address does not hold the right token: open the one that the program has printed.";
  };
}

connect();
