/* Sliders with a number field: drag, type or use the arrow keys. A number that is refused is said beside its field. */
const Controls = (() => {
  const { el } = Draw;

  /** A slider from low to high, and a number field within [least, most]; `change` is called with every new value. A
      text that is refused leaves the value as it is, and the reason stays beside the field until the next good one. */
  function slider(options) {
    const { id, label, low, high, step, value, logarithmic = false, integer = false, change } = options;
    const toRange = (x) => (logarithmic ? Math.log10(x) : x);
    const fromRange = (x) => (logarithmic ? Number((10 ** x).toPrecision(3)) : x);
    const range = el("input", { id, type: "range", min: toRange(low), max: toRange(high), step: logarithmic ? 0.01 : step });
    const number = el("input", {
      id: `${id}-number`,
      type: "text",
      autocomplete: "off",
      "aria-label": `${label}, as a number`,
      "aria-describedby": `${id}-fault`,
      inputmode: integer ? "numeric" : "text",
    });
    const reason = el("p", { id: `${id}-fault`, class: "fault", role: "alert" });
    const node = el("div", { class: "slider" }, el("label", { for: id }, label), range, number, reason);
    let current = value;

    const written = (to) => String(Number(to.toPrecision(5)));

    function show(to) {
      current = to;
      range.value = toRange(to);
      range.setAttribute("aria-valuetext", String(to));
      if (Settings.parse(number.value, options).value !== to) number.value = written(to);
      number.removeAttribute("aria-invalid");
      reason.textContent = "";
    }

    function take(to) {
      show(to);
      change(to);
    }

    range.addEventListener("input", () => take(fromRange(Number(range.value))));
    number.addEventListener("input", () => {
      const { value: to, fault } = Settings.parse(number.value, options);
      if (!fault) return take(to);
      number.setAttribute("aria-invalid", "true");
      reason.textContent = `It ${fault}. ${written(current)} is kept.`;
    });
    number.addEventListener("change", () => {
      if (!number.hasAttribute("aria-invalid")) return;
      number.value = written(current);
      number.removeAttribute("aria-invalid");
    });
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
