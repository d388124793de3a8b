// --- probe: what the model uses, by intervention -----------------------------------------------------------------------
const ABLATIONS = {
  ablate_zero: "output set to zero", ablate_mean: "output set to its mean", ablate_uniform: "equal weights of all visible keys", ablate_places: "mean weights of each pair of places", patch_values: "values of another sequence",
};

function siteNames(file) {
  const kinds = stored(file, "site_kind") || [], layers = stored(file, "site_layer") || [], names = ["self", "encoder", "cross"];
  return kinds.map((kind, s) => (new Set(kinds).size > 1 ? `${names[kind]} ` : "") + layers[s]);
}

// Values of the second half of the sequences, which nothing was chosen on: (site, head).
function reported(file, name) {
  const values = stored(file, name);
  if (!values) return null;
  const [, sites, heads] = shapeOf(file, name);
  return {sites, heads, values: values.slice(2 * sites * heads, 3 * sites * heads)};
}

function windowFigure(run) {
  const file = run.probe, at = stored(file, "window");
  const curve = (name, spread) => at.map((w, i) => [w, stored(file, name)[i], stored(file, spread) && stored(file, spread)[i]]);
  const build = () => {
    const lines = [{name: "predicts from the last w tokens alone", points: curve("window_loss", "window_error"), width: 2.4}];
    if (measured(stored(file, "span_loss")).length) lines.push({name: "every layer sees w places", points: curve("span_loss", "span_error"), width: 2});
    const options = lineChart(lines, "w: tokens that are visible", "nats a scored token");
    options.xAxis = {...options.xAxis, type: "log", logBase: 2, min: 1, max: last(at)};
    return options;
  };
  return figure("What the context is worth", build, "The loss when a prediction may use the last w tokens only. How far the curve still falls at w is what tokens farther back are worth.",
    how(formula("L(w) = mean of −log p(next token | the last w tokens)"), element("p", {}, "The second curve limits every attention layer to w places; layers on top of each other then still reach farther back.")), {low: true});
}

function ablationFigure(run) {
  const file = run.probe, names = Object.keys(ABLATIONS).filter(name => reported(file, name)), sites = siteNames(file);
  let name = names[0];
  const build = () => {
    const {heads, values} = reported(file, name), error = (reported(file, `${name}_error`) || {values: []}).values;
    const labels = values.map((_, i) => `${sites[Math.floor(i / heads)]}.${i % heads}`);
    return {
      ...lineChart([], "", ""), xAxis: {type: "category", data: labels, axisLabel: {...axisText(), interval: labels.length > 40 ? "auto" : 0, rotate: labels.length > 16 ? 90 : 0}, name: "head", nameLocation: "middle", nameGap: 34, nameTextStyle: axisText()},
      yAxis: axis("loss gained, nats", {scale: false, nameGap: 46}), tooltip: {renderMode: "richText", confine: true, formatter: p => `head ${labels[p.dataIndex]}\n${number(values[p.dataIndex])} ± ${number(error[p.dataIndex])}`},
      series: [{type: "bar", data: values, itemStyle: {color: lineColour(1), opacity: 0.85}, barMaxWidth: 26}],
    };
  };
  const made = figure("What a head is worth", build, "How much the loss grows without a head, on sequences that no head was chosen on. Bars below zero: the model is better off without it, or it is noise (whoever points at a bar reads its standard error).",
    how(formula("loss with the head replaced − loss as it is"), element("p", {}, "Replacing a head by its mean keeps what it always says; equal weights and mean weights keep its values but take away what it chooses; values of another sequence keep its choice but take away what is there. Heads can stand in for each other, so that the loss of one is not the loss of all.")),
    {low: true, extra: element("div", {class: "bar"}, choice("Replaced by", names.map(key => [key, ABLATIONS[key]]), name, value => { name = value; made.redraw(); }))});
  return made;
}

function probeSection() {
  const runs = data.runs.filter(run => run.probe && stored(run.probe, "window_loss"));
  if (!runs.length) {
    section("probe", "What the model uses", null, absent("A heatmap shows where heads look, not what the prediction depends on. That takes interventions: visible windows, heads removed, values exchanged. To measure them, and to see them here:", `heed probe ${first() ? first().folder : "RUN"}`));
    return;
  }
  section("probe", "What the model uses", "Measured by intervention on the trained model: what does the loss depend on?", runs.map(run => [
    runs.length > 1 ? element("h3", {}, run.name) : null,
    element("div", {class: "pair"}, windowFigure(run), Object.keys(ABLATIONS).some(name => reported(run.probe, name)) ? ablationFigure(run) : null),
  ]));
}
