// The view of a GAN in training, without any library. `mount(root, send)` builds it inside the element `root` and
// returns {opened, text, frame, closed}: what feeds it need not be a WebSocket (see page.js). `send` takes a plain
// object. A frame is complete in itself, so that nothing here has to remember an earlier one.

// ------------------------------------------------------------------------------------------------ colours

const REAL = "#2f6fa8";
const FAKE = "#c8553d";
const OF_D = "#7b4fa3"; // the players' own colours: blue and orange-red stay for real and fake
const OF_G = "#0a8a66";
const OTHERS = ["#333", "#b07d12", "#7b4fa3", "#0a8a66", "#b0508f"]; // of measures that share a chart
const INK = "#222";
const SOFT = "#6b6b6b";
const RULE = "#e4e4e4";
const FONT = '12px system-ui, "DejaVu Sans", sans-serif';
const STOPS = [[226, 132, 98], [255, 255, 255], [112, 164, 208]]; // D says fake, undecided, real; also in live.css

/** Colours of 256 probabilities from 0 to 1, as rows of [red, green, blue]. */
const VERDICTS = Array.from({ length: 256 }, (_, i) => {
  const place = i / 127.5;
  const k = Math.min(1, Math.floor(place));
  return STOPS[k].map((low, c) => Math.round(low + (place - k) * (STOPS[k + 1][c] - low)));
});
/** The same as the 32-bit numbers of an image (little-endian, as all browsers' machines are). */
const PIXELS = Uint32Array.from(VERDICTS, ([r, g, b]) => 0xff000000 | (b << 16) | (g << 8) | r);

/** Which of the 256 colours shows probability p, when 1/2 - spread and 1/2 + spread are the ends. */
const colourIndex = (p, spread) => Math.max(0, Math.min(255, Math.round(127.5 + (127.5 * (p - 0.5)) / spread)));

const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** How far from 1/2 the colours reach, so that most of the shown values differ visibly: .5, .2, .1, .05, ... */
function stretchedSpread(probabilities, before) {
  const away = [];
  for (let i = 0; i < probabilities.length; i += 5) {
    if (!Number.isNaN(probabilities[i])) away.push(Math.abs(probabilities[i] - 0.5));
  }
  const most = away.sort((a, b) => a - b)[Math.floor(0.98 * (away.length - 1))] ?? 0.5;
  if (most <= before && most > 0.3 * before) return before; // no flicker between two scales
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1e-4)));
  return Math.min(0.5, power * [1, 2, 5, 10].find((digit) => digit * power >= most * 0.999));
}

// ------------------------------------------------------------------------------------------------ small helpers

function make(tag, properties = {}, ...children) {
  const { dataset, aria, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/** Writes only what has changed: the browser then has nothing to lay out again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** `action`, at most once in so many milliseconds; the last call is never lost, only late. */
function atMost(milliseconds, action) {
  let last = -Infinity;
  let timer = null;
  const act = () => {
    clearTimeout(timer);
    timer = null;
    last = performance.now();
    action();
  };
  return () => {
    const wait = last + milliseconds - performance.now();
    if (wait <= 0) act();
    else timer ??= setTimeout(act, wait);
  };
}

const whole = (value) => Math.round(value).toLocaleString("en");

/** A number of at most three digits, without an exponent where that is short: 0.00002, 0.15, 2,000. */
function decimal(value) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-5) return value.toExponential(0);
  if (size >= 1000) return whole(value);
  return String(+value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size)))));
}

const signed = (text) => text.replace("-", "\u2212"); // a true minus in what is read, none in what is computed

const same = (a, b) => a === b || (typeof a === "number" && typeof b === "number"
  && Math.abs(a - b) <= 1e-3 * Math.max(Math.abs(a), Math.abs(b)));

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

const ease = (t) => t * t * (3 - 2 * t);

/** The 2-D context of a canvas, wiped, whose unit is a CSS pixel; sharp on dense screens too. */
function surface(canvas) {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return { context, width, height };
}

// ------------------------------------------------------------------------------------------------ a frame

/** Header and arrays of a binary frame; each array is {shape, data}. A frame that does not fit throws. */
function decoded(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  if (header.kind !== "plane" && header.kind !== "line") throw new Error(`kind ${header.kind}`);
  const arrays = {};
  for (const [name, [shape, offset]] of Object.entries(header.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = { shape, data: new Float32Array(buffer, 4 + size + 4 * offset, count) };
  }
  const needed = header.kind === "plane" ? ["real", "fakes", "logits"] : ["x", "p", "q", "logits", "fakes"];
  for (const name of needed) if (!arrays[name]) throw new Error(`no array ${name}`);
  if (!(header.settings && header.view && header.seeds > 0)) throw new Error("an incomplete header");
  return { header, arrays };
}

// ------------------------------------------------------------------------------------------------ controls

const SLIDER_STEPS = 200;
const GROUPS = { play: "Play", data: "Data", game: "Game", optimiser: "Optimiser", penalties: "Penalties",
  networks: "Networks" };

/** Position 0..SLIDER_STEPS of a value and back: a log scale, whose left end is 0 where `zero` is set. */
function logScale({ low, high, zero }) {
  const first = zero ? 1 : 0;
  const steps = SLIDER_STEPS - first;
  return {
    value: (position) =>
      position < first ? 0 : +(low * (high / low) ** ((position - first) / steps)).toPrecision(3),
    position: (value) =>
      value > 0 ? clamp(Math.round(first + (steps * Math.log(value / low)) / Math.log(high / low)), first,
        SLIDER_STEPS) : 0,
  };
}

function sliderOf(control, changed) {
  const scale = logScale(control);
  const input = make("input", { type: "range", min: 0, max: SLIDER_STEPS, step: 1 });
  const output = make("output");
  let pressed = false;
  const tell = (value) => {
    write(output, decimal(value));
    input.setAttribute("aria-valuetext", decimal(value));
  };
  input.addEventListener("pointerdown", () => (pressed = true));
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => (pressed = false));
  input.addEventListener("input", () => {
    const value = scale.value(+input.value);
    tell(value);
    changed(value);
  });
  const show = (value) => {
    const position = String(scale.position(value));
    if (input.value !== position) input.value = position;
    tell(value);
  };
  return { input, after: output, held: () => pressed, show };
}

function choiceOf(control, changed) {
  const options = control.values.map((value) => make("option", { textContent: String(value).replaceAll("_", " ") }));
  const input = make("select", {}, ...options);
  input.addEventListener("change", () => changed(control.values[input.selectedIndex]));
  const show = (value) => {
    let index = control.values.findIndex((known) => same(known, value));
    if (index < 0) index = control.values.push(value) - 1; // such as the name of a file that was dropped
    if (!input.options[index]) input.append(make("option", { textContent: String(value) }));
    if (input.selectedIndex !== index) input.selectedIndex = index;
  };
  return { input, held: () => false, show };
}

function fieldOf(control, changed) {
  const number = control.kind === "number";
  const input = make("input", { type: number ? "number" : "text", spellcheck: false });
  if (number) Object.assign(input, { min: control.low ?? "", max: control.high ?? "", step: "any" });
  input.addEventListener("change", () => changed(number ? +input.value : input.value));
  input.addEventListener("keydown", (event) => event.key === "Enter" && input.blur());
  const show = (value) => {
    const text = String(value ?? "");
    if (input.value !== text) input.value = text;
  };
  return { input, held: () => document.activeElement === input, show };
}

/** The row of one control: its label, its input, and a sign that says whether a change of it compiles. */
function controlRow(control, changed) {
  const kinds = { slider: sliderOf, choice: choiceOf };
  const part = (kinds[control.kind] ?? fieldOf)(control, changed);
  part.input.id = `set-${control.name}`;
  part.input.setAttribute("aria-description", control.help ?? "");
  const sign = make("span", {
    className: control.instant ? "sign instant" : "sign", textContent: control.instant ? "\u2022" : "\u21bb",
    title: control.instant ? "acts at once" : "compiles first; until then the game before it plays on",
  });
  sign.setAttribute("aria-hidden", "true");
  const label = make("label", { htmlFor: part.input.id, textContent: control.label }, " ", sign);
  part.row = make("div", { className: `row ${control.kind}`, title: control.help ?? "" }, label, part.input,
    ...(part.after ? [part.after] : []));
  return part;
}

