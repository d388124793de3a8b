// --- words: the answer for these runs, made of what was measured ----------------------------------------------------
// Every sentence holds numbers that stand in the files, or says that something was not measured.

const first = () => data.runs[0];
const taskOf = run => run && run.settings["data.task"] && run.settings["data.task"] !== "none" ? run.settings["data.task"] : null;
const median = list => {
  const sorted = [...list].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};
const range = list => Math.min(...list) === Math.max(...list) ? number(list[0]) : `${number(Math.min(...list))} to ${number(Math.max(...list))}`;
const measured = list => (list || []).filter(Number.isFinite);
const mean = list => measured(list).length ? measured(list).reduce((a, b) => a + b, 0) / measured(list).length : NaN;

function sayLoss(run) {
  const loss = last(measured(run.valid.loss)), step = last(run.valid.step);
  if (loss === undefined) return `${run.name} trained for ${plural(run.loss.steps, "step")}; its validation loss was not measured. `;
  const accuracy = last(run.valid.accuracy), optimum = run.optimum;
  return `After ${plural(step, "step")} ${run.name} reaches a validation loss of ${number(loss, 4)} nats a scored token`
    + (Number.isFinite(optimum) ? `, ${number(loss - optimum, 3)} above the least that is possible (${number(optimum, 4)})` : "")
    + (Number.isFinite(accuracy) ? `, and its likeliest token is the right one in ${percent(accuracy)} of all cases` : "") + ". ";
}

// The three comparisons of the verdict, by name: {mean, low, high, margin, tails}.
function comparisons(file) {
  const names = stored(file, "comparison/name") || [], found = {};
  names.forEach((name, i) => {
    found[name] = Object.fromEntries(["mean", "low", "high", "margin", "tails"].map(key => [key, stored(file, `comparison/${key}`)[i]]));
  });
  return found;
}

const interval = c => `${fixed(c.mean)} [${fixed(c.low)}, ${fixed(c.high)}]`;
const VERDICTS = {
  NONE: "The context is worth less than a twentieth of the loss here, so attention had nothing to learn from it.",
  BAG: "Knowing which tokens are there is enough: attention that weighs all of them alike does as well. What this attention looks like in a heatmap is not needed for what it achieves.",
  POSITION: "Knowing where to look, regardless of what stands there, is enough: a fixed table of places does as well. Sharp heatmaps here show places, not an understanding of content.",
  CONTEXT: "Neither which tokens are there nor where they stand is enough: what a position holds decides how much it is drawn from. That is what is called context.",
  UNDECIDED: "The numbers do not decide it: an interval straddles its margin, or a control that the rule reads was not trained.",
};

function sayVerdict(file) {
  if (!file) return [];
  const c = comparisons(file), verdict = file.attributes.verdict, seeds = shapeOf(file, "curve")[1];
  const parts = [element("span", {class: "verdict"}, verdict), " "];
  parts.push(`${VERDICTS[verdict] || ""} Over ${plural(seeds, "seed")}`);
  if (c.worth && Number.isFinite(c.worth.mean))
    parts.push(`, context is worth ${percent(c.worth.mean)} of the loss of a model that sees none (${interval(c.worth)}, held against ${c.worth.margin})`);
  for (const [name, text] of [["uniform", "uniform attention"], ["position", "attention by place alone"]])
    if (c[name] && Number.isFinite(c[name].mean))
      parts.push(`; ${text} recovers ${fixed(c[name].mean)} of the gap (${interval(c[name])}, held against ${fixed(c[name].margin, 2)})`);
  parts.push(". ");
  if (file.attributes.expected)
    parts.push(`The config expected ${file.attributes.expected}, written down before the run. `);
  return parts;
}

function sayCredit() {
  const all = data.credit || [];
  if (!all.length) return "";
  const both = all.filter(c => Number.isFinite(c.onset_credit) && Number.isFinite(c.onset_attention));
  const before = both.filter(c => c.onset_attention > c.onset_credit), lags = both.map(c => c.onset_attention - c.onset_credit);
  let text = all.length === 1
    ? (both.length ? `Positive credit gathered on the true positions from step ${whole(all[0].onset_credit)} on, attention from step ${whole(all[0].onset_attention)}`
        + ` (${lags[0] > 0 ? `credit led by ${plural(lags[0], "step")}` : lags[0] < 0 ? `attention led by ${plural(-lags[0], "step")}` : "at the same log"}). `
       : Number.isFinite(all[0].onset_credit) ? `Positive credit gathered on the true positions from step ${whole(all[0].onset_credit)} on; attention never did. `
       : "Neither credit nor attention gathered on the true positions by the rule of onset. ")
    : `In ${before.length} of ${all.length} runs positive credit gathered on the true positions before attention did`
      + (lags.length ? ` (median lag ${plural(median(lags), "step")}, from ${number(Math.min(...lags))} to ${number(Math.max(...lags))}, ${plural(lags.length, "run")} in which both began). ` : ". ");
  const match = key => mean(all.map(c => c[key] && c[key].match));
  if (Number.isFinite(match("early_credit")))
    text += `The key with the most credit in the first logs is the one that attention ends on for ${percent(match("early_credit"))} of the queries; early attention points there for ${percent(match("early_attention"))}`
      + (Number.isFinite(match("frozen_twin")) ? `, the credit of a twin with frozen queries and keys for ${percent(match("frozen_twin"))}` : "")
      + `, informed chance would for ${percent(mean(all.map(c => c.base_rate)))}. `;
  return text;
}

