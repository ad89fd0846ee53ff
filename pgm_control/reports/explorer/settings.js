/* The settings: their ranges and original values, and the check of every number that is typed or comes from a link. */
const Settings = (() => {
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const LONGEST = 40; // characters of a refused text that are shown

  const shown = (value) => String(value).replace("-", "−");

  /** The number that a text writes, or why it is refused: {value, fault}, where fault is "" for a good one. */
  function parse(text, { low, high, least = low, most = high, integer = false }) {
    const plain = text.trim().replace("−", "-");
    const value = NUMBER.test(plain) ? Number(plain) : NaN;
    if (value >= least && value <= most && (!integer || Number.isInteger(value))) return { value, fault: "" };
    const wanted = `must be a ${integer ? "whole number" : "number"} from ${shown(least)} to ${shown(most)}`;
    return { value: NaN, fault: `${wanted}, but is ${plain ? quoted(text.trim()) : "empty"}` };
  }

  const quoted = (text) => `"${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text}"`;

  /** The settings of a problem whose tables have at most `largest` entries, each a slider. The value of one is
      now[of][key], or now[key] without `of`; `value` is the original one. */
  function fields(raw, largest) {
    const longest = Math.floor(largest / (raw.states * raw.actions * raw.outcomes));
    const most = Math.max(raw.horizon, Math.min(200, longest));
    const found = [
      { id: "beta", label: "β, of start and dynamics", low: -2, high: 2, step: 0.01, least: -1000, most: 1000, value: 0.5 },
      { id: "tau", label: "temperature τ, reward units per nat", low: 0.001, high: 100, logarithmic: true, least: 1e-6, most: 1e6, value: raw.temperature },
      { id: "T", label: "horizon T, in steps", low: 1, high: Math.min(Math.max(30, raw.horizon), most), step: 1, most, integer: true, value: raw.horizon },
      { id: "gamma", label: "discount γ, the probability of surviving a step", low: 0.5, high: 1, step: 0.01, least: 0.001, value: raw.discount },
      { id: "count", label: "episodes", low: 1, high: 40, step: 1, integer: true, value: 12 },
      { id: "seed", label: "seed", low: 1, high: 100, step: 1, integer: true, least: 0, most: 4294967295, value: 1 },
    ].map((each) => ({ ...each, key: each.id }));
    for (const each of raw.parameters) found.push({ ...each, id: `parameter-${each.name}`, of: "theta", key: each.name });
    if (raw.name === Problems.GRID) found.push(...OF_GRID);
    return found;
  }

  /** The settings of a drawn grid, and its size. */
  const OF_GRID = [
    { key: "slip", label: "probability of slipping sideways", low: 0, high: 1, step: 0.01 },
    { key: "step", label: "reward of a step", low: -2, high: 1, step: 0.1 },
    { key: "hole", label: "reward of a hole", low: -50, high: 0, step: 1 },
    { key: "goal", label: "reward of the goal", low: 0, high: 50, step: 1 },
  ].map((each) => ({ ...each, id: `grid-${each.key}`, of: "drawing", value: Problems.DRAWN[each.key] }));
  const SIZE = { low: 1, high: 10, step: 1, integer: true };

  const owner = (now, { of }) => (of ? now[of] : now);
  const get = (now, field) => owner(now, field)[field.key];
  const set = (now, field, value) => (owner(now, field)[field.key] = value);

  return { parse, quoted, fields, get, set, OF_GRID, SIZE };
})();
