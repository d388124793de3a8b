// --- heatmaps: where a head looks, and what that is worth -------------------------------------------------------------
const MAPS = {
  attention: {title: "Attention", unit: "", says: "how much of key j's value query i takes"},
  credit: {title: "Credit", unit: " nat", says: "what descent on the score would do: orange gains, blue loses"},
  advantage: {title: "Advantage", unit: " nat", says: "how much the loss would fall if query i took key j's value alone"},
};

// What is shown. `runs` are the indexes of one or two runs with maps.
const view = {run: 0, beside: -1, kind: "self", probe: 0, layer: 0, head: 0, step: 0, query: 0, key: 0, advantage: false, stretch: false, whole: true, statistic: null};
const panels = [];  // {run, name, entry, title, map}

const logOf = run => data.runs[run].logs[view.kind];
const hasMaps = (run, kind) => data.runs[run].logs[kind] && data.runs[run].logs[kind].maps.length > 0;
const kindsOf = run => data.runs[run].kinds.filter(kind => hasMaps(run, kind));
const withMaps = () => data.runs.map((_, i) => i).filter(i => kindsOf(i).length);
const stepsOf = () => logOf(view.run).maps[0].steps;
const probeOf = run => logOf(run).probes[within(view.probe, logOf(run).probes.length)];
const named = text => text === undefined ? "" : token(text);
// Keys that a query of the shown probe sees.
const keysSeen = (log, probe, query) => log.causal ? query + 1 : keysOf(probe).length;

const shade = (value, largest) => view.stretch ? Math.sign(value) * Math.sqrt(Math.abs(value) / (largest || 1)) * largest : value;

// The head of the other run: its own, or the nearest that it has.
const within = (wanted, n) => Math.min(wanted, n - 1);

function mapOptions(panel) {
  const {map, run} = panel, log = logOf(run), probe = probeOf(run), n = probe.text.length, m = keysOf(probe).length;
  const cells = [], signed = map.form.signed;
  let largest = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < map.keys(i); j++) largest = Math.max(largest, Math.abs(map.at(i, j)));
  const top = !signed && view.whole ? 1 : largest || 1e-12;
  for (let i = 0; i < n; i++) for (let j = 0; j < map.keys(i); j++) cells.push([j, i, shade(map.at(i, j), top), map.at(i, j)]);
  const truth = (probe.truth || []).flatMap((keys, i) => keys.map(j => [j, i]));
  const labels = probe.text.map(token), keys = keysOf(probe).map(token), longest = Math.min(8, Math.max(...keys.map(l => l.length)));
  const turned = longest > 1, below = turned ? 10 + 6.5 * longest : 20;  // room for the keys
  const room = panel.entry.place, high = Math.max(4, (room.clientHeight - below - 70) / n), wide = Math.max(4, (room.clientWidth - 60) / m);
  const category = (names, side) => ({
    type: "category", data: names.map((_, i) => i), splitLine: {show: false}, axisTick: {show: false}, axisLine: {lineStyle: {color: ink("line")}},
    axisLabel: {color: ink("soft"), fontSize: names.length > 40 ? 9 : 11, fontFamily: "monospace", interval: side >= 7 ? 0 : "auto", formatter: i => names[i].slice(0, 8)},
  });
  const across = category(keys, wide);
  const box = (colour, width) => ({color: "transparent", borderColor: colour, borderWidth: width});
  return {
    animation: false, grid: {left: 52, right: 8, top: 6, bottom: below + 64},
    tooltip: {renderMode: "richText", confine: true, formatter: p => p.seriesType === "heatmap" ? `${labels[p.value[1]]} (${p.value[1]}) → ${keys[p.value[0]]} (${p.value[0]})\n${number(p.value[3], 4)}` : ""},
    xAxis: {...across, name: "key: looked at", nameLocation: "middle", nameGap: below + 4, nameTextStyle: axisText(), axisLabel: {...across.axisLabel, rotate: turned ? 90 : 0}},
    yAxis: {...category(labels, high), inverse: true, name: "query: looks", nameLocation: "middle", nameGap: 38, nameTextStyle: axisText()},
    visualMap: {
      type: "continuous", min: signed ? -top : 0, max: top, dimension: 2, seriesIndex: 0, orient: "horizontal", left: "center", bottom: 0, itemWidth: 12, itemHeight: 180, calculable: false,
      text: [number(top, 2), number(signed ? -top : 0, 2)], textStyle: {color: ink("soft")},
      inRange: {color: data.palettes[signed ? (isDark() ? "diverging_dark" : "diverging") : "viridis"]},
    },
    series: [
      {type: "heatmap", data: cells, progressive: 0, emphasis: {disabled: true}, itemStyle: {borderWidth: 0}},
      {type: "scatter", data: truth, silent: true, symbol: "rect", symbolSize: [wide * 0.86, high * 0.86], itemStyle: box(signed ? ink("ink") : "#ffffff", 1.2), z: 4},
      {type: "scatter", data: [[view.key, view.query]], silent: true, symbol: "rect", symbolSize: [wide + 3, high + 3], itemStyle: box(signed ? ink("accent") : "#ff5ca8", 2.5), z: 5},
    ],
  };
}

