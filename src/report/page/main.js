// --- the page, from top to bottom ---------------------------------------------------------------------------------------
function headline() {
  const run = first(), names = data.runs.map(r => r.name).join(", ");
  const what = data.controls_folder ? data.controls_folder.split("/").pop() : names;
  document.title = `${what} · heed report`;
  document.getElementById("title").textContent = `What attention learned: ${what}`;
  if (!run) return;
  const s = run.settings, size = [plural(s["model.layers"], "layer"), plural(s["model.heads"], "head"), `width ${s["model.width"]}`];
  const source = taskOf(run) ? `task ${taskOf(run)}` : s["data.text"] || s["data.store"] || "";
  document.getElementById("facts").textContent = [source, ...size, plural(run.loss.steps, "step"), run.loss.tokens ? `${whole(run.loss.tokens)} tokens` : null, data.runs.length > 1 ? plural(data.runs.length, "run") : null].filter(Boolean).join(" · ");
}

function settingsSection() {
  section("settings", "Settings and origin", "What was run, so that it can be run again: the same config and seed give the same bits on any number of ranks and threads.",
    data.runs.map(run => element("div", {class: "card"}, element("h3", {}, run.folder),
      run.host ? element("p", {class: "lead"}, `heed ${run.host.heed}, ${plural(run.host.ranks, "rank")} of ${plural(run.host.threads_per_rank, "thread")}, kernel ${run.host.kernel}, ${run.host.mpi}`) : null,
      element("details", {}, element("summary", {}, "config.ini"), element("pre", {tabindex: 0}, run.config || "not there")))));
}

headline();
for (const part of [answerSection, lossSection, controlsSection, heatmapSection, headSection, creditSection, probeSection, settingsSection]) part();
document.getElementById("footer").textContent = `Written by heed ${data.heed} from the files of the runs. Charts: Apache ECharts ${echarts.version} (Apache-2.0).`;
document.body.dataset.ready = String(performance.now());
