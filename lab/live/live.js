// The view of a GAN in training, without any library. `mount(root, send)` builds it in the element `root` and returns
// {opened, text, frame, closed, removed}, which page.js feeds from a WebSocket and a notebook from its kernel; `send`
// takes a plain object. Every frame is complete in itself: nothing here remembers an earlier one. watch.js takes some
// helpers from here.

const { abs, ceil, floor, hypot, log10, max, min, round } = Math;

// ---------- colours

export const REAL = "#2f6fa8";
export const FAKE = "#c8553d";
export const OF_D = "#7b4fa3"; // the players: blue and orange-red stay for real and fake
export const OF_G = "#0a8a66";
const ALONG_Z2 = "#7a7a00"; // lines of G's lattice; those along z1 have G's colour; so in live.css
const OTHERS = ["#333", "#b07d12", "#7b4fa3", "#0a8a66", "#b0508f"]; // measures that share a chart
export const SOFT = "#6b6b6b";
export const RULE = "#e4e4e4";
export const FONT = '12px system-ui, "DejaVu Sans", sans-serif';
const SAYS_FAKE = [226, 132, 98]; // the ends of D's colours; white lies between them; so in live.css
const SAYS_REAL = [112, 164, 208];

/** Colours [red, green, blue] of 256 probabilities from 0 to 1, and the same as pixels of an image. */
const VERDICTS = Array.from({ length: 256 }, (_, i) => {
	const share = i / 127.5 - 1;
	return (share < 0 ? SAYS_FAKE : SAYS_REAL).map((end) => round(255 - abs(share) * (255 - end)));
});
const PIXELS = Uint32Array.from(VERDICTS, ([r, g, b]) => 0xff000000 | (b << 16) | (g << 8) | r);

/** Which of the 256 colours shows p; they reach from 1/2 - spread to 1/2 + spread. */
const colourOf = (p, spread) => clamp(round(127.5 + (127.5 * (p - 0.5)) / spread), 0, 255);

const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** How far from 1/2 the stretched colours reach: a round number above 98% of the shown ones. */
function stretched(probabilities, before) {
	const away = Array.from(probabilities.filter((p) => p >= 0), (p) => abs(p - 0.5)).sort((a, b) => a - b);
	const most = away[floor(0.98 * (away.length - 1))] || 1e-4;
	if (most <= before && most > 0.3 * before) return before; // no flicker between two scales
	return min(0.5, roundAbove(most));
}

// ---------- small helpers

function make(tag, properties = {}, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children);
	return element;
}