function makePanel(run, name, choose) {
  const place = element("div", {class: "chart", tabindex: 0}), title = element("h3");
  const panel = {run, kind: view.kind, name, title, map: null, made: element("div", {class: "map"}, title, place)};
  panel.entry = chart(place, "", () => mapOptions(panel));
  panel.entry.draw = (draw => () => { if (panel.map) draw(); })(panel.entry.draw);
  place.addEventListener("keydown", event => {
    const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    if (!moves[event.key]) return;
    event.preventDefault();
    choose(view.query + moves[event.key][0], view.key + moves[event.key][1]);
  });
  return panel;
}

async function loadPanel(panel) {
  const log = logOf(panel.run), layer = within(view.layer, log.layers), head = within(view.head, log.heads), probe = within(view.probe, log.probes.length);
  panel.map = await mapAt(panel.run, panel.kind, panel.name, probe, layer, head, view.step);
  const about = MAPS[panel.name], run = data.runs[panel.run];
  panel.title.replaceChildren(about.title, element("span", {}, `${data.runs.length > 1 ? `${run.name}, ` : ""}${kindName(run, panel.kind)}head ${headName(layer, head)}, step ${whole(panel.map.step)}`));
  const label = `${about.title} of ${kindName(run, panel.kind)}head ${headName(layer, head)} at step ${panel.map.step}: ${about.says}. Arrow keys choose a cell.`;
  panel.entry.place.setAttribute("aria-label", label);
  panel.entry.draw();
  if (!panel.listens) {
    panel.listens = true;
    panel.entry.chart.getZr().on("click", event => {
      const cell = panel.entry.chart.convertFromPixel({gridIndex: 0}, [event.offsetX, event.offsetY]);
      if (cell && cell[0] >= 0 && cell[1] >= 0) panel.choose(cell[1], cell[0]);
    });
  }
}

// The grid of all heads, coloured by a statistic at this step.
function headGrid(state) {
  const log = logOf(view.run), names = Object.keys(log.statistics.values), place = placeOf({steps: log.statistics.step}, view.step);
  if (!names.includes(view.statistic)) view.statistic = ["on_target", "induction", "entropy"].find(name => names.includes(name)) || names[0];
  if (!view.statistic) return [];
  const values = log.statistics.values[view.statistic][place], known = measured(values), low = Math.min(...known, 0), high = Math.max(...known, low + 1e-12);
  const cells = [element("span", {}, "")];
  for (let h = 0; h < log.heads; h++) cells.push(element("span", {}, `head ${h}`));
  for (let l = 0; l < log.layers; l++) {
    cells.push(element("span", {}, `layer ${l}`));
    for (let h = 0; h < log.heads; h++) {
      const value = values[l * log.heads + h], share = Number.isFinite(value) ? (value - low) / (high - low) : 0, colours = data.palettes.viridis;
      cells.push(element("button", {
        type: "button", "aria-pressed": String(l === view.layer && h === view.head), "data-layer": l, "data-head": h, "aria-label": `layer ${l}, head ${h}: ${view.statistic} ${number(value)}`,
        style: `background:${colours[Math.round(share * (colours.length - 1))]};color:${share > 0.6 ? "#111" : "#fff"}`, onclick: () => state({layer: l, head: h}),
      }, fixed(value, Math.abs(value) < 10 ? 2 : 1)));
    }
  }
  return [element("div", {class: "grid", style: `grid-template-columns: auto repeat(${log.heads}, max-content)`}, cells)];
}

