// --- data: what heed recorded, as JSON, and the maps, as compressed text ---------------------------------------------
const data = JSON.parse(document.getElementById("data").textContent);

const KINDS = {self: "self-attention", encoder: "encoder self-attention", cross: "cross-attention"};

// "[section]\nkey = value" -> {"section.key": "value"}
function readIni(text) {
  const found = {};
  let section = "";
  for (const line of (text || "").split("\n")) {
    const head = line.match(/^\s*\[(.+)\]\s*$/), pair = line.match(/^\s*([\w]+)\s*=\s*(.*?)\s*$/);
    if (head) section = head[1];
    else if (pair) found[`${section}.${pair[1]}`] = pair[2];
  }
  return found;
}

function readJson(text) {
  try { return JSON.parse(text); } catch { return null; }
}

for (const run of data.runs) {
  run.settings = readIni(run.config);
  run.host = readJson(run.environment);
  run.kinds = Object.keys(KINDS).filter(kind => run.logs[kind]);
}

// An array of controls.h5 or probe.h5: values in the file's order, dims its shape; undefined when it is not there.
const stored = (file, name) => file && file.arrays[name] ? file.arrays[name].values : undefined;
const shapeOf = (file, name) => file.arrays[name].dims;

// --- numbers and text for people -------------------------------------------------------------------------------------
function number(x, digits = 3) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-3 ? x.toExponential(digits - 1) : x.toPrecision(digits);
  return text.replace(/(\.\d*?)0+(e|$)/, "$1$2").replace(/\.(e|$)/, "$1").replace("-", "−").replace("e+", "e");
}
const fixed = (x, places = 3) => x === null || x === undefined || !Number.isFinite(x) ? "–" : x.toFixed(places).replace("-", "−");
const percent = x => Number.isFinite(x) ? `${(100 * x).toFixed(x > 0.1 && x < 0.9 ? 0 : 1).replace("-", "−")} %` : "–";
const whole = x => Number(x).toLocaleString("en");
const kindName = (run, kind) => run.kinds.length > 1 ? `${KINDS[kind]} ` : "";
const last = list => list[list.length - 1];
const plural = (n, what) => `${whole(n)} ${what}${Number(n) === 1 ? "" : "s"}`;

// The tokens of a probe that are looked at: those of the source, where they are others than those that look.
const keysOf = probe => probe.keys || probe.text;

const SHOWN = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "": "∅"};
const token = text => SHOWN[text] ?? text.replace(/[ \n\t\r]/g, c => SHOWN[c]);
const escapeHtml = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

// --- maps ------------------------------------------------------------------------------------------------------------
// A map's value is scale * sign(q) * (|q| / levels) ^ power; q lies in the chunk of its probe, layer and head, as
// differences from step to step (src/report/maps.h in heed's sources).
const chunks = new Map();

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function unpack(bytes, form, n) {
  const steps = form.steps.length, scales = new Float32Array(steps).fill(1), begin = form.signed ? 4 * steps : 0;
  const view = new DataView(bytes.buffer);
  for (let k = 0; k < steps && form.signed; k++) scales[k] = view.getFloat32(4 * k, true);
  const q = bytes.subarray(begin);
  for (let v = n; v < q.length; v++) q[v] += q[v - n];
  return {q, scales};
}

// The chunks stand at the end of the page, which is drawn while the browser still reads them. One is whole when something
// follows it.
async function textOfChunk(id) {
  for (;;) {
    const found = document.getElementById(id);
    if (found && (found.nextSibling || document.readyState !== "loading")) return found.textContent;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

// Values of one map.
const valuesOf = log => log.causal ? log.queries * (log.queries + 1) / 2 : log.queries * log.keys;

// The chunk of one head: {q, scales}. The most recent ones are kept.
function chunkOf(run, kind, form, probe, layer, head) {
  const id = `map-${run}-${kind}-${form.name}-${probe}-${layer}-${head}`;
  if (!chunks.has(id)) {
    const n = valuesOf(data.runs[run].logs[kind]);
    chunks.set(id, textOfChunk(id).then(inflate).then(bytes => unpack(bytes, form, n)));
    if (chunks.size > 64) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(id);
}

// The index of the step in the form's list that is shown for this step: itself, or the last one before it.
function placeOf(form, step) {
  let place = 0;
  while (place + 1 < form.steps.length && form.steps[place + 1] <= step) place++;
  return place;
}

// One map as {step, scale, form, keys(query): how many it sees, at(query, key)}.
async function mapAt(run, kind, name, probe, layer, head, step) {
  const log = data.runs[run].logs[kind], form = log.maps.find(f => f.name === name);
  if (!form) return null;
  const {q, scales} = await chunkOf(run, kind, form, probe, layer, head);
  const place = placeOf(form, step), n = valuesOf(log), begin = place * n, scale = scales[place];
  const value = byte => {
    const level = form.signed ? byte - 128 : byte;
    return scale * Math.sign(level) * (Math.abs(level) / form.levels) ** form.power;
  };
  const table = Float64Array.from({length: 256}, (_, byte) => value(byte));
  const shown = log.probes[probe], keys = i => log.causal ? i + 1 : keysOf(shown).length;
  const at = (i, j) => j >= keys(i) ? null : table[q[begin + (log.causal ? i * (i + 1) / 2 : i * log.keys) + j]];
  return {step: form.steps[place], scale, form, keys, at};
}
