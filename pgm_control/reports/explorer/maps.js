/* Maps of grid problems: policies as arrows over the values, trajectories, and the grid of the editor. */
const Maps = (() => {
  const { el, svg } = Draw;
  const TALLEST = 200; // pixels, of a map of trajectories
  const MARKS = { S: "start", G: "goal", H: "hole", C: "cliff", "#": "wall" };

  /** Move the focus over rows of buttons by arrow keys; the Tab key stops at one of them only. */
  function roving(buttons, columns) {
    const stop = (at) => buttons.forEach((each, i) => each && (each.tabIndex = i === at ? 0 : -1));
    stop(buttons.findIndex(Boolean));
    buttons.forEach((button, i) => {
      if (!button) return;
      button.addEventListener("focus", () => stop(i));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        for (let to = i + step; to >= 0 && to < buttons.length; to += step) {
          if (Math.abs(step) === 1 && Math.floor(to / columns) !== Math.floor(i / columns)) return;
          if (buttons[to]) return void buttons[to].focus();
        }
      });
    });
  }

  const nothing = (layout, i) => layout.cells[i] < 0 || "GHC#".includes(layout.marks?.[i] ?? ".");

  /** A map of one guide; `show` sets its numbers: policy (A per state), values (S) and their text, the selected state. */
  function policyMap(raw, title, select) {
    const { rows, columns, cells, directions, marks } = raw.layout;
    const parts = cells.map((s, i) => {
      const mark = marks?.[i] ?? (raw.initial[s] > 0 ? "S" : ".");
      if (nothing(raw.layout, i)) {
        const kind = MARKS[mark] ?? "wall";
        return { node: el("span", { class: `cell ${kind}`, title: kind }, kind === "wall" ? "" : kind[0].toUpperCase()) };
      }
      const arrows = directions.map((direction) => {
        if (!direction) return svg("circle", { class: "arrow", r: 3 });
        return svg("path", { class: "arrow", d: "M0,0V-7M-2.8,-4L0,-7.4L2.8,-4" });
      });
      const picture = svg("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, ...arrows);
      const node = el("button", { class: "cell", type: "button", onclick: () => select(s) }, picture);
      if (mark === "S") node.append(el("span", { class: "corner" }, "S"));
      return { node, arrows, state: s };
    });
    roving(parts.map((each) => (each.arrows ? each.node : null)), columns);
    const grid = el("div", { class: "grid", role: "group", "aria-label": title, style: `--columns:${columns};--rows:${rows}` });
    grid.append(...parts.map((each) => each.node));

    function show({ policy, values, write, low, high, selected }) {
      for (const { node, arrows, state: s } of parts) {
        if (!arrows) continue;
        const share = high > low ? (100 * (Math.max(values[s], low) - low)) / (high - low) : 50;
        node.style.setProperty("--share", `${share.toFixed(1)}%`);
        node.setAttribute("aria-pressed", s === selected);
        const said = [];
        arrows.forEach((arrow, a) => {
          const p = policy[s * raw.actions + a];
          arrow.style.display = p < 0.03 ? "none" : "";
          if (p >= 0.03) {
            const [down, right] = directions[a] ?? [-1, 0];
            const angle = (Math.atan2(right, -down) * 180) / Math.PI;
            arrow.setAttribute("transform", `rotate(${angle}) translate(0,${2 * p - 2}) scale(${0.35 + 0.75 * p})`);
            arrow.style.opacity = 0.35 + 0.65 * p;
            said.push(`${Words.actionLabel(raw, a)} ${Draw.short(p)}`);
          }
        });
        const text = `${raw.stateNames[s]}: value ${write(values[s])}; ${said.join(", ")}`;
        node.setAttribute("aria-label", text);
        node.title = text;
      }
    }
    return { node: grid, show };
  }

  /** Trajectories over the cells. */
  function paths(node, raw, trajectories, kind, label) {
    const { rows, columns, cells, marks } = raw.layout;
    const size = Math.max(18, Math.min(46, Math.floor((node.clientWidth || 320) / columns), Math.floor(TALLEST / rows)));
    const [width, height] = [columns * size, rows * size];
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
    const place = new Map(cells.map((s, i) => [s, i]));
    cells.forEach((s, i) => {
      const mark = marks?.[i] ?? (s < 0 ? "#" : ".");
      const at = { x: (i % columns) * size, y: Math.floor(i / columns) * size };
      root.append(svg("rect", { class: `tile ${MARKS[mark] ?? ""}`, ...at, width: size, height: size }));
      if ("SGHC".includes(mark)) {
        root.append(svg("text", { x: at.x + 4, y: at.y + 13, class: "tile-mark" }, mark));
      }
    });
    trajectories.forEach(({ states }, n) => {
      const shift = (k) => (((n * k) % 7) / 6 - 0.5) * size * 0.45;
      const inside = states.filter((s) => place.has(s));
      const points = inside.map((s) => [
        ((place.get(s) % columns) + 0.5) * size + shift(3),
        (Math.floor(place.get(s) / columns) + 0.5) * size + shift(5),
      ]);
      if (!points.length) return;
      const text = points.map((point) => point.map((each) => each.toFixed(1)).join(",")).join(" ");
      const [x, y] = points[points.length - 1];
      root.append(svg("polyline", { class: `line thin ${kind}`, points: text }), svg("circle", { class: `end ${kind}`, cx: x, cy: y, r: 3.5 }));
    });
    node.replaceChildren(root);
  }

  /** The grid of the editor, one button per cell. `paint(row, column)` is called for each click or key. */
  function editor(node, map, paint) {
    const columns = map[0].length;
    const buttons = [...map.join("")].map((sign, i) => {
      const kind = Problems.KINDS.find((each) => each.sign === sign).name;
      const [row, column] = [Math.floor(i / columns), i % columns];
      const label = `row ${row}, column ${column}: ${kind}`;
      const text = { S: "S", G: "G", H: "H" }[sign] ?? "";
      return el(
        "button",
        { class: `cell ${kind}`, type: "button", "aria-label": label, title: label, onclick: () => paint(row, column) },
        text,
      );
    });
    roving(buttons, columns);
    node.style.setProperty("--columns", columns);
    node.replaceChildren(...buttons);
  }

  return { policyMap, paths, editor };
})();