const MAPS_EXPLAINED = () => [
  how(element("p", {}, "For a head and a query i: scores s_ij, weights a_ij, values v_j, the head's output o_i, and g_i, how the loss reacts to that output. L is the sum of the losses of the probe's tokens."),
      formula("a_ij = softmax_j(s_ij)      o_i = Σ_j a_ij v_j      g_i = dL/do_i\nadvantage  A_ij = g_i · (o_i − v_j)\ncredit     c_ij = a_ij A_ij = −dL/ds_ij"),
      element("p", {}, "Advantage is, to first order, how much the loss would fall if query i drew value v_j rather than its present mixture. Credit is what gradient descent on the score alone would do to it: a position gains score because, at that moment, its value lowers the loss more than the mixture does. The credits of a query sum to zero, so their average says nothing. A key without attention gets no credit, however good its value."),
      element("p", {}, "In a real run scores share the matrices of queries and keys, values move at the same time, and the optimizer reshapes each step: what a map of credit asks for is not always what happens next.")),
];

function precision() {
  const forms = logOf(view.run).maps, find = name => forms.find(form => form.name === name), parts = [], log = logOf(view.run);
  const attention = find("attention"), credit = find("credit"), advantage = find("advantage");
  if (attention) parts.push(`Attention is kept on ${attention.levels} levels (a weight a is within about √a / ${attention.levels})`);
  if (credit) parts.push(`credit and advantage within ${number(0.5 / credit.levels + (credit.levels < 127 ? 0.5 / 127 : 0), 2)} of the largest of their map`);
  let text = `${parts.join(", ")}. `;
  if (attention && attention.steps.length < log.logs) text += `Of ${whole(log.logs)} logged steps ${whole(attention.steps.length)} are here, evenly spread. `;
  if (advantage && attention && advantage.steps.length < attention.steps.length) text += `Advantage is kept at ${whole(advantage.steps.length)} of these steps; the last one before the chosen step is shown. `;
  if (log.probes.length < log.probes_logged) text += `Of ${whole(log.probes_logged)} probes the first ${whole(log.probes.length)} are here. `;
  return text + `heed report RUN --svg FILE${view.kind === "self" ? "" : ` --kind ${view.kind}`} draws a map with all its precision.`;
}

