/* The editor of a grid: its cells, their rewards, and the probability of slipping. */
const Editor = (() => {
  const { el } = Draw;
  const drawing = { map: [...Problems.DRAWN], brush: "H", slip: 0.2, step: -0.1, hole: -10, goal: 10 };
  const byId = (id) => document.getElementById(id);
  let changed = () => {};

  /** The drawn grid as a problem. */
  const problem = () => Problems.grid(drawing);

  function show() {
    Maps.editor(byId("editor-grid"), drawing.map, paint);
  }

  function paint(row, column) {
    const line = [...drawing.map[row]];
    line[column] = drawing.brush;
    drawing.map[row] = line.join("");
    show();
    byId("editor-grid").children[row * line.length + column].focus();
    changed();
  }

  /** Change the size of the grid. Cells outside are lost; new cells are floor. */
  function resize(rows, columns) {
    const sign = (row, column) => drawing.map[row]?.[column] ?? ".";
    const line = (row) => Array.from({ length: columns }, (_, column) => sign(row, column)).join("");
    drawing.map = Array.from({ length: rows }, (_, row) => line(row));
    show();
    changed();
  }

  /** Create the controls; `then` is called after every change. */
  function build(then) {
    changed = then;
    for (const { sign, name } of Problems.KINDS) {
      const onchange = () => (drawing.brush = sign);
      const input = el("input", { type: "radio", name: "brush", value: sign, checked: sign === drawing.brush, onchange });
      byId("brushes").append(el("label", {}, input, ` ${name}`));
    }
    const add = (options) => byId("editor-settings").append(Controls.slider(options).node);
    const number = (id, label, low, high, step) => {
      const change = (value) => {
        drawing[id] = value;
        changed();
      };
      add({ id: `grid-${id}`, label, low, high, step, value: drawing[id], change });
    };
    number("slip", "probability of slipping sideways", 0, 1, 0.01);
    number("step", "reward of a step", -2, 1, 0.1);
    number("hole", "reward of a hole", -50, 0, 1);
    number("goal", "reward of the goal", 0, 50, 1);
    const size = { low: 1, high: 10, step: 1, integer: true };
    const [rows, columns] = [drawing.map.length, drawing.map[0].length];
    const change = (across) => (value) => (across ? resize(drawing.map.length, value) : resize(value, drawing.map[0].length));
    add({ ...size, id: "grid-rows", label: "rows", value: rows, change: change(false) });
    add({ ...size, id: "grid-columns", label: "columns", value: columns, change: change(true) });
    show();
  }

  return { NAME: Problems.GRID, problem, build, drawing };
})();
