/* Elements, bars and small charts. All text is set as text, so that a name cannot be markup. */
const Draw = (() => {
  const TALLEST = 420; // pixels, of a chart of trajectories
  const SPACE = document.querySelector("svg").namespaceURI;

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style") node.style.cssText = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((each) => each !== null));
    return node;
  }

  /** An HTML element. */
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

  /** An SVG element. */
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SPACE, tag), attributes, children);

  /** Groups of bars: [{label, bars: [{kind, name, value}]}], probabilities. */
  function bars(node, groups) {
    node.replaceChildren(
      ...groups.map(({ label, bars: rows }) =>
        el(
          "div",
          { class: "group" },
          el("div", { class: "group-label" }, label),
          ...rows.map(({ kind, name, value }) =>
            el(
              "div",
              { class: "bar-row" },
              el("span", { class: "bar-name" }, name),
              el("span", { class: "track" }, el("span", { class: `fill ${kind}`, style: `width:${100 * value}%` })),
              el("span", { class: "bar-value" }, short(value)),
            ),
          ),
        ),
      ),
    );
  }

  /** A probability in a short form. */
  function short(p) {
    if (p === 0 || p === 1) return String(p);
    if (p < 0.001) return "< .001";
    return p > 0.999 ? "> .999" : p.toFixed(3);
  }

  /** Round numbers from low to high, about `count` of them. */
  function ticks(low, high, count = 4) {
    const raw = (high - low) / count;
    if (!(raw > 0) || !Number.isFinite(raw)) return [low];
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
    return found;
  }

  const tickText = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

  /** An empty chart as wide as its element: axes with ticks, and the scales x and y. */
  function frame(node, { height, xs, ys, xLabel, yLabel, label, xTicks }) {
    const width = Math.max(220, Math.round(node.clientWidth) || 320);
    const yTicks = ticks(...ys);
    const left = 26 + 7 * Math.max(...yTicks.map((each) => tickText(each).length));
    const [top, right, bottom] = [10, 12, 40];
    const x = (value) => left + ((value - xs[0]) / (xs[1] - xs[0] || 1)) * (width - left - right);
    const y = (value) => height - bottom - ((value - ys[0]) / (ys[1] - ys[0] || 1)) * (height - top - bottom);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
    for (const each of yTicks) {
      root.append(
        svg("line", { class: "rule", x1: left, x2: width - right, y1: y(each), y2: y(each) }),
        svg("text", { x: left - 6, y: y(each) + 4, "text-anchor": "end" }, tickText(each)),
      );
    }
    const most = Math.max(2, Math.floor((width - left) / 60));
    for (const each of xTicks ?? ticks(...xs, Math.min(8, most))) {
      root.append(svg("text", { x: x(each), y: height - bottom + 16, "text-anchor": "middle" }, tickText(each)));
    }
    root.append(
      svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
      svg("text", { transform: `translate(12 ${(height - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
    );
    node.replaceChildren(root);
    return { root, x, y, width };
  }

  /** Stacked columns, one per step: series [{kind, values}], not negative. */
  function columns(node, { series, high, xLabel, yLabel, label, height = 170 }) {
    const T = series[0].values.length;
    const xTicks = ticks(0, T - 1, Math.min(T, 6)).filter(Number.isInteger);
    const { root, x, y } = frame(node, { height, xs: [-0.6, T - 0.4], ys: [0, high || 1], xLabel, yLabel, label, xTicks });
    const wide = Math.min(48, Math.max(1, (x(1) - x(0)) * 0.8));
    for (let t = 0; t < T; t++) {
      let below = 0;
      for (const { kind, values } of series) {
        const above = below + Math.max(0, Math.min(values[t], 1e300));
        if (above > below) {
          root.append(
            svg("rect", { class: kind, x: x(t) - wide / 2, width: wide, y: y(above), height: Math.max(0, y(below) - y(above)) }),
          );
        }
        below = above;
      }
    }
  }

  /** Lines over one axis: series [{kind, points: [[x, y], ...]}], and a mark at one x. */
  function lines(node, { series, mark, xs, xLabel, yLabel, label, height = 230 }) {
    const all = series.flatMap(({ points }) => points.map((each) => each[1])).filter(Number.isFinite);
    const [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
    const pad = (high - low) * 0.06 || Math.max(1, Math.abs(high)) * 0.1;
    const { root, x, y } = frame(node, { height, xs, ys: [low - pad, high + pad], xLabel, yLabel, label });
    if (mark >= xs[0] && mark <= xs[1]) {
      root.append(svg("line", { class: "mark", x1: x(mark), x2: x(mark), y1: 10, y2: height - 40 }));
    }
    for (const { kind, points } of series) {
      const shown = points.filter((each) => Number.isFinite(each[1]));
      const path = shown.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("");
      root.append(svg("path", { class: `line ${kind}`, d: path }));
    }
  }

  /** Trajectories over time: [[state, ...], ...], with the rows of the chart named from the top. */
  function timelines(node, { paths, rows, kind, T, label }) {
    const width = Math.max(220, Math.round(node.clientWidth) || 320);
    const longest = Math.max(...rows.map((each) => each.name.length));
    const left = Math.min(width * 0.4, 16 + 7.9 * longest);
    const cut = Math.floor((left - 12) / 7.9);
    const gap = Math.min(26, Math.max(1, Math.floor(TALLEST / rows.length)));
    const every = Math.ceil(14 / gap); // rows that have a name
    const [top, bottom] = [8, 38];
    const height = top + gap * rows.length + bottom;
    const place = new Map(rows.map(({ state }, i) => [state, top + gap * (i + 0.5)]));
    const x = (t) => left + 8 + (t / Math.max(1, T)) * (width - left - 24);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
    rows.forEach(({ name }, i) => {
      const middle = top + gap * (i + 0.5);
      const text = name.length > cut ? `${name.slice(0, Math.max(1, cut - 1))}…` : name;
      if (i % every) return;
      root.append(
        svg("line", { class: "rule", x1: left, x2: width - 8, y1: middle, y2: middle }),
        svg("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, text),
      );
    });
    const most = Math.max(1, Math.min(T, 8, Math.floor((width - left) / 50)));
    for (const t of ticks(0, T, most).filter(Number.isInteger)) {
      root.append(svg("text", { x: x(t), y: height - 22, "text-anchor": "middle" }, String(t)));
    }
    root.append(svg("text", { x: (left + width) / 2, y: height - 5, "text-anchor": "middle" }, "step t"));
    paths.forEach((states, n) => {
      const shift = paths.length > 1 ? (n / (paths.length - 1) - 0.5) * 0.55 * gap : 0;
      const points = states.map((s, t) => `${x(t).toFixed(1)},${(place.get(s) + shift).toFixed(1)}`);
      root.append(svg("polyline", { class: `line thin ${kind}`, points: points.join(" ") }));
    });
    node.replaceChildren(root);
  }

  return { el, svg, bars, columns, lines, timelines, short };
})();
