// --- curves: losses --------------------------------------------------------------------------------------------------
function lossSection() {
  const runs = data.runs, lines = [], marks = [];
  runs.forEach((run, i) => {
    const name = runs.length > 1 ? `${run.name}: ` : "";
    lines.push({name: `${name}training`, run: i, points: run.loss.step.map((s, k) => [s, run.loss.loss[k]]), opacity: runs.length > 1 ? 0.35 : 0.5, width: 1.2});
    lines.push({name: `${name}validation`, run: i, points: run.valid.step.map((s, k) => [s, run.valid.loss[k]]), width: 2.4, validation: true});
  });
  const optima = [...new Set(runs.map(run => run.optimum).filter(Number.isFinite).map(x => x.toPrecision(5)))];
  optima.forEach(optimum => marks.push({y: Number(optimum), text: `least possible loss ${number(Number(optimum), 4)}`}));
  const lowest = Math.min(...optima.map(Number), ...lines.flatMap(line => line.points.map(p => p[1]).filter(Number.isFinite)));
  const build = () => {
    const coloured = lines.map(line => ({...line, colour: lineColour(line.run), dash: line.validation ? dash(line.run) : "solid"}));
    coloured[0].markLine = markLines(marks);
    const options = lineChart(coloured, "step", "nats a scored token");
    options.yAxis.min = optima.length ? Math.min(0, lowest) : value => Math.max(0, Math.floor(value.min * 5) / 5);
    return options;
  };
  const thinned = runs.filter(run => run.loss.width > 1);
  const caption = "How surprised the model is by the next token, on average. Training loss is that of each step's batch before the update; validation loss is measured on data that no step has trained on."
    + (optima.length ? " The dashed line is the least that anyone could reach who knows how the data are made: the Bayes-optimal loss of this generated task." : "")
    + (thinned.length ? ` Each point of training loss is a mean over ${whole(thinned[0].loss.width)} steps.` : "");
  const rows = runs.map(run => [run.name, run.settings["model.attention"] || "–", whole(run.loss.steps), number(run.optimum, 4), number(last(run.loss.loss), 4), number(last(run.valid.loss), 4),
                                Number.isFinite(last(run.valid.loss)) && Number.isFinite(run.optimum) ? number(last(run.valid.loss) - run.optimum) : "–", percent(last(run.valid.accuracy))]);
  section("loss", "Loss", null,
    figure("Loss through training", build, caption,
      how(element("p", {}, "The loss of one prediction is minus the logarithm of the probability that the model gave to the token that came. Sums over tokens are divided once, by the number of scored tokens."),
          formula("L = −(1/n) Σ log p(token that follows | tokens before)      in nats: 0.69 nats are one bit"))),
    element("div", {class: "card"}, table(["run", "attention", "steps", "least possible", "training, last", "validation, last", "above the least", "likeliest is right"], rows)));
}
