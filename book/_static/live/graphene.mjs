/* Contaminants on graphene, found in the reader's own browser.

   An ES module of the anywidget form: `model.get("assets")` is the folder of engine.js and
   graphene.js, relative to the page. All that is done to the grey values before the threshold,
   scaling and smoothing too, is done by the ONNX graph. What is done here is to read the file, to
   choose the scale, and to cut, tidy, draw and count. Limits, ranges and words come with the
   network, from the same places as those of `mchelpers measure`. */

const LONGEST = 2048; // px along a side at the network's scale, so that it fits the memory of a tab

const STYLE = `
.try { box-sizing: border-box; border: 1px solid var(--pst-color-border, #888); border-radius: .4em; padding: 1em; }
.try > * + * { margin-top: .8em; }
.try .answer > * + * { margin-top: .6em; }
.try p { margin-bottom: 0; }
.try .line { display: flex; flex-wrap: wrap; gap: .6em 1em; align-items: center; }
.try .wide { flex: 1; margin: 0; }
.try .drop { border: 2px dashed var(--pst-color-border, #888); border-radius: .4em; padding: .8em; }
.try .drop.over { border-color: #0072b2; }
.try button { padding: .4em .9em; border: 1px solid #0072b2; border-radius: .3em;
  background: #0072b2; color: #fff; font: inherit; }
.try button.second { background: transparent; color: inherit; }
.try button:disabled { opacity: .5; }
.try :is(button, input):focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.try input[type=number] { width: 7em; font: inherit; padding: .2em; }
.try input[type=file] { width: 100%; font: inherit; }
.try label { min-width: 0; overflow-wrap: anywhere; }
.try input[type=range] { flex: 1 1 12em; accent-color: #0072b2; }
.try canvas { display: block; width: 100%; max-width: 512px; height: auto; }
.try .share { font-size: 1.2em; }
.try ul { margin-bottom: 0; }
.try .problem { border-left: 4px solid #d55e00; padding-left: .6em; }
.try [hidden] { display: none !important; }
@media print { .try { display: none; } }`;

const FORM = `
<p><button class="load">Load the network</button></p>
<div class="bench" hidden>
  <div class="drop">
    <p><label>Your image (PNG, JPEG or TIFF), chosen here or dropped into this frame:
      <input type="file" accept=".png,.jpg,.jpeg,.tif,.tiff"></label></p>
    <p>or <button class="second ours">take the simulated image</button></p>
  </div>
</div>
<div class="bench line" hidden>
  <label>Pixel size, nm: <input type="number" min="0" step="any" inputmode="decimal"></label>
  <button class="measure" disabled>Measure</button>
</div>
<p class="status" role="status"></p>
<p class="problem" role="alert" hidden></p>
<div class="answer" hidden>
  <canvas role="img"></canvas>
  <div class="line"><label class="line wide">Threshold on the probability:
    <input type="range" min="0.05" max="0.95" step="0.01" value="0.5"></label>
    <output class="level"></output></div>
  <p class="share" role="status"></p>
  <p class="between"></p>
  <ul class="doubts"></ul>
  <p class="line"><button class="second" data-save="mask">Mask (PNG)</button>
    <button class="second" data-save="overlay">Picture (PNG)</button>
    <button class="second" data-save="table">Table (CSV)</button></p>
</div>`;

export default { render };

