/* The editor of a grid: its cells, their rewards, and the probability of slipping. */
const Editor = (() => {
  const { el } = Draw;
  const byId = (id) => document.getElementById(id);
  const drawing = { ...Problems.DRAWN };
  const sliders = {};
  let brush = "H";
  let changed = () => {};

  /** The drawn grid as a problem. */
  const problem = () => Problems.grid(drawing);

  function show() {
    Maps.editor(byId("editor-grid"), drawing.map, paint);
    for (const { key } of Settings.OF_GRID) sliders[key].show(drawing[key]);
    sliders.rows.show(drawing.map.length);
    sliders.columns.show(drawing.map[0].length);
  }

  /** Replace the drawing; default: the one that is drawn at first. */
  function draw(to = Problems.DRAWN) {
    Object.assign(drawing, to);
    show();
  }

  function paint(row, column) {
    const line = [...drawing.map[row]];
    line[column] = brush;
    draw({ map: drawing.map.map((each, i) => (i === row ? line.join("") : each)) });
    byId("editor-grid").children[row * line.length + column].focus();
    changed();
  }

  /** Change the size of the grid. Cells outside are lost; new cells are floor. */
  function resize(rows, columns) {
    const sign = (row, column) => drawing.map[row]?.[column] ?? ".";
    const line = (row) => Array.from({ length: columns }, (_, column) => sign(row, column)).join("");
    draw({ map: Array.from({ length: rows }, (_, row) => line(row)) });
    changed();
  }

  /** Create the controls; `then` is called after every change. */
  function build(then) {
    changed = then;
    for (const { sign, name } of Problems.KINDS) {
      const onchange = () => (brush = sign);
      const input = el("input", { type: "radio", name: "brush", value: sign, checked: sign === brush, onchange });
      byId("brushes").append(el("label", {}, input, ` ${name}`));
    }
    const add = (key, options) => {
      sliders[key] = Controls.slider({ id: `grid-${key}`, ...options });
      byId("editor-settings").append(sliders[key].node);
    };
    for (const field of Settings.OF_GRID) {
      const change = (value) => {
        drawing[field.key] = value;
        changed();
      };
      add(field.key, { ...field, change });
    }
    const { map } = drawing;
    add("rows", { ...Settings.SIZE, label: "rows", value: map.length, change: (to) => resize(to, drawing.map[0].length) });
    add("columns", { ...Settings.SIZE, label: "columns", value: map[0].length, change: (to) => resize(drawing.map.length, to) });
    show();
  }

  return { NAME: Problems.GRID, problem, build, draw, drawing };
})();
