/* The settings as the part of the address behind #. A link with any fault is refused as a whole, and the fault is said. */
const Link = (() => {
  const LONGEST = 20000; // characters
  const NEAR = 1e-9; // of a sum of probabilities from 1
  const PROBABILITY = { low: 0, high: 1 };
  class Refused extends Error {}

  /** The states, actions and steps that can be shown. */
  const places = (raw, T) => [
    { key: "state", low: 0, high: raw.states - 1, integer: true },
    { key: "action", low: 0, high: raw.actions - 1, integer: true },
    { key: "time", low: 0, high: T - 1, integer: true },
  ];

  /** What has been changed, and the place that is shown. */
  function write(now) {
    const query = new URLSearchParams({ problem: now.name });
    if (now.name === Problems.GRID) query.set("map", now.drawing.map.join("/"));
    for (const field of now.fields) {
      const value = Settings.get(now, field);
      if (value !== field.value) query.set(field.id, value);
    }
    for (const [pair, row] of Object.entries(now.dynamics)) query.set(`event-${pair}`, Array.from(row).join(" "));
    for (const { key } of places(now.raw, now.T)) query.set(key, now[key]);
    return `#${query}`;
  }

  /** The settings of a link: {name, drawing, values, dynamics, place}; null if there is none; or {fault}. */
  function read(hash, problems, largest) {
    if (!hash.includes("=")) return null;
    try {
      return checked(hash.slice(1), problems, largest);
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      return { fault: `This link is not used: ${problem.message}.` };
    }
  }

  function checked(text, problems, largest) {
    const refuse = (fault) => {
      throw new Refused(fault);
    };
    if (text.length > LONGEST) refuse(`it has ${text.length} characters, and at most ${LONGEST} can be a link of this page`);
    const query = new Map();
    for (const [key, value] of new URLSearchParams(text)) {
      if (query.has(key)) refuse(`${Settings.quoted(key)} is given twice`);
      query.set(key, value);
    }
    const take = (key) => {
      const value = query.get(key);
      query.delete(key);
      return value;
    };
    const number = (name, value, range) => {
      const found = Settings.parse(value, range);
      if (found.fault) refuse(`${name} ${found.fault}`);
      return found.value;
    };
    const name = take("problem") ?? refuse("it names no problem");
    const drawn = name === Problems.GRID;
    if (!drawn && !problems.has(name)) refuse(`this page has no problem ${Settings.quoted(name)}`);
    const drawing = drawn ? { ...Problems.DRAWN, map: mapOf(take("map") ?? refuse("the grid has no map"), refuse) } : null;
    for (const field of drawn ? Settings.OF_GRID : []) {
      if (query.has(field.id)) drawing[field.key] = number(field.label, take(field.id), field);
    }
    const raw = drawn ? Problems.grid(drawing) : problems.get(name);
    const values = {};
    for (const field of Settings.fields(raw, largest)) {
      if (query.has(field.id)) values[field.id] = number(field.label, take(field.id), field);
    }
    const place = {};
    for (const range of places(raw, values.T ?? raw.horizon)) {
      if (query.has(range.key)) place[range.key] = number(range.key, take(range.key), range);
    }
    const dynamics = {};
    for (const [key, value] of query) {
      if (!/^event-\d{1,6},\d{1,6}$/.test(key)) refuse(`there is no setting ${Settings.quoted(key)}`);
      const [s, a] = key.slice("event-".length).split(",").map(Number);
      if (s >= raw.states || a >= raw.actions) refuse(`the problem has no state ${s} with an action ${a}`);
      const row = value.split(" ").map((each) => number(`each probability in ${key}`, each, PROBABILITY));
      dynamics[Problems.pairKey(s, a)] = distribution(raw, s * raw.actions + a, row) ?? refuse(`${key} is no distribution of its outcomes`);
    }
    return { name, drawing, values, dynamics, place };
  }

  /** The rows of a grid, each of the same length. */
  function mapOf(text, refuse) {
    const rows = text.split("/");
    const { low, high } = Settings.SIZE;
    const fits = (length) => length >= low && length <= high;
    const known = (sign) => Problems.KINDS.some((each) => each.sign === sign);
    if (!fits(rows.length) || !fits(rows[0].length) || rows.some((row) => row.length !== rows[0].length)) {
      refuse(`the map must have ${low} to ${high} rows, separated by /, of the same length from ${low} to ${high}`);
    }
    if (![...rows.join("")].every(known)) refuse(`the map must have the signs ${Problems.KINDS.map((each) => each.sign).join(" ")} only`);
    return rows;
  }

  /** The row, if it is a distribution over the possible outcomes of the event; else null. */
  function distribution(raw, pair, row) {
    const K = raw.outcomes;
    if (row.length !== K || Math.abs(row.reduce((sum, p) => sum + p, 0) - 1) > NEAR) return null;
    return row.every((p, k) => p === 0 || raw.probability[pair * K + k] > 0) ? row : null;
  }

  return { write, read };
})();
