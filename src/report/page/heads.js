// --- heads: scores through training, phase changes, and what came first -----------------------------------------------
const STATISTICS = {
  entropy: ["Entropy of attention", "H_i = −Σ_j a_ij log a_ij, mean over the queries of a batch", "0 nats: all weight on one key. The logarithm of the number of keys: all alike."],
  distance: ["Distance", "Σ_j a_ij (i − j), mean over queries", "How far back a head looks."],
  top1: ["Largest weight", "max_j a_ij, mean over queries", "How decided a head is."],
  previous: ["Previous-token score", "a_i,i−1, mean over queries with i > 0", "High for heads that copy the token before to each place: the first half of an induction circuit."],
  duplicate: ["Duplicate-token score", "weight of earlier places of the query's own token", "Mean over queries whose token came before."],
  induction: ["Induction score", "weight of the places behind earlier places of the query's token (prefix matching, Olsson et al. 2022)", "High for heads that look for what followed last time."],
  on_target: ["Attention on the true positions", "Σ_{j true} a_ij, mean over queries that have true positions", "Known in generated tasks alone."],
  credit_size: ["Size of credit", "Σ_j |c_ij|, mean over queries", "How hard the loss pulls at the scores of a head."],
  credit_share: ["Credit on the true positions", "Σ positive credit on true positions / Σ positive credit, over queries that have some", "Where the loss asks attention to go."],
  credit_target: ["Net credit of the true positions", "Σ_{j true} c_ij, mean over queries", "Positive: descent would move weight onto them. The credit of all others is its negative."],
  advantage_target: ["Advantage of the true positions", "mean of A_ij over true positions", "How much better their values are than the present mixture."],
  advantage_rest: ["Advantage of the other positions", "mean of A_ij over the other visible positions", "To be read beside that of the true ones."],
};

function headLines(run, name) {
  const log = logOf(run), steps = log.statistics.step, values = log.statistics.values[name];
  if (!values) return [];  // not defined for this kind of attention
  const n = log.layers * log.heads, chosen = view.layer * log.heads + view.head;
  return Array.from({length: n}, (_, h) => {
    const marks = log.marks.filter(mark => mark.score === name && mark.head === h), on = h === chosen || n <= 4;
    return {
      name: headOf(log, h), points: steps.map((s, k) => [s, values[k][h]]), width: h === chosen ? 3 : 1.3, opacity: on ? 1 : 0.5, z: h === chosen ? 5 : 2,
      colour: lineColour(n <= 8 ? h : Math.floor(h / log.heads)), dash: dash(n <= 8 ? h : 8 * (h % log.heads)),
      markPoint: marks.length ? {symbol: "pin", symbolSize: 34, animation: false, label: {fontSize: 9, color: isDark() ? "#000" : "#fff", formatter: headOf(log, h)},
                                 data: marks.map(mark => ({coord: [mark.step, mark.now], value: mark.step}))} : undefined,
    };
  });
}

function headSection() {
  const run = withMaps()[0] ?? data.runs.findIndex(r => r.kinds.length);
  if (run < 0) return;
  if (!logOf(run)) view.kind = data.runs[run].kinds[0];
  const names = Object.keys(STATISTICS).filter(name => data.runs[run].kinds.some(kind => name in data.runs[run].logs[kind].statistics.values));
  const here = Object.keys(logOf(run).statistics.values), preferred = ["on_target", "credit_share", "induction", "previous", "entropy"].filter(name => here.includes(name));
  const place = element("div"), figures = [];
  const shown = () => view.run;
  const make = wanted => {
    let name = wanted;
    const caption = () => `${STATISTICS[name][2]} One line a head${data.runs[shown()].kinds.length > 1 ? " of the kind of attention chosen above" : ""}, the thick one is that of the maps above.${name in logOf(shown()).statistics.values ? "" : ` It is not defined for ${KINDS[view.kind]}.`}${logOf(shown()).marks.some(mark => mark.score === name) ? " Pins mark phase changes." : ""}`;
    const text = element("span", {}, caption()), code = formula(STATISTICS[name][1]);
    const made = figure(STATISTICS[name][0], () => lineChart(headLines(shown(), name), "step", STATISTICS[name][0].toLowerCase()), text, how(code,
      element("p", {}, "Statistics are means over the queries of a whole training batch at the log step, on all ranks. A phase change is marked at the first log at which the mean of the last 3 logs differs from that of the 10 logs that lie 8 to 17 logs before by at least 0.1 and by at least 6 of their standard deviations.")),
      {low: true, label: STATISTICS[name][0], extra: element("div", {class: "bar"}, choice("Score", names.map(key => [key, STATISTICS[key] ? STATISTICS[key][0] : key]), name, value => {
        name = value;
        made.querySelector("h3").textContent = STATISTICS[name][0];
        text.textContent = caption();
        code.textContent = STATISTICS[name][1];
        made.redraw();
      }))});
    made.retell = () => { text.textContent = caption(); };
    figures.push(made);
    return made;
  };
  const {kinds, logs} = data.runs[run], fewest = Math.min(...kinds.map(kind => logs[kind].logs));
  const list = kinds.flatMap(kind => logs[kind].marks.map(mark => ({...mark, kind}))).sort((a, b) => a.step - b.step)
    .map(mark => [whole(mark.step), mark.score.replace(/_/g, " "), KINDS[mark.kind], headOf(logs[mark.kind], mark.head), fixed(mark.before), fixed(mark.now)]);
  section("heads", "Heads through training", "Scores of every head at every log: when a head becomes what it is.",
    element("div", {class: "pair"}, (preferred.length ? preferred : here).slice(0, 4).map(make)),
    element("div", {class: "card"}, element("h3", {}, "Phase changes"), list.length ? table(["step", "score", "attention", "head", "before", "then"], list.slice(0, 60)) : element("p", {class: "lead"},
      `None was marked${fewest < 20 ? `: the rule needs 20 logs, and this run has ${fewest}` : " by the rule below the figures"}.`)));
  document.addEventListener("head-chosen", () => figures.forEach(made => { made.retell(); made.redraw(); }));
}