/** All controls in their groups; `show(settings, pending)` leaves alone what the user holds or waits for. */
function controlPanel(controls, changed) {
  const parts = new Map();
  const groups = new Map();
  for (const control of controls) {
    const part = controlRow(control, (value) => changed(control, value));
    parts.set(control.name, part);
    if (!groups.has(control.group)) groups.set(control.group, []);
    groups.get(control.group).push(part.row);
  }
  const order = [...Object.keys(GROUPS).filter((name) => groups.has(name)),
    ...[...groups.keys()].filter((name) => !(name in GROUPS))];
  const sets = order.map((name) =>
    make("fieldset", {}, make("legend", { textContent: GROUPS[name] ?? name }), ...groups.get(name)));
  const show = (settings, pending) => {
    for (const [name, part] of parts) {
      if (name in settings && !part.held() && !pending(name)) part.show(settings[name]);
    }
  };
  return { elements: sets, show };
}

// ------------------------------------------------------------------------------------------------ drawing on a canvas

/** Pixel positions of samples [F, n], by one function for each of the two pixel coordinates. */
function places(array, count, x, y) {
  const at = { x: new Float32Array(count), y: new Float32Array(count) };
  for (let i = 0; i < count; i++) {
    at.x[i] = x(array, i);
    at.y[i] = y(array, i);
  }
  return at;
}

function squares(context, at, colour, size = 3) {
  context.fillStyle = colour;
  const half = size / 2;
  for (let i = 0; i < at.x.length; i++) context.fillRect(at.x[i] - half, at.y[i] - half, size, size);
}

/** Points on the way from one place to another; t = 0 is the first, 1 the second. */
function between(from, to, t) {
  const mix = (a, b) => a.map((value, i) => value + t * (b[i] - value));
  return { x: mix(from.x, to.x), y: mix(from.y, to.y) };
}

/** Discs in the colour of D's verdict, whose rim says what they are. */
function judged(context, at, logits, rim, spread) {
  context.strokeStyle = rim;
  context.lineWidth = 1.3;
  for (let i = 0; i < at.x.length; i++) {
    context.fillStyle = `rgb(${VERDICTS[colourIndex(sigmoid(logits[i]), spread)]})`;
    context.beginPath();
    context.arc(at.x[i], at.y[i], 4, 0, 7);
    context.fill();
    context.stroke();
  }
}

/** Arrows from places by pixels `by`, scaled so that nine of ten are shorter than `reach`, and none twice as long. */
function arrows(context, at, by, reach, colour = "#3a3a3a") {
  const lengths = Array.from(by.x, (dx, i) => Math.hypot(dx, by.y[i])).filter(Number.isFinite).sort((a, b) => a - b);
  const long = lengths[Math.floor(0.9 * (lengths.length - 1))];
  if (!(long > 0)) return;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  for (let i = 0; i < by.x.length; i++) {
    const length = Math.hypot(by.x[i], by.y[i]);
    const scale = Math.min(reach / long, (2 * reach) / length);
    if (!(length * scale > 1)) continue;
    const [x, y] = [at.x[i] + scale * by.x[i], at.y[i] + scale * by.y[i]];
    const angle = Math.atan2(by.y[i], by.x[i]);
    const head = Math.min(4, 0.5 * length * scale);
    context.moveTo(at.x[i], at.y[i]);
    context.lineTo(x, y);
    for (const turn of [-0.45, 0.45]) {
      context.moveTo(x, y);
      context.lineTo(x - head * Math.cos(angle + turn), y - head * Math.sin(angle + turn));
    }
  }
  context.stroke();
}

/** A line through n points; where a value is unknown it has a gap. */
function trace(context, n, x, y) {
  context.beginPath();
  let down = false;
  for (let i = 0; i < n; i++) {
    const height = y(i);
    if (Number.isNaN(height)) down = false;
    else if (down) context.lineTo(x(i), height);
    else {
      context.moveTo(x(i), height);
      down = true;
    }
  }
}

function words(context, text, x, y, colour = SOFT, align = "left") {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(text, x, y);
  context.textAlign = "left";
}

// ------------------------------------------------------------------------------------------------ slow motion

/** What a stage shows, in the plane and on the line alike; `at` holds the pixel positions, t runs from 0 to 1. */
function drawStage(context, index, at, logits, t, spread, reach) {
  if (index === 0) return squares(context, at.latents, OF_G, 4);
  if (index === 1) return squares(context, between(at.latents, at.fakes, ease(t)), FAKE, 4);
  if (index <= 3) {
    const rise = index === 2 ? ease(t) : 1;
    judged(context, between(at.real, at.realJudged, rise), logits.real, REAL, spread);
    return judged(context, between(at.fakes, at.fakesJudged, rise), logits.fake, FAKE, spread);
  }
  if (index === 4) {
    arrows(context, at.fakes, at.pushes, reach);
    return squares(context, at.fakes, FAKE, 4);
  }
  const now = at.moved ? between(at.fakes, at.moved, ease(t)) : at.fakes;
  context.strokeStyle = FAKE;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  for (let i = 0; i < now.x.length; i++) {
    context.moveTo(at.fakes.x[i], at.fakes.y[i]);
    context.lineTo(now.x[i], now.y[i]);
  }
  context.stroke();
  context.globalAlpha = 1;
  return squares(context, now, FAKE, 4);
}

const stageLogits = (arrays) => ({ real: arrays.stage_d_real.data, fake: arrays.stage_d_fake.data });

/** Latents are drawn in a square from -1 to 1, or a larger one where they are normal. */
function latentReach(arrays) {
  const { data } = arrays.stage_z;
  let most = 1;
  for (let i = 0; i < data.length; i++) most = Math.max(most, Math.abs(data[i]));
  return most <= 1.001 ? 1 : most;
}

// ------------------------------------------------------------------------------------------------ scene of the plane

const LATENT_SHARE = 0.86; // of the view's side, that the latent square takes

function planeAxes([middleX, middleY, reach], side) {
  const unit = side / (2 * reach);
  return {
    unit,
    side,
    x: (value) => (value - middleX + reach) * unit,
    y: (value) => side - (value - middleY + reach) * unit,
    data: (px, py) => [px / unit - reach + middleX, (side - py) / unit - reach + middleY],
  };
}

function planePlaces(array, axes, limit = Infinity) {
  const n = array.shape[1];
  return places(array.data, Math.min(n, limit), (a, i) => axes.x(a[i]), (a, i) => axes.y(a[n + i]));
}

const planePushes = (array, axes) => {
  const n = array.shape[1];
  return places(array.data, n, (a, i) => a[i] * axes.unit, (a, i) => -a[n + i] * axes.unit);
};

const rasters = new Map(); // small canvases, one for each size, that are scaled up

