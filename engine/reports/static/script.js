"use strict";
(() => {
  const runs = JSON.parse(document.getElementById("drawn").textContent);
  const colours = {
    light: ["#0b62c4", "#d1495b", "#1f8a4c", "#8a4fbf", "#b26a00", "#00828c", "#7a4b3a", "#5b6470"],
    dark: ["#6cb0ff", "#ff8b98", "#6fd39b", "#c79cf2", "#f0b35a", "#5fd3dc", "#d3a08c", "#aab4c0"],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const element = (tag, parent, text) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const number = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(5)).toString());
  const dashes = { train: [], validation: [8, 4], test: [2, 4] };

  // ---- curves: a plot for each metric, with all runs and splits over each other
  const log = document.getElementById("log");
  const smoothing = document.getElementById("smoothing");
  const plots = document.getElementById("plots");
  const metrics = [...new Set(runs.flatMap((run) => run.series.map((each) => each.metric)))].filter((metric) =>
    runs.some((run) => run.series.some((each) => each.metric === metric && each.values.length > 1)),
  );
  metrics.sort((a, b) => rank(a) - rank(b));
  document.getElementById("curves").hidden = !metrics.length;

  function rank(metric) {
    return metric === "loss" ? 0 : metric.startsWith("learning_rate") ? 2 : 1;
  }

  // The moving average of exponential weights, corrected for its beginning (as TensorBoard's).
  function smoothed(values, weight) {
    let sum = 0;
    return values.map((value, k) => {
      sum = sum * weight + value * (1 - weight);
      return sum / (1 - weight ** (k + 1));
    });
  }

  // Round numbers between two values of a logarithmic scale; uPlot's own begin at the lowest value.
  function marks(low, high) {
    const found = [];
    const leading = high / low > 1000 ? [1] : [1, 2, 5];
    for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
      found.push(...leading.map((k) => k * power).filter((value) => value >= low && value <= high));
    }
    if (found.length > 2) return found;
    const rough = (high - low) / 5;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * ([1, 2, 5, 10].find((k) => k * unit >= rough) ?? 10);
    return Array.from({ length: 12 }, (_, k) => (Math.ceil(low / step) + k) * step).filter((value) => value <= high);
  }

  function draw() {
    const palette = colours[dark.matches ? "dark" : "light"];
    const weight = Number(smoothing.value);
    document.querySelector("output[for=smoothing]").textContent = smoothing.value;
    plots.replaceChildren();
    for (const metric of metrics) {
      const box = element("div", plots);
      box.className = "plot";
      element("h3", box, metric);
      const tables = [];
      const series = [{ label: "iteration", value: (_, value) => number(value) }];
      runs.forEach((run, place) => {
        const drawn = run.series.filter((each) => each.metric === metric);
        drawn.forEach((each) => {
          if (each.values.length < 2 && drawn.length > 1) return;
          const split = Object.keys(dashes).indexOf(each.split);
          const stroke = palette[(runs.length > 1 ? place : split) % palette.length];
          const shared = { stroke, spanGaps: true, width: 2, dash: runs.length > 1 ? dashes[each.split] : [] };
          const few = each.values.length <= 40;
          const add = (values, options) => {
            tables.push([each.iterations, log.checked ? values.map((v) => (v > 0 ? v : null)) : values]);
            series.push({ ...shared, ...options });
          };
          const smooth = weight > 0 && !few;
          if (smooth) add(each.values, { alpha: 0.25, width: 1, class: "raw", points: { show: false } });
          add(smooth ? smoothed(each.values, weight) : each.values, {
            label: runs.length > 1 ? `${run.name} ${each.split}` : each.split,
            points: { show: few, size: 5, fill: stroke },
            value: (_, value) => number(value),
          });
        });
      });
      const axis = { stroke: variable("--faint"), grid: { stroke: variable("--line"), width: 1 }, ticks: { show: false } };
      const options = {
        width: Math.max(box.clientWidth, 200),
        height: 280,
        series,
        // uPlot's own range of a logarithmic scale is of whole decades.
        scales: { x: { time: false }, y: log.checked ? { distr: 3, range: (_, low, high) => [low / 1.05, high * 1.05] } : {} },
        axes: [
          { ...axis, size: 32 },
          {
            ...axis,
            size: 64,
            values: (_, values) => values.map(number),
            ...(log.checked ? { splits: (_, side, low, high) => marks(low, high), filter: (_, values) => values } : {}),
          },
        ],
        cursor: { drag: { x: true, y: true, uni: 30 } },
        legend: { markers: { fill: (plot, k) => plot.series[k].stroke(plot, k) } },
      };
      box.plot = new uPlot(options, uPlot.join(tables), box);
    }
  }

  const fit = () => {
    for (const box of plots.children) box.plot.setSize({ width: Math.max(box.clientWidth, 200), height: 280 });
  };
  if (metrics.length) {
    draw();
    log.addEventListener("change", draw);
    smoothing.addEventListener("input", draw);
    dark.addEventListener("change", draw);
    addEventListener("resize", fit);
  }

  // ---- images: a slider for each run, over all iterations of its pictures
  const pictures = document.getElementById("pictures");
  for (const run of runs.filter((each) => each.films.length)) {
    pictures.hidden = false;
    const box = element("div", pictures);
    box.className = "films";
    const steps = [...new Set(run.films.flatMap((film) => film.frames.map(([iteration]) => iteration)))];
    steps.sort((a, b) => a - b);
    const label = element("label", box, `${runs.length > 1 ? `${run.name}, ` : ""}iteration `);
    const shown = element("output", label);
    element("br", label);
    const slider = element("input", label);
    Object.assign(slider, { type: "range", min: 0, max: steps.length - 1, step: 1, value: steps.length - 1 });
    slider.hidden = steps.length < 2;
    const grid = element("div", box);
    grid.className = "grid";
    const images = run.films.map((film) => {
      const figure = element("figure", grid);
      const caption = element("figcaption", figure);
      const image = element("img", figure);
      return { film, caption, image };
    });
    const show = () => {
      const at = steps[Number(slider.value)];
      shown.textContent = at.toLocaleString("en");
      for (const { film, caption, image } of images) {
        const [iteration, url] = film.frames.findLast(([each]) => each <= at) ?? film.frames[0];
        caption.textContent = `${film.split}: ${film.name}${iteration === at ? "" : ` (iteration ${iteration})`}`;
        image.alt = caption.textContent;
        image.src = url;
      }
    };
    slider.addEventListener("input", show);
    show();
    const missing = run.films.reduce((sum, film) => sum + film.left_out, 0);
    if (missing) element("p", box, `${missing} pictures were left out, so that this file stays small.`).className = "note";
  }
})();