// --- which came first -------------------------------------------------------------------------------------------------
function creditSection() {
  const all = data.credit || [];
  if (!all.length) {
    section("first", "Which came first?", null, absent(`Whether credit came before attention is known of generated tasks, whose true positions are known, with enough logs. ${data.no_credit ? `Here: ${data.no_credit}.` : ""}`, ""));
    return;
  }
  let shown = all[0];
  const build = () => {
    const c = shown, marks = [{y: 2 * c.base_rate, text: "twice the informed chance"}];
    if (Number.isFinite(c.onset_credit)) marks.push({x: c.onset_credit, text: `credit ${c.onset_credit}`});
    if (Number.isFinite(c.onset_attention)) marks.push({x: c.onset_attention, text: `attention ${c.onset_attention}`});
    const share = list => c.step.map((s, k) => [s, list[k]]);
    const options = lineChart([{name: "positive credit on the true positions", points: share(c.credit_share), colour: lineColour(1), width: 2.4, markLine: markLines(marks)},
                               {name: "attention on the true positions", points: share(c.attention_share), colour: lineColour(0), width: 2.4, dash: [6, 3]}], "step", "share");
    options.grid.top = 62;
    options.yAxis.min = 0;
    return options;
  };
  const pick = all.length > 1 ? element("div", {class: "bar"}, choice("Run", all.map((c, i) => [i, c.run]), 0, i => { shown = all[i]; made.redraw(); })) : null;
  const rows = all.map(c => [c.run.split("/").pop(), `${c.kind === "cross" ? "cross " : ""}${headName(c.layer, c.head)}`, number(c.onset_credit), number(c.onset_attention), number(c.onset_attention - c.onset_credit),
                             ...["early_credit", "early_attention", "frozen_twin"].map(key => percent(c[key].match)), percent(c.base_rate), fixed(c.early_credit.tau, 2), fixed(c.early_attention.tau, 2), fixed(c.frozen_twin.tau, 2)]);
  const made = figure("Credit and attention on the true positions", build, "Of the head with the most attention on true positions at the end, which was chosen on one half of the probes; the shares are those of the other half.",
    how(element("p", {}, "Onset is the first of three successive logs at which a share is above twice its base rate, the informed chance: one by the number of candidates that a reader would consider who knows the form of the task but not the answer. The lag is the onset of attention minus that of credit."),
        formula("lag = onset(attention) − onset(credit)      base rate = 1 / candidates"),
        element("p", {}, "Early credit is the mean over the logs of the first twentieth of the steps, at least five. Match is the share of queries whose key with the largest early credit is the one with the most attention at the end; tau is Kendall's over the visible keys. Baselines: early attention itself, the credit of a twin whose queries and keys stay as initialised, informed chance.")),
    {extra: pick, low: true});
  section("first", "Which came first?", "Does credit, what the loss asks for, point at the true positions before attention does? And does it tell where attention will be?", made,
    element("div", {class: "card"}, table(["run", "head", "onset of credit", "onset of attention", "lag", "match: early credit", "early attention", "frozen twin", "chance", "tau: early credit", "early attention", "frozen twin"], rows)));
}