function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  const box = document.createElement("div");
  box.className = "try";
  box.innerHTML = FORM;
  el.append(style, box);
  const part = (selector) => box.querySelector(selector);
  const file = part("input[type=file]");
  const size = part("input[type=number]");
  const level = part("input[type=range]");
  part(".load").textContent = `Load the network (${model.get("megabytes")} MB)`;
  let network, image, found;

  const say = (words) => (part(".status").textContent = words);
  // Whatever goes wrong is told in one sentence, at one place.
  const guarded = (action) => async (event) => {
    part(".problem").hidden = true;
    try {
      await action(event);
    } catch (error) {
      say("");
      part(".problem").textContent = error.message;
      part(".problem").hidden = false;
    }
  };

  part(".load").onclick = guarded(async () => {
    part(".load").disabled = true;
    say("The network is being loaded from this book.");
    const began = performance.now();
    try {
      network = await loadNetwork(model.get("assets"));
    } catch (error) {
      part(".load").disabled = false;
      throw error;
    }
    part(".load").parentElement.hidden = true;
    for (const bench of box.querySelectorAll(".bench")) bench.hidden = false;
    say(`The network is ready, after ${seconds(began)}. Nothing leaves your computer.`);
    file.focus();
    model.set("ready", true);
  });

  const take = async (blob, name, nm) => {
    part(".answer").hidden = true;
    part(".measure").disabled = true;
    image = { name, ...(await readImage(blob)) };
    part(".measure").disabled = false;
    if (nm) size.value = nm;
    say(`${name}: ${image.columns} x ${image.rows} px. ${image.note}`);
  };
  file.onchange = guarded(() => file.files.length && take(file.files[0], file.files[0].name));
  part(".ours").onclick = guarded(async () => {
    const { sample_nm: nm } = network.settings;
    const bytes = await unpacked("graphene", "sample.png");
    await take(new Blob([bytes], { type: "image/png" }), "simulated.png", nm);
    part(".measure").focus();
  });
  const drop = part(".drop");
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    });
  }
  drop.addEventListener(
    "drop",
    guarded(({ dataTransfer: { files } }) => files.length && take(files[0], files[0].name)),
  );

  part(".measure").onclick = guarded(async () => {
    part(".answer").hidden = true;
    say("The network is looking at the image.");
    await new Promise((done) => setTimeout(done, 30)); // lets the browser draw the sentence
    const began = performance.now();
    found = await measure(network, image, size.valueAsNumber);
    say(`Measured in ${seconds(began)}. ${found.note}`);
    part(".answer").hidden = false;
    show();
    for (const key of ["probability", "size", "unevenness"]) model.set(key, found[key]);
    model.set("measured", (model.get("measured") || 0) + 1);
  });

  function show() {
    const { settings } = network;
    const cut = (threshold) => maskOf(found, threshold, settings);
    found.mask = cut(level.valueAsNumber);
    found.row = tableRow(found, level.valueAsNumber, cut, settings);
    paint(part("canvas"), found);
    const { covered_share: share, covered_nm2: area } = found.row;
    part(".level").textContent = level.valueAsNumber.toFixed(2);
    part(".share").textContent =
      `${percent(share)} of the image is covered: ${area.toPrecision(3)} nm²`;
    part(".between").textContent =
      `At thresholds from 0.75 to 0.25 it is ${percent(found.row.covered_share_low)} to ` +
      `${percent(found.row.covered_share_high)}.`;
    part("canvas").setAttribute(
      "aria-label",
      `The image; contaminant outlined in orange covers ${percent(share)} of it`,
    );
    part(".doubts").replaceChildren(
      ...found.row.warnings.map((words) => {
        const line = document.createElement("li");
        line.textContent = words;
        return line;
      }),
    );
    model.set("mask", found.mask);
    model.set("row", found.row);
  }
  level.oninput = show;

  box.addEventListener("click", async ({ target: { dataset } }) => {
    const stem = image?.name.replace(/\.\w+$/, "");
    if (dataset.save === "mask") save(await png(maskCanvas(found)), `${stem}-mask.png`);
    if (dataset.save === "overlay") save(await png(part("canvas")), `${stem}-outlines.png`);
    if (dataset.save === "table") save(csv(found.row), `${stem}.csv`);
  });
}

/* The network ------------------------------------------------------------------------------- */

// Classic scripts, for these load from file:// too. Each puts gzipped files into `packed`.
function loadScript(url) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = done;
    script.onerror = () => {
      script.remove();
      failed(new Error(`${url} could not be loaded; is the book complete and the line up?`));
    };
    document.head.append(script);
  });
}