/** Probabilities [R, R] as colours over the whole square; unknown ones stay white. */
function drawHeat(context, probabilities, size, side, spread) {
  if (!rasters.has(size)) {
    const canvas = make("canvas", { width: size, height: size });
    const image = new ImageData(size, size);
    rasters.set(size, { canvas, image, pixels: new Uint32Array(image.data.buffer) });
  }
  const { canvas, image, pixels } = rasters.get(size);
  for (let row = 0; row < size; row++) {
    const from = (size - 1 - row) * size; // row 0 of the array is the lowest y
    for (let column = 0; column < size; column++) {
      const p = probabilities[from + column];
      pixels[row * size + column] = Number.isNaN(p) ? 0 : PIXELS[colourIndex(p, spread)];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, 0, 0, side, side);
}

/** G's image of a lattice of the latent square; bend 0 is the lattice itself, 1 its image. */
function drawSheet(context, sheet, axes, bend) {
  const n = sheet.shape[1];
  const flat = (i) => axes.side / 2 + LATENT_SHARE * axes.side * (i / (n - 1) - 0.5);
  const x = (row, column) => {
    const image = axes.x(sheet.data[row * n + column]);
    return bend === 1 ? image : flat(column) + bend * (image - flat(column));
  };
  const y = (row, column) => {
    const image = axes.y(sheet.data[n * n + row * n + column]);
    return bend === 1 ? image : flat(n - 1 - row) + bend * (image - flat(n - 1 - row));
  };
  context.lineWidth = 0.9;
  for (const [across, colour] of [[true, "#0a8a66"], [false, "#8a9a1f"]]) {
    context.strokeStyle = colour;
    context.beginPath();
    for (let k = 0; k < n; k += 2) {
      for (let i = 0; i < n; i++) {
        const [row, column] = across ? [k, i] : [i, k];
        if (i) context.lineTo(x(row, column), y(row, column));
        else context.moveTo(x(row, column), y(row, column));
      }
    }
    context.stroke();
  }
}

function planeStage(arrays, axes) {
  const half = (LATENT_SHARE * axes.side) / 2 / latentReach(arrays);
  const n = arrays.stage_z.shape[1];
  const latents = places(arrays.stage_z.data, n, (a, i) => axes.side / 2 + half * a[i],
    (a, i) => axes.side / 2 - half * a[n + i]);
  const fakes = planePlaces(arrays.stage_fakes, axes);
  const real = planePlaces(arrays.stage_real, axes);
  return {
    latents, fakes, real, fakesJudged: fakes, realJudged: real,
    pushes: arrays.stage_pushes && planePushes(arrays.stage_pushes, axes),
    moved: arrays.stage_moved && planePlaces(arrays.stage_moved, axes),
  };
}

function drawLatentSquare(context, side) {
  const edge = ((1 - LATENT_SHARE) / 2) * side;
  context.strokeStyle = "#bbb";
  context.lineWidth = 1;
  context.strokeRect(edge, edge, side - 2 * edge, side - 2 * edge);
  words(context, "latent square: the first two numbers of z", edge, edge - 7);
}

/** The square of D: its verdict as colours, G's lattice, real points, fakes and pushes; or a stage of a step. */
function drawPlane(canvas, { header, arrays }, look) {
  const { context, width: side } = surface(canvas);
  const axes = planeAxes(header.view, side);
  const stage = header.stage;
  const { layers } = look;
  if (layers.heat && !(stage && stage.index < 2)) {
    drawHeat(context, look.probabilities, arrays.logits.shape[0], side, look.spread);
  }
  const bend = stage?.index === 0 ? 0 : stage?.index === 1 ? ease(look.time) : look.bend;
  if (layers.lattice && arrays.sheet) drawSheet(context, arrays.sheet, axes, bend);
  if (stage) {
    if (stage.index === 0) drawLatentSquare(context, side);
    if (layers.real && (stage.index === 1 || stage.index > 3)) {
      context.globalAlpha = 0.45;
      squares(context, planePlaces(arrays.stage_real, axes), REAL);
      context.globalAlpha = 1;
    }
    const at = planeStage(arrays, axes);
    return drawStage(context, stage.index, at, stageLogits(arrays), look.time, look.spread, 0.07 * side);
  }
  drawPoints(context, arrays, axes, layers, layers.lattice ? bend : 1);
}

function drawPoints(context, arrays, axes, layers, bend) {
  if (layers.real) squares(context, planePlaces(arrays.real, axes), REAL);
  context.globalAlpha = Math.max(0.12, bend); // no image of G's while its lattice lies flat
  const fakes = planePlaces(arrays.fakes, axes);
  if (layers.pushes && arrays.pushes) {
    arrows(context, fakes, planePushes(arrays.pushes, axes), 0.07 * axes.side);
  }
  if (layers.fakes) squares(context, fakes, FAKE);
  context.globalAlpha = 1;
}

/** The square beside it: the best answer D*(x) = p / (p + q) to G as it is now, in the same colours. */
function drawBest(canvas, { header, arrays }, look) {
  const { context, width: side } = surface(canvas);
  if (!arrays.optimal) return;
  drawHeat(context, arrays.optimal.data, arrays.optimal.shape[0], side, look.spread);
  const axes = planeAxes(header.view, side);
  if (look.layers.real) squares(context, planePlaces(arrays.real, axes), REAL, 2);
  if (look.layers.fakes) squares(context, planePlaces(arrays.fakes, axes), FAKE, 2);
}

// ------------------------------------------------------------------------------------------------ scene of the line

/** Where things are: densities above, samples on the axis between, D's probability below. */
function lineAxes([low, high], width, height) {
  const left = 30;
  const right = width - 12;
  const base = Math.round(0.55 * height);
  const verdict = { top: Math.round(0.7 * height), bottom: height - 22 };
  return {
    left, right, base, verdict, top: 24,
    x: (value) => left + ((value - low) / (high - low)) * (right - left),
    data: (px) => low + (clamp((px - left) / (right - left), 0, 1)) * (high - low),
    probability: (p) => verdict.bottom - p * (verdict.bottom - verdict.top),
  };
}

/** The highest density that is drawn: a spike of fakes may leave the picture, the real density never. */
function densityTop(p, q) {
  const most = (a) => a.reduce((m, v) => (v > m ? v : m), 0);
  return 1.1 * Math.max(most(p), Math.min(most(q), 2 * most(p))) || 1;
}

function drawLineAxes(context, header, axes) {
  const { left, right, base, verdict } = axes;
  context.strokeStyle = "#999";
  context.lineWidth = 1;
  context.beginPath();
  for (const y of [base, verdict.bottom]) {
    context.moveTo(left, y + 0.5);
    context.lineTo(right, y + 0.5);
  }
  context.stroke();
  context.strokeStyle = RULE;
  context.beginPath();
  for (const p of [0.5, 1]) {
    context.moveTo(left, axes.probability(p) + 0.5);
    context.lineTo(right, axes.probability(p) + 0.5);
  }
  context.stroke();
  for (const [p, text] of [[0, "0"], [0.5, "\u00bd"], [1, "1"]]) {
    words(context, text, left - 6, axes.probability(p) + 4, SOFT, "right");
  }
  for (const tick of niceTicks(header.view[0], header.view[1], 7)) {
    words(context, signed(decimal(tick)), axes.x(tick), verdict.bottom + 16, SOFT, "center");
  }
}

function drawDensity(context, x, values, axes, top, colour, filled) {
  const y = (i) => axes.base - Math.min(1.03, values[i] / top) * (axes.base - axes.top);
  trace(context, x.length, (i) => axes.x(x[i]), y);
  context.strokeStyle = colour;
  context.lineWidth = 1.8;
  context.stroke();
  if (!filled) return;
  context.lineTo(axes.x(x.at(-1)), axes.base);
  context.lineTo(axes.x(x[0]), axes.base);
  context.globalAlpha = 0.25;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
}

function drawProbability(context, x, values, axes, colour, dash) {
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = 1.8;
  trace(context, x.length, (i) => axes.x(x[i]), (i) => axes.probability(values[i]));
  context.stroke();
  context.setLineDash([]);
}

/** Samples on the axis as ticks; their arrows start at different heights, so that they do not cover each other. */
function drawTicks(context, arrays, axes, layers) {
  const n = arrays.fakes.data.length;
  const at = places(arrays.fakes.data, n, (a, i) => axes.x(a[i]), (a, i) => axes.base + 7 + 5 * (i % 7));
  if (layers.fakes) {
    context.strokeStyle = FAKE;
    context.lineWidth = 1;
    context.beginPath();
    for (const x of at.x) {
      context.moveTo(x, axes.base + 1);
      context.lineTo(x, axes.base + 7);
    }
    context.stroke();
  }
  if (layers.pushes && arrays.pushes) {
    const by = places(arrays.pushes.data, arrays.pushes.data.length, (a, i) => a[i], () => 0);
    arrows(context, at, by, 0.07 * (axes.right - axes.left));
  }
}

function lineStage(arrays, axes) {
  const n = arrays.stage_z.shape[1];
  const reach = latentReach(arrays);
  const middle = { x: (axes.left + axes.right) / 2, y: (axes.top + axes.base) / 2 };
  const half = { x: (0.94 * (axes.right - axes.left)) / 2, y: (0.8 * (axes.base - axes.top)) / 2 };
  const second = arrays.stage_z.shape[0] > 1;
  const on = (array, y) => places(array.data, array.shape[1], (a, i) => axes.x(a[i]), y);
  const judgedAt = (array, logits) => on(array, (_, i) => axes.probability(sigmoid(logits.data[i])));
  return {
    latents: places(arrays.stage_z.data, n, (a, i) => middle.x + (half.x * a[i]) / reach,
      (a, i) => middle.y - (second ? (half.y * a[n + i]) / reach : 0)),
    fakes: on(arrays.stage_fakes, (_, i) => axes.base + 5 + 4 * (i % 9)),
    real: on(arrays.stage_real, () => axes.base),
    fakesJudged: judgedAt(arrays.stage_fakes, arrays.stage_d_fake),
    realJudged: judgedAt(arrays.stage_real, arrays.stage_d_real),
    pushes: arrays.stage_pushes && places(arrays.stage_pushes.data, n, (a, i) => a[i], () => 0),
    moved: arrays.stage_moved && on(arrays.stage_moved, (_, i) => axes.base + 5 + 4 * (i % 9)),
  };
}

/** Densities of real and fake above; below, D's probability beside the best one; between them the fakes. */
function drawLine(canvas, { header, arrays }, look) {
  const { context, width, height } = surface(canvas);
  const axes = lineAxes(header.view, width, height);
  const { layers } = look;
  const stage = header.stage;
  const x = arrays.x.data;
  drawLineAxes(context, header, axes);
  const top = densityTop(arrays.p.data, arrays.q.data);
  context.globalAlpha = stage && stage.index < 1 ? 0.25 : 1;
  if (layers.real) drawDensity(context, x, arrays.p.data, axes, top, REAL, true);
  if (layers.fakes && !(stage && stage.index < 1)) drawDensity(context, x, arrays.q.data, axes, top, FAKE, true);
  context.globalAlpha = 1;
  if (layers.optimal && arrays.optimal) drawProbability(context, x, arrays.optimal.data, axes, "#555", [6, 4]);
  if (layers.heat && !(stage && stage.index < 2)) drawProbability(context, x, look.probabilities, axes, OF_D, []);
  labelLine(context, axes, layers, Boolean(arrays.optimal));
  if (!stage) return drawTicks(context, arrays, axes, layers);
  if (stage.index === 0) words(context, "dots: the first two numbers of z", axes.right, axes.top - 8, OF_G, "right");
  drawStage(context, stage.index, lineStage(arrays, axes), stageLogits(arrays), look.time, look.spread,
    0.07 * (axes.right - axes.left));
}

function labelLine(context, axes, layers, best) {
  let at = axes.left;
  const say = (text, colour, y) => {
    words(context, text, at, y, colour);
    at += context.measureText(text).width + 16;
  };
  if (layers.real) say("density of real", REAL, axes.top - 8);
  if (layers.fakes) say("density of fakes", FAKE, axes.top - 8);
  at = axes.left;
  const y = axes.verdict.top - 7;
  if (layers.heat) say("D(x): how probably x is real", OF_D, y);
  if (layers.optimal && best) say("D*(x) = p / (p + q), the best answer to these fakes", "#555", y);
}

// ------------------------------------------------------------------------------------------------ curves

/** A few round numbers from low to high, in steps of 1, 2 or 5 times a power of ten. */
function niceTicks(low, high, count = 4) {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((digit) => digit * power >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(+(k * step).toPrecision(12));
  return ticks;
}

/** At most six round numbers on a log scale: some digits of each decade, or only some decades. */
function logTicks(low, high) {
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  for (const digits of [[1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let e = from; e <= to; e++) for (const digit of digits) ticks.push(+`${digit}e${e}`);
    const inside = ticks.filter((tick) => tick >= 0.999 * low && tick <= 1.001 * high);
    if (inside.length <= 6 && inside.length >= 2) return inside;
  }
  const every = Math.ceil((to - from) / 5);
  const ticks = [];
  for (let e = from; e <= to; e += every) ticks.push(10 ** e);
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  return inside.length >= 2 || high > 10 * low ? inside : niceTicks(low, high, 3);
}

/** One line of a chart: of row i, `at(i, q)` is the 10% value, the median, the 90% value and the shown seed's. */
function series(label, colour, array, column) {
  const stride = 4 * array.shape[1];
  return { label, colour, at: (i, q) => array.data[i * stride + 4 * column + q] };
}

/** Losses of the two players at the equilibrium, for the games that have a number there. */
const AT_EQUILIBRIUM = {
  non_saturating: [["ln 4", Math.LN2 * 2], ["ln 2", Math.LN2]],
  minimax: [["ln 4", Math.LN2 * 2], ["\u2212ln 2", -Math.LN2]],
};

/** What stands in every chart: the losses, then the measures, those with the same `charts` together. */
function chartsOf({ header, arrays }) {
  const charts = new Map();
  if (arrays.curves) {
    charts.set("losses", {
      title: "Losses", steps: arrays.curve_steps.data, log: false, top: null,
      lines: [series("D", OF_D, arrays.curves, 0), series("G", OF_G, arrays.curves, 1)],
      floors: (AT_EQUILIBRIUM[header.settings.loss] ?? []).map(([text, value]) => ({ text, value })),
    });
  }
  (header.measures ?? []).forEach((measure, k) => {
    if (!arrays.measures) return;
    const key = `measure ${measure.charts}`;
    if (!charts.has(key)) {
      charts.set(key, { title: "", steps: arrays.measure_steps.data, log: measure.log, top: null, lines: [], floors: [] });
    }
    const chart = charts.get(key);
    const colour = OTHERS[chart.lines.length % OTHERS.length];
    chart.lines.push(series(measure.label, colour, arrays.measures, k));
    if (measure.top !== null && measure.top !== undefined) chart.top = Math.max(measure.top, chart.top ?? -Infinity);
    if (Number.isFinite(measure.floor)) chart.floors.push({ text: floorText(measure.floor), value: measure.floor });
  });
  return charts;
}

const floorText = (value) => (Math.abs(value + 2 * Math.LN2) < 1e-4 ? "\u2212ln 4" : "perfect sampler");

/** Changes when the picture of the chart would: it is then drawn again. */
function signature(chart, header, canvas) {
  const n = chart.steps.length;
  const last = chart.lines.map((line) => [0, 1, 2, 3].map((q) => line.at(n - 1, q)));
  return [n, chart.steps[0], chart.steps[n - 1], last, header.seed, header.settings.loss, canvas.clientWidth,
    canvas.clientHeight, chart.lines.map((line) => line.label)].join();
}

/** Lowest and highest value of a chart, with a little room. */
function chartRange(chart) {
  let low = Infinity;
  let high = -Infinity;
  const take = (value) => {
    if (!Number.isFinite(value) || (chart.log && value <= 0)) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  };
  for (const line of chart.lines) {
    for (let i = 0; i < chart.steps.length; i++) for (let q = 0; q < 3; q++) take(line.at(i, q));
    take(line.at(chart.steps.length - 1, 3));
  }
  for (const { value } of chart.floors) take(value);
  if (chart.top !== null) {
    take(chart.top);
    if (!chart.log) take(0);
  }
  if (!(high >= low)) return null;
  if (chart.log) return high > 1.2 * low ? [low / 1.15, high * 1.15] : [low / 1.5, high * 1.5];
  const room = Math.max(0.05 * (high - low), 1e-3 * Math.abs(high), 1e-9);
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + (chart.top === high ? 0.02 * (high - low) : room)];
}

function chartAxes(chart, [low, high], width, height) {
  const box = { left: 46, right: width - 50, top: 24, bottom: height - 20 };
  const scaled = chart.log ? Math.log : (value) => value;
  const first = chart.steps[0];
  const last = Math.max(chart.steps[chart.steps.length - 1], first + 1);
  return {
    ...box, first, last,
    x: (step) => box.left + ((step - first) / (last - first)) * (box.right - box.left),
    y: (value) => {
      if (chart.log && value <= 0) return NaN;
      return box.bottom - ((scaled(value) - scaled(low)) / (scaled(high) - scaled(low))) * (box.bottom - box.top);
    },
  };
}

function drawChartAxes(context, chart, range, axes) {
  context.strokeStyle = RULE;
  context.lineWidth = 1;
  context.beginPath();
  for (const tick of chart.log ? logTicks(...range) : niceTicks(...range)) {
    const y = Math.round(axes.y(tick)) + 0.5;
    context.moveTo(axes.left, y);
    context.lineTo(axes.right, y);
    words(context, signed(decimal(tick)), axes.left - 6, y + 4, SOFT, "right");
  }
  context.stroke();
  const ticks = niceTicks(axes.first, axes.last, axes.right - axes.left > 260 ? 4 : 2);
  ticks.forEach((tick, i) => {
    const text = i === ticks.length - 1 ? `${whole(tick)} steps` : whole(tick);
    words(context, text, axes.x(tick), axes.bottom + 15, SOFT, "center");
  });
}

/** The band from 10% to 90% of the seeds, their median, and the shown seed dashed. */
function drawLineOf(context, chart, line, axes) {
  const n = chart.steps.length;
  const x = (i) => axes.x(chart.steps[i]);
  context.fillStyle = context.strokeStyle = line.colour;
  context.beginPath();
  let known = 0;
  for (let i = 0; i < n; i++) if (line.at(i, 2) > -Infinity) context[known++ ? "lineTo" : "moveTo"](x(i), axes.y(line.at(i, 2)));
  for (let i = n - 1; i >= 0; i--) if (line.at(i, 0) > -Infinity) context.lineTo(x(i), axes.y(line.at(i, 0)));
  context.globalAlpha = 0.18;
  context.fill();
  context.globalAlpha = 1;
  trace(context, n, x, (i) => axes.y(line.at(i, 1)));
  context.lineWidth = 1.7;
  context.stroke();
  context.setLineDash([3, 3]);
  trace(context, n, x, (i) => axes.y(line.at(i, 3)));
  context.lineWidth = 1;
  context.stroke();
  context.setLineDash([]);
}

function drawFloors(context, chart, axes) {
  const middle = (axes.top + axes.bottom) / 2;
  let before = "";
  for (const { value, text } of chart.floors) {
    const y = Math.round(axes.y(value)) + 0.5;
    context.strokeStyle = "#888";
    context.setLineDash([7, 4]);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(axes.left, y);
    context.lineTo(axes.right, y);
    context.stroke();
    context.setLineDash([]);
    if (text !== before) words(context, text, axes.left + 4, y > middle ? y - 4 : y + 13);
    before = chart.floors.length > 1 && text === "perfect sampler" ? text : "";
  }
}

/** The last medians beside the ends of their lines, moved apart where they would cover each other. */
function drawEnds(context, chart, axes) {
  const ends = chart.lines
    .map((line) => ({ line, value: line.at(chart.steps.length - 1, 1) }))
    .filter(({ value }) => Number.isFinite(value))
    .map((end) => ({ ...end, y: clamp(axes.y(end.value), axes.top, axes.bottom) + 4 }))
    .sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => {
    if (i) end.y = Math.max(end.y, ends[i - 1].y + 13);
    words(context, signed(decimal(end.value)), axes.right + 5, end.y, end.line.colour);
  });
}

function drawTitle(context, chart, left) {
  let x = left;
  const say = (text, colour, font) => {
    context.font = font;
    words(context, text, x, 14, colour);
    x += context.measureText(text).width + 10;
    context.font = FONT;
  };
  if (chart.title) say(chart.title, INK, FONT);
  for (const line of chart.lines) say(line.label, line.colour, `600 ${FONT}`);
}

function drawChart(canvas, chart) {
  const { context, width, height } = surface(canvas);
  drawTitle(context, chart, 6);
  const range = chart.steps.length ? chartRange(chart) : null;
  if (!range) return words(context, "no numbers yet", 46, height / 2);
  const axes = chartAxes(chart, range, width, height);
  drawChartAxes(context, chart, range, axes);
  context.save();
  context.beginPath();
  context.rect(axes.left, axes.top - 2, axes.right - axes.left, axes.bottom - axes.top + 4);
  context.clip(); // the shown seed may leave the picture
  for (const line of chart.lines) drawLineOf(context, chart, line, axes);
  context.restore();
  drawFloors(context, chart, axes);
  drawEnds(context, chart, axes);
}

/** What a chart says, for those who do not see it. */
function chartWords(chart) {
  const i = chart.steps.length - 1;
  if (i < 0) return `${chart.lines.map((line) => line.label).join(", ")}: no numbers yet`;
  const parts = chart.lines.map((line) => `${chart.title} ${line.label}: median ${decimal(line.at(i, 1))}, `
    + `10% ${decimal(line.at(i, 0))}, 90% ${decimal(line.at(i, 2))}, this seed ${decimal(line.at(i, 3))}`);
  return `Curve. ${parts.join("; ").trim()}; step ${whole(chart.steps[i])}`;
}

// ------------------------------------------------------------------------------------------------ thumbnails

function thumbPlane(canvas, { header, arrays }, k) {
  const { context, width } = surface(canvas);
  const n = arrays.thumbs.shape[2];
  const axes = planeAxes(header.view, width);
  const points = { shape: [2, n], data: arrays.thumbs.data.subarray(2 * n * k, 2 * n * (k + 1)) };
  squares(context, planePlaces(points, axes), FAKE, 1.6);
}

function thumbLine(canvas, { arrays }, k) {
  const { context, width, height } = surface(canvas);
  const n = arrays.thumbs.shape[1];
  const real = arrays.thumb_p?.data ?? new Float32Array(n);
  const fake = arrays.thumbs.data.subarray(n * k, n * (k + 1));
  const top = densityTop(real, fake);
  for (const [values, colour] of [[real, REAL], [fake, FAKE]]) {
    trace(context, n, (i) => (i / (n - 1)) * width, (i) => height - 2 - Math.min(1.05, values[i] / top) * (height - 8));
    context.strokeStyle = colour;
    context.lineWidth = 1.2;
    context.stroke();
  }
}

/** As many buttons as there are seeds, each with a small picture of that seed's fakes. */
function showThumbs(box, frame, choose) {
  const { header, arrays } = frame;
  const known = header.seeds;
  while (box.children.length > known) box.lastChild.remove();
  while (box.children.length < known) {
    const k = box.children.length;
    box.append(make("button", { className: "thumb", type: "button", onclick: () => choose(k) }, make("canvas"),
      make("span")));
  }
  const columns = known <= 5 ? 5 : known <= 24 ? clamp(Math.ceil(known / 2), 5, 12) : 16;
  box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 96px))`;
  const draw = header.kind === "plane" ? thumbPlane : thumbLine;
  for (let k = 0; k < known; k++) {
    const [canvas, label] = box.children[k].children;
    write(label, String(header.first_seed + k));
    box.children[k].setAttribute("aria-label", `seed ${header.first_seed + k}`);
    if (arrays.thumbs && k < arrays.thumbs.shape[0]) draw(canvas, frame, k);
  }
}

// ------------------------------------------------------------------------------------------------ drawing, files

const SENT = 20000; // points at most
const NUMBERS = 4000; // numbers drawn from a density that was drawn by hand
const BINS = 240;
const short = (value) => +value.toPrecision(7); // as many digits as a float32 has

/** `rows` or, evenly chosen, as many as may be sent. */
function thinned(rows) {
  if (rows.length <= SENT) return rows;
  return Array.from({ length: SENT }, (_, i) => rows[Math.floor((i * rows.length) / SENT)]);
}

/** Rows of one or two numbers from the text of a file; throws one sentence where it is something else. */
function pointsOf(text, name) {
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trim());
  const rows = [];
  lines.forEach((line, i) => {
    if (!line || line.startsWith("#")) return;
    const cells = line.split(/\s*[,;\t]\s*|\s+/);
    const row = cells.map(Number);
    const fine = cells.every((cell) => cell !== "") && row.every(Number.isFinite);
    if (!fine && rows.length === 0 && i === lines.findIndex((l) => l && !l.startsWith("#"))) return; // names of columns
    if (!fine) throw new Error(`${name}, line ${i + 1}: "${line.slice(0, 40)}" is not one or two numbers.`);
    if (row.length > 2) throw new Error(`${name}, line ${i + 1}: ${row.length} columns; one or two are accepted.`);
    if (rows.length && rows[0].length !== row.length) {
      throw new Error(`${name}, line ${i + 1}: ${row.length} columns, but ${rows[0].length} before.`);
    }
    rows.push(row.map(short));
  });
  if (rows.length < 2) throw new Error(`${name} holds fewer than two rows of numbers.`);
  return thinned(rows);
}

/** Strokes of the pointer in the plane: a point every two pixels. */
function planeDrawing() {
  const points = []; // in units of the data
  let before = null; // the last pixel of this stroke
  return {
    hint: "Draw with the mouse or a finger where real points shall be.",
    begin: () => (before = null),
    move(px, py, axes) {
      const steps = before ? Math.floor(Math.hypot(px - before[0], py - before[1]) / 2) : 1;
      for (let i = 1; i <= steps; i++) {
        const t = i / steps;
        const at = before ? [before[0] + t * (px - before[0]), before[1] + t * (py - before[1])] : [px, py];
        points.push(axes.data(...at));
      }
      if (steps) before = [px, py];
    },
    samples: () => thinned(points.map((point) => point.map(short))),
    paint(context, axes) {
      squares(context, { x: points.map((p) => axes.x(p[0])), y: points.map((p) => axes.y(p[1])) }, REAL, 4);
    },
    count: () => `${whole(points.length)} points`,
    empty: () => points.length < 40,
    few: "Draw at least 40 points first.",
  };
}

/** Heights over x, drawn as a curve; numbers are drawn from that density by the inverse of its distribution. */
function lineDrawing() {
  const heights = new Float64Array(BINS); // share of the room above the axis
  let before = null;
  const set = (bin, height) => (heights[bin] = height);
  return {
    hint: "Draw the density of the real numbers as a curve over the axis.",
    begin: () => (before = null),
    move(px, py, axes) {
      const share = clamp((px - axes.left) / (axes.right - axes.left), 0, 1);
      const bin = Math.min(BINS - 1, Math.floor(share * BINS));
      const height = clamp((axes.base - py) / (axes.base - axes.top), 0, 1);
      const [from, low] = before ?? [bin, height];
      const steps = Math.max(1, Math.abs(bin - from));
      for (let i = 0; i <= steps; i++) set(Math.round(from + (i / steps) * (bin - from)), low + (i / steps) * (height - low));
      before = [bin, height];
    },
    samples: (axes) => inverseTransform(heights, axes.data(axes.left), axes.data(axes.right)),
    paint(context, axes) {
      const x = (i) => axes.left + ((i + 0.5) / BINS) * (axes.right - axes.left);
      trace(context, BINS, x, (i) => axes.base - heights[i] * (axes.base - axes.top));
      context.strokeStyle = REAL;
      context.lineWidth = 2;
      context.stroke();
      context.lineTo(axes.right, axes.base);
      context.lineTo(axes.left, axes.base);
      context.globalAlpha = 0.25;
      context.fillStyle = REAL;
      context.fill();
      context.globalAlpha = 1;
    },
    count: () => `${whole(NUMBERS)} numbers will be drawn from it`,
    empty: () => !heights.some((height) => height > 0),
    few: "Draw a curve above the axis first.",
  };
}

/** Numbers [[x], ...] whose density on [low, high] is proportional to `heights`, each constant over its bin. */
function inverseTransform(heights, low, high) {
  let total = 0;
  for (const height of heights) total += height;
  const numbers = [];
  let bin = 0;
  let passed = 0; // mass of the bins before this one
  for (let i = 0; i < NUMBERS; i++) {
    const mass = ((i + Math.random()) / NUMBERS) * total; // one number in each of equal shares of the mass
    while (bin < heights.length - 1 && passed + heights[bin] < mass) passed += heights[bin++];
    const inside = heights[bin] > 0 ? clamp((mass - passed) / heights[bin], 0, 1) : 0.5;
    numbers.push([short(low + ((bin + inside) / heights.length) * (high - low))]);
  }
  return numbers;
}

// ------------------------------------------------------------------------------------------------ url

/** Settings, seed and layers of a link's hash, as texts. */
function readHash() {
  return new Map(new URLSearchParams(location.hash.slice(1)));
}

/** Puts them there; the query, which holds the token, stays as it is. */
function writeHash(entries) {
  const text = new URLSearchParams(entries).toString().replaceAll("%2C", ",");
  history.replaceState(null, "", `${location.pathname}${location.search}${text ? `#${text}` : ""}`);
}

/** The text of a link as a value of this control. */
function valueOf(control, text) {
  if (control.kind === "choice") return control.values.find((value) => String(value) === text) ?? text;
  return control.kind === "text" ? text : +text;
}

// ------------------------------------------------------------------------------------------------ the whole view

const SPEEDS = [["stages", "slow motion"], ["1", "1 step"], ["10", "10 steps"], ["fast", "fast"]];
const STAGE_SECONDS = 1.2; // that a stage is shown in slow motion
const MOVE_SECONDS = 0.7; // that points take to move within a stage, and the lattice to unfold
const LAYERS = { // layer: its label in the plane and on the line (null: there is none), its shortcut's absence is on purpose
  heat: ["D's probability", "D"],
  stretched: ["colours stretched", null],
  optimal: ["D* beside it", "D*"],
  real: ["real", "real"],
  fakes: ["fakes", "fakes"],
  pushes: ["pushes on fakes", "pushes on fakes"],
  lattice: ["G's lattice", null],
  seeds: ["every seed", "every seed"],
};
const KEYS = [["space", "play or pause"], ["\u2192 or s", "one step"], ["d", "D alone"], ["g", "G alone"],
  ["n", "next stage"], ["r", "reset"], ["0 \u2026 9", "the seed of this number"], ["Esc", "leave the drawing"]];

/** The elements of the page, by name. */
function skeleton(root) {
  const button = (textContent, title = "") => make("button", { type: "button", textContent, title });
  const status = (name) => make("p", { className: name, aria: { live: "polite" } });
  const picture = (name) => Object.assign(make("canvas", { className: name }), { role: "img" });
  const e = {
    play: button("Play", "space"), step: button("Step", "one step of D and G: right arrow or s"),
    d: button("D alone", "one step of D: d"), g: button("G alone", "one step of G: g"), reset: button("Reset", "r"),
    next: button("Next stage", "n"), save: button("Save as run", "the present networks and all changes, as a run's folder"),
    speed: make("fieldset", { className: "speed" }, make("legend", { textContent: "speed" })),
    count: make("strong", { className: "count" }), rate: make("span", { className: "soft" }),
    spoken: make("p", { className: "spoken", aria: { live: "polite" } }),
    banner: make("p", { className: "banner", hidden: true }), notice: status("notice"), busy: status("busy"),
    saved: make("section", { className: "saved", hidden: true, aria: { live: "polite" } }),
    layers: make("div", { className: "layers" }), unfold: button("unfold", "from the latent square to its image and back"),
    scene: picture("scene"), best: picture("best"), caption: make("p", { className: "caption", aria: { live: "polite" } }),
    bar: make("div", { className: "bar", hidden: true }, make("span"), make("i"), make("span")),
    draw: button("Draw a distribution"), train: button("Train on it"), cancel: button("Cancel", "Esc"),
    hint: make("span", { className: "soft" }), file: make("input", { type: "file", accept: ".csv,.txt,.tsv,.dat" }),
    thumbs: make("div", { className: "thumbs", aria: { label: "fakes of every seed" } }),
    charts: make("div", { className: "charts" }), panel: make("aside", { className: "panel" }),
  };
  e.banner.setAttribute("role", "alert");
  e.bestBox = make("figure", { hidden: true }, e.best, make("figcaption",
    { textContent: "D*(x) = p / (p + q): the best answer to these fakes, in the same colours" }));
  const open = make("label", { className: "open" }, "or open a file ", e.file);
  const keys = make("p", { className: "keys" }, "Keys: ", ...KEYS.flatMap(([key, does]) => [make("kbd", { textContent: key }), ` ${does}  `]));
  root.classList.add("gan-live");
  root.replaceChildren(
    e.banner,
    make("header", {}, e.play, e.step, e.d, e.g, e.reset, e.speed, e.next, e.count, e.rate, e.save),
    make("div", { className: "messages" }, e.busy, e.notice, e.spoken), e.saved,
    make("div", { className: "body" },
      make("div", { className: "view" }, e.layers, make("div", { className: "pair" }, make("figure", {}, e.scene), e.bestBox),
        e.bar, e.caption, make("div", { className: "own" }, e.draw, e.train, e.cancel, e.hint, open), e.thumbs),
      make("div", { className: "curves" }, e.charts, make("p", { className: "soft", textContent:
        "Lines: median of the seeds. Bands: 10% to 90% of them. Dashed: the shown seed." })),
      e.panel),
    keys);
  return e;
}

/** Builds the view in `root`. With `link` the settings that the user changes stand in the page's address. */
export function mount(root, send, link = false) {
  const e = skeleton(root);
  const stats = { frames: 0, bytes: 0, drawMs: 0, step: 0, header: null, latencies: [] };
  window.live = stats;
  const layers = Object.fromEntries(Object.keys(LAYERS).map((name) => [name, !["optimal", "lattice", "stretched"].includes(name)]));
  const look = { layers, bend: 1, spread: 0.5, time: 1, probabilities: null };
  const waiting = new Map(); // changes that no frame has shown yet: name -> {at, shown}
  const chosen = new Map(); // what a link has to hold
  let frame = null; // the last one
  let fresh = 0; // bytes of a frame that has not been painted yet
  let panel = null;
  let controls = new Map();
  let link0 = link ? readHash() : new Map(); // from the address, until the program has been told
  let greeted = false;
  let scheduled = false;
  let walking = false; // slow motion plays: this page asks for one stage after the other
  let walkTimer = null;
  let stageKey = "";
  let stageBegan = 0;
  let unfolding = false;
  let drawing = null;
  let own = ""; // a sentence of the page itself, about a file or a drawing
  let kind = null;
  let warned = false;

  const timed = (action) => {
    const began = performance.now();
    try {
      action();
    } catch (error) {
      warn(error);
    }
    stats.drawMs += performance.now() - began;
  };
  function warn(error) {
    if (!warned) console.warn("a frame was skipped:", error.message);
    warned = true;
  }

  // ---- commands

  function command(name, message, shown) {
    waiting.set(name, { at: performance.now(), shown });
    own = "";
    send(message);
  }
  const isPlaying = () => walking || Boolean(frame?.header.playing);
  const speed = () => e.speed.querySelector("input:checked")?.value;

  function play(value) {
    if (speed() === "stages") {
      walking = value;
      if (walking) walk();
      else if (frame?.header.playing) send({ do: "play", value: false });
    } else {
      walking = false;
      command("play", { do: "play", value }, (header) => header.playing === value);
    }
    showPlaying();
  }
  /** Asks for the next stage. The one after it follows when this one has been seen, or when no answer comes. */
  function walk() {
    clearTimeout(walkTimer);
    if (!walking) return;
    send({ do: "stage" });
    walkTimer = setTimeout(walk, 5000);
  }
  function step(players) {
    walking = false;
    const from = stats.step;
    command("step", { do: "step", players }, (header) => header.step !== from);
  }
  function nextStage() {
    walking = false;
    send({ do: "stage" });
  }
  function chooseSpeed(value) {
    const wasPlaying = isPlaying();
    const wasWalking = walking;
    walking = value === "stages" && wasPlaying;
    command("speed", { do: "speed", value }, (header) => header.speed === value);
    if (walking) walk();
    else if (wasWalking) play(true);
    e.next.hidden = value !== "stages";
  }
  function reset() {
    command("reset", { do: "reset" }, (header) => header.step === 0);
  }
  function chooseSeed(value) {
    command("seed", { do: "seed", value }, (header) => header.seed === value);
    remember("seed", String(value));
  }
  const senders = new Map(); // of each control: its newest value, at most every 50 ms
  function change(control, value) {
    const { name } = control;
    waiting.set(name, { at: performance.now(), shown: (header) => same(header.settings[name], value) });
    own = "";
    if (!senders.has(name)) {
      const sender = { value };
      sender.send = atMost(50, () => send({ do: "set", name, value: sender.value }));
      senders.set(name, sender);
    }
    senders.get(name).value = value;
    senders.get(name).send();
    remember(name, String(value));
  }

  // ---- the link

  const writeLink = atMost(300, () => writeHash(chosen));
  function remember(name, text) {
    if (!link || chosen.get(name) === text) return;
    chosen.set(name, text);
    writeLink();
  }
  /** Tells the program, once, what the address asks for. */
  function obeyLink() {
    const values = {};
    for (const [name, text] of link0) {
      if (controls.has(name)) values[name] = valueOf(controls.get(name), text);
      if (controls.has(name) || name === "seed" || name === "layers") chosen.set(name, text);
    }
    if (link0.has("layers")) {
      const on = link0.get("layers").split(",");
      for (const name of Object.keys(layers)) layers[name] = on.includes(name);
      showLayers();
    }
    if (Object.keys(values).length) send({ do: "settings", values });
    if (/^\d+$/.test(link0.get("seed") ?? "")) send({ do: "seed", value: +link0.get("seed") });
    link0 = new Map();
  }
  if (link) {
    window.addEventListener("hashchange", () => {
      link0 = readHash();
      obeyLink();
    });
  }

  // ---- what the frame says, in words

  const pending = (name) => waiting.has(name);
  function settle(header) {
    const now = performance.now();
    for (const [name, { at, shown }] of waiting) {
      if (shown(header)) stats.latencies.push([name, now - at]);
      if (shown(header) || (!header.busy && now - at > 3000)) waiting.delete(name); // done, or refused
    }
    if (stats.latencies.length > 2000) stats.latencies.splice(0, 1000);
    for (const name of chosen.keys()) {
      if (name in header.settings && !pending(name) && !link0.size) remember(name, String(header.settings[name]));
    }
  }
  function showPlaying() {
    write(e.play, isPlaying() ? "Pause" : "Play");
    e.play.classList.toggle("on", isPlaying());
  }
  const speak = atMost(5000, () => write(e.spoken, `step ${whole(stats.step)}, ${isPlaying() ? "playing" : "paused"}`));
  const describe = atMost(1000, () => {
    if (!frame) return;
    const { header, arrays } = frame;
    const last = arrays.measure_steps ? arrays.measure_steps.data.length - 1 : -1;
    const numbers = last < 0 ? [] : header.measures.map((measure, k) =>
      `${measure.label} ${decimal(series("", "", arrays.measures, k).at(last, 3))}`);
    let [low, high] = [1, 0];
    for (const p of look.probabilities) [low, high] = [Math.min(low, p), Math.max(high, p)];
    e.scene.setAttribute("aria-label", `Real points and fakes of seed ${header.first_seed + header.seed}, target ${header.target}, `
      + `step ${whole(header.step)}. D's probability is from ${decimal(low)} to ${decimal(high)}. ${numbers.join(", ")}`);
    e.best.setAttribute("aria-label", "The best answer D* to these fakes, over the same square");
  });
  function showHeader(header) {
    write(e.count, `step ${whole(header.step)}`);
    const turns = header.turns && header.turns[0] !== header.turns[1] ? `turns: D ${whole(header.turns[0])}, G ${whole(header.turns[1])}` : "";
    write(e.rate, [header.steps ? `of ${whole(header.steps)}` : "", header.playing ? `${whole(header.rate)} seed-steps/s` : "", turns,
      header.changes ? `${header.changes} change${header.changes > 1 ? "s" : ""} in mid-run` : ""].filter(Boolean).join(" \u00b7 "));
    write(e.busy, header.busy ?? "");
    write(e.notice, own || header.notice || "");
    if (!pending("speed")) {
      const radio = [...e.speed.querySelectorAll("input")].find((input) => input.value === header.speed);
      if (radio && !radio.checked) radio.checked = true;
      e.next.hidden = speed() !== "stages";
    }
    showPlaying();
    write(e.caption, header.stage?.caption ?? "");
    e.caption.hidden = !header.stage && speed() !== "stages";
    panel?.show(header.settings, pending);
    for (const [k, thumb] of [...e.thumbs.children].entries()) thumb.setAttribute("aria-pressed", k === header.seed);
    settle(header);
    speak();
  }
  function say(sentence) {
    own = sentence;
    write(e.notice, sentence);
  }

  // ---- layers

  function showLayers() {
    for (const input of e.layers.querySelectorAll("input")) input.checked = layers[input.value];
    const plane = kind === "plane";
    root.classList.toggle("line", !plane);
    const beside = plane && layers.optimal && Boolean(frame?.arrays.optimal) && !drawing;
    root.classList.toggle("beside", beside);
    e.bestBox.hidden = !beside;
    e.bar.hidden = !(plane && layers.heat);
    e.unfold.hidden = !(plane && layers.lattice);
    e.thumbs.hidden = !layers.seeds;
  }
  function buildLayers() {
    e.layers.replaceChildren();
    for (const [name, labels] of Object.entries(LAYERS)) {
      const label = labels[kind === "plane" ? 0 : 1];
      if (!label) continue;
      const input = make("input", { type: "checkbox", value: name, onchange: () => {
        layers[name] = input.checked;
        remember("layers", Object.keys(layers).filter((each) => layers[each]).join());
        showLayers();
        schedule();
      } });
      e.layers.append(make("label", { className: name }, input, label));
      if (name === "lattice") e.layers.append(e.unfold);
    }
    if (!chosen.has("layers") && !link0.has("layers")) layers.optimal = kind === "line"; // there it costs no room
  }
  function showBar() {
    const digits = Math.max(1, Math.ceil(-Math.log10(look.spread) - 1e-9));
    const text = (p) => (p <= 0 || p >= 1 ? String(p) : p.toFixed(digits));
    write(e.bar.children[0], `D says fake: ${text(0.5 - look.spread)}`);
    write(e.bar.children[2], `${text(0.5 + look.spread)}: real`);
  }

  // ---- painting

  const paintCharts = atMost(200, () => timed(() => {
    if (!frame) return;
    const charts = [...chartsOf(frame)];
    while (e.charts.children.length > charts.length) e.charts.lastChild.remove();
    while (e.charts.children.length < charts.length) {
      e.charts.append(Object.assign(make("canvas", { className: "chart" }), { role: "img" }));
    }
    charts.forEach(([, chart], i) => {
      const canvas = e.charts.children[i];
      const now = signature(chart, frame.header, canvas);
      if (canvas.dataset.drawn === now) return;
      canvas.dataset.drawn = now;
      drawChart(canvas, chart);
      canvas.setAttribute("aria-label", chartWords(chart));
    });
  }));
  let thumbsOf = "";
  const drawThumbs = () => timed(() => frame && layers.seeds && showThumbs(e.thumbs, frame, chooseSeed));
  const paintThumbs = atMost(500, drawThumbs);

  /** How far the motion within a stage has come; in [0, 1]. */
  function stageTime(now) {
    const { stage, step: at } = frame.header;
    const key = stage ? `${at} ${stage.index}` : "";
    if (key !== stageKey) {
      stageKey = key;
      stageBegan = now;
      if (walking) {
        clearTimeout(walkTimer);
        walkTimer = setTimeout(walk, 1000 * STAGE_SECONDS);
      }
    }
    return clamp((now - stageBegan) / (1000 * MOVE_SECONDS), 0, 1);
  }
  let bendAt = 0;
  function moveLattice(now) {
    const goal = unfolding ? 0 : 1;
    const passed = Math.min(50, now - bendAt) / (1000 * MOVE_SECONDS);
    bendAt = now;
    if (look.rawBend === undefined) look.rawBend = 1;
    look.rawBend += clamp(goal - look.rawBend, -passed, passed);
    look.bend = ease(look.rawBend);
    return look.rawBend !== goal;
  }
  function paintScene(now) {
    const { header, arrays } = frame;
    look.time = header.stage ? stageTime(now) : (stageTime(now), 1);
    const moving = moveLattice(now) || look.time < 1;
    if (drawing) paintDrawing();
    else (header.kind === "plane" ? drawPlane : drawLine)(e.scene, frame, look);
    if (!e.bestBox.hidden) drawBest(e.best, frame, look);
    return moving;
  }
  function newFrame() {
    const { header, arrays } = frame;
    stats.frames += 1;
    stats.bytes += fresh;
    stats.step = header.step;
    stats.header = header;
    if (header.kind !== kind) {
      kind = header.kind;
      stopDrawing();
      buildLayers();
    }
    e.layers.querySelector("[value=optimal]").disabled = !arrays.optimal;
    showLayers();
    look.probabilities = arrays.logits.data.map(sigmoid);
    look.spread = layers.stretched && kind === "plane" ? stretchedSpread(look.probabilities, look.spread) : 0.5;
    showBar();
  }
  function paint(now) {
    scheduled = false;
    if (!frame) return;
    const answer = fresh > 0;
    let moving = false;
    timed(() => {
      if (answer) newFrame();
      moving = paintScene(now);
      if (answer) showHeader(frame.header);
    });
    fresh = 0;
    paintCharts();
    const who = `${kind} ${frame.header.seed} ${frame.header.seeds}`;
    if (who !== thumbsOf) drawThumbs();
    else paintThumbs();
    thumbsOf = who;
    describe();
    if (answer) send({ do: "frame" });
    if (moving) schedule();
  }
  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(paint);
  }

  // ---- drawing a distribution, dropping a file

  const axesOfScene = () => {
    const { clientWidth: width, clientHeight: height } = e.scene;
    const { view } = frame.header;
    return kind === "plane" ? planeAxes(view, width) : lineAxes(view, width, height);
  };
  function paintDrawing() {
    const { context } = surface(e.scene);
    const axes = axesOfScene();
    context.globalAlpha = 0.18; // the present data, for orientation
    if (kind === "plane") squares(context, planePlaces(frame.arrays.real, axes), INK);
    else {
      drawLineAxes(context, frame.header, axes);
      drawDensity(context, frame.arrays.x.data, frame.arrays.p.data, axes, densityTop(frame.arrays.p.data, frame.arrays.p.data), INK, false);
    }
    context.globalAlpha = 1;
    drawing.paint(context, axes);
    write(e.hint, drawing.empty() ? drawing.hint : drawing.count());
  }
  function showDrawing() {
    for (const element of [e.train, e.cancel]) element.hidden = !drawing;
    e.draw.hidden = Boolean(drawing);
    e.scene.classList.toggle("drawing", Boolean(drawing));
    write(e.hint, "");
    if (kind) showLayers();
    schedule();
  }
  function startDrawing() {
    if (!frame) return;
    drawing = kind === "plane" ? planeDrawing() : lineDrawing();
    showDrawing();
  }
  function stopDrawing() {
    drawing = null;
    showDrawing();
  }
  function trainOn(name, points) {
    walking = false;
    command("points", { do: "points", name, points }, (header) => header.target === name && header.step === 0);
  }
  function draw(event) {
    if (!drawing || (event.type === "pointermove" && !event.buttons)) return;
    event.preventDefault();
    if (event.type === "pointerdown") {
      drawing.begin();
      e.scene.setPointerCapture(event.pointerId);
    }
    const box = e.scene.getBoundingClientRect();
    drawing.move(event.clientX - box.left, event.clientY - box.top, axesOfScene());
    schedule();
  }
  e.scene.addEventListener("pointerdown", draw);
  e.scene.addEventListener("pointermove", draw);
  e.draw.onclick = startDrawing;
  e.cancel.onclick = stopDrawing;
  e.train.onclick = () => {
    if (drawing.empty()) return say(drawing.few);
    const points = drawing.samples(axesOfScene());
    stopDrawing();
    trainOn("drawing", points);
  };
  async function readFile(file) {
    try {
      if (file.size > 50e6) throw new Error(`${file.name} is larger than 50 MB.`);
      trainOn(file.name, pointsOf(await file.text(), file.name));
    } catch (error) {
      say(error.message);
    }
  }
  e.file.onchange = () => {
    if (e.file.files[0]) readFile(e.file.files[0]);
    e.file.value = "";
  };
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    const { files } = event.dataTransfer;
    if (files.length === 1) readFile(files[0]);
    else say("Drop one file with one or two columns of numbers.");
  });

  // ---- buttons and keys

  e.speed.append(...SPEEDS.map(([value, label]) => make("label", {}, make("input",
    { type: "radio", name: "speed", value, onchange: () => chooseSpeed(value) }), label)));
  e.play.onclick = () => play(!isPlaying());
  e.step.onclick = () => step("both");
  e.d.onclick = () => step("D");
  e.g.onclick = () => step("G");
  e.next.onclick = nextStage;
  e.reset.onclick = reset;
  e.save.onclick = () => send({ do: "save" });
  const unfold = (value) => () => {
    unfolding = value;
    schedule();
  };
  e.unfold.addEventListener("pointerenter", unfold(true));
  e.unfold.addEventListener("pointerleave", unfold(false));
  e.unfold.addEventListener("click", () => unfold(!unfolding)());
  root.addEventListener("click", (event) => { // keys shall go to the page again, not to what was clicked last
    if (event.detail) event.target.closest("button, input[type=radio], input[type=checkbox]")?.blur();
  });

  const keys = {
    " ": () => play(!isPlaying()), ArrowRight: () => step("both"), s: () => step("both"), d: () => step("D"),
    g: () => step("G"), n: nextStage, r: reset, Escape: stopDrawing,
  };
  function key(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !(target === document.body || root.contains(target))) return;
    if (target.closest("select, input:not([type=checkbox], [type=radio], [type=range])")) return;
    if (event.key === " " && target.closest("button, input[type=checkbox]")) return; // space presses it
    if (event.key === "ArrowRight" && target.closest("input")) return;
    const seeds = frame?.header;
    if (/^\d$/.test(event.key) && seeds) {
      const seed = Array.from({ length: seeds.seeds }, (_, k) => k).find((k) => (seeds.first_seed + k) % 10 === +event.key);
      if (seed !== undefined) chooseSeed(seed);
    } else if (Object.hasOwn(keys, event.key) && !(event.repeat && event.key !== "ArrowRight")) {
      event.preventDefault();
      keys[event.key]();
    }
  }
  document.addEventListener("keydown", key);
  new ResizeObserver(() => {
    schedule();
    thumbsOf = "";
  }).observe(root);
  showDrawing();

  // ---- messages of the program

  function hello({ controls: list = [] }) {
    controls = new Map(list.map((control) => [control.name, control]));
    panel = controlPanel(list, change);
    e.panel.replaceChildren(make("p", { className: "soft", textContent: "\u2022 acts at once   \u21bb compiles first" }), ...panel.elements);
    if (frame) panel.show(frame.header.settings, pending);
    if (link0.size) obeyLink();
    if (!greeted) send({ do: "frame" });
    greeted = true;
  }
  function saved({ folder, command: line, changes }) {
    e.saved.hidden = false;
    const close = make("button", { type: "button", textContent: "Close", onclick: () => (e.saved.hidden = true) });
    e.saved.replaceChildren(make("p", {}, "Saved in ", make("code", { textContent: folder })),
      make("p", {}, "Command: ", make("code", { textContent: line })),
      make("p", { textContent: changes?.length ? `Changes in mid-run: ${changes.map((c) => (typeof c === "string" ? c : JSON.stringify(c))).join("; ")}` : "" }), close);
  }
  return {
    opened() {
      e.banner.hidden = true;
      root.classList.remove("stopped");
    },
    text(message) {
      if (message?.hello) hello(message.hello);
      if (message?.saved) saved(message.saved);
      if (message?.error) say(String(message.error));
    },
    frame(buffer) {
      try {
        frame = decoded(buffer);
        fresh = buffer.byteLength;
        schedule();
      } catch (error) {
        warn(error);
        requestAnimationFrame(() => send({ do: "frame" })); // the next one may fit
      }
    },
    closed() {
      walking = false;
      greeted = false;
      e.banner.hidden = false;
      write(e.banner, "The program has stopped. This page tries to reach it again every 2 seconds.");
      root.classList.add("stopped");
    },
  };
}