// The head with the largest last value of a statistic: {value, layer, head}.
function bestHead(log, name) {
  const values = log && log.statistics.values[name] && last(log.statistics.values[name]);
  if (!values || !measured(values).length) return null;
  const head = values.indexOf(Math.max(...measured(values)));
  return {value: values[head], layer: Math.floor(head / log.heads), head: head % log.heads};
}
const headName = (layer, head) => `${layer}.${head}`;
const headOf = (log, index) => headName(Math.floor(index / log.heads), index % log.heads);

function sayHeads(run) {
  return run.kinds.map(kind => sayKind(run, kind)).join("");
}

function sayKind(run, kind) {
  const log = run.logs[kind], said = [];
  for (const [name, what] of [["on_target", "puts most of its weight on the true positions"], ["induction", "has the highest induction score"], ["previous", "looks most at the token before"]]) {
    const best = bestHead(log, name);
    if (best) said.push(`${headName(best.layer, best.head)} ${what} (${fixed(best.value, 2)})`);
  }
  const marks = log.marks.slice().sort((a, b) => a.step - b.step);
  const change = marks.length ? `The rule of change points marks ${plural(marks.length, "phase change")}, the first at step ${whole(marks[0].step)} (${marks[0].score} of head ${headOf(log, marks[0].head)}, from ${fixed(marks[0].before, 2)} to ${fixed(marks[0].now, 2)}). `
    : said.length ? "No score of a head changed fast enough to be marked as a phase change. " : "";
  return (said.length ? `At the last log ${kindName(run, kind)}head ${said.join("; head ")}. ` : "") + change;
}

function sayProbe(run) {
  const loss = stored(run.probe, "window_loss"), at = stored(run.probe, "window"), full = stored(run.probe, "loss");
  if (!loss || !full || !Number.isFinite(loss[0])) return "";
  let text = `With only ${plural(at[0], "token")} visible the loss is ${number(loss[0], 4)}, with all ${number(full[0], 4)}: to take the rest of the context away costs this trained model ${number(loss[0] - full[0])} nats a token, which may be more than the context is worth to one that was trained without it. `;
  const zero = stored(run.probe, "ablate_zero"), error = stored(run.probe, "ablate_zero_error");
  if (zero) {
    const [, sites, heads] = shapeOf(run.probe, "ablate_zero"), n = sites * heads;
    let best = -1;
    for (let i = 0; i < n; i++) if (Number.isFinite(zero[n + i]) && (best < 0 || zero[n + i] > zero[n + best])) best = i;
    if (best >= 0)
      text += `Removing head ${headName(Math.floor(best / heads), best % heads)}, chosen on one half of the sequences, costs ${number(zero[2 * n + best])} nats on the other half (standard error ${number(error && error[2 * n + best])}). `;
  }
  return text;
}

function notShown() {
  const run = first(), said = [], controls = data.controls;
  if (!controls)
    said.push("Whether context is what attention was rewarded for, rather than which tokens are there or where they stand: no controls were given to this page. heed controls CONFIG trains them.");
  else
    said.push("The verdict is about this task, this size, this budget of steps. It says nothing of attention in general, nor of larger models.");
  if (controls && !(stored(controls, "variant") || []).includes("mlp"))
    said.push("Whether a network without attention could have learned the same in the same budget: the control mlp was not trained.");
  if (!controls && data.runs.length === 1)
    said.push("How much of this is chance: there is one run, with one seed. No figure here has an interval over seeds.");
  if (!run.probe)
    said.push("What the model uses. A heatmap, however sharp, shows where a head looks, not that the prediction depends on it; heed probe measures that by intervention.");
  if (data.credit && data.credit.length)
    said.push("That credit caused attention. Scores add up credit, so its mere precedence is nearly a tautology; only that early credit tells where attention will be, better than the baselines do, is news. Queries and keys share their matrices among all positions, and the optimizer reshapes each step.");
  else
    said.push(`Which came first, credit or attention${data.no_credit ? ` (${data.no_credit})` : ""}.`);
  if (run.kinds.length && !run.kinds.some(kind => run.logs[kind].probes.some(probe => probe.truth)))
    said.push("Whether a head looks at the right position: nobody knows the right positions of this data.");
  if (run.kinds.length)
    said.push("Heads named as best were found on the batch that they are reported on; with many heads the best of them is flattered.");
  return said;
}

function answerSection() {
  const run = first(), task = taskOf(run);
  const asked = element("p", {class: "lead"}, "Why did attention learn what it learned here, and how do we know?");
  const card = element("div", {class: "card answer", id: "paragraph"}, element("p", {}, sayVerdict(data.controls), run ? sayLoss(run) : "", sayCredit(), run ? sayHeads(run) : "", run ? sayProbe(run) : ""));
  if (run) card.append(element("div", {class: "not"}, element("h3", {}, "What this does not show"), element("ul", {}, notShown().map(text => element("li", {}, text)))));
  section("answer", task ? `The answer for ${task}` : "The answer for this run", null, asked, card);
}
