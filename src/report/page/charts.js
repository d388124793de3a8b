// --- charts: the page's parts, and one way to make a chart ---------------------------------------------------------
// element("p", {class: "lead"}, "text", child): text is never read as HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return made;
}

function section(id, title, lead, ...children) {
  const made = element("section", {id, "aria-labelledby": `${id}-title`}, element("h2", {id: `${id}-title`}, title),
                       lead ? element("p", {class: "lead"}, lead) : null, children);
  document.getElementById("main").append(made);
  document.getElementById("contents").append(element("a", {href: `#${id}`}, title));
  return made;
}

// Something that is not there, and the command that makes it.
const absent = (text, command) => element("div", {class: "card absent"}, text, command ? " " : null, command ? element("code", {}, command) : null);

const how = (...children) => element("details", {}, element("summary", {}, "How it is computed"), children);
const formula = text => element("code", {class: "formula"}, text);

function choice(label, options, value, change) {
  const list = element("select", {onchange: event => change(event.target.value)},
                       options.map(([key, text]) => element("option", {value: key, selected: String(key) === String(value)}, text)));
  return element("label", {}, label, list);
}

function tick(label, on, change) {
  return element("label", {class: "tick"}, element("input", {type: "checkbox", checked: on, onchange: event => change(event.target.checked)}), label);
}

function table(head, rows) {
  return element("div", {class: "scroll", tabindex: 0}, element("table", {},
    element("thead", {}, element("tr", {}, head.map(text => element("th", {scope: "col"}, text)))),
    element("tbody", {}, rows.map(row => element("tr", {}, row.map(cell => element("td", {}, cell)))))));
}

// Okabe and Ito's colours, told apart by people who do not see red or green; lines differ in their dashes as well.
const LINES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#000000", "#e69f00"],
  dark: ["#56b4e9", "#ff8c42", "#2ecfa3", "#e59ac4", "#e6c84f", "#9ad0f5", "#f0f0f0", "#e69f00"],
};
const DASHES = ["solid", [6, 3], [2, 3], [8, 3, 2, 3]];
const darkMode = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => darkMode.matches && !matchMedia("print").matches;
const lineColour = i => LINES[isDark() ? "dark" : "light"][i % 8];
const dash = i => DASHES[Math.floor(i / 8) % 4];
const ink = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const drawn = [];  // {chart, place, build}

// A chart in `place`; build() gives its options, and is called again when the page turns dark or bright.
function chart(place, label, build) {
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", label);
  const entry = {place, build, chart: null};
  entry.draw = () => {
    if (!entry.chart) entry.chart = echarts.init(place, null, {renderer: "canvas"});
    entry.chart.setOption(build(), {notMerge: true});
  };
  drawn.push(entry);
  return entry;
}

// Charts are drawn when they come near the window: a page with many opens at once.
const watcher = new IntersectionObserver(seen => {
  for (const {target, isIntersecting} of seen)
    if (isIntersecting) {
      watcher.unobserve(target);
      drawn.filter(entry => entry.place === target && !entry.chart).forEach(entry => entry.draw());
    }
}, {rootMargin: "400px"});

new ResizeObserver(() => drawn.forEach(entry => entry.chart && entry.chart.resize())).observe(document.documentElement);
darkMode.addEventListener("change", () => drawn.forEach(entry => entry.chart && entry.draw()));
addEventListener("beforeprint", () => drawn.forEach(entry => { entry.draw(); entry.chart.resize(); }));

// A figure with a heading, a chart, what it shows, and how it is computed. `extra` stands between heading and chart.
function figure(title, build, caption, explained, {low = false, extra = null, label = null} = {}) {
  const place = element("div", {class: low ? "chart low" : "chart"});
  const made = element("figure", {}, element("h3", {}, title), extra, place, element("figcaption", {}, caption), explained);
  const entry = chart(place, label || `${title}. ${caption}`, build);
  watcher.observe(place);
  made.redraw = () => entry.chart && entry.draw();
  return made;
}

const axisText = () => ({color: ink("soft"), fontSize: 12});
const axis = (name, more = {}) => ({
  type: "value", name, nameLocation: "middle", nameGap: 30, nameTextStyle: axisText(), axisLabel: {...axisText(), hideOverlap: true},
  axisLine: {lineStyle: {color: ink("line")}}, splitLine: {lineStyle: {color: ink("grid")}}, scale: true, ...more,
});

// What all line and bar charts share. lines: [{name, points: [[x, y], ...], ...}]
function lineChart(lines, x, y, more = {}) {
  return {
    animation: false, aria: {enabled: false}, textStyle: {fontFamily: getComputedStyle(document.body).fontFamily},
    grid: {left: 62, right: 22, top: lines.length > 1 ? 44 : 18, bottom: 48},
    legend: lines.length > 1 ? {type: "scroll", top: 0, left: 0, textStyle: {color: ink("ink")}, pageTextStyle: {color: ink("soft")}} : undefined,
    tooltip: {trigger: "axis", renderMode: "richText", confine: true, valueFormatter: value => number(value, 4), order: "valueDesc"},
    xAxis: axis(x, {scale: false, min: "dataMin", max: "dataMax", splitLine: {show: false}}), yAxis: axis(y, {nameGap: 44}),
    series: lines.map((line, i) => ({
      type: "line", name: line.name, data: line.points, showSymbol: line.points.length < 40, symbolSize: 5, sampling: "lttb",
      lineStyle: {width: line.width || 1.8, type: line.dash || dash(i), opacity: line.opacity ?? 1},
      itemStyle: {color: line.colour || lineColour(i), opacity: line.opacity ?? 1},
      markLine: line.markLine, markPoint: line.markPoint, z: line.z || 2, silent: line.silent,
    })),
    ...more,
  };
}

// Marks across a chart: [{x or y, text}].
const markLines = (marks, colour) => ({
  silent: true, symbol: "none", animation: false,
  lineStyle: {color: colour || ink("soft"), type: [4, 4], width: 1.2},
  label: {color: ink("ink"), fontSize: 11, position: "insideEndTop"},
  data: marks.map(mark => ({...(mark.x === undefined ? {yAxis: mark.y} : {xAxis: mark.x}), label: {formatter: mark.text, position: mark.x === undefined ? "insideEndTop" : "end"}})),
});
