/* The problems on the page: decoding tables, changing parameters and outcome probabilities, and grids drawn by hand. */
const Problems = (() => {
  /** The table, from its distinct numbers and the index of each entry. */
  const decode = (coded) => {
    const values = coded.values.map(Number);
    return Float64Array.from(coded.at, (i) => values[i]);
  };

  /** A problem as Python wrote it, with flat arrays instead of the coded tables. */
  function read(data) {
    const table = (coded) => (coded ? decode(coded) : null);
    return {
      ...data,
      initial: table(data.initial),
      prior: table(data.prior),
      probability: table(data.probability),
      reward: table(data.reward),
      finalReward: table(data.finalReward),
      parameters: data.parameters.map((each) => ({
        ...each,
        constant: table(each.constant),
        slope: table(each.slope),
        rewardSlope: table(each.rewardSlope),
      })),
    };
  }

  const pairKey = (state, action) => `${state},${action}`;

  /** The tables at parameters `theta` (by name), with some events replaced: `dynamics` maps "s,a" to K probabilities. */
  function tables(raw, theta, dynamics) {
    const { states, actions, outcomes: K } = raw;
    const reward = raw.reward.slice();
    let probability = raw.probability.slice();
    const moved = raw.parameters.filter((each) => theta[each.name] !== each.value);
    for (const { name, value, rewardSlope } of moved) {
      if (!rewardSlope) continue;
      for (let i = 0; i < reward.length; i++) {
        if (rewardSlope[i] !== 0) reward[i] += rewardSlope[i] * (theta[name] - value);
      }
    }
    if (moved.some((each) => each.slope)) probability = product(raw, theta);
    for (let pair = 0; pair < states * actions; pair++) {
      const own = dynamics[pairKey(Math.floor(pair / actions), pair % actions)];
      if (own) probability.set(own, pair * K);
    }
    return { ...raw, probability, reward };
  }

  /** p = product over theta of (constant + slope theta), for the events that any parameter changes. */
  function product(raw, theta) {
    const factors = raw.parameters.filter((each) => each.slope);
    const K = raw.outcomes;
    const p = raw.probability.slice();
    for (let from = 0; from < p.length; from += K) {
      let depends = false;
      for (let i = from; i < from + K; i++) depends = depends || factors.some(({ slope }) => slope[i] !== 0);
      if (!depends) continue;
      for (let i = from; i < from + K; i++) {
        p[i] = factors.reduce((total, { name, constant, slope }) => total * (constant[i] + slope[i] * theta[name]), 1);
        p[i] = Math.max(0, p[i]);
      }
    }
    return p;
  }

  /** Set the probability of one outcome to `value`: the others share the rest as before, or equally if all were 0. */
  function withOutcome(probability, possible, k, value) {
    const rest = possible.filter((each) => each !== k);
    const before = rest.reduce((total, each) => total + probability[each], 0);
    const found = Array.from(probability);
    if (!rest.length) return found;
    found[k] = value;
    for (const each of rest) found[each] = (1 - value) * (before > 0 ? probability[each] / before : 1 / rest.length);
    return found;
  }

  const MOVES = [
    { name: "left", step: [0, -1] },
    { name: "down", step: [1, 0] },
    { name: "right", step: [0, 1] },
    { name: "up", step: [-1, 0] },
  ];

  /** The kinds of a drawn cell: the sign in the map, and the name. */
  const KINDS = [
    { sign: ".", name: "floor" },
    { sign: "#", name: "wall" },
    { sign: "H", name: "hole" },
    { sign: "G", name: "goal" },
    { sign: "S", name: "start" },
  ];

  const GRID = "a grid that you draw";

  /** The grid that is drawn at first. */
  const DRAWN = { map: ["......", ".####.", "S....G", "#HHHH#"], slip: 0.2, step: -0.1, hole: -10, goal: 10 };

  /** The problem of a drawn map. A step slips to either side with probability slip / 2; holes and goals end it. */
  function grid({ map, slip, step, hole, goal }) {
    const rows = map.length;
    const columns = map[0].length;
    const cells = new Array(rows * columns).fill(-1);
    const names = [];
    const starts = [];
    for (let i = 0; i < cells.length; i++) {
      const sign = map[Math.floor(i / columns)][i % columns];
      if (sign !== "." && sign !== "S") continue;
      if (sign === "S") starts.push(names.length);
      cells[i] = names.length;
      names.push(`(${Math.floor(i / columns)}, ${i % columns})`);
    }
    const ended = names.length;
    names.push("ended");
    const initial = new Float64Array(names.length);
    for (const s of starts) initial[s] = 1 / starts.length;
    const size = names.length * 4 * 3;
    const found = { probability: new Float64Array(size), successor: new Array(size).fill(ended), reward: new Float64Array(size) };
    const chances = [slip / 2, 1 - slip, slip / 2];
    for (let i = 0; i < cells.length; i++) {
      if (cells[i] < 0) continue;
      for (let a = 0; a < 4; a++) {
        for (let k = 0; k < 3; k++) {
          const at = (cells[i] * 4 + a) * 3 + k;
          const [down, right] = MOVES[(a + k + 3) % 4].step;
          const row = Math.floor(i / columns) + down;
          const column = (i % columns) + right;
          const inside = row >= 0 && row < rows && column >= 0 && column < columns;
          const sign = inside ? map[row][column] : "#";
          found.probability[at] = chances[k];
          found.reward[at] = sign === "H" ? hole : sign === "G" ? goal : step;
          if (sign === "#") found.successor[at] = cells[i];
          else if (sign !== "H" && sign !== "G") found.successor[at] = cells[row * columns + column];
        }
      }
    }
    for (let a = 0; a < 4; a++) found.probability[(ended * 4 + a) * 3] = 1;
    return {
      name: GRID,
      summary: "Click the cells below to change them. Holes and goals end the episode; a step may slip sideways.",
      states: names.length,
      actions: 4,
      outcomes: 3,
      horizon: 20,
      discount: 1,
      temperature: 1,
      initial,
      prior: null,
      ...found,
      finalReward: null,
      stateNames: names,
      actionNames: MOVES.map((each) => each.name),
      layout: { rows, columns, cells, directions: MOVES.map((each) => each.step), marks: map.join("") },
      parameters: [],
    };
  }

  return { read, tables, withOutcome, pairKey, grid, KINDS, GRID, DRAWN };
})();