/** Writes only what has changed, which spares the browser a layout. */
function write(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

function resize(box, count, child) {
	while (box.children.length > count) box.lastChild.remove();
	while (box.children.length < count) box.append(child(box.children.length));
}

/** `action`, at most once in so many milliseconds; the last call is never lost, only late. */
function atMost(milliseconds, action) {
	let last = -Infinity;
	let timer = null;
	const act = () => {
		timer = null;
		last = performance.now();
		action();
	};
	return () => {
		const wait = last + milliseconds - performance.now();
		if (timer === null && wait <= 0) act();
		else timer ??= setTimeout(act, wait);
	};
}

export const clamp = (value, low, high) => max(low, min(high, value));
const ease = (t) => t * t * (3 - 2 * t);
export const whole = (value) => round(value).toLocaleString("en");
const same = (a, b) => a === b || (typeof a === "number" && abs(a - b) <= 1e-9 * abs(a)); // .999 is not .9995

/** A number of three digits, without an exponent where that is short: 0.00002, −0.15, 2,000. */
export function decimal(value) {
	const size = abs(value);
	if (value === 0 || !Number.isFinite(value)) return String(value);
	const text = size >= 1e7 || size < 1e-5 ? value.toExponential(0)
		: size >= 1000 ? whole(value) : +value.toFixed(max(0, 2 - floor(log10(size))));
	return String(text).replaceAll("-", "\u2212");
}

/** The next of ..., 0.5, 1, 2, 5, 10, ... that is not below a positive number. */
function roundAbove(value) {
	const power = 10 ** floor(log10(value));
	return +(power * [1, 2, 5, 10].find((digit) => digit * power >= 0.999 * value)).toPrecision(1);
}

/** Round numbers from low to high at equal distances; at least two. */
export function ticksOf(low, high, count = 4) {
	if (!(high > low)) return [low];
	const step = roundAbove((high - low) / count);
	const ticks = [];
	for (let k = ceil(low / step); k * step <= high; k++) ticks.push(+(k * step).toPrecision(9));
	return ticks.length > 1 || count > 20 ? ticks : ticksOf(low, high, 1.5 * count);
}

/** Round numbers on a log scale: some digits of each decade, or every k-th power of ten. */
export function logTicks(low, high) {
	const decades = log10(high / low);
	const digits = decades < 1 ? [1, 2, 3, 5, 7] : decades < 2 ? [1, 2, 5] : decades < 3 ? [1, 3] : [1];
	const ticks = [];
	for (let e = floor(log10(low)); e <= log10(high); e += ceil(decades / 6)) {
		for (const digit of digits) ticks.push(+`${digit}e${e}`);
	}
	const shown = ticks.filter((tick) => tick >= low && tick <= high);
	return shown.length > 1 ? shown : ticksOf(low, high, 3);
}

// ---------- a frame

/** Header and arrays of a binary frame, each with its shape; a frame that does not fit throws. */
function decoded(buffer) {
	const size = new DataView(buffer).getUint32(0, true);
	const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
	const arrays = {};
	for (const [name, [shape, offset]] of Object.entries(header.arrays)) {
		const count = shape.reduce((a, b) => a * b, 1);
		arrays[name] = Object.assign(new Float32Array(buffer, 4 + size + 4 * offset, count), { shape });
	}
	if (!arrays.logits || !header.settings || !header.view) throw new Error("a part is missing");
	return { header, arrays };
}

// ---------- controls

const POSITIONS = 200; // of a slider

/** A slider on a log scale, whose left end is 0 where `zero` is set; of a decay, by its distance from 1. */
function slider({ kind, low, high, zero }, changed) {
	const input = make("input", { type: "range", min: 0, max: POSITIONS });
	const output = make("span"); // <output> would take the label
	const decay = kind === "decay";
	const [from, to] = decay ? [high, low] : [low, high];
	const turned = (value) => (decay ? +(1 - value).toFixed(7) : value);
	const first = zero ? 1 : 0;
	const steps = POSITIONS - first;
	const valueAt = (at) => (at < first ? 0 : turned(+(from * (to / from) ** ((at - first) / steps)).toPrecision(3)));
	const positionOf = (value) =>
		max(first, round(first + (steps * Math.log(turned(value) / from)) / Math.log(to / from)));
	const tell = (value) => {
		const text = decay ? String(turned(turned(value))) : decimal(value);
		write(output, text);
		input.ariaValueText = text;
	};
	let pressed = false;
	input.onpointerdown = () => (pressed = true);
	input.onpointerup = input.onpointercancel = () => (pressed = false);
	input.oninput = () => {
		tell(valueAt(+input.value));
		changed(valueAt(+input.value));
	};
	const show = (value) => {
		input.value = value > 0 ? positionOf(value) : 0;
		tell(value);
	};
	return { elements: [output, input], held: () => pressed, show };
}

function choice({ values }, changed) {
	const texts = values.map((value) => String(value).replaceAll("_", " "));
	const input = make("select", {}, ...texts.map((textContent) => make("option", { textContent })));
	input.onchange = () => changed(values[input.selectedIndex]);
	const show = (value) => {
		if (!values.some((each) => same(each, value))) { // a distribution that was typed
			values.push(value);
			input.append(make("option", { textContent: String(value) }));
		}
		input.selectedIndex = values.findIndex((each) => same(each, value));
	};
	return { elements: [input], held: () => false, show };
}

function field(_, changed) {
	const input = make("input", { type: "text", spellcheck: false, placeholder: "such as beta 2 5" });
	let sent = ""; // or shown
	input.onchange = () => {
		if (input.value !== sent) changed((sent = input.value));
	};
	input.onkeydown = ({ key }) => { // without a value: false would keep the key from the field
		if (key === "Enter") input.onchange(); // also of a text that was put back
	};
	return {
		elements: [input], held: () => document.activeElement === input,
		show: (value) => (sent = input.value = value),
		text: () => input.value,
	};
}

/** All controls in their groups; `show(settings, pending)` leaves alone what the user holds or waits for. */
function controlPanel(controls, changed) {
	const parts = new Map();
	const rows = {};
	for (const control of controls) {
		const build = { slider, decay: slider, choice }[control.kind] ?? field;
		const part = build(control, (value) => changed(control, value));
		const { name, label, help = "", instant, group } = control;
		Object.assign(part.elements.at(-1), { name, title: help });
		const sign = make("i", { className: instant ? "instant" : "", textContent: instant ? "\u2022" : "\u21bb" });
		const text = make("span", { textContent: `${label} ` }, sign);
		(rows[group] ??= []).push(make("label", { className: control.kind, title: help }, text, ...part.elements));
		parts.set(name, part);
	}
	return {
		elements: Object.entries(rows).map(([group, labels]) =>
			make("fieldset", {}, make("legend", { textContent: group }), ...labels)),
		show(settings, pending) {
			for (const [name, part] of parts) {
				if (name in settings && !part.held() && !pending(name)) part.show(settings[name]);
			}
		},
		/** The focused control's name and its text, which `restore` puts into the panel that replaces this one. */
		released() {
			const [name, part] = [...parts].find(([, { elements }]) => elements.at(-1).matches(":focus")) ?? [];
			if (!name) return null;
			const text = part.text?.();
			part.elements.at(-1).onchange = null; // browsers call it when the field is taken away, in the middle of a word
			return { name, text };
		},
		restore({ name, text }) {
			const input = parts.get(name)?.elements.at(-1);
			if (typeof text === "string" && input) input.value = text;
			input?.focus({ preventScroll: true });
		},
	};
}

// ---------- on a canvas

/** The context of a canvas, wiped, in CSS pixels; sharp on dense screens too. */
export function surface(canvas) {
	const scale = min(2, window.devicePixelRatio || 1);
	const { clientWidth: width, clientHeight: height } = canvas;
	if (canvas.width !== round(width * scale)) canvas.width = round(width * scale);
	if (canvas.height !== round(height * scale)) canvas.height = round(height * scale);
	const ctx = canvas.getContext("2d");
	ctx.setTransform(scale, 0, 0, scale, 0, 0);
	ctx.clearRect(0, 0, width, height);
	ctx.font = FONT;
	return { ctx, width, height };
}

/** Pixels {x, y} of n samples, from functions of a sample's index. */
function places(n, x, y) {
	const all = { length: n };
	return { x: Float32Array.from(all, (_, i) => x(i)), y: Float32Array.from(all, (_, i) => y(i)) };
}

/** On the way from one place, t = 0, to another, t = 1. */
const between = (from, to, t) =>
	places(from.x.length, (i) => from.x[i] + t * (to.x[i] - from.x[i]), (i) => from.y[i] + t * (to.y[i] - from.y[i]));

function squares(ctx, at, colour, size = 3, alpha = 1) {
	ctx.fillStyle = colour;
	ctx.globalAlpha = alpha;
	for (let i = 0; i < at.x.length; i++) ctx.fillRect(at.x[i] - size / 2, at.y[i] - size / 2, size, size);
	ctx.globalAlpha = 1;
}

/** Discs in the colour of D's verdict; the rim says whether they are real or fake. */
function judged(ctx, at, logits, rim, spread) {
	ctx.strokeStyle = rim;
	ctx.lineWidth = 1.3;
	for (let i = 0; i < at.x.length; i++) {
		ctx.fillStyle = `rgb(${VERDICTS[colourOf(sigmoid(logits[i]), spread)]})`;
		ctx.beginPath();
		ctx.arc(at.x[i], at.y[i], 3.5, 0, 7);
		ctx.fill();
		ctx.stroke();
	}
}

function stroke(ctx, colour, width = 1, dash = []) {
	ctx.strokeStyle = colour;
	ctx.lineWidth = width;
	ctx.setLineDash(dash);
	ctx.stroke();
	ctx.setLineDash([]);
}

/** Arrows by pixels `by`, in one scale: nine of ten are at most `reach` long, none twice that. */
function arrows(ctx, at, by, reach) {
	const lengths = Array.from(by.x, (dx, i) => hypot(dx, by.y[i]));
	const known = lengths.filter((length) => length >= 0).sort((a, b) => a - b);
	const long = known[floor(0.9 * (known.length - 1))];
	ctx.beginPath();
	for (const [i, length] of lengths.entries()) {
		const scale = min(reach / long, (2 * reach) / length);
		if (!(length * scale > 1.5)) continue;
		const [x, y] = [at.x[i] + scale * by.x[i], at.y[i] + scale * by.y[i]];
		const angle = Math.atan2(by.y[i], by.x[i]);
		const head = min(4, 0.5 * length * scale);
		ctx.moveTo(at.x[i], at.y[i]);
		for (const turn of [-0.45, 0.45]) {
			ctx.lineTo(x, y);
			ctx.lineTo(x - head * Math.cos(angle + turn), y - head * Math.sin(angle + turn));
			ctx.moveTo(x, y);
		}
	}
	stroke(ctx, "#333c", 0.9);
}

/** The path through n points, with gaps where a value is unknown. */
function path(ctx, n, x, y) {
	ctx.beginPath();
	for (let i = 0, down = false; i < n; i++) {
		const known = !Number.isNaN(y(i));
		if (known) ctx[down ? "lineTo" : "moveTo"](x(i), y(i));
		down = known;
	}
}

function level(ctx, left, right, y, colour, dash) {
	ctx.beginPath();
	ctx.moveTo(left, round(y) + 0.5);
	ctx.lineTo(right, round(y) + 0.5);
	stroke(ctx, colour, 1, dash);
}

/** The area between the last path and a base line. */
function shade(ctx, left, right, base, colour) {
	ctx.lineTo(right, base);
	ctx.lineTo(left, base);
	ctx.globalAlpha = 0.22;
	ctx.fillStyle = colour;
	ctx.fill();
	ctx.globalAlpha = 1;
}

/** A text in a white halo; returns where the next one may begin. */
function words(ctx, text, x, y, colour = SOFT, align = "left") {
	ctx.textAlign = align;
	ctx.strokeStyle = "#fffc";
	ctx.lineWidth = 3;
	ctx.strokeText(text, x, y);
	ctx.fillStyle = colour;
	ctx.fillText(text, x, y);
	return x + ctx.measureText(text).width + 12;
}

// ---------- slow motion

const NONE = 6; // where there is no stage, of 0 to 5

/** A stage, in the plane or on the line; `at` holds the pixels of its samples. */
function drawStage(ctx, index, at, arrays, { time, spread }, reach) {
	const t = ease(time);
	if (index === 0) squares(ctx, at.latents, OF_G, 4);
	if (index === 1) squares(ctx, between(at.latents, at.fakes, t), FAKE, 4);
	if (index === 2 || index === 3) {
		const rise = index === 2 ? t : 1;
		judged(ctx, between(at.real, at.realJudged, rise), arrays.stage_d_real, REAL, spread);
		judged(ctx, between(at.fakes, at.fakesJudged, rise), arrays.stage_d_fake, FAKE, spread);
	}
	if (index === 4) {
		squares(ctx, at.fakes, FAKE, 4);
		arrows(ctx, at.fakes, at.pushes, reach);
	}
	if (index === 5) {
		const now = between(at.fakes, at.moved ?? at.fakes, t);
		ctx.beginPath();
		now.x.forEach((x, i) => {
			ctx.moveTo(at.fakes.x[i], at.fakes.y[i]);
			ctx.lineTo(x, now.y[i]);
		});
		stroke(ctx, "#c8553d88");
		squares(ctx, now, FAKE, 4);
	}
}

/** The words for the dots of the latents, whose places are from -1 to 1. */
const latentWords = ({ latent }) =>
	`the first two numbers of z${latent === "uniform" ? "" : ", in equal steps of probability"}`;

// ---------- scene of the plane

const LATENT_SHARE = 0.86; // of the picture's side, for the latent square

function planeAxes([middleX, middleY, reach], side) {
	const unit = side / (2 * reach);
	return {
		unit, side,
		x: (value) => (value - middleX + reach) * unit,
		y: (value) => side - (value - middleY + reach) * unit,
		data: (px, py) => [px / unit - reach + middleX, (side - py) / unit - reach + middleY],
	};
}

/** Pixels of points [2, n], and of shifts [2, n]. */
function inPlane(array, axes) {
	const n = array.length / 2;
	return places(n, (i) => axes.x(array[i]), (i) => axes.y(array[n + i]));
}
const shifts = (array, { unit }) => inPlane(array, { x: (value) => unit * value, y: (value) => -unit * value });

const rasters = []; // small images, one for each size, that are scaled up

/** Probabilities [R, R] as colours over the whole square; unknown ones are left out. */
function drawHeat(ctx, probabilities, size, side, spread) {
	rasters[size] ??= [make("canvas", { width: size, height: size }), new ImageData(size, size)];
	const [canvas, image] = rasters[size];
	const pixels = new Uint32Array(image.data.buffer);
	for (let i = 0; i < pixels.length; i++) {
		const p = probabilities[size * (size - 1) - i + 2 * (i % size)]; // row 0 of the array is the lowest
		pixels[i] = Number.isNaN(p) ? 0 : PIXELS[colourOf(p, spread)];
	}
	canvas.getContext("2d").putImageData(image, 0, 0);
	ctx.drawImage(canvas, 0, 0, side, side);
}

/** G's image of a lattice of the latent square; bend 0 is the lattice itself, 1 its image. */
function drawLattice(ctx, sheet, axes, bend) {
	const n = sheet.shape[1];
	const flat = (k) => axes.side * (0.5 + LATENT_SHARE * (k / (n - 1) - 0.5));
	const x = (row, column) => (1 - bend) * flat(column) + bend * axes.x(sheet[row * n + column]);
	const y = (row, column) => (1 - bend) * flat(n - 1 - row) + bend * axes.y(sheet[n * n + row * n + column]);
	for (let k = 0; k < n; k += 2) {
		path(ctx, n, (i) => x(k, i), (i) => y(k, i));
		stroke(ctx, OF_G, 0.8);
		path(ctx, n, (i) => x(i, k), (i) => y(i, k));
		stroke(ctx, ALONG_Z2, 0.8);
	}
}

function planeStage(arrays, axes) {
	const z = arrays.stage_z;
	const n = z.shape[1];
	const [middle, half] = [axes.side / 2, (LATENT_SHARE * axes.side) / 2];
	const fakes = inPlane(arrays.stage_fakes, axes);
	const real = inPlane(arrays.stage_real, axes);
	return {
		latents: places(n, (i) => middle + half * z[i], (i) => middle - half * z[n + i]),
		fakes, real, fakesJudged: fakes, realJudged: real,
		pushes: shifts(arrays.stage_pushes, axes),
		moved: arrays.stage_moved && inPlane(arrays.stage_moved, axes),
	};
}

function drawPlane(canvas, { header, arrays }, look) {
	const { ctx, width: side } = surface(canvas);
	const axes = planeAxes(header.view, side);
	const { layers, probabilities, spread } = look;
	const stage = header.stage?.index ?? NONE;
	const bend = [0, ease(look.time)][stage] ?? (layers.lattice ? look.bend : 1);
	ctx.globalAlpha = stage < NONE ? 1 : bend; // the flat lattice is not the square of the data
	if (layers.heat && stage >= 2) drawHeat(ctx, probabilities, arrays.logits.shape[0], side, spread);
	ctx.globalAlpha = 1;
	if (layers.lattice && (stage < 2 || stage === NONE)) drawLattice(ctx, arrays.sheet, axes, bend);
	if (stage < NONE) {
		const edge = ((1 - LATENT_SHARE) / 2) * side;
		if (stage === 0) {
			ctx.strokeStyle = "#bbb";
			ctx.strokeRect(edge, edge, side - 2 * edge, side - 2 * edge);
			words(ctx, `latent square: ${latentWords(header.settings)}`, edge, edge - 7);
		} else if (layers.real) squares(ctx, inPlane(arrays.stage_real, axes), REAL, 3, 0.5);
		return drawStage(ctx, stage, planeStage(arrays, axes), arrays, look, 0.07 * side);
	}
	if (layers.real) squares(ctx, inPlane(arrays.real, axes), REAL, 3, bend);
	const fakes = inPlane(arrays.fakes, axes);
	if (layers.fakes) squares(ctx, fakes, FAKE, 3, bend);
	if (layers.pushes && bend === 1) arrows(ctx, fakes, shifts(arrays.pushes, axes), 0.06 * side);
}

/** The square beside it: the best answer to G, in the same colours. */
function drawBest(canvas, { header, arrays: { optimal, real } }, { layers, spread }) {
	const { ctx, width: side } = surface(canvas);
	const axes = planeAxes(header.view, side);
	drawHeat(ctx, optimal, optimal.shape[0], side, spread);
	if (layers.real) squares(ctx, inPlane(real, axes), REAL, 2);
}

// ---------- scene of the line

/** Densities are above, samples on the axis below them, D's probability is at the bottom. */
function lineAxes([low, high], width, height) {
	const [left, right, top, base] = [30, width - 12, 24, round(0.55 * height)];
	const [one, zero] = [round(0.71 * height), height - 22]; // D(x) = 1, D(x) = 0
	return {
		left, right, top, base, zero, one,
		x: (value) => left + ((value - low) / (high - low)) * (right - left),
		data: (px) => low + clamp((px - left) / (right - left), 0, 1) * (high - low),
		probability: (p) => zero - p * (zero - one),
	};
}

/** The highest density in the picture, which a spike of fakes may leave. */
function densityTop(p, q) {
	const most = (values) => values.reduce((high, value) => (value > high ? value : high), 0);
	return 1.1 * max(most(p), min(most(q), 2 * most(p))) || 1;
}

function drawLineAxes(ctx, view, axes) {
	level(ctx, axes.left, axes.right, axes.base, "#999");
	for (const [p, text, colour] of [[0, "0", "#999"], [0.5, "\u00bd", "#ccc"], [1, "1", RULE]]) {
		level(ctx, axes.left, axes.right, axes.probability(p), colour);
		words(ctx, text, axes.left - 6, axes.probability(p) + 4, SOFT, "right");
	}
	for (const tick of ticksOf(...view, 7)) words(ctx, decimal(tick), axes.x(tick), axes.zero + 16, SOFT, "center");
}

function drawDensity(ctx, x, values, axes, top, colour) {
	const unit = (axes.base - axes.top) / top;
	path(ctx, x.length, (i) => axes.x(x[i]), (i) => axes.base - unit * min(1.03 * top, values[i]));
	stroke(ctx, colour, 1.8);
	shade(ctx, axes.left, axes.right, axes.base, colour);
}

function drawProbability(ctx, x, values, axes, colour, dash) {
	path(ctx, x.length, (i) => axes.x(x[i]), (i) => axes.probability(values[i]));
	stroke(ctx, colour, 1.8, dash);
}

/** Fakes as ticks on the axis; their arrows have different heights, so that they are seen apart. */
function drawTicks(ctx, { fakes, pushes }, axes, layers) {
	ctx.beginPath();
	for (const x of fakes) {
		ctx.moveTo(axes.x(x), axes.base + 1);
		ctx.lineTo(axes.x(x), axes.base + 8);
	}
	if (layers.fakes) stroke(ctx, FAKE);
	if (!layers.pushes || !pushes) return;
	const at = places(pushes.length, (i) => axes.x(fakes[i]), (i) => axes.base + 12 + 5 * (i % 7));
	arrows(ctx, at, { x: pushes, y: new Float32Array(pushes.length) }, 0.06 * (axes.right - axes.left));
}

function lineStage(arrays, axes) {
	const z = arrays.stage_z;
	const [rows, n] = z.shape;
	const middle = [(axes.left + axes.right) / 2, (axes.top + axes.base) / 2];
	const half = [0.47 * (axes.right - axes.left), 0.4 * (axes.base - axes.top)];
	const on = (array, y) => places(array.length, (i) => axes.x(array[i]), y);
	const below = (i) => axes.base + 6 + 4 * (i % 9);
	const verdict = (logits) => (i) => axes.probability(sigmoid(logits[i]));
	return {
		latents: places(n, (i) => middle[0] + half[0] * z[i], (i) => middle[1] - (rows > 1 ? half[1] * z[n + i] : 0)),
		fakes: on(arrays.stage_fakes, below),
		real: on(arrays.stage_real, () => axes.base),
		fakesJudged: on(arrays.stage_fakes, verdict(arrays.stage_d_fake)),
		realJudged: on(arrays.stage_real, verdict(arrays.stage_d_real)),
		pushes: { x: arrays.stage_pushes, y: new Float32Array(n) },
		moved: arrays.stage_moved && on(arrays.stage_moved, below),
	};
}

function drawLine(canvas, { header, arrays }, look) {
	const { ctx, width, height } = surface(canvas);
	const axes = lineAxes(header.view, width, height);
	const { layers, probabilities } = look;
	const stage = header.stage?.index ?? NONE;
	const { x, p, q, optimal } = arrays;
	const [fakes, d, best] = [layers.fakes && stage > 0, layers.heat && stage >= 2, layers.optimal && optimal];
	drawLineAxes(ctx, header.view, axes);
	if (layers.real) drawDensity(ctx, x, p, axes, densityTop(p, q), REAL);
	if (fakes) drawDensity(ctx, x, q, axes, densityTop(p, q), FAKE);
	if (best) drawProbability(ctx, x, optimal, axes, "#555", [6, 4]);
	if (d) drawProbability(ctx, x, probabilities, axes, OF_D);
	let end = axes.left;
	if (layers.real) end = words(ctx, `${header.estimated ? "estimated " : ""}density of real`, end, axes.top - 8, REAL);
	if (fakes) end = words(ctx, "density of fakes", end, axes.top - 8, FAKE);
	if (stage === 0) words(ctx, `dots: ${latentWords(header.settings)}`, end, axes.top - 8, OF_G);
	end = axes.left;
	const saysD = header.logistic ? "D(x): probability that x is real" : "sigmoid of D's score at x";
	if (d) end = words(ctx, saysD, end, axes.one - 7, OF_D);
	if (best) words(ctx, "dashed: D* = p / (p + q)", end, axes.one - 7, "#555");
	if (stage < NONE) drawStage(ctx, stage, lineStage(arrays, axes), arrays, look, 0.07 * (axes.right - axes.left));
	else drawTicks(ctx, arrays, axes, layers);
}

// ---------- curves

const LN2 = Math.LN2;
const UNDECIDED = "if D = \u00bd everywhere"; // as at the equilibrium
/** Losses of D and of G there, for the games that have a number. */
const AT_EQUILIBRIUM = {
	non_saturating: [[UNDECIDED, 2 * LN2, OF_D], [UNDECIDED, LN2, OF_G]],
	minimax: [[UNDECIDED, 2 * LN2, OF_D], [UNDECIDED, -LN2, OF_G]],
};

/** One line of a chart: `at(i, q)` is, in row i, the 10% value, the median, the 90% value, the shown seed's. */
const lineOf = (label, colour, array, column) =>
	({ label, colour, at: (i, q) => array[4 * (i * array.shape[1] + column) + q] });

/** The losses, then the measures; those with the same `charts` share a chart. */
function chartsOf({ header, arrays }) {
	const losses = [lineOf("D", OF_D, arrays.curves, 0), lineOf("G", OF_G, arrays.curves, 1)];
	const floors = AT_EQUILIBRIUM[header.settings.loss] ?? [];
	const charts = { losses: { title: "Losses", steps: arrays.curve_steps, lines: losses, floors } };
	header.measures.forEach(({ label, log, floor, top, charts: key }, k) => {
		const steps = arrays.measure_steps;
		const chart = (charts[`of ${key}`] ??= { title: "", steps, log, lines: [], floors: [] });
		const colour = OTHERS[chart.lines.length % OTHERS.length];
		chart.lines.push(lineOf(label, colour, arrays.measures, k));
		chart.top = top ?? chart.top;
		const text = abs(floor + 2 * LN2) < 1e-4 ? UNDECIDED : "perfect sampler";
		if (typeof floor === "number") chart.floors.push([text, floor, colour]);
	});
	return Object.values(charts);
}

/** Another one: the chart has to be drawn again. A turn that leaves the step as it is changes the last numbers. */
const signature = ({ steps, lines, floors }, seed, { clientWidth, clientHeight }) => {
	const last = lines.map(({ label, at }) => [label, ...[0, 1, 2, 3].map((q) => at(steps.length - 1, q))]);
	return [steps.length, steps.at(-1), last, floors, seed, clientWidth, clientHeight].join();
};

/** Lowest and highest value of a chart, with some room but no spikes; null without any. */
function chartRange({ steps, lines, floors, log, top }) {
	const known = lines.flatMap(({ at }) => Array.from(steps, (_, i) => [0, 1, 2, 3].map((q) => at(i, q)))).flat()
		.filter((value) => Number.isFinite(value) && (!log || value > 0)).sort((a, b) => a - b);
	if (!known.length) return null;
	const shown = [known[0], known[round((log ? 1 : 0.98) * (known.length - 1))], ...floors.map(([, value]) => value)];
	if (top && !log) shown.push(0, top);
	const [low, high] = [min(...shown), max(...shown)];
	if (log) return high > 1.2 * low ? [low / 1.15, high * 1.15] : [low / 1.5, high * 1.5];
	const room = max(0.05 * (high - low), 0.01 * abs(high), 1e-9);
	return [low >= 0 && low < room ? 0 : low - room, high + room];
}

function chartAxes({ steps, log }, [low, high], width, height) {
	const [left, right, top, bottom] = [46, width - 56, 24, height - 20];
	const scaled = log ? Math.log : Number;
	const share = (value) => (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
	const last = max(1, steps.at(-1));
	return {
		left, right, top, bottom, last,
		x: (step) => left + (step / last) * (right - left),
		y: (value) => (log && value <= 0 ? bottom : clamp(bottom - share(value) * (bottom - top), top, bottom)),
	};
}

function drawChartAxes(ctx, { log }, range, axes) {
	for (const tick of log ? logTicks(...range) : ticksOf(...range)) {
		level(ctx, axes.left, axes.right, axes.y(tick), RULE);
		words(ctx, decimal(tick), axes.left - 6, axes.y(tick) + 4, SOFT, "right");
	}
	const ticks = ticksOf(0, axes.last, axes.right - axes.left > 300 ? 4 : 3).filter(Number.isInteger);
	ticks.forEach((tick, i, all) => {
		words(ctx, whole(tick) + (i === all.length - 1 ? " steps" : ""), axes.x(tick), axes.bottom + 15, SOFT, "center");
	});
}

/** The band from 10% to 90% of the seeds, their median, and the shown seed dashed. */
function drawCurve(ctx, { steps }, { at, colour }, axes) {
	const n = steps.length;
	const row = (i) => (i < n ? i : 2 * n - 1 - i); // there along 90%, back along 10%
	path(ctx, 2 * n, (i) => axes.x(steps[row(i)]), (i) => axes.y(at(row(i), i < n ? 2 : 0)));
	ctx.globalAlpha = 0.18;
	ctx.fillStyle = colour;
	ctx.fill();
	ctx.globalAlpha = 1;
	path(ctx, n, (i) => axes.x(steps[i]), (i) => axes.y(at(i, 1)));
	stroke(ctx, colour, 1.7);
	path(ctx, n, (i) => axes.x(steps[i]), (i) => axes.y(at(i, 3)));
	stroke(ctx, colour, 1, [3, 3]);
}

/** The last medians beside the ends of their lines, moved apart where they are close. */
function drawEnds(ctx, { steps, lines }, axes) {
	const ends = lines.map(({ at, colour }) => [at(steps.length - 1, 1), colour]).filter(([value]) => !isNaN(value));
	let lowest = -Infinity;
	for (const [value, colour] of ends.sort((a, b) => b[0] - a[0])) {
		lowest = max(clamp(axes.y(value), axes.top, axes.bottom) + 4, lowest + 13);
		words(ctx, decimal(value), axes.right + 5, lowest, colour);
	}
}

/** Where words begin so that the fewest points of curves are behind them: on the left, in the middle or right. */
function freePlace(ctx, { steps, lines }, axes, text, y) {
	const { width } = ctx.measureText(text);
	const behind = (x) => lines.reduce((count, { at }) => count + steps.reduce((sum, step, i) => {
		const beside = axes.x(step) < x || axes.x(step) > x + width;
		return beside ? sum : sum + [0, 1, 2, 3].filter((q) => abs(axes.y(at(i, q)) - y + 4) < 5).length;
	}, 0), 0);
	const places = [0, 0.5, 1].map((share) => axes.left + 4 + share * (axes.right - axes.left - width - 8));
	return places.sort((a, b) => behind(a) - behind(b))[0];
}

function drawChart(canvas, chart) {
	const { ctx, width, height } = surface(canvas);
	let end = chart.title ? words(ctx, chart.title, 6, 14, "#222") : 6;
	for (const { label, colour } of chart.lines) end = words(ctx, label, end, 14, colour);
	const range = chartRange(chart);
	if (!range) return words(ctx, "no numbers", 46, height / 2); // the value of the game has none for some losses
	const axes = chartAxes(chart, range, width, height);
	drawChartAxes(ctx, chart, range, axes);
	for (const line of chart.lines) drawCurve(ctx, chart, line, axes);
	for (const [text, value, colour] of chart.floors) {
		const y = axes.y(value);
		const below = y > (axes.top + axes.bottom) / 2 ? -4 : 13; // of the words
		level(ctx, axes.left, axes.right, y, colour, [7, 4]);
		words(ctx, text, freePlace(ctx, chart, axes, text, y + below), y + below, colour);
	}
	drawEnds(ctx, chart, axes);
}

/** What a chart says, for those who do not see it. */
function chartWords({ title, steps, lines }) {
	const i = steps.length - 1;
	const numbers = (at) => (i < 0 ? "no numbers yet" : `median ${decimal(at(i, 1))}, shown seed ${decimal(at(i, 3))}`);
	return lines.map(({ label, at }) => `${title} ${label}: ${numbers(at)}`).join("; ");
}

// ---------- thumbnails

function thumbPlane(canvas, { header, arrays }, k) {
	const { ctx, width } = surface(canvas);
	const n = arrays.thumbs.shape[2];
	const points = arrays.thumbs.subarray(2 * n * k, 2 * n * (k + 1));
	squares(ctx, inPlane(points, planeAxes(header.view, width)), FAKE, 1.6);
}

function thumbLine(canvas, { arrays }, k) {
	const { ctx, width, height } = surface(canvas);
	const n = arrays.thumbs.shape[1];
	const real = arrays.thumb_p;
	const fake = arrays.thumbs.subarray(n * k, n * (k + 1));
	const unit = (height - 6) / densityTop(real, fake);
	for (const [values, colour] of [[real, REAL], [fake, FAKE]]) {
		path(ctx, n, (i) => (i / (n - 1)) * width, (i) => height - 1 - unit * values[i]);
		stroke(ctx, colour, 1.2);
	}
}

/** A button for each seed, with a small picture of its fakes. */
function showThumbs(box, frame, choose) {
	const { kind, seeds, seed, first_seed: first } = frame.header;
	const picture = () => make("canvas", { role: "img", ariaLabel: "fakes of seed" });
	resize(box, seeds, (k) => make("button", { onclick: () => choose(k) }, picture(), make("span")));
	[...box.children].forEach((button, k) => {
		write(button.lastChild, String(first + k));
		button.ariaPressed = k === seed;
		(kind === "plane" ? thumbPlane : thumbLine)(button.firstChild, frame, k);
	});
}

// ---------- drawing, files

const SENT = 20000; // points at most, evenly chosen
const NUMBERS = 4000; // that are drawn from a density
const BINS = 120; // of a density
const short = (value) => +value.toPrecision(7); // as many digits as a float32 has

const thinned = (rows) =>
	rows.length <= SENT ? rows : Array.from({ length: SENT }, (_, i) => rows[floor((i * rows.length) / SENT)]);

/** Rows of one or two numbers from a file's text; throws a sentence if it holds others. */
function pointsOf(text, name) {
	const rows = [];
	const lines = text.split(/\r\n|\r|\n/).map((line, i) => ({ line: line.trim(), number: i + 1 }));
	lines.filter(({ line }) => line && line[0] !== "#").forEach(({ line, number }, i) => {
		const row = line.split(/\s*[,;\t]\s*|\s+/).map((cell) => (cell ? short(+cell) : NaN));
		const width = rows[0]?.length ?? min(row.length, 2);
		if (row.length === width && row.every(Number.isFinite)) rows.push(row);
		else if (i > 0 || row.some(Number.isFinite)) { // the first line may name the columns
			const expected = rows.length ? width : "one or two";
			throw new Error(`${name}, line ${number}, "${line.slice(0, 40)}": expected ${expected} number(s).`);
		}
	});
	if (rows.length < 2) throw new Error(`${name} holds fewer than two rows of numbers.`);
	return thinned(rows);
}

/** Points in the plane, along the strokes. */
function planeDrawing() {
	const points = []; // in the data's unit
	return {
		add: (px, py, axes) => points.push(axes.data(px, py).map(short)),
		paint(ctx, axes) {
			squares(ctx, places(points.length, (i) => axes.x(points[i][0]), (i) => axes.y(points[i][1])), REAL, 4);
		},
		samples: () => thinned(points),
		hint: () => `${whole(points.length)} points; draw where real points shall be`,
		enough: () => points.length >= 40,
		missing: "Draw at least 40 points first.",
	};
}

/** A density, drawn as heights over x, from which numbers are drawn. */
function lineDrawing() {
	const heights = new Float64Array(BINS); // as a share of the room above the axis
	return {
		add(px, py, axes) {
			const bin = floor(((px - axes.left) / (axes.right - axes.left)) * BINS);
			heights[clamp(bin, 0, BINS - 1)] = clamp((axes.base - py) / (axes.base - axes.top), 0, 1);
		},
		paint(ctx, axes) {
			const x = (i) => axes.left + ((i + 0.5) / BINS) * (axes.right - axes.left);
			path(ctx, BINS, x, (i) => axes.base - heights[i] * (axes.base - axes.top));
			stroke(ctx, REAL, 2);
			shade(ctx, axes.left, axes.right, axes.base, REAL);
		},
		samples: (axes) => inverseTransform(heights, axes.data(axes.left), axes.data(axes.right)),
		hint: () => `draw the density of real numbers; ${whole(NUMBERS)} are drawn from it`,
		enough: () => heights.some(Boolean),
		missing: "Draw a curve above the axis first.",
	};
}

/** Numbers [[x], ...] from a density that is constant over each bin of [low, high]. */
function inverseTransform(heights, low, high) {
	const total = heights.reduce((a, b) => a + b);
	let [bin, passed] = [0, 0]; // and the mass of the bins before it
	return Array.from({ length: NUMBERS }, (_, i) => {
		const mass = ((i + Math.random()) / NUMBERS) * total;
		while (bin < BINS - 1 && passed + heights[bin] < mass) passed += heights[bin++];
		const inside = clamp((mass - passed) / (heights[bin] || 1), 0, 1);
		return [short(low + ((bin + inside) / BINS) * (high - low))];
	});
}

// ---------- url

function valueOf({ kind, values }, text) {
	const number = typeof values[0] === "number" && text.trim() !== "" && !Number.isNaN(+text);
	if (kind === "choice") return values.find((value) => String(value) === text) ?? (number ? +text : text);
	return kind === "text" ? text : +text;
}

// ---------- the whole view

const STAGE = 1200; // milliseconds that a stage of slow motion is shown
const AGAIN = 1000; // milliseconds until a frame is asked for again after an error
const MOTION = 700; // milliseconds that points take to move, and the lattice to unfold
const LAYERS = { // labels in the plane and on the line, where some have none
	heat: ["D's probability", "D"], stretched: ["colours stretched"], optimal: ["D* beside it", "D*"],
	real: ["real", "real"], fakes: ["fakes", "fakes"], pushes: ["pushes on fakes", "pushes on fakes"],
	lattice: ["G's lattice"], seeds: ["every seed", "every seed"],
};
/** What D's output is: for other losses than the logistic ones it is no probability. */
const opinion = ({ logistic }) => (logistic ? "D's probability" : "sigmoid of D's score");
const SKELETON = `
<p class="banner" role="alert" hidden>The program has stopped. The page looks for it every 2 seconds.</p>
<header>
	<button class="play">Play</button>
	<button class="step">Step</button>
	<button class="d">D alone</button>
	<button class="g">G alone</button>
	<button class="reset">Reset</button>
	<span class="speeds" role="group" aria-label="speed"><i>speed</i><button
		value="stages">slow motion</button><button value="1">20 steps/s</button><button
		value="10">200 steps/s</button><button value="fast">fast</button></span>
	<button class="next" hidden>Next stage</button>
	<strong class="count"></strong>
	<button class="save">Save as run</button>
</header>
<p class="messages"><span class="rate"></span> <i class="busy" role="status"></i>
	<b class="notice" aria-live="polite"></b></p>
<p class="spoken" aria-live="polite"></p>
<section class="saved" aria-live="polite" hidden></section>
<div class="body">
	<div class="view">
		<div class="tools"><span class="layers"></span><button class="unfold" aria-pressed="false">unfold</button>
			<span class="along">lines <i>along z1</i> <b>along z2</b></span></div>
		<div class="pair"><canvas class="scene" role="img"></canvas>
			<figure class="beside"><canvas class="best" role="img" aria-label="the best answer D*"></canvas>
				<figcaption>D* = p / (p + q): the best answer to these fakes; grey: unknown</figcaption></figure></div>
		<p class="bar"><span></span><i></i><span></span></p>
		<p class="caption" aria-live="polite"></p>
		<div class="tools">
			<button class="draw">Draw a distribution</button>
			<button class="train">Train on it</button>
			<button class="cancel">Cancel</button>
			<label class="file"><input class="open" type="file" accept=".csv,.txt,.tsv">Open a file</label>
			<span class="hint"></span></div>
		<div class="thumbs" role="group" aria-label="fakes of every seed"></div>
	</div>
	<div class="curves"><div class="charts"></div>
		<p class="soft">Line: median of the seeds; band: 10% to 90% of them; dashed: the shown one.</p></div>
	<aside class="panel" aria-label="settings"></aside>
</div>
<p class="keys">Keys: <kbd>space</kbd> play or pause <kbd>→</kbd> or <kbd>s</kbd> one step <kbd>d</kbd> D alone
	<kbd>g</kbd> G alone <kbd>n</kbd> next stage <kbd>r</kbd> reset <kbd>0</kbd> … <kbd>9</kbd> that seed
	<kbd>Esc</kbd> leave the drawing</p>`;

/** Builds the view in `root`. With `link` the settings that the user changes stand in the page's address. */
export function mount(root, send, link = false) {
	root.classList.add("gan-live");
	root.innerHTML = SKELETON;
	const e = Object.fromEntries([...root.querySelectorAll("[class]")].map((each) => [each.className, each]));
	const stats = (window.live = { frames: 0, bytes: 0, drawMs: 0, step: 0, header: null, latencies: [] });
	const layers = { heat: true, real: true, fakes: true, pushes: true, seeds: true, // what is shown at first
		stretched: false, optimal: false, lattice: false };
	const look = { layers, flat: 0, bend: 1, spread: 0.5, time: 1, probabilities: [] }; // how a frame is shown
	const waiting = new Map(); // changes that no frame has shown yet: name -> {at, shown}
	const chosen = new Map(); // what the address has to hold
	let asked = new Map(link ? new URLSearchParams(location.hash.slice(1)) : []); // what it held, until that is told
	let [frame, fresh, kind] = [null, 0, ""]; // the last frame, its bytes until it is painted, its kind
	let [controls, panel, panelKind, greeted] = [new Map(), null, "", false]; // of the program's greeting
	let [speed, walking, walker] = ["", false, null]; // walking: slow motion plays, by this page's timer
	let [stageKey, stageBegan, painted, scheduled] = ["", 0, 0, false];
	let [pointedAt, pinned, drawing] = [false, false, null]; // how the lattice is kept unfolded; a drawing
	let own = ""; // a sentence of the page itself, about a file or a drawing
	let warned = false;

	/** Runs a part of the painting; what does not fit is skipped, and said once. */
	function timed(action) {
		const began = performance.now();
		try {
			action();
		} catch (error) {
			if (!warned) console.warn("skipped:", error.message);
			warned = true;
		}
		stats.drawMs += performance.now() - began;
	}

	// ---- commands

	/** Notes a change, to measure the time until a frame shows it. */
	function expect(name, shown) {
		waiting.set(name, { at: performance.now(), shown });
		own = "";
	}
	function command(message, shown) {
		expect(message.do, shown);
		send(message);
	}
	const isPlaying = () => (speed === "stages" ? walking : Boolean(frame?.header.playing));

	function play(value) {
		own = "";
		walking = value && speed === "stages";
		if (walking) walk();
		else if (speed !== "stages") command({ do: "play", value }, (header) => header.playing === value);
		showPlaying();
	}
	/** Asks for a stage; the next one follows when this has been seen, or when no answer comes. */
	function walk() {
		clearTimeout(walker);
		if (!walking) return;
		send({ do: "stage" });
		walker = setTimeout(walk, 5000);
	}
	function nextStage() {
		walking = false;
		own = "";
		send({ do: "stage" });
	}
	function step(players) {
		walking = false;
		const from = stats.step;
		command({ do: "step", players }, (header) => header.step !== from);
	}
	function setSpeed(value) {
		const goOn = value === "stages" ? isPlaying() : walking;
		if (goOn && !walking) send({ do: "play", value: false });
		speed = value;
		command({ do: "speed", value }, (header) => header.speed === value);
		if (goOn) play(true);
		showSpeed();
	}
	function setSeed(value) {
		command({ do: "seed", value }, (header) => header.seed === value);
		remember("seed", value);
	}
	const senders = {}; // of each control: its newest value, sent now and then
	function change({ name }, value) {
		expect(name, (header) => same(header.settings[name], value));
		senders[name] ??= { send: atMost(50, () => send({ do: "set", name, value: senders[name].value })) };
		senders[name].value = value;
		senders[name].send();
		remember(name === "distribution" ? "target" : name, value);
	}

	// ---- the address

	const writeLink = atMost(300, () => { // the query, which holds the token, stays as it is
		const hash = new URLSearchParams([...chosen]).toString().replaceAll("%2C", ",");
		history.replaceState(null, "", `${location.pathname}${location.search}#${hash}`);
	});
	function remember(name, value) {
		if (!link) return;
		const before = chosen.get(name);
		const isOwn = name === "target" && frame?.header.own.includes(value); // no other program has these points
		if (isOwn) chosen.delete(name);
		else chosen.set(name, String(value));
		if (chosen.get(name) !== before) writeLink();
	}
	/** Tells the program what the address asked for. */
	function obeyLink() {
		const values = {};
		for (const [name, text] of asked) {
			if (controls.has(name)) {
				values[name] = valueOf(controls.get(name), text);
				expect(name, (header) => same(header.settings[name], values[name]));
			} else if (name !== "seed" && name !== "layers") continue;
			chosen.set(name, text);
		}
		const on = asked.get("layers")?.split(",");
		for (const name in layers) if (on) layers[name] = on.includes(name);
		if (Object.keys(values).length) send({ do: "settings", values });
		if (/^\d+$/.test(asked.get("seed"))) setSeed(+asked.get("seed"));
		asked = new Map();
		schedule();
	}

	// ---- what a frame says in words

	const pending = (name) => waiting.has(name);
	/** Ends the waiting for changes that this frame shows, and for those that were refused. */
	function settle(header) {
		const now = performance.now();
		for (const [name, { at, shown }] of waiting) {
			const done = shown(header);
			if (done) stats.latencies.push([name, now - at]);
			if (done || (!header.busy && now - at > 3000)) waiting.delete(name);
		}
		for (const name of chosen.keys()) {
			if (name in header.settings && !pending(name)) remember(name, header.settings[name]);
		}
		if (chosen.has("seed") && !pending("seed")) remember("seed", header.seed);
	}
	const showPlaying = () => write(e.play, isPlaying() ? "Pause" : "Play");
	function showSpeed() {
		for (const button of e.speeds.querySelectorAll("button")) button.ariaPressed = button.value === speed;
		e.next.hidden = speed !== "stages";
	}
	function showHeader(header) {
		const { stage } = header;
		if (header.playing) numbersInTime();
		else showNumbers();
		write(e.busy, header.busy ?? "");
		write(e.notice, own || header.notice || "");
		if (!pending("speed") && speed !== header.speed) {
			speed = header.speed;
			walking = false;
			showSpeed();
		}
		if (!stage && header.steps && header.step >= header.steps) walking = false; // all steps are played
		showPlaying();
		e.caption.hidden = !stage && speed !== "stages";
		write(e.caption, stage?.caption ?? "Play or Next stage: a training step in six stages.");
		fillPanel();
		settle(header);
		describe();
	}
	function showNumbers() {
		const { step, target, steps, playing, rate, seeds, turns, changes } = frame.header;
		const speedNow = `${whole(rate / seeds)} steps/s${seeds > 1 ? ` of ${seeds} seeds` : ""}`;
		write(e.count, `step ${whole(step)}`);
		write(e.rate, [target, steps && `of ${whole(steps)} steps`, playing && speedNow,
			turns?.[0] !== turns?.[1] && `turns: D ${whole(turns[0])}, G ${whole(turns[1])}`,
			changes && `${changes} change${changes > 1 ? "s" : ""} in mid-run`].filter(Boolean).join(" \u00b7 "));
	}
	const numbersInTime = atMost(150, showNumbers); // each new text makes the browser lay out the page again
	/** The scene in words, now and then, for those who do not see it. */
	const describe = atMost(2000, () => timed(() => {
		const { header } = frame;
		const at = `step ${whole(header.step)}`;
		const sorted = look.probabilities.filter((p) => p >= 0).sort();
		e.scene.ariaLabel = `Samples of ${header.target}, seed ${header.first_seed + header.seed}, ${at}: `
			+ `${opinion(header)} from ${decimal(sorted[0])} to ${decimal(sorted.at(-1))}; ${chartsOf(frame).map(chartWords)}`;
		write(e.spoken, `${header.target}, ${isPlaying() ? "playing" : "paused"}`); // no step: it would never be quiet
	}));
	const say = (sentence) => write(e.notice, (own = sentence));

	// ---- layers

	function buildLayers() {
		const column = kind === "plane" ? 0 : 1;
		e.layers.replaceChildren(...Object.keys(LAYERS).filter((name) => LAYERS[name][column]).map((name) => {
			const input = make("input", { type: "checkbox", value: name });
			input.onchange = () => {
				layers[name] = input.checked;
				remember("layers", Object.keys(layers).filter((each) => layers[each]));
				schedule();
			};
			return make("label", { className: name }, input, LAYERS[name][column]);
		}));
		if (!chosen.has("layers") && !asked.has("layers")) layers.optimal = kind === "line"; // there it takes no room
	}
	function showLayers() {
		const plane = kind === "plane";
		for (const { firstChild: input } of e.layers.children) {
			input.checked = layers[input.value];
			input.disabled = input.value === "optimal" && !frame.arrays.optimal;
			if (plane && input.value === "heat") write(input.nextSibling, opinion(frame.header));
		}
		root.classList.toggle("line", !plane);
		e.beside.hidden = !plane || !layers.optimal || !frame.arrays.optimal || Boolean(drawing);
		root.classList.toggle("with-best", !e.beside.hidden);
		e.bar.hidden = !plane || !layers.heat;
		e.unfold.hidden = e.along.hidden = !plane || !layers.lattice;
		e.thumbs.hidden = !layers.seeds;
	}
	function showBar() {
		const digits = max(1, ceil(-log10(look.spread)));
		const text = (p) => (p % 1 ? p.toFixed(digits) : p);
		const { logistic } = frame.header;
		write(e.bar.firstChild, `${logistic ? "D says fake" : opinion(frame.header)}: ${text(0.5 - look.spread)}`);
		write(e.bar.lastChild, text(0.5 + look.spread) + (logistic ? ": real" : ""));
	}

	// ---- painting

	const paintCharts = atMost(200, () => timed(() => {
		const charts = chartsOf(frame);
		resize(e.charts, charts.length, () => make("canvas", { role: "img" }));
		charts.forEach((chart, i) => {
			const canvas = e.charts.children[i];
			const now = signature(chart, frame.header.seed, canvas);
			if (canvas.dataset.drawn === now) return;
			canvas.dataset.drawn = now;
			drawChart(canvas, chart);
			canvas.ariaLabel = chartWords(chart);
		});
	}));
	const drawThumbs = () => timed(() => layers.seeds && showThumbs(e.thumbs, frame, setSeed));
	const thumbsInTime = atMost(500, drawThumbs);
	let thumbsOf = "";
	/** At once when another seed is chosen, otherwise now and then. */
	function paintThumbs() {
		const { seed, seeds } = frame.header;
		const now = [kind, seed, seeds, layers.seeds, root.clientWidth].join();
		if (now === thumbsOf) thumbsInTime();
		else drawThumbs();
		thumbsOf = now;
	}
	/** How far the motion of a stage is, from 0 to 1; a new stage plans the one after it. */
	function stageTime(now) {
		const { stage } = frame.header;
		const key = stage ? `${frame.header.step} ${stage.index}` : "";
		if (key !== stageKey) {
			stageBegan = now;
			clearTimeout(walker);
			if (walking) walker = setTimeout(walk, STAGE);
		}
		stageKey = key;
		return stage ? clamp((now - stageBegan) / MOTION, 0, 1) : 1;
	}
	/** Draws the scene at this time; says whether something in it still moves. */
	function paintScene(now) {
		const goal = pointedAt || pinned ? 1 : 0;
		const passed = min(50, now - painted) / MOTION;
		painted = now;
		look.time = stageTime(now);
		look.flat += clamp(goal - look.flat, -passed, passed);
		look.bend = 1 - ease(look.flat);
		if (drawing) paintDrawing();
		else (kind === "plane" ? drawPlane : drawLine)(e.scene, frame, look);
		if (!e.beside.hidden) drawBest(e.best, frame, look);
		return look.time < 1 || look.flat !== goal;
	}
	function newFrame({ header, arrays }) {
		if (header.kind !== kind) {
			kind = header.kind;
			buildLayers();
			setDrawing(null);
		}
		stats.frames += 1;
		stats.bytes += fresh;
		stats.step = header.step;
		stats.header = header;
		look.probabilities = arrays.logits.map(sigmoid);
	}
	function paint(now) {
		scheduled = false;
		if (!frame) return;
		const isNew = fresh > 0;
		let moving = false;
		timed(() => {
			if (isNew) newFrame(frame);
			fresh = 0;
			look.spread = layers.stretched && kind === "plane" ? stretched(look.probabilities, look.spread) : 0.5;
			showLayers();
			showBar();
			moving = paintScene(now);
			if (isNew) showHeader(frame.header);
		});
		paintCharts();
		paintThumbs();
		if (moving) schedule();
	}
	function schedule() {
		if (!scheduled) requestAnimationFrame(paint);
		scheduled = true;
	}
	const resized = new ResizeObserver(schedule);
	resized.observe(root);

	// ---- drawing a distribution, files

	const axesOfScene = () =>
		(kind === "plane" ? planeAxes : lineAxes)(frame.header.view, e.scene.clientWidth, e.scene.clientHeight);

	function paintDrawing() {
		const { ctx } = surface(e.scene);
		const axes = axesOfScene();
		const { real, x, p } = frame.arrays;
		if (kind === "plane") squares(ctx, inPlane(real, axes), "#222", 3, 0.15);
		else {
			drawLineAxes(ctx, frame.header.view, axes);
			drawDensity(ctx, x, p, axes, densityTop(p, p), "#ddd");
		}
		drawing.paint(ctx, axes);
		write(e.hint, drawing.hint());
	}
	function setDrawing(value) {
		drawing = value;
		own = "";
		e.train.hidden = e.cancel.hidden = !drawing;
		e.draw.hidden = e.file.hidden = Boolean(drawing);
		e.scene.classList.toggle("drawing", Boolean(drawing));
		write(e.hint, "or drop it here: 1 or 2 columns");
		schedule();
	}
	function trainOn(name, points) {
		walking = false;
		setDrawing(null);
		command({ do: "points", name, points }, (header) => header.target === name);
	}
	let pointer = [0, 0]; // its last pixel
	/** Adds samples to the drawing along the stroke, at most two pixels apart. */
	function drag(event) {
		if (!drawing || (event.type === "pointermove" && !event.buttons)) return;
		const [x, y] = [event.offsetX, event.offsetY];
		if (event.type === "pointerdown") {
			pointer = [x - 2, y];
			own = "";
			e.scene.setPointerCapture(event.pointerId);
		}
		const away = hypot(x - pointer[0], y - pointer[1]);
		const steps = away < 2 ? 0 : ceil(away / 2);
		for (let i = 1; i <= steps; i++) {
			const t = i / steps;
			drawing.add(pointer[0] + t * (x - pointer[0]), pointer[1] + t * (y - pointer[1]), axesOfScene());
		}
		if (steps) pointer = [x, y];
		schedule();
	}
	e.scene.onpointerdown = e.scene.onpointermove = drag;
	function train() {
		if (!drawing.enough()) return say(drawing.missing);
		trainOn("drawing", drawing.samples(axesOfScene()));
	}
	async function readFile([file]) {
		try {
			if (!file) return;
			if (file.size > 5e7) throw new Error(`${file.name} is larger than 50 MB.`);
			trainOn(file.name, pointsOf(await file.text(), file.name));
		} catch (error) {
			say(error.message);
		}
	}
	e.open.onchange = async () => {
		await readFile(e.open.files);
		e.open.value = "";
	};
	root.ondragover = (event) => event.preventDefault();
	root.ondrop = (event) => {
		event.preventDefault();
		readFile(event.dataTransfer.files);
	};

	// ---- buttons and keys

	/** The mouse unfolds the lattice while it points at the button, and a click keeps it unfolded or folds it. */
	const unfold = (pointing, pin = pinned) => {
		[pointedAt, pinned] = [pointing, pin];
		e.unfold.ariaPressed = pinned;
		schedule();
	};
	const actions = {
		play: () => play(!isPlaying()), step: () => step("both"), d: () => step("D"), g: () => step("G"), next: nextStage,
		reset: () => command({ do: "reset" }, (header) => header.step === 0),
		save() {
			own = "";
			send({ do: "save" });
		},
		draw: () => frame && setDrawing(kind === "plane" ? planeDrawing() : lineDrawing()),
		train, cancel: () => setDrawing(null),
	};
	for (const [name, action] of Object.entries(actions)) e[name].onclick = action;
	e.speeds.onclick = ({ target }) => target.value && setSpeed(target.value);
	e.unfold.onpointerenter = ({ pointerType }) => pointerType === "mouse" && unfold(true);
	e.unfold.onpointerleave = ({ pointerType }) => pointerType === "mouse" && unfold(false);
	e.unfold.onclick = () => unfold(false, !pinned);
	let pressed = false; // whether the newest input came from a mouse, a pen or a finger, and not from a key
	root.addEventListener("pointerdown", () => (pressed = true), true);
	root.addEventListener("keydown", () => (pressed = false), true);
	/** After a press, keys act on the page and not on the control. A list keeps the focus until something is chosen. */
	const release = (kind) => ({ target }) => pressed && target.closest(kind)?.blur();
	root.addEventListener("click", release("button, input:not([type=text])"));
	root.addEventListener("change", release("select"));

	const keys = { " ": "play", ArrowRight: "step", s: "step", d: "d", g: "g", n: "next", r: "reset",
		Escape: "cancel" };
	const gone = new AbortController(); // ends the listening to keys
	document.addEventListener("keydown", (event) => {
		const { key, target } = event;
		if (event.ctrlKey || event.metaKey || event.altKey || !frame) return;
		if (!root.contains(target) && !(link && target === document.body)) return;
		if (target.closest("select, input:not([type=checkbox], [type=range])")) return;
		if (target.closest("input, button") && (key === " " || key === "ArrowRight")) return;
		const { seeds, first_seed: first } = frame.header;
		const seed = (+key - (first % 10) + 10) % 10;
		if (/^\d$/.test(key) && seed < seeds) setSeed(seed);
		if (!Object.hasOwn(keys, key)) return;
		event.preventDefault(); // also if it repeats: the space would scroll the page
		if (!event.repeat || key === "ArrowRight" || key === "s") actions[keys[key]]();
	}, { signal: gone.signal });
	setDrawing(null);

	// ---- messages of the program

	/** Shows the settings of the last frame, if it is no frame of the plane beside the controls of the line. */
	const fillPanel = () => frame?.header.kind === panelKind && panel.show(frame.header.settings, pending);
	function hello(greeting) {
		const held = panel?.released(); // the user may be in the middle of a word
		panelKind = greeting.kind;
		controls = new Map(greeting.controls.map((control) => [control.name, control]));
		panel = controlPanel(greeting.controls, change);
		const signs = make("p", { className: "soft", textContent: "\u2022 acts at once, \u21bb compiles first" });
		e.panel.replaceChildren(signs, ...panel.elements);
		fillPanel();
		if (held) panel.restore(held);
		if (asked.size) obeyLink();
		if (!greeted) ask();
		greeted = true;
	}
	const ask = () => send({ do: "frame" });
	function showSaved({ folder, command, changes = [] }) {
		const line = (text, code) => make("p", { textContent: text }, make("code", { textContent: code }));
		const close = make("button", { textContent: "Close", onclick: () => (e.saved.hidden = true) });
		const shown = changes.slice(0, 10); // a screen reader says them
		const texts = shown.map((each) => line(JSON.stringify(each).replace(/[{}"]/g, "").replace(/[:,]/g, "$& "), ""));
		if (changes.length > 10) texts.push(line(`and ${changes.length - 10} more in `, "live.json"));
		e.saved.replaceChildren(line("Saved in ", folder), line("Command: ", command), ...texts, close);
		e.saved.hidden = false;
	}
	return {
		opened: () => (e.banner.hidden = true),
		text: (message) => timed(() => {
			if (message.hello) hello(message.hello);
			if (message.saved) showSaved(message.saved);
			if (!message.error) return;
			write(e.notice, message.error); // until a frame comes
			setTimeout(ask, AGAIN); // it may have come in the place of a frame
		}),
		frame(buffer) {
			timed(() => {
				frame = decoded(buffer);
				fresh += buffer.byteLength;
				schedule();
			});
			if (document.hidden) requestAnimationFrame(ask); // once somebody looks again
			else ask(); // the next one is made while this one is painted
		},
		closed(reason) {
			walking = greeted = false;
			if (reason) e.banner.textContent = reason;
			e.banner.hidden = false;
		},
		removed() { // from the document: nothing of this view shall go on
			gone.abort();
			resized.disconnect();
			clearTimeout(walker);
			walking = false;
		},
	};
}
