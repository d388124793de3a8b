// --- controls: the same model, seeing less ---------------------------------------------------------------------------
const MAY_USE = {
  softmax: "everything: the model itself", uniform: "which tokens are there, not where", position: "where, not what",
  content: "what is there, not where", random: "queries and keys as they were initialised", window: "the last tokens only",
  none: "the token itself only", mlp: "everything, but without attention",
};

function controlsSection() {
  const file = data.controls;
  if (!file) {
    section("controls", "Controls", null, absent("Nothing tells here what this attention is worth: no matched controls were given. To train them, and to see them on this page:", "heed controls CONFIG && heed report CONTROLS_DIR"));
    return;
  }
  const variants = stored(file, "variant"), [, seeds, points] = shapeOf(file, "curve"), loss = stored(file, "loss"), accuracy = stored(file, "accuracy");
  const optimum = stored(file, "optimum"), trained = stored(file, "trained"), low = stored(file, "recovered/low"), high = stored(file, "recovered/high"), middle = stored(file, "recovered/mean");
  const known = Number.isFinite(optimum[0]), of = (list, v) => list.slice(v * seeds, (v + 1) * seeds);
  const rows = variants.map((name, v) => [name, MAY_USE[name] || "", whole(trained[v]), number(mean(of(loss, v).map((x, s) => x - (known ? optimum[s] : 0)))), percent(mean(of(accuracy, v))),
                                          Number.isFinite(middle[v]) ? `${fixed(middle[v])} [${fixed(low[v])}, ${fixed(high[v])}]` : "–"]);
  const c = comparisons(file), step = stored(file, "step"), curve = stored(file, "curve");
  const read = Object.entries(c).map(([name, x]) => [name === "worth" ? "what context is worth, of the loss" : `recovered by ${name}`, fixed(x.mean), `[${fixed(x.low)}, ${fixed(x.high)}]`, `${(100 * (1 - x.tails)).toFixed(2)} %`, fixed(x.margin, 2)]);
  const bars = () => ({
    ...lineChart([], "share of the gap recovered", ""), grid: {left: 90, right: 40, top: 12, bottom: 48},
    xAxis: axis("share of the gap recovered", {scale: false}), tooltip: {renderMode: "richText", confine: true},
    yAxis: {type: "category", data: variants, inverse: true, axisLabel: {...axisText(), color: ink("ink"), fontSize: 13}, axisTick: {show: false}, axisLine: {lineStyle: {color: ink("line")}}},
    series: [
      {type: "bar", barWidth: "46%", itemStyle: {color: lineColour(0), opacity: 0.75}, data: middle, tooltip: {formatter: p => `${variants[p.dataIndex]}\n${interval({mean: middle[p.dataIndex], low: low[p.dataIndex], high: high[p.dataIndex]})}`},
       markLine: markLines([{x: 0.95, text: "0.95"}])},
      {type: "custom", silent: true, z: 5, data: variants.map((_, v) => [low[v], v, high[v]]), encode: {x: [0, 2], y: 1},
       renderItem: (_, api) => {
         if (!Number.isFinite(api.value(0))) return null;
         const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(2), api.value(1)]), line = {stroke: ink("ink"), lineWidth: 1.6};
         return {type: "group", children: [[a[0], a[1], b[0], b[1]], [a[0], a[1] - 5, a[0], a[1] + 5], [b[0], b[1] - 5, b[0], b[1] + 5]]
           .map(([x1, y1, x2, y2]) => ({type: "line", shape: {x1, y1, x2, y2}, style: line}))};
       }},
    ],
  });
  const curves = () => lineChart(variants.map((name, v) => ({name, points: step.map((x, k) => [x, mean(Array.from({length: seeds}, (_, s) => curve[(v * seeds + s) * points + k]))])})), "step", "validation loss, mean over seeds");
  section("controls", "Controls and verdict", "The same model on the same data, with the same number of trained parameters, allowed to see less. What a control recovers did not need what it lacks.",
    element("div", {class: "card"},
      element("h3", {}, element("span", {class: "verdict"}, file.attributes.verdict), ` ${file.attributes.meaning || ""}`),
      table(["attention", "may use", "parameters", known ? "loss above the least possible" : "loss", "likeliest is right", "gap recovered, 95 %"], rows),
      how(element("p", {}, `L is the validation loss at the end, paired by seed (${plural(seeds, "seed")}). R is 1 for a control that is as good as softmax attention and 0 for one that is as good as no context at all.`),
          formula("R_x = (L_none − L_x) / (L_none − L_softmax)"),
          element("p", {}, "Intervals of the table are Student's, 95 %, each for itself. The verdict reads the three below with Holm's correction, in this order: NONE when what context is worth lies wholly below 0.05; BAG when what uniform recovers lies wholly above 0.95; POSITION when what position recovers does; CONTEXT when both lie wholly below it; else UNDECIDED. The rule was written down before the first run."),
          read.length ? table(["comparison", "mean", "interval", "level", "held against"], read) : null)),
    element("div", {class: "pair"},
      figure("What each control recovers", bars, "Bars end at the mean over seeds, whiskers are 95 % intervals. 1 is softmax attention, 0 no context; a bar that passes 0.95 with its whole whisker needs nothing more."),
      figure("How they learn", curves, "Validation loss of every control, averaged over seeds.")));
}
