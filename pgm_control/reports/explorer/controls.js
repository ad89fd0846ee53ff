/* Sliders with a number field: drag, type or use the arrow keys. */
const Controls = (() => {
  const { el } = Draw;

  /** A slider from low to high, and a number field within [least, most]. `change` is called with every new value. */
  function slider({ id, label, low, high, step, value, logarithmic = false, least = low, most = high, integer = false, change }) {
    const toRange = (x) => (logarithmic ? Math.log10(x) : x);
    const fromRange = (x) => (logarithmic ? Number((10 ** x).toPrecision(3)) : x);
    const grain = logarithmic ? 0.01 : step;
    const range = el("input", { id, type: "range", min: toRange(low), max: toRange(high), step: grain });
    const number = el("input", {
      id: `${id}-number`,
      type: "number",
      min: least === -Infinity ? null : least,
      max: most === Infinity ? null : most,
      step: integer ? 1 : "any",
      "aria-label": `${label}, as a number`,
      inputmode: integer ? "numeric" : "decimal",
    });
    const node = el("div", { class: "slider" }, el("label", { for: id }, label), range, number);
    let current = value;

    function show(to) {
      current = to;
      range.value = toRange(to);
      range.setAttribute("aria-valuetext", String(to));
      if (Number(number.value) !== to || number.value === "") number.value = Number(to.toPrecision(5));
      number.removeAttribute("aria-invalid");
    }

    function take(to) {
      show(to);
      change(to);
    }

    range.addEventListener("input", () => take(fromRange(Number(range.value))));
    number.addEventListener("input", () => {
      const to = Number(number.value);
      const fits = number.value !== "" && to >= least && to <= most && Number.isFinite(to);
      if (fits && (!integer || Number.isInteger(to))) take(to);
      else number.setAttribute("aria-invalid", "true");
    });
    number.addEventListener("change", () => number.hasAttribute("aria-invalid") && ((number.value = ""), show(current)));
    show(value);
    return { node, show };
  }

  /** Fill a list of choices with options [{value, label}] or groups [{label, options}]. */
  function choices(select, options) {
    const option = ({ value, label }) => el("option", { value }, label);
    select.replaceChildren(
      ...options.map((each) => (each.options ? el("optgroup", { label: each.label }, ...each.options.map(option)) : option(each))),
    );
  }

  /** A labelled list of choices. */
  function choice({ id, label, options, change }) {
    const select = el("select", { id, onchange: () => change(select.value) });
    choices(select, options);
    return { node: el("div", {}, el("label", { for: id }, label), select), select };
  }

  return { slider, choices, choice };
})();