function heatmapSection() {
  const runs = withMaps();
  if (!runs.length) {
    const why = data.runs.some(run => run.kinds.length) ? ["The maps of these runs are too large for a page. Single ones can be drawn:", "heed report RUN --svg FILE --layer 0 --head 0"]
      : ["These runs logged no attention, so there is nothing to look at here. To get heatmaps, train with", "log.attention_every=100 log.probes=2"];
    section("heatmaps", "Attention and credit", null, absent(...why));
    return;
  }
  view.run = runs[0];
  view.beside = runs.length > 1 && !data.controls ? runs[1] : -1;
  // What the head that looks at the true positions most looks at last.
  const begin = kind => {
    view.kind = kind;
    const log = logOf(view.run);
    Object.assign(view, {layer: Math.floor(log.first / log.heads), head: log.first % log.heads, probe: within(view.probe, log.probes.length)});
    const probe = probeOf(view.run), truth = i => probe.truth && probe.truth[i] && probe.truth[i].length ? probe.truth[i][0] : -1;
    view.query = Math.max(0, probe.text.length - 1);
    if (probe.truth) while (view.query > 0 && truth(view.query) < 0) view.query--;
    view.key = truth(view.query) >= 0 ? truth(view.query) : Math.max(0, Math.min(view.query - 1, keysOf(probe).length - 1));
  };
  begin(hasMaps(view.run, "cross") ? "cross" : kindsOf(view.run)[0]);
  view.step = last(stepsOf());
  const bar = element("div", {class: "bar"}), grid = element("div"), gridBar = element("div", {class: "bar"}), maps = element("div", {class: "maps"}), readout = element("p", {class: "readout", "aria-live": "polite", id: "readout"}), note = element("figcaption");
  const slider = element("input", {type: "range", min: 0, id: "step", "aria-label": "training step"}), out = element("output", {for: "step", id: "step-now"});
  let playing = null, queued = false;

  const choose = (query, key) => {
    const probe = probeOf(view.run);
    view.query = Math.max(0, Math.min(probe.text.length - 1, Math.round(query)));
    view.key = Math.max(0, Math.min(keysSeen(logOf(view.run), probe, view.query) - 1, Math.round(key)));
    panels.forEach(panel => panel.entry.draw());
    read();
  };
  const read = () => {
    readout.replaceChildren(element("span", {}, "Query ", element("b", {}, named(probeOf(view.run).text[view.query])), ` at ${view.query} and key `, element("b", {}, named(keysOf(probeOf(view.run))[view.key])), ` at ${view.key}`));
    panels.forEach(panel => {
      const value = panel.map && panel.map.at(view.query, view.key);
      readout.append("; ", element("span", {"data-run": panel.run, "data-map": panel.name, "data-value": value}, `${data.runs.length > 1 ? `${data.runs[panel.run].name}: ` : ""}${panel.name} ${number(value, 4)}${MAPS[panel.name].unit}`));
    });
    readout.append(".");
  };
  const showStep = () => {
    const steps = stepsOf(), place = placeOf({steps}, view.step);
    slider.max = steps.length - 1;
    slider.value = place;
    slider.setAttribute("aria-valuetext", `step ${steps[place]}`);
    out.textContent = `step ${whole(steps[place])}`;
  };
  // Many moves of the slider between two pictures are one.
  const load = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(async () => {
      queued = false;
      await Promise.all(panels.map(loadPanel));
      read();
      document.body.dataset.shown = `${view.run} ${view.beside} ${view.kind} ${view.probe} ${view.layer} ${view.head} ${view.step}`;
      document.body.dataset.drawn = document.body.dataset.drawn || String(performance.now());
    });
  };
  const state = change => {
    Object.assign(view, change);
    if (!hasMaps(view.run, view.kind)) change.kind = kindsOf(view.run)[0];
    if (change.kind) begin(change.kind);
    const log = logOf(view.run);
    view.layer = within(view.layer, log.layers);
    view.head = within(view.head, log.heads);
    view.probe = within(view.probe, log.probes.length);
    view.step = stepsOf()[placeOf({steps: stepsOf()}, view.step)];
    if ("run" in change || "kind" in change || "beside" in change || "advantage" in change || !panels.length) build();
    const probe = probeOf(view.run);
    view.query = Math.max(0, Math.min(view.query, probe.text.length - 1));
    view.key = Math.max(0, Math.min(view.key, keysSeen(log, probe, view.query) - 1));
    grid.replaceChildren(...headGrid(state));
    drawBar();
    note.textContent = precision();
    showStep();
    load();
    if (document.getElementById("heads")) document.dispatchEvent(new Event("head-chosen"));
  };
  const build = () => {
    panels.splice(0).forEach(panel => { drawn.splice(drawn.indexOf(panel.entry), 1); if (panel.entry.chart) panel.entry.chart.dispose(); });
    for (const run of [view.run, view.beside].filter(run => run >= 0 && hasMaps(run, view.kind)))
      for (const form of logOf(run).maps) if (form.name !== "advantage" || view.advantage) panels.push(makePanel(run, form.name, choose));
    panels.forEach(panel => { panel.choose = choose; });
    maps.replaceChildren(...panels.map(panel => panel.made));
  };
  const count = n => Array.from({length: n}, (_, i) => [i, String(i)]);
  const drawBar = () => {
    const log = logOf(view.run), focused = document.activeElement && document.activeElement.closest && document.activeElement.closest("label");
    const place = focused && focused.parentElement === bar ? [...bar.children].indexOf(focused) : -1;
    bar.replaceChildren(...[
      runs.length > 1 ? choice("Run", runs.map(i => [i, data.runs[i].name]), view.run, v => state({run: Number(v)})) : null,
      runs.length > 1 ? choice("Beside it", [[-1, "nothing"], ...runs.map(i => [i, data.runs[i].name])], view.beside, v => state({beside: Number(v)})) : null,
      choice("Attention", kindsOf(view.run).map(kind => [kind, KINDS[kind]]), view.kind, v => state({kind: v})),
      choice("Probe", log.probes.map((probe, i) => [i, `${i}: ${probe.text.join("").replace(/\s+/g, " ").slice(0, 24)}…`]), view.probe, v => state({probe: Number(v)})),
      choice("Layer", count(log.layers), view.layer, v => state({layer: Number(v)})),
      choice("Head", count(log.heads), view.head, v => state({head: Number(v)})),
      tick("attention from 0 to 1", view.whole, on => state({whole: on})),
      tick("stretch small values", view.stretch, on => state({stretch: on})),
      log.maps.some(form => form.name === "advantage") ? tick("advantage, too", view.advantage, on => state({advantage: on})) : null,
    ].filter(Boolean));
    bar.querySelectorAll("select").forEach(list => { list.id = `choose-${list.parentElement.firstChild.textContent.toLowerCase().replace(/ /g, "-")}`; });
    const names = Object.keys(log.statistics.values);
    if (!gridBar.firstChild || "run" in view) gridBar.replaceChildren(choice("All heads at this step, by", names.map(name => [name, name.replace(/_/g, " ")]), view.statistic, v => state({statistic: v})));
    if (place >= 0 && bar.children[place]) bar.children[place].querySelector("select, input").focus();
  };
  const go = by => { const steps = stepsOf(), place = Math.max(0, Math.min(steps.length - 1, placeOf({steps}, view.step) + by)); state({step: steps[place]}); return place; };
  slider.addEventListener("input", () => state({step: stepsOf()[Number(slider.value)]}));
  const play = element("button", {type: "button", class: "step", onclick: () => {
    if (playing) { clearInterval(playing); playing = null; } else {
      if (placeOf({steps: stepsOf()}, view.step) === stepsOf().length - 1) state({step: stepsOf()[0]});
      playing = setInterval(() => { if (go(1) === stepsOf().length - 1) { clearInterval(playing); playing = null; play.textContent = "▶ play"; } }, 160);
    }
    play.textContent = playing ? "❚❚ stop" : "▶ play";
  }}, "▶ play");
  const row = element("div", {class: "steps"}, play, element("button", {type: "button", class: "step", "aria-label": "one log back", onclick: () => go(-1)}, "‹"), slider,
                      element("button", {type: "button", class: "step", "aria-label": "one log on", onclick: () => go(1)}, "›"), out);
  const truth = runs.some(i => kindsOf(i).some(kind => data.runs[i].logs[kind].probes.some(probe => probe.truth)));
  const says = element("figcaption", {}, `Left: how much of each key's value a query takes. Right: credit, what gradient descent on the score would do at that moment; orange keys would gain weight, blue ones lose it.${truth ? " Outlined cells are the true positions of the generated task." : ""} Click a cell, or focus a map and use the arrow keys, to read its numbers.`);
  section("heatmaps", "Attention and credit", "Where a head looks, and what the loss would reward. Move through training with the slider.",
          element("figure", {}, bar, row, maps, readout, says, note, MAPS_EXPLAINED()),
          element("figure", {}, gridBar, grid, element("figcaption", {}, "Every head of the model at the chosen step; choose one to see its maps. These are means over a whole training batch, not over the probe.")));
  state({});
}