async function unpacked(pack, name) {
  const text = atob(globalThis.packed[pack].files[name]);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loadNetwork(assets) {
  await Promise.all(["engine.js", "graphene.js"].map((name) => loadScript(assets + name)));
  const code = new Blob([await unpacked("engine", "ort.mjs")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(code));
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  ort.env.wasm.wasmBinary = await unpacked("engine", "ort.wasm");
  const session = await ort.InferenceSession.create(await unpacked("graphene", "network.onnx"));
  return { ort, session, settings: globalThis.packed.graphene.settings };
}

/* The file ---------------------------------------------------------------------------------- */

async function readImage(blob) {
  const bytes = await blob.arrayBuffer();
  const first = new Uint8Array(bytes.slice(0, 26));
  const isTiff = ["73,73,42,0", "77,77,0,42"].includes(String(first.slice(0, 4)));
  if (isTiff) return { ...readTiff(new DataView(bytes)), note: "" };
  let bitmap;
  try {
    // Grey values as the file has them: no colour management.
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This file is no PNG, JPEG or TIFF that a browser can read.");
  }
  const { width: columns, height: rows } = bitmap;
  const context = newCanvas(rows, columns).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, columns, rows);
  const grey = new Float32Array(rows * columns);
  for (let i = 0; i < grey.length; i++) {
    if (data[4 * i] !== data[4 * i + 1] || data[4 * i] !== data[4 * i + 2])
      throw new Error("The image is in colour; a grey-scale micrograph is needed.");
    grey[i] = data[4 * i];
  }
  const deep = first[0] === 0x89 && first[24] === 16; // a PNG says its bits there
  const note = deep ? "A browser reads 8 of this file's 16 bits; TIFF keeps them all." : "";
  return { grey, rows, columns, note };
}

// Uncompressed grey TIFF in strips, 8 or 16 bits or 32-bit float: what cameras and ImageJ write.
function readTiff(view) {
  const little = view.getUint8(0) === 73;
  const short = (at) => view.getUint16(at, little);
  const long = (at) => view.getUint32(at, little);
  const refuse = (why) => {
    throw new Error(`This TIFF ${why}; save it as uncompressed grey TIFF of 8 or 16 bits.`);
  };
  try {
    const directory = long(4);
    const tags = {};
    for (let n = 0; n < short(directory); n++) {
      const at = directory + 2 + 12 * n;
      const [type, count] = [short(at + 2), long(at + 4)];
      const [width, read] = type === 3 ? [2, short] : [4, long];
      const start = width * count > 4 ? long(at + 8) : at + 8;
      if (type === 3 || type === 4)
        tags[short(at)] = Array.from({ length: count }, (_, i) => read(start + width * i));
    }
    const one = (tag, otherwise) => (tags[tag] || [otherwise])[0];
    const [columns, rows, bits, kind] = [one(256), one(257), one(258, 1), one(339, 1)];
    if (one(259, 1) !== 1) refuse("is compressed");
    if (one(277, 1) !== 1) refuse("is in colour");
    if (!tags[273]) refuse("is cut into tiles");
    const readers = {
      "8,1": (at) => view.getUint8(at),
      "16,1": short,
      "16,2": (at) => view.getInt16(at, little),
      "32,3": (at) => view.getFloat32(at, little),
    };
    const read = readers[[bits, kind]] || refuse(`has ${bits} bits a pixel of an unusual kind`);
    const strip = Math.min(one(278, rows), rows) * columns; // px
    const grey = new Float32Array(rows * columns);
    for (let i = 0; i < grey.length; i++)
      grey[i] = read(tags[273][Math.floor(i / strip)] + ((i % strip) * bits) / 8);
    if (grey.some((value) => !Number.isFinite(value))) refuse("has values that are no numbers");
    return { grey, rows, columns };
  } catch (error) {
    if (error instanceof RangeError) refuse("is cut short");
    throw error;
  }
}

/* The measurement --------------------------------------------------------------------------- */

async function measure({ ort, session, settings }, image, nm) {
  const [finest, coarsest] = settings.plausible_nm;
  if (!(nm > 0)) throw new Error("Give the pixel size in nm: the network must know the scale.");
  if (nm < finest || nm > coarsest)
    throw new Error(
      `A pixel of ${nm} nm cannot be right: graphene needs ${finest} to ${coarsest} nm.`,
    );
  // As finely sampled as the network knows; inside its range nothing is resampled.
  const radius = nm / settings.planes_nm;
  const [low, high] = settings.radii;
  const scale = radius / Math.min(Math.max(radius, low), high);
  const seen = middle(image, Math.floor(LONGEST / scale));
  const size = [seen.rows, seen.columns].map((n) => Math.round(n * scale));
  if (Math.min(seen.rows, seen.columns) < settings.smallest || Math.min(...size) < 33)
    throw new Error("The image is too small to see a lattice in; take a larger one.");
  const about = greyLevels(seen.grey);
  if (!about) throw new Error("The image is constant; there is nothing to measure.");
  const answer = await session.run({
    grey: new ort.Tensor("float32", seen.grey, [seen.rows, seen.columns]),
    size: new ort.Tensor("int64", BigInt64Array.from(size, BigInt), [2]),
  });
  const probability = answer.probability.data;
  const unevenness = answer.unevenness.data[0];
  const known = { lattice_px: settings.planes_nm / nm, ...about, unevenness };
  known.side_px = Math.min(...size);
  const whole = seen.rows === image.rows && seen.columns === image.columns;
  const note = whole
    ? ""
    : `Only its middle, ${seen.columns} x ${seen.rows} px, fits a page; the command takes all.`;
  return { ...seen, name: image.name, nm, size, probability, unevenness, known, note };
}

function middle({ grey, rows, columns }, side) {
  const [high, wide] = [Math.min(rows, side), Math.min(columns, side)];
  if (high === rows && wide === columns) return { grey, rows, columns };
  const [top, left] = [(rows - high) >> 1, (columns - wide) >> 1];
  const cut = new Float32Array(high * wide);
  for (let r = 0; r < high; r++) {
    const start = (top + r) * columns + left;
    cut.set(grey.subarray(start, start + wide), r * wide);
  }
  return { grey: cut, rows: high, columns: wide };
}

// How many steps of the file the grey values span, and how many are the darkest or brightest.
function greyLevels(grey) {
  const sorted = Float32Array.from(grey).sort();
  const [darkest, brightest] = [sorted[0], sorted[sorted.length - 1]];
  if (darkest === brightest) return null;
  let [sum, step, clipped] = [0, Infinity, 0];
  for (let i = 0; i < sorted.length; i++) {
    sum += sorted[i];
    if (sorted[i] === darkest || sorted[i] === brightest) clipped++;
    if (i && sorted[i] > sorted[i - 1]) step = Math.min(step, sorted[i] - sorted[i - 1]);
  }
  const mean = sum / sorted.length;
  const squares = sorted.reduce((total, value) => total + (value - mean) ** 2, 0);
  return {
    grey_steps: Math.sqrt(squares / sorted.length) / step,
    clipped_share: clipped / sorted.length,
  };
}

// The same words as `mchelpers measure` has for what the network did not meet in training.
function outside(known, { ranges, words }) {
  const said = [];
  for (const [name, value] of Object.entries(known)) {
    let [low, high] = ranges[name];
    if (name === "lattice_px") [low, high] = [low / 2, high * 2];
    const word = value < low ? words[name][0] : value > high ? words[name][1] : "";
    const figure = (x) => String(Number(x.toPrecision(3)));
    if (word)
      said.push(`${word} (${name} ${figure(value)}; known: ${figure(low)} to ${figure(high)})`);
  }
  return said;
}

function maskOf({ probability, size, rows, columns }, threshold, { hole_px, speck_px }) {
  const [high, wide] = size;
  const mask = Uint8Array.from(probability, (p) => Number(p > Math.fround(threshold)));
  turnSmall(mask, high, wide, 0, hole_px);
  turnSmall(mask, high, wide, 1, speck_px);
  return high === rows && wide === columns ? mask : rescaled(mask, size, [rows, columns]);
}

// Turn over the regions of a value (four neighbours) that have fewer pixels than `least`.
function turnSmall(mask, high, wide, value, least) {
  const seen = new Uint8Array(mask.length);
  for (let start = 0; start < mask.length; start++) {
    if (seen[start] || mask[start] !== value) continue;
    const region = [start];
    seen[start] = 1;
    const visit = (i) => {
      if (!seen[i] && mask[i] === value) {
        seen[i] = 1;
        region.push(i);
      }
    };
    for (let n = 0; n < region.length; n++) {
      const [i, column] = [region[n], region[n] % wide];
      if (i >= wide) visit(i - wide);
      if (i < (high - 1) * wide) visit(i + wide);
      if (column > 0) visit(i - 1);
      if (column < wide - 1) visit(i + 1);
    }
    if (region.length < least) for (const i of region) mask[i] = 1 - value;
  }
}

// Linear, to the pixels of the image; centres of pixels are at halves.
function rescaled(mask, [high, wide], [rows, columns]) {
  const places = (count, old) =>
    Array.from({ length: count }, (_, n) => {
      const at = Math.max(0, ((n + 0.5) * old) / count - 0.5);
      const low = Math.floor(at);
      return [low, Math.min(low + 1, old - 1), at - low];
    });
  const across = places(columns, wide);
  const result = new Uint8Array(rows * columns);
  places(rows, high).forEach(([top, bottom, down], r) => {
    across.forEach(([left, right, share], c) => {
      const along = (row) =>
        mask[row * wide + left] * (1 - share) + mask[row * wide + right] * share;
      result[r * columns + c] = Number(along(top) * (1 - down) + along(bottom) * down > 0.5);
    });
  });
  return result;
}

const shareOf = (mask) => mask.reduce((sum, value) => sum + value, 0) / mask.length;

// The columns of `mchelpers measure` that can be known here.
function tableRow(found, threshold, cut, settings) {
  const share = shareOf(found.mask);
  const known = { ...found.known, covered_share: shareOf(cut(0.5)) };
  return {
    file: found.name,
    pixel_size_nm: found.nm,
    covered_share: share,
    covered_nm2: share * found.mask.length * found.nm ** 2,
    covered_share_low: shareOf(cut(0.75)),
    covered_share_high: shareOf(cut(0.25)),
    threshold,
    weights_sha256: settings.weights_sha256,
    warnings: outside(known, settings),
  };
}

/* What is shown and saved ------------------------------------------------------------------- */

function newCanvas(rows, columns) {
  return Object.assign(document.createElement("canvas"), { height: rows, width: columns });
}

function paint(canvas, { grey, mask, rows, columns, nm }) {
  Object.assign(canvas, { height: rows, width: columns });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  const [dark, bright] = limits(grey);
  const thick = Math.max(1, Math.round(Math.max(rows, columns) / 400)); // seen when made smaller
  const inside = (r, c) => r < 0 || c < 0 || r >= rows || c >= columns || mask[r * columns + c];
  for (let i = 0; i < grey.length; i++) {
    const [r, c] = [Math.floor(i / columns), i % columns];
    const edge =
      mask[i] &&
      !(inside(r - thick, c) && inside(r + thick, c) && inside(r, c - thick) && inside(r, c + thick));
    const level = (255 * (grey[i] - dark)) / (bright - dark);
    const paintOver = edge ? 1 : mask[i] ? 0.25 : 0;
    [230, 159, 0].forEach((colour, n) => {
      picture.data[4 * i + n] = level * (1 - paintOver) + colour * paintOver;
    });
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  scaleBar(context, rows, columns, nm);
}

// A round length, 1, 2 or 5 times a power of ten, near a fifth of the width.
function scaleBar(context, rows, columns, nm) {
  const fifth = (columns * nm) / 5;
  const power = 10 ** Math.floor(Math.log10(fifth));
  const length = power * [5, 2, 1].find((n) => n * power <= fifth);
  const [wide, unit] = [length / nm, Math.max(rows, columns) / 100]; // px
  context.fillStyle = "#000";
  context.fillRect(2 * unit, rows - 10 * unit, wide + 4 * unit, 8 * unit);
  context.fillStyle = "#fff";
  context.fillRect(4 * unit, rows - 4 * unit, wide, unit);
  context.font = `${4 * unit}px sans-serif`;
  context.fillText(`${Number(length.toPrecision(1))} nm`, 4 * unit, rows - 5 * unit);
}

// Grey from the 0.5th to the 99.5th percentile, of every some-th pixel of a large image.
function limits(grey) {
  const step = Math.ceil(grey.length / 65536);
  const some = grey.filter((_, i) => i % step === 0).sort();
  const at = (share) => some[Math.round(share * (some.length - 1))];
  return at(0.995) > at(0.005) ? [at(0.005), at(0.995)] : [some[0], some[some.length - 1]];
}

function maskCanvas({ mask, rows, columns }) {
  const canvas = newCanvas(rows, columns);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  mask.forEach((value, i) => picture.data.fill(255 * value, 4 * i, 4 * i + 3));
  for (let i = 3; i < picture.data.length; i += 4) picture.data[i] = 255;
  context.putImageData(picture, 0, 0);
  return canvas;
}

const png = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

function csv(row) {
  const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const values = Object.values({ ...row, warnings: row.warnings.join("; ") });
  const lines = [Object.keys(row).join(","), values.map(quoted).join(",")];
  return new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" });
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const seconds = (began) => `${((performance.now() - began) / 1000).toFixed(1)} s`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
